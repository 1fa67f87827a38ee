//! The attacker of the security tests: a provider that does what annotations tell it.
//!
//! In: pods with annotations under `hostile.pluglet.dev/`, see the README. Out: whatever the sandbox lets out, and what the guest saw of it.
//! Invariant: a pod without annotations is run as a good provider runs it, so that a test can see whether innocents suffer.

mod abuse;
mod ambient;
mod config;
mod instruction;
mod lies;
mod logs;
mod requests;
mod run;
mod seen;
mod websocket;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use pluglet_sdk::kubernetes::{Pod, PodStatus, Time};
use pluglet_sdk::{
    Error, Feature, Host, Info, Init, LogOptions, LogStream, PodRef, Provider, ResolvedPod, Result, Status,
};
use serde::de::DeserializeOwned;

use crate::config::{Config, Start};
use crate::instruction::Instruction;
use crate::logs::Logs;

/// What all annotations start with.
const PREFIX: &str = "hostile.pluglet.dev/";

/// The provider.
pub struct Hostile {
    host: Host,
    config: Config,
    pods: RefCell<BTreeMap<String, Known>>,
}

/// A pod that was created.
struct Known {
    pod: PodRef,
    view: Pod,
    started: Time,
    /// What the instructions saw.
    status: Status,
}

impl Provider for Hostile {
    async fn start(host: Host, init: Init) -> Result<Self> {
        let config: Config = init.config()?;
        match config.start {
            None => {}
            Some(Start::Spin) => abuse::spin(),
            Some(Start::Trap) => drop(abuse::panic("a trap in start")),
            Some(Start::Sleep) => host.sleep(Duration::from_millis(u64::MAX)).await,
            Some(Start::Bomb) => drop(abuse::memory_bomb(None)),
        }
        Ok(Self { host, config, pods: RefCell::default() })
    }

    fn info(&self) -> Info {
        Info::new([Feature::Watch, Feature::Logs]).node(self.config.node.facts())
    }

    async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        if let Some(known) = self.pods.borrow().get(&pod.uid) {
            return Ok(known.status.clone());
        }
        let view = spec.pod()?;
        let instructions = instructions(&view, "do")?;
        annotation::<Logs>(&view, "logs")?;
        let started = self.now();
        let status: Status = PodStatus::running(&view, started).into();
        let known = Known { pod: pod.clone(), view: view.clone(), started, status };
        // Before anything is done: a call that the host has given up and makes again must not do it twice.
        self.pods.borrow_mut().insert(pod.uid.clone(), known);
        let outcome = run::all(&self.host, &pod, &instructions).await;
        let message = outcome.message();
        let status = match outcome.answer {
            None => PodStatus { message, ..PodStatus::running(&view, started) }.into(),
            Some(Ok(status)) => status,
            Some(Err(error)) => {
                self.pods.borrow_mut().remove(&pod.uid);
                return Err(error);
            }
        };
        if let Some(known) = self.pods.borrow_mut().get_mut(&pod.uid) {
            known.status = status.clone();
        }
        self.host.report(pod, status.clone());
        Ok(status)
    }

    async fn delete(&self, pod: PodRef, _grace: Duration) -> Result<()> {
        let view = self.pods.borrow().get(&pod.uid).map(|known| known.view.clone()).ok_or(Error::NotFound)?;
        let outcome = run::all(&self.host, &pod, &instructions(&view, "on-delete")?).await;
        if let Some(Err(error)) = outcome.answer {
            return Err(error);
        }
        let Known { pod, started, .. } = self.pods.borrow_mut().remove(&pod.uid).ok_or(Error::NotFound)?;
        let ended = PodStatus::terminated(&view, 0, "Completed", started, self.now());
        self.host.report(pod.clone(), PodStatus { message: outcome.message(), ..ended });
        self.host.gone(pod);
        Ok(())
    }

    async fn status(&self, pod: PodRef) -> Result<Status> {
        self.pods.borrow().get(&pod.uid).map(|known| known.status.clone()).ok_or(Error::NotFound)
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        if let Some(text) = &self.config.list_error {
            return Err(Error::internal(text));
        }
        let pods = self.pods.borrow();
        let known = pods.values().map(|known| (known.pod.clone(), known.status.clone()));
        Ok(known.chain(self.config.list_extra.iter().map(config::Extra::listed)).collect())
    }

    async fn logs(&self, pod: PodRef, _options: LogOptions) -> Result<LogStream> {
        let pods = self.pods.borrow();
        let known = pods.get(&pod.uid).ok_or(Error::NotFound)?;
        Ok(annotation::<Logs>(&known.view, "logs")?.unwrap_or_default().open())
    }
}

impl Hostile {
    fn now(&self) -> Time {
        Time::from_unix_ns(self.host.now_unix_ns())
    }
}

fn instructions(pod: &Pod, name: &str) -> Result<Vec<Instruction>> {
    let annotation = pod.metadata.annotations.get(&format!("{PREFIX}{name}"));
    let Some(json) = annotation else { return Ok(Vec::new()) };
    Instruction::parse_all(json).map_err(|error| Error::Invalid(format!("annotation {PREFIX}{name}: {error}")))
}

fn annotation<T: DeserializeOwned>(pod: &Pod, name: &str) -> Result<Option<T>> {
    let Some(json) = pod.metadata.annotations.get(&format!("{PREFIX}{name}")) else { return Ok(None) };
    let read = serde_json::from_str(json);
    read.map(Some).map_err(|error| Error::Invalid(format!("annotation {PREFIX}{name}: {error}")))
}

pluglet_sdk::export!(Hostile, {
    name: "hostile",
    description: "The attacker of the security tests: it does what annotations tell it.",
    features: [Watch, Logs],
    endpoints: [
        {
            name: "target",
            why: "requests that the grants allow, and those that they do not",
            methods: ["GET", "POST", "PUT", "HEAD", "OPTIONS"],
            paths: ["/granted/**"],
            websocket: true,
            upgrade: true,
            optional: true,
        },
        {
            name: "open",
            why: "requests that only the operator limits",
            websocket: true,
            upgrade: true,
            optional: true,
        },
        { name: "hosts", why: "whole URLs within a range of hosts", websocket: true, optional: true },
        { name: "addresses", why: "whole URLs within a range of addresses", optional: true },
    ],
    config_schema: include_str!("../config.schema.json"),
});
