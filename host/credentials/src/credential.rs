//! The one door to credentials: complete a request, and hear that it was refused.
//!
//! In: [`Auth`], then requests that are final but for their credential. Out: the headers in place, and [`Applied`]. Invariant: of the
//! headers that [`Credential::headers`] names, a request has exactly those that were set here.

use std::fmt;

use http::request::Parts;
use http::{HeaderName, header};

use crate::fixed::Fixed;
use crate::sigv4::{self, SigV4};
use crate::token::{self, OAuth2Source, TokenCache};
use crate::{Auth, CredentialError, Secret};

/// The body of a request, as far as a signature needs it.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// It is not known yet; a signature leaves it out.
    Streamed,
}

/// A credential at run time. Shared by all requests to its endpoint.
pub struct Credential {
    kind: Kind,
    headers: Vec<HeaderName>,
    /// What it is, for `Debug`.
    name: &'static str,
}

enum Kind {
    Fixed(Fixed),
    Token(TokenCache),
    SigV4(SigV4),
}

/// What went out with one request.
#[derive(Debug)]
pub struct Applied {
    secrets: Vec<Secret>,
    /// The version of the files, or the serial number of the token.
    version: u64,
}

impl Applied {
    fn new(secrets: Vec<Secret>, version: u64) -> Self {
        Self { secrets: secrets.into_iter().filter(Secret::worth_masking).collect(), version }
    }

    /// Every byte string that went out and must never come back to the provider: the token; for basic authentication the password and
    /// its base64 form; the header's value; for AWS the session token and the signature.
    ///
    /// Each has at least 4 bytes. Shorter ones are left out: masking them would cut into answers wherever they occur by chance.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

impl Credential {
    /// A credential, after checking all that can be checked without the network.
    ///
    /// # Errors
    /// When a file cannot be read, is empty, is larger than 64 KiB or is not what it should be; when a URL is not https (http is allowed
    /// on this machine, and to link-local addresses for the metadata service); when another setting has characters it cannot have; when
    /// a token server's certificate could not be checked, for want of authorities.
    pub fn new(auth: &Auth) -> Result<Self, CredentialError> {
        let (name, kind) = match auth {
            Auth::Bearer { token_file } => ("bearer", Kind::Fixed(Fixed::bearer(token_file.clone())?)),
            Auth::Basic { username, password_file } => {
                ("basic", Kind::Fixed(Fixed::basic(username.clone(), password_file.clone())?))
            }
            Auth::Header { name, value_file } => {
                ("header", Kind::Fixed(Fixed::header(name.clone(), value_file.clone())?))
            }
            Auth::OAuth2(options) => ("oauth2", Kind::Token(TokenCache::new(OAuth2Source::new(options)?))),
            Auth::AzureClientSecret(options) => {
                ("azure client secret", Kind::Token(TokenCache::new(token::client_secret(options)?)))
            }
            Auth::AzureClientCertificate(options) => {
                ("azure client certificate", Kind::Token(TokenCache::new(token::client_certificate(options)?)))
            }
            Auth::AzureWorkloadIdentity(options) => {
                ("azure workload identity", Kind::Token(TokenCache::new(token::workload_identity(options)?)))
            }
            Auth::AzureManagedIdentity(options) => {
                ("azure managed identity", Kind::Token(TokenCache::new(token::managed_identity(options)?)))
            }
            Auth::AwsSigV4(options) => ("aws sigv4", Kind::SigV4(SigV4::new(options)?)),
        };
        let headers = match &kind {
            Kind::Fixed(fixed) => vec![fixed.name().clone()],
            Kind::Token(_) => vec![header::AUTHORIZATION],
            Kind::SigV4(_) => sigv4::HEADERS.to_vec(),
        };
        Ok(Self { kind, headers, name })
    }

    /// The headers that only the host may set on this endpoint.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Adds the credential to a request whose every other byte is final. `head.uri` must be absolute: scheme, authority, path and
    /// query. What the request has under [`Credential::headers`] is replaced.
    ///
    /// May be dropped at any time; a token request that it caused goes on for the others. Must be called on a tokio runtime with I/O
    /// and time.
    ///
    /// # Errors
    /// When there is no token and none can be had ([`CredentialError::is_transient`] tells whether that may pass), or when the
    /// request cannot be signed.
    pub async fn authorize(&self, head: &mut Parts, payload: Payload<'_>) -> Result<Applied, CredentialError> {
        match &self.kind {
            Kind::Fixed(fixed) => {
                let (value, version) = fixed.current();
                head.headers.insert(fixed.name().clone(), value.header.clone());
                Ok(Applied::new(value.secrets.clone(), version))
            }
            Kind::Token(cache) => {
                let token = cache.token().await?;
                head.headers.insert(header::AUTHORIZATION, token.header.clone());
                Ok(Applied::new(vec![token.secret.clone()], token.serial))
            }
            Kind::SigV4(signer) => {
                let (secrets, version) = signer.apply(head, payload)?;
                Ok(Applied::new(secrets, version))
            }
        }
    }

    /// The backend answered 401 to a request that carried `applied`. A token is forgotten, if it is still that one; files are read
    /// again. Answers whether a further try would carry something else, that is, whether it is worth it.
    ///
    /// A token is forgotten at most once in 10 seconds: a backend that refuses every token would otherwise cost the token server two
    /// requests for each of ours. Within that time the answer is `false` and the token stays.
    pub fn rejected(&self, applied: &Applied) -> bool {
        match &self.kind {
            Kind::Fixed(fixed) => fixed.has_changed(applied.version),
            Kind::Token(cache) => cache.rejected(applied.version),
            Kind::SigV4(signer) => signer.has_changed(applied.version),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("kind", &self.name).field("headers", &self.headers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crosses_threads<T: Send>(_: &T) {}

    fn is_shared<T: Send + Sync>() {}

    #[test]
    fn a_credential_is_shared_by_tasks_on_many_threads() {
        is_shared::<Credential>();
        is_shared::<Applied>();
        is_shared::<CredentialError>();
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "abcd").unwrap();
        let credential = Credential::new(&Auth::Bearer { token_file }).unwrap();
        let (mut head, ()) = http::Request::new(()).into_parts();
        crosses_threads(&credential.authorize(&mut head, Payload::Streamed));
    }
}
