//! Tokens of Microsoft Entra (client secret, certificate, workload identity) and of the instance metadata service.
//!
//! In: the options of one of the four. Out: a [`TokenSource`]. Invariant: what proves who we are is made or read for each request.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::assertion::{self, ClientKey};
use super::client::{Ask, TokenClient};
use super::oauth2::encoded;
use super::{Granted, TokenSource};
use crate::check::{self, Plain};
use crate::watched::{Reader, Watched, unusable};
use crate::{
    AzureClientCertificate, AzureClientSecret, AzureManagedIdentity, AzureWorkloadIdentity, CredentialError, Secret,
};

/// What `client_assertion_type` is for a JWT (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A service principal of Microsoft Entra.
pub(crate) struct EntraSource {
    client: TokenClient,
    client_id: String,
    proof: Proof,
    /// The form up to the proof.
    before: String,
    /// The form after the proof.
    after: String,
}

/// What shows that we are the application.
enum Proof {
    Secret(Watched<Secret>),
    Federated(Watched<Secret>),
    Certificate(Watched<Arc<ClientKey>>),
}

/// A service principal with a secret.
pub(crate) fn client_secret(options: &AzureClientSecret) -> Result<EntraSource, CredentialError> {
    let AzureClientSecret { tenant_id, client_id, audience, authority_host, ca_file, client_secret_file } = options;
    let file = client_secret_file.clone();
    let proof = Proof::Secret(Watched::open(move |reader: &mut Reader| reader.line(&file))?);
    entra(tenant_id, client_id, audience, authority_host, ca_file.as_deref(), proof)
}

/// A service principal with a certificate.
pub(crate) fn client_certificate(options: &AzureClientCertificate) -> Result<EntraSource, CredentialError> {
    let AzureClientCertificate { tenant_id, client_id, audience, authority_host, ca_file, certificate_file } = options;
    let file = certificate_file.clone();
    let proof = Proof::Certificate(Watched::open(move |reader: &mut Reader| {
        let pem = reader.bytes(&file)?;
        ClientKey::from_pem(&pem).map(Arc::new).map_err(|reason| unusable(&file, reason))
    })?);
    entra(tenant_id, client_id, audience, authority_host, ca_file.as_deref(), proof)
}

/// A token of the cluster, exchanged.
pub(crate) fn workload_identity(options: &AzureWorkloadIdentity) -> Result<EntraSource, CredentialError> {
    let AzureWorkloadIdentity { tenant_id, client_id, audience, authority_host, ca_file, token_file } = options;
    let file = token_file.clone();
    let proof = Proof::Federated(Watched::open(move |reader: &mut Reader| reader.word(&file))?);
    entra(tenant_id, client_id, audience, authority_host, ca_file.as_deref(), proof)
}

fn entra(
    tenant_id: &str,
    client_id: &str,
    audience: &str,
    authority_host: &str,
    ca_file: Option<&Path>,
    proof: Proof,
) -> Result<EntraSource, CredentialError> {
    check::word("the tenant id", tenant_id, "-._")?;
    check::text("the client id", client_id)?;
    check::text("the audience", audience)?;
    let mut before = Serializer::new(String::new());
    before.append_pair("grant_type", "client_credentials").append_pair("client_id", client_id);
    let name = match proof {
        Proof::Secret(_) => "client_secret",
        Proof::Federated(_) | Proof::Certificate(_) => {
            before.append_pair("client_assertion_type", JWT_BEARER);
            "client_assertion"
        }
    };
    // Literally: an audience that ends in a slash gives two in a row, and so it must be.
    let scope: String = byte_serialize(format!("{audience}/.default").as_bytes()).collect();
    let path = format!("/{tenant_id}/oauth2/v2.0/token");
    let uri = check::join("the authority host", authority_host, &path, Plain::Loopback)?;
    Ok(EntraSource {
        client: TokenClient::new(uri, ca_file)?,
        client_id: client_id.to_owned(),
        proof,
        before: format!("{}&{name}=", before.finish()),
        after: format!("&scope={scope}"),
    })
}

#[async_trait]
impl TokenSource for EntraSource {
    async fn fetch(&self) -> Result<Granted, CredentialError> {
        let secret = match &self.proof {
            Proof::Secret(file) | Proof::Federated(file) => file.reread().0,
            Proof::Certificate(file) => {
                let audience = self.client.uri().to_string();
                assertion::sign(&file.reread().0, &audience, &self.client_id, SystemTime::now())?
            }
        };
        let encoded = encoded(&secret);
        let proof = std::str::from_utf8(encoded.as_bytes()).unwrap_or_default();
        let form = Zeroizing::new([self.before.as_str(), proof, self.after.as_str()].concat());
        let mut sent = vec![secret.clone(), encoded];
        if !matches!(self.proof, Proof::Secret(_)) {
            // A server that quotes an assertion may quote it in part.
            sent.extend(secret.as_bytes().split(|byte| *byte == b'.').map(Secret::new));
        }
        self.client.ask(Ask::Post { form, authorization: None, sent }).await
    }
}

/// The instance metadata service.
pub(crate) struct ImdsSource(TokenClient);

/// The identity of the virtual machine.
pub(crate) fn managed_identity(options: &AzureManagedIdentity) -> Result<ImdsSource, CredentialError> {
    check::text("the audience", &options.audience)?;
    let mut query = Serializer::new(String::new());
    query.append_pair("api-version", "2018-02-01").append_pair("resource", &options.audience);
    if let Some(client_id) = &options.client_id {
        check::text("the client id", client_id)?;
        query.append_pair("client_id", client_id);
    }
    let path = format!("/metadata/identity/oauth2/token?{}", query.finish());
    let uri = check::join("the metadata service's URL", &options.imds_url, &path, Plain::LinkLocal)?;
    Ok(ImdsSource(TokenClient::new(uri, None)?))
}

#[async_trait]
impl TokenSource for ImdsSource {
    async fn fetch(&self) -> Result<Granted, CredentialError> {
        self.0.ask(Ask::Metadata).await
    }
}
