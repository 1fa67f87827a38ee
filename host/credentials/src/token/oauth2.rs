//! OAuth 2.0 client credentials grant (RFC 6749 section 4.4).
//!
//! In: [`OAuth2`]. Out: a [`TokenSource`]. Invariant: the secret is in the `authorization` header and nowhere else.

use async_trait::async_trait;
use form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::client::{Ask, TokenClient};
use super::{Granted, TokenSource};
use crate::check::{self, Plain};
use crate::fixed::basic_header;
use crate::watched::{Reader, Watched};
use crate::{CredentialError, OAuth2, Secret};

/// Exchanges a client secret for a token.
pub(crate) struct OAuth2Source {
    client: TokenClient,
    client_id: String,
    secret: Watched<Secret>,
    /// The same each time, and nothing in it is secret.
    form: String,
}

impl OAuth2Source {
    pub(crate) fn new(options: &OAuth2) -> Result<Self, CredentialError> {
        let uri = check::url("the token URL", &options.token_url, Plain::Loopback)?;
        check::text("the client id", &options.client_id)?;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for scope in &options.scopes {
            check::text("a scope", scope)?;
        }
        if !options.scopes.is_empty() {
            form.append_pair("scope", &options.scopes.join(" "));
        }
        if let Some(audience) = &options.audience {
            check::text("the audience", audience)?;
            form.append_pair("audience", audience);
        }
        let file = options.client_secret_file.clone();
        Ok(Self {
            secret: Watched::open(move |reader: &mut Reader| reader.line(&file))?,
            client: TokenClient::new(uri, options.ca_file.as_deref())?,
            client_id: options.client_id.clone(),
            form: form.finish(),
        })
    }
}

#[async_trait]
impl TokenSource for OAuth2Source {
    async fn fetch(&self) -> Result<Granted, CredentialError> {
        let (secret, _) = self.secret.reread();
        // RFC 6749 section 2.3.1: each of the two is encoded as in a form before they are joined.
        let id: String = byte_serialize(self.client_id.as_bytes()).collect();
        let encoded = encoded(&secret);
        let (authorization, blob) = basic_header(id.as_bytes(), encoded.as_bytes())
            .ok_or(CredentialError::Request { reason: "the client's id and secret do not fit into a header" })?;
        let form = Zeroizing::new(self.form.clone());
        self.client.ask(Ask::Post { form, authorization: Some(authorization), sent: vec![secret, encoded, blob] }).await
    }
}

/// A secret as it is in a form.
pub(super) fn encoded(secret: &Secret) -> Secret {
    let encoded: Zeroizing<String> = Zeroizing::new(byte_serialize(secret.as_bytes()).collect());
    Secret::new(encoded.as_bytes())
}
