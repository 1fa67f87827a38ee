//! A token server that counts, and what the tests share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use pluglet_credentials::{Applied, Auth, AzureClientSecret, Credential, CredentialError, OAuth2, Payload};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) const AUDIENCE: &str = pluglet_credentials::auth::AZURE_AUDIENCE;

/// A request that the token server saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
    open: watch::Sender<bool>,
    /// `None` repeats the request in a refusal.
    script: Mutex<VecDeque<Option<Response<String>>>>,
}

/// Gives out `token-1`, `token-2` … for an hour each, unless it is scripted or held.
pub(crate) struct TokenServer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl TokenServer {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            count: watch::channel(0).0,
            open: watch::channel(true).0,
            script: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, _task: task }
    }

    /// Answer the next request that is not scripted yet with this.
    pub(crate) fn script(&self, status: u16, header: Option<(&str, &str)>, body: &str) {
        let mut response = Response::builder().status(status);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        self.shared.script.lock().unwrap().push_back(Some(response.body(body.to_owned()).unwrap()));
    }

    /// Answer the next request that is not scripted yet with a refusal that repeats all that was sent.
    pub(crate) fn script_echo(&self) {
        self.shared.script.lock().unwrap().push_back(None);
    }

    /// Hold answers back, or let them go.
    pub(crate) fn set_open(&self, open: bool) {
        self.shared.open.send_replace(open);
    }

    /// Waits until this many requests have come.
    pub(crate) async fn came(&self, count: usize) {
        self.shared.count.subscribe().wait_for(|seen| *seen >= count).await.unwrap();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        *self.shared.count.borrow()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let echo = serde_json::json!({ "error": "invalid_client", "error_description": format!("{authorization} {body}") });
    let number = {
        let mut seen = shared.seen.lock().unwrap();
        seen.push(Seen { method, uri, headers, body });
        seen.len()
    };
    shared.count.send_replace(number);
    shared.open.subscribe().wait_for(|open| *open).await.unwrap();
    if let Some(scripted) = shared.script.lock().unwrap().pop_front() {
        return scripted.unwrap_or_else(|| Response::builder().status(401).body(echo.to_string()).unwrap());
    }
    let body = format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"token-{number}"}}"#);
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// A directory with secrets in files.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

pub(crate) fn oauth2(server: &TokenServer, files: &Files) -> Auth {
    Auth::OAuth2(OAuth2 {
        token_url: format!("{}/token", server.url),
        client_id: "client one".to_owned(),
        client_secret_file: files.write("client-secret", "s3cr3t/+pass word\n"),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        audience: Some("https://api.example.com".to_owned()),
        ca_file: None,
    })
}

pub(crate) fn azure_client_secret(server: &TokenServer, files: &Files) -> Auth {
    Auth::AzureClientSecret(AzureClientSecret {
        tenant_id: "72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned(),
        client_id: "app-1".to_owned(),
        audience: AUDIENCE.to_owned(),
        authority_host: server.url.clone(),
        ca_file: None,
        client_secret_file: files.write("azure-secret", "abc~Def.8Q\n"),
    })
}

pub(crate) fn head() -> Parts {
    Request::get("https://api.example.com/v1/things?a=b").body(()).unwrap().into_parts().0
}

pub(crate) async fn authorize(credential: &Credential) -> Result<(Parts, Applied), CredentialError> {
    let mut head = head();
    let applied = credential.authorize(&mut head, Payload::Bytes(b"")).await?;
    Ok((head, applied))
}

/// The `authorization` that a request gets.
pub(crate) async fn authorization(credential: &Credential) -> String {
    authorize(credential).await.unwrap().0.headers["authorization"].to_str().unwrap().to_owned()
}

/// Let time pass at once. Only between requests: the clock stands still meanwhile, and real sockets do not know.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
