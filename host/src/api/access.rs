//! Who may call the node's server: certificate authorities and access reviews.
//!
//! In: files, a ConfigMap, user names, tokens. Out: trusted certificates, yes or no. Invariant: a review that cannot be made is a no.

use std::path::Path;

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::warn;

use super::client::within;
use super::watch::Pauses;
use crate::kubelet::auth::{Authorizer, Caller};

/// Certificates of a PEM file, DER.
pub(super) fn read_certificates(file: &Path) -> Result<Vec<Vec<u8>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.map(|certificate| Ok(certificate?.to_vec())).collect()
}

/// The authority that signs client certificates in this cluster, as the API server publishes it. None where this identity may not
/// read it: node identities may not. Waits for the API server: its not being there is no answer.
pub(crate) async fn published_client_ca(client: Client) -> Option<Vec<Vec<u8>>> {
    let maps = Api::<ConfigMap>::namespaced(client, "kube-system");
    let mut pauses = Pauses::default();
    let map = loop {
        match within(maps.get("extension-apiserver-authentication")).await {
            Ok(map) => break map,
            Err(kube::Error::Api(status)) if [401, 403, 404].contains(&status.code) => return None,
            Err(error) => {
                let (error, pause) = (super::pods::describe(&error), pauses.next().unwrap_or_default());
                warn!(
                    error,
                    ?pause,
                    "cannot learn who signs client certificates, trying again; --client-ca-file says it by hand"
                );
                tokio::time::sleep(pause).await;
            }
        }
    };
    let pem = map.data?.remove("client-ca-file")?;
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .ok()
}

/// Asks the API server with a SubjectAccessReview, as a kubelet with webhook authorization does.
pub(crate) struct AccessReviews {
    client: Client,
    node_name: String,
}

impl AccessReviews {
    pub(crate) fn new(client: Client, node_name: &str) -> Self {
        Self { client, node_name: node_name.to_owned() }
    }
}

#[async_trait]
impl Authorizer for AccessReviews {
    async fn allows(&self, caller: &Caller, verb: &str, subresource: &str) -> Result<bool, String> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(caller.user.clone()),
                groups: Some(caller.groups.clone()),
                uid: caller.uid.clone(),
                extra: (!caller.extra.is_empty()).then(|| caller.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node_name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = within(reviews.create(&PostParams::default(), &review)).await;
        answer
            .map(|review| review.status.is_some_and(|status| status.allowed))
            .map_err(|error| super::pods::describe(&error))
    }

    async fn owner(&self, token: &str) -> Result<Option<Caller>, String> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let answer = within(reviews.create(&PostParams::default(), &review)).await;
        let status = answer.map_err(|error| super::pods::describe(&error))?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        Ok(user.and_then(|user| {
            Some(Caller {
                user: user.username?,
                groups: user.groups.unwrap_or_default(),
                uid: user.uid,
                extra: user.extra.unwrap_or_default(),
            })
        }))
    }
}
