//! Requests that may be sent and those that may not.

use std::collections::BTreeMap;

use super::*;
use crate::grant::{Grant, Need, intersect};

fn right(target: Target) -> Right {
    let need = Need { name: "api".to_owned(), ..Need::default() };
    let rights = intersect(&[need], &BTreeMap::from([("api".to_owned(), Grant::new(target))])).unwrap();
    rights.rights.into_iter().next().unwrap()
}

fn at(right: &Right, target: &str) -> Result<String, Refusal> {
    uri(right, target).map(|uri| uri.to_string())
}

#[test]
fn a_path_is_appended_to_the_base() {
    let base = |url: &str| right(Target::base(url).unwrap());
    for (url, path, whole) in [
        ("https://a.example", "/v1/pods?x=1&y=%2F", "https://a.example/v1/pods?x=1&y=%2F"),
        ("https://a.example/base/", "/v1", "https://a.example/base/v1"),
        ("http://127.0.0.1:9/base", "/", "http://127.0.0.1:9/base/"),
        ("http://[::1]:9", "/x", "http://[::1]:9/x"),
        ("unix:///run/engine.sock", "/v1.41/info", "http://localhost/v1.41/info"),
    ] {
        assert_eq!(at(&base(url), path).unwrap(), whole);
    }
    for whole in ["https://evil.example/x", "//evil.example/x", "https://a.example/v1"] {
        assert!(matches!(at(&base("https://a.example"), whole), Err(Refusal::Path(_))), "{whole}");
    }
}

#[test]
fn methods_that_make_tunnels_or_reflect_are_never_allowed() {
    let right = right(Target::base("https://a.example").unwrap());
    for name in ["CONNECT", "TRACE", "trace", "Track", "G ET", "GET\r\n", ""] {
        assert!(matches!(method(&right, name), Err(Refusal::BadMethod(_))), "{name:?}");
    }
    assert_eq!(method(&right, "PATCH"), Ok(Method::PATCH));
}

#[test]
fn a_range_of_hosts_takes_whole_urls_below_its_suffix() {
    let right = right(Target::hosts("*.atlas.example.com:19390", Scheme::Https).unwrap());
    assert_eq!(
        at(&right, "wss://bridge-1.Atlas.example.com:19390/exec/1?api=2").unwrap(),
        "https://bridge-1.atlas.example.com:19390/exec/1?api=2"
    );
    assert_eq!(at(&right, "https://a.b.atlas.example.com:19390").unwrap(), "https://a.b.atlas.example.com:19390/");
    for (url, why) in [
        ("https://atlas.example.com:19390/", "host"),
        ("https://evilatlas.example.com:19390/", "host"),
        ("https://x.atlas.example.com.evil.example:19390/", "host"),
        ("https://x.atlas.example.com.:19390/", "host"),
        ("https://evil.example%2f.atlas.example.com:19390/", "host"),
        ("https://evil.example\u{ff0f}.atlas.example.com:19390/", "host"),
        ("https://.atlas.example.com:19390/", "host"),
        ("https://127.0.0.1:19390/", "host"),
        ("https://x.atlas.example.com:443/", "port"),
        ("https://x.atlas.example.com/", "port"),
        ("http://x.atlas.example.com:19390/", "scheme"),
    ] {
        assert_eq!(at(&right, url), Err(Refusal::Outside(why)), "{url}");
    }
    for url in [
        "/exec/1",
        "https://user:pass@x.atlas.example.com:19390/",
        "https://evil.example@x.atlas.example.com:19390/",
        "https://x.atlas.example.com:19390\\@evil.example/",
        "https://x.atlas.example.com:19390/a/../b",
        "https://x.atlas.example.com:19390/#f",
        "https://x.atlas.example.com:19390#@evil.example/",
        "https://x.atlas.example.com:+19390/",
        "https://x.atlas.example.com:019390/",
    ] {
        assert!(at(&right, url).is_err(), "{url}");
    }
}

#[test]
fn a_range_of_addresses_takes_canonical_addresses_only() {
    let right = right(Target::addresses("10.244.0.0/16:9100", Scheme::Http).unwrap());
    assert_eq!(at(&right, "http://10.244.3.4:9100/metrics").unwrap(), "http://10.244.3.4:9100/metrics");
    for url in [
        "http://10.245.0.1:9100/",
        "http://183762945:9100/",
        "http://012.244.3.4:9100/",
        "http://0x0a.244.3.4:9100/",
        "http://10.244.772:9100/",
        "http://pod.example.com:9100/",
        "http://[::ffff:10.244.3.4]:9100/",
        "http://10.244.3.4:9100@evil.example/",
        "http://127.0.0.1:9100/",
    ] {
        assert!(at(&right, url).is_err(), "{url}");
    }
}
