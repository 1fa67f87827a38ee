//! One endpoint: where it leads, what may be asked for there, and what it may use up.
//!
//! In: a mapping under `endpoints`. Out: a [`Grant`]. Invariant: a grant comes out only if nothing in the mapping is wrong; what is not said has
//! the default of `pluglet-egress`.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Method;
use pluglet_egress::{EndpointLimits, Grant, Scheme, Target};

use super::fields::{Field, Fields};
use super::report::{nearest, quoted};
use super::{Environment, auth, tls};

/// A shorter time would not reach another machine; a longer one is a stream and has `idleTimeout`.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// To a week: some follow a log for days in which nothing happens.
const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// Requests in a second.
const RATE: RangeInclusive<u64> = 1..=100_000;

/// Each request under way has a connection or a stream of one.
const CONCURRENCY: RangeInclusive<u64> = 1..=4096;

/// An answer is held in memory whole.
const RESPONSE: RangeInclusive<u64> = 1 << 10..=1 << 30;

/// Bodies that flow through cost no memory.
const STREAM: RangeInclusive<u64> = 1 << 10..=1 << 50;

/// Methods that are known here, for "did you mean". Others are allowed.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Names as manifests have them. They become labels of metrics.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Reads one endpoint. `answer_room` is how much of answers the provider may have in memory.
pub(super) fn read(field: &Field<'_>, answer_room: usize, environment: Environment<'_>) -> Option<Grant> {
    let before = field.report.len();
    let mut fields = field.fields()?;
    for key in ["caFile", "certificateFile", "keyFile", "serverName", "systemRoots"] {
        fields.advise(key, &format!("moved to tls.{key}"));
    }
    for kind in ["bearer", "basic", "header", "oauth2", "awsSigV4", "tokenFile", "passwordFile"] {
        fields.advise(kind, &format!("belongs under `auth`, such as auth: {}", auth::example(kind)));
    }
    let target = target(&mut fields);
    let is_tls = target.as_ref().is_none_or(Target::is_tls);
    let methods = fields.take("methods").map(|field| methods(&field));
    let path_prefixes = fields.take("pathPrefixes").map(|field| prefixes(&field)).unwrap_or_default();
    let flag = |fields: &mut Fields<'_>, key| fields.take(key).and_then(|field| field.flag()).unwrap_or(false);
    let (websocket, upgrade) = (flag(&mut fields, "websocket"), flag(&mut fields, "upgrade"));
    let private_addresses = flag(&mut fields, "privateAddresses");
    let auth = fields.take("auth").and_then(|field| {
        let credential = auth::read(&field, environment);
        if let Some(target) = target.as_ref().filter(|target| in_the_clear(target)) {
            field.wrong(format!(
                "the credential would go over the wire in the clear to {target}; use https, or an address of this machine"
            ));
        }
        credential
    });
    let (tls, server_name) = fields.take("tls").map(|field| tls::read(&field, is_tls)).unwrap_or_default();
    let limits = limits(&mut fields, answer_room);
    fields.finish();
    if field.report.len() > before {
        return None;
    }
    let mut grant = Grant::new(target?);
    grant.methods = methods;
    grant.path_prefixes = path_prefixes;
    grant.websocket = websocket;
    grant.upgrade = upgrade;
    grant.private_addresses = private_addresses;
    grant.auth = auth;
    grant.tls = tls;
    grant.server_name = server_name;
    grant.limits = limits;
    Some(grant)
}

/// Exactly one of `url`, `hosts` and `addresses`.
fn target(fields: &mut Fields<'_>) -> Option<Target> {
    let given: Vec<Field<'_>> = ["url", "hosts", "addresses"].into_iter().filter_map(|key| fields.take(key)).collect();
    let scheme_field = fields.take("scheme");
    let scheme = scheme_field.as_ref().and_then(scheme).unwrap_or(Scheme::Https);
    let [field] = given.as_slice() else {
        match given.split_first() {
            // `ulr` is told as what it is.
            None if fields.resembles(&["url", "hosts", "addresses"]) => {}
            None => fields.wrong("has no target: write one of `url`, `hosts` and `addresses`"),
            Some(_) => {
                given.iter().for_each(|field| field.wrong("only one of `url`, `hosts` and `addresses` can be written"))
            }
        }
        return None;
    };
    let text = field.text()?;
    let target = if field.path.ends_with(".url") {
        if let Some(scheme) = &scheme_field {
            scheme.wrong("belongs to `hosts` and `addresses`; a url has its own");
        }
        Target::base(text)
    } else if field.path.ends_with(".hosts") {
        Target::hosts(text, scheme)
    } else {
        Target::addresses(text, scheme)
    };
    // Its text never holds the value: a URL with a password in it would end up in a log.
    target.map_err(|error| field.wrong(error.to_string())).ok()
}

