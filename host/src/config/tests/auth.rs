//! Credentials.

use pluglet_credentials::{Auth, AzureWorkloadIdentity};

use super::*;

fn with(auth: &str) -> String {
    format!("endpoints:\n  api:\n    url: https://api.example.com\n    auth: {auth}\n")
}

fn read_with(files: &Files, auth: &str, environment: Environment<'_>) -> Result<Auth, String> {
    let config =
        read(&files.named(&with(auth)), &[], None, environment, None).map_err(|mistakes| mistakes.to_string())?;
    Ok(config.grants["api"].auth.clone().unwrap())
}

#[test]
fn every_kind_can_be_written() {
    let files = Files::new();
    for (auth, shown) in [
        ("{ bearer: { tokenFile: @/token } }", "Bearer"),
        ("{ basic: { username: me, passwordFile: @/token } }", "Basic { username: \"me\""),
        ("{ header: { name: X-Api-Key, valueFile: @/token } }", "Header { name: \"x-api-key\""),
        (
            "{ oauth2: { tokenUrl: https://login.example.com/t, clientId: c, clientSecretFile: @/token, scopes: [a, b], \
             audience: x, caFile: @/pem } }",
            "scopes: [\"a\", \"b\"], audience: Some(\"x\")",
        ),
        (
            "{ azureClientSecret: { tenantId: t, clientId: c, clientSecretFile: @/token, caFile: @/pem } }",
            "login.microsoftonline.com",
        ),
        (
            "{ azureClientCertificate: { tenantId: t, clientId: c, certificateFile: @/pem, caFile: @/pem, \
             authorityHost: https://login.example.com } }",
            "login.example.com",
        ),
        ("{ azureManagedIdentity: { clientId: c, audience: https://x.example } }", "https://x.example"),
        ("{ azureManagedIdentity: }", "https://management.core.windows.net/"),
        (
            "{ azureWorkloadIdentity: { tenantId: t, clientId: c, tokenFile: @/token, caFile: @/pem } }",
            "AzureWorkloadIdentity",
        ),
        (
            "{ awsSigV4: { region: eu-central-1, service: ecs, accessKeyIdFile: @/id, secretAccessKeyFile: @/key } }",
            "session_token_file: None",
        ),
        (
            "{ awsSigV4: { region: eu-central-1, service: ecs, accessKeyIdFile: @/id, secretAccessKeyFile: @/key, \
             sessionTokenFile: @/token } }",
            "session_token_file: Some",
        ),
    ] {
        let read = read_with(&files, auth, &nothing).unwrap_or_else(|mistakes| panic!("{auth}: {mistakes}"));
        let debug = format!("{read:?}");
        assert!(debug.contains(shown) && !debug.contains("s3cr3t"), "{auth}: {debug}");
    }
    assert_eq!(
        read_with(&files, "{ bearer: { tokenFile: @/token } }", &nothing),
        Ok(Auth::Bearer { token_file: files.path("token") })
    );
}

#[test]
fn a_workload_identity_is_found_in_the_environment() {
    let files = Files::new();
    let token = files.path("token").display().to_string();
    let injected = |name: &str| match name {
        "AZURE_TENANT_ID" => Some("t".to_owned()),
        "AZURE_CLIENT_ID" => Some("c".to_owned()),
        "AZURE_FEDERATED_TOKEN_FILE" => Some(token.clone()),
        "AZURE_AUTHORITY_HOST" => Some("https://login.example.com/".to_owned()),
        _ => None,
    };
    let Auth::AzureWorkloadIdentity(found) =
        read_with(&files, "{ azureWorkloadIdentity: { caFile: @/pem } }", &injected).unwrap()
    else {
        panic!()
    };
    let AzureWorkloadIdentity { tenant_id, client_id, authority_host, token_file, .. } = found;
    assert_eq!((tenant_id.as_str(), client_id.as_str()), ("t", "c"));
    assert_eq!((authority_host.as_str(), token_file), ("https://login.example.com/", files.path("token")));
    let missing = read_with(&files, "{ azureWorkloadIdentity: { tenantId: t } }", &nothing).unwrap_err();
    assert!(missing.contains("`clientId` is missing, and AZURE_CLIENT_ID is not set"), "{missing}");
    assert!(missing.contains("`tokenFile` is missing, and AZURE_FEDERATED_TOKEN_FILE is not set"), "{missing}");
}

