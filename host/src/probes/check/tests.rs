//! Probes as they are written in pods.

use serde_json::{Value, json};

use super::*;

fn check(probe: Value) -> Check {
    let container = json!({ "name": "c", "ports": [
        { "name": "http", "containerPort": 8080 }, { "name": "dns", "containerPort": 53, "protocol": "UDP" },
    ] });
    Check::of(&serde_json::from_value(probe).unwrap(), &serde_json::from_value(container).unwrap())
}

fn get(probe: Value) -> HttpGet {
    match check(json!({ "httpGet": probe })) {
        Check::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_is_a_number_a_name_of_the_container_or_a_number_in_quotes() {
    let tcp = |port: Value| check(json!({ "tcpSocket": { "port": port } }));
    assert_eq!(tcp(json!(80)), Check::Tcp { host: None, port: 80 });
    assert_eq!(tcp(json!("http")), Check::Tcp { host: None, port: 8080 });
    assert_eq!(tcp(json!("9090")), Check::Tcp { host: None, port: 9090 });
    assert_eq!(tcp(json!("metrics")), Check::Impossible("the container has no port named \"metrics\"".to_owned()));
    for wrong in [0, -1, 65536] {
        assert_eq!(tcp(json!(wrong)), Check::Impossible(format!("invalid port number: {wrong}")));
    }
}

#[test]
fn the_handlers_are_read() {
    assert_eq!(check(json!({})), Check::Impossible("the probe has no handler".to_owned()));
    assert_eq!(
        check(json!({ "exec": { "command": ["cat", "/tmp/healthy"] } })),
        Check::Command(vec!["cat".to_owned(), "/tmp/healthy".to_owned()])
    );
    assert_eq!(check(json!({ "grpc": { "port": 2379 } })), Check::Grpc { port: 2379, service: String::new() });
    assert_eq!(
        check(json!({ "grpc": { "port": 1, "service": "liveness" } })),
        Check::Grpc { port: 1, service: "liveness".to_owned() }
    );
    assert_eq!(
        check(json!({ "tcpSocket": { "host": "10.1.1.1", "port": 1 } })),
        Check::Tcp { host: Some("10.1.1.1".to_owned()), port: 1 }
    );
    assert!(get(json!({ "port": 1, "scheme": "HTTPS" })).tls);
}

#[test]
fn a_request_has_the_headers_of_a_kubelet_and_those_of_its_author() {
    let plain = get(json!({ "port": 1 }));
    assert_eq!(plain.headers.get("user-agent").unwrap(), "kube-probe/1.37");
    assert_eq!(plain.headers.get("accept").unwrap(), "*/*");
    assert_eq!(plain.headers.len(), 2);

    let own = get(json!({ "port": 1, "httpHeaders": [
        { "name": "User-Agent", "value": "mine" }, { "name": "Accept", "value": "" },
        { "name": "X-A", "value": "1" }, { "name": "x-a", "value": "2" }, { "name": "Host", "value": "shop.example" },
    ] }));
    assert_eq!(own.headers.get("user-agent").unwrap(), "mine");
    assert_eq!(own.headers.get("accept"), None, "written empty, none is sent");
    assert_eq!(own.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((own.virtual_host.as_deref(), own.headers.get("host")), (Some("shop.example"), None));
}

#[test]
fn headers_that_frame_a_request_are_not_the_authors() {
    let framing = get(json!({ "port": 1, "httpHeaders": [
        { "name": "Transfer-Encoding", "value": "chunked" }, { "name": "Content-Length", "value": "5" },
        { "name": "Connection", "value": "keep-alive" }, { "name": "Upgrade", "value": "h2c" },
    ] }));
    assert_eq!(framing.headers.len(), 2);
}

#[test]
fn headers_that_cannot_be_sent_make_a_check_impossible() {
    let with = |headers: Value| check(json!({ "httpGet": { "port": 1, "httpHeaders": headers } }));
    let many = vec![json!({ "name": "X-A", "value": "1" }); 65];
    assert_eq!(with(json!(many)), Check::Impossible("65 headers are too many: at most 64 are sent".to_owned()));
    assert_eq!(
        with(json!([{ "name": "X-A", "value": "a\r\nX-B: b" }])),
        Check::Impossible("the value of the header x-a cannot be sent".to_owned())
    );
    assert_eq!(
        with(json!([{ "name": "X A", "value": "1" }])),
        Check::Impossible("\"X A\" is not the name of a header".to_owned())
    );
}

#[test]
fn a_command_is_expanded_with_the_literal_variables_of_its_container_alone() {
    let container = json!({ "name": "c", "env": [
        { "name": "FILE", "value": "/tmp/healthy" }, { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
    ] });
    let probe = json!({ "exec": { "command": ["cat", "$(FILE)", "$$(FILE)", "$(IP)", "$(NOPE)"] } });
    let check = Check::of(&serde_json::from_value(probe).unwrap(), &serde_json::from_value(container).unwrap());
    let words = ["cat", "/tmp/healthy", "$(FILE)", "$(IP)", "$(NOPE)"];
    assert_eq!(check, Check::Command(words.map(str::to_owned).to_vec()));
}
