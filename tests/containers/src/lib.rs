//! What the tests with real containers share: a cluster's namespace, an engine and a node above it, all of a test's own.
//!
//! In: the control plane, the pluglet binary and the components that `cargo xtask test` names in the environment; podman, installed if it may be. Out:
//! [`Setup`]. Invariant: at the end nothing is left in the engine that a test did not put there itself.

use anyhow::Result;
use cluster::{Node, NodeOptions, SOON, World};
use controlplane::wait::{Answer, until};
use engine::{BUSYBOX, Engine, Options};
use serde_json::{Value, json};

/// What the node grants its pods, and how its sandboxes are made without a registry.
pub const CONFIG: &str = r#"
config:
  sandboxImage: localhost/busybox:1
  sandboxCommand: ["/bin/sh", "-c", "trap 'exit 0' TERM INT; sleep 2147483 & wait"]
  sandboxForward: ["nc", "127.0.0.1", "{port}"]
  minOomScoreAdjust: 0
containers:
  volumes: directory
  subPaths: true
"#;

/// A node above an engine.
pub struct Setup {
    /// The namespace.
    pub world: World,
    /// pluglet.
    pub node: Node,
    /// podman.
    pub engine: Engine,
}

impl Setup {
    /// None where no engine can be had; that has been told then.
    pub async fn new(name: &str) -> Result<Option<Self>> {
        Self::with(name, Options::default(), CONFIG).await
    }

    /// The same with another engine or configuration.
    pub async fn with(name: &str, options: Options, config: &'static str) -> Result<Option<Self>> {
        let Some(engine) = Engine::start(options).await?.ready() else { return Ok(None) };
        let world = World::new(name).await?;
        let socket = engine.socket();
        let endpoint = format!("endpoints:\n  engine:\n    url: unix://{}\n    upgrade: true\n", socket.display());
        let options = NodeOptions { provider: "containers", config, more_config: endpoint, ..NodeOptions::default() };
        let node = world.node_with(&format!("node-{name}"), options).await?;
        Ok(Some(Self { world, node, engine }))
    }

    /// A pod with this spec; containers without an image get busybox.
    pub async fn create(&self, name: &str, spec: &Value) -> Result<()> {
        self.world.create(&[self.pod(name, spec)]).await
    }

    /// The same, to be changed further.
    #[must_use]
    pub fn pod(&self, name: &str, spec: &Value) -> Value {
        let policy = spec.get("restartPolicy").and_then(Value::as_str).unwrap_or("Always");
        let mut pod = cluster::pod(&self.node.name, name, &json!({}), policy);
        let Some(own) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return pod };
        own.insert("automountServiceAccountToken".to_owned(), json!(false));
        own.extend(spec.as_object().cloned().unwrap_or_default());
        for list in ["initContainers", "containers"] {
            let containers = own.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.entry("image").or_insert_with(|| json!(BUSYBOX));
            }
        }
        pod
    }

    /// Waits until nothing is left: no container, no volume, no file of a pod.
    pub async fn nothing_left(&self) -> Result<()> {
        until("the engine to be empty", SOON, async || {
            let containers = self.engine.containers().await?;
            let volumes = self.engine.volumes().await?;
            let files: Vec<_> = std::fs::read_dir(self.node.state().join("pods"))?.collect::<Result<_, _>>()?;
            if containers.is_empty() && volumes.is_empty() && files.is_empty() {
                return Ok(Answer::Yes(()));
            }
            let names = containers.iter().filter_map(|container| container.get("Names"));
            Ok(Answer::NotYet(format!("{:?} {volumes:?} {files:?}", names.collect::<Vec<_>>())))
        })
        .await
    }
}
