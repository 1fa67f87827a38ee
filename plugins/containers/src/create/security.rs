//! What a container may do.
//!
//! In: the security settings that the host has decided. Out: the engines' fields. Invariant: pure; what an engine cannot enforce is `unsupported`,
//! never left out.

use pluglet_sdk::{Error, Result, Security, SecurityProfile};
use serde_json::{Map, Value, json};

use super::filled;
use crate::client::Dialect;

/// Fields of a container's `HostConfig`.
pub(crate) fn host_config(dialect: Dialect, security: &Security) -> Result<Map<String, Value>> {
    let groups: Vec<String> = security.supplemental_groups.iter().map(u32::to_string).collect();
    let mut fields = filled(vec![
        ("Privileged", json!(security.privileged)),
        ("CapAdd", json!(security.add_capabilities)),
        ("CapDrop", json!(security.drop_capabilities)),
        ("ReadonlyRootfs", json!(security.read_only_root)),
        ("GroupAdd", json!(groups)),
        ("SecurityOpt", json!(options(dialect, security)?)),
    ]);
    if security.unmasked_proc && dialect == Dialect::Docker {
        // Empty is not the same as missing here: nothing is masked.
        fields.insert("MaskedPaths".to_owned(), json!([]));
        fields.insert("ReadonlyPaths".to_owned(), json!([]));
    }
    Ok(fields)
}

fn options(dialect: Dialect, security: &Security) -> Result<Vec<String>> {
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SecurityProfile::Default => {}
        SecurityProfile::Unconfined => options.push("seccomp=unconfined".to_owned()),
        // Podman takes what stands here for the name of a file on its machine.
        SecurityProfile::Custom(_) if dialect == Dialect::Podman => {
            return Err(Error::Unsupported("Podman's API takes no seccomp profile of one's own".to_owned()));
        }
        SecurityProfile::Custom(profile) => options.push(format!("seccomp={profile}")),
    }
    match &security.apparmor {
        SecurityProfile::Default => {}
        SecurityProfile::Unconfined => options.push("apparmor=unconfined".to_owned()),
        SecurityProfile::Custom(name) => options.push(format!("apparmor={name}")),
    }
    // Podman does not look at `MaskedPaths`.
    if security.unmasked_proc && dialect == Dialect::Podman {
        options.push("unmask=ALL".to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(dialect: Dialect, security: &Security) -> Value {
        Value::Object(host_config(dialect, security).unwrap())
    }

    #[test]
    fn each_engine_unmasks_proc_in_its_own_way() {
        let security = Security { unmasked_proc: true, ..Security::default() };
        assert_eq!(fields(Dialect::Docker, &security), json!({"MaskedPaths": [], "ReadonlyPaths": []}));
        assert_eq!(fields(Dialect::Podman, &security), json!({"SecurityOpt": ["unmask=ALL"]}));
    }

    #[test]
    fn rights_are_passed_on_as_they_are() {
        let security = Security {
            privileged: true,
            supplemental_groups: vec![3000],
            add_capabilities: vec!["NET_ADMIN".into()],
            drop_capabilities: vec!["ALL".into()],
            no_new_privileges: true,
            seccomp: SecurityProfile::Unconfined,
            apparmor: SecurityProfile::Custom("web".into()),
            ..Security::default()
        };
        assert_eq!(
            fields(Dialect::Podman, &security),
            json!({"Privileged": true, "GroupAdd": ["3000"], "CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "apparmor=web"]})
        );
        assert_eq!(fields(Dialect::Docker, &Security::default()), json!({}));
    }

    #[test]
    fn a_profile_that_podman_would_look_for_on_its_disk_is_not_supported() {
        let security = Security { seccomp: SecurityProfile::Custom("{}".into()), ..Security::default() };
        assert_eq!(fields(Dialect::Docker, &security), json!({"SecurityOpt": ["seccomp={}"]}));
        assert!(matches!(host_config(Dialect::Podman, &security), Err(Error::Unsupported(_))));
    }
}
