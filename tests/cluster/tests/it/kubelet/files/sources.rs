//! ConfigMaps, Secrets, the downward API, trust bundles, and all of them in one.

use cluster::{Row, config_map, secret, with};
use serde_json::{Value, json};

fn row(name: &'static str, sentence: &'static str, volume: Value) -> Row {
    Row::new(name, sentence).spec(&json!({ "volumes": [volume] })).runs()
}

/// A file with the mode that files have unless told otherwise.
fn file(path: &str, text: &str) -> Value {
    json!({ "path": path, "mode": "0644", "text": text })
}

pub(super) fn rows() -> Vec<Row> {
    [config_maps(), secrets(), downward()].into_iter().flatten().collect()
}

/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/#add-configmap-data-to-a-volume>
fn config_maps() -> Vec<Row> {
    let game = json!({ "game.properties": "enemies=aliens\nlives=3\n", "ui.properties": "color.good=purple\n" });
    let bytes = json!({ "binaryData": { "logo.png": "/wD+" } });
    let with_bytes = with(config_map("mixed", &json!({ "name": "logo" })), &bytes);
    vec![
        row("map", "each key of a ConfigMap is a file", json!({ "name": "v", "configMap": { "name": "game-config" } }))
            .with(config_map("game-config", &game))
            .files(
                "v",
                json!([
                    file("game.properties", "enemies=aliens\nlives=3\n"),
                    file("ui.properties", "color.good=purple\n"),
                ]),
            ),
        row(
            "map-items",
            "items choose keys, paths and modes; defaultMode is for the others",
            json!({ "name": "v", "configMap": { "name": "special-config", "defaultMode": 0o440, "items": [
                { "key": "SPECIAL_LEVEL", "path": "keys/level" },
                { "key": "SPECIAL_TYPE", "path": "type", "mode": 0o755 },
            ] } }),
        )
        .with(config_map("special-config", &json!({ "SPECIAL_LEVEL": "very", "SPECIAL_TYPE": "charm", "unused": "x" })))
        .files(
            "v",
            json!([
                { "path": "keys/level", "mode": "0440", "text": "very" },
                { "path": "type", "mode": "0755", "text": "charm" },
            ]),
        ),
        row(
            "map-bytes",
            "binaryData are files beside data, byte for byte",
            json!({ "name": "v", "configMap": { "name": "mixed" } }),
        )
        .with(with_bytes)
        .files("v", json!([file("name", "logo"), { "path": "logo.png", "mode": "0644", "base64": "/wD+" }])),
        row(
            "map-optional",
            "an optional ConfigMap that is not there gives an empty directory",
            json!({ "name": "v", "configMap": { "name": "nowhere", "optional": true } }),
        )
        .files("v", json!([])),
        row(
            "map-optional-item",
            "an optional item that is not there is left out",
            json!({ "name": "v", "configMap": { "name": "optional-map", "optional": true, "items": [
                { "key": "there", "path": "there" }, { "key": "nope", "path": "nope" },
            ] } }),
        )
        .with(config_map("optional-map", &json!({ "there": "yes" })))
        .files("v", json!([file("there", "yes")])),
    ]
}

/// <https://kubernetes.io/docs/concepts/configuration/secret/> and, for fsGroup, pkg/volume/volume_linux.go: files of a volume that is read
/// only get r--r-----.
fn secrets() -> Vec<Row> {
    let login = json!({ "username": "admin", "password": "t0p-Secret" });
    let of_mode = |mode: &str| {
        json!([
            { "path": "username", "mode": mode, "text": "admin" },
            { "path": "password", "mode": mode, "text": "t0p-Secret" },
        ])
    };
    vec![
        row("secret", "each key of a Secret is a file", json!({ "name": "v", "secret": { "secretName": "login" } }))
            .with(secret("login", &login))
            .files("v", of_mode("0644")),
        row(
            "secret-mode",
            "defaultMode is the mode of all files",
            json!({ "name": "v", "secret": { "secretName": "login", "defaultMode": 0o400 } }),
        )
        .files("v", of_mode("0400")),
        row(
            "secret-group",
            "with fsGroup the group may read too",
            json!({ "name": "v", "secret": { "secretName": "login", "defaultMode": 0o400 } }),
        )
        .spec(&json!({ "securityContext": { "fsGroup": 2000 } }))
        .files("v", of_mode("0440")),
    ]
}

