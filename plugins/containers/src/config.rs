//! What the operator may set, and the node that comes of it.
//!
//! In: the `config:` section and what the engine tells of its machine. Out: a configuration and the node's facts. Invariant: what is set wins, and
//! what is missing is the machine's.

use pluglet_sdk::kubernetes::Quantity;
use pluglet_sdk::{NodeFacts, Resources};
use serde::Deserialize;

const SANDBOX_IMAGE: &str = "registry.k8s.io/pause:3.10.1";

/// What is missing keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
    pods: Option<Quantity>,
    ephemeral_storage: Option<Quantity>,
    sandbox_image: Option<String>,
    /// In place of what the image runs by itself.
    pub(crate) sandbox_command: Vec<String>,
    /// Connects its input and output with a port of the pod; `{port}` is the port. Empty: not this way.
    pub(crate) sandbox_forward: Vec<String>,
    /// A network of the engine.
    network: Option<String>,
    /// Where the pods' cgroups are.
    pub(crate) cgroup_parent: Option<String>,
    /// Lower ones need a right that the engine may lack.
    min_oom_score_adjust: Option<i32>,
}

impl Config {
    pub(crate) fn sandbox_image(&self) -> &str {
        self.sandbox_image.as_deref().unwrap_or(SANDBOX_IMAGE)
    }

    /// Both engines call their default network so when they are asked.
    pub(crate) fn network(&self) -> &str {
        self.network.as_deref().unwrap_or("bridge")
    }

    /// What a container may use, as far as the engine can give it.
    pub(crate) fn resources(&self, wanted: &Resources) -> Resources {
        let least = self.min_oom_score_adjust.unwrap_or(i32::MIN);
        Resources { oom_score_adjust: wanted.oom_score_adjust.max(least), ..wanted.clone() }
    }

    /// The command that forwards one connection.
    pub(crate) fn forward(&self, port: u16) -> Option<Vec<String>> {
        let words = self.sandbox_forward.iter().map(|word| word.replace("{port}", &port.to_string()));
        (!self.sandbox_forward.is_empty()).then(|| words.collect())
    }

    pub(crate) fn node(&self, machine: &Machine) -> NodeFacts {
        let set = |node: NodeFacts, name: &str, quantity: &Option<Quantity>| match quantity {
            Some(quantity) => node.resource(name, quantity),
            None => node,
        };
        let mut node = NodeFacts::default().pods("110");
        if machine.ncpu > 0 {
            node = node.cpu(machine.ncpu.to_string());
        }
        if machine.mem_total > 0 {
            node = node.memory(format!("{}Ki", machine.mem_total / 1024));
        }
        node = set(node, "cpu", &self.cpu);
        node = set(node, "memory", &self.memory);
        node = set(node, "pods", &self.pods);
        node = set(node, "ephemeral-storage", &self.ephemeral_storage);
        node.operating_system = if machine.os_type.is_empty() { "linux" } else { &machine.os_type }.to_owned();
        node.architecture(architecture(&machine.architecture))
    }
}

/// What the engine tells of its machine (`/info`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Machine {
    #[serde(rename = "NCPU")]
    ncpu: u64,
    mem_total: u64,
    architecture: String,
    #[serde(rename = "OSType")]
    os_type: String,
}

/// As in GOARCH. Docker says it as the kernel does, Podman as Go does.
fn architecture(word: &str) -> &str {
    match word {
        "" | "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_the_engines_machine_unless_the_operator_says_otherwise() {
        let docker = r#"{"NCPU": 2, "MemTotal": 25276502016, "Architecture": "aarch64", "OSType": "linux"}"#;
        let machine: Machine = serde_json::from_str(docker).unwrap();
        let node = Config::default().node(&machine);
        let resource = |name: &str| node.capacity[name].clone();
        assert_eq!(
            (resource("cpu"), resource("memory"), resource("pods")),
            ("2".into(), "24684084Ki".into(), "110".into())
        );
        assert_eq!((node.architecture.as_str(), node.operating_system.as_str()), ("arm64", "linux"));
        let config: Config = serde_json::from_str(r#"{"cpu": 1, "ephemeralStorage": "5Gi"}"#).unwrap();
        let node = config.node(&machine);
        assert_eq!((node.capacity["cpu"].as_str(), node.capacity["ephemeral-storage"].as_str()), ("1", "5Gi"));
    }

    #[test]
    fn a_score_is_no_lower_than_the_engine_may_set() {
        let config: Config = serde_json::from_str(r#"{"minOomScoreAdjust": 0}"#).unwrap();
        let wanted = |oom_score_adjust| Resources { oom_score_adjust, ..Resources::default() };
        assert_eq!((config.resources(&wanted(-997)), config.resources(&wanted(900))), (wanted(0), wanted(900)));
        assert_eq!(Config::default().resources(&wanted(-997)), wanted(-997));
    }

    #[test]
    fn a_forwarding_command_names_the_port() {
        let config: Config = serde_json::from_str(r#"{"sandboxForward": ["nc", "127.0.0.1", "{port}"]}"#).unwrap();
        assert_eq!(config.forward(80).unwrap(), ["nc", "127.0.0.1", "80"]);
        assert_eq!(Config::default().forward(80), None);
    }
}
