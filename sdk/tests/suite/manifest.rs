//! What `export!` writes.

use pluglet_sdk::testing::json;

/// The macro needs no provider off wasm.
struct Acme;

pluglet_sdk::export!(Acme, {
    name: "acme",
    description: "Says \"hello\".",
    features: [Update, PortForward],
    endpoints: [{ name: "api", why: "the Acme API" }, { name: "logs", why: "its logs" }],
});

#[test]
fn the_manifest_is_json() {
    let manifest: serde_json::Value = serde_json::from_slice(&PLUGLET_MANIFEST).unwrap();
    assert_eq!(
        manifest,
        json!({
            "name": "acme",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Says \"hello\".",
            "sdk": pluglet_sdk::VERSION,
            "features": ["update", "port-forward"],
            "endpoints": [{"name": "api", "why": "the Acme API"}, {"name": "logs", "why": "its logs"}],
        })
    );
    let _ = Acme;
}
