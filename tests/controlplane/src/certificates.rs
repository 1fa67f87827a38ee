//! Certificates for every party, signed by authorities made for this one control plane.
//!
//! In: the layout's `pki/` directory. Out: PEM files there. The cluster authority signs servers and clients alike; the
//! front-proxy authority is separate because the API server trusts whatever it signed to name any user.
//!
//! Only ECDSA P-256: ring makes no RSA keys, and Kubernetes takes these everywhere, for service account tokens too.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::layout::Layout;

/// Name of the authority that signs servers and clients.
pub(crate) const CLUSTER_CA: &str = "ca";
/// Name of the authority that signs the API server's identity towards extension API servers.
pub(crate) const FRONT_PROXY_CA: &str = "front-proxy-ca";
/// The API server's identity towards kubelets.
pub(crate) const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// The API server's identity towards extension API servers.
pub(crate) const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
/// The pair that signs service account tokens; it has no certificate.
pub(crate) const SERVICE_ACCOUNTS: &str = "service-accounts";
/// One serving certificate for all components: they all listen on loopback.
pub(crate) const SERVING: &str = "serving";

/// Someone a certificate is issued to.
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a str,
    pub(crate) group: Option<&'a str>,
}

/// Makes everything the components need before the first of them starts.
pub(crate) fn create_all(layout: &Layout) -> Result<()> {
    create_authority(layout, CLUSTER_CA)?;
    create_authority(layout, FRONT_PROXY_CA)?;
    create_serving(layout)?;
    create_client(layout, CLUSTER_CA, KUBELET_CLIENT, &Subject { user: KUBELET_CLIENT, group: None })?;
    create_client(layout, FRONT_PROXY_CA, FRONT_PROXY_CLIENT, &Subject { user: FRONT_PROXY_CLIENT, group: None })?;
    let tokens = KeyPair::generate()?;
    fs::write(layout.public_key(SERVICE_ACCOUNTS), tokens.public_key_pem())?;
    write_secret(&layout.key(SERVICE_ACCOUNTS), &tokens.serialize_pem())
}

/// A client certificate named `name` for `subject`, signed by the cluster authority.
pub(crate) fn create_user(layout: &Layout, name: &str, subject: &Subject<'_>) -> Result<()> {
    create_client(layout, CLUSTER_CA, name, subject)
}

/// The same, for a time of the caller's choice.
pub(crate) fn create_for(layout: &Layout, name: &str, subject: &Subject<'_>, time: Range<SystemTime>) -> Result<()> {
    let mut params = client(subject);
    params.not_before = time.start.into();
    params.not_after = time.end.into();
    sign(layout, CLUSTER_CA, name, params)
}

/// Signs a request (PEM) as it is, for a time from now; answers the certificate, PEM.
pub(crate) fn sign_request(
    layout: &Layout,
    request: &str,
    usage: ExtendedKeyUsagePurpose,
    life: Duration,
) -> Result<String> {
    let mut request = CertificateSigningRequestParams::from_pem(request)?;
    request.params.not_before = SystemTime::now().into();
    request.params.not_after = (SystemTime::now() + life).into();
    request.params.extended_key_usages = vec![usage];
    Ok(request.signed_by(&issuer(layout, CLUSTER_CA)?)?.pem())
}

fn create_authority(layout: &Layout, name: &str) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("pluglet tests {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key)?;
    write(layout, name, &certificate.pem(), &key)
}

fn create_serving(layout: &Layout) -> Result<()> {
    let names = ["localhost", "127.0.0.1", "10.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut params = CertificateParams::new(names.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(layout, CLUSTER_CA, SERVING, params)
}

fn create_client(layout: &Layout, authority: &str, name: &str, subject: &Subject<'_>) -> Result<()> {
    sign(layout, authority, name, client(subject))
}

fn client(subject: &Subject<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject.user);
    if let Some(group) = subject.group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn sign(layout: &Layout, authority: &str, name: &str, mut params: CertificateParams) -> Result<()> {
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer(layout, authority)?)?;
    write(layout, name, &certificate.pem(), &key)
}

/// Read back rather than kept: a process that attached to the control plane issues certificates too.
fn issuer(layout: &Layout, authority: &str) -> Result<Issuer<'static, KeyPair>> {
    let certificate = fs::read_to_string(layout.certificate(authority))
        .with_context(|| format!("no certificate of the authority {authority}"))?;
    let key = KeyPair::from_pem(&fs::read_to_string(layout.key(authority))?)?;
    Ok(Issuer::from_ca_cert_pem(&certificate, key)?)
}

fn write(layout: &Layout, name: &str, certificate: &str, key: &KeyPair) -> Result<()> {
    fs::write(layout.certificate(name), certificate)?;
    write_secret(&layout.key(name), &key.serialize_pem())
}

fn write_secret(path: &Path, pem: &str) -> Result<()> {
    fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}
