//! Image pull secrets: from Secrets of two kinds to credentials of registries.

use anyhow::Result;
use cluster::{Row, World, check_rows, secret, typed_secret};
use serde_json::{Value, json};

const NEW: &str = "kubernetes.io/dockerconfigjson";
const OLD: &str = "kubernetes.io/dockercfg";

/// <https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/>
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_secrets_become_credentials_of_registries() -> Result<()> {
    let world = World::new("credentials").await?;
    let node = world.node("node-credentials").await?;
    let rows = [kinds(), where_from(), faulty()];
    check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await
}

fn pulling(name: &'static str, sentence: &'static str, secrets: &[&str]) -> Row {
    let secrets: Vec<Value> = secrets.iter().map(|name| json!({ "name": name })).collect();
    Row::new(name, sentence).spec(&json!({ "imagePullSecrets": secrets })).runs()
}

fn config_json(name: &str, auths: &Value) -> Value {
    typed_secret(name, NEW, &json!({ ".dockerconfigjson": json!({ "auths": auths }).to_string() }))
}

fn credential(registry: &str, username: &str, password: &str) -> Value {
    json!({ "registry": registry, "username": username, "password": password })
}

fn kinds() -> Vec<Row> {
    let plain = json!({ "registry.example.com": { "username": "janedoe", "password": "xxxxxxxxxxx" } });
    // "user:pa:ss", pkg/credentialprovider/config.go: only the first colon separates.
    let colons = json!({ "registry.example.com": { "auth": "dXNlcjpwYTpzcw==" } });
    vec![
        pulling("new-kind", "a Secret of type dockerconfigjson", &["new-kind"])
            .with(config_json("new-kind", &plain))
            .held("/credentials", json!([credential("registry.example.com", "janedoe", "xxxxxxxxxxx")])),
        pulling("colons", "auth is user and password, which may have colons", &["colons"])
            .with(config_json("colons", &colons))
            .held("/credentials", json!([credential("registry.example.com", "user", "pa:ss")])),
        pulling("old-kind", "a Secret of the old type dockercfg", &["old-kind"])
            .with(typed_secret("old-kind", OLD, &json!({ ".dockercfg": plain.to_string() })))
            .held("/credentials", json!([credential("registry.example.com", "janedoe", "xxxxxxxxxxx")])),
        pulling("several", "several Secrets, in the order of the pod", &["new-kind", "second"])
            .with(config_json("second", &json!({ "other.example.com:5000": { "username": "b", "password": "c" } })))
            .held(
                "/credentials",
                json!([
                    credential("registry.example.com", "janedoe", "xxxxxxxxxxx"),
                    credential("other.example.com:5000", "b", "c"),
                ]),
            ),
    ]
}

/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#add-imagepullsecrets-to-a-service-account>
fn where_from() -> Vec<Row> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "puller" },
        "imagePullSecrets": [{ "name": "new-kind" }],
    });
    vec![
        Row::new("of-account", "a pod without its own has those of its service account")
            .with(account)
            .spec(&json!({ "serviceAccountName": "puller" }))
            .runs()
            .held("/credentials", json!([credential("registry.example.com", "janedoe", "xxxxxxxxxxx")])),
        Row::new("none", "a pod without any has no credentials").runs().held("/credentials", json!([])),
    ]
}

/// pkg/kubelet/kubelet.go, `getPullSecretsForPod`; pkg/credentialprovider/secrets.
fn faulty() -> Vec<Row> {
    vec![
        pulling(
            "no-pull-secret",
            "a Secret that is not there is told, and the image tried without",
            &["nowhere", "new-kind"],
        )
        .event(
            "FailedToRetrieveImagePullSecret",
            "Unable to retrieve some image pull secrets (nowhere); attempting to pull the image may not succeed.",
        )
        .held("/credentials", json!([credential("registry.example.com", "janedoe", "xxxxxxxxxxx")])),
        pulling("other-kind", "a Secret of another type has no credentials", &["opaque"])
            .with(secret("opaque", &json!({ ".dockerconfigjson": "{\"auths\":{\"a\":{\"auth\":\"YTpi\"}}}" })))
            .held("/credentials", json!([])),
    ]
}
