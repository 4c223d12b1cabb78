//! `start`: containerd wants a shim for a bundle, the working directory, and its address.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{getppid, set_child_subreaper, setsid};

use crate::annotations::Config;
use crate::args::Args;
use crate::error::{Doing, Error};
use crate::serve::{Serving, serve};
use crate::{address, sys};

/// More than containerd sends, in bytes.
const LONGEST: u64 = 4 << 20;

/// Version of the Task API that is announced. Version 3 is the same under another name, but containerd 2.0 to 2.2
/// then calls `delete` for a pod only and not for each of its containers, which outlive a shim that was killed.
const ANNOUNCED: i32 = 2;

/// Starts a shim, or finds the one of the group.
///
/// # Errors
/// There is no configuration, no socket or no process to be had.
pub(crate) fn start(args: &Args) -> Result<(), Error> {
    let bundle = match &args.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().doing(|| "the bundle".into())?,
    };
    let config = Config::of(&bundle)?;
    let params = bootstrap(&args.id)?;
    let dir = params.as_ref().and_then(|params| params.socket_dir.clone()).filter(|dir| !dir.is_empty());
    let dir = dir.map_or_else(|| PathBuf::from(address::DIR), PathBuf::from);
    let group = config.group().unwrap_or(&args.id);
    let socket = address::socket(&dir, &args.address, &args.namespace, group);
    let Some(listener) = address::listen(&socket)? else { return answer(&bundle, &socket, params.is_some()) };
    let events = params.as_ref().map(|params| params.containerd_ttrpc_address.clone());
    let events = events.filter(|address| !address.is_empty()).or_else(|| std::env::var("TTRPC_ADDRESS").ok());
    // The shim is ended after the daemon and before its containers when memory runs out.
    let score = score(getppid().map_or(1, |pid| pid.as_raw_nonzero().get()));
    match sys::fork().doing(|| "a process for the shim".into())? {
        Some(_) => answer(&bundle, &socket, params.is_some()),
        None => {
            let closed = sys::close_others(&listener).doing(|| "cannot leave the daemon".into());
            let serving = Serving {
                listener,
                socket: &socket,
                namespace: &args.namespace,
                events: events.as_deref().unwrap_or_default(),
            };
            let ended = closed.and_then(|()| detach(&bundle, score)).and_then(|()| serve(serving));
            if let Err(error) = &ended {
                sys::log(&error.to_string());
            }
            sys::leave(ended.is_err().into())
        }
    }
}

/// Says where the shim listens. What is written to standard error is part of the answer for containerd, so nothing
/// is. containerd 1.6 and 1.7 read the file when they are started again.
fn answer(bundle: &Path, socket: &Path, bootstrap: bool) -> Result<(), Error> {
    let address = address::url(socket);
    let file = bundle.join("address");
    let aside = bundle.join(".address");
    std::fs::write(&aside, &address).at("cannot write", &aside)?;
    std::fs::rename(&aside, &file).at("cannot write", &file)?;
    let bytes = if bootstrap {
        let result = BootstrapResult {
            version: ANNOUNCED,
            address,
            protocol: "ttrpc".into(),
            ..BootstrapResult::default()
        };
        result.write_to_bytes().map_err(|source| Error::Message { what: "the answer", source })?
    } else {
        address.into_bytes()
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).doing(|| "cannot answer".into())
}

/// What containerd 2.3 and newer send. Older ones send options, which are a message too that can be read as these;
/// only one that names this container is meant.
fn bootstrap(id: &str) -> Result<Option<BootstrapParams>, Error> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .doing(|| "cannot read what containerd sends".into())?;
    let params = BootstrapParams::parse_from_bytes(&bytes).ok();
    Ok(params.filter(|params| params.instance_id == id))
}

fn score(daemon: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{daemon}/oom_score_adj")).ok()?;
    let score: i32 = text.trim().parse().ok()?;
    Some((score + 1).min(1000))
}

/// Leaves whatever ties this process to the daemon.
fn detach(bundle: &Path, score: Option<i32>) -> Result<(), Error> {
    let what = || "cannot leave the daemon".to_owned();
    setsid().doing(what)?;
    set_child_subreaper(Some(rustix::process::getpid())).doing(what)?;
    std::env::set_current_dir("/").doing(what)?;
    let null =
        open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).doing(what)?;
    // containerd reads this fifo and puts it into its own log. Held for reading too, it does not break when
    // containerd goes away; what does not fit then is lost.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let log = open(bundle.join("log"), flags, Mode::empty()).ok();
    rustix::stdio::dup2_stdin(&null).doing(what)?;
    rustix::stdio::dup2_stdout(&null).doing(what)?;
    rustix::stdio::dup2_stderr(log.as_ref().unwrap_or(&null)).doing(what)?;
    if let Some(score) = score
        && let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string())
    {
        // Without the right to lower it again the daemon's own stays.
        sys::log(&format!("oom_score_adj {score}: {error}"));
    }
    Ok(())
}
