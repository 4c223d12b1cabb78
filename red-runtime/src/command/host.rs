//! What a command's box takes from the host: whom it runs as there, and where programs are.

use std::ffi::CString;

use rustix::io::Errno;

use crate::sys::confined::{NOBODY, Outside, Top};

/// Directories of the host's top directory that hold programs and libraries, besides `/usr`.
const TOPS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Those directories as the host has them: links into `/usr`, or directories of their own.
pub(super) fn tops() -> Vec<Top> {
    let top = |name: &&str| {
        let path = CString::new(format!("/{name}")).ok()?;
        let name = CString::new(*name).ok()?;
        match rustix::fs::readlink(&path, Vec::new()) {
            Ok(target) => Some(Top::Link(name, target)),
            Err(Errno::INVAL) => Some(Top::Directory(path, name)),
            Err(_) => None,
        }
    };
    TOPS.iter().filter_map(top).collect()
}

/// Whom a command is to the machine.
///
/// # Errors
/// Nothing but the machine's root is left to be.
pub(super) fn nobody() -> Result<Outside, &'static str> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if uid != 0 {
        // The kernel maps nobody else for an ordinary user (user_namespaces(7)).
        return Ok(Outside { uid, gid, drops_groups: false });
    }
    let text = |name: &str| std::fs::read(format!("/proc/self/{name}")).unwrap_or_default();
    let ids = |name: &str| unprivileged(&String::from_utf8_lossy(&text(name)));
    let refused = "no user or group but root's is mapped in this user namespace";
    let (uid, gid) = (ids("uid_map").ok_or(refused)?, ids("gid_map").ok_or(refused)?);
    Ok(Outside { uid, gid, drops_groups: text("setgroups") == b"allow\n" })
}

/// The id that [`NOBODY`] of a box is for root of a user namespace with this map: itself where it is
/// mapped, else the last one that is. An id 0 alone is as good when it is an ordinary user's outside.
fn unprivileged(map: &str) -> Option<u32> {
    let ranges: Vec<[u32; 3]> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            Some([fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?])
        })
        .filter(|[_, _, count]| *count > 0)
        .collect();
    let last = |[inside, _, count]: &[u32; 3]| inside.saturating_add(count - 1);
    if ranges.iter().any(|range| range[0] <= NOBODY && NOBODY <= last(range)) {
        return Some(NOBODY);
    }
    match ranges.iter().map(last).max()? {
        0 => ranges.iter().find(|[inside, outside, _]| *inside == 0 && *outside != 0).map(|_| 0),
        id => Some(id),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn nobody_is_never_the_machines_root() {
        let whole = "         0          0 4294967295\n";
        for (map, wanted) in [
            (whole, Some(NOBODY)),
            ("0 100000 65536\n", Some(NOBODY)),
            ("0 1000 1\n1 100000 65536\n", Some(NOBODY)),
            ("0 0 1000\n", Some(999)),
            ("0 1000 1\n", Some(0)),
            ("0 0 1\n", None),
            ("", None),
            ("0 0 0\n", None),
            ("x y z\n", None),
        ] {
            assert_eq!(unprivileged(map), wanted, "{map}");
        }
    }

    #[test]
    fn directories_are_those_of_the_host() {
        for top in tops() {
            match top {
                Top::Link(name, target) => {
                    let path = std::path::Path::new("/").join(name.to_str().unwrap());
                    assert_eq!(
                        std::fs::read_link(path).unwrap().into_os_string().into_vec(),
                        target.into_bytes()
                    );
                }
                Top::Directory(path, _) => {
                    assert!(std::fs::metadata(path.to_str().unwrap()).unwrap().is_dir())
                }
            }
        }
    }
}
