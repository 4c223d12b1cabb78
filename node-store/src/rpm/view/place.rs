//! Whether a place can have nodes, before anything is written there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::super::call;
use super::bench::is_written;
use super::host::{Host, Machine};
use super::{Composition, Lower, ViewError, Wanted, composition, machine, real};
use crate::generation::At;

/// File systems without symbolic links, which nodes are made of.
const NO_LINKS: [&str; 4] = ["vfat", "msdos", "exfat", "hfs"];

/// What is known of a place.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Where its file system is mounted.
    pub(crate) mount: PathBuf,
    /// Type of the file system.
    pub(crate) fstype: String,
    /// Whether packages are staged in memory and copied.
    pub(crate) in_memory: bool,
    /// Mount points that are not part of the view, and their file systems.
    pub(crate) left_out: BTreeMap<PathBuf, String>,
    /// Mount points and nodes that directories of the view are split at.
    pub(crate) split_at: Vec<PathBuf>,
    /// Whether only the kernel can tell that a view can be mounted.
    pub(crate) unusual: bool,
}

/// Looks at a place for a node whose layers are `lowers`, as the caller would mount them.
pub(crate) fn check(node: &Path, lowers: &[Lower]) -> Result<Findings, ViewError> {
    let locked = !rustix::process::geteuid().is_root() || super::in_user_namespace();
    let machine = machine(lowers, locked);
    let composition = composition(lowers, &Wanted::default(), &machine)?;
    findings(node, &composition, &machine)
}

/// The same for a directory where nodes may come to be.
pub(crate) fn look_at(pool: &Path) -> Result<Findings, ViewError> {
    let root = |root: &Path, variable| Lower {
        owner: String::new(),
        root: root.to_path_buf(),
        variable,
        database: None,
    };
    let node = real(pool).join("node");
    let lowers = [root(&node, Some(node.join("var"))), root(Path::new("/"), None)];
    let mut found = check(&node, &lowers)?;
    probe(&lowers)?;
    found.split_at.retain(|point| *point != node);
    Ok(found)
}

fn findings(node: &Path, composition: &Composition, machine: &Machine) -> Result<Findings, ViewError> {
    let node = real(node);
    let there = node.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let (mount, fstype) = (machine.mount_point(there), machine.fstype(there));
    if rustix::fs::statvfs(there).at(there)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(ViewError::ReadOnly { node, mount });
    }
    if NO_LINKS.contains(&fstype.as_str()) {
        return Err(ViewError::FileSystem { node, mount, fstype, lacks: "symbolic links" });
    }
    if machine.unsuited(there).is_some() {
        return Err(ViewError::FileSystem { node, mount, fstype, lacks: "room for files" });
    }
    let layers = composition.overlays().flat_map(|(_, lowers)| lowers);
    let unusual = layers.map(|lower| machine.fstype(lower)).any(|fstype| !is_written(&fstype));
    Ok(Findings {
        in_memory: !is_written(&fstype),
        unusual: unusual || !is_written(&fstype),
        mount,
        fstype,
        left_out: composition.left_out.clone(),
        split_at: composition.split_at.iter().cloned().collect(),
    })
}

/// Mounts the view of a family where nothing of it is kept, and tells why it cannot be had.
pub(crate) fn probe(lowers: &[Lower]) -> Result<(), ViewError> {
    let scratch = tempfile::Builder::new().prefix("red-dnf-").tempdir().at(std::env::temp_dir())?;
    let upper = scratch.path().join("stage/upper");
    std::fs::create_dir_all(&upper).at(&upper)?;
    let work = scratch.path().join("stage/work");
    let job = super::Job { upper: upper.clone(), work, lowers: lowers.to_vec(), ..super::Job::default() };
    let text = serde_json::to_string(&job).unwrap_or_default();
    let mut child = std::process::Command::new("/proc/self/exe");
    child.arg(call::ENTER).env(call::JOB, text).env(call::LOOK, "[]").env(super::bench::BENCH, upper);
    let said = child.stdin(std::process::Stdio::null()).output().at("/proc/self/exe")?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    let text = text.strip_prefix(call::NO_VIEW).unwrap_or(&text).to_owned();
    Err(ViewError::Probe(if text.is_empty() { said.status.to_string() } else { text }))
}
