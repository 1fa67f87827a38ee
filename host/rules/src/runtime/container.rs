//! One run of a container, as the runtime is told.
//!
//! In: the pod, the container, its image, what the host has made for it. Out: a [`ContainerConfig`], or why there is none (`generateContainerConfig`).
//! Invariant: what must be known again after a restart of this process is in its labels, see [`Kept`].

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use pluglet_model::runtime::{ContainerConfig, ContainerStatus, ImageStatus, Mount, Resources};

use super::{Refusal, addresses, resources, security};
use crate::lifecycle::Kind;

const LIST: &str = "list";
const PAUSE: &str = "pause-ms";
const TERMINATION: &str = "termination";

/// Everything that decides how a container is made.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The resolved pod.
    pub pod: &'a Pod,
    /// Which of its lists the container is in.
    pub kind: Kind,
    /// As in its spec.
    pub container: &'a Container,
    /// Its number.
    pub attempt: u32,
    /// What it runs.
    pub image: &'a ImageStatus,
    /// The pod's.
    pub addresses: &'a [String],
    /// Volumes and files of the host.
    pub mounts: &'a [Mount],
    /// How long it had to wait, see [`crate::lifecycle::back_off`]. None: it is the first.
    pub pause: Option<Duration>,
    /// Whose processes it sees: an id.
    pub target: Option<&'a str>,
    /// The node's, in bytes.
    pub node_memory: u64,
}

/// Makes it.
///
/// # Errors
/// [`Refusal`], for the container's status.
pub fn config(input: &Input<'_>) -> Result<ContainerConfig, Refusal> {
    let mut container = input.container.clone();
    addresses::fill(&mut container, input.addresses)?;
    let mut security = security::of(input.pod, &container, &input.image.user)?;
    security.target_container = input.target.map(str::to_owned);
    let env = container.env.iter().flatten();
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt: input.attempt,
        image: container.image.clone().unwrap_or_default(),
        image_id: input.image.id.clone(),
        env: env.map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default())).collect(),
        mounts: input.mounts.to_vec(),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        labels: labels(input),
        resources: resources::of(input.pod, &container, input.node_memory),
        security,
        working_directory: container.working_dir.unwrap_or_default(),
        command: container.command.unwrap_or_default(),
        args: container.args.unwrap_or_default(),
    })
}

/// What a container that runs is to use from now on.
#[must_use]
pub fn resources(pod: &Pod, container: &Container, node_memory: u64) -> Resources {
    resources::of(pod, container, node_memory)
}

fn labels(input: &Input<'_>) -> Vec<(String, String)> {
    let list = match input.kind {
        Kind::Init => "init",
        Kind::Regular => "regular",
        Kind::Ephemeral => "ephemeral",
    };
    let mut labels = vec![(LIST.to_owned(), list.to_owned())];
    labels.extend(input.pause.map(|pause| (PAUSE.to_owned(), pause.as_millis().to_string())));
    if input.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") {
        labels.push((TERMINATION.to_owned(), "logs".to_owned()));
    }
    labels
}

/// What the labels of a container tell.
pub trait Kept {
    /// Which list of the pod it is in.
    fn kind(&self) -> Kind;
    /// How long it had to wait before it began. None: it was the first.
    fn pause(&self) -> Option<Duration>;
    /// Whether the end of its log stands for a termination message that it has not written.
    fn falls_back_to_logs(&self) -> bool;
}

impl Kept for ContainerStatus {
    fn kind(&self) -> Kind {
        match self.label(LIST) {
            Some("init") => Kind::Init,
            Some("ephemeral") => Kind::Ephemeral,
            _ => Kind::Regular,
        }
    }

    fn pause(&self) -> Option<Duration> {
        let pause = self.label(PAUSE).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        // One whose label is lost is not the first all the same.
        pause.or_else(|| (self.attempt > 0).then_some(Duration::ZERO))
    }

    fn falls_back_to_logs(&self) -> bool {
        self.label(TERMINATION) == Some("logs")
    }
}
