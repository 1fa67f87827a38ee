//! The pods as others may read them: the kubelet server looks pods up here.
//!
//! In: each object that the dispatcher sees. Out: look-ups by namespace and name. Invariant: read only for everybody but the
//! dispatcher; an entry is never older than what the dispatcher has handed to the pod's actor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::PodKey;

use super::kept::Kept;

type Name = (Arc<str>, Arc<str>);

/// A pod as the API server holds it: the object without its status, and the status.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub key: PodKey,
    pub object: Arc<Kept<Pod>>,
    pub status: Arc<Kept<PodStatus>>,
}

impl Seen {
    /// Takes an object apart. The parts change at different times, and each is kept once in this process. None for an object without UID or
    /// name, which the API server never sends.
    pub(crate) fn of(mut pod: Pod) -> Option<Self> {
        let key = PodKey::of(&pod)?;
        let status = Kept::new(pod.status.take().unwrap_or_default());
        Some(Self { key, object: Kept::new(pod), status })
    }
}

/// All pods of this node, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct PodsView {
    pods: RwLock<HashMap<Name, Seen>>,
}

impl PodsView {
    /// The pod that has this name now.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Seen> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.get(&(namespace.into(), name.into())).cloned()
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Enters a pod. Answers the UID of another pod that had this name, which therefore does not exist any more.
    pub(crate) fn put(&self, seen: &Seen) -> Option<Arc<str>> {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let before = pods.insert((seen.key.namespace.clone(), seen.key.name.clone()), seen.clone());
        before.filter(|other| other.key != seen.key).map(|other| other.key.uid)
    }

    /// Takes a pod out, unless its name belongs to another pod by now.
    pub(crate) fn remove(&self, key: &PodKey) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let name = (key.namespace.clone(), key.name.clone());
        if pods.get(&name).is_some_and(|holder| holder.key == *key) {
            pods.remove(&name);
        }
    }
}
