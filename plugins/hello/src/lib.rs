//! The smallest provider that runs pods: it remembers them and says that they run.
//!
//! In: create and delete. Out: Running, then terminated and gone. Invariant: memory only, so a restart of the provider forgets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use pluglet_sdk::kubernetes::{Pod, PodStatus, Time};
use pluglet_sdk::{Error, Feature, Host, Info, Init, PodRef, Provider, ResolvedPod, Result, Status};

/// The pods it was told to run.
pub struct Hello {
    host: Host,
    pods: RefCell<BTreeMap<String, (PodRef, Pod, Time)>>,
}

impl Provider for Hello {
    async fn start(host: Host, _init: Init) -> Result<Self> {
        Ok(Self { host, pods: RefCell::default() })
    }

    fn info(&self) -> Info {
        Info::new([Feature::Watch])
    }

    async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        let view = spec.pod()?;
        let mut pods = self.pods.borrow_mut();
        let started = Time::from_unix_ns(self.host.now_unix_ns());
        // A second create of the same UID finds the first one's entry.
        let (_, view, started) = pods.entry(pod.uid.clone()).or_insert((pod, view, started));
        Ok(PodStatus::running(view, *started).into())
    }

    async fn delete(&self, pod: PodRef, _grace: Duration) -> Result<()> {
        let (pod, view, started) = self.pods.borrow_mut().remove(&pod.uid).ok_or(Error::NotFound)?;
        let now = Time::from_unix_ns(self.host.now_unix_ns());
        self.host.report(pod.clone(), PodStatus::terminated(&view, 0, "Completed", started, now));
        self.host.gone(pod);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        let pods = self.pods.borrow();
        Ok(pods.values().map(|(pod, view, at)| (pod.clone(), PodStatus::running(view, *at).into())).collect())
    }
}

pluglet_sdk::export!(Hello, {
    name: "hello",
    description: "Remembers pods and says that they run.",
    features: [Watch],
    config_schema: include_str!("../config.schema.json"),
});
