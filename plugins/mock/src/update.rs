//! Changes of a pod that exists.
//!
//! In: the pod's new JSON. Out: its new record and status. Invariant: what has been played of the script stays played; only how the pod
//! stops can still change, and a new image restarts its container.

use std::rc::Rc;

use pluglet_sdk::{Error, PodRef, Result, Status};

use crate::life::{Doing, moment};
use crate::pods::Pods;
use crate::record::{PodView, Record, Replaced};
use crate::script::Script;

/// Take over what has changed.
pub(crate) async fn update(pods: &Rc<Pods>, pod: PodRef, view: PodView) -> Result<Status> {
    let uid = pod.uid.clone();
    let now_ns = pods.host.now_unix_ns();
    let (record, deleting) =
        pods.with(&uid, |entry| (entry.record.clone(), entry.deletion.is_some())).ok_or(Error::NotFound)?;
    // The present script must be readable even where it is not played: a mistake is told now and not at the next creation.
    Script::parse(&view.metadata.annotations)?;
    if !deleting {
        let (next, restarted) = changed(&record, pod, &view, now_ns)?;
        pods.host.kv().put(&Record::key(&uid), next.to_bytes()?).await?;
        // A deletion may have ended while the record was written: then it must not come back.
        if pods.with(&uid, |_| ()).is_none() {
            pods.host.kv().delete(&Record::key(&uid)).await?;
            return Err(Error::NotFound);
        }
        pods.insert(next);
        pods.tell_followers(&uid, now_ns, |container| restarted.iter().any(|name| name == container));
    }
    pods.status(&uid).ok_or(Error::NotFound)
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
            container.replaced = Some(Replaced {
                attempt: run.attempt,
                started_ns: run.started_ns,
                ended_ns: now_ns,
                exit_code: next.script.stop_exit_code,
            });
        }
    }
    Ok((next, restarted))
}
