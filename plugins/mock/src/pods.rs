//! The pods that this provider answers for.
//!
//! In: records. Out: statuses, and reports when they change. Invariant: what is in memory is in the host's key-value store, and was
//! put there first; a pod that has stopped is taken out there first, then reported as gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use pluglet_sdk::{Error, Host, PodRef, Result, Status};

use crate::address::Addresses;
use crate::deletion::Deletion;
use crate::memory::Memory;
use crate::record::Record;
use crate::reveal::Held;
use crate::status::{Outlook, Stage, outlook, status, without_verdict};
use crate::timers::{Due, Key, Timers};

/// How long to wait before a record that could not be deleted is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A pod in memory.
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) memory: Memory,
    /// When the status changes next.
    timer: Option<Key>,
    /// Readers of a log, who want to hear when a run is ended from outside.
    followers: Vec<Follower>,
}

/// Somebody who reads the log of a container while it is written.
struct Follower {
    container: String,
    run_ended: oneshot::Sender<u64>,
}

impl Entry {
    /// What a program in a container finds in its environment: what the host has handed over, where that is held.
    pub(crate) fn env(&self, container: &str) -> Vec<(String, String)> {
        let pod = &self.record.pod;
        let mut env = vec![("HOSTNAME".to_owned(), pod.name.clone()), ("POD_IP".to_owned(), self.record.ip.clone())];
        env.extend(self.memory.held.iter().flat_map(|held| held.env(container)));
        env
    }

    pub(crate) fn stage(&self) -> Stage {
        self.deletion.map_or(Stage::Alive, |deletion| Stage::Stopping { since_ns: deletion.since_ns })
    }

    fn outlook(&self, now_ns: u64) -> Outlook {
        outlook(&self.record, self.stage(), now_ns)
    }

    /// What is held of the pod, as the first line of a container's log. None unless the pod asks for it.
    pub(crate) fn reveal(&self, container: &str) -> Option<String> {
        let nothing = Held::default();
        let held = self.memory.held.as_ref().unwrap_or(&nothing);
        self.record.script.reveal.then(|| held.line(container, self.memory.calls))
    }
}

/// All pods.
pub(crate) struct Pods {
    pub(crate) host: Host,
    pub(crate) addresses: Addresses,
    /// Whether the host runs the probes, and so decides what is started and ready.
    host_probes: bool,
    entries: RefCell<BTreeMap<String, Entry>>,
    timers: Timers,
}

impl Pods {
    pub(crate) fn new(host: Host, host_probes: bool) -> Rc<Self> {
        let (addresses, entries, timers) = (Addresses::default(), RefCell::default(), Timers::default());
        Rc::new(Self { host, addresses, host_probes, entries, timers })
    }

    /// Read one pod.
    pub(crate) fn with<T>(&self, uid: &str, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.entries.borrow().get(uid).map(read)
    }

