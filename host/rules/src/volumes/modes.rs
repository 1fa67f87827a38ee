//! Permission bits of files in a volume.
//!
//! In: modes that a pod names, its security contexts. Out: permission bits. Invariant: never more than `0o777`. Rules
//! of `pkg/volume/projected`, `FsUserFrom` and `changeFilePermission` (pkg/volume).

use k8s_openapi::api::core::v1::PodSpec;

use crate::containers;

/// `defaultMode` where none is set; the API server sets this one.
const DEFAULT: i32 = 0o644;
/// Of files that are for the user of the pod's containers alone.
const OWNER_ONLY: i32 = 0o600;
/// What the group of `fsGroup` may do with the files of a read-only volume.
const GROUP_READS: u32 = 0o440;

/// The modes of one volume's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes {
    default: i32,
    group: bool,
    user: bool,
}

impl Modes {
    /// Of a volume with this `defaultMode`.
    pub(crate) fn of(spec: &PodSpec, default_mode: Option<i32>) -> Self {
        let context = spec.security_context.as_ref();
        Self {
            default: default_mode.unwrap_or(DEFAULT),
            group: context.is_some_and(|context| context.fs_group.is_some()),
            user: has_one_user(spec),
        }
    }

    /// Of a file with this `mode` of its own.
    pub(crate) fn file(self, mode: Option<i32>) -> u32 {
        let mode = u32::try_from(mode.unwrap_or(self.default)).unwrap_or_default() & 0o777;
        if self.group { mode | GROUP_READS } else { mode }
    }

    /// Of a token or trust bundle. If one user runs all containers, that user should own the file and nobody else read
    /// it; with `fsGroup` the group reads it as well (0640); else it has the volume's mode. There is no owner in a
    /// [`VolumeFile`](pluglet_model::pod::VolumeFile): a provider whose file systems have owners gives 0600 files to
    /// that user.
    pub(crate) fn token(self) -> u32 {
        self.file((self.user || self.group).then_some(OWNER_ONLY))
    }
}

/// Whether all containers say, themselves or by the pod, that they run as the same user.
fn has_one_user(spec: &PodSpec) -> bool {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = containers::all(spec).map(|container| container.run_as_user.or(of_pod));
    match users.next() {
        Some(Some(first)) => users.all(|user| user == Some(first)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn modes(spec: Value, default: Option<i32>) -> Modes {
        Modes::of(&serde_json::from_value(spec).unwrap(), default)
    }

    fn containers(security: Value) -> Value {
        json!({"securityContext": security, "containers": [{"name": "a"}, {"name": "b"}]})
    }

    #[test]
    fn a_file_has_its_own_mode_or_the_volumes_or_0644() {
        assert_eq!(modes(containers(json!({})), None).file(None), 0o644);
        assert_eq!(modes(containers(json!({})), Some(0o400)).file(None), 0o400);
        assert_eq!(modes(containers(json!({})), Some(0o400)).file(Some(0o511)), 0o511);
        assert_eq!(modes(containers(json!({})), Some(-1)).file(Some(0o7777)), 0o777);
    }

    #[test]
    fn the_group_of_fs_group_may_read_every_file() {
        assert_eq!(modes(containers(json!({"fsGroup": 2000})), Some(0o400)).file(None), 0o440);
        assert_eq!(modes(containers(json!({"fsGroup": 2000})), None).file(None), 0o644);
    }

    #[test]
    fn a_token_is_for_the_one_user_of_all_containers() {
        assert_eq!(modes(containers(json!({"runAsUser": 1000})), None).token(), 0o600);
        let same = json!({"initContainers": [{"name": "i", "securityContext": {"runAsUser": 5}}],
            "containers": [{"name": "a", "securityContext": {"runAsUser": 5}}]});
        assert_eq!(modes(same, None).token(), 0o600);
    }

    #[test]
    fn a_token_has_the_volumes_mode_where_users_differ_or_are_unknown() {
        assert_eq!(modes(containers(json!({})), None).token(), 0o644);
        let differ = json!({"securityContext": {"runAsUser": 1}, "containers": [
            {"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 2}}]});
        assert_eq!(modes(differ, None).token(), 0o644);
        let unknown = json!({"containers": [{"name": "a", "securityContext": {"runAsUser": 2}}, {"name": "b"}]});
        assert_eq!(modes(unknown, None).token(), 0o644);
    }

    #[test]
    fn a_token_is_for_the_group_where_fs_group_is_set() {
        assert_eq!(modes(containers(json!({"fsGroup": 2000})), None).token(), 0o640);
        assert_eq!(modes(containers(json!({"fsGroup": 2000, "runAsUser": 1})), None).token(), 0o640);
    }
}
