//! The hostile provider, started with grants, told what to do.

use std::path::PathBuf;

use pluglet_egress::{Grant, Target};
use pluglet_model::PodPlan;
use pluglet_model::provider::{Error, Provider};
use pluglet_wasm::ProviderOptions;
use serde_json::{Value, json};

use crate::support::{self, Running};

/// Options with one endpoint that leads to `url`.
pub(crate) fn granted(endpoint: &str, url: &str) -> ProviderOptions {
    with(endpoint, Grant::new(Target::base(url).unwrap()))
}

/// Options with one grant.
pub(crate) fn with(endpoint: &str, grant: Grant) -> ProviderOptions {
    let mut options = support::options("hostile");
    options.grants.insert(endpoint.to_owned(), grant);
    options
}

pub(crate) async fn start(options: ProviderOptions) -> Running {
    support::start(options).await
}

/// A pod whose creation makes the provider do these things.
pub(crate) fn plot(uid: &str, instructions: &Value) -> PodPlan {
    let mut plan = support::plan(uid, &[]);
    let mut pod = (*plan.pod).clone();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert("hostile.pluglet.dev/do".to_owned(), instructions.to_string());
    plan.pod = pod.into();
    plan
}

/// Do them and tell what the provider saw.
pub(crate) async fn perform(attacker: &Running, instructions: &Value) -> Vec<Value> {
    static POD: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let uid = format!("plot-{}", POD.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let status = support::within("the plot", attacker.provider.create(&plot(&uid, instructions))).await.unwrap();
    serde_json::from_str(status.message.as_deref().unwrap_or("[]")).unwrap()
}

/// Do one thing.
pub(crate) async fn one(attacker: &Running, instruction: Value) -> Value {
    perform(attacker, &json!([instruction])).await.remove(0)
}

/// The case of the error in a result; empty when there is none.
pub(crate) fn case(result: &Value) -> &str {
    result["error"]["case"].as_str().unwrap_or_default()
}

/// The text of the error in a result.
pub(crate) fn text(result: &Value) -> &str {
    result["error"]["text"].as_str().unwrap_or_default()
}

/// Create a pod that crashes the provider, until it is convicted. Gives back why.
pub(crate) async fn convict(attacker: &Running, instruction: Value) -> String {
    let culprit = plot("culprit", &json!([instruction]));
    match support::within("the verdict", attacker.create_patiently(&culprit)).await {
        Err(Error::Crashed { strikes: 3, message }) => message,
        other => panic!("no verdict but {other:?}"),
    }
}

/// A file with a secret in it.
pub(crate) fn secret_file(directory: &tempfile::TempDir, name: &str, secret: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, secret).unwrap();
    path
}
