//! Volumes, as containers see them.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{SOON, config_map, container, is_running, secret};
use containers_suite::Setup;
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_the_cluster_are_there_and_follow_their_originals() -> Result<()> {
    let Some(setup) = Setup::new("files").await? else { return Ok(()) };
    setup.world.create(&[secret("keys", &json!({ "k": "s" }))]).await?;
    setup.world.apply(&config_map("settings", &json!({ "a": "1", "b": "2" }))).await?;
    let spec = json!({
        "volumes": [
            { "name": "settings", "configMap": { "name": "settings" } },
            { "name": "keys", "secret": { "secretName": "keys", "defaultMode": 0o400 } },
            { "name": "about", "downwardAPI": { "items": [{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }] } },
            { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
        ],
        "containers": [{ "name": "main", "command": ["/bin/sh", "-c", SLEEP], "volumeMounts": [
            { "name": "settings", "mountPath": "/settings" },
            { "name": "settings", "mountPath": "/one/b", "subPath": "b" },
            { "name": "keys", "mountPath": "/keys" },
            { "name": "about", "mountPath": "/about" },
            { "name": "token", "mountPath": "/token" },
        ] }],
    });
    setup.create("web", &spec).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let read = async |path: &str| setup.world.kubectl(&["exec", "web", "--", "cat", path]).await;
    ensure!(read("/settings/a").await? == "1" && read("/one/b").await? == "2");
    ensure!(read("/keys/k").await? == "s" && read("/about/name").await? == "web");
    ensure!(read("/token/token").await?.split('.').count() == 3);
    let mode = setup.world.kubectl(&["exec", "web", "--", "stat", "-L", "-c", "%a", "/keys/k"]).await?;
    ensure!(mode == "400\n", "{mode}");
    let written = setup.world.kubectl(&["exec", "web", "--", "touch", "/settings/new"]).await;
    ensure!(written.is_err(), "a volume of the cluster's is read only");
    setup.world.apply(&config_map("settings", &json!({ "a": "3", "c": "4" }))).await?;
    until("the new files", SOON, async || {
        let seen = setup.world.kubectl(&["exec", "web", "--", "sh", "-c", "cat /settings/a; ls /settings"]).await?;
        Ok(if seen == "3a\nc\n" { Answer::Yes(()) } else { Answer::NotYet(seen) })
    })
    .await?;
    ensure!(read("/one/b").await? == "2", "a subPath stays as it was");
    setup.world.kubectl(&["delete", "pod", "web", "--grace-period=1"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_directories_are_shared_by_the_pods_containers_and_are_everybodys() -> Result<()> {
    let Some(setup) = Setup::new("empty").await? else { return Ok(()) };
    let mounts = json!([
        { "name": "disk", "mountPath": "/disk" },
        { "name": "memory", "mountPath": "/memory" },
        { "name": "disk", "mountPath": "/part", "subPath": "deep/part" },
    ]);
    let user = json!({ "runAsUser": 1000, "runAsGroup": 3000 });
    let container = |name: &str, script: &str| {
        json!({
            "name": name, "command": ["/bin/sh", "-c", script], "volumeMounts": mounts, "securityContext": user,
        })
    };
    let spec = json!({
        "securityContext": { "fsGroup": 2000 },
        "volumes": [{ "name": "disk", "emptyDir": {} }, { "name": "memory", "emptyDir": { "medium": "Memory", "sizeLimit": "10Mi" } }],
        "initContainers": [container("init", "echo d > /disk/f; echo m > /memory/f; echo p > /part/f")],
        "containers": [container("main", &format!("cat /disk/f /memory/f /disk/deep/part/f; id -G; stat -c %a:%g /memory; grep ' /memory ' /proc/mounts | cut -d' ' -f3; {SLEEP}"))],
    });
    setup.create("web", &spec).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let log = setup.world.kubectl(&["logs", "web"]).await?;
            if log.lines().count() >= 6 {
                ensure!(log == "d\nm\np\n3000 2000\n3777:2000\ntmpfs\n", "{log}");
                return Ok(());
            }
        }
    })
    .await??;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_addresses_are_as_a_kubelet_gives_them() -> Result<()> {
    let Some(setup) = Setup::new("names").await? else { return Ok(()) };
    let script = format!("hostname; cat /etc/hosts; cat /etc/resolv.conf; echo $IP; {SLEEP}");
    let spec = json!({
        "hostname": "front", "subdomain": "shop",
        "hostAliases": [{ "ip": "10.1.2.3", "hostnames": ["db", "db.example.com"] }],
        "dnsPolicy": "None",
        "dnsConfig": { "nameservers": ["10.9.9.9"], "searches": ["example.com"], "options": [{ "name": "ndots", "value": "2" }] },
        "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script],
            "env": [{ "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } }] }],
    });
    setup.create("web", &spec).await?;
    let pods = setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let ip = pods.first().and_then(|pod| pod.status.as_ref()?.pod_ip.clone()).unwrap_or_default();
    let namespace = setup.world.namespace.name();
    until("the log", SOON, async || {
        let log = setup.world.kubectl(&["logs", "web"]).await?;
        let all = [
            "front\n".to_owned(),
            format!("{ip}\tfront.shop.{namespace}.svc.cluster.local\tfront\n"),
            "10.1.2.3\tdb\tdb.example.com\n".to_owned(),
            "nameserver 10.9.9.9\n".to_owned(),
            "search example.com\n".to_owned(),
            "options ndots:2\n".to_owned(),
            format!("{ip}\n"),
        ];
        let missing: Vec<_> = all.iter().filter(|part| !log.contains(*part)).collect();
        Ok(if missing.is_empty() { Answer::Yes(()) } else { Answer::NotYet(format!("{missing:?} in {log}")) })
    })
    .await?;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_a_pod_makes_leads_no_other_container_to_the_machines_files() -> Result<()> {
    let Some(setup) = Setup::new("links").await? else { return Ok(()) };
    for medium in ["", "Memory"] {
        let name = if medium.is_empty() { "disk" } else { "memory" };
        let spec = json!({
            "volumes": [{ "name": "v", "emptyDir": { "medium": medium } }],
            "initContainers": [{ "name": "init", "command": ["/bin/ln", "-s", "/", "/v/x"], "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }],
            "containers": [{ "name": "main", "command": ["/bin/sh", "-c", SLEEP], "volumeMounts": [{ "name": "v", "mountPath": "/host", "subPath": "x" }] }],
        });
        setup.create(name, &spec).await?;
        let refused = |pod: &Pod| {
            let state = container(pod, "main").and_then(|status| status.state.as_ref()?.waiting.as_ref());
            let reason = state.and_then(|state| state.reason.as_deref()).unwrap_or_default();
            cluster::name(pod) == name && reason.starts_with("CreateContainer")
        };
        setup.world.until_pods("the refusal", |pods| pods.iter().any(refused)).await?;
    }
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    setup.nothing_left().await
}
