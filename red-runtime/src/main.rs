//! `red-runtime`, also under the names of its tools.

use std::process::ExitCode;

#[cfg(feature = "launch")]
#[global_allocator]
static HEAP: red_runtime::Heap = red_runtime::Heap::new();

fn main() -> ExitCode {
    red_runtime::cli::main(std::env::args_os())
}
