//! The `windlass` binary: see `windlass --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass::cli::main()
}
