//! A provider without a backend: annotations script the life of a pod. For tests, demonstrations and benchmarks.
//!
//! In: pods with annotations under `mock.pluglet.dev/`, see the README. Out: statuses, events and logs as a backend would give them.
//! Invariant: a pod's life follows from what was kept at its creation and from the time of day, so a restart changes nothing.

mod address;
mod attach;
mod config;
mod deletion;
mod exec;
mod faults;
mod follow;
mod forward;
mod life;
mod logs;
mod memory;
mod pods;
mod record;
mod reveal;
mod script;
mod shell;
mod stats;
mod status;
mod timers;
mod update;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use pluglet_sdk::{
    ByteStream, Error, ExecRequest, Host, Info, Init, LogOptions, LogStream, PodRef, PodStats, Provider, ResolvedPod,
    Result, Session, SessionInput, Status, Tunnel, Volume,
};

use crate::config::Config;
use crate::pods::Pods;
use crate::record::{PodView, Record};
use crate::reveal::Held;
use crate::script::{Failure, Script};

/// The provider.
pub struct Mock {
    config: Config,
    pods: Rc<Pods>,
    /// How often the create of a UID has failed as its script asks. Not kept over a restart.
    failed_creates: RefCell<BTreeMap<String, u32>>,
    /// How many pods of an owner were chosen to fail, by the owner's UID. Not kept over a restart.
    failing: RefCell<BTreeMap<String, u32>>,
}

impl Provider for Mock {
    async fn start(host: Host, init: Init) -> Result<Self> {
        let config: Config = init.config()?;
        let pods = Pods::new(host.clone(), config.host_probes());
        for (key, value) in host.kv().entries(&Record::key("")).await? {
            match Record::from_bytes(&value) {
                Ok(record) => pods.insert(record),
                // Failing here would take all other pods down with this one.
                Err(error) => host.error(format_args!("cannot read {key}, so its pod is lost: {error}")),
            }
        }
        Ok(Self { config, pods, failed_creates: RefCell::default(), failing: RefCell::default() })
    }

    fn info(&self) -> Info {
        self.config.info()
    }

    async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        if let Some(status) = self.again(&pod, &spec)? {
            return Ok(status);
        }
        let view: PodView = spec.pod_as()?;
        let script = Script::parse(&view.metadata.annotations)?;
        if script.create_delay > 0 {
            self.pods.host.sleep(Duration::from_nanos(script.create_delay)).await;
        }
        if let Some(fails) = &script.create_error {
            self.fail(&pod.uid, fails)?;
        }
        if let Some(fault) = script.fault {
            faults::commit(fault);
        }
        self.accept(pod, view, script, spec).await
    }

    async fn update(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        update::update(&self.pods, pod, spec).await
    }

    async fn volumes_changed(&self, pod: PodRef, volumes: Vec<Volume>) -> Result<()> {
        update::volumes_changed(&self.pods, &pod, volumes)
    }

    async fn restart_container(&self, pod: PodRef, container: String, _grace: Duration) -> Result<()> {
        update::restart_container(&self.pods, &pod, &container).await
    }

    async fn delete(&self, pod: PodRef, grace: Duration) -> Result<()> {
        self.failed_creates.borrow_mut().remove(&pod.uid);
        let delay_ns =
            self.pods.with(&pod.uid, |entry| entry.record.script.delete_call_delay).ok_or(Error::NotFound)?;
        if delay_ns > 0 {
            self.pods.host.sleep(Duration::from_nanos(delay_ns)).await;
        }
        let next = self.pods.with_mut(&pod.uid, |entry| entry.memory.next_delete(&entry.record.script));
        next.ok_or(Error::NotFound)??;
        self.pods.delete(&pod.uid, grace).await
    }

    async fn status(&self, pod: PodRef) -> Result<Status> {
        self.pods.status(&pod.uid).ok_or(Error::NotFound)
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(self.pods.list())
    }

    async fn logs(&self, pod: PodRef, options: LogOptions) -> Result<LogStream> {
        follow::logs(&self.pods, &pod.uid, &options)
    }

    async fn exec(&self, pod: PodRef, request: ExecRequest, input: SessionInput) -> Result<Session> {
        exec::exec(&self.pods, pod, request, input)
    }

    async fn attach(&self, pod: PodRef, container: String, input: SessionInput) -> Result<Session> {
        attach::attach(&self.pods, &pod, &container, input)
    }

    async fn port_forward(&self, pod: PodRef, port: u16, input: ByteStream) -> Result<Tunnel> {
        forward::connect(&self.pods, &pod, port, input)
    }

    async fn stats(&self) -> Result<Vec<PodStats>> {
        Ok(stats::all(&self.pods))
    }
}

