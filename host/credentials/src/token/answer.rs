//! From the answer of a token server to a token or a reason.
//!
//! In: status, `retry-after` and body. Out: [`Granted`] or the error. Invariant: nothing of the body is in an error except `error` and
//! `error_description`, and those without what was sent.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Granted;
use crate::secret::header_value;
use crate::{CredentialError, Secret, mask};

/// How long a token is good for when the answer does not say (RFC 6749 only recommends that it does).
const DEFAULT_LIFE: Duration = Duration::from_secs(300);

/// What came back.
pub(super) struct Answer<'a> {
    /// The token endpoint, for errors.
    pub(super) url: &'a str,
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<&'a HeaderValue>,
    pub(super) body: &'a [u8],
    /// Secrets of the request, which a token server may repeat in its answer.
    pub(super) sent: &'a [Secret],
    /// Whether this is the instance metadata service, which says 404 and 410 while it is being updated.
    pub(super) metadata: bool,
}

#[derive(Deserialize)]
struct Success {
    access_token: String,
    token_type: Option<String>,
    // A value, because the metadata service sends numbers as strings.
    #[serde(default)]
    expires_in: Value,
}

/// RFC 6749 section 5.2. Values, because an error is worth telling even when a part of it has the wrong type.
#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    error_description: Value,
}

/// Reads the answer. `now` serves to read a `retry-after` that is a date.
pub(super) fn read(answer: &Answer<'_>, now: SystemTime) -> Result<Granted, CredentialError> {
    if answer.status.is_success() { granted(answer) } else { Err(failure(answer, now)) }
}

fn granted(answer: &Answer<'_>) -> Result<Granted, CredentialError> {
    let unusable = |reason| CredentialError::TokenAnswer { url: answer.url.to_owned(), reason };
    let success: Success =
        serde_json::from_slice(answer.body).map_err(|_| unusable("it is not a JSON object with an `access_token`"))?;
    let token = Zeroizing::new(success.access_token);
    if success.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(unusable("its `token_type` is not Bearer"));
    }
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable("its `access_token` does not fit into a header"));
    }
    let header = header_value("Bearer ", token.as_bytes())
        .ok_or_else(|| unusable("its `access_token` does not fit into a header"))?;
    Ok(Granted { secret: Secret::new(token.as_bytes()), header, life: life(&success.expires_in) })
}

/// Seconds as a number or as a string of digits. Anything else counts as not said.
fn life(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    seconds
        .filter(|seconds| seconds.is_finite())
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        .unwrap_or(DEFAULT_LIFE)
}

fn failure(answer: &Answer<'_>, now: SystemTime) -> CredentialError {
    let failure: Failure = serde_json::from_slice(answer.body).unwrap_or_default();
    let code = failure.error.as_str().unwrap_or_default();
    let text = match (code, failure.error_description.as_str().unwrap_or_default()) {
        ("", "") => "it gave no reason".to_owned(),
        (code, "") => code.to_owned(),
        ("", description) => description.to_owned(),
        (code, description) => format!("{code}: {description}"),
    };
    let (url, status, error) = (answer.url.to_owned(), answer.status, mask::clean(&text, answer.sent));
    if is_transient(answer, code) {
        let retry_after = answer.retry_after.and_then(|value| delay(value, now));
        CredentialError::Transient { url, status, error, retry_after }
    } else {
        CredentialError::TokenRefused { url, status, error }
    }
}

fn is_transient(answer: &Answer<'_>, code: &str) -> bool {
    let status = answer.status;
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || (answer.metadata && matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE))
        || matches!(code, "temporarily_unavailable" | "server_error")
}

/// `retry-after` (RFC 9110 section 10.2.3): seconds, or a date.
fn delay(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
