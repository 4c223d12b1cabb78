//! `red-runtime exec`

use std::collections::HashSet;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, UserBuilder};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Exit, Global, RunError};
use crate::launch::console::connect_to;
use crate::launch::enter::{self, Terms};
use crate::launch::error::LaunchError;
use crate::launch::foreground::{self, Signals, Watched};
use crate::launch::record::{Record, Store, write_pid_file};
use crate::launch::standalone::LOST;
use crate::launch::sync::{receive_descriptor, send_descriptor};
use crate::launch::warning::warn;
use crate::node::capability::{self, CAPABILITIES};
use crate::spec::config_json;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The process as in an OCI configuration
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// User, and group after a colon, by number
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Further groups, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// It cannot gain privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Sub-cgroup path (`/`: the container's cgroup)
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Enter a paused container too; the command runs when it is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// Accepted for runc compatibility; ignored
    #[arg(long)]
    no_subreaper: bool,
    /// Do not wait for it
    #[arg(short, long)]
    detach: bool,
    /// File that its number is written to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Socket that the outer side of the terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket to receive a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// So many descriptors after the standard streams are passed on
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Accepted for the sake of engines; SELinux is not supported
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Name of the container
    id: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    let store = global.store();
    let record = store.read(&args.id)?;
    let spec = store.spec(&args.id)?;
    let process = match &args.process {
        Some(path) => from_file(path)?,
        None => args.over(&spec)?,
    };
    let process = enter::like_first(process, &record, &spec)?;
    let mut terms = Terms {
        console: args.console_socket.as_deref().map(connect_to).transpose()?,
        preserve: args.preserve_fds,
        cgroup: args.cgroup()?,
        ignore_paused: args.ignore_paused,
    };
    let pidfd_socket = args.pidfd_socket.as_deref().map(connect_to).transpose()?;
    let ours = own_terminal(&process, args.detach, &mut terms)?;
    let signals = Signals::hold()?;
    let entered = enter::enter(&store, &args.id, &process, terms)?;
    let ended = match tell(&entered, pidfd_socket.as_ref(), args.pid_file.as_deref()) {
        Ok(()) if args.detach => Ok(Exit::Success),
        Ok(()) => wait(&entered, ours, &signals),
        Err(error) => Err(error),
    };
    // Whoever asked for it would not know of it.
    ended.inspect_err(|_| entered.end())
}

/// Tells whoever wants to know which process it is.
fn tell(
    entered: &enter::ExecProcess,
    socket: Option<&OwnedFd>,
    file: Option<&std::path::Path>,
) -> Result<(), RunError> {
    if let Some(socket) = socket {
        send_descriptor(socket, b"pidfd", &entered.pidfd)
            .map_err(|errno| LaunchError::Call { what: "--pidfd-socket".into(), errno })?;
    }
    if let Some(path) = file {
        write_pid_file(path, entered.pid.as_raw_nonzero().get())?;
    }
    Ok(())
}

fn wait(entered: &enter::ExecProcess, ours: Option<OwnedFd>, signals: &Signals) -> Result<Exit, RunError> {
    let terminal = match &ours {
        Some(socket) => receive_descriptor(socket)
            .map_err(|errno| LaunchError::Call { what: "the terminal".into(), errno })?,
        None => None,
    };
    if ours.is_some() && terminal.is_none() {
        return Err(LaunchError::refused("the terminal", LOST).into());
    }
    let watched = Watched {
        pidfd: entered.pidfd.as_fd(),
        pid: entered.pid,
        reaper: false,
        shares_terminal: false,
        terminal,
    };
    let code = foreground::wait(&watched, signals)?;
    Ok(Exit::Command(u8::try_from(code).unwrap_or(255)))
}

/// The near end of a terminal of our own, when nobody else brings one.
fn own_terminal(process: &Process, detach: bool, terms: &mut Terms) -> Result<Option<OwnedFd>, RunError> {
    if terms.console.is_some() || detach || !process.terminal().unwrap_or(false) {
        return Ok(None);
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| LaunchError::Call { what: "a socket".into(), errno })?;
    terms.console = Some(theirs);
    Ok(Some(ours))
}

