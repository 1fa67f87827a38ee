//! What `export!` writes.

use pluglet_sdk::testing::json;

/// The macro needs no provider off wasm.
struct Acme;

pluglet_sdk::export!(Acme, {
    name: "acme",
    description: "Says \"hello\".",
    features: [Update, PortForward],
    endpoints: [
        { name: "api", why: "the Acme API" },
        {
            name: "logs",
            why: "its logs",
            methods: ["GET", "PUT"],
            paths: ["/subscriptions/**", "/pods/*"],
            websocket: true,
            upgrade: false,
            optional: true,
        },
        { name: "exec", why: "its shells", paths: ["/"], upgrade: true },
    ],
    config_schema: r#"{"type": "object", "properties": {"zone": {"type": "string"}}}"#,
});

#[test]
fn the_manifest_is_json() {
    let manifest: serde_json::Value = serde_json::from_slice(&PLUGLET_MANIFEST).unwrap();
    let endpoint = |name: &str, why: &str| {
        json!({
            "name": name, "why": why, "methods": [], "paths": [],
            "websocket": false, "upgrade": false, "optional": false,
        })
    };
    let mut endpoints = [endpoint("api", "the Acme API"), endpoint("logs", "its logs"), endpoint("exec", "its shells")];
    endpoints[1]["methods"] = json!(["GET", "PUT"]);
    endpoints[1]["paths"] = json!(["/subscriptions/**", "/pods/*"]);
    endpoints[1]["websocket"] = json!(true);
    endpoints[1]["optional"] = json!(true);
    endpoints[2]["paths"] = json!(["/"]);
    endpoints[2]["upgrade"] = json!(true);
    assert_eq!(
        manifest,
        json!({
            "name": "acme",
            "version": env!("CARGO_PKG_VERSION"),
            "contract": pluglet_sdk::CONTRACT,
            "description": "Says \"hello\".",
            "sdk": pluglet_sdk::VERSION,
            "features": ["update", "port-forward"],
            "endpoints": endpoints,
            "configSchema": {"type": "object", "properties": {"zone": {"type": "string"}}},
        })
    );
    let _ = Acme;
}

#[test]
fn the_contract_is_the_one_in_the_wit_files() {
    let package = format!("package pluglet:provider@{};", pluglet_sdk::CONTRACT);
    assert!(include_str!("../../../wit/world.wit").contains(&package), "{package}");
}