    /// Change what is remembered of one pod.
    pub(crate) fn with_mut<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.entries.borrow_mut().get_mut(uid).map(change)
    }

    /// Keep another record of a pod that exists, in which these containers were started again.
    ///
    /// # Errors
    /// `NotFound` when the pod has ended meanwhile; what keeping it gives.
    pub(crate) async fn replace(self: &Rc<Self>, next: Record, restarted: &[String], now_ns: u64) -> Result<()> {
        let uid = next.pod.uid.clone();
        self.host.kv().put(&Record::key(&uid), next.to_bytes()?).await?;
        // A deletion may have ended while the record was written: then it must not come back.
        if self.with(&uid, |_| ()).is_none() {
            self.host.kv().delete(&Record::key(&uid)).await?;
            return Err(Error::NotFound);
        }
        self.insert(next);
        self.tell_followers(&uid, now_ns, |container| restarted.iter().any(|name| name == container));
        Ok(())
    }

    /// Take in a pod, or another record of one.
    pub(crate) fn insert(self: &Rc<Self>, record: Record) {
        let uid = record.pod.uid.clone();
        self.addresses.keep(&record.ip);
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(&uid) {
            entry.record = record;
        } else {
            let (memory, followers) = (Memory::default(), Vec::new());
            let entry = Entry { record, deletion: None, memory, timer: None, followers };
            entries.insert(uid.clone(), entry);
        }
        drop(entries);
        self.set_timer(&uid);
    }

    /// The present status.
    pub(crate) fn status(&self, uid: &str) -> Option<Status> {
        let now_ns = self.host.now_unix_ns();
        self.with(uid, |entry| self.view(&entry.record, entry.stage(), now_ns))
    }

    /// Report the present status.
    pub(crate) fn report(&self, uid: &str) {
        let pod = self.with(uid, |entry| entry.record.pod.clone());
        if let (Some(pod), Some(status)) = (pod, self.status(uid)) {
            self.host.report(pod, status);
        }
    }

    /// The status as the host is told it.
    fn view(&self, record: &Record, stage: Stage, now_ns: u64) -> Status {
        let status = status(record, stage, now_ns);
        Status::from(if self.host_probes { without_verdict(status) } else { status })
    }

    /// Every pod with its present status.
    pub(crate) fn list(&self) -> Vec<(PodRef, Status)> {
        let now_ns = self.host.now_unix_ns();
        let entries = self.entries.borrow();
        let status = |entry: &Entry| (entry.record.pod.clone(), self.view(&entry.record, entry.stage(), now_ns));
        entries.values().map(status).collect()
    }

    /// Something of each pod.
    pub(crate) fn map_mut<T>(&self, map: impl FnMut(&mut Entry) -> T) -> Vec<T> {
        self.entries.borrow_mut().values_mut().map(map).collect()
    }

    /// Hear the time at which the present run of a container is ended from outside.
    pub(crate) fn follow(&self, uid: &str, container: &str) -> Option<oneshot::Receiver<u64>> {
        let (run_ended, receiver) = oneshot::channel();
        let mut entries = self.entries.borrow_mut();
        let followers = &mut entries.get_mut(uid)?.followers;
        followers.retain(|follower| !follower.run_ended.is_canceled());
        followers.push(Follower { container: container.to_owned(), run_ended });
        Some(receiver)
    }

    /// Tell those who follow the log of one of these containers that its run has ended.
    pub(crate) fn tell_followers(&self, uid: &str, at_ns: u64, ended: impl Fn(&str) -> bool) {
        let told: Vec<_> = match self.entries.borrow_mut().get_mut(uid) {
            Some(entry) => entry.followers.extract_if(.., |follower| ended(&follower.container)).collect(),
            None => return,
        };
        for follower in told {
            // Somebody who has left does not need to know.
            let _ = follower.run_ended.send(at_ns);
        }
    }

    /// Begin to delete a pod, or shorten the time it has. Returns when stopping has begun, or is done where it takes no time.
    pub(crate) async fn delete(self: &Rc<Self>, uid: &str, grace: Duration) -> Result<()> {
        let now_ns = self.host.now_unix_ns();
        let done = {
            let mut entries = self.entries.borrow_mut();
            let entry = entries.get_mut(uid).ok_or(Error::NotFound)?;
            let deletion = Deletion::shorten(entry.deletion, &entry.record.script, grace, now_ns);
            entry.deletion = Some(deletion);
            deletion.stops_at_ns <= now_ns || !entry.outlook(now_ns).runs
        };
        if done {
            return self.finish(uid).await;
        }
        self.set_timer(uid);
        Ok(())
    }

    /// The end of a deletion: the pod has stopped.
    async fn finish(&self, uid: &str) -> Result<()> {
        let (stage, at_ns) = {
            let mut entries = self.entries.borrow_mut();
            let Some(entry) = entries.get_mut(uid) else { return Ok(()) };
            let Some(deletion) = entry.deletion.as_mut().filter(|deletion| !deletion.finishing) else { return Ok(()) };
            deletion.finishing = true;
            let at_ns = self.host.now_unix_ns().min(deletion.stops_at_ns).max(deletion.since_ns);
            (Stage::Stopped { since_ns: deletion.since_ns, at_ns, killed: deletion.killed }, at_ns)
        };
        let deleted = self.host.kv().delete(&Record::key(uid)).await;
        if let Err(error) = deleted {
            if let Some(deletion) = self.entries.borrow_mut().get_mut(uid).and_then(|entry| entry.deletion.as_mut()) {
                deletion.finishing = false;
            }
            return Err(error.into());
        }
        self.tell_followers(uid, at_ns, |_| true);
        let Some(entry) = self.entries.borrow_mut().remove(uid) else { return Ok(()) };
        if let Some(timer) = entry.timer {
            self.timers.cancel(timer);
        }
        let status = self.view(&entry.record, stage, at_ns);
        self.addresses.release(&entry.record.ip);
        self.host.report(entry.record.pod.clone(), status);
        self.host.gone(entry.record.pod);
        Ok(())
    }

    /// See to it that the pod's next change is noticed.
    fn set_timer(self: &Rc<Self>, uid: &str) {
        let now_ns = self.host.now_unix_ns();
        if let Some(entry) = self.entries.borrow_mut().get_mut(uid) {
            if let Some(timer) = entry.timer.take() {
                self.timers.cancel(timer);
            }
            let stops_ns = entry.deletion.map(|deletion| deletion.stops_at_ns);
            let changes_ns = entry.outlook(now_ns).changes_ns;
            let next_ns = stops_ns.into_iter().chain(changes_ns).min();
            entry.timer = next_ns.map(|next_ns| self.timers.add(next_ns, Due::Pod(uid.to_owned())));
        }
        self.arm();
    }

    /// Wake a waiter at a time.
    pub(crate) fn wake_at(self: &Rc<Self>, at_ns: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.timers.add(at_ns, Due::Waiter(sender));
        self.arm();
        receiver
    }

    fn arm(self: &Rc<Self>) {
        let Some(until_ns) = self.timers.needs_sleeper() else { return };
        let pods = Rc::clone(self);
        self.host.spawn(async move {
            pods.timers.sleep(&pods.host, until_ns).await;
            for due in pods.timers.take(pods.host.now_unix_ns()) {
                match due {
                    Due::Pod(uid) => pods.changed(uid),
                    Due::Waiter(waiter) => drop(waiter.send(())),
                }
            }
            pods.arm();
        });
    }

    /// The pod's time has come: report its new status, or end it.
    fn changed(self: &Rc<Self>, uid: String) {
        let now_ns = self.host.now_unix_ns();
        let (pod, status, stopped) = {
            let mut entries = self.entries.borrow_mut();
            let Some(entry) = entries.get_mut(&uid) else { return };
            entry.timer = None;
            let runs = entry.outlook(now_ns).runs;
            let stopped = entry.deletion.is_some_and(|deletion| deletion.stops_at_ns <= now_ns || !runs);
            (entry.record.pod.clone(), self.view(&entry.record, entry.stage(), now_ns), stopped)
        };
        if !stopped {
            self.host.report(pod, status);
            self.set_timer(&uid);
            return;
        }
        let pods = Rc::clone(self);
        self.host.spawn(async move {
            while pods.finish(&uid).await.is_err() {
                pods.host.sleep(RETRY).await;
            }
        });
    }
}
