//! What a pod asks of its node.
//!
//! In: a pod. Out: its effective requests, and the sum of those of many pods. Invariant: the same number that the
//! scheduler reserves (`PodRequests` of k8s.io/component-helpers/resource/helpers.go), from the spec alone: the API
//! server has already put limits in the place of missing requests, and what a status says of resized or allocated
//! resources is not looked at.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::quantity::Quantity;

/// Amounts by resource name, in the order of the names. Small, as there is one for each pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(Box<[(Box<str>, Quantity)]>);

impl Resources {
    /// A list as the API has it: a node's allocatable. The API server holds no quantity that cannot be read; one that
    /// cannot is left out.
    #[must_use]
    pub fn from_list(list: &BTreeMap<String, Text>) -> Self {
        Self(parsed(Some(list)).map(|(name, quantity)| (name.into(), quantity)).collect())
    }

    /// None if the resource is not named, which is not the same as a named zero.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Quantity> {
        let at = self.0.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.0.get(at).map(|(_, quantity)| *quantity)
    }

    /// Zero if the resource is not named.
    #[must_use]
    pub fn amount(&self, name: &str) -> Quantity {
        self.get(name).unwrap_or_default()
    }

    /// In the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, quantity)| (&**name, *quantity))
    }
}

/// Effective requests; what sums up to zero is left out.
///
/// Containers run side by side and add up, sidecars (init containers with restartPolicy Always) among them. An ordinary
/// init container runs alone but for the sidecars started before it, so the most demanding one counts, if it is more.
/// Where the pod itself sets cpu, memory or huge pages, that is what counts (KEP-2837). Overhead comes on top.
#[must_use]
pub fn requests(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let mut sums = of_containers(spec);
    let own = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    sums.extend(parsed(own).filter(|(name, _)| is_pod_level(name)));
    add(&mut sums, parsed(spec.overhead.as_ref()));
    let some = sums.into_iter().filter(|(_, quantity)| *quantity != Quantity::ZERO);
    Resources(some.map(|(name, quantity)| (name.into(), quantity)).collect())
}

type Sums<'a> = BTreeMap<&'a str, Quantity>;

fn of_containers(spec: &PodSpec) -> Sums<'_> {
    let mut running = Sums::new();
    for container in &spec.containers {
        add(&mut running, of_container(container));
    }
    let mut sidecars = Sums::new();
    let mut starting = Sums::new();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut running, of_container(container));
            add(&mut sidecars, of_container(container));
            raise(&mut starting, &sidecars);
        } else {
            let mut alone = sidecars.clone();
            add(&mut alone, of_container(container));
            raise(&mut starting, &alone);
        }
    }
    raise(&mut running, &starting);
    running
}

/// `IsSupportedPodLevelResource` of the same file.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn of_container(container: &Container) -> impl Iterator<Item = (&str, Quantity)> {
    parsed(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
}

fn parsed(list: Option<&BTreeMap<String, Text>>) -> impl Iterator<Item = (&str, Quantity)> {
    list.into_iter().flatten().filter_map(|(name, text)| Some((name.as_str(), Quantity::parse(&text.0).ok()?)))
}

fn add<'a>(sums: &mut Sums<'a>, amounts: impl Iterator<Item = (&'a str, Quantity)>) {
    for (name, amount) in amounts {
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(amount);
    }
}

fn raise<'a>(sums: &mut Sums<'a>, least: &Sums<'a>) {
    for (name, amount) in least {
        let sum = sums.entry(name).or_default();
        *sum = (*sum).max(*amount);
    }
}

/// The requests of the pods that a node has admitted. Exact, so that what was added can be taken away again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pods: usize,
    sums: BTreeMap<Box<str>, Quantity>,
}

impl Ledger {
    /// One pod more.
    pub fn add(&mut self, requests: &Resources) {
        self.pods += 1;
        for (name, amount) in requests.iter() {
            match self.sums.get_mut(name) {
                Some(sum) => *sum = sum.saturating_add(amount),
                None => drop(self.sums.insert(name.into(), amount)),
            }
        }
    }

    /// One pod less: the same requests as when it was added.
    pub fn sub(&mut self, requests: &Resources) {
        self.pods = self.pods.saturating_sub(1);
        for (name, amount) in requests.iter() {
            if let Some(sum) = self.sums.get_mut(name) {
                *sum = sum.saturating_sub(amount);
            }
        }
        self.sums.retain(|_, sum| *sum != Quantity::ZERO);
    }

    /// How many pods there are.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods
    }

    /// What they request of a resource together.
    #[must_use]
    pub fn amount(&self, name: &str) -> Quantity {
        self.sums.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
