//! Files of one launch: what Execfd commands print and what descriptors hold.

use std::io::Read;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::layout::{Content, Layout, MountKind};
use crate::command::Shell;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::merge::Merged;

/// Bytes that a descriptor of mode Internal may hold.
pub const DESCRIPTOR_BYTES: u64 = 1 << 20;

/// A file that exists for one launch and is bound read-only into its container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolatileFile {
    /// Where the container sees it.
    pub destination: String,
    /// Position of its export in [`Merged::exports`].
    pub export: usize,
    /// Its contents; `None` while the command that gives them has not run.
    pub content: Option<Vec<u8>>,
}

/// Gathers the files of a layout, in the order of its mounts. Without a shell nothing is run or
/// read and they have no contents. Mistakes go to `report`.
pub fn gather(
    merged: &Merged,
    layout: &Layout,
    shell: &mut Option<&mut dyn Shell>,
    report: &mut Report,
) -> Vec<VolatileFile> {
    let mut files = Vec::new();
    for mount in &layout.mounts {
        let MountKind::File(content) = &mount.kind else { continue };
        let result = match (content, shell.as_mut()) {
            (_, None) => Ok(None),
            (Content::Command(command), Some(shell)) => {
                shell.output(command).map(Some).map_err(|reason| format!("`{command}` {reason}"))
            }
            (Content::Descriptor(number), Some(_)) => {
                descriptor(*number).map(Some).map_err(|reason| format!("descriptor {number} {reason}"))
            }
        };
        let content = result.unwrap_or_else(|reason| {
            let mut diagnostic =
                Diagnostic::error(Code::Command, format!("contents of {}: {reason}", mount.destination));
            if let Some(export) = merged.exports.get(mount.export) {
                diagnostic = diagnostic.at(export.origin.at);
            }
            report.push(diagnostic);
            None
        });
        files.push(VolatileFile { destination: mount.destination.clone(), export: mount.export, content });
    }
    files
}

/// Reads what a descriptor that was handed to this process holds.
fn descriptor(number: u32) -> Result<Vec<u8>, String> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))
        .map_err(|_missing| "is not open".to_owned())?;
    // What this process opened itself closes on exec; what it was given does not.
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
    if flags & libc::O_CLOEXEC != 0 {
        return Err("is not open".to_owned());
    }
    let mut file = std::fs::File::open(Path::new("/proc/self/fd").join(number.to_string()))
        .map_err(|error| format!("cannot be read: {error}"))?;
    let mut content = Vec::new();
    let mut buffer = [0_u8; 16 << 10];
    loop {
        // A pipe whose writer never ends would keep the launch waiting for ever.
        let timeout = Timespec { tv_sec: 2, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err("gives nothing for 2 s".to_owned()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(format!("cannot be read: {errno}")),
        }
        match file.read(&mut buffer).map_err(|error| format!("cannot be read: {error}"))? {
            0 => return Ok(content),
            count => content.extend_from_slice(&buffer[..count]),
        }
        if content.len() as u64 > DESCRIPTOR_BYTES {
            return Err(format!("holds more than {DESCRIPTOR_BYTES} bytes"));
        }
    }
}
