//! The WebAssembly engine: one for the process.
//!
//! In: nothing. Out: [`shared`]. Invariant: every store of the process belongs to this engine and its configuration never changes,
//! so a compiled component fits for as long as the wasmtime version stays.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, Strategy, WasmBacktraceDetails};

/// How often running guest code is made to look up and give way.
///
/// Nothing waits for a tick when guests behave: they give way at every `await`. The tick bounds how late the watchdog notices a guest
/// that computes without end, and 10 ms is small against its 2 s. Each tick wakes a thread: at 1 ms an idle host would spend most
/// of its CPU budget (0.1 % of a core) on this alone.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Why there is no engine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration or the machine.
    #[error("the WebAssembly engine cannot run on this machine: {0}")]
    Create(String),
    /// No thread for the ticker.
    #[error("cannot start the engine's ticker thread: {0}")]
    Ticker(String),
}

/// The engine of this process. Two engines in one process would only cost memory, and types that were mixed between engines have
/// been a hole in wasmtime before (GHSA-hgjw-h833-99q9).
///
/// # Errors
/// When the machine cannot run it; the answer is the same each time.
pub(crate) fn shared() -> Result<&'static Engine, EngineError> {
    static ENGINE: OnceLock<Result<Engine, EngineError>> = OnceLock::new();
    ENGINE.get_or_init(create).as_ref().map_err(Clone::clone)
}

/// An engine that only compiles, for the process that does nothing else: what it makes fits [`shared`].
///
/// # Errors
/// As [`shared`].
pub(crate) fn for_compiling() -> Result<Engine, EngineError> {
    Engine::new(&config()).map_err(|error| EngineError::Create(format!("{error:#}")))
}

fn create() -> Result<Engine, EngineError> {
    let engine = for_compiling()?;
    let ticking = engine.clone();
    std::thread::Builder::new()
        .name("pluglet-epoch".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(EPOCH_TICK);
                ticking.increment_epoch();
            }
        })
        .map_err(|error| EngineError::Ticker(error.to_string()))?;
    Ok(engine)
}

fn config() -> Config {
    let mut config = Config::new();
    // Cranelift only: Winch has had a sandbox escape (CVE-2026-34987).
    config.strategy(Strategy::Cranelift).cranelift_opt_level(OptLevel::Speed);
    config.epoch_interruption(true);
    // Traps are explained by the guest's own panic text; components are stripped, so there is nothing to look lines up in.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // What a component made by rustc does not use is not offered: each proposal is code that a hostile guest could aim at. Threads,
    // GC, exceptions and function references are not even compiled into the host.
    config.wasm_memory64(false).wasm_multi_memory(false).wasm_relaxed_simd(false).wasm_tail_call(false);
    config
}
