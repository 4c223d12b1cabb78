//! `containerd-shim-red-v2`: the shim through which containerd runs redpak nodes and other OCI bundles, by
//! executing `red-runtime`. The runtime is never linked: clone(2) in a multi-threaded program is unsafe, and the
//! shim's memory footprint stays small (docs/src/shim.md).
//!
//! containerd executes `start` in the bundle directory, connects to the socket address that `start` prints, and
//! calls the Task API over ttrpc (containerd, core/runtime/v2/README.md). The shim is single-threaded.

mod accept;
mod address;
mod annotations;
mod args;
mod container;
mod context;
mod delete;
mod error;
mod events;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod inotify;
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

/// Version of the shim.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the shim with the arguments after `argv[0]`; the exit status is 0 or 1.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // containerd returns stderr to its client.
            drop(writeln!(std::io::stderr(), "containerd-shim-red-v2: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> Result<(), error::Error> {
    let args = Args::parse(args)?;
    match args.action {
        Action::Help => info::help(),
        Action::Version => info::version(),
        Action::Info => info::info(),
        Action::Start => start::start(&args),
        Action::Delete => delete::delete(&args),
        Action::Unspecified => Err(error::Error::Usage("missing command: expected start or delete".into())),
    }
}
