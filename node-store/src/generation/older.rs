//! What of the node's `var` a transaction saw, and what came there later, by times.

use std::ffi::{CStr, CString};

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use super::tree::{Shown, join};
use super::{At, StoreError};

/// When something changed last, in seconds and nanoseconds.
pub(super) type Moment = (i64, u64);

/// Whether something changed after a moment.
pub(super) fn is_newer(stat: &Stat, moment: Moment) -> bool {
    (stat.st_ctime, stat.st_ctime_nsec) >= moment
}

/// A directory of the node's as it was before anything of a generation came into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    /// When the transaction began, by the clock of its file system.
    pub(super) moment: Moment,
    /// Whether it has got or lost names since.
    pub(super) changed: bool,
}

impl Here {
    /// A directory that was looked at. Whoever owns it can set the time of its last change back, not that of its inode.
    pub(super) fn of(stat: &Stat, moment: Moment) -> Self {
        Self { moment, changed: (stat.st_mtime, stat.st_mtime_nsec) >= moment || is_newer(stat, moment) }
    }

    /// Whether a directory in it may have been moved there meanwhile, with all that is in it, which is as old as it was
    /// (rename(2) changes the times of both directories, and those of what is moved, and nothing below that).
    pub(super) fn may_have_come(self, stat: &Stat) -> bool {
        self.changed && is_newer(stat, self.moment)
    }
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A name beside another that nothing has: `NAME.rpmnew`, `NAME.rpmnew.1` and so on.
pub(super) fn free_name(dir: Shown<'_>, name: &CStr, suffix: &str) -> Result<CString, StoreError> {
    let mut count = 0_u32;
    loop {
        let more = if count == 0 { String::new() } else { format!(".{count}") };
        let beside = [name.to_bytes(), format!(".{suffix}{more}").as_bytes()].concat();
        let beside = CString::new(beside).map_err(|_nul| Errno::INVAL).at(join(dir.1, name))?;
        match statat(dir.0, &beside, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => count += 1,
            Err(Errno::NOENT) => return Ok(beside),
            Err(errno) => return Err(errno).at(join(dir.1, &beside)),
        }
    }
}
