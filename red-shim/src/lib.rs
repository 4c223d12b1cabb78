//! `containerd-shim-red-v2`: the shim through which containerd runs redpak nodes and other OCI bundles, with
//! `red-runtime` doing the work. It is executed and never linked: cloning from a program with threads is unsafe,
//! and the shim stays small (docs/src/shim.md).
//!
//! containerd executes the shim with `start` in a bundle, connects to the socket that it is told, and from then on
//! speaks the Task API over ttrpc (containerd, core/runtime/v2/README.md). One thread serves everything.

mod address;
mod annotations;
mod args;
mod container;
mod delete;
mod error;
mod events;
mod info;
mod metrics;
mod oom;
mod options;
mod process;
mod reaper;
mod rootfs;
mod runtime;
mod serve;
mod service;
mod start;
mod stdio;
mod sys;
mod tasks;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use args::{Action, Args};

/// Version that the shim tells.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the program with its arguments, its own name not among them. The status is 0 or 1.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // containerd shows it to whoever asked for the container.
            drop(writeln!(std::io::stderr(), "containerd-shim-red-v2: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> Result<(), error::Error> {
    let args = Args::parse(args)?;
    match args.action {
        Action::Version => info::version(),
        Action::Info => info::info(),
        Action::Start => start::start(&args),
        Action::Delete => delete::delete(&args),
        Action::Serve => Err(error::Error::Usage("it is started by containerd, with `start`".into())),
    }
}
