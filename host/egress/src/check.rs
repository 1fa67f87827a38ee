//! From what a provider wrote to a request that may be sent.
//!
//! In: a [`Right`] and an [`Outgoing`]. Out: a [`Checked`] request, or the first [`Refusal`]. Invariant: the order is endpoint (the caller's),
//! method, target, headers; the URI that comes out has the host, port and path that were compared. Pure; addresses are checked where they
//! are known, in [`crate::connect`].

use std::net::IpAddr;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, HeaderName, Method, Uri};

use crate::error::{Refusal, quoted};
use crate::grant::Right;
use crate::header;
use crate::path;
use crate::target::{Scheme, Target, is_hostname};

/// A request as the provider wrote it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The endpoint's name.
    pub endpoint: String,
    /// The method.
    pub method: String,
    /// Path and query, or for ranges a whole URL.
    pub target: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Less than the grant's own limit, if at all.
    pub timeout: Option<Duration>,
}

/// A request that may be sent, without its credential.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// All checks in their order. `owned` are the headers that the credential sets.
pub(crate) fn request(right: &Right, outgoing: &Outgoing, owned: &[HeaderName]) -> Result<Checked, Refusal> {
    let method = method(right, &outgoing.method)?;
    let uri = uri(right, &outgoing.target)?;
    let headers = header::request(&outgoing.headers, owned).map_err(Refusal::Header)?;
    Ok(Checked { method, uri, headers })
}

fn method(right: &Right, text: &str) -> Result<Method, Refusal> {
    match Method::from_bytes(text.as_bytes()) {
        Err(_) => Err(Refusal::BadMethod(quoted(text))),
        // Whatever its case: some servers do not look at it. TRACK is TRACE by another name.
        Ok(method) if ["CONNECT", "TRACE", "TRACK"].iter().any(|never| method.as_str().eq_ignore_ascii_case(never)) => {
            Err(Refusal::BadMethod(quoted(text)))
        }
        Ok(method) if right.allows_method(&method) => Ok(method),
        Ok(method) => Err(Refusal::Method(method)),
    }
}

fn uri(right: &Right, target: &str) -> Result<Uri, Refusal> {
    match &right.grant.target {
        Target::Base(url) => {
            check_path(right, target)?;
            let base = url.path().trim_end_matches('/');
            let authority = authority(url.host_str().unwrap_or_default(), url.port())?;
            build(scheme_of(url.scheme()), authority, &format!("{base}{target}"))
        }
        Target::Unix(_) => {
            check_path(right, target)?;
            // What goes into the `Host` header; the socket decides where it goes.
            build(Scheme::Http, Authority::from_static("localhost"), target)
        }
        Target::Hosts { scheme, suffix, port } => {
            let url = whole_url(target, *scheme, *port)?;
            let below = url.host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
            if !is_hostname(&url.host) || below.is_none_or(str::is_empty) {
                return Err(Refusal::Outside("host"));
            }
            finish_url(right, *scheme, &url)
        }
        Target::Addresses { scheme, network, port } => {
            let url = whole_url(target, *scheme, *port)?;
            let bare = url.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&url.host);
            // Rust's parser takes the canonical forms only: no octal, hexadecimal or decimal spellings, no zone.
            let address: IpAddr = bare.parse().map_err(|_| Refusal::Outside("address"))?;
            if address.is_ipv6() != url.host.starts_with('[') || !network.contains(&address) {
                return Err(Refusal::Outside("address"));
            }
            finish_url(right, *scheme, &url)
        }
    }
}

/// Whether the path is normal and both sides allow it.
fn check_path(right: &Right, target: &str) -> Result<(), Refusal> {
    let path = path::check(target).map_err(Refusal::Path)?;
    if right.allows_path(path) { Ok(()) } else { Err(Refusal::PathNotGranted(quoted(path))) }
}

/// A whole URL, cut where every parser would.
struct WholeUrl<'a> {
    host: String,
    authority: &'a str,
    path_and_query: &'a str,
}

/// `scheme://host:port/path?query`, taken apart by hand: a parser that repairs is just what is not wanted.
fn whole_url(target: &str, scheme: Scheme, port: u16) -> Result<WholeUrl<'_>, Refusal> {
    const FORM: Refusal = Refusal::Url("this endpoint takes a whole URL, scheme://host:port/path");
    let (given, rest) = target.split_once("://").ok_or(FORM)?;
    if Scheme::parse(given) != Some(scheme) {
        return Err(Refusal::Outside("scheme"));
    }
    let at = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(at);
    if authority.contains('@') {
        return Err(Refusal::Url("a URL must not hold a user name or password"));
    }
    let (host, given_port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are inside of its brackets.
        Some((host, digits)) if !digits.contains(']') => (host, canonical_port(digits).ok_or(FORM)?),
        _ => (authority, if scheme == Scheme::Https { 443 } else { 80 }),
    };
    if given_port != port {
        return Err(Refusal::Outside("port"));
    }
    Ok(WholeUrl { host: host.to_ascii_lowercase(), authority, path_and_query })
}

/// Without what Rust's parser would forgive: a sign, leading zeros.
fn canonical_port(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|port: &u16| port.to_string() == digits)
}

fn finish_url(right: &Right, scheme: Scheme, url: &WholeUrl<'_>) -> Result<Uri, Refusal> {
    let target = if url.path_and_query.is_empty() { "/" } else { url.path_and_query };
    check_path(right, target)?;
    let authority =
        url.authority.to_ascii_lowercase().parse().map_err(|_| Refusal::Url("the URL's host is not one"))?;
    build(scheme, authority, target)
}

fn scheme_of(text: &str) -> Scheme {
    Scheme::parse(text).unwrap_or(Scheme::Https)
}

fn authority(host: &str, port: Option<u16>) -> Result<Authority, Refusal> {
    let text = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    text.parse().map_err(|_| Refusal::Url("the endpoint's host is not one"))
}

fn build(scheme: Scheme, authority: Authority, path_and_query: &str) -> Result<Uri, Refusal> {
    let scheme = match scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    };
    let path: PathAndQuery = path_and_query.parse().map_err(|_| Refusal::Path(path::PathError::Character))?;
    // The parser must have kept every byte: what is sent is what was checked.
    if path.as_str() != path_and_query {
        return Err(Refusal::Path(path::PathError::Character));
    }
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
    uri.map_err(|_| Refusal::Path(path::PathError::Character))
}

#[cfg(test)]
mod tests;
