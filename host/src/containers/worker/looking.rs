//! How the pod is: what the engine has of it, and its status.
//!
//! In: the runtime. Out: [`PodContents`], last words, a status. Invariant: what has changed is asked for one by one; what is in doubt is listed whole.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PodIP, PodStatus};
use pluglet_model::provider::{Error, LogItem, LogRequest};
use pluglet_model::runtime::{ContainerState, ContainerStatus, PodContents};
use pluglet_rules::runtime::container::Kept as _;
use pluglet_rules::runtime::status;

use futures::StreamExt as _;
use tokio::time::timeout;

use super::Worker;

/// The exit code of a container that could not be started, as container runtimes tell it.
const START_ERROR: i32 = 128;

/// The kubelet's bounds for the end of a log that stands for a termination message.
const LOG_LINES: u64 = 80;
const LOG_BYTES: usize = 2048;
/// Nothing else is done for the pod meanwhile.
const LOG_TIME: Duration = Duration::from_secs(5);

impl Worker {
    /// Takes a whole list for true.
    pub(super) fn saw(&mut self, contents: PodContents) {
        self.contents = contents;
        self.known = true;
        self.changed.clear();
        let there = |id: &String| self.contents.containers.iter().any(|container| container.id == *id);
        self.verdicts.liveness.retain(|id, _| there(id));
        self.verdicts.startup.retain(|id, _| there(id));
        self.graces.retain(|id, _| there(id));
        self.notes.messages.retain(|id, _| there(id));
        self.tried.retain(|id, _| there(id));
        for container in &mut self.contents.containers {
            judge(container, &self.tried);
        }
    }

    /// Learns what has changed.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        let of_container = |id: &String| self.contents.containers.iter().any(|container| container.id == *id);
        if !self.known || !self.changed.iter().all(of_container) {
            let contents = self.tools.runtime.pod(&self.handle.key).await?;
            self.saw(contents);
        }
        while let Some(id) = self.changed.first().cloned() {
            match self.tools.runtime.container(&self.handle.key, &id).await {
                Ok(status) => self.saw_container(status),
                Err(Error::NotFound) => self.contents.containers.retain(|container| container.id != id),
                Err(error) => return Err(error),
            }
            self.changed.remove(&id);
        }
        Ok(())
    }

    /// Takes what is told of one container for true.
    pub(super) fn saw_container(&mut self, mut status: ContainerStatus) {
        judge(&mut status, &self.tried);
        match self.contents.containers.iter_mut().find(|container| container.id == status.id) {
            Some(known) => *known = status,
            None => self.contents.containers.push(status),
        }
    }

    /// What those that have ended have left.
    pub(super) async fn hear_last_words(&mut self) {
        let ended = |container: &&ContainerStatus| container.state == ContainerState::Exited;
        let new: Vec<ContainerStatus> = self.contents.containers.iter().filter(ended).cloned().collect();
        for container in new {
            if self.notes.messages.contains_key(&container.id) {
                continue;
            }
            let message = self.last_words(&container).await;
            self.notes.messages.insert(container.id, message);
        }
    }

    async fn last_words(&self, container: &ContainerStatus) -> String {
        let (state, uid) = (self.tools.state_dir.clone(), self.handle.key.uid.clone());
        let (name, attempt) = (container.name.clone(), container.attempt);
        let read = move || super::Files::open(&state, &uid).map(|files| files.last_words(&name, attempt));
        let words = match self.tools.grants.directories {
            true => tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default(),
            false => String::new(),
        };
        if !words.is_empty() || container.exit_code == Some(0) || !container.falls_back_to_logs() {
            return if words.is_empty() { container.message.clone() } else { words };
        }
        // Of an engine that reads a log from its beginning, that may be long.
        timeout(LOG_TIME, self.end_of_log(&container.id)).await.ok().flatten().unwrap_or_default()
    }

    async fn end_of_log(&self, id: &str) -> Option<String> {
        let request = LogRequest { container: id.to_owned(), tail_lines: Some(LOG_LINES), ..LogRequest::default() };
        let mut log = self.tools.sessions.logs(&self.handle.key, request).await.ok()?;
        let mut lines = std::collections::VecDeque::new();
        while let Some(Ok(LogItem::Line { bytes, .. })) = log.next().await {
            if lines.len() as u64 >= LOG_LINES {
                lines.pop_front();
            }
            lines.push_back(bytes);
        }
        let text = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<String>();
        let begin = (text.len().saturating_sub(LOG_BYTES)..=text.len()).find(|at| text.is_char_boundary(*at))?;
        text.get(begin..).map(str::to_owned)
    }

    /// How the pod is, for the API server.
    pub(super) fn status(&self) -> PodStatus {
        let pod = self.pod();
        let mut status = status::status(pod, &self.contents, &self.notes);
        let spec = pod.and_then(|pod| pod.spec.as_ref());
        let on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
        if on_host && self.contents.sandboxes.iter().any(|sandbox| sandbox.ready) {
            let ip = self.tools.address.to_string();
            (status.pod_ip, status.pod_ips) = (Some(ip.clone()), Some(vec![PodIP { ip }]));
        }
        status
    }

    /// The pod's addresses.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.status().pod_ips.into_iter().flatten().map(|ip| ip.ip).collect()
    }
}

/// One that was made and cannot be started has ended, as its policy sees it: an engine leaves it as it was made (`StartError` of containerd).
fn judge(container: &mut ContainerStatus, tried: &BTreeMap<String, String>) {
    let Some(why) = tried.get(&container.id).filter(|_| container.state == ContainerState::Created) else { return };
    container.state = ContainerState::Exited;
    container.exit_code = Some(START_ERROR);
    container.reason = "StartError".to_owned();
    container.message.clone_from(why);
    container.started_unix_ns = Some(container.created_unix_ns);
    container.finished_unix_ns = Some(container.created_unix_ns);
}
