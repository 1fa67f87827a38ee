//! What the attacker finds around itself: nothing.

use std::time::Duration;

use pluglet_model::chain;
use pluglet_model::provider::Provider as _;
use pluglet_wasm::{InspectError, StartError};
use serde_json::json;

use crate::attacker::{one, start};
use crate::support::{component, options, try_start};

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
    // Ten times what the innocent component needs, and a fraction of what the bombs do.
    let many_functions = (200, 20_000, 6, 4 << 30, "limits.compileTime");
    let one_large_function = (1, 1_500_000, 120, 400 << 20, "limits.compileMemory");
    for (functions, steps, seconds, memory, why) in [many_functions, one_large_function] {
        let state = tempfile::tempdir().unwrap();
        let mut options = options("hello");
        options.state_dir = state.path().to_owned();
        options.limits.compile = Duration::from_secs(seconds);
        options.limits.compile_memory_bytes = memory;
        start(options.clone()).await.stop().await;
        options.component = bomb(state.path(), functions, steps);
        let error = try_start(options).await.err().unwrap();
        assert!(chain(&error).contains(why), "{why}: {}", chain(&error));
    }
}

/// A good component with a module that it does not use.
fn bomb(directory: &std::path::Path, functions: usize, steps: usize) -> std::path::PathBuf {
    let module = slow_module(functions, steps);
    // Section 1 of a component is a core module; at the end it changes no index of what is before.
    let mut bytes = std::fs::read(component("hello")).unwrap();
    bytes.push(1);
    leb128(&mut bytes, module.len());
    bytes.extend_from_slice(&module);
    let path = directory.join("bomb.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Functions that are one long expression each: the optimiser looks at every step again and again.
fn slow_module(functions: usize, steps: usize) -> Vec<u8> {
    let mut body = vec![0, 0x20, 0];
    for step in 0..steps {
        // local.get 0, then i64.mul and i64.add in turn.
        body.extend_from_slice(&[0x20, 0, if step % 2 == 0 { 0x7e } else { 0x7c }]);
    }
    body.push(0x0b);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, &[1, 0x60, 1, 0x7e, 1, 0x7e]);
    let mut types = Vec::new();
    leb128(&mut types, functions);
    types.extend(std::iter::repeat_n(0, functions));
    section(&mut module, 3, &types);
    let mut code = Vec::new();
    leb128(&mut code, functions);
    for _ in 0..functions {
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
