//! Components made of bytes by hand: only what a parser looks at, nothing that could run.

use super::*;

const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn named(name: &str, rest: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), rest].concat()
}

/// One import section with one instance.
fn import(name: &str) -> Vec<u8> {
    section(10, &[vec![1, 0], named(name, &[5, 0])].concat())
}

/// One export section with one instance.
fn export(name: &str) -> Vec<u8> {
    section(11, &[vec![1, 0], named(name, &[5, 0, 0])].concat())
}

fn manifest(json: &str) -> Vec<u8> {
    section(0, &named("pluglet-manifest", json.as_bytes()))
}

fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [COMPONENT.to_vec(), sections.concat()].concat()
}

const LIFECYCLE: &str = "pluglet:provider/lifecycle@0.1.0";

#[test]
fn garbage_is_not_webassembly() {
    assert!(matches!(inspect_bytes(b"#!/bin/sh\n"), Err(InspectError::NotWasm)));
    assert!(matches!(inspect_bytes(b""), Err(InspectError::NotWasm)));
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    let text = inspect_bytes(&CORE_MODULE).unwrap_err().to_string();
    assert!(text.contains("wasm32-wasip2"), "{text}");
}

#[test]
fn a_damaged_component_is_malformed() {
    let mut bytes = component(&[export(LIFECYCLE)]);
    bytes.truncate(bytes.len() - 4);
    assert!(matches!(inspect_bytes(&bytes), Err(InspectError::Malformed(_))));
}

#[test]
fn a_component_that_exports_something_else_is_not_a_provider() {
    assert!(matches!(inspect_bytes(&component(&[export("wasi:cli/run@0.2.6")])), Err(InspectError::NotProvider)));
    assert!(matches!(inspect_bytes(&component(&[])), Err(InspectError::NotProvider)));
}

#[test]
fn another_contract_version_is_named_with_ours() {
    let error = inspect_bytes(&component(&[export("pluglet:provider/lifecycle@0.2.0")])).unwrap_err();
    assert_eq!(error.to_string(), "the component speaks pluglet:provider 0.2.0, this pluglet speaks 0.1.0");
}

#[test]
fn imports_beyond_the_sandbox_are_refused() {
    let bytes = component(&[import("wasi:sockets/tcp@0.2.6"), export(LIFECYCLE)]);
    assert!(
        matches!(inspect_bytes(&bytes), Err(InspectError::ForbiddenImports(names)) if names == ["wasi:sockets/tcp@0.2.6"])
    );
}

#[test]
fn a_minimal_provider_shows_contract_imports_and_size() {
    let bytes = component(&[import("wasi:io/poll@0.2.6"), import("pluglet:provider/kv@0.1.0"), export(LIFECYCLE)]);
    let seen = inspect_bytes(&bytes).unwrap();
    assert_eq!(seen.contract, "0.1.0");
    assert_eq!(seen.imports, ["pluglet:provider/kv@0.1.0", "wasi:io/poll@0.2.6"]);
    assert_eq!(seen.size, bytes.len() as u64);
    assert!(seen.manifest.is_none());
}

#[test]
fn the_manifest_is_found_at_the_top_and_inside_a_module() {
    let json = r#"{"name":"mock","version":"1.2.3","endpoints":[{"name":"api","why":"to call"}],"later":true}"#;
    let module = section(1, &[CORE_MODULE.to_vec(), manifest(json)].concat());
    for place in [manifest(json), module] {
        let found = inspect_bytes(&component(&[place, export(LIFECYCLE)])).unwrap().manifest.unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("mock", "1.2.3"));
        assert_eq!(found.endpoints, [Need { name: "api".to_owned(), why: "to call".to_owned(), ..Need::default() }]);
    }
}

#[test]
fn a_manifest_that_is_not_json_is_an_error_of_its_own() {
    let bytes = component(&[manifest("name = mock"), export(LIFECYCLE)]);
    assert!(matches!(inspect_bytes(&bytes), Err(InspectError::Manifest(_))));
}

#[test]
fn exports_of_a_component_inside_do_not_count() {
    let inner = section(4, &component(&[export(LIFECYCLE)]));
    assert!(matches!(inspect_bytes(&component(&[inner])), Err(InspectError::NotProvider)));
}

#[test]
fn a_missing_file_is_named() {
    let text = inspect(Path::new("/nowhere/provider.wasm"), 1000).unwrap_err().to_string();
    assert_eq!(text, "cannot read the component /nowhere/provider.wasm");
}

#[test]
fn a_file_over_the_cap_is_not_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1001).unwrap();
    assert!(matches!(inspect(file.path(), 1000), Err(InspectError::TooLarge { size: 1001, limit: 1000 })));
}

#[test]
fn a_manifest_over_the_cap_is_not_parsed() {
    let json = |length: usize| format!(r#"{{"name":"{}"}}"#, "x".repeat(length - r#"{"name":""}"#.len()));
    let whole = component(&[manifest(&json(MAX_MANIFEST_BYTES)), export(LIFECYCLE)]);
    assert!(inspect_bytes(&whole).unwrap().manifest.is_some());
    let over = component(&[manifest(&json(MAX_MANIFEST_BYTES + 1)), export(LIFECYCLE)]);
    assert!(matches!(inspect_bytes(&over), Err(InspectError::ManifestSize { size }) if size == MAX_MANIFEST_BYTES + 1));
}

#[test]
fn a_manifest_with_a_word_that_is_none_is_refused() {
    let bytes = component(&[manifest(r#"{"name":"mock","endpoints":[{"name":"a b"}]}"#), export(LIFECYCLE)]);
    assert!(
        matches!(inspect_bytes(&bytes), Err(InspectError::ManifestWord { field, .. }) if field == "endpoints[0].name")
    );
}
