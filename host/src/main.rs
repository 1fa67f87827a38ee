//! The `pluglet` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pluglet::main()
}
