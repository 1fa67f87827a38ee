//! Between the model's words and the contract's.
//!
//! In: model types and what the component answered. Out: the other side's types. Invariant: text of the guest is cleaned and bounded
//! before it can reach a status, an event or a log; JSON of the guest is parsed or refused, never passed on. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::core::v1::{NodeCondition, PodStatus, Taint};
use pluglet_model::pod::{Volume, VolumeFile};
use pluglet_model::provider::{Error, Features, Info, LogItem, LogRequest, NodeFacts};
use pluglet_model::session::{ContainerStats, ExecRequest, PodStats};
use pluglet_model::{PodKey, PodPlan};

use tracing::warn;

use crate::bindings::exports::pluglet::provider::{lifecycle, pods, sessions, stats};
use crate::bindings::pluglet::provider::types;
use crate::capabilities::log::clean;

pub(crate) mod containers;
mod facts;

pub(crate) use facts::bound as bound_facts;

/// Longest text of a guest in an error or event, in bytes. It ends up in a pod's status, which the API server stores.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 10;

/// Largest pod status as JSON, in bytes, as the contract says. The API server refuses objects over 1.5 MiB.
pub(crate) const MAX_STATUS_BYTES: usize = 1 << 20;

/// Longest piece of a log in bytes, as the contract says; a longer one goes on in several. Pieces wait in the host for users who read
/// slowly, and one that a guest writes could have `limits.hostcallBytes`.
pub(crate) const MAX_PIECE_BYTES: usize = 64 << 10;

/// Longest UID, namespace and name in bytes: Kubernetes' limit for names. What a guest tells about pods that do not exist would otherwise
/// fill the host's log, and its queues, with names of megabytes.
pub(crate) const MAX_NAME_BYTES: usize = 253;

/// Objects in a pod status. An empty one has two bytes as JSON and some hundred in memory: a status of the largest size that consists of them
/// would take 200 MiB. A container has about ten; a pod with a hundred containers fits.
const MAX_STATUS_OBJECTS: usize = 4096;

/// Longest delay that a provider may ask for. A unit mistake (milliseconds for seconds) would otherwise park a pod for weeks.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The pod that a call is about.
pub(crate) fn pod_ref(key: &PodKey, generation: u64) -> types::PodRef {
    types::PodRef {
        uid: key.uid.as_ref().to_owned(),
        namespace: key.namespace.as_ref().to_owned(),
        name: key.name.as_ref().to_owned(),
        generation,
    }
}

/// The pod that an answer is about. A key ends up in log lines, where a line break would forge one. A name that had to be changed belongs to
/// no pod, since no name or UID of Kubernetes has spaces or `…`.
pub(crate) fn key(pod: &types::PodRef) -> PodKey {
    PodKey::new(&name(&pod.uid), &name(&pod.namespace), &name(&pod.name))
}

/// At most [`MAX_NAME_BYTES`], with the mark that it was cut.
fn name(text: &str) -> String {
    let max = if text.len() > MAX_NAME_BYTES { MAX_NAME_BYTES - '…'.len_utf8() } else { MAX_NAME_BYTES };
    clean(text, max)
}

/// Cut the text right behind the first character that is too much: it need not be held, and whoever checks its length later still sees
/// that it was too long.
pub(crate) fn bound(text: &mut String, max: usize) {
    let Some(end) = (max + 1..text.len()).find(|end| text.is_char_boundary(*end)) else { return };
    text.truncate(end);
    // Truncating alone keeps the memory.
    text.shrink_to_fit();
}

/// The resolved pod.
pub(crate) fn resolved_pod(plan: &PodPlan) -> Result<pods::ResolvedPod, Error> {
    let pod = serde_json::to_string(plan.pod.as_ref())
        .map_err(|error| Error::Invalid(format!("the pod cannot be written as JSON: {error}")))?;
    let registry_credentials = containers::credentials(&plan.registry_credentials);
    Ok(pods::ResolvedPod { pod, volumes: volumes(&plan.volumes), registry_credentials })
}

/// Volumes with their files.
pub(crate) fn volumes(volumes: &[Volume]) -> Vec<pods::Volume> {
    let file = |file: &VolumeFile| pods::File { path: file.path.clone(), mode: file.mode, bytes: file.bytes.clone() };
    let volume =
        |volume: &Volume| pods::Volume { name: volume.name.clone(), files: volume.files.iter().map(file).collect() };
    volumes.iter().map(volume).collect()
}

