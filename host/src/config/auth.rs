//! The credential of an endpoint.
//!
//! In: an `auth` mapping. Out: [`Auth`]. Invariant: secrets are named by file, and no message repeats what stands in a place where somebody may
//! have written one.

use std::path::PathBuf;

use http::HeaderName;
use pluglet_credentials::{Auth, AwsSigV4, Credential, CredentialError, OAuth2};
use pluglet_model::chain;

use super::Environment;
use super::fields::{Field, Fields};
use super::report::child;

mod azure;

/// A kind of credential: its name, how it is read, and how it is written.
struct Kind {
    name: &'static str,
    read: fn(&mut Fields<'_>, Environment<'_>) -> Option<Auth>,
    example: &'static str,
}

const KINDS: [Kind; 9] = [
    Kind { name: "bearer", read: bearer, example: "{ bearer: { tokenFile: PATH } }" },
    Kind { name: "basic", read: basic, example: "{ basic: { username: NAME, passwordFile: PATH } }" },
    Kind { name: "header", read: header, example: "{ header: { name: X-Api-Key, valueFile: PATH } }" },
    Kind {
        name: "oauth2",
        read: oauth2,
        example: "{ oauth2: { tokenUrl: URL, clientId: ID, clientSecretFile: PATH } }",
    },
    Kind {
        name: "azureClientSecret",
        read: azure::client_secret,
        example: "{ azureClientSecret: { tenantId: ID, clientId: ID, clientSecretFile: PATH } }",
    },
    Kind {
        name: "azureClientCertificate",
        read: azure::client_certificate,
        example: "{ azureClientCertificate: { tenantId: ID, clientId: ID, certificateFile: PATH } }",
    },
    Kind { name: "azureWorkloadIdentity", read: azure::workload_identity, example: "{ azureWorkloadIdentity: {} }" },
    Kind { name: "azureManagedIdentity", read: azure::managed_identity, example: "{ azureManagedIdentity: {} }" },
    Kind {
        name: "awsSigV4",
        read: aws,
        example: "{ awsSigV4: { region: R, service: S, accessKeyIdFile: PATH, secretAccessKeyFile: PATH } }",
    },
];

/// Words that people write where the kind belongs, and the kind that they mean.
const MEANT: [(&str, &str); 10] = [
    ("token", "bearer"),
    ("tokenFile", "bearer"),
    ("bearerToken", "bearer"),
    ("password", "basic"),
    ("passwordFile", "basic"),
    ("username", "basic"),
    ("apiKey", "header"),
    ("value", "header"),
    ("clientSecret", "oauth2"),
    ("clientSecretFile", "oauth2"),
];

/// How a kind, or what is meant by a word, is written.
pub(super) fn example(word: &str) -> &'static str {
    let kind = MEANT.iter().find(|(name, _)| *name == word).map_or(word, |(_, kind)| kind);
    KINDS.iter().find(|known| known.name == kind).map_or("{ bearer: { tokenFile: PATH } }", |known| known.example)
}

/// Exactly one kind.
pub(super) fn read(field: &Field<'_>, environment: Environment<'_>) -> Option<Auth> {
    let before = field.report.len();
    let mut fields = field.fields()?;
    for (word, _) in MEANT {
        fields.advise(word, &format!("is no kind of credential; secrets are in files: write auth: {}", example(word)));
    }
    let given: Vec<(&Kind, Field<'_>)> =
        KINDS.iter().filter_map(|kind| fields.take(kind.name).map(|field| (kind, field))).collect();
    if given.is_empty() && field.report.len() == before && fields.is_empty() {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        field.wrong(format!("has no kind of credential: write one of {}", names.join(", ")));
    }
    if given.len() > 1 {
        given.iter().for_each(|(_, field)| field.wrong("only one kind of credential can be written"));
    }
    fields.finish();
    let mut found = None;
    for (kind, field) in &given {
        found = field.fields().and_then(|mut fields| {
            let auth = (kind.read)(&mut fields, environment);
            // Before the check below, which is for what is whole.
            fields.finish();
            auth
        });
    }
    let (_, kind) = given.first()?;
    let auth = found.filter(|_| field.report.len() == before)?;
    // Whether the files hold what they should, URLs may be given secrets, and names are names.
    match Credential::new(&auth) {
        Ok(_) => Some(auth),
        Err(error) => {
            let text = chain(&error);
            match setting(&error).and_then(|key| kind.node.entry(key)) {
                Some(entry) => kind.report.wrong(entry.node.at, &child(&kind.path, &entry.key), text),
                None => kind.wrong(text),
            }
            None
        }
    }
}

/// The field that an error of `pluglet-credentials` is about.
fn setting(error: &CredentialError) -> Option<&'static str> {
    let (CredentialError::Url { what, .. } | CredentialError::Setting { what, .. }) = error else { return None };
    Some(match *what {
        "the token URL" => "tokenUrl",
        "the authority host" => "authorityHost",
        "the tenant id" => "tenantId",
        "the client id" => "clientId",
        "the audience" => "audience",
        "the user name" => "username",
        "the header's name" => "name",
        "the region" => "region",
        "the service" => "service",
        _ => return None,
    })
}

fn text(fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    fields.require(key).and_then(|field| field.text().map(str::to_owned))
}

fn optional_text(fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    fields.take(key).and_then(|field| field.text().map(str::to_owned))
}

fn file(fields: &mut Fields<'_>, key: &'static str) -> Option<PathBuf> {
    fields.require(key).and_then(|field| field.file())
}

fn optional_file(fields: &mut Fields<'_>, key: &'static str) -> Option<PathBuf> {
    fields.take(key).and_then(|field| field.file())
}

fn bearer(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    file(fields, "tokenFile").map(|token_file| Auth::Bearer { token_file })
}

fn basic(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let username = text(fields, "username");
    let password_file = file(fields, "passwordFile");
    Some(Auth::Basic { username: username?, password_file: password_file? })
}

fn header(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let name = fields.require("name").and_then(|field| {
        let name = HeaderName::from_bytes(field.text()?.as_bytes()).ok();
        if name.is_none() {
            field.wrong("is no name of a header, such as X-Api-Key");
        }
        name
    });
    let value_file = file(fields, "valueFile");
    Some(Auth::Header { name: name?, value_file: value_file? })
}

fn oauth2(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let token_url = text(fields, "tokenUrl");
    let client_id = text(fields, "clientId");
    let client_secret_file = file(fields, "clientSecretFile");
    let scopes = fields.take("scopes").and_then(|field| field.list()).unwrap_or_default();
    let scopes = scopes.iter().filter_map(|scope| scope.text().map(str::to_owned)).collect();
    let audience = optional_text(fields, "audience");
    let ca_file = optional_file(fields, "caFile");
    Some(Auth::OAuth2(OAuth2 {
        token_url: token_url?,
        client_id: client_id?,
        client_secret_file: client_secret_file?,
        scopes,
        audience,
        ca_file,
    }))
}

fn aws(fields: &mut Fields<'_>, _: Environment<'_>) -> Option<Auth> {
    let region = text(fields, "region");
    let service = text(fields, "service");
    let access_key_id_file = file(fields, "accessKeyIdFile");
    let secret_access_key_file = file(fields, "secretAccessKeyFile");
    let session_token_file = optional_file(fields, "sessionTokenFile");
    Some(Auth::AwsSigV4(AwsSigV4 {
        region: region?,
        service: service?,
        access_key_id_file: access_key_id_file?,
        secret_access_key_file: secret_access_key_file?,
        session_token_file,
    }))
}
