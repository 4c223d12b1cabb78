//! `start`: starts a shim for a bundle, and prints its address.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{getppid, set_child_subreaper, setsid};

use crate::annotations::Config;
use crate::args::Args;
use crate::error::{Context, Error, encode};
use crate::files::replace;
use crate::serve::{ServerConfig, serve};
use crate::{address, sys};

/// Maximum size of the bootstrap parameters in bytes.
const MAX_PARAMS_BYTES: u64 = 4 << 20;

/// Announced version of the Task API. Version 3 has the same methods, but after a killed shim containerd 2.0 to 2.2
/// then calls `delete` for the pod only and not for each of its containers, which would stay.
const TASK_API_VERSION: i32 = 2;

/// Starts a shim, or reuses the group's running one.
///
/// # Errors
/// `config.json` or the bootstrap parameters cannot be read, the socket cannot be bound, or fork(2) fails.
pub(crate) fn start(args: &Args) -> Result<(), Error> {
    let bundle = match &args.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().context(|| "cannot get the working directory".into())?,
    };
    let config = Config::load(&bundle)?;
    let params = read_bootstrap_params(&args.id)?;
    let dir = params.as_ref().and_then(|params| params.socket_dir.clone()).filter(|dir| !dir.is_empty());
    let dir = dir.map_or_else(|| PathBuf::from(address::SOCKET_DIR), PathBuf::from);
    let group = config.group().unwrap_or(&args.id);
    let socket = address::socket_path(&dir, &args.address, &args.namespace, group);
    let Some(listener) = address::listen(&socket)? else {
        return print_address(&bundle, &socket, params.is_some());
    };
    let ttrpc_address = params.as_ref().map(|params| params.containerd_ttrpc_address.clone());
    let ttrpc_address =
        ttrpc_address.filter(|address| !address.is_empty()).or_else(|| std::env::var("TTRPC_ADDRESS").ok());
    // Under memory pressure the OOM killer prefers the shim to the daemon, but its containers to the shim.
    let score = shim_oom_score(getppid().map_or(1, |pid| pid.as_raw_nonzero().get()));
    match sys::fork().context(|| "cannot fork".into())? {
        Some(_) => print_address(&bundle, &socket, params.is_some()),
        None => {
            let closed =
                sys::close_fds_except(&listener).context(|| "cannot close inherited file descriptors".into());
            let server = ServerConfig {
                listener,
                socket: &socket,
                namespace: &args.namespace,
                ttrpc_address: ttrpc_address.as_deref().unwrap_or_default(),
            };
            let result = closed.and_then(|()| daemonize(&bundle, score)).and_then(|()| serve(server));
            if let Err(error) = &result {
                sys::log(&error.to_string());
            }
            sys::exit_immediately(result.is_err().into())
        }
    }
}

/// Prints the shim's address, and writes it to the bundle's `address` file, which containerd 1.6 and 1.7 read after
/// a restart. containerd reads stderr as part of the response, so nothing is logged here.
fn print_address(bundle: &Path, socket: &Path, bootstrap: bool) -> Result<(), Error> {
    let address = address::format(socket);
    replace(&bundle.join("address"), address.as_bytes())?;
    let bytes = if bootstrap {
        let result = BootstrapResult {
            version: TASK_API_VERSION,
            address,
            protocol: "ttrpc".into(),
            ..BootstrapResult::default()
        };
        encode(&result, "BootstrapResult")?
    } else {
        address.into_bytes()
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).context(|| "cannot write to stdout".into())
}

/// Reads the `BootstrapParams` of containerd 2.3 and newer from stdin. Older versions send runtime options, which may
/// decode as such too, so the instance ID has to match.
fn read_bootstrap_params(id: &str) -> Result<Option<BootstrapParams>, Error> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_PARAMS_BYTES)
        .read_to_end(&mut bytes)
        .context(|| "cannot read bootstrap parameters from stdin".into())?;
    Ok(parse_bootstrap_params(&bytes, id))
}

/// Bootstrap parameters for an instance ID; `None` if the bytes are something else.
#[must_use]
pub(crate) fn parse_bootstrap_params(bytes: &[u8], id: &str) -> Option<BootstrapParams> {
    BootstrapParams::parse_from_bytes(bytes).ok().filter(|params| params.instance_id == id)
}

/// OOM score adjustment of the shim: one above the daemon's.
fn shim_oom_score(daemon_pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{daemon_pid}/oom_score_adj")).ok()?;
    let score: i32 = text.trim().parse().ok()?;
    Some((score + 1).min(1000))
}

/// Detaches from the daemon: new session, subreaper, working directory, stdio and OOM score.
fn daemonize(bundle: &Path, score: Option<i32>) -> Result<(), Error> {
    let context = || "cannot daemonize".to_owned();
    setsid().context(context)?;
    set_child_subreaper(Some(rustix::process::getpid())).context(context)?;
    std::env::set_current_dir("/").context(context)?;
    let null =
        open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).context(context)?;
    // containerd copies this FIFO into its own log. Opened read-write it never raises SIGPIPE when containerd
    // exits; messages that do not fit are lost.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let log = open(bundle.join("log"), flags, Mode::empty()).ok();
    rustix::stdio::dup2_stdin(&null).context(context)?;
    rustix::stdio::dup2_stdout(&null).context(context)?;
    rustix::stdio::dup2_stderr(log.as_ref().unwrap_or(&null)).context(context)?;
    if let Some(score) = score
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string())
    {
        // Without CAP_SYS_RESOURCE the inherited score stays.
        sys::log(&format!("cannot set oom_score_adj to {score}: {error}"));
    }
    Ok(())
}
