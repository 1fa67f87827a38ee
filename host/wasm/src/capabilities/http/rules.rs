//! What a guest may put into a request.
//!
//! In: method, path and headers as the guest wrote them. Out: the parts of a request, or `denied`. Invariant: the result stays under
//! the base URL, and the guest decides neither the framing of the request nor who is asked. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;

use crate::bindings::pluglet::provider::http::HttpError;

/// Headers that are the host's business: who is asked (`host`), and how the message is framed and the connection used. A guest that
/// sets them could smuggle a second request into a connection that others share.
const DENIED_HEADERS: [&str; 8] =
    ["host", "connection", "transfer-encoding", "content-length", "upgrade", "te", "trailer", "keep-alive"];

/// Headers of one request, in number. Each becomes an allocation of the host.
const MAX_HEADERS: usize = 128;

/// Longest path and query in bytes. Servers refuse more than 8 KiB as a rule.
const MAX_PATH_BYTES: usize = 16 << 10;

/// The base URL with path and query of the request.
pub(super) fn url(base: &Url, path_and_query: &str) -> Result<Url, HttpError> {
    if path_and_query.len() > MAX_PATH_BYTES {
        return Err(HttpError::Denied(format!("the path is longer than {MAX_PATH_BYTES} bytes")));
    }
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    check_path(path_and_query, path)?;
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    // The parser drops what it takes for `.` and `..`. Nothing of that kind is left here; if it ever thinks otherwise, refuse.
    if url.path().matches('/').count()
        != base.path().trim_end_matches('/').matches('/').count() + path.matches('/').count()
    {
        return Err(HttpError::Denied("the path does not stay as it is when it is normalised".to_owned()));
    }
    Ok(url)
}

fn check_path(whole: &str, path: &str) -> Result<(), HttpError> {
    let denied = |why: &str| Err(HttpError::Denied(why.to_owned()));
    if !path.starts_with('/') || path.starts_with("//") {
        return denied("a path must start with one `/`; the endpoint decides scheme and host");
    }
    if whole.chars().any(|c| c.is_control() || c.is_whitespace() || c == '#') {
        return denied("a path must not hold control characters, white space or `#`");
    }
    // A backend may decode what a proxy or this check does not, so the decoded form counts.
    let decoded = decode(path);
    if decoded.split(['/', '\\']).any(|segment| segment == ".." || segment == ".") {
        return denied("a path must not hold `.` or `..` segments, also not encoded ones");
    }
    if decoded.contains(['\0', '\r', '\n']) {
        return denied("a path must not hold encoded control characters");
    }
    Ok(())
}

/// Percent-decoding as far as the check needs it: dots, slashes, backslashes and the dangerous control characters, twice over
/// (`%252e`) because some backends decode twice.
fn decode(path: &str) -> String {
    let mut text = path.to_owned();
    for _ in 0..2 {
        for (code, plain) in [
            ("%2e", "."),
            ("%2E", "."),
            ("%2f", "/"),
            ("%2F", "/"),
            ("%5c", "\\"),
            ("%5C", "\\"),
            ("%00", "\0"),
            ("%25", "%"),
        ] {
            text = text.replace(code, plain);
        }
        for (code, plain) in [("%0d", "\r"), ("%0D", "\r"), ("%0a", "\n"), ("%0A", "\n")] {
            text = text.replace(code, plain);
        }
    }
    text
}

/// The method. `CONNECT` would make a tunnel of the connection and `TRACE` sends headers back; neither is a request to a backend.
pub(super) fn method(method: &str) -> Result<Method, HttpError> {
    match Method::from_bytes(method.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err(HttpError::Denied(format!("the method {method} is not allowed"))),
        Ok(method) => Ok(method),
        Err(_) => Err(HttpError::Denied("the method is not a token".to_owned())),
    }
}

/// The headers.
pub(super) fn headers(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    if headers.len() > MAX_HEADERS {
        return Err(HttpError::Denied(format!("more than {MAX_HEADERS} headers")));
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let bad = |what: &str| HttpError::Denied(format!("the {what} of a header is not valid HTTP"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("name"))?;
        if DENIED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
            return Err(HttpError::Denied(format!("the header `{name}` is the host's business")));
        }
        map.append(name, HeaderValue::from_str(value).map_err(|_| bad("value"))?);
    }
    Ok(map)
}

/// The headers of an answer. Bytes that are not UTF-8 are replaced: the contract has text.
pub(super) fn answered(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str, path: &str) -> Result<String, HttpError> {
        url(&Url::parse(base).unwrap(), path).map(|url| url.to_string())
    }

    #[test]
    fn a_path_is_appended_to_the_base() {
        assert_eq!(at("https://a.example", "/v1/pods?x=1&y=%2F").unwrap(), "https://a.example/v1/pods?x=1&y=%2F");
        assert_eq!(at("https://a.example/base/", "/v1").unwrap(), "https://a.example/base/v1");
        assert_eq!(at("http://127.0.0.1:9/base", "/").unwrap(), "http://127.0.0.1:9/base/");
        assert_eq!(at("https://a.example", "/images/a%2Fb/json").unwrap(), "https://a.example/images/a%2Fb/json");
        assert_eq!(at("https://a.example", "/v1.2/a..b/...").unwrap(), "https://a.example/v1.2/a..b/...");
    }

    #[test]
    fn nothing_leaves_the_base() {
        for path in [
            "",
            "v1",
            "//evil.example/x",
            "https://evil.example/",
            "@evil.example",
            "/a/../b",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/..",
            "/a/..%2f..%2fetc",
            "/a\\..\\b",
            "/a/%5c..%5cb",
            "/a/./b",
            "/a/%252e%252e/b",
            "/a b",
            "/a\r\nhost: evil",
            "/a%0d%0ab",
            "/a#b",
            "/a%00b",
            "/a?x=\n",
        ] {
            assert!(matches!(at("https://a.example/base", path), Err(HttpError::Denied(_))), "{path:?}");
        }
    }

    #[test]
    fn headers_that_frame_the_message_are_denied() {
        for name in ["Host", "content-length", "Transfer-Encoding", "Proxy-Authorization", "TE", "bad name"] {
            assert!(headers(&[(name.to_owned(), "x".to_owned())]).is_err(), "{name}");
        }
        assert!(headers(&[("x-a".to_owned(), "b\r\nhost: evil".to_owned())]).is_err());
        let map = headers(&[("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]).unwrap();
        assert_eq!(map.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn a_tunnel_is_not_a_method() {
        assert!(method("CONNECT").is_err());
        assert!(method("G ET").is_err());
        assert_eq!(method("PATCH").unwrap(), Method::PATCH);
    }
}
