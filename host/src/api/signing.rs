//! Certificates from the cluster's signers.
//!
//! In: requests. Out: CertificateSigningRequests, and what comes of them. Invariant: a request is made once, and waited for as long as it is there; an
//! API server that is away is no decision.

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tracing::{info, warn};

use super::client::within;
use super::pods::describe;
use super::watch::Pauses;
use crate::certificates::{Request, Signer, SigningError};

/// Asks with the identity of a client.
pub(crate) struct ClusterSigner {
    requests: Api<CertificateSigningRequest>,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Signed(String),
    Denied(String),
    Failed(String),
}

impl ClusterSigner {
    pub(crate) fn new(client: Client) -> Self {
        Self { requests: Api::all(client) }
    }

    /// True when it is a new one.
    async fn ask(&self, request: &Request) -> Result<bool, SigningError> {
        let object = CertificateSigningRequest {
            metadata: ObjectMeta { name: Some(request.name.clone()), ..ObjectMeta::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request.pem.clone().into_bytes()),
                signer_name: request.signer.to_owned(),
                usages: Some(request.usages.map(str::to_owned).to_vec()),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        let mut pauses = Pauses::default();
        loop {
            let error = match within(self.requests.create(&PostParams::default(), &object)).await {
                Ok(_) => return Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 => return Ok(false),
                Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                    return Err(SigningError::Refused { name: request.name.clone(), message: status.message });
                }
                Err(error) => describe(&error),
            };
            pause(&mut pauses, &request.name, &error).await;
        }
    }

    /// None: it is not there any more.
    async fn decision(&self, name: &str) -> Option<Decision> {
        let mut pauses = Pauses::default();
        loop {
            let decided =
                |request: Option<&CertificateSigningRequest>| request.is_none_or(|request| decision(request).is_some());
            match await_condition(self.requests.clone(), name, decided).await {
                Ok(request) => return request.as_ref().and_then(decision),
                Err(error) => pause(&mut pauses, name, &error.to_string()).await,
            }
        }
    }
}

async fn pause(pauses: &mut Pauses, request: &str, error: &str) {
    let pause = pauses.next().unwrap_or_default();
    warn!(request, error, ?pause, "cannot ask for a certificate, trying again");
    tokio::time::sleep(pause).await;
}

fn decision(request: &CertificateSigningRequest) -> Option<Decision> {
    let status = request.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let said = |type_: &str| {
        let condition = conditions.iter().find(|condition| condition.type_ == type_ && condition.status != "False")?;
        let texts = [&condition.message, &condition.reason].into_iter().flatten();
        Some(texts.into_iter().find(|text| !text.is_empty()).map_or("no reason was given", String::as_str).to_owned())
    };
    if let Some(message) = said("Denied") {
        return Some(Decision::Denied(message));
    }
    if let Some(message) = said("Failed") {
        return Some(Decision::Failed(message));
    }
    said("Approved")?;
    let certificate = status.certificate.as_ref()?;
    Some(Decision::Signed(String::from_utf8_lossy(&certificate.0).into_owned()))
}

#[async_trait]
impl Signer for ClusterSigner {
    async fn sign(&self, request: &Request) -> Result<String, SigningError> {
        let name = request.name.clone();
        let approve = format!("kubectl certificate approve {name}");
        if self.ask(request).await? {
            info!(signer = request.signer, "asked for a certificate; where nothing approves it by itself: {approve}");
        } else {
            info!(
                "waiting for the certificate that was asked for earlier; where nothing approves it by itself: {approve}"
            );
        }
        match self.decision(&name).await {
            Some(Decision::Signed(certificate)) => Ok(certificate),
            Some(Decision::Denied(message)) => Err(SigningError::Denied { name, message }),
            Some(Decision::Failed(message)) => Err(SigningError::Failed { name, message }),
            None => Err(SigningError::Removed { name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decided(status: Value) -> Option<Decision> {
        let spec = json!({"request": "", "signerName": "s", "usages": []});
        decision(&serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap())
    }

    #[test]
    fn a_certificate_counts_once_it_is_approved_and_a_no_always() {
        let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "R", "message": ""});
        assert_eq!(decided(json!({})), None);
        assert_eq!(decided(json!({"certificate": "cGVt"})), None);
        assert_eq!(decided(json!({"conditions": [condition("Approved")]})), None);
        let signed = decided(json!({"conditions": [condition("Approved")], "certificate": "cGVt"}));
        assert_eq!(signed, Some(Decision::Signed("pem".to_owned())));
        assert_eq!(decided(json!({"conditions": [condition("Denied")]})), Some(Decision::Denied("R".to_owned())));
        let failed = decided(json!({"conditions": [condition("Approved"), condition("Failed")]}));
        assert_eq!(failed, Some(Decision::Failed("R".to_owned())));
    }
}
