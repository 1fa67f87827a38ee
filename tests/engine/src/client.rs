//! HTTP over the engine's socket.
//!
//! In: a request. Out: the status and the whole body. Each request has a connection of its own, so that a service that
//! was killed and started again is reached by the next one.
//!
//! Invariant: a status is never an error here; no answer, or half of one, always is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// For a whole answer: what takes longest is a pull.
const ANSWER: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// A request whose body, if there is one, is JSON.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        self.send(request.body(body).with_context(|| format!("{path} is no path"))?).await
    }

    /// A request with headers of the caller's choice.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Bytes)> {
        let what = format!("{} {}", request.method(), request.uri());
        match tokio::time::timeout(ANSWER, self.exchange(request)).await {
            Ok(answer) => answer.with_context(|| format!("no answer to {what} from {}", self.socket.display())),
            Err(_) => bail!("no answer to {what} in {ANSWER:?}"),
        }
    }

    /// The JSON of an answer that has to be 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.request(Method::GET, path, Vec::new()).await?;
        expect(status, StatusCode::OK, &body, path)?;
        serde_json::from_slice(&body).with_context(|| format!("the answer to {path} is not JSON"))
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<(StatusCode, Bytes)> {
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("engine"));
        let stream = UnixStream::connect(&self.socket).await.context("cannot connect: does the service run?")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection moves the bytes, and ends when `answer` drops the sender. Its error is in the answer too.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }
}

/// An error with the engine's own words if the status is another one.
pub(crate) fn expect(status: StatusCode, expected: StatusCode, body: &[u8], what: &str) -> Result<()> {
    if status != expected {
        bail!("{what} was answered with {status}: {}", String::from_utf8_lossy(body).trim());
    }
    Ok(())
}

/// An error if a line of a stream of progress tells of one: by then the status has long been 200.
pub(crate) fn expect_no_error(progress: &[u8], what: &str) -> Result<()> {
    for line in progress.split(|byte| *byte == b'\n') {
        let Ok(Value::Object(line)) = serde_json::from_slice(line) else { continue };
        if let Some(error) = line.get("error").filter(|error| !error.is_null()) {
            bail!("{what} failed: {}", error.as_str().unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_a_stream_of_progress_is_found() {
        let fine = b"{\"status\":\"pulling\"}\nnot json\n{\"status\":\"done\",\"error\":null}\n";
        expect_no_error(fine, "the pull").unwrap();
        let failed = b"{\"status\":\"pulling\"}\r\n{\"error\":\"unauthorized\"}\r\n";
        assert!(expect_no_error(failed, "the pull").unwrap_err().to_string().contains("unauthorized"));
    }

    #[tokio::test]
    async fn no_service_is_an_error_that_asks_for_it() {
        let client = Client::new(PathBuf::from("/nonexistent/podman.sock"));
        let error = client.get("/_ping").await.unwrap_err();
        assert!(format!("{error:#}").contains("does the service run?"), "{error:#}");
    }
}
