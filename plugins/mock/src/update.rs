//! Changes of a pod that exists.
//!
//! In: the pod's new JSON, its new files, or a container to restart. Out: its new record and status. Invariant: what has been played of the
//! script stays played; only how the pod stops and what is asked of it can still change, and a new image restarts its container.

use std::rc::Rc;

use pluglet_sdk::{Error, PodRef, ResolvedPod, Result, Status, Volume};

use crate::life::{Doing, moment, present_run};
use crate::pods::Pods;
use crate::record::{PodView, Record};
use crate::reveal::Held;
use crate::script::Script;

/// Take over what has changed.
pub(crate) async fn update(pods: &Rc<Pods>, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
    let view: PodView = spec.pod_as()?;
    let uid = pod.uid.clone();
    let now_ns = pods.host.now_unix_ns();
    let (record, deleting) =
        pods.with(&uid, |entry| (entry.record.clone(), entry.deletion.is_some())).ok_or(Error::NotFound)?;
    // The present script must be readable even where it is not played: a mistake is told now and not at the next creation.
    Script::parse(&view.metadata.annotations)?;
    if !deleting {
        let (next, restarted) = changed(&record, pod.clone(), &view, now_ns)?;
        let held = if next.script.reveal { Some(Held::of(&pod, spec, &next.ip)?) } else { None };
        let other_codes = next.script.exec_exit_codes != record.script.exec_exit_codes;
        pods.replace(next, &restarted, now_ns).await?;
        pods.with_mut(&uid, |entry| {
            entry.memory.held = held;
            if other_codes {
                entry.memory.forget_commands();
            }
        });
    }
    pods.with_mut(&uid, |entry| entry.memory.calls.update += 1);
    pods.status(&uid).ok_or(Error::NotFound)
}

/// Take over new files.
pub(crate) fn volumes_changed(pods: &Rc<Pods>, pod: &PodRef, volumes: Vec<Volume>) -> Result<()> {
    let changed = pods.with_mut(&pod.uid, |entry| {
        entry.memory.calls.volumes_changed += 1;
        if entry.record.script.reveal {
            entry.memory.held.get_or_insert_default().refresh(pod, volumes);
        }
    });
    changed.ok_or(Error::NotFound)
}

/// End the run of one container and start the next.
pub(crate) async fn restart_container(pods: &Rc<Pods>, pod: &PodRef, name: &str) -> Result<()> {
    let now_ns = pods.host.now_unix_ns();
    let found = pods.with(&pod.uid, |entry| {
        let run = present_run(&entry.record, None, name, now_ns).filter(|_| entry.deletion.is_none());
        Some((entry.record.clone(), run?))
    });
    let (mut next, run) = found.flatten().ok_or(Error::NotFound)?;
    let exit_code = next.script.stop_exit_code;
    for container in next.all_containers().filter(|container| container.name == name) {
        container.replace(&run, now_ns, exit_code);
    }
    pods.replace(next, &[name.to_owned()], now_ns).await?;
    pods.with_mut(&pod.uid, |entry| entry.memory.calls.restart += 1);
    pods.report(&pod.uid);
    Ok(())
}

/// The new record, and the containers that restart.
fn changed(record: &Record, pod: PodRef, view: &PodView, now_ns: u64) -> Result<(Record, Vec<String>)> {
    let mut next = record.clone();
    next.pod = pod;
    next.annotations.retain(|key, _| !Script::may_change(key));
    let new = view.metadata.annotations.iter().filter(|(key, _)| Script::may_change(key));
    next.annotations.extend(new.map(|(key, value)| (key.clone(), value.clone())));
    next.script = Script::parse(&next.annotations)?;
    let mut restarted = Vec::new();
    for container in &mut next.containers {
        let wanted = view.spec.containers.iter().find(|wanted| wanted.name == container.name);
        let Some(wanted) = wanted.filter(|wanted| wanted.image != container.image) else { continue };
        let moment = moment(record, container, None, now_ns);
        container.image.clone_from(&wanted.image);
        // One that does not run gets the new image when it starts again, if it ever does.
        if let (Doing::Running, Some(run)) = (moment.doing, moment.run) {
            restarted.push(container.name.clone());
            container.replace(&run, now_ns, next.script.stop_exit_code);
        }
    }
    Ok((next, restarted))
}
