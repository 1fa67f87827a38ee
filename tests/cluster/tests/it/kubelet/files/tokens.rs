//! Service account tokens: asked for with the pod, for the audience and the time that the pod names.

use cluster::Row;
use serde_json::{Value, json};

fn token(audience: &str, seconds: u32) -> Value {
    json!({ "name": "v", "projected": { "sources": [
        { "serviceAccountToken": { "audience": audience, "expirationSeconds": seconds, "path": "vault-token" } },
    ] } })
}

/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection>
pub(super) fn rows() -> Vec<Row> {
    let claims = |name: &str, account: &str| {
        json!({
            "aud": ["vault"], "lifetime": 7200, "namespace": "{namespace}", "serviceAccount": account,
            "pod": name, "podUid": "{uid}",
        })
    };
    let robot = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "build-robot" } });
    vec![
        Row::new("token", "a token for an audience, bound to the pod, for as long as it asks for")
            .with(robot)
            .spec(&json!({ "serviceAccountName": "build-robot", "volumes": [token("vault", 7200)] }))
            .runs()
            .token("v", "vault-token", claims("token", "build-robot")),
        Row::new("own-token", "another pod of the same account has a token of its own")
            .spec(&json!({ "serviceAccountName": "build-robot", "volumes": [token("vault", 7200)] }))
            .runs()
            .token("v", "vault-token", claims("own-token", "build-robot")),
        // plugin/pkg/admission/serviceaccount adds it; pkg/registry/core/serviceaccount extends a token of 3607 seconds to a year, and says
        // when it should have been renewed.
        Row::new("api-access", "the volume that every pod gets: token, authority and namespace")
            .spec(&json!({ "automountServiceAccountToken": true }))
            .runs()
            .token(
                "kube-api-access-*",
                "token",
                json!({
                    "aud": ["https://kubernetes.default.svc"], "lifetime": 31_536_000, "warnAfter": 3607,
                    "namespace": "{namespace}", "serviceAccount": "default", "pod": "api-access", "podUid": "{uid}",
                }),
            )
            .file("kube-api-access-*", "namespace", "0644", "{namespace}")
            .file_says("kube-api-access-*", "ca.crt", "0644", "-----BEGIN CERTIFICATE-----"),
        // pkg/volume/projected/projected.go: 0600 when the owner or the group is known, which fsGroup then widens.
        Row::new("token-mode", "a token is readable by all, unless one user owns it")
            .spec(&json!({ "volumes": [token("vault", 7200)] }))
            .runs()
            .file_says("v", "vault-token", "0644", "."),
        Row::new("token-user", "with one runAsUser only that user may read it")
            .spec(&json!({ "securityContext": { "runAsUser": 1000 }, "volumes": [token("vault", 7200)] }))
            .runs()
            .file_says("v", "vault-token", "0600", "."),
        Row::new("token-group", "with fsGroup its owner and the group may")
            .spec(&json!({ "securityContext": { "fsGroup": 2000 }, "volumes": [token("vault", 7200)] }))
            .runs()
            .file_says("v", "vault-token", "0640", "."),
    ]
}
