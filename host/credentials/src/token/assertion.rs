//! A JWT that says who we are, signed with the key of a certificate (RFC 7523).
//!
//! In: certificate and key. Out: the assertion, good for ten minutes and one token request. Invariant: it names the certificate by its
//! digest, so that the server knows which one of several to check with; the key's certificate is the first one in the file.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{CredentialError, Secret};

/// From `nbf` to `exp`. Enough for clocks that differ; too short to be of use to who finds one in a log.
const LIFE: Duration = Duration::from_secs(600);

/// The key of a certificate.
pub(super) struct ClientKey {
    key: Arc<dyn SigningKey>,
    /// SHA-256 of the certificate, as a JWT's header has it.
    thumbprint: String,
}

impl ClientKey {
    /// From PEM with a certificate and an RSA key; says in words what is wrong with it.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        let certificate = CertificateDer::pem_slice_iter(pem)
            .next()
            .and_then(Result::ok)
            .ok_or("there is no PEM certificate in it")?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no unencrypted PEM private key in it")?;
        let thumbprint = BASE64.encode(Sha256::digest(&certificate));
        // The parser's words are not told: they may quote the key.
        let pair = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())
            .map_err(|_| "its private key cannot be used, or is not that of its first certificate")?;
        if pair.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_none() {
            return Err("its private key is not an RSA key");
        }
        Ok(Self { key: pair.key, thumbprint })
    }
}

/// An assertion for `audience` by `client_id`, from `now` on.
pub(super) fn sign(
    key: &ClientKey,
    audience: &str,
    client_id: &str,
    now: SystemTime,
) -> Result<Secret, CredentialError> {
    let failed = |source| CredentialError::Assertion { source };
    let mut id = [0; 16];
    ring::default_provider().secure_random.fill(&mut id).map_err(|error| failed(error.into()))?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let header = json!({ "alg": "RS256", "typ": "JWT", "x5t#S256": key.thumbprint });
    let claims = json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": BASE64.encode(id),
        "nbf": now.as_secs(),
        "exp": (now + LIFE).as_secs(),
    });
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signer = key.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
    let signer = signer.ok_or_else(|| failed(rustls::Error::General("the key is not an RSA key".to_owned())))?;
    let signature = signer.sign(message.as_bytes()).map_err(failed)?;
    Ok(Secret::new(format!("{message}.{}", BASE64.encode(signature))))
}
