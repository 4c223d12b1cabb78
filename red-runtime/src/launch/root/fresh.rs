//! New file systems.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, stat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, open_tree, unmount,
};

use crate::launch::error::{Doing, LaunchError, tried};
use crate::sys::mount_attr::{self, MountAttr, flag};

/// Bytes of a string that fsconfig(2) takes, without its NUL (fs/fsopen.c).
const LONGEST: usize = 255;

/// Bytes of all options that mount(2) takes, without their NUL.
const MOST: usize = 4095;

/// Directories of the host that a file system can be mounted on for a moment, in the mount namespace of the
/// container.
const SCRATCH: [&str; 4] = ["/sys", "/dev", "/tmp", "/proc"];

/// A new file system, mounted nowhere yet. What is on a device that is to be read only stays as it is: a mere
/// flag of the mount would let the file system itself write to it (journal, counters), and a device that
/// cannot be written to would be refused (mount(8), "-r").
///
/// # Errors
/// The kernel refuses an option, or the file system.
pub(in crate::launch) fn fresh(
    fstype: &str,
    source: &str,
    options: &[String],
    flags: u64,
) -> Result<OwnedFd, LaunchError> {
    if flags & flag::RDONLY == 0 || !is_block_device(source) {
        return made((fstype, source), options, flags, false);
    }
    match made((fstype, source), options, flags, true) {
        // It is mounted to be written to already: then it is this mount alone that is not.
        Err(LaunchError::Call { errno: Errno::BUSY, .. }) => made((fstype, source), options, flags, false),
        made => made,
    }
}

/// Whether a source is a device with blocks.
pub(super) fn is_block_device(source: &str) -> bool {
    source.starts_with('/')
        && stat(source).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice)
}

fn made(
    (fstype, source): (&str, &str),
    options: &[String],
    flags: u64,
    read_only: bool,
) -> Result<OwnedFd, LaunchError> {
    let what = || format!("file system {fstype}");
    let source = if source.is_empty() { fstype } else { source };
    if std::iter::once(source).chain(options.iter().flat_map(|option| option.splitn(2, '='))).any(is_long) {
        return by_mount((fstype, source), options, flags, read_only);
    }
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).doing(what)?;
    fsconfig_set_string(&context, "source", source).doing(what)?;
    for option in options {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, option.as_str()),
        }
        .doing(|| format!("option `{option}` of a {fstype}"))?;
    }
    if read_only {
        fsconfig_set_flag(&context, "ro").doing(what)?;
    }
    fsconfig_create(&context).doing(what)?;
    let flags = MountAttrFlags::from_bits_retain(u32::try_from(flags).unwrap_or(0));
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing(what)
}

fn is_long(text: &str) -> bool {
    text.len() > LONGEST
}

/// The same by mount(2), which takes longer strings: layers of an overlay have long names.
fn by_mount(
    (fstype, source): (&str, &str),
    options: &[String],
    flags: u64,
    read_only: bool,
) -> Result<OwnedFd, LaunchError> {
    let own = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let what = || format!("file system {fstype}");
    let data = joined(fstype, options)?;
    let mut result = Err(Errno::NOENT);
    for place in SCRATCH {
        result = mount(source, place, fstype, own, data.as_c_str()).and_then(|()| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, place, flags);
            tried(unmount(place, UnmountFlags::DETACH));
            tree
        });
        if !matches!(result, Err(Errno::NOTDIR)) {
            break;
        }
    }
    let tree = result.doing(what)?;
    mount_attr::set(&tree, false, MountAttr { set: flags, ..MountAttr::default() }).doing(what)?;
    Ok(tree)
}

/// Options as mount(2) takes them. There a comma separates them; overlayfs takes a backslash before one that
/// does not (overlayfs.rst).
fn joined(fstype: &str, options: &[String]) -> Result<CString, LaunchError> {
    let what = || format!("options of a {fstype}");
    let mut all = String::new();
    for option in options {
        if !all.is_empty() {
            all.push(',');
        }
        let mut escaped = false;
        for letter in option.chars() {
            if letter == ',' && !escaped {
                if fstype != "overlay" {
                    return Err(LaunchError::refused(
                        what(),
                        format!("`{option}` is long and has a comma in it"),
                    ));
                }
                all.push('\\');
            }
            escaped = letter == '\\' && !escaped;
            all.push(letter);
        }
    }
    if all.len() > MOST {
        let why = format!("{} bytes are more than mount(2) takes ({MOST}); use shorter paths", all.len());
        return Err(LaunchError::refused(what(), why));
    }
    CString::new(all).map_err(|_nul| LaunchError::refused(what(), "contains a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fstype: &str, options: &[&str]) -> Result<String, String> {
        let options: Vec<String> = options.iter().map(|&one| one.to_owned()).collect();
        let joined = joined(fstype, &options).map_err(|error| error.to_string())?;
        joined.into_string().map_err(|error| error.to_string())
    }

    #[test]
    fn a_comma_in_an_option_does_not_end_it() {
        assert_eq!(
            read("overlay", &["lowerdir=/a,b:/c", "xino=off"]).unwrap(),
            "lowerdir=/a\\,b:/c,xino=off"
        );
        assert_eq!(read("overlay", &["lowerdir=/a\\,b"]).unwrap(), "lowerdir=/a\\,b");
        assert_eq!(read("overlay", &["lowerdir=/a\\\\,b"]).unwrap(), "lowerdir=/a\\\\\\,b");
        assert!(read("tmpfs", &["mpol=bind:0,1"]).unwrap_err().contains("comma"));
        assert!(read("overlay", &["x".repeat(MOST + 1).as_str()]).unwrap_err().contains("4096 bytes"));
    }
}
