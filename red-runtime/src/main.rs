//! `red-runtime`, also under the names of its tools.

use std::process::ExitCode;

fn main() -> ExitCode {
    red_runtime::cli::main(std::env::args_os())
}
