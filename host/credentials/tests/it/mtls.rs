//! TLS with and without a client certificate, against a rustls server on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use pluglet_credentials::tls::{ClientCertificate, TlsError, TlsOptions, client_config};
use pluglet_credentials::{Auth, Credential, CredentialError, FileError, OAuth2};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Files, authorization, authorize, pass};

/// An authority and what it issued.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

fn server_config(authority: &Authority, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
    let (certificate, key) = authority.issue("server");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}

/// A token server that speaks HTTP/2 and answers with the version that it was asked in.
async fn token_server(authority: &Authority) -> (SocketAddr, JoinSet<()>) {
    let mut config = server_config(authority, WebPkiClientVerifier::no_client_auth());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = axum::Router::new()
        .fallback(async |request: axum::extract::Request| format!(r#"{{"access_token":"{:?}"}}"#, request.version()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let tls = TokioIo::new(acceptor.accept(tcp).await.unwrap());
            let service = TowerToHyperService::new(router.clone());
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(tls, service).await;
        }
    });
    (address, task)
}

/// A server that demands a certificate and answers with the common name in it.
async fn server(authority: &Authority) -> (SocketAddr, JoinSet<()>) {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let config = server_config(authority, verifier);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let name = common_name(&tls.get_ref().1.peer_certificates().unwrap()[0]);
            let _ = tls.write_all(name.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    (address, task)
}

fn common_name(certificate: &CertificateDer<'_>) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).unwrap();
    certificate.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned()
}

/// What the server says to who connects with this configuration.
async fn say(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<String> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    let mut text = String::new();
    tls.read_to_string(&mut text).await?;
    Ok(text)
}

fn write_pair(files: &Files, authority: &Authority, name: &str) -> ClientCertificate {
    let (certificate, key) = authority.issue(name);
    ClientCertificate {
        certificate_file: files.write("client.crt", &certificate.pem()),
        key_file: files.write("client.key", &key.serialize_pem()),
    }
}

fn options(files: &Files, authority: &Authority, client_certificate: Option<ClientCertificate>) -> TlsOptions {
    TlsOptions { ca_file: Some(files.write("ca.crt", &authority.pem())), client_certificate, system_roots: false }
}

#[tokio::test]
async fn the_client_certificate_is_presented_and_a_replaced_one_is_picked_up() {
    let (authority, files) = (Authority::new(), Files::new());
    let (address, _task) = server(&authority).await;
    let pair = write_pair(&files, &authority, "first");
    let config = client_config(&options(&files, &authority, Some(pair))).unwrap();
    assert!(config.alpn_protocols.is_empty());
    let config = Arc::new(config);
    assert_eq!(say(address, &config).await.unwrap(), "first");

    // Half of a new pair: the certificate has been replaced, its key not yet.
    let key = std::fs::read_to_string(files.0.path().join("client.key")).unwrap();
    write_pair(&files, &authority, "second");
    let new_key = std::fs::read_to_string(files.0.path().join("client.key")).unwrap();
    files.write("client.key", &key);
    pass(Duration::from_secs(1)).await;
    assert_eq!(say(address, &config).await.unwrap(), "first");

    files.write("client.key", &new_key);
    pass(Duration::from_secs(1)).await;
    assert_eq!(say(address, &config).await.unwrap(), "second");
}

#[tokio::test]
async fn without_a_certificate_a_server_that_demands_one_says_no() {
    let (authority, files) = (Authority::new(), Files::new());
    let (address, _task) = server(&authority).await;
    let config = Arc::new(client_config(&options(&files, &authority, None)).unwrap());
    assert!(say(address, &config).await.is_err());
}

#[tokio::test]
async fn with_nobody_to_trust_there_is_a_configuration_whose_handshake_says_why_it_fails() {
    let authority = Authority::new();
    let (address, _task) = server(&authority).await;
    let nobody = TlsOptions { system_roots: false, ..TlsOptions::default() };
    let config = Arc::new(client_config(&nobody).unwrap());
    let error = say(address, &config).await.unwrap_err().to_string();
    assert!(error.contains("no certificate authority is known"), "{error}");
}

fn oauth2_at(address: SocketAddr, files: &Files, authority: &Authority) -> Auth {
    Auth::OAuth2(OAuth2 {
        token_url: format!("https://localhost:{}/token", address.port()),
        client_id: "client".to_owned(),
        client_secret_file: files.write("secret", "secret"),
        scopes: vec![],
        audience: None,
        ca_file: Some(files.write("ca.crt", &authority.pem())),
    })
}

#[tokio::test]
async fn a_private_token_server_is_trusted_by_its_ca_file_and_asked_in_http_2() {
    let (authority, files) = (Authority::new(), Files::new());
    let (address, _task) = token_server(&authority).await;
    let credential = Credential::new(&oauth2_at(address, &files, &authority)).unwrap();
    assert_eq!(authorization(&credential).await, "Bearer HTTP/2.0");
}

#[tokio::test]
async fn a_token_server_with_a_certificate_of_an_unknown_authority_is_not_talked_to() {
    let (authority, files) = (Authority::new(), Files::new());
    let (address, _task) = server(&authority).await;
    let credential = Credential::new(&oauth2_at(address, &files, &Authority::new())).unwrap();
    let error = authorize(&credential).await.unwrap_err();
    assert!(matches!(error, CredentialError::TokenRequest { .. }), "{error:?}");
}

#[test]
fn files_that_are_no_pair_are_refused_without_quoting_them() {
    let (authority, files) = (Authority::new(), Files::new());
    let refused = |pair| client_config(&options(&files, &authority, Some(pair))).unwrap_err();
    let mut pair = write_pair(&files, &authority, "first");
    let other = KeyPair::generate().unwrap().serialize_pem();
    pair.key_file = files.write("other.key", &other);
    assert!(matches!(refused(pair.clone()), TlsError::File(FileError::Parse { .. })));
    pair.certificate_file = files.write("not.crt", "hunter2");
    let error = refused(pair);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let no_ca = TlsOptions { ca_file: Some(files.write("not-ca.crt", "hunter2")), ..TlsOptions::default() };
    assert!(matches!(client_config(&no_ca).unwrap_err(), TlsError::File(FileError::Parse { .. })));
}
