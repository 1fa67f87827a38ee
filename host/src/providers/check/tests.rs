//! Checks of providers that exist on paper only.

use std::path::PathBuf;

use pluglet_wasm::{Inspection, Manifest};
use serde_json::json;

use super::*;
use crate::config;

fn found(endpoints: &serde_json::Value) -> Found {
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "acme", "version": "1.2.3", "endpoints": endpoints, "configSchema": { "type": "object" },
    }))
    .unwrap();
    let inspection =
        Inspection { manifest: Some(manifest), contract: "0.1.0".to_owned(), imports: vec![], size: 1 << 20 };
    Found { name: "acme".to_owned(), path: PathBuf::from("plugins/acme.wasm"), inspection }
}

fn config(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let document = config::Document::open(Some(file.path())).unwrap();
    document.read(&[], None).unwrap_or_else(|error| panic!("{error}"))
}

fn needs() -> serde_json::Value {
    json!([
        { "name": "api", "why": "the API", "methods": ["GET", "PUT"], "paths": ["/pods/*", "/nodes/**"] },
        { "name": "exec", "why": "sessions", "websocket": true, "optional": true },
    ])
}

#[test]
fn rights_limits_and_warnings_are_shown() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2hunter2").unwrap();
    let text = format!(
        "config: {{ zone: a }}\nendpoints:\n  api:\n    url: https://api.example.com/v1\n    methods: [GET, PUT, DELETE]\n    \
         pathPrefixes: [/pods, /nodes/eu]\n    upgrade: true\n    rate: 20\n    auth: {{ bearer: {{ tokenFile: {} }} }}\n  \
         left-over:\n    url: http://127.0.0.1:1\nlimits:\n  memory: 1Gi\n",
        token.path().display()
    );
    let checked = check(&found(&needs()), &config(&text));
    assert!(checked.failure.is_none());
    assert!(!checked.text.contains("hunter2") && !checked.text.contains(&token.path().display().to_string()));
    insta::assert_snapshot!(checked.text);
}

#[test]
fn what_is_missing_is_told_with_the_yaml_and_the_rest_is_shown() {
    let endpoints = json!([
        { "name": "api", "why": "the API", "methods": ["GET"] },
        { "name": "logs", "why": "logs", "websocket": true },
    ]);
    let checked = check(
        &found(&endpoints),
        &config("endpoints: { logs: { url: wss } }".replace("wss", "\"https://l.example\"").as_str()),
    );
    let failure = checked.failure.unwrap().to_string();
    assert!(failure.contains("endpoints:\n  api:\n    url: https://…\n"), "{failure}");
    assert!(failure.contains("endpoints:\n  logs:\n    websocket: true\n"), "{failure}");
    assert!(checked.text.contains("It can reach nothing.") && !checked.text.contains("never asks"), "{}", checked.text);
    let misspelt = check(&found(&endpoints), &config("endpoints: { apis: { url: https://a.example } }"));
    assert!(misspelt.text.contains(
        "endpoint apis is granted, and the provider never asks for it: the grant has no effect; did you mean `api`?"
    ));
    let part = check(&found(&endpoints), &config("endpoints: { logs: { url: https://l.example, websocket: true } }"));
    assert!(part.text.contains("https://l.example/") && part.failure.is_some(), "{}", part.text);
}

#[test]
fn a_grant_that_leaves_nothing_is_warned_about() {
    let endpoints = json!([{ "name": "api", "methods": ["GET"], "paths": ["/a"], "optional": true }]);
    let text = "endpoints: { api: { url: https://a.example, methods: [PUT], pathPrefixes: [/b] } }";
    let checked = check(&found(&endpoints), &config(text));
    assert!(checked.failure.is_none() && checked.text.contains("nothing is left"), "{}", checked.text);
    assert!(checked.text.contains("api: PUT granted and never asked for"), "{}", checked.text);
}

#[test]
fn without_a_manifest_nothing_can_be_reached() {
    let mut found = found(&json!([]));
    found.inspection.manifest = None;
    let checked = check(&found, &config("config: { a: 1 }\nendpoints: { api: { url: https://a.example } }"));
    assert!(
        checked.text.contains("It can reach nothing.") && checked.text.contains("handed over unchecked"),
        "{}",
        checked.text
    );
    assert!(checked.text.contains("endpoint api is granted, and the provider never asks for it"), "{}", checked.text);
}

#[test]
fn the_operators_guide_has_every_limit_with_its_default() {
    // At run time, because a target directory may serve several checkouts.
    let host = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let guide = std::fs::read_to_string(host.join("../deploy/README.md")).unwrap();
    for (name, value) in named(&Limits::default()) {
        let number = value.split(' ').next().unwrap();
        assert!(guide.contains(&format!("| `{name}` | {number} |")), "{name}: {number}");
    }
}
