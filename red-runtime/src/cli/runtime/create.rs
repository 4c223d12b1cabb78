//! `red-runtime create`

use std::path::PathBuf;

use super::super::bundle::Loaded;
use super::super::watch::Watch;
use super::{Exit, Global, Output, RunError};
use crate::launch::console::connect_to;
use crate::launch::create::{self, Request, Terms};
use crate::launch::error::LaunchError;
use crate::launch::record::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) making: Making,
    /// Name of the container
    pub(super) id: String,
}

/// Options of whatever makes a container.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Making {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Configuration in place of the bundle's config.json
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Socket that the outer side of the terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File that the number of the first process is written to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Socket that a descriptor of the first process is sent to
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// So many descriptors after the standard streams are passed on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Change the root without pivot_root, for a root on a ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Keep the launcher's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Accepted for runc compatibility; ignored
    #[arg(long)]
    pub(super) no_subreaper: bool,
}

impl Making {
    /// Reads the bundle.
    pub(super) fn read(&self, global: &Global, store: &Store) -> Result<Loaded, RunError> {
        let _watch = Watch::begin(|error| {
            let error = LaunchError::refused(format!("bundle {}", self.bundle.display()), error.to_string());
            super::log::error(global, &error.into(), &mut Output::standard(anstream::ColorChoice::Auto));
        });
        Loaded::read((&self.bundle, self.config.as_deref()), self.pid_file.as_deref(), store)
    }

    /// Terms of a creation.
    pub(super) fn terms(&self, global: &Global) -> Result<Terms, RunError> {
        Ok(Terms {
            systemd: global.systemd(),
            no_cgroups: global.cgroup_manager == Some(super::CgroupManager::Disabled),
            engine: true,
            console: self.console_socket.as_deref().map(connect_to).transpose()?,
            pid_file: self.pid_file.clone(),
            pidfd_socket: self.pidfd_socket.as_deref().map(connect_to).transpose()?,
            preserve: self.preserve_fds,
            no_pivot: self.no_pivot || global.no_pivot,
            no_new_keyring: self.no_new_keyring,
            ..Terms::default()
        })
    }
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Exit, RunError> {
    let store = global.store();
    let loaded = args.making.read(global, &store)?;
    create::create(&store, request(global, args, &loaded)?)?;
    Ok(Exit::Success)
}

/// What is to be made from a bundle.
pub(super) fn request<'a>(
    global: &Global,
    args: &'a Args,
    loaded: &'a Loaded,
) -> Result<Request<'a>, RunError> {
    let mut terms = args.making.terms(global)?;
    terms.smack.clone_from(&loaded.smack);
    Ok(Request {
        id: &args.id,
        bundle: &loaded.bundle,
        spec: &loaded.spec,
        root: &loaded.root,
        node: loaded.node.clone(),
        resources: loaded.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()),
        cgroup: None,
        chain: Vec::new(),
        terms,
    })
}
