//! Environment, command and arguments.

mod references;
mod values;

use anyhow::Result;
use cluster::{NodeOptions, Row, World, check_rows, config_map, secret, service};
use serde_json::{Value, json};

/// What `resourceFieldRef` falls back on.
const CONFIG: &str = "config: { cpu: \"16\", memory: 64Gi }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_of_the_environment_gives_what_a_kubelet_gives() -> Result<()> {
    let world = World::new("environment").await?;
    // Before the node: what a pod gets of a Service that is younger than itself is a race on a kubelet too.
    world.create(&services()).await?;
    let node = world.node_with("node-environment", NodeOptions { config: CONFIG, ..NodeOptions::default() }).await?;
    let rows = [references::rows(), values::rows(), values::of_the_pod(), service_rows(), missing()];
    check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await?;

    // What was missing appears: each pod goes on by itself.
    check_rows(&world, &node.name, appeared()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_outside_of_the_clusters_network_are_told_another_address_of_the_api_server() -> Result<()> {
    let world = World::new("api-address").await?;
    let flags = ["--kubernetes-service", "api.example.com:6443"].map(str::to_owned).to_vec();
    let node = world.node_with("node-api-address", NodeOptions { flags, ..NodeOptions::default() }).await?;
    let row = Row::new("elsewhere", "--kubernetes-service replaces the address of the Service kubernetes")
        .runs()
        .env_has(&[("KUBERNETES_SERVICE_HOST", "api.example.com"), ("KUBERNETES_SERVICE_PORT", "6443")]);
    check_rows(&world, &node.name, vec![row]).await
}

/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>: redis-primary at 10.0.0.11, port 6379.
fn services() -> [Value; 3] {
    let ports = json!([{ "name": "web", "port": 80 }, { "name": "time", "port": 123, "protocol": "UDP" }]);
    [
        service("redis-primary", "10.0.0.11", &json!([{ "port": 6379 }])),
        service("front-end", "10.0.0.12", &ports),
        service("headless", "None", &json!([{ "port": 80 }])),
    ]
}

fn service_rows() -> Vec<Row> {
    let redis = [
        ("REDIS_PRIMARY_SERVICE_HOST", "10.0.0.11"),
        ("REDIS_PRIMARY_SERVICE_PORT", "6379"),
        ("REDIS_PRIMARY_PORT", "tcp://10.0.0.11:6379"),
        ("REDIS_PRIMARY_PORT_6379_TCP", "tcp://10.0.0.11:6379"),
        ("REDIS_PRIMARY_PORT_6379_TCP_PROTO", "tcp"),
        ("REDIS_PRIMARY_PORT_6379_TCP_PORT", "6379"),
        ("REDIS_PRIMARY_PORT_6379_TCP_ADDR", "10.0.0.11"),
    ];
    // pkg/kubelet/envvars/envvars.go
    let front_end = [
        ("FRONT_END_SERVICE_HOST", "10.0.0.12"),
        ("FRONT_END_SERVICE_PORT", "80"),
        ("FRONT_END_SERVICE_PORT_WEB", "80"),
        ("FRONT_END_SERVICE_PORT_TIME", "123"),
        ("FRONT_END_PORT", "tcp://10.0.0.12:80"),
        ("FRONT_END_PORT_80_TCP", "tcp://10.0.0.12:80"),
        ("FRONT_END_PORT_80_TCP_PROTO", "tcp"),
        ("FRONT_END_PORT_80_TCP_PORT", "80"),
        ("FRONT_END_PORT_80_TCP_ADDR", "10.0.0.12"),
        ("FRONT_END_PORT_123_UDP", "udp://10.0.0.12:123"),
        ("FRONT_END_PORT_123_UDP_PROTO", "udp"),
        ("FRONT_END_PORT_123_UDP_PORT", "123"),
        ("FRONT_END_PORT_123_UDP_ADDR", "10.0.0.12"),
    ];
    vec![
        Row::new("service-links", "every Service of the namespace with an address is told, a headless one is not")
            .runs()
            .env(&[redis.as_slice(), front_end.as_slice()].concat()),
        Row::new("no-service-links", "without enableServiceLinks only the Service kubernetes is told")
            .spec(&json!({ "enableServiceLinks": false }))
            .runs()
            .env(&[])
            .env_has(&[
                ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
                ("KUBERNETES_SERVICE_PORT", "443"),
                ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
                ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
                ("KUBERNETES_PORT_443_TCP", "tcp://10.0.0.1:443"),
                ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
                ("KUBERNETES_PORT_443_TCP_PORT", "443"),
                ("KUBERNETES_PORT_443_TCP_ADDR", "10.0.0.1"),
            ]),
        Row::new("own-before-service", "a variable of the container wins over a Service's, and may refer to one")
            .main(&json!({ "env": [
                { "name": "REDIS_PRIMARY_SERVICE_HOST", "value": "localhost" },
                { "name": "REDIS_URL", "value": "redis://$(REDIS_PRIMARY_PORT_6379_TCP_ADDR):$(REDIS_PRIMARY_SERVICE_PORT)" },
            ] }))
            .runs()
            .env_has(&[("REDIS_PRIMARY_SERVICE_HOST", "localhost"), ("REDIS_URL", "redis://10.0.0.11:6379")]),
    ]
}

/// The messages are those of pkg/kubelet/kubelet_pods.go, `makeEnvironmentVariables`.
fn missing() -> Vec<Row> {
    let key = |kind: &str, name: &str, key: &str| json!({ "env": [{ "name": "A", "valueFrom": { kind: { "name": name, "key": key } } }] });
    let waits = |name, sentence, main: &Value, message: &str| {
        Row::new(name, sentence).main(main).waits_with("CreateContainerConfigError", message)
    };
    vec![
        waits(
            "no-config-map",
            "a key of a ConfigMap that is not there makes the pod wait",
            &key("configMapKeyRef", "later-map", "color"),
            "configmap \"later-map\" not found",
        ),
        waits(
            "no-config-key",
            "a key that the ConfigMap does not have makes the pod wait",
            &key("configMapKeyRef", "half-map", "nope"),
            "couldn't find key nope in ConfigMap {namespace}/half-map",
        )
        .with(config_map("half-map", &json!({ "color": "red" }))),
        waits(
            "no-secret",
            "a key of a Secret that is not there makes the pod wait",
            &key("secretKeyRef", "later-secret", "password"),
            "secret \"later-secret\" not found",
        ),
        waits(
            "no-secret-key",
            "a key that the Secret does not have makes the pod wait",
            &key("secretKeyRef", "half-secret", "nope"),
            "couldn't find key nope in Secret {namespace}/half-secret",
        )
        .with(secret("half-secret", &json!({ "user": "admin" }))),
        waits(
            "no-env-from",
            "envFrom of a ConfigMap that is not there makes the pod wait",
            &json!({ "envFrom": [{ "configMapRef": { "name": "later-map" } }] }),
            "configmap \"later-map\" not found",
        ),
        Row::new("file-key", "a key of a file that only the provider could read is told to be unsupported")
            .spec(&json!({ "volumes": [{ "name": "v", "emptyDir": {} }] }))
            .main(&json!({ "env": [{ "name": "A", "valueFrom":
                { "fileKeyRef": { "volumeName": "v", "path": "config.env", "key": "A" } } }] }))
            .waits("CreateContainerConfigError")
            .api_says("/status/containerStatuses/0/state/waiting/message", "fileKeyRef"),
    ]
}

fn appeared() -> Vec<Row> {
    let goes_on = |name, sentence, value| Row::again(name, sentence).runs().env_has(&[("A", value)]);
    vec![
        goes_on("no-config-map", "the pod goes on when its ConfigMap appears", "red")
            .with(config_map("later-map", &json!({ "color": "red" }))),
        goes_on("no-secret", "the pod goes on when its Secret appears", "hunter2")
            .with(secret("later-secret", &json!({ "password": "hunter2" }))),
        Row::again("no-env-from", "the pod goes on when what it takes all keys of appears")
            .runs()
            .env_has(&[("color", "red")]),
        Row::again("no-config-key", "a pod whose key is still missing still waits")
            .waits_with("CreateContainerConfigError", "couldn't find key nope in ConfigMap {namespace}/half-map"),
    ]
}
