//! Volumes that the host makes: which files the provider gets, with which modes, and that they follow their objects.

mod sources;
mod tokens;

use anyhow::{Context, Result};
use cluster::{Row, World, check_rows, config_map, file_text, secret, variable, with};
use controlplane::Mark;
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_volume_that_the_host_makes_has_the_files_that_a_kubelet_makes() -> Result<()> {
    let world = World::new("files").await?;
    let node = world.node("node-files").await?;
    let authority = std::fs::read_to_string(world.plane.client_ca_file())?;
    let bundle = format!("{}-anchors", world.namespace.name());
    world.create(&[sources::trust_bundle(&bundle, &authority)]).await?;
    let rows = [sources::rows(), sources::projected(&bundle, &authority), sources::paths(), tokens::rows(), missing()];
    let outcome = check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await;
    // It is in no namespace, so nobody else deletes it.
    world.kubectl(&["delete", "clustertrustbundle", &bundle, "--wait=false"]).await?;
    outcome?;

    // What was missing appears: each pod goes on by itself.
    check_rows(&world, &node.name, appeared()).await
}

/// The messages are those of pkg/volume/configmap, pkg/volume/secret and pkg/volume/util/operationexecutor.
fn missing() -> Vec<Row> {
    let waits = |name, sentence, volume: Value, message: &str| {
        Row::new(name, sentence)
            .spec(&json!({ "volumes": [volume] }))
            .waits("ContainerCreating")
            .event("FailedMount", &format!("MountVolume.SetUp failed for volume \"v\" : {message}"))
    };
    vec![
        waits(
            "no-map",
            "a volume of a ConfigMap that is not there is not mounted",
            json!({ "name": "v", "configMap": { "name": "later-map" } }),
            "configmap \"later-map\" not found",
        ),
        waits(
            "no-secret",
            "a volume of a Secret that is not there is not mounted",
            json!({ "name": "v", "secret": { "secretName": "later-secret" } }),
            "secret \"later-secret\" not found",
        ),
        waits(
            "no-map-key",
            "an item that the ConfigMap does not have is not mounted",
            json!({ "name": "v", "configMap": { "name": "half-map", "items": [{ "key": "nope", "path": "nope" }] } }),
            "configmap references non-existent config key: nope",
        )
        .with(config_map("half-map", &json!({ "color": "red" }))),
        waits(
            "no-secret-key",
            "an item that the Secret does not have is not mounted",
            json!({ "name": "v", "secret": { "secretName": "half-secret", "items": [{ "key": "nope", "path": "nope" }] } }),
            "references non-existent secret key: nope",
        )
        .with(secret("half-secret", &json!({ "user": "admin" }))),
    ]
}

fn appeared() -> Vec<Row> {
    let file = |text: &str| json!([{ "path": "color", "mode": "0644", "text": text }]);
    vec![
        Row::again("no-map", "the pod goes on when its ConfigMap appears")
            .with(config_map("later-map", &json!({ "color": "red" })))
            .runs()
            .files("v", file("red")),
        Row::again("no-secret", "the pod goes on when its Secret appears")
            .with(secret("later-secret", &json!({ "color": "blue" })))
            .runs()
            .files("v", file("blue")),
        Row::again("no-map-key", "a pod whose item is still missing still waits").waits("ContainerCreating"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_follow_their_object_and_the_environment_does_not() -> Result<()> {
    let world = World::new("refresh").await?;
    let mark = world.plane.audit().mark()?;
    let node = world.node("node-refresh").await?;
    let immutable = |color: &str| with(config_map("fixed", &json!({ "color": color })), &json!({ "immutable": true }));
    let volumes = json!([
        { "name": "live", "configMap": { "name": "live" } },
        { "name": "fixed", "configMap": { "name": "fixed" } },
        { "name": "about", "downwardAPI": { "items": [{ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
    ]);
    let color = json!({ "name": "COLOR", "valueFrom": { "configMapKeyRef": { "name": "live", "key": "color" } } });
    let row = Row::new("reader", "a pod with the same ConfigMap as files and as environment")
        .with(config_map("live", &json!({ "color": "red" })))
        .with(immutable("red"))
        .labels(&json!({ "stage": "one" }))
        .spec(&json!({ "enableServiceLinks": false, "volumes": volumes }))
        .main(&json!({ "env": [color] }))
        .runs()
        .env(&[("COLOR", "red")])
        .files("live", json!([{ "path": "color", "mode": "0644", "text": "red" }]));
    check_rows(&world, &node.name, vec![row]).await?;

    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), world.namespace.name());
    // An immutable object can only change by being made anew. Who watches it would see this.
    maps.delete("fixed", &DeleteParams::default()).await?;
    world.create(&[immutable("blue")]).await?;
    let change = json!({ "data": { "color": "blue", "taste": "sweet" } });
    maps.patch("live", &PatchParams::default(), &Patch::Merge(change)).await?;
    world.kubectl(&["label", "pod", "reader", "stage=two", "--overwrite"]).await?;

    let held = world
        .until_revealed("reader", "both new files and the new label", |held| {
            file_text(held, "live", "taste") == Some("sweet")
                && file_text(held, "live", "color") == Some("blue")
                && file_text(held, "about", "labels") == Some("stage=\"two\"")
        })
        .await?;
    assert_eq!(variable(&held, "COLOR"), Some("red"), "the environment is that of the start");
    assert_eq!(file_text(&held, "fixed", "color"), Some("red"), "an immutable object is not looked at again");
    assert_eq!((&held["calls"]["create"], &held["calls"]["restart"]), (&json!(1), &json!(0)), "{held}");
    let told = held["calls"]["volumesChanged"].as_u64().context("a count")?;
    assert!(told >= 1, "{held}");
    watches_end_with_the_last_pod(&world, &node.name, &mark).await
}

/// One watch for each name, none for an immutable object, and none once nobody names the object any more.
async fn watches_end_with_the_last_pod(world: &World, node: &str, mark: &Mark) -> Result<()> {
    let namespace = world.namespace.name();
    let open = async |name: &str| {
        let calls = world.plane.audit().since(mark)?;
        let watches = cluster::by(&calls, node).filter(|call| call.verb == "watch" && call.resource == "configmaps");
        let of_it = watches.filter(|call| call.namespace == namespace && call.name == name && call.code == 200);
        anyhow::Ok(of_it.filter(|call| call.ended.is_none()).count())
    };
    assert_eq!(open("live").await?, 1, "one watch for the ConfigMap that the pod names");
    assert_eq!(open("fixed").await?, 0, "no watch for an immutable ConfigMap");
    world.kubectl(&["delete", "pod", "reader"]).await?;
    until("the watch on the ConfigMap to end", cluster::SOON, async || {
        let count = open("live").await?;
        Ok(if count == 0 { Answer::Yes(()) } else { Answer::NotYet(format!("{count} are open")) })
    })
    .await
}
