//! One test's part of the cluster.
//!
//! In: the control plane. Out: a namespace, `kubectl`, waiting for pods by watch. Invariant: waiting is driven by events and always bounded.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use controlplane::wait::{Answer, until};
use controlplane::{ControlPlane, TestNamespace};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event as PodEvent, Pod};
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{Node, NodeOptions, SOON, phase};

/// A namespace and what is needed to use it.
pub struct World {
    /// The control plane.
    pub plane: &'static ControlPlane,
    /// An administrator's client.
    pub client: Client,
    /// The test's namespace.
    pub namespace: TestNamespace<'static>,
}

impl World {
    /// A fresh namespace on the shared control plane.
    pub async fn new(name: &str) -> Result<Self> {
        Self::on(ControlPlane::shared().await?, name).await
    }

    /// A fresh namespace on a control plane of the test's own.
    pub async fn on(plane: &'static ControlPlane, name: &str) -> Result<Self> {
        let client = plane.client().await?;
        let namespace = TestNamespace::create(plane, &client, name).await?;
        Ok(Self { plane, client, namespace })
    }

    /// A node that runs the mock provider.
    pub async fn node(&self, name: &str) -> Result<Node> {
        self.node_with(name, NodeOptions::default()).await
    }

    /// A node of another kind.
    pub async fn node_with(&self, name: &str, options: NodeOptions) -> Result<Node> {
        Node::start(self.plane, &self.client, name, options).await
    }

    /// The namespace's pods.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    /// Runs kubectl in the namespace; an exit code other than 0 is an error with what it printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.kubectl_output(arguments, None).await?;
        if !output.status.success() {
            bail!("kubectl {arguments:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs kubectl; the test looks at how it ended.
    pub async fn kubectl_output(&self, arguments: &[&str], input: Option<String>) -> Result<Output> {
        let mut command = self.namespace.kubectl();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = tokio::task::spawn_blocking(move || -> Result<Output> {
            let mut child = command.spawn().context("kubectl")?;
            if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
                stdin.write_all(input.as_bytes())?;
            }
            Ok(child.wait_with_output()?)
        });
        tokio::time::timeout(SOON, run).await.with_context(|| format!("kubectl {arguments:?} did not end"))??
    }

    /// kubectl apply.
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        let output = self.kubectl_output(&["apply", "-f", "-"], Some(manifest.to_string())).await?;
        if !output.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// kubectl create, for all of these in one call. Unlike apply it leaves no annotation behind.
    pub async fn create(&self, objects: &[Value]) -> Result<()> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let output = self.kubectl_output(&["create", "-f", "-"], Some(list.to_string())).await?;
        if !output.status.success() {
            bail!("kubectl create: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// A pod that is there.
    pub async fn pod(&self, name: &str) -> Result<Pod> {
        self.pods().get(name).await.with_context(|| format!("pod {name}"))
    }

    /// What the provider holds of a container, see [`crate::revealed`].
    pub async fn revealed(&self, pod: &str, container: &str) -> Result<Value> {
        crate::revealed(&self.pods(), pod, container).await
    }

    /// Waits until the provider holds of the container `main` what `wanted` asks for; answers it.
    pub async fn until_revealed(&self, pod: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        until(&format!("the provider to hold for {pod}: {what}"), SOON, async || {
            Ok(match self.revealed(pod, "main").await {
                Ok(held) if wanted(&held) => Answer::Yes(held),
                Ok(held) => Answer::NotYet(held.to_string()),
                Err(error) => Answer::NotYet(format!("{error:#}")),
            })
        })
        .await
    }

    /// All events of the namespace.
    pub async fn events(&self) -> Result<Vec<PodEvent>> {
        let events = Api::<PodEvent>::namespaced(self.client.clone(), self.namespace.name());
        Ok(events.list(&ListParams::default()).await?.items)
    }

    /// Waits for an event on the pod with this UID whose reason is that and whose message has `part` in it; answers the message.
    pub async fn until_event(&self, uid: &str, reason: &str, part: &str) -> Result<String> {
        until(&format!("an event {reason} that says {part:?}"), SOON, async || {
            let of_pod = |event: &PodEvent| event.involved_object.uid.as_deref() == Some(uid);
            let events: Vec<_> = self.events().await?.into_iter().filter(of_pod).collect();
            let told = events.iter().find_map(|event| {
                let message = event.message.clone().unwrap_or_default();
                (event.reason.as_deref() == Some(reason) && message.contains(part)).then_some(message)
            });
            let seen =
                || events.iter().map(|event| format!("{:?}: {:?}", event.reason, event.message)).collect::<Vec<_>>();
            Ok(told.map_or_else(|| Answer::NotYet(seen().join("; ")), Answer::Yes))
        })
        .await
    }

    /// Waits until the namespace's pods are as wanted; answers them.
    pub async fn until_pods(&self, what: &str, wanted: impl Fn(&[Pod]) -> bool) -> Result<Vec<Pod>> {
        self.until_pods_within(what, SOON, wanted).await
    }

    /// The same with another bound.
    pub async fn until_pods_within(
        &self,
        what: &str,
        bound: Duration,
        wanted: impl Fn(&[Pod]) -> bool,
    ) -> Result<Vec<Pod>> {
        let mut seen: BTreeMap<String, Pod> = BTreeMap::new();
        let waiting = async {
            let mut events = watcher(self.pods(), watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = events.next().await {
                let complete = match event {
                    Ok(Event::Apply(pod)) => insert(&mut seen, pod),
                    Ok(Event::Delete(pod)) => seen.remove(crate::uid(&pod)).is_some(),
                    Ok(Event::Init) => {
                        seen.clear();
                        false
                    }
                    Ok(Event::InitApply(pod)) => {
                        insert(&mut seen, pod);
                        false
                    }
                    Ok(Event::InitDone) => true,
                    Err(_) => false,
                };
                let pods: Vec<Pod> = seen.values().cloned().collect();
                if complete && wanted(&pods) {
                    return Ok(pods);
                }
            }
            bail!("the watch ended");
        };
        if let Ok(outcome) = tokio::time::timeout(bound, waiting).await {
            return outcome;
        }
        let mut phases: BTreeMap<String, usize> = BTreeMap::new();
        for pod in seen.values() {
            *phases.entry(phase(pod).to_owned()).or_default() += 1;
        }
        bail!("waited {bound:?} for {what}; the pods are {phases:?}")
    }
}

fn insert(seen: &mut BTreeMap<String, Pod>, pod: Pod) -> bool {
    seen.insert(crate::uid(&pod).to_owned(), pod);
    true
}
