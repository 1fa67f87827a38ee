//! Credentials that go out as they are in the file: bearer, basic and header.
//!
//! In: names of files. Out: [`Fixed`], a header at a time. Invariant: the header is the one of the newest content that was usable.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use crate::secret::header_value;
use crate::watched::{Reader, Watched, unusable};
use crate::{CredentialError, FileError, Secret, check};

/// A header whose value is in a file.
pub(crate) struct Fixed {
    name: HeaderName,
    watched: Watched<Arc<Value>>,
}

/// What one content of the file comes to.
pub(crate) struct Value {
    pub(crate) header: HeaderValue,
    pub(crate) secrets: Vec<Secret>,
}

impl Fixed {
    pub(crate) fn bearer(file: PathBuf) -> Result<Self, CredentialError> {
        let load = move |reader: &mut Reader| {
            let token = reader.word(&file)?;
            let header = header_value("Bearer ", token.as_bytes())
                .ok_or_else(|| unusable(&file, "it does not fit into a header"))?;
            Ok(Arc::new(Value { header, secrets: vec![token] }))
        };
        Ok(Self { name: header::AUTHORIZATION, watched: Watched::open(load)? })
    }

    pub(crate) fn basic(username: String, file: PathBuf) -> Result<Self, CredentialError> {
        let refuse = |reason| CredentialError::Setting { what: "the user name", reason };
        if username.contains(':') {
            return Err(refuse("it has a colon, which would end it (RFC 7617)"));
        }
        if username.chars().any(char::is_control) {
            return Err(refuse("it has control characters"));
        }
        let load = move |reader: &mut Reader| {
            let password = reader.line(&file)?;
            let (header, blob) = basic_header(username.as_bytes(), password.as_bytes())
                .ok_or_else(|| unusable(&file, "it does not fit into a header"))?;
            Ok(Arc::new(Value { header, secrets: vec![password, blob] }))
        };
        Ok(Self { name: header::AUTHORIZATION, watched: Watched::open(load)? })
    }

    pub(crate) fn header(name: HeaderName, file: PathBuf) -> Result<Self, CredentialError> {
        check::header(&name)?;
        let load = move |reader: &mut Reader| {
            let bytes = reader.bytes(&file)?;
            // Receivers drop white space around a value; what remains must be what is masked in the answer.
            let value = Secret::new(bytes.trim_ascii());
            let header = header_value("", value.as_bytes())
                .ok_or_else(|| unusable(&file, "it has characters that a header cannot have"))?;
            Ok::<_, FileError>(Arc::new(Value { header, secrets: vec![value] }))
        };
        Ok(Self { name, watched: Watched::open(load)? })
    }

    pub(crate) fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value and its version.
    pub(crate) fn current(&self) -> (Arc<Value>, u64) {
        self.watched.current()
    }

    /// Whether the file holds another content than that of `version` by now.
    pub(crate) fn has_changed(&self, version: u64) -> bool {
        self.watched.reread().1 != version
    }
}

/// `Basic …` and the part after the space.
pub(crate) fn basic_header(username: &[u8], password: &[u8]) -> Option<(HeaderValue, Secret)> {
    let joined = Zeroizing::new([username, b":", password].concat());
    let blob = Secret::new(BASE64.encode(&*joined));
    Some((header_value("Basic ", blob.as_bytes())?, blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basic_header_is_that_of_the_rfc() {
        // RFC 7617 section 2.
        let (header, blob) = basic_header(b"Aladdin", b"open sesame").unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(blob.as_bytes(), b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_user_name_cannot_have_a_colon() {
        assert!(Fixed::basic("a:b".to_owned(), PathBuf::from("/nowhere")).is_err());
    }
}
