//! What comes from ConfigMaps and Secrets.

use cluster::{Row, config_map, secret, with};
use serde_json::json;

/// Without what Services add, so that the whole environment can be told.
fn row(name: &'static str, sentence: &'static str) -> Row {
    Row::new(name, sentence).spec(&json!({ "enableServiceLinks": false }))
}

pub(super) fn rows() -> Vec<Row> {
    [env_from(), keys()].into_iter().flatten().collect()
}

/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/#configure-all-key-value-pairs-in-a-configmap-as-container-environment-variables>
fn env_from() -> Vec<Row> {
    let special = json!({ "SPECIAL_LEVEL": "very", "SPECIAL_TYPE": "charm" });
    let names = json!({ "app.properties": "a=b", "log-level": "debug" });
    let with_bytes = with(config_map("odd-names", &names), &json!({ "binaryData": { "logo": "/wD+" } }));
    vec![
        row("all-keys", "envFrom makes a variable of each key of a ConfigMap")
            .with(config_map("special-config", &special))
            .main(&json!({ "envFrom": [{ "configMapRef": { "name": "special-config" } }] }))
            .runs()
            .env(&[("SPECIAL_LEVEL", "very"), ("SPECIAL_TYPE", "charm")]),
        row("odd-keys", "keys with dots and dashes are variables too, binaryData is not")
            .with(with_bytes)
            .main(&json!({ "envFrom": [{ "configMapRef": { "name": "odd-names" } }] }))
            .runs()
            .env(&[("app.properties", "a=b"), ("log-level", "debug")]),
        row("prefix", "a prefix goes before each key")
            .with(secret("backend-user", &json!({ "username": "backend-admin", "password": "S!B\\*d$zDsb=" })))
            .main(&json!({ "envFrom": [{ "prefix": "DB_", "secretRef": { "name": "backend-user" } }] }))
            .runs()
            .env(&[("DB_username", "backend-admin"), ("DB_password", "S!B\\*d$zDsb=")]),
        row("later-wins", "of the same name the later source wins, and env over envFrom")
            .with(config_map("first", &json!({ "A": "first", "B": "first", "C": "first" })))
            .with(config_map("second", &json!({ "B": "second", "C": "second" })))
            .main(&json!({
                "envFrom": [{ "configMapRef": { "name": "first" } }, { "configMapRef": { "name": "second" } }],
                "env": [{ "name": "C", "value": "own" }],
            }))
            .runs()
            .env(&[("A", "first"), ("B", "second"), ("C", "own")]),
        row("optional-sources", "an optional source that is not there gives nothing")
            .main(&json!({
                "envFrom": [{ "configMapRef": { "name": "nowhere", "optional": true } },
                            { "secretRef": { "name": "nowhere", "optional": true } }],
                "env": [{ "name": "A", "value": "a" }],
            }))
            .runs()
            .env(&[("A", "a")]),
    ]
}

/// <https://kubernetes.io/docs/tasks/inject-data-application/distribute-credentials-secure/#define-container-environment-variables-using-secret-data>
fn keys() -> Vec<Row> {
    let from = |kind: &str, name: &str, key: &str, optional: bool| json!({ kind: { "name": name, "key": key, "optional": optional } });
    vec![
        row("single-keys", "configMapKeyRef and secretKeyRef give one value each, under another name")
            .with(config_map("single-map", &json!({ "special.how": "very", "other": "unused" })))
            .with(secret("single-secret", &json!({ "backend-username": "backend-admin" })))
            .main(&json!({ "env": [
                { "name": "SPECIAL_LEVEL_KEY", "valueFrom": from("configMapKeyRef", "single-map", "special.how", false) },
                { "name": "SECRET_USERNAME", "valueFrom": from("secretKeyRef", "single-secret", "backend-username", false) },
            ] }))
            .runs()
            .env(&[("SPECIAL_LEVEL_KEY", "very"), ("SECRET_USERNAME", "backend-admin")]),
        row("optional-keys", "an optional key that is not there leaves the variable out")
            .with(config_map("optional-map", &json!({ "there": "yes" })))
            .main(&json!({ "env": [
                { "name": "A", "valueFrom": from("configMapKeyRef", "optional-map", "nope", true) },
                { "name": "B", "valueFrom": from("configMapKeyRef", "nowhere", "nope", true) },
                { "name": "C", "valueFrom": from("secretKeyRef", "nowhere", "nope", true) },
                { "name": "D", "valueFrom": from("configMapKeyRef", "optional-map", "there", true) },
            ] }))
            .runs()
            .env(&[("D", "yes")]),
        row("not-expanded", "what comes from an object is not expanded, and can be referred to")
            .with(secret("dollars", &json!({ "password": "$(USER)$$" })))
            .main(&json!({ "env": [
                { "name": "USER", "value": "admin" },
                { "name": "PASSWORD", "valueFrom": from("secretKeyRef", "dollars", "password", false) },
                { "name": "LOGIN", "value": "$(USER):$(PASSWORD)" },
            ] }))
            .runs()
            .env(&[("USER", "admin"), ("PASSWORD", "$(USER)$$"), ("LOGIN", "admin:$(USER)$$")]),
    ]
}
