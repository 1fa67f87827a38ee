//! What can be wrong with a setting.
//!
//! In: texts of the operator. Out: URLs and texts that requests can be built on. Invariant: a URL that passes sends secrets over TLS,
//! or never leaves this machine (or its hypervisor, for the instance metadata service).

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, Uri, header};

use crate::CredentialError;

/// Where plain http is allowed besides loopback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Nowhere.
    Loopback,
    /// 169.254.0.0/16 and fe80::/10: the instance metadata service, which has no certificate and is not routed.
    LinkLocal,
}

/// An absolute URL that a secret may be sent to.
pub(crate) fn url(what: &'static str, text: &str, plain: Plain) -> Result<Uri, CredentialError> {
    if text.contains('@') {
        // Not repeated: it would end up in a log.
        let reason = "a user name or password cannot be in it";
        return Err(CredentialError::Url { what, url: "…".to_owned(), reason });
    }
    // Secrets end up in queries, and in the place of a URL altogether; neither is repeated.
    let shown = match text.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None if text.contains("://") || text.starts_with('/') => text.to_owned(),
        None => "…".to_owned(),
    };
    let refuse = |reason| CredentialError::Url { what, url: shown.clone(), reason };
    if text.contains('#') {
        return Err(refuse("it has a fragment"));
    }
    let uri: Uri = text.parse().map_err(|_| refuse("it is not a URL"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it is not an absolute URL"))?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if stays_near(host, plain) => Ok(uri),
        Some("http") => Err(refuse("plain http would show the secret to the network: use https")),
        _ => Err(refuse("it must begin with https://")),
    }
}

fn stays_near(host: &str, plain: Plain) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(address) = bare.parse::<IpAddr>() else { return false };
    let link_local = match address {
        IpAddr::V4(address) => Ipv4Addr::is_link_local(&address),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    address.is_loopback() || (plain == Plain::LinkLocal && link_local)
}

/// `base` without its last slash, and `path` after it.
pub(crate) fn join(what: &'static str, base: &str, path: &str, plain: Plain) -> Result<Uri, CredentialError> {
    let refuse = |reason| CredentialError::Url { what, url: base.to_owned(), reason };
    if url(what, base, plain)?.query().is_some() {
        return Err(refuse("it has a query"));
    }
    format!("{}{path}", base.trim_end_matches('/')).parse().map_err(|_| refuse("it is not a URL"))
}

/// A URL as it is told in errors: without its query, which some put keys into.
pub(crate) fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or("http"), uri.path())
}

/// A text that is there and on one line.
pub(crate) fn text(what: &'static str, text: &str) -> Result<(), CredentialError> {
    if text.is_empty() {
        return Err(CredentialError::Setting { what, reason: "it is empty" });
    }
    if text.chars().any(char::is_control) {
        return Err(CredentialError::Setting { what, reason: "it has control characters" });
    }
    Ok(())
}

/// A text of which every character is a letter, a digit or one of `others`.
pub(crate) fn word(what: &'static str, word: &str, others: &str) -> Result<(), CredentialError> {
    text(what, word)?;
    if word.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c)) {
        Ok(())
    } else {
        Err(CredentialError::Setting { what, reason: "it has characters other than letters, digits, `-`, `_` and `.`" })
    }
}

/// A header that a credential may be. Setting one of those here would change where a message ends or who reads it.
pub(crate) fn header(name: &HeaderName) -> Result<(), CredentialError> {
    const FRAMING: [HeaderName; 8] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
    ];
    if FRAMING.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection") {
        return Err(CredentialError::Setting { what: "the header's name", reason: "it frames the message" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_url_is_https_or_stays_on_this_machine() {
        for url in [
            "https://login.example.com/token?x=1",
            "http://127.0.0.1:8080/token",
            "http://[::1]:8080/token",
            "http://localhost/token",
        ] {
            assert!(super::url("url", url, Plain::Loopback).is_ok(), "{url}");
        }
        for (url, reason) in [
            ("http://login.example.com/token", "use https"),
            ("http://localhost.example.com/token", "use https"),
            ("http://169.254.169.254/token", "use https"),
            ("ftp://login.example.com/token", "https://"),
            ("/token", "absolute"),
            ("https://", "not a"),
            ("https://login.example.com/#top", "fragment"),
        ] {
            let text = super::url("url", url, Plain::Loopback).unwrap_err().to_string();
            assert!(text.contains(reason), "{url}: {text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let text = url("the token URL", "https://me:hunter2@example.com/", Plain::Loopback).unwrap_err().to_string();
        assert!(text.contains("password") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_may_be_a_secret_in_the_place_of_a_url_is_not_repeated() {
        for text in ["http://idp.example/t?client_secret=hunter2", "hunter2"] {
            let told = url("the token URL", text, Plain::Loopback).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn the_metadata_service_may_be_link_local_but_not_far() {
        assert!(url("url", "http://169.254.169.254", Plain::LinkLocal).is_ok());
        assert!(url("url", "http://10.0.0.1", Plain::LinkLocal).is_err());
    }

    #[test]
    fn paths_are_put_behind_one_slash() {
        let uri = join("url", "https://login.example.com/", "/tenant/token", Plain::Loopback).unwrap();
        assert_eq!(uri, "https://login.example.com/tenant/token");
        assert_eq!(shown(&"https://h:1/a?key=b".parse().unwrap()), "https://h:1/a");
    }

    #[test]
    fn words_have_no_slashes() {
        assert!(word("tenant", "72f988bf-86f1-41af.example_com", "-._").is_ok());
        assert!(word("tenant", "a/b", "-._").is_err() && word("tenant", "", "-._").is_err());
    }

    #[test]
    fn a_credential_cannot_be_a_header_that_frames_the_message() {
        assert!(header(&HeaderName::from_static("x-api-key")).is_ok());
        assert!(header(&header::HOST).is_err() && header(&header::CONTENT_LENGTH).is_err());
    }
}