/// <https://kubernetes.io/docs/tasks/inject-data-application/downward-api-volume-expose-pod-information/>
fn downward() -> Vec<Row> {
    let field = |path: &str, field: &str| json!({ "path": path, "fieldRef": { "fieldPath": field } });
    let resource = |path: &str, resource: &str, divisor: &str| json!({ "path": path, "resourceFieldRef": { "containerName": "main", "resource": resource, "divisor": divisor } });
    let labels = json!({ "zone": "us-est-coast", "cluster": "test-cluster1", "rack": "rack-22" });
    vec![
        row(
            "about",
            "labels and annotations are sorted lines with quoted values; single ones are bare",
            json!({ "name": "v", "downwardAPI": { "items": [
                field("labels", "metadata.labels"),
                field("annotations", "metadata.annotations"),
                field("zone", "metadata.labels['zone']"),
                field("builder", "metadata.annotations['builder']"),
                field("name", "metadata.name"),
                field("namespace", "metadata.namespace"),
                field("uid", "metadata.uid"),
            ] } }),
        )
        .labels(&labels)
        .annotations(&json!({ "build": "two", "builder": "john-doe", "quoted": "a \"b\"\nc" }))
        .files(
            "v",
            json!([
                file("labels", "cluster=\"test-cluster1\"\nrack=\"rack-22\"\nzone=\"us-est-coast\""),
                file(
                    "annotations",
                    "build=\"two\"\nbuilder=\"john-doe\"\nmock.pluglet.dev/reveal=\"true\"\nquoted=\"a \\\"b\\\"\\nc\"",
                ),
                file("zone", "us-est-coast"),
                file("builder", "john-doe"),
                file("name", "about"),
                file("namespace", "{namespace}"),
                file("uid", "{uid}"),
            ]),
        ),
        row(
            "sizes",
            "resources of a container, in the unit of the divisor",
            json!({ "name": "v", "downwardAPI": { "items": [
                resource("cpu_limit", "limits.cpu", "1m"),
                resource("cpu_request", "requests.cpu", "1m"),
                resource("mem_limit", "limits.memory", "1Mi"),
                resource("mem_request", "requests.memory", "1Mi"),
            ] } }),
        )
        .main(&json!({ "resources": {
            "requests": { "memory": "32Mi", "cpu": "125m" }, "limits": { "memory": "64Mi", "cpu": "250m" },
        } }))
        .files(
            "v",
            json!([
                file("cpu_limit", "250"),
                file("cpu_request", "125"),
                file("mem_limit", "64"),
                file("mem_request", "32"),
            ]),
        ),
    ]
}

/// <https://kubernetes.io/docs/concepts/storage/projected-volumes/>
pub(super) fn projected(bundle: &str, authority: &str) -> Vec<Row> {
    let all_in_one = json!([
        { "secret": { "name": "mysecret", "items": [{ "key": "username", "path": "my-group/my-username" }] } },
        { "downwardAPI": { "items": [
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
            { "path": "cpu_limit", "resourceFieldRef": { "containerName": "main", "resource": "limits.cpu" } },
        ] } },
        { "configMap": { "name": "myconfigmap", "items": [{ "key": "config", "path": "my-group/my-config", "mode": 511 }] } },
    ]);
    vec![
        row(
            "all-in-one",
            "several sources in one directory",
            json!({ "name": "v", "projected": { "sources": all_in_one } }),
        )
        .with(secret("mysecret", &json!({ "username": "admin", "unused": "x" })))
        .with(config_map("myconfigmap", &json!({ "config": "on", "unused": "x" })))
        .labels(&json!({ "app": "shop" }))
        .main(&json!({ "resources": { "limits": { "cpu": "500m" } } }))
        .files(
            "v",
            json!([
                file("my-group/my-username", "admin"),
                file("labels", "app=\"shop\""),
                file("cpu_limit", "1"),
                { "path": "my-group/my-config", "mode": "0777", "text": "on" },
            ]),
        ),
        row(
            "optional-sources",
            "of the sources that are not there those that are optional are left out",
            json!({ "name": "v", "projected": { "defaultMode": 0o600, "sources": [
                { "secret": { "name": "nowhere", "optional": true } },
                { "configMap": { "name": "nowhere", "optional": true } },
                { "configMap": { "name": "myconfigmap", "items": [{ "key": "config", "path": "config" }] } },
            ] } }),
        )
        .files("v", json!([{ "path": "config", "mode": "0600", "text": "on" }])),
        row(
            "trust-anchors",
            "a cluster trust bundle is a file of certificates",
            json!({ "name": "v", "projected": { "sources": [
                { "clusterTrustBundle": { "name": bundle, "path": "anchors.pem" } },
                { "clusterTrustBundle": { "name": "nowhere", "path": "none.pem", "optional": true } },
            ] } }),
        )
        .files("v", json!([file("anchors.pem", authority), file("none.pem", "")])),
    ]
}

/// <https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath>
pub(super) fn paths() -> Vec<Row> {
    let mount = |path: &str, field: &str, sub_path: &str| json!({ "name": "v", "mountPath": path, field: sub_path });
    let directory = json!({ "name": "v", "emptyDir": {} });
    let name = json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } });
    vec![
        row("sub-path", "subPath is passed on as it is, subPathExpr expanded", directory.clone())
            .main(&json!({ "env": [name], "volumeMounts": [
                mount("/var/www", "subPath", "html/$(POD_NAME)"), mount("/logs", "subPathExpr", "logs/$(POD_NAME)"),
            ] }))
            .held("/subPaths", json!({ "/var/www": "html/$(POD_NAME)", "/logs": "logs/sub-path" })),
        // pkg/kubelet/container/helpers.go: ExpandContainerVolumeMounts
        Row::new("sub-path-missing", "a variable of subPathExpr that is not there makes the pod wait")
            .spec(&json!({ "volumes": [directory] }))
            .main(&json!({ "volumeMounts": [mount("/logs", "subPathExpr", "logs/$(NOPE)")] }))
            .waits("CreateContainerConfigError")
            .api_says("/status/containerStatuses/0/state/waiting/message", "missing value for NOPE"),
    ]
}

/// A bundle without a signer.
pub(super) fn trust_bundle(name: &str, authority: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
        "metadata": { "name": name }, "spec": { "trustBundle": authority },
    })
}
