//! AWS Signature Version 4: the secret signs each request and does not go out.
//!
//! In: a request that is final but for the signature. Out: the same with `authorization` and `x-amz-*`. Invariant: the three files are
//! read together, so that an identifier is not used with the key of another.
//!
//! Signed are the method, the path, the query, the body and the headers that AWS requires to be: `host`, `content-type`, `content-md5`
//! and `x-amz-*`. Others are not, because something between us and AWS may change them.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};

use crate::watched::{Reader, Watched};
use crate::{AwsSigV4, CredentialError, Payload, Secret, check};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// The headers that only we may set. A provider's own `x-amz-security-token` would be signed as if it were ours.
pub(crate) const HEADERS: [HeaderName; 4] = [header::AUTHORIZATION, DATE, TOKEN, CONTENT_SHA256];

/// Signs requests.
pub(crate) struct SigV4 {
    region: String,
    service: String,
    keys: Watched<Arc<Keys>>,
}

/// What is in the files.
struct Keys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl SigV4 {
    pub(crate) fn new(options: &AwsSigV4) -> Result<Self, CredentialError> {
        check::word("the region", &options.region, "-")?;
        check::word("the service", &options.service, "-._")?;
        let AwsSigV4 { access_key_id_file, secret_access_key_file, session_token_file, region, service } =
            options.clone();
        let keys = Watched::open(move |reader: &mut Reader| {
            Ok(Arc::new(Keys {
                access_key_id: reader.word(&access_key_id_file)?,
                secret_access_key: reader.word(&secret_access_key_file)?,
                session_token: session_token_file.as_deref().map(|file| reader.word(file)).transpose()?,
            }))
        })?;
        Ok(Self { region, service, keys })
    }

    /// Signs. Answers what went out that nobody else may see, and the version of the files.
    pub(crate) fn apply(&self, head: &mut Parts, payload: Payload<'_>) -> Result<(Vec<Secret>, u64), CredentialError> {
        let (keys, version) = self.keys.current();
        let secrets = self.sign(&keys, head, payload, SystemTime::now(), PayloadChecksumKind::XAmzSha256)?;
        Ok((secrets, version))
    }

    /// Whether the files hold other contents than those of `version` by now.
    pub(crate) fn has_changed(&self, version: u64) -> bool {
        self.keys.reread().1 != version
    }

    fn sign(
        &self,
        keys: &Keys,
        head: &mut Parts,
        payload: Payload<'_>,
        time: SystemTime,
        checksum: PayloadChecksumKind,
    ) -> Result<Vec<Secret>, CredentialError> {
        // The signer panics on a URI without a host.
        if head.uri.host().is_none_or(str::is_empty) {
            return Err(CredentialError::Request { reason: "its URI has no host" });
        }
        for name in &HEADERS {
            head.headers.remove(name);
        }
        let identity = Credentials::new(
            text(&keys.access_key_id),
            text(&keys.secret_access_key),
            keys.session_token.as_ref().map(|token| text(token).to_owned()),
            None,
            "pluglet",
        )
        .into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(time)
            .settings(self.settings(checksum))
            .build()
            .map_err(failed)?
            .into();
        let body = match payload {
            Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
            Payload::Streamed => SignableBody::UnsignedPayload,
        };
        let uri = head.uri.to_string();
        let signed = signed_headers(head)?;
        let request = SignableRequest::new(head.method.as_str(), uri, signed.into_iter(), body).map_err(failed)?;
        let (instructions, signature) = sign(request, &params).map_err(failed)?.into_parts();
        let unfit = |_| CredentialError::Request { reason: "the signature does not fit into a header" };
        for (name, value) in instructions.headers() {
            let mut value = HeaderValue::from_str(value).map_err(unfit)?;
            value.set_sensitive(name == header::AUTHORIZATION.as_str() || name == TOKEN.as_str());
            let Some(name) = HEADERS.into_iter().find(|ours| ours.as_str() == name) else { continue };
            head.headers.insert(name, value);
        }
        // AWS repeats the signature in its errors. It allows this one request again for minutes, so it is nobody else's either.
        let signature = Secret::new(signature);
        Ok(keys.session_token.iter().cloned().chain([signature]).collect())
    }

    fn settings(&self, checksum: PayloadChecksumKind) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = checksum;
        // S3 takes paths as they are: a key may have `//` or `..` in it, and is not encoded twice.
        if self.service == "s3" || self.service.starts_with("s3-") || self.service == "s3express" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }
}

fn signed_headers(head: &Parts) -> Result<Vec<(&str, &str)>, CredentialError> {
    let required = |name: &HeaderName| {
        matches!(name.as_str(), "host" | "content-type" | "content-md5") || name.as_str().starts_with("x-amz-")
    };
    head.headers
        .iter()
        .filter(|(name, _)| required(name))
        .map(|(name, value)| {
            let value = value.to_str().map_err(|_| CredentialError::Request {
                reason: "a header that must be signed has characters beyond ASCII",
            })?;
            Ok((name.as_str(), value))
        })
        .collect()
}

/// The bytes passed [`Reader::word`], so they are ASCII.
fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.as_bytes()).unwrap_or_default()
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> CredentialError {
    CredentialError::Sign { source: Arc::new(source) }
}

#[cfg(test)]
mod tests;
