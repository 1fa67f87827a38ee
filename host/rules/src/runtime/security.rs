//! What a container may do, in the runtime's words.
//!
//! In: the security contexts of pod and container, the image's user. Out: [`Security`], or why it must not run. Invariant: the container's word goes before the
//! pod's; what asks for a user that is not root never gets root (`pkg/kubelet/kuberuntime/security_context_others.go`).

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext,
};
use pluglet_model::runtime::{Security, SecurityProfile};

use super::Refusal;

/// `image_user` is what the image says, empty for root.
pub(super) fn of(pod: &Pod, container: &Container, image_user: &str) -> Result<Security, Refusal> {
    let (none, nothing) = (PodSecurityContext::default(), SecurityContext::default());
    let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()).unwrap_or(&none);
    let own = container.security_context.as_ref().unwrap_or(&nothing);
    let run_as_user = own.run_as_user.or(shared.run_as_user);
    if own.run_as_non_root.or(shared.run_as_non_root) == Some(true) {
        verify_not_root(pod, container, run_as_user, image_user)?;
    }
    let groups = shared.supplemental_groups.iter().flatten().copied().chain(shared.fs_group);
    let privileged = own.privileged == Some(true);
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let Capabilities { add, drop } = capabilities;
    Ok(Security {
        user: user(run_as_user, own.run_as_group.or(shared.run_as_group), image_user),
        supplemental_groups: groups.filter_map(|group| u32::try_from(group).ok()).collect(),
        privileged,
        add_capabilities: names(add),
        drop_capabilities: names(drop),
        read_only_root: own.read_only_root_filesystem == Some(true),
        no_new_privileges: own.allow_privilege_escalation == Some(false) && !privileged,
        seccomp: seccomp(own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref()))?,
        apparmor: apparmor(own.app_armor_profile.as_ref().or(shared.app_armor_profile.as_ref())),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        target_container: None,
    })
}

fn user(user: Option<i64>, group: Option<i64>, image_user: &str) -> String {
    let user = user.map(|user| user.to_string());
    let Some(group) = group else { return user.unwrap_or_default() };
    // A group needs a user before it: the image's, without the image's group.
    let of_image = image_user.split(':').next().filter(|user| !user.is_empty()).unwrap_or("0");
    format!("{}:{group}", user.as_deref().unwrap_or(of_image))
}

/// `verifyRunAsNonRoot`, with its words.
fn verify_not_root(pod: &Pod, container: &Container, user: Option<i64>, image_user: &str) -> Result<(), Refusal> {
    let named = image_user.split(':').next().unwrap_or_default();
    let problem = match (user, named.parse::<i64>()) {
        (Some(0), _) => "container's runAsUser breaks non-root policy".to_owned(),
        (Some(_), _) => return Ok(()),
        (None, Ok(0)) => "container has runAsNonRoot and image will run as root".to_owned(),
        (None, Ok(_)) => return Ok(()),
        (None, Err(_)) if named.is_empty() => "container has runAsNonRoot and image will run as root".to_owned(),
        (None, Err(_)) => {
            format!(
                "container has runAsNonRoot and image has non-numeric user ({named}), cannot verify user is non-root"
            )
        }
    };
    let metadata = &pod.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    Err(Refusal(format!(
        "{problem} (pod: \"{}_{}({})\", container: {})",
        part(&metadata.name),
        part(&metadata.namespace),
        part(&metadata.uid),
        container.name
    )))
}

/// Without a profile the engine's own counts, which is stricter than a kubelet's default of none.
fn seccomp(profile: Option<&SeccompProfile>) -> Result<SecurityProfile, Refusal> {
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("RuntimeDefault") => Ok(SecurityProfile::Default),
        Some("Unconfined") => Ok(SecurityProfile::Unconfined),
        Some(kind) => Err(Refusal(format!(
            "securityContext.seccompProfile.type {kind} is not supported: this node has no directory of profiles; use RuntimeDefault"
        ))),
    }
}

fn apparmor(profile: Option<&AppArmorProfile>) -> SecurityProfile {
    match profile.map(|profile| (profile.type_.as_str(), &profile.localhost_profile)) {
        Some(("Unconfined", _)) => SecurityProfile::Unconfined,
        Some(("Localhost", Some(name))) => SecurityProfile::Custom(name.clone()),
        _ => SecurityProfile::Default,
    }
}

fn names(capabilities: Option<Vec<String>>) -> Vec<String> {
    let bare = |name: String| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name);
    capabilities.into_iter().flatten().map(bare).collect()
}
