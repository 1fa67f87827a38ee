//! Whether the provider runs the resources that the spec asks for (in-place resize, KEP-1287).
//!
//! In: changes of the spec, how updates end. Out: what the containers really have, and why they have not what they should. Invariant: a resize
//! is never left unanswered: clients wait for ever on one that is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use pluglet_model::provider::{Error, Retry};
use pluglet_rules::quantity::Quantity;

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
        let statuses = baseline.container_statuses.iter().flatten();
        let has = statuses.filter_map(|status| Some((status.name.clone(), status.resources.clone()?)));
        let has: Allocated = has.filter(|(name, has)| !same(has, &of(pod, name))).collect();
        if has.is_empty() {
            return Self { allocated: None, pending: None, updates };
        }
        let mut allocated = resources(pod);
        for (name, resources) in &mut allocated {
            if let Some((_, has)) = has.iter().find(|(known, _)| known == name) {
                resources.clone_from(has);
            }
        }
        let pending = PendingResize::told(baseline).or_else(|| (!updates).then(cannot));
        Self { allocated: Some(Box::new(allocated)), pending, updates }
    }

    /// The spec has changed. One of which the provider has not heard yet (`given` is false) will be created as it is now.
    pub(super) fn spec_changed(&mut self, before: &Pod, now: &Pod, given: bool) {
        if !given {
            (self.allocated, self.pending) = (None, None);
            return;
        }
        let (had, wants) = (resources(before), resources(now));
        let has = self.allocated.as_deref().unwrap_or(&had);
        if *has == wants {
            (self.allocated, self.pending) = (None, None);
        } else if had != wants {
            self.allocated.get_or_insert_with(|| Box::new(had));
            self.pending = (!self.updates).then(cannot);
        }
    }

    /// It was created as `given`; `now` is what the spec has come to say meanwhile.
    pub(super) fn created(&mut self, given: &Pod, now: &Pod) {
        let has = resources(given);
        self.allocated = (has != resources(now)).then(|| Box::new(has));
        self.pending = (self.allocated.is_some() && !self.updates).then(cannot);
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

/// Whether more than resources differs between two specs.
pub(super) fn is_more(given: &Pod, now: &Pod) -> bool {
    let without = |pod: &Pod| {
        let mut spec = pod.spec.clone().unwrap_or_default();
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            container.resources = None;
        }
        spec.resources = None;
        spec
    };
    without(given) != without(now)
}

fn resources(pod: &Pod) -> Allocated {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|container| (container.name.clone(), of_container(container.resources.as_ref()))).collect()
}

fn of(pod: &Pod, container: &str) -> ResourceRequirements {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    of_container(containers.find(|known| known.name == container).and_then(|known| known.resources.as_ref()))
}

/// Whether both mean the same: a provider may write an amount in another way, and nothing may be left out.
fn same(one: &ResourceRequirements, other: &ResourceRequirements) -> bool {
    type List = std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>;
    let list = |list: &Option<List>| -> Vec<(String, Option<Quantity>, String)> {
        let amounts = list.iter().flatten();
        amounts.map(|(name, amount)| (name.clone(), Quantity::parse(&amount.0).ok(), amount.0.clone())).collect()
    };
    let equal = |one: &Option<List>, other: &Option<List>| {
        let (one, other) = (list(one), list(other));
        one.len() == other.len()
            && one.iter().zip(&other).all(|((name, amount, text), (also, same, written))| {
                name == also && (text == written || (amount.is_some() && amount == same))
            })
    };
    equal(&one.requests, &other.requests) && equal(&one.limits, &other.limits)
}

fn cannot() -> PendingResize {
    PendingResize { infeasible: true, message: CANNOT.to_owned() }
}

fn of_container(resources: Option<&ResourceRequirements>) -> ResourceRequirements {
    resources.cloned().unwrap_or_default()
}
