//! Headers: which a provider may send, and which it gets to see.
//!
//! In: headers as the provider wrote them, headers of an answer. Out: a [`HeaderMap`], or a [`HeaderError`]; pairs of text. Invariant: the
//! provider decides neither who is asked, nor how a message is framed, nor what the connection is used for, nor who it is. Pure.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers that are the host's business in each request and its trailers: who is asked, how the message is framed, what the connection is used
/// for. A provider that set them could smuggle a second request into a connection. `http2-settings` starts an upgrade of its own,
/// `forwarded` and its like (all of `x-forwarded-`) claim to be somebody else, `expect` makes the body wait for an answer that is not passed on,
/// `x-http-method-override` and its like ask for a method that was not checked, and `x-original-url` and its like for another path.
const DENIED: [&str; 29] = [
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "te",
    "upgrade",
    "http2-settings",
    "expect",
    "via",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-forwarded",
    "x-host",
    "x-original-host",
    "x-ssl-client-cert",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "alt-used",
    "sec-websocket-key",
    "sec-websocket-accept",
    "sec-websocket-version",
    "sec-websocket-extensions",
];

/// Headers that mean something only at the head of a message; in trailers they would come after the decision (RFC 9110 section 6.5.1).
const NOT_IN_TRAILERS: [&str; 11] = [
    "trailer",
    "max-forwards",
    "authorization",
    "cookie",
    "set-cookie",
    "content-encoding",
    "content-type",
    "content-range",
    "cache-control",
    "range",
    "if-match",
];

/// Headers of one message, in number. Each becomes an allocation of the host.
const MAX_HEADERS: usize = 128;

/// Names and values of one message together, in bytes. Servers refuse more than 8 to 64 KiB as a rule.
const MAX_BYTES: usize = 64 << 10;

/// Headers of a connection, not of a message (RFC 9110 section 7.6.1): not passed on.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of an answer that are made from the host's credential, or ask for one: the provider has nothing to do with either.
const CREDENTIAL_ANSWERS: [&str; 4] =
    ["set-cookie", "www-authenticate", "authentication-info", "proxy-authentication-info"];

/// Why headers are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Too many of them.
    #[error("more than {MAX_HEADERS} headers, or more than {} KiB of them", MAX_BYTES >> 10)]
    TooMany,
    /// A name that is no token.
    #[error("the name of a header is not valid HTTP")]
    Name,
    /// A value with control characters.
    #[error("the value of the header `{0}` is not valid HTTP")]
    Value(HeaderName),
    /// One that the host sets.
    #[error("the header `{0}` is the host's business")]
    Denied(HeaderName),
    /// One that the head of the message does not name.
    #[error("the trailer `{0}` was not announced in the header `trailer`")]
    Unannounced(HeaderName),
    /// One that may not come late.
    #[error("the header `{0}` cannot be a trailer")]
    Trailer(HeaderName),
}

/// Headers of a request. `owned` are those that the credential sets.
pub(crate) fn request(pairs: &[(String, String)], owned: &[HeaderName]) -> Result<HeaderMap, HeaderError> {
    let map = parse(pairs, owned)?;
    // HTTP/1.1 sends only the trailers that were announced; nothing can be announced that could not be sent.
    for name in listed(&map) {
        let pair = (name.to_owned(), String::new());
        trailers(&[pair], owned)?;
    }
    Ok(map)
}

/// The trailers that the head of a message names.
pub(crate) fn announced(head: &HeaderMap) -> Vec<HeaderName> {
    listed(head).filter_map(|name| name.parse().ok()).collect()
}

fn listed(head: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = head.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Trailers of a request.
pub(crate) fn trailers(pairs: &[(String, String)], owned: &[HeaderName]) -> Result<HeaderMap, HeaderError> {
    let map = parse(pairs, owned)?;
    match map.keys().find(|name| NOT_IN_TRAILERS.contains(&name.as_str())) {
        Some(name) => Err(HeaderError::Trailer(name.clone())),
        None => Ok(map),
    }
}

fn parse(pairs: &[(String, String)], owned: &[HeaderName]) -> Result<HeaderMap, HeaderError> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if pairs.len() > MAX_HEADERS || bytes > MAX_BYTES {
        return Err(HeaderError::TooMany);
    }
    let mut map = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Name)?;
        if is_denied(&name, owned) {
            return Err(HeaderError::Denied(name));
        }
        // `from_str` lets visible ASCII and tabs through, nothing else: no CR, LF or NUL.
        let value = HeaderValue::from_str(value).map_err(|_| HeaderError::Value(name.clone()))?;
        map.append(name, value);
    }
    Ok(map)
}

