//! `postStart` and `preStop`.
//!
//! In: a handler, the container that it is for. Out: whether it went well. Invariant: a hook that never ends ends with the time that its caller gives it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};

use super::Worker;
use crate::containers::Tools;
use crate::probes::{Check, Outcome};

/// How long a request of a hook may take. The kubelet's client has no limit; a hook that hangs would keep its pod from starting.
const HTTP_TIMEOUT: Duration = Duration::from_secs(60);

/// What a hook needs to run by itself.
pub(super) struct Hook {
    handler: LifecycleHandler,
    container: Container,
    id: String,
    address: Option<std::net::IpAddr>,
}

impl Worker {
    /// A hook of a container's run.
    pub(super) fn hook(&self, handler: &LifecycleHandler, container: &Container, id: &str) -> Hook {
        let address = self.addresses().first().and_then(|address| address.parse().ok());
        Hook { handler: handler.clone(), container: container.clone(), id: id.to_owned(), address }
    }
}

impl Hook {
    /// Runs it; `Err` says why it failed.
    pub(super) async fn run(self, tools: &Tools, key: &pluglet_model::PodKey) -> Result<(), String> {
        let Self { handler, container, id, address } = self;
        if let Some(sleep) = &handler.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            return Ok(());
        }
        if let Some(exec) = &handler.exec {
            let command = exec.command.clone().unwrap_or_default();
            let output = tools.sessions.run(key, &id, &command).await.map_err(|error| error.to_string())?;
            return match output.exit_code {
                0 => Ok(()),
                code => Err(format!("command exited with {code}: {}", String::from_utf8_lossy(&output.output))),
            };
        }
        let probe =
            Probe { http_get: handler.http_get.clone(), tcp_socket: handler.tcp_socket.clone(), ..Probe::default() };
        let check = Check::of(&probe, &container);
        match tools.runner.check(key, &id, &check, address, HTTP_TIMEOUT).await {
            Outcome::Success | Outcome::Warning { .. } => Ok(()),
            Outcome::Failure { output } => Err(output),
            Outcome::Unknown { error } => Err(error),
        }
    }
}
