//! What goes out, byte by byte.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderName, Method};
use pluglet_credentials::{
    Auth, AwsSigV4, AzureClientCertificate, AzureManagedIdentity, AzureWorkloadIdentity, Credential, Payload, Secret,
};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use crate::support::{AUDIENCE, Files, TokenServer, authorization, authorize, azure_client_secret, head, oauth2};

fn secrets(applied: &pluglet_credentials::Applied) -> Vec<&[u8]> {
    applied.secrets().iter().map(Secret::as_bytes).collect()
}

#[tokio::test]
async fn bearer_basic_and_header_go_out_as_they_are_and_tell_what_to_mask() {
    let files = Files::new();
    let bearer = Credential::new(&Auth::Bearer { token_file: files.write("token", "abc.def\n") }).unwrap();
    let (head, applied) = authorize(&bearer).await.unwrap();
    assert_eq!(head.headers["authorization"], "Bearer abc.def");
    assert!(head.headers["authorization"].is_sensitive());
    assert_eq!(secrets(&applied), [b"abc.def"]);

    let password_file = files.write("password", "open sesame\r\n");
    let basic = Credential::new(&Auth::Basic { username: "Aladdin".to_owned(), password_file }).unwrap();
    let (head, applied) = authorize(&basic).await.unwrap();
    assert_eq!(head.headers["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(secrets(&applied), [b"open sesame".as_slice(), b"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);

    let name = HeaderName::from_static("x-api-key");
    let header = Auth::Header { name: name.clone(), value_file: files.write("key", " some key \n") };
    let header = Credential::new(&header).unwrap();
    assert_eq!(header.headers(), [name]);
    let (head, applied) = authorize(&header).await.unwrap();
    assert_eq!(head.headers["x-api-key"], "some key");
    assert_eq!(secrets(&applied), [b"some key"]);
}

#[tokio::test]
async fn a_password_of_three_bytes_is_not_masked_but_its_blob_is() {
    let files = Files::new();
    let auth = Auth::Basic { username: "me".to_owned(), password_file: files.write("password", "abc") };
    let (_, applied) = authorize(&Credential::new(&auth).unwrap()).await.unwrap();
    assert_eq!(secrets(&applied), [b"bWU6YWJj"]);
}

#[tokio::test]
async fn what_a_request_brings_along_is_replaced() {
    let files = Files::new();
    let bearer = Credential::new(&Auth::Bearer { token_file: files.write("token", "abcd") }).unwrap();
    let mut head = head();
    head.headers.append("authorization", "Bearer mine".parse().unwrap());
    head.headers.append("authorization", "Bearer mine too".parse().unwrap());
    bearer.authorize(&mut head, Payload::Streamed).await.unwrap();
    let values: Vec<_> = head.headers.get_all("authorization").iter().collect();
    assert_eq!(values, ["Bearer abcd"]);
}

#[tokio::test]
async fn oauth2_sends_the_client_in_the_header_and_the_rest_in_a_form() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    assert_eq!(server.count(), 0, "nothing goes out before it is needed");
    let (head, applied) = authorize(&credential).await.unwrap();
    assert_eq!(head.headers["authorization"], "Bearer token-1");
    assert_eq!(secrets(&applied), [b"token-1"]);

    let seen = server.seen().remove(0);
    assert_eq!((seen.method, seen.uri.to_string().as_str()), (Method::POST, "/token"));
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    let expected = format!("Basic {}", STANDARD.encode("client+one:s3cr3t%2F%2Bpass+word"));
    assert_eq!(seen.headers["authorization"], expected);
    assert_eq!(seen.body, "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fapi.example.com");
}

#[tokio::test]
async fn azure_client_secret_sends_the_form_of_microsoft_entra() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&azure_client_secret(&server, &files)).unwrap();
    assert_eq!(authorization(&credential).await, "Bearer token-1");

    let seen = server.seen().remove(0);
    assert_eq!(seen.method, Method::POST);
    assert_eq!(seen.uri, "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token");
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!seen.headers.contains_key("authorization"));
    // The audience ends in a slash, so there are two before `.default`.
    assert_eq!(
        seen.body,
        "grant_type=client_credentials&client_id=app-1&client_secret=abc%7EDef.8Q\
         &scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default"
    );
}

