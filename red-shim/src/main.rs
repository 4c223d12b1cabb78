//! `containerd-shim-red-v2`.

use std::process::ExitCode;

fn main() -> ExitCode {
    red_shim::main(std::env::args_os().skip(1).collect())
}
