//! The compiler of this crate's tests: see [`pluglet_wasm::compile`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pluglet_wasm::compile::main(std::env::args_os().skip(2))
}
