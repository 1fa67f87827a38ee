//! The credentials of Microsoft Entra.
//!
//! In: the mapping of one kind, the environment. Out: [`Auth`]. Invariant: what is not written has the public cloud's value; for a workload
//! identity it has what the cluster's webhook puts into the environment.

use std::path::PathBuf;

use pluglet_credentials::auth::{AZURE_AUDIENCE, AZURE_AUTHORITY_HOST, AZURE_IMDS_URL};
use pluglet_credentials::{
    Auth, AzureClientCertificate, AzureClientSecret, AzureManagedIdentity, AzureWorkloadIdentity,
};

use super::{file, optional_file, optional_text, text};
use crate::config::Environment;
use crate::config::fields::Fields;

pub(super) fn client_secret(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let (tenant_id, client_id) = (text(fields, "tenantId"), text(fields, "clientId"));
    let client_secret_file = file(fields, "clientSecretFile");
    let Common { audience, authority_host, ca_file } = Common::read(fields);
    Some(Auth::AzureClientSecret(AzureClientSecret {
        tenant_id: tenant_id?,
        client_id: client_id?,
        audience,
        authority_host: authority_host.unwrap_or_else(|| AZURE_AUTHORITY_HOST.to_owned()),
        ca_file,
        client_secret_file: client_secret_file?,
    }))
}

pub(super) fn client_certificate(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let (tenant_id, client_id) = (text(fields, "tenantId"), text(fields, "clientId"));
    let certificate_file = file(fields, "certificateFile");
    let Common { audience, authority_host, ca_file } = Common::read(fields);
    Some(Auth::AzureClientCertificate(AzureClientCertificate {
        tenant_id: tenant_id?,
        client_id: client_id?,
        audience,
        authority_host: authority_host.unwrap_or_else(|| AZURE_AUTHORITY_HOST.to_owned()),
        ca_file,
        certificate_file: certificate_file?,
    }))
}

pub(super) fn workload_identity(fields: &mut Fields<'_>, environment: Environment<'_>) -> Option<Auth> {
    let tenant_id = injected(fields, environment, "tenantId", "AZURE_TENANT_ID");
    let client_id = injected(fields, environment, "clientId", "AZURE_CLIENT_ID");
    let token_file = match fields.take("tokenFile") {
        Some(field) => field.file(),
        None => injected(fields, environment, "tokenFile", "AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
    };
    let Common { audience, authority_host, ca_file } = Common::read(fields);
    let authority_host = authority_host.or_else(|| environment("AZURE_AUTHORITY_HOST"));
    Some(Auth::AzureWorkloadIdentity(AzureWorkloadIdentity {
        tenant_id: tenant_id?,
        client_id: client_id?,
        audience,
        authority_host: authority_host.unwrap_or_else(|| AZURE_AUTHORITY_HOST.to_owned()),
        ca_file,
        token_file: token_file?,
    }))
}

pub(super) fn managed_identity(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    Some(Auth::AzureManagedIdentity(AzureManagedIdentity {
        client_id: optional_text(fields, "clientId"),
        audience: optional_text(fields, "audience").unwrap_or_else(|| AZURE_AUDIENCE.to_owned()),
        imds_url: AZURE_IMDS_URL.to_owned(),
    }))
}

/// What three of the kinds have in common.
struct Common {
    audience: String,
    authority_host: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Common {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            audience: optional_text(fields, "audience").unwrap_or_else(|| AZURE_AUDIENCE.to_owned()),
            authority_host: optional_text(fields, "authorityHost"),
            ca_file: optional_file(fields, "caFile"),
        }
    }
}

/// A field, or what the environment says in its place.
fn injected(
    fields: &mut Fields<'_>,
    environment: Environment<'_>,
    key: &'static str,
    variable: &str,
) -> Option<String> {
    if let Some(field) = fields.take(key) {
        return field.text().map(str::to_owned);
    }
    let value = environment(variable);
    if value.is_none() {
        fields.wrong(format!("`{key}` is missing, and {variable} is not set"));
    }
    value
}
