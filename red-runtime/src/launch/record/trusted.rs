//! State that is believed: opened by descriptor, and checked through it before anything of it is used.
//! It decides what is killed, entered and removed.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// Bytes of the largest record or configuration that is read back.
pub(super) const LARGEST: u64 = 16 << 20;

/// Why state is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untrusted {
    /// The kernel refused.
    #[error("{}", crate::node::place::plain(*.0))]
    Call(Errno),
    /// Somebody else has a hand in it.
    #[error(
        "insecure state: it is owned by uid {uid} with mode {mode:o}, and others could write to it; it must \
         be owned by the caller and writable by nobody else"
    )]
    Insecure {
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// It is no regular file.
    #[error("not a regular file")]
    NotAFile,
    /// It is larger than any real one.
    #[error("{0} bytes, more than {LARGEST}")]
    TooLarge(u64),
    /// It is no text.
    #[error("not UTF-8")]
    NotText,
}

/// Whether somebody but the caller and root could have made it, or could change it.
fn secure(stat: &Stat) -> Result<(), Untrusted> {
    let own = stat.st_uid == rustix::process::geteuid().as_raw() || stat.st_uid == 0;
    let mode = stat.st_mode & 0o7777;
    if own && mode & 0o022 == 0 { Ok(()) } else { Err(Untrusted::Insecure { uid: stat.st_uid, mode }) }
}

/// Opens a directory, which is not a symbolic link, and checks it.
pub(super) fn directory(at: impl AsFd, name: &std::path::Path) -> Result<OwnedFd, Untrusted> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(at, name, flags, Mode::empty()).map_err(Untrusted::Call)?;
    secure(&fstat(&directory).map_err(Untrusted::Call)?)?;
    Ok(directory)
}

/// Opens a regular file, and checks it. Opening does not wait for the other end of a FIFO.
pub(super) fn file(at: impl AsFd, name: &str, flags: OFlags) -> Result<OwnedFd, Untrusted> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(at, name, flags, Mode::from_raw_mode(0o600)).map_err(Untrusted::Call)?;
    let stat = fstat(&file).map_err(Untrusted::Call)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Untrusted::NotAFile);
    }
    secure(&stat)?;
    Ok(file)
}

/// Reads a text file.
pub(super) fn text(at: impl AsFd, name: &str) -> Result<String, Untrusted> {
    let io = |error: std::io::Error| Untrusted::Call(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let file = File::from(file(at, name, OFlags::RDONLY)?);
    let size = file.metadata().map_err(io)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(LARGEST)).unwrap_or(0) + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Untrusted::TooLarge(size.max(LARGEST + 1)));
    }
    String::from_utf8(bytes).map_err(|_bytes| Untrusted::NotText)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn only_own_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "text").unwrap();
        fs::set_permissions(at("plain"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(at("open"), "text").unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o666)).unwrap();
        symlink(at("plain"), at("link")).unwrap();
        rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        fs::File::create(at("huge")).unwrap().set_len(LARGEST + 1).unwrap();
        fs::write(at("binary"), [0xff]).unwrap();
        let held = directory(CWD, dir.path()).unwrap();
        assert_eq!(text(&held, "plain").unwrap(), "text");
        assert!(matches!(text(&held, "open"), Err(Untrusted::Insecure { mode: 0o666, .. })));
        assert!(matches!(text(&held, "link"), Err(Untrusted::Call(Errno::LOOP))));
        assert!(matches!(text(&held, "fifo"), Err(Untrusted::NotAFile)));
        assert!(matches!(text(&held, "huge"), Err(Untrusted::TooLarge(_))));
        assert!(matches!(text(&held, "binary"), Err(Untrusted::NotText)));
        assert!(matches!(text(&held, "none"), Err(Untrusted::Call(Errno::NOENT))));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(directory(CWD, dir.path()), Err(Untrusted::Insecure { mode: 0o770, .. })));
        symlink(dir.path(), at("up")).unwrap();
        assert!(matches!(directory(CWD, &at("up")), Err(Untrusted::Call(_))));
        assert!(directory(CWD, Path::new("/")).is_ok() || !rustix::process::geteuid().is_root());
    }
}
