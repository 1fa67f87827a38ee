//! `http`: requests to endpoints that the operator granted by name.
//!
//! In: requests of the guest. Out: whole answers, or the contract's `http-error`. Invariant: a request reaches the host and port of
//! a granted base URL and nothing else: no redirect is followed, no proxy of the environment is used, no header of the guest can
//! change where it goes or how long it is.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::component::{Accessor, StreamReader};

use crate::bindings::pluglet::provider::http::{self, HttpError, Request, Response, StreamingResponse};
use crate::options::Endpoint;
use crate::state::State;

mod bind;
mod rules;

pub use bind::BindError;

/// Requests of one provider that are under way at once; others wait. A guest can begin as many as it likes in the background, and each
/// may bring an answer of several MiB into the host's memory.
const REQUESTS: usize = 128;

/// Bytes of request bodies that one provider may have under way, waiting requests included. They are copied out of the guest before
/// anything can be refused; a guest that begins requests with the same large body again and again would fill the host's memory.
const BODY_BYTES: usize = 64 << 20;

/// The granted endpoints of one provider.
pub(crate) struct Endpoints {
    provider: String,
    bound: BTreeMap<String, Bound>,
    requests: Semaphore,
    bodies: Semaphore,
}

/// An endpoint with its connections.
struct Bound {
    client: reqwest::Client,
    base: reqwest::Url,
    timeout: Duration,
    max_response_bytes: usize,
}

impl Endpoints {
    /// Bind each name to a client of its own: connections, certificates and limits of one endpoint never serve another.
    ///
    /// # Errors
    /// When a URL or a certificate file cannot be used.
    pub(crate) fn bind(provider: &str, grants: &BTreeMap<String, Endpoint>) -> Result<Self, BindError> {
        let bound = grants
            .iter()
            .map(|(name, grant)| Ok((name.clone(), bind::bind(name, grant)?)))
            .collect::<Result<_, BindError>>()?;
        let (requests, bodies) = (Semaphore::new(REQUESTS), Semaphore::new(BODY_BYTES));
        Ok(Self { provider: provider.to_owned(), bound, requests, bodies })
    }

    async fn fetch(&self, request: Request, body: Vec<u8>, max_bytes: u32) -> Result<Response, HttpError> {
        let bound = self.find(&request.endpoint)?;
        let url = rules::url(&bound.base, &request.path_and_query)?;
        let method = rules::method(&request.method)?;
        let headers = rules::headers(&request.headers)?;
        let limit = request.timeout_ms.map_or(bound.timeout, |ms| Duration::from_millis(ms.into()).min(bound.timeout));
        let cap = bound.max_response_bytes.min(usize::try_from(max_bytes).unwrap_or(usize::MAX));
        let bytes = u32::try_from(body.len()).map_err(|_| HttpError::TooLarge)?;
        let _body_place = self.bodies.try_acquire_many(bytes).map_err(|_| {
            HttpError::Other(format!(
                "this provider has more than {} MiB of request bodies under way",
                BODY_BYTES >> 20
            ))
        })?;
        let mut request = bound.client.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        // The timeout covers everything: a place, name, connection, request, and the answer to its last byte.
        let exchange = async {
            let _place =
                self.requests.acquire().await.map_err(|_| HttpError::Other("the host is shutting down".to_owned()))?;
            let response = request.send().await.map_err(|error| classify(&error))?;
            let status = response.status().as_u16();
            let headers = rules::answered(response.headers());
            Ok(Response { status, headers, body: read(response, cap).await? })
        };
        timeout(limit, exchange).await.unwrap_or(Err(HttpError::Timeout))
    }

    fn find(&self, name: &str) -> Result<&Bound, HttpError> {
        self.bound.get(name).ok_or_else(|| HttpError::Denied(ungranted(&self.provider, name)))
    }
}

/// What an operator needs to read when an endpoint is missing.
pub(crate) fn ungranted(provider: &str, endpoint: &str) -> String {
    let endpoint = crate::capabilities::log::clean(endpoint, 64);
    format!(
        "the endpoint \"{endpoint}\" is not granted to the provider \"{provider}\"; \
         this would grant it: endpoints: {{ {endpoint}: {{ url: \"https://…\" }} }}"
    )
}

/// The body, as long as it fits.
async fn read(mut response: reqwest::Response, cap: usize) -> Result<Vec<u8>, HttpError> {
    // What the head tells is only a hint for the first allocation: it may be a lie, and for HEAD it is about another answer.
    let told = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    let mut body = Vec::with_capacity(told.min(cap));
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > cap {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Which of the contract's cases a failure is.
fn classify(error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::Timeout;
    }
    let mut text = String::new();
    let mut broken = error.is_connect();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            broken |= io.kind() != std::io::ErrorKind::InvalidData;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() {
        // The outermost text names the URL, which holds nothing that the guest did not send, but is long; the causes say more.
        text = error.to_string();
    }
    if broken {
        HttpError::Connect(text)
    } else if error.is_request() || error.is_body() || error.is_decode() {
        HttpError::Protocol(text)
    } else {
        HttpError::Other(text)
    }
}

impl http::Host for State {}

impl<T: Send> http::HostWithStore<T> for State {
    async fn fetch(
        accessor: &Accessor<T, Self>,
        request: Request,
        body: Vec<u8>,
        max_bytes: u32,
    ) -> Result<Response, HttpError> {
        let endpoints = accessor.with(|mut access| Arc::clone(&access.get().capabilities.endpoints));
        endpoints.fetch(request, body, max_bytes).await
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        _request: Request,
        mut body: StreamReader<u8>,
    ) -> Result<StreamingResponse, HttpError> {
        // Closing fails only for a stream that is closed already.
        let _ = body.close_with(accessor);
        Err(HttpError::Unsupported("http.send is not served in this version of pluglet; use http.fetch".to_owned()))
    }

    async fn upgrade(
        accessor: &Accessor<T, Self>,
        _request: Request,
        _protocol: String,
        mut output: StreamReader<u8>,
    ) -> Result<StreamReader<u8>, HttpError> {
        // As above.
        let _ = output.close_with(accessor);
        Err(HttpError::Unsupported("http.upgrade is not served in this version of pluglet".to_owned()))
    }
}

#[cfg(test)]
mod tests;
