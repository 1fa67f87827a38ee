//! Binding and refusing; requests over real connections are tested with a real component in `tests/providers/http.rs`.

use super::*;

fn bind(url: &str) -> Result<Endpoints, BindError> {
    let endpoint = Endpoint { ca_file: None, ..Endpoint::new(url).unwrap() };
    Endpoints::bind("mock", &BTreeMap::from([("api".to_owned(), endpoint)]))
}

fn request(endpoint: &str, path: &str) -> Request {
    Request {
        endpoint: endpoint.to_owned(),
        method: "GET".to_owned(),
        path_and_query: path.to_owned(),
        headers: Vec::new(),
        timeout_ms: None,
    }
}

#[tokio::test]
async fn what_is_not_granted_is_denied_before_anything_else_is_looked_at() {
    let endpoints = bind("http://127.0.0.1:1").unwrap();
    let answer = endpoints.fetch(request("other\n", "not a path"), Vec::new(), 0).await;
    let Err(HttpError::Denied(text)) = answer else { panic!("not denied") };
    assert!(text.starts_with(r#"the endpoint "other " is not granted to the provider "mock""#), "{text}");
}

#[tokio::test]
async fn a_path_that_leaves_the_endpoint_is_denied() {
    let endpoints = bind("http://127.0.0.1:1").unwrap();
    let answer = endpoints.fetch(request("api", "/a/../../etc"), Vec::new(), 1024).await;
    assert!(matches!(answer, Err(HttpError::Denied(_))));
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_connect_error() {
    let endpoints = bind("http://127.0.0.1:1").unwrap();
    let answer = endpoints.fetch(request("api", "/"), Vec::new(), 1024).await;
    assert!(matches!(&answer, Err(HttpError::Connect(text)) if text.contains("refused")), "{answer:?}");
    let missing = bind("unix:///nowhere/backend.sock").unwrap();
    let answer = missing.fetch(request("api", "/"), Vec::new(), 1024).await;
    assert!(matches!(&answer, Err(HttpError::Connect(text)) if text.contains("No such file")), "{answer:?}");
}

#[test]
fn a_url_that_was_set_past_the_constructor_is_checked_all_the_same() {
    let endpoint = Endpoint { url: "ftp://example.com".to_owned(), ..Endpoint::new("https://example.com").unwrap() };
    let error = Endpoints::bind("mock", &BTreeMap::from([("api".to_owned(), endpoint)])).err().unwrap();
    assert!(matches!(error, BindError::Url { .. }));
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let endpoint = Endpoint { ca_file: Some(file.path().to_owned()), ..Endpoint::new("https://example.com").unwrap() };
    let error = Endpoints::bind("mock", &BTreeMap::from([("api".to_owned(), endpoint)])).err().unwrap();
    assert!(matches!(error, BindError::ParseCa { .. }));
}
