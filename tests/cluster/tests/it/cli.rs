//! Wrong input is one clear error and exit code 2, before anything is registered.

use std::process::Command;

use anyhow::Result;
use cluster::{binary, components};

fn pluglet(arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = Command::new(binary()?).args(arguments).env_remove("KUBECONFIG").output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

fn run_with(provider: &str, directory: &str) -> Result<(Option<i32>, String)> {
    let arguments = ["run", "--node-name", "never", "--provider", provider, "--plugin-dir", directory];
    let (code, _, error) = pluglet(&arguments)?;
    Ok((code, error))
}

#[test]
fn an_unknown_provider_lists_those_that_are_there() -> Result<()> {
    let (code, error) = run_with("nope", &components()?.display().to_string())?;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("no provider \"nope\"") && error.contains("mock") && error.contains("hello"), "{error}");
    Ok(())
}

#[test]
fn a_plugin_directory_that_does_not_exist_is_named() -> Result<()> {
    let (code, error) = run_with("mock", "/no/such/plugins")?;
    assert_eq!((code, error.contains("/no/such/plugins does not exist")), (Some(2), true), "{error}");
    Ok(())
}

#[test]
fn a_file_that_is_no_component_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("broken.wasm"), "not wasm at all")?;
    let (code, error) = run_with("broken", &directory.path().display().to_string())?;
    assert_eq!((code, error.contains("broken.wasm")), (Some(2), true), "{error}");
    Ok(())
}

#[test]
fn a_wrong_configuration_names_file_and_line() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("pluglet.yaml");
    std::fs::write(&file, "endpoints:\n  a:\n    ulr: http://localhost\n")?;
    let (file, plugins) = (file.display().to_string(), components()?.display().to_string());
    let arguments = ["run", "--node-name", "n", "--provider", "mock", "--plugin-dir", &plugins, "--config", &file];
    let (code, _, error) = pluglet(&arguments)?;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains(&file) && error.contains(":3:5: endpoints.a.ulr: ") && error.contains("`url`"), "{error}");
    Ok(())
}

#[test]
fn inspect_and_list_tell_what_a_provider_is() -> Result<()> {
    let plugins = components()?.display().to_string();
    let (code, text, error) = pluglet(&["provider", "inspect", "mock", "--plugin-dir", &plugins])?;
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("mock") && text.contains("pluglet:provider 0.1.0") && text.contains("logs"), "{text}");
    let (code, text, error) = pluglet(&["provider", "list", "--plugin-dir", &plugins])?;
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("hello") && text.contains("webhook") && text.contains("backend"), "{text}");
    Ok(())
}

#[test]
fn check_shows_the_rights_and_refuses_what_would_not_start() -> Result<()> {
    let plugins = components()?.display().to_string();
    let check =
        |flags: &[&str]| pluglet(&[&["provider", "check", "webhook", "--plugin-dir", &plugins], flags].concat());
    let (code, text, error) = check(&["--endpoint", "backend=https://backend.example.com/v1"])?;
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains("https://backend.example.com/v1") && text.contains("memory"), "{text}");
    let (code, _, error) = check(&[])?;
    assert_eq!((code, error.contains("endpoints:\n  backend:\n    url: ")), (Some(2), true), "{error}");
    let (code, _, error) = check(&["--endpoint", "backend=https://me:hunter2@backend.example.com"])?;
    assert_eq!((code, error.contains("hunter2")), (Some(2), false), "{error}");
    Ok(())
}

#[test]
fn a_configuration_that_the_provider_could_not_use_is_refused_before_anything_is_registered() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("pluglet.yaml");
    std::fs::write(&file, "config:\n  cpus: 16\n")?;
    let (file, plugins) = (file.display().to_string(), components()?.display().to_string());
    for arguments in [
        vec!["run", "--node-name", "n", "--provider", "mock", "--plugin-dir", &plugins, "--config", &file],
        vec!["provider", "check", "mock", "--plugin-dir", &plugins, "--config", &file],
    ] {
        let (code, _, error) = pluglet(&arguments)?;
        assert_eq!((code, error.contains(":2:3: config.cpus: ")), (Some(2), true), "{error}");
    }
    Ok(())
}
