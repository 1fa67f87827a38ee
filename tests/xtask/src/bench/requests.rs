//! The requests of load and bare client, as plain JSON: the less this program spends on them, the less it disturbs.

use anyhow::{Context, Result};
use http::{Method, Request};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::load::Names;

/// The part of a pod that is looked at.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PodView {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) status: Status,
}

/// Of a pod, or of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) phase: String,
}

/// A list of which only the metadata is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct ListView {
    pub(super) metadata: Metadata,
}

/// Patches lists of conditions and containers the way a kubelet does.
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json";

/// Sends a request whose answer does not matter, unless it is an error.
pub(super) async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<()> {
    let what = format!("{} {}", request.method(), request.uri().path());
    client.request_text(request).await.with_context(|| what)?;
    Ok(())
}

/// Creates a pod that no scheduler takes and no service account token is mounted into but one that it names itself.
pub(super) fn create(namespace: &str, name: &str, names: Names) -> Result<Request<Vec<u8>>> {
    let volumes = match names {
        Names::Nothing => json!([]),
        Names::Objects => json!([
            {"name": "settings", "configMap": {"name": name}},
            {"name": "login", "secret": {"secretName": name}},
            {"name": "token", "projected": {"sources": [
                {"serviceAccountToken": {"audience": "bench", "expirationSeconds": 3600, "path": "token"}},
            ]}},
        ]),
    };
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "schedulerName": "bench",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}],
            "volumes": volumes,
        },
    });
    request(Method::POST, &format!("/api/v1/namespaces/{namespace}/pods"), JSON, &pod)
}

/// Creates the Secret and the ConfigMap that a pod of that name names, with as much in them as small ones have.
pub(super) fn objects(namespace: &str, name: &str) -> Result<[Request<Vec<u8>>; 2]> {
    let metadata = json!({"name": name});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
                        "stringData": {"username": "bench", "password": "correct horse battery staple"}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                     "data": {"settings.yaml": "listen: 0.0.0.0:8080\nlog: info\nworkers: 4\n"}});
    Ok([
        request(Method::POST, &format!("/api/v1/namespaces/{namespace}/secrets"), JSON, &secret)?,
        request(Method::POST, &format!("/api/v1/namespaces/{namespace}/configmaps"), JSON, &map)?,
    ])
}

/// Binds a pod to a node, as a scheduler does.
pub(super) fn bind(namespace: &str, name: &str, node: &str) -> Result<Request<Vec<u8>>> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    request(Method::POST, &format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"), JSON, &binding)
}

/// Deletes a pod: the user's delete with a grace period, or, with grace 0 and the UID, the node's final one.
pub(super) fn delete(namespace: &str, name: &str, grace: u32, uid: Option<&str>) -> Result<Request<Vec<u8>>> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": grace});
    if let (Some(uid), Some(options)) = (uid, options.as_object_mut()) {
        options.insert("preconditions".to_owned(), json!({"uid": uid}));
    }
    request(Method::DELETE, &format!("/api/v1/namespaces/{namespace}/pods/{name}"), JSON, &options)
}

/// A node's report on a pod.
pub(super) fn patch_status(namespace: &str, name: &str, uid: &str, status: &Value) -> Result<Request<Vec<u8>>> {
    let patch = json!({"metadata": {"uid": uid}, "status": status});
    request(Method::PATCH, &format!("/api/v1/namespaces/{namespace}/pods/{name}/status"), STRATEGIC_MERGE, &patch)
}

/// The watch's and the list's path: all pods of a namespace.
pub(super) fn pods(namespace: &str, query: &str) -> Result<Request<Vec<u8>>> {
    Ok(Request::get(format!("/api/v1/namespaces/{namespace}/pods?{query}")).body(vec![])?)
}

fn request(method: Method, path: &str, content_type: &str, body: &Value) -> Result<Request<Vec<u8>>> {
    let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, content_type);
    Ok(request.body(serde_json::to_vec(body)?)?)
}