#[tokio::test]
async fn azure_workload_identity_reads_its_token_again_for_each_request() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&Auth::AzureWorkloadIdentity(AzureWorkloadIdentity {
        tenant_id: "tenant".to_owned(),
        client_id: "app-1".to_owned(),
        audience: "https://management.azure.com".to_owned(),
        authority_host: format!("{}/", server.url),
        ca_file: None,
        token_file: files.write("federated", "first.jwt.x"),
    }))
    .unwrap();
    let (_, applied) = authorize(&credential).await.unwrap();
    files.write("federated", "second.jwt.x");
    assert!(credential.rejected(&applied));
    authorize(&credential).await.unwrap();

    let seen = server.seen();
    assert_eq!(seen[0].uri, "/tenant/oauth2/v2.0/token");
    for (seen, token) in seen.iter().zip(["first.jwt.x", "second.jwt.x"]) {
        assert_eq!(
            seen.body,
            format!(
                "grant_type=client_credentials&client_id=app-1\
                 &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                 &client_assertion={token}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
            )
        );
    }
}

#[tokio::test]
async fn azure_client_certificate_sends_an_assertion_that_the_certificate_verifies() {
    let server = TokenServer::start().await;
    let certificate_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rsa-for-tests.pem");
    let pem = std::fs::read(&certificate_file).unwrap();
    let credential = Credential::new(&Auth::AzureClientCertificate(AzureClientCertificate {
        tenant_id: "tenant".to_owned(),
        client_id: "app-1".to_owned(),
        audience: AUDIENCE.to_owned(),
        authority_host: server.url.clone(),
        ca_file: None,
        certificate_file,
    }))
    .unwrap();
    authorize(&credential).await.unwrap();

    let body = server.seen().remove(0).body;
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "client_id", "client_assertion_type", "client_assertion", "scope"]);

    let assertion = &form[3].1;
    let (message, signature) = assertion.rsplit_once('.').unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let (_, algorithms) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).unwrap();
    let key = &parsed.public_key().subject_public_key.data;
    algorithms[0].verify_signature(key, message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();

    let (header, claims) = message.split_once('.').unwrap();
    let json =
        |part: &str| -> serde_json::Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
    assert_eq!(json(header), serde_json::json!({ "alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint }));
    let claims = json(claims);
    assert_eq!(claims["aud"], format!("{}/tenant/oauth2/v2.0/token", server.url));
    assert_eq!((&claims["iss"], &claims["sub"]), (&"app-1".into(), &"app-1".into()));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let nbf = claims["nbf"].as_u64().unwrap();
    assert!(nbf <= now && now < nbf + 600);
    assert_eq!(claims["exp"], nbf + 600);
}

#[tokio::test]
async fn azure_managed_identity_asks_the_metadata_service_and_understands_its_strings() {
    let server = TokenServer::start().await;
    let body = r#"{"access_token":"from-imds","expires_in":"86399","expires_on":"1700000000","token_type":"Bearer"}"#;
    server.script(200, None, body);
    let auth = |client_id: Option<&str>| {
        Auth::AzureManagedIdentity(AzureManagedIdentity {
            client_id: client_id.map(str::to_owned),
            audience: AUDIENCE.to_owned(),
            imds_url: server.url.clone(),
        })
    };
    assert_eq!(authorization(&Credential::new(&auth(None)).unwrap()).await, "Bearer from-imds");
    authorize(&Credential::new(&auth(Some("id-1"))).unwrap()).await.unwrap();

    let seen = server.seen();
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01\
                &resource=https%3A%2F%2Fmanagement.core.windows.net%2F";
    assert_eq!((&seen[0].method, seen[0].uri.to_string().as_str()), (&Method::GET, path));
    assert_eq!(seen[0].headers["metadata"], "true");
    assert!(seen[0].body.is_empty());
    assert_eq!(seen[1].uri, format!("{path}&client_id=id-1").as_str());
}

#[tokio::test]
async fn aws_sigv4_sets_its_headers_and_tells_the_session_token_as_a_secret() {
    let files = Files::new();
    let credential = Credential::new(&Auth::AwsSigV4(AwsSigV4 {
        region: "eu-central-1".to_owned(),
        service: "ecs".to_owned(),
        access_key_id_file: files.write("id", "AKIDEXAMPLE\n"),
        secret_access_key_file: files.write("key", "aws-secret-key\n"),
        session_token_file: Some(files.write("session", "session-token\n")),
    }))
    .unwrap();
    let (head, applied) = authorize(&credential).await.unwrap();
    for name in credential.headers() {
        assert!(head.headers.contains_key(name), "{name}");
    }
    assert_eq!(head.headers["x-amz-security-token"], "session-token");
    let authorization = head.headers["authorization"].to_str().unwrap();
    let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
    assert!(authorization.contains(signed) && authorization.contains("/eu-central-1/ecs/aws4_request"));
    assert_eq!(secrets(&applied)[0], b"session-token");
    assert!(!credential.rejected(&applied), "the files are the same");
    files.write("key", "another-secret-key\n");
    assert!(credential.rejected(&applied));
}
