//! `httpGet`: whether a GET is answered well (`pkg/probe/http`).
//!
//! In: an [`HttpGet`], the host. Out: an [`Outcome`]. Invariant: the status alone decides; nothing of an answer's content goes on. (The kubelet
//! puts the body of a redirect into an event, where the pod's author can read what a host answered that only the node can reach.)

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, LOCATION};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Position, Url};

use super::address::Reach;
use super::check::HttpGet;
use super::exchange::{Answer, Broken, Protocol, exchange};
use super::runner::{Deadline, Outcome};

mod trust;

pub(super) use trust::tls;

/// Requests of one check, redirects followed among them (`RedirectChecker`). A server may redirect to itself for ever.
const MAX_REQUESTS: usize = 10;

/// Asks and follows redirects to the same host.
pub(super) async fn get(reach: &Reach, tls: &TlsConnector, host: &str, check: &HttpGet, deadline: Deadline) -> Outcome {
    follow(reach, tls, host, check, deadline).await.unwrap_or_else(|outcome| outcome)
}

async fn follow(
    reach: &Reach,
    tls: &TlsConnector,
    host: &str,
    check: &HttpGet,
    deadline: Deadline,
) -> Result<Outcome, Outcome> {
    let first = place(host, check)?;
    let mut url = first.clone();
    let mut virtual_host = check.virtual_host.as_deref();
    for _ in 0..MAX_REQUESTS {
        let answer = ask(reach, tls, &url, virtual_host, check, deadline).await?;
        let Some(location) = location(&answer) else { return Ok(judge(answer.status)) };
        let failed = |why: &str| Outcome::failure(format!("Get {url}: cannot follow the redirect: {why}"));
        let location = location.to_str().map_err(|error| failed(&error.to_string()))?;
        let next = url.join(location).map_err(|error| failed(&error.to_string()))?;
        if !matches!(next.scheme(), "http" | "https") {
            return Err(failed("unsupported protocol scheme"));
        }
        if next.host() != first.host() {
            return Ok(judge(answer.status));
        }
        // As Go's client: a name that was asked for stays with redirects that name none.
        if Url::parse(location).is_ok() {
            virtual_host = None;
        }
        url = next;
    }
    Err(Outcome::failure(format!("Get {url}: stopped after {MAX_REQUESTS} redirects")))
}

/// `DoHTTPProbe`.
fn judge(status: StatusCode) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Success,
        300..=399 => Outcome::Warning { output: "Probe terminated redirects".to_owned() },
        code => Outcome::failure(format!("HTTP probe failed with statuscode: {code}")),
    }
}

/// `formatURL`. A host that is none, or a path that cannot be sent, is the author's mistake and not the container's.
fn place(host: &str, check: &HttpGet) -> Result<Url, Outcome> {
    let wrong = |error| Outcome::Unknown { error: format!("{host:?} is not a host: {error}") };
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let host = url::Host::parse(&bracketed).map_err(wrong)?;
    let scheme = if check.tls { "https" } else { "http" };
    let mut url = Url::parse(&format!("{scheme}://{host}:{}/", check.port)).map_err(wrong)?;
    let path = check.path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(path);
    url.set_query(query);
    Ok(url)
}

/// Where a redirect leads that a client follows; None for any other answer.
fn location(answer: &Answer) -> Option<&HeaderValue> {
    let follows = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    answer.headers.get(LOCATION).filter(|_| follows)
}

async fn ask(
    reach: &Reach,
    tls: &TlsConnector,
    url: &Url,
    virtual_host: Option<&str>,
    check: &HttpGet,
    deadline: Deadline,
) -> Result<Answer, Outcome> {
    let (host, port) = (address(url), url.port_or_known_default().unwrap_or(check.port));
    let stream = deadline.dial(reach.dial(&host, port)).await?;
    let answer = if url.scheme() == "https" {
        let stream = Box::pin(encrypt(tls, &host, stream, deadline)).await?;
        let protocol = protocol(&stream);
        exchange(stream, protocol, request(url, port, virtual_host, check, protocol)?, deadline).await
    } else {
        let request = request(url, port, virtual_host, check, Protocol::Http1)?;
        exchange(stream, Protocol::Http1, request, deadline).await
    };
    answer.map_err(|broken| match broken {
        Broken::Unanswered(why) => Outcome::failure(format!("Get {url}: {why}")),
        // Not the container's last word, so it does not count (`probe.Failure, "", err`).
        Broken::Unfinished(why) => Outcome::Unknown { error: format!("Get {url}: the answer broke off: {why}") },
    })
}

/// The host without brackets.
fn address(url: &Url) -> String {
    match url.host() {
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    }
}

/// A session is large: boxed, it is not part of each check that waits for a place.
async fn encrypt(
    tls: &TlsConnector,
    host: &str,
    stream: TcpStream,
    deadline: Deadline,
) -> Result<Box<TlsStream<TcpStream>>, Outcome> {
    let failed = |why: String| Outcome::failure(format!("TLS with {host}: {why}"));
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let stream = deadline.bound(tls.connect(name, stream)).await.map_err(failed)?;
    stream.map(Box::new).map_err(|error| failed(error.to_string()))
}

fn protocol(stream: &TlsStream<TcpStream>) -> Protocol {
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 }
}

fn request(
    url: &Url,
    port: u16,
    virtual_host: Option<&str>,
    check: &HttpGet,
    protocol: Protocol,
) -> Result<Request<Full<Bytes>>, Outcome> {
    let authority = format!("{}:{port}", url.host_str().unwrap_or_default());
    let authority = virtual_host.unwrap_or(&authority);
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::new(Full::default());
    *request.headers_mut() = check.headers.clone();
    match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = target.parse::<Uri>().map_err(|error| unsendable(&error))?;
            let host = HeaderValue::from_str(authority).map_err(|error| unsendable(&error))?;
            request.headers_mut().insert(HOST, host);
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Protocol::Http2 => {
            let uri = Uri::builder().scheme("https").authority(authority).path_and_query(target).build();
            *request.uri_mut() = uri.map_err(|error| unsendable(&error))?;
        }
    }
    Ok(request)
}

/// A mistake of the pod's author.
fn unsendable(error: &dyn std::error::Error) -> Outcome {
    Outcome::Unknown { error: format!("the request cannot be sent: {error}") }
}

#[cfg(test)]
mod tests;
