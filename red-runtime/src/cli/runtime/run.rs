//! `red-runtime run`

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::{PidfdFlags, pidfd_open};

use super::super::wrap::{self, What};
use super::{Exit, Global, Output, RunError, create};
use crate::launch::container;
use crate::launch::create as making;
use crate::launch::error::LaunchError;
use crate::launch::foreground::{self, Signals, Watched};
use crate::launch::record::Process;
use crate::launch::standalone::{LOST, console_socket};
use crate::launch::sync::receive_descriptor;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    making: create::Making,
    /// Run a node instead of a bundle: its path
    #[arg(short = 'r', long, visible_aliases = ["rpath", "rp"], value_name = "PATH", conflicts_with_all = ["bundle", "config", "console_socket", "pid_file", "no_pivot"])]
    redpath: Option<PathBuf>,
    #[command(flatten)]
    plain: wrap::Plain,
    /// Do not remove the container when it has ended
    #[arg(long)]
    keep: bool,
    /// Name of the container; with --redpath the program and its arguments
    #[arg(
        value_name = "ID | PROGRAM ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true
    )]
    words: Vec<String>,
}

/// How many sockets a service manager handed to this process (sd_listen_fds(3)), unless the caller says which
/// descriptors are passed on.
fn handed(preserved: u32) -> Option<u32> {
    let number = |key: &str| std::env::var(key).ok()?.parse::<u32>().ok();
    let own = number("LISTEN_PID") == Some(std::process::id());
    number("LISTEN_FDS").filter(|count| own && preserved == 0 && *count > 0)
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    if let Some(redpath) = &args.redpath {
        return Ok(args.plain.clone().or_root(global.root.as_ref()).run(redpath, &args.words, What::Launch));
    }
    if let Some(option) = args.words.iter().find(|word| word.starts_with('-')) {
        let why = format!("unexpected argument `{option}`; `red-runtime run --help` lists the options");
        return Err(RunError::Usage(why));
    }
    let [id] = args.words.as_slice() else {
        return Err(LaunchError::refused(
            args.words.join(" "),
            "a bundle is run under one name; the program stands in its configuration",
        )
        .into());
    };
    let mut create = create::Args { making: args.making.clone(), id: id.clone() };
    let store = global.store();
    let mut loaded = args.making.read(global, &store)?;
    if let Some(count) = handed(create.making.preserve_fds) {
        create.making.preserve_fds = count;
        loaded.listen(count);
    }
    let detach = args.plain.detaches();
    let signals = Signals::hold()?;
    let mut request = create::request(global, &create, &loaded)?;
    let wants = loaded.terminal() && args.making.console_socket.is_none() && !detach;
    let socket: Option<OwnedFd> = if wants { Some(console_socket(&mut request.terms)?) } else { None };
    // What is to be kept is taken away by whoever wanted that.
    request.terms.engine = detach || args.keep;
    let pid = making::create(&store, request)?;
    // It is our child, so its number is its own until it was waited for.
    let first = Process::of(pid);
    let remove = || match &first {
        Ok(first) => container::delete_own(&store, id, *first),
        Err(_) => container::delete(&store, id, true),
    };
    let end = |error: RunError| -> RunError {
        match remove() {
            Ok(()) => error,
            Err(second) => {
                let why = format!(
                    "and its remains could not be removed ({second}); `red-runtime delete --force {id}`"
                );
                LaunchError::refused(error.to_string(), why).into()
            }
        }
    };
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
        end(LaunchError::Call { what: "the container's first process".into(), errno }.into())
    })?;
    let terminal = match &socket {
        Some(socket) => receive_descriptor(socket)
            .map_err(|errno| end(LaunchError::Call { what: "the terminal".into(), errno }.into()))?,
        None => None,
    };
    if socket.is_some() && terminal.is_none() {
        return Err(end(LaunchError::refused("the terminal", LOST).into()));
    }
    container::start(&store, id).map_err(|error| end(error.into()))?;
    if detach {
        return Ok(Exit::Success);
    }
    let watched = Watched { pidfd: pidfd.as_fd(), pid, reaper: false, shares_terminal: false, terminal };
    let code = foreground::wait(&watched, &signals).map_err(|error| end(error.into()))?;
    if !args.keep
        && let Err(error) = remove()
    {
        // The command has ended as it has, whatever becomes of what it leaves behind.
        super::log::error(global, &error.into(), &mut Output::standard(anstream::ColorChoice::Auto));
    }
    Ok(Exit::Command(u8::try_from(code).unwrap_or(255)))
}
