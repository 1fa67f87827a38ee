//! The pods as others may read them: the kubelet server looks pods up here.
//!
//! In: each object that the dispatcher sees. Out: look-ups by namespace and name. Invariant: read only for everybody but the
//! dispatcher; an entry is never older than what the dispatcher has handed to the pod's actor.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Pod;
use pluglet_model::PodKey;

type Name = (Arc<str>, Arc<str>);

/// All pods of this node, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct PodsView {
    pods: RwLock<HashMap<Name, (PodKey, Arc<Pod>)>>,
}

impl PodsView {
    /// The pod that has this name now.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<(PodKey, Arc<Pod>)> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.get(&(namespace.into(), name.into())).cloned()
    }

    /// Enters a pod. Answers the UID of another pod that had this name, which therefore does not exist any more.
    pub(crate) fn put(&self, key: &PodKey, pod: Arc<Pod>) -> Option<Arc<str>> {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let before = pods.insert((key.namespace.clone(), key.name.clone()), (key.clone(), pod));
        before.filter(|(other, _)| other != key).map(|(other, _)| other.uid)
    }

    /// Takes a pod out, unless its name belongs to another pod by now.
    pub(crate) fn remove(&self, key: &PodKey) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let name = (key.namespace.clone(), key.name.clone());
        if pods.get(&name).is_some_and(|(holder, _)| holder == key) {
            pods.remove(&name);
        }
    }
}