fn scheme(field: &Field<'_>) -> Option<Scheme> {
    match field.text()? {
        "https" => Some(Scheme::Https),
        "http" => Some(Scheme::Http),
        other => {
            field.wrong(format!("{} is no scheme: write https or http", quoted(other)));
            None
        }
    }
}

/// Whether what goes there can be read on the way.
fn in_the_clear(target: &Target) -> bool {
    match target {
        Target::Unix(_) => false,
        Target::Base(url) => {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let loopback =
                host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
            !target.is_tls() && !loopback
        }
        Target::Addresses { network, .. } => !target.is_tls() && !network.addr().is_loopback(),
        Target::Hosts { .. } => !target.is_tls(),
    }
}

fn methods(field: &Field<'_>) -> Vec<Method> {
    let mut methods: Vec<Method> = vec![];
    for item in field.list().unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        let upper = text.to_ascii_uppercase();
        match Method::from_bytes(text.as_bytes()) {
            Ok(Method::CONNECT | Method::TRACE) => item.wrong(format!("{text} is never allowed")),
            Ok(method) if methods.contains(&method) => item.wrong(format!("{text} is there twice")),
            Ok(method) if text == upper => methods.push(method),
            _ => match nearest(&upper, METHODS) {
                Some(known) => item.wrong(format!("{} is no method; did you mean `{known}`?", quoted(text))),
                None => item.wrong(format!("{} is no method: methods are capital letters, such as GET", quoted(text))),
            },
        }
    }
    methods
}

fn prefixes(field: &Field<'_>) -> Vec<String> {
    let mut prefixes: Vec<String> = vec![];
    for item in field.list().unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        match wrong_prefix(text) {
            Some(why) => item.wrong(format!("{} {why}", quoted(text))),
            None => prefixes.push(text.to_owned()),
        }
    }
    prefixes
}

/// Why a prefix could never be that of a path that passes the checks of `pluglet-egress`. A prefix that matches nothing would be
/// noticed only when requests are refused.
fn wrong_prefix(text: &str) -> Option<&'static str> {
    let Some(segments) = text.strip_prefix('/') else { return Some("must start with `/`") };
    if text.contains('*') {
        return Some("has a wildcard: a prefix stands for all that is below it already");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@/%".contains(&byte)) {
        return Some("has a character that cannot be in a path (a query belongs to the request)");
    }
    let segments: Vec<&str> = segments.trim_end_matches('/').split('/').collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Some("has a `.` or `..` segment");
    }
    if text.contains("//") {
        return Some("has an empty segment (`//`)");
    }
    let encoded = text.match_indices('%').map(|(at, _)| text.get(at + 1..at + 3).unwrap_or_default());
    let hidden = |digits: &str| match u8::from_str_radix(digits, 16) {
        Ok(code) => digits.starts_with('+') || code < 0x20 || b"./\\%\x7f".contains(&code),
        Err(_) => true,
    };
    encoded.into_iter().any(hidden).then_some("has an encoding that no path may have")
}

fn limits(fields: &mut Fields<'_>, answer_room: usize) -> EndpointLimits {
    let mut limits = EndpointLimits::default();
    // What the operator did not write follows what was written.
    limits.max_response_bytes = limits.max_response_bytes.min(answer_room);
    if let Some(timeout) = fields.take("timeout").and_then(|field| field.duration(TIMEOUT)) {
        limits.timeout = timeout;
    }
    if let Some(idle) = fields.take("idleTimeout").and_then(|field| field.duration(IDLE)) {
        limits.idle_timeout = idle;
    }
    if let Some(rate) = fields.take("rate").and_then(|field| field.count(RATE)) {
        limits.requests_per_second = u32::try_from(rate).ok().and_then(NonZeroU32::new);
    }
    if let Some(calls) = fields.take("concurrency").and_then(|field| field.count(CONCURRENCY)) {
        limits.concurrency = usize::try_from(calls).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = fields.take("maxRequest").and_then(|field| field.size(0..=*STREAM.end())) {
        limits.max_request_bytes = bytes;
    }
    if let Some(field) = fields.take("maxResponse")
        && let Some(bytes) = field.size(RESPONSE)
    {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > answer_room {
            field.wrong("is more than limits.bodyBytes, so that no such answer could ever be taken");
        }
        limits.max_response_bytes = bytes;
    }
    if let Some(bytes) = fields.take("maxStream").and_then(|field| field.size(STREAM)) {
        limits.max_stream_bytes = bytes;
    }
    limits
}