impl Mock {
    /// The status of a pod that exists already. A provider that was started again learns from the call what there is to reveal.
    fn again(&self, pod: &PodRef, spec: &ResolvedPod) -> Result<Option<Status>> {
        let wanted = self.pods.with(&pod.uid, |entry| {
            (entry.record.script.reveal && entry.memory.held.is_none()).then(|| entry.record.ip.clone())
        });
        let Some(wanted) = wanted else { return Ok(None) };
        let held = wanted.map(|ip| Held::of(pod, spec.clone(), &ip)).transpose()?;
        self.pods.with_mut(&pod.uid, |entry| {
            entry.memory.calls.create += 1;
            entry.memory.held = entry.memory.held.take().or(held);
        });
        Ok(self.pods.status(&pod.uid))
    }

    /// Take the pod in: keep its record, then answer for it.
    async fn accept(&self, pod: PodRef, mut view: PodView, mut script: Script, spec: ResolvedPod) -> Result<Status> {
        let uid = pod.uid.clone();
        // A create that the host had given up may have taken the pod in while this one waited.
        if let Some(status) = self.again(&pod, &spec)? {
            return Ok(status);
        }
        if self.is_one_of_the_first(&view, script.fail_first) {
            script = script.failing(&mut view.metadata.annotations);
        }
        let ip = match script.pod_ip {
            Some(ip) => ip.to_string(),
            None => self.pods.addresses.take(&uid).to_string(),
        };
        let (reveal, lost_reply) = (script.reveal, script.create_lost_reply);
        let held = reveal.then(|| Held::of(&pod, spec, &ip)).transpose();
        let record = Record::new(pod, view, script, self.pods.host.now_unix_ns(), ip);
        let kept = match held {
            Ok(held) => self.keep(&record).await.map(|()| held),
            Err(error) => Err(error),
        };
        let held = kept.inspect_err(|_| self.pods.addresses.release(&record.ip))?;
        self.pods.insert(record);
        self.pods.with_mut(&uid, |entry| {
            entry.memory.calls.create += 1;
            entry.memory.held = held;
        });
        if lost_reply {
            return Err(Error::unavailable("the reply was lost, as the annotation asks for"));
        }
        self.pods.status(&uid).ok_or(Error::NotFound)
    }

    async fn keep(&self, record: &Record) -> Result<()> {
        Ok(self.pods.host.kv().put(&Record::key(&record.pod.uid), record.to_bytes()?).await?)
    }

    /// Whether `fail-first` chooses this pod.
    fn is_one_of_the_first(&self, view: &PodView, fail_first: u32) -> bool {
        let Some(owner) = view.metadata.owner_references.first().filter(|_| fail_first > 0) else { return false };
        let mut failing = self.failing.borrow_mut();
        let count = failing.entry(owner.uid.clone()).or_default();
        *count = count.saturating_add(1);
        *count <= fail_first
    }

    /// Fail a create as its script asks, as often as it asks.
    fn fail(&self, uid: &str, fails: &Failure) -> Result<()> {
        let mut failed = self.failed_creates.borrow_mut();
        let count = failed.get(uid).copied().unwrap_or_default();
        let next = fails.next(count);
        if next.is_ok() {
            failed.remove(uid);
        } else if fails.times.is_some() {
            failed.insert(uid.to_owned(), count.saturating_add(1));
        }
        next
    }
}

pluglet_sdk::export!(Mock, {
    name: "mock",
    description: "Runs nothing: annotations on a pod script its life. For tests, demonstrations and benchmarks.",
    features: [Update, Watch, Logs, Exec, Refresh, Restart, Probes],
    config_schema: include_str!("../config.schema.json"),
});
