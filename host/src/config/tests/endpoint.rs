//! One endpoint.

use http::Method;
use pluglet_egress::EndpointLimits;

use super::*;

fn with(fields: &str) -> String {
    format!("endpoints:\n  api:\n    url: https://api.example.com\n    {fields}\n")
}

fn grant(text: &str) -> Grant {
    ok(text).grants.remove("api").unwrap()
}

#[test]
fn a_url_is_enough() {
    let expected = Grant::new(Target::base("https://api.example.com").unwrap());
    assert_eq!(grant(&with("")), expected);
}

#[test]
fn everything_can_be_said() {
    let grant = grant(
        "endpoints:\n  api:\n    hosts: \"*.atlas.example.com:19390\"\n    scheme: https\n    methods: [GET, PUT, PURGE]\n    \
         pathPrefixes: [/subscriptions/xyz, /]\n    websocket: true\n    upgrade: true\n    privateAddresses: true\n    \
         timeout: 10s\n    idleTimeout: 1h\n    rate: 20\n    concurrency: 5\n    maxRequest: 1Mi\n    maxResponse: 2Mi\n    maxStream: 1Gi\n",
    );
    assert_eq!(grant.target.to_string(), "https://*.atlas.example.com:19390");
    assert_eq!(grant.methods, Some(vec![Method::GET, Method::PUT, Method::from_bytes(b"PURGE").unwrap()]));
    assert_eq!(grant.path_prefixes, ["/subscriptions/xyz", "/"]);
    assert!(grant.websocket && grant.upgrade && grant.private_addresses);
    let limits = EndpointLimits {
        timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(3600),
        requests_per_second: std::num::NonZeroU32::new(20),
        concurrency: 5,
        max_request_bytes: 1 << 20,
        max_response_bytes: 2 << 20,
        max_stream_bytes: 1 << 30,
    };
    assert_eq!(grant.limits, limits);
    let pods =
        ok("endpoints: { pods: { addresses: \"10.244.0.0/16:9100\", scheme: http } }").grants.remove("pods").unwrap();
    assert_eq!(pods.target.to_string(), "http://[10.244.0.0/16]:9100");
}

#[test]
fn there_is_exactly_one_target() {
    assert_eq!(
        mistake("endpoints:\n  api:\n    websocket: true\n"),
        "pluglet.yaml:2:3: endpoints.api: has no target: write one of `url`, `hosts` and `addresses`"
    );
    let both = mistakes(&with("hosts: \"*.example.com:1\""));
    assert_eq!(both.len(), 2);
    assert!(both[0].starts_with("pluglet.yaml:3:10: endpoints.api.url: only one of"), "{both:?}");
    let scheme = mistake(&with("scheme: https"));
    assert_eq!(
        scheme,
        "pluglet.yaml:4:13: endpoints.api.scheme: belongs to `hosts` and `addresses`; a url has its own"
    );
}

#[test]
fn a_wrong_target_is_told_without_repeating_it() {
    for (target, why) in [
        ("url: https://me:hunter2@api.example.com", "has a user name or password"),
        ("url: api.example.com", "is not a URL"),
        ("url: https://api.example.com?key=hunter2", "has a query"),
        ("url: http://169.254.169.254", "no provider may reach"),
        ("hosts: \"*.com:443\"", "at least two labels"),
        ("addresses: 10.0.0.0:80", "a network, and a port"),
        ("url: 8080", "must be a text, not a number: put it in quotes"),
        ("url:", "has no value: it must be a text"),
        ("url: \"\"", "is empty"),
    ] {
        let told = mistake(&format!("endpoints:\n  api:\n    {target}\n"));
        assert!(
            told.starts_with("pluglet.yaml:3:") && told.contains(why) && !told.contains("hunter2"),
            "{target}: {told}"
        );
    }
}

