//! What the attacker finds around itself: nothing.

use std::time::Duration;

use pluglet_model::provider::Provider as _;
use pluglet_wasm::{InspectError, StartError};
use serde_json::json;

use crate::attacker::{one, start};
use crate::support::{chain, component, options, try_start};

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_library_finds_an_empty_world() {
    let attacker = start(options("hostile")).await;
    let seen = one(&attacker, json!({"op": "env"})).await;
    assert_eq!((&seen["vars"], &seen["args"]), (&json!([]), &json!([])), "{seen}");
    for place in ["root", "here", "proc", "passwd", "parent", "token", "write", "link", "command"] {
        assert!(seen[place]["error"].is_string(), "{place}: {seen}");
    }
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_wants_sockets_is_not_loaded() {
    let mut options = options("hostile");
    options.component = component("hostile_sockets");
    let error = try_start(options).await.err().unwrap();
    let StartError::Inspect { source: InspectError::ForbiddenImports(imports), .. } = &error else {
        panic!("{}", chain(&error))
    };
    assert!(imports.iter().any(|import| import.starts_with("wasi:sockets/")), "{imports:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_never_ends_is_given_up_and_told() {
    for start in ["sleep", "spin", "trap"] {
        let mut options = options("hostile");
        options.config_json = json!({"start": start}).to_string();
        options.limits.start = Duration::from_millis(500);
        options.limits.cpu_stall = Duration::from_millis(200);
        let attacker = try_start(options).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        let health = attacker.provider.health().borrow().clone();
        assert!(health.failure.is_some() && health.info.is_none(), "{start}: {health:?}");
        attacker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_told_how_long_its_call_may_take() {
    let attacker = start(options("hostile")).await;
    let seen = one(&attacker, json!({"op": "remaining", "every": 20, "times": 2})).await;
    let left: Vec<u64> = seen["seen"].as_array().unwrap().iter().map(|seen| seen["ms"].as_u64().unwrap()).collect();
    assert!(
        left.windows(2).all(|pair| pair[0] > pair[1]) && left.iter().all(|ms| (1..=120_000).contains(ms)),
        "{seen}"
    );
    assert_eq!(seen["seen"][0]["cancelled"], false);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_makes_the_compiler_explode_takes_only_the_compiler_down() {
    for (seconds, memory, why) in [(1, 4 << 30, "limits.compileTime"), (120, 64 << 20, "limits.compileMemory")] {
        let state = tempfile::tempdir().unwrap();
        let mut options = options("hostile");
        options.state_dir = state.path().to_owned();
        options.component = bomb(state.path());
        options.limits.compile = Duration::from_secs(seconds);
        options.limits.compile_memory_bytes = memory;
        let error = try_start(options).await.err().unwrap();
        assert!(chain(&error).contains(why), "{why}: {}", chain(&error));
    }
}

/// The hostile component with a module of many large functions, which it does not use.
fn bomb(directory: &std::path::Path) -> std::path::PathBuf {
    let component = std::fs::read(component("hostile")).unwrap();
    let module = slow_module();
    // Section 1 of a component is a core module; at the end it changes no index of what is before.
    let mut bytes = component;
    bytes.push(1);
    leb128(&mut bytes, module.len());
    bytes.extend_from_slice(&module);
    let path = directory.join("bomb.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// 200 functions of 60 KB that are one long expression each: seconds of optimisation.
fn slow_module() -> Vec<u8> {
    const FUNCTIONS: usize = 200;
    let mut body = vec![0];
    // (local.get 0) and 30 000 times (local.get 0) (i64.mul)-like steps: the optimiser looks at each pair.
    body.extend_from_slice(&[0x20, 0]);
    for step in 0..20_000_u32 {
        body.extend_from_slice(&[0x20, 0, if step % 2 == 0 { 0x7e } else { 0x7c }]);
    }
    body.push(0x0b);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 1, 0x7e, 1, 0x7e]);
    let mut types = Vec::new();
    leb128(&mut types, FUNCTIONS);
    types.extend(std::iter::repeat_n(0, FUNCTIONS));
    section(&mut module, 3, &types);
    let mut code = Vec::new();
    leb128(&mut code, FUNCTIONS);
    for _ in 0..FUNCTIONS {
        leb128(&mut code, body.len());
        code.extend_from_slice(&body);
    }
    section(&mut module, 10, &code);
    module
}

fn section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    leb128(module, content.len());
    module.extend_from_slice(content);
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}
