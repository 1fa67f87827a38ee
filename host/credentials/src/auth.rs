//! What the operator decides about the credential of one endpoint.
//!
//! In: `pluglet.yaml` or flags, read by the caller. Out: [`Auth`]. Invariant: plain data with the names of files, never a secret; it
//! may be logged. [`crate::Credential::new`] checks it.

use std::path::PathBuf;

use http::HeaderName;

/// Whom a token of Azure is for unless the operator says otherwise: Azure's management API in the public cloud.
pub const AZURE_AUDIENCE: &str = "https://management.core.windows.net/";

/// Who gives out Azure's tokens unless the operator says otherwise: the public cloud.
pub const AZURE_AUTHORITY_HOST: &str = "https://login.microsoftonline.com";

/// Where a virtual machine on Azure finds the instance metadata service.
pub const AZURE_IMDS_URL: &str = "http://169.254.169.254";

/// Which kind of credential, from which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer <file>` (RFC 6750).
    Bearer {
        /// The token. White space around it is dropped.
        token_file: PathBuf,
    },
    /// `authorization: Basic …` (RFC 7617).
    Basic {
        /// Without a colon, which would end it.
        username: String,
        /// The password. A line end at its end is dropped, other white space is not.
        password_file: PathBuf,
    },
    /// A header of the backend's own, such as `x-api-key`.
    Header {
        /// Its name; none that frames a message or concerns the connection.
        name: HeaderName,
        /// Its value. White space around it is dropped.
        value_file: PathBuf,
    },
    /// OAuth 2.0 client credentials grant (RFC 6749 section 4.4).
    OAuth2(OAuth2),
    /// A service principal of Microsoft Entra with a secret.
    AzureClientSecret(AzureClientSecret),
    /// A service principal of Microsoft Entra with a certificate.
    AzureClientCertificate(AzureClientCertificate),
    /// A token of the cluster, exchanged for one of Microsoft Entra.
    AzureWorkloadIdentity(AzureWorkloadIdentity),
    /// The identity of the virtual machine that this host runs on.
    AzureManagedIdentity(AzureManagedIdentity),
    /// AWS Signature Version 4.
    AwsSigV4(AwsSigV4),
}

/// OAuth 2.0 client credentials grant, the client authenticated with HTTP Basic (RFC 6749 sections 2.3.1 and 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token endpoint: https, or http on this machine.
    pub token_url: String,
    /// The client's identifier.
    pub client_id: String,
    /// The client's secret. A line end at its end is dropped.
    pub client_secret_file: PathBuf,
    /// Sent as one `scope`, separated by spaces; not sent when empty.
    pub scopes: Vec<String>,
    /// Sent as `audience`, which some servers ask for.
    pub audience: Option<String>,
    /// PEM certificates to trust besides those of the system, for the token endpoint.
    pub ca_file: Option<PathBuf>,
}

/// A service principal with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureClientSecret {
    /// A GUID or a domain name.
    pub tenant_id: String,
    /// The application's identifier.
    pub client_id: String,
    /// Whom the token is for; [`AZURE_AUDIENCE`] by default. The scope is this and `/.default`, literally.
    pub audience: String,
    /// Who gives out tokens; [`AZURE_AUTHORITY_HOST`] by default.
    pub authority_host: String,
    /// PEM certificates to trust besides those of the system, for the authority.
    pub ca_file: Option<PathBuf>,
    /// The application's secret. A line end at its end is dropped.
    pub client_secret_file: PathBuf,
}

/// A service principal with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureClientCertificate {
    /// A GUID or a domain name.
    pub tenant_id: String,
    /// The application's identifier.
    pub client_id: String,
    /// Whom the token is for; [`AZURE_AUDIENCE`] by default. The scope is this and `/.default`, literally.
    pub audience: String,
    /// Who gives out tokens; [`AZURE_AUTHORITY_HOST`] by default.
    pub authority_host: String,
    /// PEM certificates to trust besides those of the system, for the authority.
    pub ca_file: Option<PathBuf>,
    /// PEM with the certificate (first, when there are several) and its RSA key.
    pub certificate_file: PathBuf,
}

/// A federated token, exchanged for one of Microsoft Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureWorkloadIdentity {
    /// A GUID or a domain name.
    pub tenant_id: String,
    /// The application's identifier.
    pub client_id: String,
    /// Whom the token is for; [`AZURE_AUDIENCE`] by default. The scope is this and `/.default`, literally.
    pub audience: String,
    /// Who gives out tokens; [`AZURE_AUTHORITY_HOST`] by default.
    pub authority_host: String,
    /// PEM certificates to trust besides those of the system, for the authority.
    pub ca_file: Option<PathBuf>,
    /// The federated token (`AZURE_FEDERATED_TOKEN_FILE`); read again for each token request, because the cluster renews it.
    pub token_file: PathBuf,
}

/// The identity of the virtual machine, from its instance metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureManagedIdentity {
    /// Which of the machine's identities; needed when it has several.
    pub client_id: Option<String>,
    /// Whom the token is for; [`AZURE_AUDIENCE`] by default.
    pub audience: String,
    /// [`AZURE_IMDS_URL`] by default: https, or http on this machine or to a link-local address.
    pub imds_url: String,
}

/// AWS Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// Such as `eu-central-1`.
    pub region: String,
    /// The signing name, such as `ecs` or `s3`.
    pub service: String,
    /// The access key's identifier. White space around it is dropped, here and in the two below.
    pub access_key_id_file: PathBuf,
    /// The secret access key.
    pub secret_access_key_file: PathBuf,
    /// The session token of temporary credentials.
    pub session_token_file: Option<PathBuf>,
}