#[test]
fn wrong_values_are_told_where_they_are() {
    for (fields, place, why) in [
        ("timeout: soon", "4:14: endpoints.api.timeout: ", "\"soon\" is no duration such as 500ms, 30s or 5m"),
        ("timeout: 2h", "4:14: endpoints.api.timeout: ", "is too large: at most 1h"),
        ("rate: 0", "4:11: endpoints.api.rate: ", "too small: at least 1"),
        ("rate: 0.5", "4:11: endpoints.api.rate: ", "0.5 is no whole number"),
        ("websocket: yes", "4:16: endpoints.api.websocket: ", "must be true or false, not a text"),
        ("maxResponse: 256Mi", "4:18: endpoints.api.maxResponse: ", "more than limits.bodyBytes"),
        ("methods: GET", "4:14: endpoints.api.methods: ", "must be a list, not a text"),
        ("methods: []", "4:14: endpoints.api.methods: ", "an empty list"),
        ("methods: [GET, get]", "4:20: endpoints.api.methods[1]: ", "did you mean `GET`?"),
        ("methods: [GET, GET]", "4:20: endpoints.api.methods[1]: ", "GET is there twice"),
        ("methods: [CONNECT]", "4:15: endpoints.api.methods[0]: ", "never allowed"),
        ("methods: [5]", "4:15: endpoints.api.methods[0]: ", "must be a text"),
        ("pathPrefixes: [v1]", "4:20: endpoints.api.pathPrefixes[0]: ", "must start with `/`"),
        ("pathPrefixes: [/a/../b]", "4:20: ", "`.` or `..`"),
        ("pathPrefixes: [/a//b]", "4:20: ", "empty segment"),
        ("pathPrefixes: [//]", "4:20: ", "empty segment"),
        ("pathPrefixes: [/a/*]", "4:20: ", "wildcard"),
        ("pathPrefixes: [/a?b=c]", "4:20: ", "a character"),
        ("pathPrefixes: [/a%2fb]", "4:20: ", "an encoding"),
        ("pathPrefixes: [/a%2]", "4:20: ", "an encoding"),
        ("caFile: /etc/ca.crt", "4:5: endpoints.api.caFile: ", "moved to tls.caFile"),
        ("bearer: { tokenFile: /x }", "4:5: endpoints.api.bearer: ", "auth: { bearer: { tokenFile: PATH } }"),
        ("auht: {}", "4:5: endpoints.api.auht: ", "did you mean `auth`?"),
    ] {
        let told = mistake(&with(fields));
        assert!(told.starts_with(&format!("pluglet.yaml:{place}")) && told.contains(why), "{fields}: {told}");
    }
}

#[test]
fn answers_follow_the_room_for_them_unless_the_operator_says_otherwise() {
    let text = "limits: { bodyBytes: 2Mi }\nendpoints: { api: { url: https://a.example } }\n";
    assert_eq!(grant(text).limits.max_response_bytes, 2 << 20);
}

#[test]
fn tls_is_for_endpoints_that_speak_it_and_needs_whole_pairs() {
    let files = Files::new();
    for (tls, why) in [
        ("{ certificateFile: @/token }", "tls.certificateFile: needs `keyFile`"),
        ("{ keyFile: @/token }", "tls.keyFile: needs `certificateFile`"),
        ("{ systemRoots: false }", "tls.systemRoots: without the system's authorities"),
        ("{ caFile: @/token }", "endpoints.api.tls: "),
        ("{ caFile: /no/such/file }", "tls.caFile: this file cannot be read: No such file"),
        ("{ caFile: / }", "tls.caFile: must be the path of a regular file"),
        ("{ serverName: \"a b\" }", "tls.serverName: \"a b\" is no name of a server"),
        ("{ ca: @/token }", "tls.ca: is not written into this file: write the path of a file as `caFile`"),
        ("[]", "tls: must be a mapping, not a list"),
    ] {
        let told = mistake(&with(&files.named(&format!("tls: {tls}"))));
        assert!(told.contains(why), "{tls}: {told}");
    }
    let told = mistake("endpoints: { api: { url: http://a.example, tls: { serverName: b.example } } }");
    assert!(told.contains("does not speak TLS"), "{told}");
    let tls =
        "tls: { serverName: b.example, caFile: @/pem, systemRoots: false, certificateFile: @/pem, keyFile: @/pem }";
    let grant = grant(&with(&files.named(tls)));
    assert_eq!(grant.server_name.as_deref(), Some("b.example"));
    assert_eq!(grant.tls.ca_file, Some(files.path("pem")));
    assert!(grant.tls.client_certificate.is_some() && !grant.tls.system_roots);
}