/// Runs a command as the container's own would be, in the foreground.
///
/// # Errors
/// The container does not run, or something is refused.
pub(in crate::cli) fn in_foreground(
    store: &Store,
    record: &Record,
    command: Vec<String>,
) -> Result<Exit, LaunchError> {
    let spec = store.spec(&record.id)?;
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(command));
    process.set_terminal(Some(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()));
    let process = enter::like_first(process, record, &spec)?;
    let mut terms = Terms::default();
    let lost = |error: RunError| match error {
        RunError::Launch(error) => error,
        other => LaunchError::refused("enter", other.to_string()),
    };
    let ours = own_terminal(&process, false, &mut terms).map_err(lost)?;
    let signals = Signals::hold()?;
    let entered = enter::enter(store, &record.id, &process, terms)?;
    wait(&entered, ours, &signals).inspect_err(|_| entered.end()).map_err(lost)
}

fn from_file(path: &std::path::Path) -> Result<Process, RunError> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(4 << 20).read_to_string(&mut text))
        .map_err(|error| super::unreadable(path, &error))?;
    let (process, left_out) = config_json::process(&text)
        .map_err(|source| LaunchError::Json { path: path.display().to_string(), source })?;
    left_out.iter().for_each(|one| warn(one));
    Ok(process)
}

impl Args {
    /// The cgroup below the container's.
    fn cgroup(&self) -> Result<Option<PathBuf>, RunError> {
        let refused = |why: &str| LaunchError::refused(format!("--cgroup {}", self.cgroup.join(" ")), why);
        match self.cgroup.as_slice() {
            [] => Ok(None),
            [one] if one.contains(':') => {
                Err(refused("a process enters every controller at one path; leave the controllers out")
                    .into())
            }
            [one] => {
                Ok(Some(PathBuf::from(one.trim_matches('/'))).filter(|path| !path.as_os_str().is_empty()))
            }
            _ => Err(refused("a process enters one cgroup").into()),
        }
    }

    /// The container's own process with what the options change.
    fn over(&self, spec: &Spec) -> Result<Process, RunError> {
        let refused = |what: String, why: &str| LaunchError::Refused { what, why: why.to_owned() };
        let mut process = spec.process().clone().unwrap_or_default();
        process.set_args(Some(self.command.clone()));
        process.set_terminal(Some(self.tty));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        let mut env = process.env().clone().unwrap_or_default();
        for one in &self.env {
            let key = one.split_once('=').map_or(one.as_str(), |(key, _)| key);
            env.retain(|held| held.split_once('=').is_none_or(|(held, _)| held != key));
            env.push(one.clone());
        }
        process.set_env(Some(env));
        if let Some(user) = &self.user {
            let (uid, gid) = user.split_once(':').unwrap_or((user, ""));
            let number = |text: &str| {
                text.parse::<u32>().map_err(|_name| {
                    refused(
                        format!("--user {user}"),
                        "it has to be numbers: the container's names are its own",
                    )
                })
            };
            let gid = if gid.is_empty() { process.user().gid() } else { number(gid)? };
            let new = UserBuilder::default().uid(number(uid)?).gid(gid);
            let new = new.umask(process.user().umask().unwrap_or(0o022)).build();
            process.set_user(new.map_err(|error| refused(format!("--user {user}"), &error.to_string()))?);
        }
        if !self.additional_gids.is_empty() {
            let mut user = process.user().clone();
            user.set_additional_gids(Some(self.additional_gids.clone()));
            process.set_user(user);
        }
        if !self.cap.is_empty() {
            let mut all = process.capabilities().clone().unwrap_or_else(capability::none);
            for name in &self.cap {
                add(
                    &mut all,
                    capability(name)
                        .ok_or_else(|| refused(format!("--cap {name}"), "there is no such capability"))?,
                );
            }
            process.set_capabilities(Some(all));
        }
        if let Some(profile) = &self.apparmor {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        Ok(process)
    }
}

fn capability(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
    CAPABILITIES.iter().find(|(known, _)| *known == name).map(|(_, one)| *one)
}

fn add(all: &mut LinuxCapabilities, one: Capability) {
    let with = |set: &Option<HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(one);
        Some(set)
    };
    all.set_bounding(with(all.bounding()));
    all.set_effective(with(all.effective()));
    all.set_permitted(with(all.permitted()));
}