/// Rounded up: a pod must not get less than it was promised, and 0 has a meaning of its own.
pub(crate) fn grace_seconds(grace: Duration) -> u32 {
    u32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// A pod's status from JSON. Too much is `invalid`, as the contract says; what is not a status is the provider's fault.
pub(crate) fn status(json: &str) -> Result<PodStatus, Error> {
    if json.len() > MAX_STATUS_BYTES {
        return Err(Error::Invalid(format!(
            "the provider's pod status is larger than the {MAX_STATUS_BYTES} bytes that are allowed"
        )));
    }
    let objects = json.bytes().filter(|byte| *byte == b'{').count();
    if objects > MAX_STATUS_OBJECTS {
        return Err(Error::Invalid(format!(
            "the provider's pod status has {objects} objects, {MAX_STATUS_OBJECTS} are allowed"
        )));
    }
    let status: PodStatus = serde_json::from_str(json)
        .map_err(|error| Error::Internal(format!("its pod status is not a v1.PodStatus: {error}")))?;
    // It is kept for as long as the pod lives. A copy has lists as long as they are, a decoded one room for four.
    Ok(status.clone())
}

/// Why the provider says a call failed.
pub(crate) fn error(error: types::Error) -> Error {
    let text = |text: String| clean(&text, MAX_TEXT_BYTES);
    let after = |ms: Option<u64>| ms.map(|ms| Duration::from_millis(ms).min(MAX_RETRY_AFTER));
    match error {
        types::Error::NotFound => Error::NotFound,
        types::Error::AlreadyExists => Error::AlreadyExists,
        types::Error::Unsupported(why) => Error::Unsupported(text(why)),
        types::Error::Invalid(why) => Error::Invalid(text(why)),
        types::Error::Denied(why) => Error::Denied(text(why)),
        types::Error::Unavailable(retry) => {
            Error::Unavailable { message: text(retry.message), retry_after: after(retry.retry_after_ms) }
        }
        types::Error::Quota(retry) => {
            Error::Quota { message: text(retry.message), retry_after: after(retry.retry_after_ms) }
        }
        types::Error::Internal(why) => Error::Internal(text(why)),
        types::Error::Other((code, message)) => Error::Internal(text(format!("{code}: {message}"))),
    }
}

/// What a provider told about itself at its start.
pub(crate) fn info(info: lifecycle::Info) -> Info {
    let (node, dropped) = node_facts(info.node);
    // Once for each start, and those are slowed down.
    if let Some(dropped) = dropped {
        warn!(dropped, "the provider tells what a node cannot have, or may not say of itself");
    }
    Info { features: features(info.features), volume_kinds: info.volume_kinds, node }
}

fn features(features: lifecycle::Features) -> Features {
    Features {
        update: features.contains(lifecycle::Features::UPDATE),
        watch: features.contains(lifecycle::Features::WATCH),
        logs: features.contains(lifecycle::Features::LOGS),
        exec: features.contains(lifecycle::Features::EXEC),
        attach: features.contains(lifecycle::Features::ATTACH),
        port_forward: features.contains(lifecycle::Features::PORT_FORWARD),
        stats: features.contains(lifecycle::Features::STATS),
        refresh: features.contains(lifecycle::Features::REFRESH),
        restart: features.contains(lifecycle::Features::RESTART),
        probes: features.contains(lifecycle::Features::PROBES),
        containers: features.contains(lifecycle::Features::CONTAINERS),
    }
}

/// The node as the backend knows it, and in words what of it was dropped. Telling that is the caller's: a guest may send facts all day.
pub(crate) fn node_facts(facts: lifecycle::NodeFacts) -> (NodeFacts, Option<String>) {
    let (facts, dropped) = facts::checked(raw_facts(facts));
    (facts, (!dropped.is_empty()).then(|| dropped.join("; ")))
}

fn raw_facts(facts: lifecycle::NodeFacts) -> NodeFacts {
    let taint = |taint: lifecycle::Taint| Taint {
        key: taint.key,
        value: Some(taint.value).filter(|value| !value.is_empty()),
        effect: taint.effect,
        ..Taint::default()
    };
    let condition = |condition: lifecycle::Condition| NodeCondition {
        type_: condition.type_,
        status: condition.status,
        reason: Some(clean(&condition.reason, MAX_TEXT_BYTES)),
        message: Some(clean(&condition.message, MAX_TEXT_BYTES)),
        ..NodeCondition::default()
    };
    NodeFacts {
        capacity: facts.capacity.into_iter().collect(),
        allocatable: facts.allocatable.into_iter().collect(),
        architecture: facts.architecture,
        operating_system: facts.operating_system,
        labels: facts.labels.into_iter().collect(),
        taints: facts.taints.into_iter().map(taint).collect(),
        conditions: facts.conditions.into_iter().map(condition).collect(),
    }
}

/// Which part of a log is wanted.
pub(crate) fn log_options(request: LogRequest) -> sessions::LogOptions {
    sessions::LogOptions {
        container: request.container,
        previous: request.previous,
        follow: request.follow,
        tail_lines: request.tail_lines,
        since_unix_ns: request.since_unix_ns,
    }
}

pub(crate) fn exec_request(request: ExecRequest) -> sessions::ExecRequest {
    let ExecRequest { container, command, tty } = request;
    sessions::ExecRequest { container, command, tty }
}

/// Figures as told. A guest may name a container as it likes: whoever shows them looks for those that the pod has.
pub(crate) fn pod_stats(stats: stats::PodStats) -> PodStats {
    let containers = stats.containers.into_iter().map(|container| {
        let stats::ContainerStats {
            name,
            time_unix_ms,
            start_time_unix_ms,
            cpu_usage_core_ns,
            cpu_usage_nano_cores,
            memory_working_set,
            memory_usage,
        } = container;
        ContainerStats {
            name,
            time_unix_ms,
            start_time_unix_ms,
            cpu_usage_core_ns,
            cpu_usage_nano_cores,
            memory_working_set,
            memory_usage,
        }
    });
    PodStats { key: key(&stats.pod), containers: containers.collect() }
}

/// A piece of a log, or several where it is longer than it may be. Its bytes are the container's and stay as they are.
pub(crate) fn log_pieces(item: sessions::LogItem, out: &mut VecDeque<LogItem>) {
    let sessions::LogItem::Line(line) = item else { return out.push_back(LogItem::CaughtUp) };
    let sessions::LogLine { time_unix_ns, source, bytes } = line;
    let stderr = matches!(source, sessions::LogSource::Stderr);
    let piece = |bytes| LogItem::Line { time_unix_ns, stderr, bytes };
    if bytes.len() <= MAX_PIECE_BYTES {
        return out.push_back(piece(bytes.into()));
    }
    // Copied: a piece that only pointed into the whole would keep all of it until the user has read on.
    out.extend(bytes.chunks(MAX_PIECE_BYTES).map(|bytes| piece(Bytes::copy_from_slice(bytes))));
}

#[cfg(test)]
mod tests;
