//! Whether the provider runs the resources that the spec asks for (in-place resize, KEP-1287).
//!
//! In: changes of the spec, how updates end. Out: what the containers really have, and why they have not what they should. Invariant: a resize
//! is never left unanswered: clients wait for ever on one that is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use pluglet_model::provider::{Error, Retry};

use crate::status::{Allocated, PendingResize};

/// What a provider without updates answers to each resize.
const CANNOT: &str = "the provider cannot change the resources of a pod that runs";

/// The resources of a pod's containers.
pub(super) struct Resize {
    /// What the containers have, where that is not what the spec says.
    allocated: Option<Box<Allocated>>,
    pending: Option<PendingResize>,
    updates: bool,
}

impl Resize {
    /// Goes on where an earlier process has stopped: what it could not do is in the status.
    pub(super) fn of(pod: &Pod, baseline: &PodStatus, updates: bool) -> Self {
        let pending = PendingResize::told(baseline, pod.metadata.generation);
        let allocated = pending.is_some().then(|| {
            let statuses = baseline.container_statuses.iter().flatten();
            Box::new(statuses.filter_map(|status| Some((status.name.clone(), status.resources.clone()?))).collect())
        });
        Self { allocated, pending, updates }
    }

    pub(super) fn spec_changed(&mut self, before: &Pod, now: &Pod) {
        let (had, wants) = (resources(before), resources(now));
        let has = self.allocated.as_deref().unwrap_or(&had);
        if *has == wants {
            (self.allocated, self.pending) = (None, None);
        } else if had != wants {
            self.allocated.get_or_insert_with(|| Box::new(had));
            self.pending = (!self.updates).then(|| PendingResize { infeasible: true, message: CANNOT.to_owned() });
        }
    }

    /// An update to `given` has ended; `now` is what the spec has come to say meanwhile, another resize perhaps.
    pub(super) fn updated(&mut self, given: &Arc<Pod>, now: &Arc<Pod>, error: Option<&Error>) {
        let Some(allocated) = &self.allocated else { return };
        match error {
            None => {
                let has = resources(given);
                self.allocated = (has != resources(now)).then(|| Box::new(has));
                self.pending = None;
            }
            Some(_) if **allocated == resources(given) => {}
            Some(error) => {
                let infeasible = error.retry() == Retry::Never;
                self.pending = Some(PendingResize { infeasible, message: error.to_string() });
            }
        }
    }

    /// What the containers have. None: what the spec says.
    pub(super) fn allocated(&self) -> Option<&Allocated> {
        self.allocated.as_deref()
    }

    pub(super) fn pending(&self) -> Option<&PendingResize> {
        self.pending.as_ref()
    }
}

fn resources(pod: &Pod) -> Allocated {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|container| (container.name.clone(), of_container(container.resources.as_ref()))).collect()
}

fn of_container(resources: Option<&ResourceRequirements>) -> ResourceRequirements {
    resources.cloned().unwrap_or_default()
}
