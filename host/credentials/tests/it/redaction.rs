//! Nothing that this crate prints has a secret in it.

use std::fmt::Debug;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::HeaderName;
use pluglet_credentials::{
    Auth, AwsSigV4, AzureClientCertificate, AzureManagedIdentity, AzureWorkloadIdentity, Credential, CredentialError,
};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{AUDIENCE, Files, TokenServer, authorize, azure_client_secret, oauth2, pass};

/// What is in the files and in the tokens; no part of any may be seen.
const PLANTED: [&str; 13] = [
    "bearer-hunter2",
    "password-hunter2",
    "cGFzc3dvcmQtaHVudGVyM",
    "header-hunter2",
    "s3cr3t",
    "abc~Def",
    "abc%7EDef",
    "federated-hunter2",
    "aws-hunter2",
    "session-hunter2",
    "token-",
    // The start of an assertion, and of the client's id and secret in base64.
    "eyJ",
    "Y2xpZW50K29uZT",
];

/// Collects what is logged, by all tests of this program: whether a line is logged at all is decided for the whole process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_everything() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
            log
        })
        .clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

fn assert_clean(what: &str, text: &str) {
    for planted in PLANTED {
        assert!(!text.contains(planted), "{what} has {planted}: {text}");
    }
}

fn print(text: &mut String, value: &impl Debug) {
    text.push_str(&format!("{value:?} {value:#?}\n"));
}

fn every_kind(server: &TokenServer, files: &Files) -> Vec<Auth> {
    let authority_host = server.url.clone();
    vec![
        Auth::Bearer { token_file: files.write("bearer", "bearer-hunter2") },
        Auth::Basic { username: "me".to_owned(), password_file: files.write("password", "password-hunter2") },
        Auth::Header {
            name: HeaderName::from_static("x-api-key"),
            value_file: files.write("header", "header-hunter2"),
        },
        oauth2(server, files),
        azure_client_secret(server, files),
        Auth::AzureClientCertificate(AzureClientCertificate {
            tenant_id: "tenant".to_owned(),
            client_id: "app-1".to_owned(),
            audience: AUDIENCE.to_owned(),
            authority_host: authority_host.clone(),
            ca_file: None,
            certificate_file: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rsa-for-tests.pem"),
        }),
        Auth::AzureWorkloadIdentity(AzureWorkloadIdentity {
            tenant_id: "tenant".to_owned(),
            client_id: "app-1".to_owned(),
            audience: AUDIENCE.to_owned(),
            authority_host,
            ca_file: None,
            token_file: files.write("federated", "federated-hunter2"),
        }),
        Auth::AzureManagedIdentity(AzureManagedIdentity {
            client_id: None,
            audience: AUDIENCE.to_owned(),
            imds_url: server.url.clone(),
        }),
        Auth::AwsSigV4(AwsSigV4 {
            region: "eu-central-1".to_owned(),
            service: "ecs".to_owned(),
            access_key_id_file: files.write("id", "AKIDEXAMPLE"),
            secret_access_key_file: files.write("key", "aws-hunter2"),
            session_token_file: Some(files.write("session", "session-hunter2")),
        }),
    ]
}

#[tokio::test]
async fn no_text_and_no_log_line_has_a_secret_in_it() {
    let log = Log::of_everything();
    let (server, files) = (TokenServer::start().await, Files::new());
    let mut text = String::new();

    for auth in every_kind(&server, &files) {
        print(&mut text, &auth);
        let credential = Credential::new(&auth).unwrap();
        let fixed = matches!(auth, Auth::Bearer { .. } | Auth::Basic { .. } | Auth::Header { .. } | Auth::AwsSigV4(_));
        if !fixed {
            server.script_echo();
            let error = authorize(&credential).await.unwrap_err();
            assert!(matches!(error, CredentialError::TokenRefused { .. }));
            text.push_str(&error.to_string());
            print(&mut text, &error);
        }
        pass(Duration::from_secs(1)).await;
        let (head, applied) = authorize(&credential).await.unwrap();
        credential.rejected(&applied);
        print(&mut text, &credential);
        print(&mut text, &applied);
        print(&mut text, &applied.secrets());
        print(&mut text, &head.headers);
    }
    assert_clean("a text", &text);
    let logged = log.text();
    assert!(logged.contains("no new token") && logged.contains("signing request"), "there is a log");
    assert_clean("the log", &logged);
}

#[tokio::test]
async fn a_broken_file_is_logged_once_and_without_its_content() {
    let log = Log::of_everything();
    let files = Files::new();
    let credential = Credential::new(&Auth::Bearer { token_file: files.write("bearer", "bearer-hunter2") }).unwrap();
    files.write("bearer", "bearer-hunter2 bearer-hunter2");
    for _ in 0..3 {
        pass(Duration::from_secs(1)).await;
        authorize(&credential).await.unwrap();
    }
    let logged = log.text();
    let path = files.0.path().to_str().unwrap();
    assert_eq!(logged.lines().filter(|line| line.contains(path)).count(), 1, "{logged}");
    assert_clean("the log", &logged);
}
