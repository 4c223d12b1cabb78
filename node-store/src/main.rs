//! `red-dnf`, also under the name of `red-rpm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    node_store::cli::main(std::env::args_os())
}
