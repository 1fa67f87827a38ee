//! How to speak TLS with an endpoint.
//!
//! In: a `tls` mapping. Out: [`TlsOptions`] and the server's name. Invariant: files that are named can be read and hold what they should.

use pluglet_credentials::tls::{ClientCertificate, TlsOptions, client_config};
use pluglet_model::chain;
use rustls::pki_types::ServerName;

use super::fields::Field;
use super::report::quoted;

/// Reads it. `is_tls` is whether the endpoint speaks TLS at all.
pub(super) fn read(field: &Field<'_>, is_tls: bool) -> (TlsOptions, Option<String>) {
    let before = field.report.len();
    let Some(mut fields) = field.fields() else { return Default::default() };
    if !is_tls {
        field.wrong("the endpoint does not speak TLS: use https, or leave this out");
    }
    let ca_file = fields.take("caFile").and_then(|field| field.file());
    let certificate = fields.take("certificateFile");
    let key = fields.take("keyFile");
    match (&certificate, &key) {
        (Some(field), None) => field.wrong("needs `keyFile`, the key of the certificate"),
        (None, Some(field)) => field.wrong("needs `certificateFile`, the certificate of the key"),
        _ => {}
    }
    let certificate_file = certificate.and_then(|field| field.file());
    let key_file = key.and_then(|field| field.file());
    let server_name = fields.take("serverName").and_then(|field| {
        let name = field.text()?;
        if ServerName::try_from(name).is_err() {
            field.wrong(format!("{} is no name of a server: write a host name or an address", quoted(name)));
        }
        Some(name.to_owned())
    });
    let roots = fields.take("systemRoots");
    let system_roots = roots.as_ref().and_then(Field::flag).unwrap_or(true);
    if let Some(field) = roots.filter(|_| !system_roots && ca_file.is_none()) {
        field.wrong("without the system's authorities and without `caFile` no server would be trusted");
    }
    fields.finish();
    let client_certificate = certificate_file
        .zip(key_file)
        .map(|(certificate_file, key_file)| ClientCertificate { certificate_file, key_file });
    let options = TlsOptions { ca_file, client_certificate, system_roots };
    if field.report.len() == before
        && let Err(error) = client_config(&options)
    {
        field.wrong(chain(&error));
    }
    (options, server_name)
}
