//! From a file to a running component, with the cache in between.

use std::path::PathBuf;

use pluglet_egress::{Grant, Target};
use pluglet_model::chain;
use pluglet_wasm::{InspectError, StartError};

use crate::support::{options, start, try_start};

/// The only entry of the cache in that state directory.
fn entry(state: &std::path::Path) -> PathBuf {
    let mut entries: Vec<_> =
        std::fs::read_dir(state.join("cwasm")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_used_again_and_made_again_when_it_is_damaged() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let state = tempfile::tempdir().unwrap();
    let mut options = options("hello");
    options.state_dir = state.path().to_owned();
    start(options.clone()).await.stop().await;
    let cached = entry(state.path());
    let first = std::fs::metadata(&cached).unwrap();
    assert_eq!(first.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(state.path().join("cwasm")).unwrap().permissions().mode() & 0o777, 0o700);

    // An entry that is used stays the same file; one that is made again is another.
    start(options.clone()).await.stop().await;
    assert_eq!(std::fs::metadata(&cached).unwrap().ino(), first.ino());

    let whole = std::fs::read(&cached).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    for bad in [damaged, whole[..whole.len() / 3].to_vec()] {
        std::fs::write(&cached, bad).unwrap();
        start(options.clone()).await.stop().await;
        assert_eq!(std::fs::read(&cached).unwrap().len(), whole.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_providers_are_told_apart() {
    let state = tempfile::tempdir().unwrap();
    let mut options = options("hello");
    options.state_dir = state.path().to_owned();

    options.component = state.path().join("missing.wasm");
    let error = try_start(options.clone()).await.err().unwrap();
    assert!(matches!(error, StartError::Inspect { source: InspectError::Read { .. }, .. }), "{}", chain(&error));

    options.component = state.path().join("garbage.wasm");
    std::fs::write(&options.component, b"#!/bin/sh\n").unwrap();
    let error = try_start(options.clone()).await.err().unwrap();
    assert!(matches!(error, StartError::Inspect { source: InspectError::NotWasm, .. }), "{}", chain(&error));

    std::fs::write(&options.component, b"\0asm\x01\0\0\0").unwrap();
    let error = try_start(options.clone()).await.err().unwrap();
    assert!(matches!(error, StartError::Inspect { source: InspectError::CoreModule, .. }), "{}", chain(&error));

    // The head of a real component with its tail cut off.
    let hello = std::fs::read(crate::support::component("hello")).unwrap();
    std::fs::write(&options.component, &hello[..hello.len() / 2]).unwrap();
    let error = try_start(options).await.err().unwrap();
    assert!(matches!(error, StartError::Inspect { source: InspectError::Malformed(_), .. }), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_cannot_be_used_is_a_start_error() {
    let mut options = options("webhook");
    let mut grant = Grant::new(Target::base("https://api.example.com").unwrap());
    grant.tls.ca_file = Some("/nowhere/ca.pem".into());
    options.grants.insert("backend".to_owned(), grant);
    let error = try_start(options).await.err().unwrap();
    let text = chain(&error);
    assert!(text.starts_with("endpoint `backend`: TLS cannot be set up") && text.contains("/nowhere/ca.pem"), "{text}");
}
