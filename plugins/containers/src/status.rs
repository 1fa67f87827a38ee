//! How containers and sandboxes are, in the words of the contract.
//!
//! In: what the engine tells of one. Out: its status. Invariant: pure; only what has ended has an exit code and an end.

use pluglet_sdk::{ContainerState, ContainerStatus, SandboxStatus};

use crate::inspect::{Inspected, NetworkSettings};
use crate::labels;
use crate::message::shortened;
use crate::time::unix_ns;

/// SIGKILL, as an exit code.
const KILLED: i32 = 137;

/// The states that the engines have. Podman's `stopping` is on its way to the end and `stopped` has not been tidied up yet; a paused process exists.
pub(crate) fn state(found: &Inspected) -> ContainerState {
    match found.state.status.as_str() {
        "created" | "configured" | "initialized" => ContainerState::Created,
        "running" | "paused" | "stopping" | "restarting" => ContainerState::Running,
        "exited" | "stopped" | "dead" | "removing" => ContainerState::Exited,
        _ => ContainerState::Unknown,
    }
}

pub(crate) fn container(found: &Inspected) -> ContainerStatus {
    let (state, labels) = (state(found), found.labels());
    let ended = state == ContainerState::Exited;
    let code = ended.then(|| i32::try_from(found.state.exit_code).unwrap_or(i32::MAX));
    let started = unix_ns(&found.state.started_at);
    // Podman notes the start when it hears of it, which can be after a short run has ended.
    let finished = unix_ns(&found.state.finished_at).filter(|_| ended).map(|end| end.max(started.unwrap_or(0)));
    // The engines also say so of a container whose child alone was killed.
    let killed_for_memory = found.state.oom_killed && code == Some(KILLED);
    ContainerStatus {
        id: found.id.clone(),
        sandbox_id: labels::text(labels, labels::SANDBOX),
        name: labels::text(labels, labels::CONTAINER),
        attempt: labels::attempt(labels),
        state,
        image: labels::text(labels, labels::IMAGE),
        image_id: found.image.clone(),
        created_unix_ns: unix_ns(&found.created).unwrap_or_default(),
        started_unix_ns: started,
        finished_unix_ns: finished,
        exit_code: code,
        reason: if killed_for_memory { "OOMKilled".to_owned() } else { String::new() },
        message: shortened(&found.state.error),
        labels: labels::of_host(labels),
    }
}

pub(crate) fn sandbox(found: &Inspected) -> SandboxStatus {
    SandboxStatus {
        id: found.id.clone(),
        attempt: labels::attempt(found.labels()),
        ready: found.state.status == "running",
        created_unix_ns: unix_ns(&found.created).unwrap_or_default(),
        addresses: addresses(&found.network_settings),
    }
}

