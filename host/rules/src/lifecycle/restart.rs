//! Whether a container is started again.
//!
//! In: the policies of pod and container, the container's rules about exit codes, how it ended. Out: yes or no. Invariant: a rule goes before the
//! container's policy, and that before the pod's (KEP-5307).

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

use super::{Seen, State};

const RESTART: &str = "Restart";
const RESTART_ALL: &str = "RestartAllContainers";

/// `Always`, `OnFailure` or `Never`: the container's own, else the pod's.
#[must_use]
pub fn policy<'a>(spec: &'a PodSpec, container: &'a Container) -> &'a str {
    container.restart_policy.as_deref().or(spec.restart_policy.as_deref()).unwrap_or("Always")
}

/// Whether a regular container that does not run is to be started. `state` is that of its newest attempt; None: there is none.
pub(super) fn again(spec: &PodSpec, container: &Container, state: Option<State>) -> bool {
    match state {
        None | Some(State::Created | State::Unknown) => true,
        Some(State::Running) => false,
        Some(State::Exited(code)) => after_exit(spec, container, code),
    }
}

/// Whether a container that has ended with this code is to be started again.
#[must_use]
pub fn after_exit(spec: &PodSpec, container: &Container, code: i32) -> bool {
    // Without a policy of its own a container's rules are not looked at; the API server does not let them through.
    let rule = container.restart_policy.as_ref().and_then(|_| matching(container, code));
    if rule.is_some_and(|rule| rule.action == RESTART || rule.action == RESTART_ALL) {
        return true;
    }
    match policy(spec, container) {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// The first rule that speaks of this code.
fn matching(container: &Container, code: i32) -> Option<&ContainerRestartRule> {
    container.restart_policy_rules.iter().flatten().find(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let named = codes.values.iter().flatten().any(|value| *value == code);
        match codes.operator.as_str() {
            "In" => named,
            "NotIn" => !named,
            _ => false,
        }
    })
}

/// The attempts that go because a rule restarts all containers of the pod (KEP-5532): regular containers before init containers, and those whose end was the
/// reason last, so that whoever is interrupted in between sees the reason again. Empty: no rule says so.
pub(super) fn to_reset(spec: &PodSpec, seen: &Seen) -> Vec<String> {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let asks = |container: &Container, state: State| {
        let State::Exited(code) = state else { return false };
        matching(container, code).is_some_and(|rule| rule.action == RESTART_ALL)
    };
    let (mut victims, mut reasons) = (vec![], vec![]);
    for container in spec.containers.iter().chain(init) {
        for attempt in seen.attempts.iter().filter(|attempt| attempt.container == container.name) {
            let list = if asks(container, attempt.state) { &mut reasons } else { &mut victims };
            list.push(attempt.id.clone());
        }
    }
    if reasons.is_empty() {
        return reasons;
    }
    victims.append(&mut reasons);
    victims
}
