//! Which kind a volume is of, and which kinds a provider takes.
//!
//! In: a `v1.Volume`; names. Out: the name of the field that is set; yes or no. Invariant: names are those of the JSON
//! fields.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Volume;

/// Volume kinds that a provider takes, by their field name in `v1.Volume` (`configMap`, `emptyDir`, …).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeKinds(BTreeSet<Box<str>>);

impl VolumeKinds {
    /// Whether a kind is among them.
    #[must_use]
    pub fn takes(&self, kind: &str) -> bool {
        self.0.contains(kind)
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for VolumeKinds {
    fn from_iter<I: IntoIterator<Item = S>>(kinds: I) -> Self {
        Self(kinds.into_iter().map(Into::into).collect())
    }
}

/// The kind of a volume: the name of the field that is set. None for a kind that is newer than this program.
#[must_use]
pub fn kind(volume: &Volume) -> Option<&'static str> {
    let fields = [
        ("configMap", volume.config_map.is_some()),
        ("secret", volume.secret.is_some()),
        ("projected", volume.projected.is_some()),
        ("downwardAPI", volume.downward_api.is_some()),
        ("emptyDir", volume.empty_dir.is_some()),
        ("persistentVolumeClaim", volume.persistent_volume_claim.is_some()),
        ("hostPath", volume.host_path.is_some()),
        ("csi", volume.csi.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("image", volume.image.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("fc", volume.fc.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("storageos", volume.storageos.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
    ];
    fields.into_iter().find_map(|(name, set)| set.then_some(name))
}

/// The volume that the ServiceAccount admission plugin adds to nearly every pod. Nobody asked for it: a provider that
/// takes no projected volumes runs the pod without it.
pub(crate) fn is_injected(volume: &Volume) -> bool {
    volume.projected.is_some() && volume.name.starts_with("kube-api-access-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_volume_field_of_the_api_has_a_kind_of_its_own_name() {
        let volume: Volume = serde_json::from_value(json!({"name": "v", "scaleIO": {
            "gateway": "g", "system": "s", "secretRef": {"name": "s"}}}))
        .unwrap();
        assert_eq!(kind(&volume), Some("scaleIO"));
        for name in ["configMap", "secret", "projected", "downwardAPI", "emptyDir", "ephemeral", "image", "gitRepo"] {
            let mut volume = json!({"name": "v"});
            volume[name] = if name == "gitRepo" { json!({"repository": "r"}) } else { json!({}) };
            let volume: Volume = serde_json::from_value(volume).unwrap();
            assert_eq!(kind(&volume), Some(name));
        }
    }

    #[test]
    fn a_kind_that_is_not_known_yet_has_no_name() {
        let volume: Volume = serde_json::from_value(json!({"name": "v", "holographic": {}})).unwrap();
        assert_eq!(kind(&volume), None);
    }

    #[test]
    fn only_projected_volumes_count_as_injected() {
        let injected = json!({"name": "kube-api-access-x7k2p", "projected": {"sources": []}});
        assert!(is_injected(&serde_json::from_value(injected).unwrap()));
        let secret = json!({"name": "kube-api-access-x7k2p", "secret": {"secretName": "s"}});
        assert!(!is_injected(&serde_json::from_value(secret).unwrap()));
    }
}