/// The pod's addresses, IPv4 first. The default network's stand at the top, those of a named network only below its name.
fn addresses(settings: &NetworkSettings) -> Vec<String> {
    let networks = settings.networks.values();
    let v4 = [&settings.ip_address].into_iter().chain(networks.clone().map(|network| &network.ip_address));
    let v6 = [&settings.global_ipv6_address].into_iter().chain(networks.map(|network| &network.global_ipv6_address));
    let mut all = Vec::new();
    for address in v4.chain(v6).filter(|address| !address.is_empty()) {
        if !all.contains(address) {
            all.push(address.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the engines write it: `state` in place of theirs.
    fn inspected(state: &str) -> Inspected {
        let json = format!(
            r#"{{"Id": "1", "Created": "2026-11-30T18:35:44.976677619Z", "Image": "sha256:4d", "State": {state},
                "Config": {{"Labels": {{"dev.pluglet.container": "main", "dev.pluglet.attempt": "2", "dev.pluglet.sandbox": "s",
                    "dev.pluglet.image": "nginx", "dev.pluglet.host.hash": "7"}}}}, "NetworkSettings": null}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn every_word_of_both_engines_is_known() {
        for (word, is) in [
            ("created", ContainerState::Created),
            ("running", ContainerState::Running),
            ("paused", ContainerState::Running),
            ("stopping", ContainerState::Running),
            ("restarting", ContainerState::Running),
            ("stopped", ContainerState::Exited),
            ("exited", ContainerState::Exited),
            ("dead", ContainerState::Exited),
            ("of a later version", ContainerState::Unknown),
        ] {
            assert_eq!(state(&inspected(&format!(r#"{{"Status": "{word}"}}"#))), is, "{word}");
        }
    }

    #[test]
    fn a_container_that_runs_has_no_exit_code_though_the_engines_write_one() {
        let podman = r#"{"Status": "running", "Running": true, "OOMKilled": false, "Pid": 24227, "ExitCode": 0, "Error": "",
            "StartedAt": "2026-11-30T18:35:45.251644215Z", "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": ""}}"#;
        let status = container(&inspected(podman));
        assert_eq!((status.exit_code, status.finished_unix_ns), (None, None));
        assert_eq!(status.started_unix_ns, Some(1_796_063_745_251_644_215));
        assert_eq!(status.created_unix_ns, 1_796_063_744_976_677_619);
        assert_eq!((status.name.as_str(), status.attempt, status.sandbox_id.as_str()), ("main", 2, "s"));
        assert_eq!((status.image.as_str(), status.image_id.as_str()), ("nginx", "sha256:4d"));
        assert_eq!(status.labels, [("hash".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn a_short_run_does_not_end_before_it_starts() {
        let podman = r#"{"Status": "exited", "ExitCode": 3,
            "StartedAt": "2026-11-30T18:39:22.600050198Z", "FinishedAt": "2026-11-30T18:39:22.598982503Z"}"#;
        let status = container(&inspected(podman));
        assert_eq!((status.exit_code, status.started_unix_ns), (Some(3), status.finished_unix_ns));
    }

    #[test]
    fn only_a_main_process_that_was_killed_is_killed_for_memory() {
        for (code, reason) in [(137, "OOMKilled"), (0, ""), (1, "")] {
            let state = format!(r#"{{"Status": "exited", "OOMKilled": true, "ExitCode": {code}}}"#);
            assert_eq!(container(&inspected(&state)).reason, reason, "{code}");
        }
    }

    #[test]
    fn what_could_not_be_started_is_created_and_says_why() {
        let docker = r#"{"Status": "created", "ExitCode": 127, "StartedAt": "0001-01-01T00:00:00Z",
            "Error": "failed to create shim task: OCI runtime create failed: runc create failed: exec: \"nope\": not found: unknown"}"#;
        let status = container(&inspected(docker));
        assert_eq!((status.state, status.exit_code, status.started_unix_ns), (ContainerState::Created, None, None));
        assert_eq!(status.message, "exec: \"nope\": not found");
    }

    #[test]
    fn the_addresses_of_a_sandbox_come_from_wherever_the_engine_writes_them() {
        let told = |settings: &str| {
            let found: Inspected = serde_json::from_str(&format!(r#"{{"NetworkSettings": {settings}}}"#)).unwrap();
            sandbox(&found).addresses
        };
        let one = r#""IPAddress": "10.88.0.6", "GlobalIPv6Address": """#;
        assert_eq!(told(&format!(r#"{{{one}, "Networks": {{"podman": {{{one}}}}}}}"#)), ["10.88.0.6"]);
        assert_eq!(told(r#"{"IPAddress": "", "Networks": {"pods": {"IPAddress": "10.1.0.2"}}}"#), ["10.1.0.2"]);
        let both = r#"{"GlobalIPv6Address": "fd00::2", "IPAddress": "10.1.0.2", "Networks": null}"#;
        assert_eq!(told(both), ["10.1.0.2", "fd00::2"]);
        assert!(told(r#"{"Networks": {"host": {"IPAddress": ""}}}"#).is_empty());
    }
}
