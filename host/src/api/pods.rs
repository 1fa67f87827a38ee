//! Status writes and deletes of pods.
//!
//! In: keys and patches. Out: calls on `pods/status` and `pods`. Invariant: every write carries the UID, so none can land on a pod that was
//! recreated under the same name.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client, Resource};
use pluglet_model::PodKey;
use pluglet_rules::references::TokenSpec;
use serde::Deserialize;
use serde_json::Value;

use super::client::within;
use crate::pods::port::{PodStore, WriteError};

/// Who writes, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "pluglet";

/// The cluster's pods.
pub(crate) struct ClusterPods {
    client: Client,
}

impl ClusterPods {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}

/// The one field of the answer that matters; the rest of a pod is not worth decoding here.
#[derive(Deserialize)]
struct Answer {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

#[async_trait]
impl PodStore for ClusterPods {
    async fn patch_status(&self, key: &PodKey, patch: Value) -> Result<u64, WriteError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = requests(key)
            .patch_subresource("status", &key.name, &params, &Patch::Strategic(patch))
            .map_err(|error| WriteError::Refused(error.to_string()))?;
        let answer: Answer =
            within(self.client.request(request)).await.map_err(|error| write_error(error, Write::Patch))?;
        Ok(answer.metadata.resource_version.parse().unwrap_or(0))
    }

    async fn delete(&self, key: &PodKey) -> Result<(), WriteError> {
        let params = DeleteParams::default()
            .grace_period(0)
            .preconditions(Preconditions { uid: Some(key.uid.to_string()), resource_version: None });
        let request =
            requests(key).delete(&key.name, &params).map_err(|error| WriteError::Refused(error.to_string()))?;
        within(self.client.request_text(request)).await.map(|_| ()).map_err(|error| write_error(error, Write::Delete))
    }

    async fn request_token(
        &self,
        key: &PodKey,
        service_account: &str,
        spec: &TokenSpec,
    ) -> Result<(Arc<str>, i64), String> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), &key.namespace);
        let request = token_request(key, spec);
        let params = PostParams::default();
        let call = accounts.create_token_request(service_account, &params, &request);
        let answer = within(call).await.map_err(|error| describe(&error))?;
        let seconds = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(spec.expiration_seconds);
        let token = answer.status.and_then(|status| status.token).filter(|token| !token.is_empty());
        token.map(|token| (token.into(), seconds)).ok_or_else(|| "the API server answered without a token".to_owned())
    }
}

/// The request for a token: its lifetime and audience are the pod author's, the binding to the pod is ours. The API server refuses a node
/// that asks for an audience which the pod does not name (ServiceAccountNodeAudienceRestriction).
fn token_request(key: &PodKey, spec: &TokenSpec) -> TokenRequest {
    TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(spec.audience.iter().map(ToString::to_string).collect()),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(key.name.to_string()),
                uid: Some(key.uid.to_string()),
            }),
            expiration_seconds: Some(spec.expiration_seconds),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    }
}

fn requests(key: &PodKey) -> Request {
    Request::new(Pod::url_path(&(), Some(&key.namespace)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Patch,
    Delete,
}

fn write_error(error: kube::Error, write: Write) -> WriteError {
    match &error {
        kube::Error::Api(status) => match status.code {
            404 | 410 => WriteError::Gone,
            // The UID of the precondition belongs to another pod by now. To a patch it only says that somebody else was writing.
            409 if write == Write::Delete => WriteError::Gone,
            422 if names_uid(status) => WriteError::Gone,
            400 | 422 => WriteError::Refused(status.message.clone()),
            _ => {
                let seconds = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|s| *s > 0);
                WriteError::Later {
                    message: status.message.clone(),
                    after: seconds.map(|s| Duration::from_secs(s.into())),
                }
            }
        },
        _ => WriteError::Later { message: describe(&error), after: None },
    }
}

/// A patch that carries the UID of another pod is invalid in just this field.
fn names_uid(status: &kube::core::Status) -> bool {
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.field == "metadata.uid")
}

/// An error with its sources, on one line. Of an answer of the API server only what it says: kube would add the whole Status.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref()
        && !status.message.is_empty()
    {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
