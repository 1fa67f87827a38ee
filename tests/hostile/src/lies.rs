//! Reports about pods and nodes, true or not, once or very often.
//!
//! In: instructions. Out: events. Invariant: the identity in a report is the test's word; it is never replaced by the pod's own.

use std::time::Duration;

use pluglet_sdk::{Host, PodRef, Status};
use serde_json::{Value, json};

use crate::config::raw_status;
use crate::instruction::{About, Simple};

/// Reports between two pauses. The SDK keeps a hundred thousand that nobody has taken, and then says "resync" instead.
const AT_ONCE: u64 = 1000;

/// Long enough for the host to take what was reported. Otherwise the status that `create` reports at its end would take the place of one that is
/// a lie about the same pod.
const TAKEN: Duration = Duration::from_millis(5);

/// Report an event so many times.
pub(crate) async fn repeat(host: &Host, n: u64, report: impl Fn(u64)) -> Value {
    for at in 0..n {
        report(at);
        if at % AT_ONCE == AT_ONCE - 1 {
            host.sleep(Duration::ZERO).await;
        }
    }
    host.sleep(TAKEN).await;
    json!({"reported": n})
}

/// A status of any pod: what `json` says, or one with a phase and a message.
pub(crate) fn status(phase: &str, message: &str, json: Option<&Value>) -> Status {
    json.map_or_else(|| raw_status(&json!({"phase": phase, "message": message})), raw_status)
}

/// Report about any pod.
pub(crate) async fn lie(host: &Host, lie: &Simple) -> Option<Value> {
    let about = |uid: &String, namespace: &String, name: &String| {
        About { uid: uid.clone(), namespace: namespace.clone(), name: name.clone() }.pod()
    };
    Some(match lie {
        Simple::Status { uid, namespace, name, phase, message, json, n } => {
            let pod = about(uid, namespace, name);
            repeat(host, *n, |at| {
                // The SDK and the host keep only the newest status of a pod, so a flood needs a pod for each.
                let pod = if *n == 1 { pod.clone() } else { PodRef { uid: format!("{uid}-{at}"), ..pod.clone() } };
                host.report(pod, status(phase, message, json.as_ref()));
            })
            .await
        }
        Simple::Gone { uid, namespace, name, n } => {
            let pod = about(uid, namespace, name);
            repeat(host, *n, |_| host.gone(pod.clone())).await
        }
        Simple::PodEvent { uid, namespace, name, warning, reason, message, n } => {
            let pod = about(uid, namespace, name);
            repeat(host, *n, |_| match warning {
                true => host.pod_warning(pod.clone(), reason, message),
                false => host.pod_event(pod.clone(), reason, message),
            })
            .await
        }
        Simple::Resync { n } => repeat(host, *n, |_| host.resync()).await,
        Simple::NodeFacts { facts } => repeat(host, 1, |_| host.node_changed(facts.facts())).await,
        _ => return None,
    })
}

/// A status of this very pod with a message of so many bytes.
pub(crate) async fn huge(host: &Host, pod: &PodRef, bytes: usize) -> Value {
    repeat(host, 1, |_| host.report(pod.clone(), status("Running", &"x".repeat(bytes), None))).await
}
