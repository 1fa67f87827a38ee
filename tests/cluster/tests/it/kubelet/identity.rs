//! Who pluglet is to the API server: a node, or a service account with the rights in `deploy/`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster::{Identity, NodeOptions, Row, World, check_rows, config_map, secret, typed_secret};
use controlplane::Call;
use serde_json::json;

/// A pod that needs everything that has to be looked up.
fn needy() -> Row {
    let auths = json!({ "auths": { "registry.example.com": { "username": "a", "password": "b" } } });
    let volumes = json!([
        { "name": "map", "configMap": { "name": "needed-map" } },
        { "name": "secret", "secret": { "secretName": "needed-secret" } },
        { "name": "token", "projected": { "sources": [
            { "serviceAccountToken": { "audience": "vault", "expirationSeconds": 7200, "path": "token" } } ] } },
    ]);
    Row::new("needy", "a pod that needs a ConfigMap, a Secret, a token, a pull secret and the Services")
        .with(config_map("needed-map", &json!({ "color": "red" })))
        .with(secret("needed-secret", &json!({ "password": "hunter2" })))
        .with(typed_secret(
            "needed-pull",
            "kubernetes.io/dockerconfigjson",
            &json!({ ".dockerconfigjson": auths.to_string() }),
        ))
        .spec(&json!({ "volumes": volumes, "imagePullSecrets": [{ "name": "needed-pull" }] }))
        .main(&json!({ "envFrom": [{ "secretRef": { "name": "needed-secret" } }] }))
        .runs()
        .env_has(&[("password", "hunter2"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")])
        .files("map", json!([{ "path": "color", "mode": "0644", "text": "red" }]))
        .files("secret", json!([{ "path": "password", "mode": "0644", "text": "hunter2" }]))
        .token(
            "token",
            "token",
            json!({
                "aud": ["vault"], "lifetime": 7200, "namespace": "{namespace}", "serviceAccount": "default",
                "pod": "needy", "podUid": "{uid}",
            }),
        )
        .held("/credentials", json!([{ "registry": "registry.example.com", "username": "a", "password": "b" }]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_asks_only_for_what_its_own_pods_name() -> Result<()> {
    let world = World::new("identity").await?;
    let mark = world.plane.audit().mark()?;
    let node = world.node("node-identity").await?;
    let strangers = [secret("nobodys", &json!({ "a": "b" })), config_map("nobodys", &json!({ "a": "b" }))];
    world.create(&strangers).await?;
    // Two pods name the same objects: they share one watch on each.
    let second = Row::new("second", "another that names the same Secret")
        .spec(&json!({ "volumes": [{ "name": "secret", "secret": { "secretName": "needed-secret" } }] }))
        .runs();
    check_rows(&world, &node.name, vec![needy(), second]).await?;
    world.kubectl(&["delete", "pods", "--all"]).await?;

    let calls = world.plane.audit().since(&mark)?;
    let ours: Vec<&Call> = cluster::by(&calls, &node.name).collect();
    let objects = ours.iter().filter(|call| call.resource == "secrets" || call.resource == "configmaps");
    let asked: BTreeSet<(&str, &str, &str)> =
        objects.clone().map(|call| (call.resource.as_str(), call.namespace.as_str(), call.name.as_str())).collect();
    let own = |resource, name| (resource, world.namespace.name(), name);
    let own = BTreeSet::from([
        own("configmaps", "needed-map"),
        own("secrets", "needed-pull"),
        own("secrets", "needed-secret"),
    ]);
    // What it trusts callers by is published in kube-system.
    let asked: BTreeSet<_> = asked.into_iter().filter(|(_, namespace, _)| *namespace != "kube-system").collect();
    assert_eq!(asked, own, "by name, and only what its pods name");
    let watches = objects.filter(|call| call.name == "needed-secret").copied();
    assert_eq!(cluster::most_open_at_once(watches), 1, "one watch for both pods");
    let tokens = ours.iter().filter(|call| call.subresource == "token");
    assert_eq!(tokens.map(|call| call.code).collect::<Vec<_>>(), [201], "one token for the one pod that asks for one");
    let writes = ours.iter().filter(|call| call.resource == "pods" && call.is_write());
    let other: Vec<_> = writes.map(|call| call.kind()).filter(|kind| !is_a_nodes(kind)).collect();
    assert!(other.is_empty(), "a node writes statuses and deletes: {other:?}");
    Ok(())
}

fn is_a_nodes(kind: &str) -> bool {
    kind == "patch pods/status 200" || kind == "delete pods 200"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_14_the_rights_that_are_shipped_for_a_service_account_suffice() -> Result<()> {
    let world = World::new("account").await?;
    // Not in the test's namespace: the file names its own.
    let rights = controlplane::repository().join("deploy/rbac.yaml");
    let applied = world.plane.kubectl().arg("apply").arg("-f").arg(rights).output()?;
    ensure!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let mark = world.plane.audit().mark()?;
    let identity = Identity::ServiceAccount { namespace: "pluglet", name: "pluglet" };
    let node = world.node_with("node-account", NodeOptions { identity, ..NodeOptions::default() }).await?;
    // Reading what the provider holds is a log: who may read it is asked of the API server with the same rights.
    check_rows(&world, &node.name, vec![needy()]).await?;
    world.kubectl(&["logs", "needy"]).await?;
    world.kubectl(&["delete", "pod", "needy"]).await?;

    let user = "system:serviceaccount:pluglet:pluglet";
    let calls = world.plane.audit().since(&mark)?;
    let ours: Vec<&Call> = calls.iter().filter(|call| call.user == user).collect();
    ensure!(!ours.is_empty(), "nobody called as {user}");
    let refused: Vec<String> = ours.iter().filter(|call| call.code == 403).map(|call| call.kind()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let written = ours.iter().find(|call| call.subresource == "token").context("a token was asked for")?;
    assert_eq!(written.code, 201);
    Ok(())
}