#[test]
fn there_is_exactly_one_kind() {
    let none = mistake(&with("{}"));
    assert!(
        none.starts_with(
            "pluglet.yaml:4:11: endpoints.api.auth: has no kind of credential: write one of bearer, basic"
        ),
        "{none}"
    );
    let files = Files::new();
    let two =
        mistakes(&files.named(&with("{ bearer: { tokenFile: @/token }, header: { name: a, valueFile: @/token } }")));
    assert_eq!(two.iter().filter(|line| line.contains("only one kind of credential")).count(), 2, "{two:?}");
    assert!(mistake(&with("{ baerer: { tokenFile: /x } }")).contains("did you mean `bearer`?"));
}

#[test]
fn a_secret_in_the_file_is_answered_with_how_to_write_it_and_never_shown() {
    for (auth, why) in [
        (
            "{ basic: { username: me, password: hunter2 } }",
            "auth.basic.password: is not written into this file: write the path of a file as `passwordFile`",
        ),
        (
            "{ bearer: { token: hunter2 } }",
            "auth.bearer.token: is not written into this file: write the path of a file as `tokenFile`",
        ),
        ("{ azureClientSecret: { clientSecret: hunter2 } }", "write the path of a file as `clientSecretFile`"),
        ("{ token: hunter2 }", "write auth: { bearer: { tokenFile: PATH } }"),
        ("{ bearer: hunter2 }", "auth.bearer: must be a mapping, not a text"),
        ("hunter2", "endpoints.api.auth: must be a mapping, not a text"),
        ("{ bearer: { tokenFile: hunter2 } }", "auth.bearer.tokenFile: this file cannot be read"),
        ("{ bearer: { tokenFile: [hunter2] } }", "auth.bearer.tokenFile: must be a text, not a list"),
        ("{ bearer: { tokenFile: { hunter2: } } }", "auth.bearer.tokenFile: must be a text, not a mapping"),
    ] {
        let told = mistakes(&with(auth));
        assert!(told.iter().any(|line| line.contains(why)), "{auth}: {told:#?}");
        assert!(!told.concat().contains("hunter2"), "{auth}: {told:#?}");
    }
}

#[test]
fn what_a_credential_cannot_be_is_told_where_it_is_written() {
    let files = Files::new();
    for (auth, why) in [
        (
            "{ basic: { username: \"a:b\", passwordFile: @/token } }",
            "4:32: endpoints.api.auth.basic.username: the user name cannot be used",
        ),
        ("{ header: { name: Host, valueFile: @/token } }", "auth.header.name: the header's name cannot be used"),
        ("{ header: { name: \"a b\", valueFile: @/token } }", "auth.header.name: is no name of a header"),
        ("{ bearer: { tokenFile: @/empty } }", "endpoints.api.auth.bearer: "),
        ("{ bearer: {} }", "4:13: endpoints.api.auth.bearer: `tokenFile` is missing"),
        (
            "{ oauth2: { tokenUrl: http://login.example.com, clientId: c, clientSecretFile: @/token } }",
            "4:33: endpoints.api.auth.oauth2.tokenUrl: the token URL",
        ),
        (
            "{ oauth2: { tokenUrl: \"https://me:hunter2@x\", clientId: c, clientSecretFile: @/token } }",
            "auth.oauth2.tokenUrl: the token URL",
        ),
        (
            "{ azureClientSecret: { tenantId: a/b, clientId: c, clientSecretFile: @/token } }",
            "azureClientSecret.tenantId: ",
        ),
        (
            "{ azureClientCertificate: { tenantId: a, clientId: c, certificateFile: @/token } }",
            "azureClientCertificate: ",
        ),
    ] {
        let told = mistake(&files.named(&with(auth)));
        assert!(told.contains(why) && !told.contains("hunter2"), "{auth}: {told}");
    }
}

#[test]
fn a_credential_does_not_go_over_the_wire_in_the_clear() {
    let files = Files::new();
    let auth = files.named("auth: { bearer: { tokenFile: @/token } }");
    for (target, refused) in [
        ("url: http://api.example.com", true),
        ("url: http://10.0.0.1", true),
        ("url: http://localhost.example.com", true),
        ("{ hosts: \"*.example.com:80\", scheme: http", true),
        ("{ addresses: \"10.0.0.0/8:80\", scheme: http", true),
        ("url: http://localhost:8080", false),
        ("url: \"http://[::1]:8080\"", false),
        ("url: http://127.0.0.1:8080", false),
        ("url: unix:///run/x.sock", false),
        ("url: https://api.example.com", false),
    ] {
        let text = format!("endpoints: {{ api: {{ {}, {auth} }} }}", target.trim_start_matches("{ "));
        let told = read(&text, &[], None, &nothing, None).map(|_| ()).map_err(|mistakes| mistakes.to_string());
        let clear = told.as_ref().is_err_and(|told| told.contains("in the clear"));
        assert_eq!((told.is_err(), clear), (refused, refused), "{target}: {told:?}");
    }
}
