//! Files of projected volumes.
//!
//! In: the sources of a projected volume. Out: their files in one set. Invariant: a later source wins where two make
//! the same path, as in the kubelet's `collectData` (pkg/volume/projected).

use k8s_openapi::api::core::v1::{ClusterTrustBundleProjection, ProjectedVolumeSource, VolumeProjection};

use super::{Files, Maker, trust};
use crate::objects::{Object, Obstacle, require};
use crate::references::{ObjectRef, TokenSpec, of_projection};
use crate::selector::label_selector_matches;

/// Adds the files of all sources.
pub(super) fn files(maker: &Maker<'_>, source: &ProjectedVolumeSource) -> Result<Files, Obstacle> {
    let mut files = Files::new(maker.modes(source.default_mode));
    for projection in source.sources.iter().flatten() {
        one(maker, projection, &mut files)?;
    }
    Ok(files)
}

fn one(maker: &Maker<'_>, projection: &VolumeProjection, files: &mut Files) -> Result<(), Obstacle> {
    if let Some(secret) = &projection.secret {
        let reference = ObjectRef::secret(maker.namespace(), &secret.name);
        maker.object(&reference, secret.items.as_deref(), secret.optional, files)
    } else if let Some(map) = &projection.config_map {
        let reference = ObjectRef::config_map(maker.namespace(), &map.name);
        maker.object(&reference, map.items.as_deref(), map.optional, files)
    } else if let Some(downward) = &projection.downward_api {
        maker.downward(downward.items.as_deref().unwrap_or_default(), files)
    } else if let Some(token) = &projection.service_account_token {
        let spec = TokenSpec::of(token);
        let token_text = (maker.context.token)(&spec).ok_or(Obstacle::Token(spec))?;
        let mode = files.modes.token();
        files.add(&token.path, mode, token_text.as_bytes().to_vec())
    } else if let Some(bundle) = &projection.cluster_trust_bundle {
        let bytes = trust_anchors(maker, projection, bundle)?;
        let mode = files.modes.token();
        files.add(&bundle.path, mode, bytes)
    } else if projection.pod_certificate.is_some() {
        Err(Obstacle::Unsupported("pluglet cannot request certificates for podCertificate volumes".to_owned()))
    } else {
        Ok(())
    }
}

fn trust_anchors(
    maker: &Maker<'_>,
    projection: &VolumeProjection,
    source: &ClusterTrustBundleProjection,
) -> Result<Vec<u8>, Obstacle> {
    let Some(reference) = of_projection(projection, maker.namespace()) else {
        let text = "ClusterTrustBundle projection requires either name or signerName to be set";
        return Err(Obstacle::Message(text.to_owned()));
    };
    let found = require(maker.context.object, &reference, source.optional)?;
    let Some(Object::TrustBundles(bundles)) = found.as_deref() else {
        return Ok(Vec::new());
    };
    let ObjectRef::TrustBundles { signer_name } = &reference else {
        return Ok(trust::normalize(bundles.iter()));
    };
    let mut selected = bundles
        .iter()
        .filter(|bundle| bundle.signer_name == **signer_name)
        .filter(|bundle| label_selector_matches(source.label_selector.as_ref(), &bundle.labels))
        .peekable();
    if selected.peek().is_none() && source.optional != Some(true) {
        return Err(Obstacle::Message(reference.not_found()));
    }
    Ok(trust::normalize(selected))
}