/// Whether the name is the host's. Underscores count as hyphens: gateways of the CGI kind take both for the same.
fn is_denied(name: &HeaderName, owned: &[HeaderName]) -> bool {
    let name = name.as_str().replace('_', "-");
    DENIED.contains(&name.as_str())
        || name.starts_with("proxy-")
        || name.starts_with("x-forwarded-")
        || owned.iter().any(|owned| owned.as_str() == name)
        || (!owned.is_empty() && is_denied_beside_credentials(&name))
}

/// With the host's credential a request must not be somebody else's (Kubernetes and gateways take these for the caller), and an answer must
/// come whole: parts of it could show parts of the credential, which nobody would recognise.
fn is_denied_beside_credentials(name: &str) -> bool {
    ["impersonate-", "x-remote-"].iter().any(|prefix| name.starts_with(prefix)) || ["range", "if-range"].contains(&name)
}

/// What the provider gets to see of an answer's headers or trailers. With a credential also without what came of it.
pub(crate) fn answered(mut headers: HeaderMap, credential: bool) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let dropped = if credential { CREDENTIAL_ANSWERS.as_slice() } else { &[] };
    for name in HOP_BY_HOP.iter().chain(dropped) {
        headers.remove(*name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_that_frame_the_message_or_name_its_sender_are_denied() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "TE",
            "Upgrade",
            "X-HTTP-Method-Override",
            "Forwarded",
        ] {
            assert!(matches!(request(&[pair(name, "x")], &[]), Err(HeaderError::Denied(_))), "{name}");
            assert!(matches!(trailers(&[pair(name, "x")], &[]), Err(HeaderError::Denied(_))), "{name}");
            assert!(matches!(request(&[pair("trailer", name)], &[]), Err(HeaderError::Denied(_))), "{name}");
        }
    }

    #[test]
    fn what_would_break_out_of_a_header_is_not_one() {
        for (name, value) in [("x-a", "b\r\nhost: evil"), ("x-a", "b\n c"), ("x-a", "b\0"), ("x a", "b"), ("x-a:", "b")]
        {
            assert!(request(&[pair(name, value)], &[]).is_err(), "{name:?}: {value:?}");
        }
        assert_eq!(request(&vec![pair("x-a", "b"); MAX_HEADERS + 1], &[]), Err(HeaderError::TooMany));
        assert_eq!(request(&[pair("x-a", &"b".repeat(MAX_BYTES))], &[]), Err(HeaderError::TooMany));
    }

    #[test]
    fn a_header_that_the_credential_sets_is_not_the_providers() {
        let mine = [pair("Authorization", "Bearer mine")];
        assert!(request(&mine, &[]).is_ok(), "without a credential of the host it may bring its own");
        assert!(matches!(request(&mine, &[header::AUTHORIZATION]), Err(HeaderError::Denied(_))));
        assert!(matches!(trailers(&mine, &[]), Err(HeaderError::Trailer(_))));
        for name in ["Impersonate-User", "X-Remote-User", "Range"] {
            assert!(request(&[pair(name, "x")], &[]).is_ok(), "{name}");
            let beside = request(&[pair(name, "x")], &[header::AUTHORIZATION]);
            assert!(matches!(beside, Err(HeaderError::Denied(_))), "{name}");
        }
    }

    #[test]
    fn repeated_headers_are_kept() {
        let map = request(&[pair("X-A", "1"), pair("x-a", "2")], &[]).unwrap();
        assert_eq!(map.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn headers_of_the_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "session=1"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let plain = answered(headers.clone(), false);
        assert_eq!(plain.len(), 2);
        let with_credential = answered(headers, true);
        assert_eq!(with_credential.keys().collect::<Vec<_>>(), ["x-kept"]);
    }
}
