//! The labels of everything that is made in the engine.
//!
//! In: what the host asked for. Out: labels, and what they tell when they are found again. Invariant: what lacks the labels of this node **and** of
//! this cluster belongs to somebody else.

use std::collections::BTreeMap;

use pluglet_sdk::{ContainerConfig, PodRef, SandboxConfig};
use serde_json::json;

pub(crate) type Labels = BTreeMap<String, String>;

const CLUSTER: &str = "dev.pluglet.cluster";
const NODE: &str = "dev.pluglet.node";
pub(crate) const UID: &str = "dev.pluglet.uid";
const NAMESPACE: &str = "dev.pluglet.namespace";
const POD: &str = "dev.pluglet.pod";
pub(crate) const KIND: &str = "dev.pluglet.kind";
pub(crate) const ATTEMPT: &str = "dev.pluglet.attempt";
pub(crate) const CONTAINER: &str = "dev.pluglet.container";
pub(crate) const SANDBOX: &str = "dev.pluglet.sandbox";
pub(crate) const IMAGE: &str = "dev.pluglet.image";
/// Only there where it is so. Podman forgets it.
const STDIN_ONCE: &str = "dev.pluglet.stdin-once";
const HOST: &str = "dev.pluglet.host.";

/// What a container of the engine is to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sandbox,
    Container,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Container => "container",
        }
    }
}

/// Whose things these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: String,
    pub(crate) node: String,
}

impl Owner {
    /// Whether these are labels of something of ours. Never trust a filter alone: Podman's for events takes what fits any one of several labels.
    pub(crate) fn owns(&self, labels: &Labels) -> bool {
        labels.get(CLUSTER) == Some(&self.cluster) && labels.get(NODE) == Some(&self.node)
    }

    /// The engine's filter for what is ours, and has these labels too.
    pub(crate) fn filter(&self, more: &[(&str, &str)]) -> String {
        json!({"label": self.wanted(more)}).to_string()
    }

    /// The same for running containers.
    pub(crate) fn filter_running(&self, more: &[(&str, &str)]) -> String {
        json!({"label": self.wanted(more), "status": ["running"]}).to_string()
    }

    /// The same for volumes that no container has.
    pub(crate) fn filter_unused(&self) -> String {
        json!({"label": self.wanted(&[]), "dangling": ["true"]}).to_string()
    }

    /// The filter for events, which may let others through. One label only: where several are given, Podman takes what has any of them.
    pub(crate) fn filter_events(&self) -> String {
        json!({"label": [format!("{NODE}={}", self.node)], "type": ["container"]}).to_string()
    }

    fn wanted(&self, more: &[(&str, &str)]) -> Vec<String> {
        let own = [(CLUSTER, self.cluster.as_str()), (NODE, self.node.as_str())];
        own.iter().chain(more).map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Labels of something that belongs to a pod.
    pub(crate) fn of_pod(&self, pod: &PodRef) -> Labels {
        labels(&[
            (CLUSTER, &self.cluster),
            (NODE, &self.node),
            (UID, &pod.uid),
            (NAMESPACE, &pod.namespace),
            (POD, &pod.name),
        ])
    }

    pub(crate) fn of_sandbox(&self, config: &SandboxConfig) -> Labels {
        let mut all = self.of_pod(&config.pod);
        all.extend(labels(&[(KIND, Kind::Sandbox.word()), (ATTEMPT, &config.attempt.to_string())]));
        all
    }

    pub(crate) fn of_container(&self, sandbox_id: &str, pod: &PodRef, config: &ContainerConfig) -> Labels {
        let mut all = self.of_pod(pod);
        all.extend(labels(&[
            (KIND, Kind::Container.word()),
            (ATTEMPT, &config.attempt.to_string()),
            (CONTAINER, &config.name),
            (SANDBOX, sandbox_id),
            (IMAGE, &config.image),
        ]));
        if config.stdin && config.stdin_once {
            all.extend(labels(&[(STDIN_ONCE, "true")]));
        }
        all.extend(config.labels.iter().map(|(name, value)| (format!("{HOST}{name}"), value.clone())));
        all
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn text(labels: &Labels, name: &str) -> String {
    labels.get(name).cloned().unwrap_or_default()
}

pub(crate) fn attempt(labels: &Labels) -> u32 {
    labels.get(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whether the end of the first attached session's input is the end of the container's.
pub(crate) fn stdin_once(labels: &Labels) -> bool {
    labels.contains_key(STDIN_ONCE)
}

pub(crate) fn kind(labels: &Labels) -> Option<Kind> {
    [Kind::Sandbox, Kind::Container].into_iter().find(|kind| labels.get(KIND).map(String::as_str) == Some(kind.word()))
}

/// The pod. Its generation is not known any more.
pub(crate) fn pod(labels: &Labels) -> Option<PodRef> {
    let uid = labels.get(UID)?.clone();
    Some(PodRef { uid, namespace: text(labels, NAMESPACE), name: text(labels, POD), generation: 0 })
}

/// The labels that the host gave.
pub(crate) fn of_host(labels: &Labels) -> Vec<(String, String)> {
    let own = labels.iter().filter_map(|(name, value)| Some((name.strip_prefix(HOST)?.to_owned(), value.clone())));
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { cluster: "c".to_owned(), node: "n".to_owned() }
    }

    fn web() -> PodRef {
        PodRef { uid: "u".to_owned(), namespace: "shop".to_owned(), name: "web".to_owned(), generation: 0 }
    }

    #[test]
    fn labels_tell_again_what_was_asked_for() {
        let config = ContainerConfig {
            name: "main".to_owned(),
            attempt: 2,
            image: "nginx".to_owned(),
            labels: vec![("hash".to_owned(), "7".to_owned())],
            ..ContainerConfig::default()
        };
        let labels = owner().of_container("s", &web(), &config);
        assert_eq!(pod(&labels), Some(web()));
        assert_eq!((kind(&labels), attempt(&labels)), (Some(Kind::Container), 2));
        assert_eq!((text(&labels, CONTAINER), text(&labels, SANDBOX)), ("main".to_owned(), "s".to_owned()));
        assert_eq!(of_host(&labels), [("hash".to_owned(), "7".to_owned())]);
        assert!(owner().owns(&labels));
    }

    #[test]
    fn one_label_of_two_is_somebody_elses() {
        let labels = owner().of_pod(&web());
        for other in [Owner { node: "m".to_owned(), ..owner() }, Owner { cluster: "d".to_owned(), ..owner() }] {
            assert!(!other.owns(&labels));
        }
        assert!(!owner().owns(&Labels::new()));
    }

    #[test]
    fn every_list_is_filtered_by_both() {
        assert_eq!(
            owner().filter(&[(UID, "u")]),
            r#"{"label":["dev.pluglet.cluster=c","dev.pluglet.node=n","dev.pluglet.uid=u"]}"#
        );
    }
}
