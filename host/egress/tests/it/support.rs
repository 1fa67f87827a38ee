//! Ways out with one or more endpoints, and requests for them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use pluglet_egress::{
    Answer, Ceilings, Egress, EndpointLimits, Error, Grant, Metrics, Need, Outgoing, Refusal, Resolve, Target,
    intersect,
};
use tempfile::TempDir;

/// Long enough for a loaded machine; for what is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// For what is expected to time out.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// The name of the one endpoint of most tests.
pub(crate) const API: &str = "api";

/// A directory with secrets in files.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A grant of a base URL; websockets and upgrades included.
pub(crate) fn grant(url: &str) -> Grant {
    to(Target::base(url).unwrap())
}

/// The same for any target.
pub(crate) fn to(target: Target) -> Grant {
    let limits = EndpointLimits { timeout: PATIENCE, ..EndpointLimits::default() };
    Grant { websocket: true, upgrade: true, limits, ..Grant::new(target) }
}

/// What is under test, put together piece by piece.
pub(crate) struct Setup {
    needs: Vec<Need>,
    grants: BTreeMap<String, Grant>,
    ceilings: Ceilings,
    metrics: Metrics,
    provider: String,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            needs: vec![],
            grants: BTreeMap::new(),
            ceilings: Ceilings::default(),
            metrics: Metrics::default(),
            provider: "tested".to_owned(),
        }
    }

    pub(crate) fn endpoint(mut self, name: &str, grant: Grant) -> Self {
        self.needs.push(Need { name: name.to_owned(), websocket: true, upgrade: true, ..Need::default() });
        for need in &mut self.needs {
            // A manifest asks for no more than it is given, or it is not loaded at all.
            if need.name == name {
                need.websocket = grant.websocket;
                need.upgrade = grant.upgrade;
            }
        }
        self.grants.insert(name.to_owned(), grant);
        self
    }

    pub(crate) fn granted_in_vain(mut self, name: &str, grant: Grant) -> Self {
        self.grants.insert(name.to_owned(), grant);
        self
    }

    pub(crate) fn ceilings(mut self, ceilings: Ceilings) -> Self {
        self.ceilings = ceilings;
        self
    }

    pub(crate) fn metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    pub(crate) fn provider(mut self, provider: &str) -> Self {
        provider.clone_into(&mut self.provider);
        self
    }

    pub(crate) fn egress(self) -> Egress {
        let rights = intersect(&self.needs, &self.grants).unwrap();
        Egress::new(&self.provider, rights, &self.ceilings, self.metrics).unwrap()
    }

    pub(crate) fn resolved_by(self, script: &Script) -> Egress {
        let rights = intersect(&self.needs, &self.grants).unwrap();
        let resolver = Arc::new(script.clone());
        Egress::with_resolver(&self.provider, rights, &self.ceilings, self.metrics, resolver).unwrap()
    }
}

/// One endpoint under [`API`].
pub(crate) fn egress(grant: Grant) -> Egress {
    Setup::new().endpoint(API, grant).egress()
}

/// A request to [`API`].
pub(crate) fn request(method: &str, target: &str) -> Outgoing {
    Outgoing {
        endpoint: API.to_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        headers: vec![],
        timeout: None,
    }
}

pub(crate) fn with_header(mut outgoing: Outgoing, name: &str, value: &str) -> Outgoing {
    outgoing.headers.push((name.to_owned(), value.to_owned()));
    outgoing
}

/// No body, and as many bytes of an answer as the grant allows.
pub(crate) async fn fetch(egress: &Egress, outgoing: Outgoing) -> Result<Answer, Error> {
    Box::pin(egress.fetch(outgoing, Bytes::new(), usize::MAX)).await
}

/// The text of an answer that is expected to be a success.
pub(crate) async fn text(egress: &Egress, target: &str) -> String {
    let answer = fetch(egress, request("GET", target)).await.unwrap();
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// The refusal that a request must come to.
pub(crate) async fn denied(egress: &Egress, outgoing: Outgoing) -> Refusal {
    let shown = format!("{outgoing:?}");
    match fetch(egress, outgoing).await {
        Err(Error::Denied(refusal)) => refusal,
        other => panic!("{shown} was not refused: {other:?}"),
    }
}

/// The first value of a header.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Answers one after the other; the last one stays.
#[derive(Clone)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) fn new(answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Self { answers: Arc::new(Mutex::new(answers.iter().map(parse).collect())), asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Script {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(host);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

/// Let time pass at once. Only between requests: the clock stands still meanwhile, and real sockets do not know.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
