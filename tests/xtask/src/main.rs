//! `cargo xtask`: everything in this repository that sets something up.
//!
//! In: a command line, see [`cli`]. Out: an exit code, 0 only if everything that was asked for came out right.

mod bench;
mod cargo;
mod cli;
mod conformance;
mod control_plane;
mod demo;
mod failure;
mod fuzz;
mod interrupt;
mod lint;
mod node;
mod pin;
mod plugins;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Each cause on its own line: the innermost often spans several, with the end of a log.
            eprintln!("\nerror: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}
