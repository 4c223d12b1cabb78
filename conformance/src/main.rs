//! `red-probe`: the program inside.

use std::process::ExitCode;

fn main() -> ExitCode {
    red_conformance::probe::main()
}
