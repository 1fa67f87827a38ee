//! A provider for a remote service that thinks in pods: every call of the host becomes one HTTP request.
//!
//! In: calls of the host. Out: requests to the endpoint `backend`, as the README describes them. Invariant: nothing is kept here, so a
//! restart loses nothing; the host polls the list, because the service has no way to call back.

use std::time::Duration;

use pluglet_sdk::kubernetes::Quantity;
use pluglet_sdk::{Error, Host, Info, Init, NodeFacts, PodRef, Provider, ResolvedPod, Response, Result, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The provider.
pub struct Webhook {
    host: Host,
    config: Config,
    owner: Owner,
}

/// Whose pods these are. Several nodes, and nodes of several clusters, may share the service.
struct Owner {
    node: String,
    cluster: String,
}

impl Owner {
    /// As the query of a request. Names of nodes and identities of clusters need no escaping there.
    fn query(&self) -> String {
        format!("?node={}&cluster={}", self.node, self.cluster)
    }

    /// Whether a listed pod is ours. One that does not say whose it is was asked for by the query.
    fn owns(&self, pod: &Listed) -> bool {
        pod.node.as_ref().is_none_or(|node| *node == self.node)
            && pod.cluster.as_ref().is_none_or(|cluster| *cluster == self.cluster)
    }
}

/// The kinds of volumes that need nothing of the host: a service reads in the spec what it is to mount.
const VOLUME_KINDS: [&str; 8] =
    ["csi", "emptyDir", "ephemeral", "hostPath", "image", "iscsi", "nfs", "persistentVolumeClaim"];

/// What the operator may set. What is missing keeps its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
    pods: Option<Quantity>,
    volume_kinds: Option<Vec<String>>,
}

/// A pod in the service's list.
#[derive(Deserialize)]
struct Listed {
    uid: String,
    namespace: String,
    name: String,
    #[serde(default)]
    generation: u64,
    /// The node that it was put by.
    node: Option<String>,
    /// The cluster of that node.
    cluster: Option<String>,
    /// Passed on as the service wrote it.
    status: Box<RawValue>,
}

impl Provider for Webhook {
    async fn start(host: Host, init: Init) -> Result<Self> {
        let config = init.config()?;
        Ok(Self { config, host, owner: Owner { node: init.node_name, cluster: init.cluster_id } })
    }

    fn info(&self) -> Info {
        let set = |node: NodeFacts, name: &str, quantity: &Option<Quantity>| match quantity {
            Some(quantity) => node.resource(name, quantity),
            None => node,
        };
        let node = set(NodeFacts::default(), "cpu", &self.config.cpu);
        let node = set(node, "memory", &self.config.memory);
        let kinds = self.config.volume_kinds.clone();
        let kinds = kinds.unwrap_or_else(|| VOLUME_KINDS.map(str::to_owned).to_vec());
        Info::new([]).volume_kinds(kinds).node(set(node, "pods", &self.config.pods))
    }

    async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        let path = format!("{}{}", path(&pod), self.owner.query());
        let request = self.host.endpoint("backend").put(path).json_text(spec.json);
        status(request.send().await?.ok()?)
    }

    async fn delete(&self, pod: PodRef, grace: Duration) -> Result<()> {
        let path = format!("{}?grace={}", path(&pod), grace.as_secs());
        self.host.endpoint("backend").delete(path).send().await?.ok()?;
        Ok(())
    }

    async fn status(&self, pod: PodRef) -> Result<Status> {
        status(self.host.endpoint("backend").get(path(&pod)).send().await?.ok()?)
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        // The host deletes what it finds here and does not know.
        let path = format!("/pods{}", self.owner.query());
        let answer = self.host.endpoint("backend").get(path).max_bytes(LONGEST_LIST).send().await?;
        let answer = match answer.ok() {
            // There is always a list. A 404 comes from something else, and no list at all would look like no pods.
            Err(Error::NotFound) => return Err(Error::unavailable("the service does not answer GET /pods")),
            answer => answer?,
        };
        let listed: Vec<Listed> = answer.json()?;
        let ours = listed.into_iter().filter(|pod| self.owner.owns(pod));
        Ok(ours.map(Listed::into_pair).collect())
    }
}

/// Room for ten thousand pods with several containers each.
const LONGEST_LIST: u32 = 64 << 20;

impl Listed {
    fn into_pair(self) -> (PodRef, Status) {
        let pod = PodRef { uid: self.uid, namespace: self.namespace, name: self.name, generation: self.generation };
        (pod, Status::from_json(Box::<str>::from(self.status).into_string()))
    }
}

/// UIDs consist of characters that need no escaping in a path.
fn path(pod: &PodRef) -> String {
    format!("/pods/{}", pod.uid)
}

/// The body of an answer is a status as it stands.
fn status(answer: Response) -> Result<Status> {
    Ok(Status::from_json(answer.text()?))
}

pluglet_sdk::export!(Webhook, {
    name: "webhook",
    description: "Hands pods to a remote service over a small REST protocol.",
    endpoints: [{
        name: "backend",
        why: "the service that runs the pods",
        methods: ["GET", "PUT", "DELETE"],
        paths: ["/pods", "/pods/*"],
    }],
    config_schema: include_str!("../config.schema.json"),
});
