//! Clocks of file systems. Data of a node may be on others than its generations, and on one of another machine times are that
//! machine's: when a transaction began is told by the clock of each.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, Timespec, Timestamps, mkdirat, statat, unlinkat};

use super::older::Moment;
use super::tree::{Shown, remove};
use super::variable::ASIDE;
use super::{At, StoreError};

/// What has changed since the beginning of time: everything.
pub(super) const NEVER_SEEN: Moment = (i64::MIN, 0);
const SECOND: i128 = 1_000_000_000;

/// When a transaction began, on each file system.
pub(super) struct Clocks {
    /// A directory of the generation's, whose times may be set.
    dir: OwnedFd,
    device: u64,
    begun: Moment,
    others: BTreeMap<u64, Moment>,
}

impl Clocks {
    /// By the clock of the file system that a directory is on.
    pub(super) fn new(dir: &OwnedFd, begun: Moment) -> rustix::io::Result<Self> {
        let device = rustix::fs::fstat(dir)?.st_dev;
        let dir = rustix::io::fcntl_dupfd_cloexec(dir, 3)?;
        Ok(Self { dir, device, begun, others: BTreeMap::new() })
    }

    /// By the clock of the generation's own.
    pub(super) fn own(&self) -> Moment {
        self.begun
    }

    /// Whether a directory is on another file system than the generation.
    pub(super) fn is_another(&self, there: Shown<'_>) -> Result<bool, StoreError> {
        Ok(rustix::fs::fstat(there.0).at(there.1)?.st_dev != self.device)
    }

    /// By the clock of the one that another directory is on; where that has none to be read, everything there is newer,
    /// and why is told once.
    pub(super) fn moment(&mut self, there: Shown<'_>) -> Result<(Moment, Option<String>), StoreError> {
        if self.begun == NEVER_SEEN || !self.is_another(there)? {
            return Ok((self.begun, None));
        }
        let device = rustix::fs::fstat(there.0).at(there.1)?.st_dev;
        if let Some(known) = self.others.get(&device) {
            return Ok((*known, None));
        }
        let (moment, why) = match self.compare(there) {
            Ok(times) => (on_clock(self.begun, times), None),
            Err(error) => (NEVER_SEEN, Some(format!("{error} (its clock is to be compared)"))),
        };
        self.others.insert(device, moment);
        Ok((moment, why))
    }

    /// The time here, there, and here again.
    fn compare(&self, there: Shown<'_>) -> Result<[Moment; 3], StoreError> {
        let before = self.now(there)?;
        remove(there.0, there.1, ASIDE)?;
        let path = there.1.join(ASIDE);
        mkdirat(there.0, ASIDE, Mode::from_raw_mode(0o700)).at(&path)?;
        let made = statat(there.0, ASIDE, AtFlags::SYMLINK_NOFOLLOW);
        unlinkat(there.0, ASIDE, AtFlags::REMOVEDIR).at(&path)?;
        let made = made.at(&path)?;
        Ok([before, (made.st_ctime, made.st_ctime_nsec), self.now(there)?])
    }

    fn now(&self, shown: Shown<'_>) -> Result<Moment, StoreError> {
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        rustix::fs::futimens(&self.dir, &times).at(shown.1)?;
        let stat = rustix::fs::fstat(&self.dir).at(shown.1)?;
        Ok((stat.st_mtime, stat.st_mtime_nsec))
    }
}

/// When the transaction began whose changes are in a directory. Once the clock of the file system was set back,
/// times say nothing, and all that is there counts as newer.
pub(super) fn begun(generation: &OwnedFd, from: &OwnedFd) -> Moment {
    let Ok(begun) = statat(generation, "var", AtFlags::SYMLINK_NOFOLLOW) else { return NEVER_SEEN };
    let moment = (begun.st_mtime, begun.st_mtime_nsec);
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let touched = rustix::fs::futimens(from, &Timestamps { last_access: now, last_modification: now })
        .and_then(|()| rustix::fs::fstat(from));
    match touched {
        Ok(now) if (now.st_mtime, now.st_mtime_nsec) < moment => NEVER_SEEN,
        _ => moment,
    }
}

/// When a directory was made, by the clock of its file system.
pub(super) fn moment_of(dir: &OwnedFd, shown: &Path) -> Result<Timespec, StoreError> {
    let stat = rustix::fs::fstat(dir).at(shown)?;
    Ok(Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) })
}

/// A moment by another clock, which was looked at between two looks at the own one. Unless it is the same, its times may be
/// of whole seconds, or of two: what changed a little before counts as newer then.
fn on_clock(begun: Moment, [before, there, after]: [Moment; 3]) -> Moment {
    if before <= there && there <= after {
        return begun;
    }
    let whole = |(seconds, rest): Moment| i128::from(seconds) * SECOND + i128::from(rest);
    let moment = whole(begun) + whole(there) - whole(after);
    (i64::try_from(moment.div_euclid(SECOND) - 1).unwrap_or(i64::MIN), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_by_every_clock() {
        let begun = (1000, 500_000_000);
        let (before, after) = ((1010, 100), (1010, 200));
        for (there, wanted) in [
            ((1010, 100), begun),
            ((1010, 150), begun),
            ((1010, 200), begun),
            // Whole seconds of the same clock.
            ((1010, 0), (999, 0)),
            ((1008, 0), (997, 0)),
            // An hour behind, and one before.
            ((1010 - 3600, 150), (999 - 3600, 0)),
            ((1010 + 3600, 200), (999 + 3600, 0)),
        ] {
            let moment = on_clock(begun, [before, there, after]);
            assert_eq!(moment, wanted, "{there:?}");
            // What changed there when the transaction began, or later, is newer.
            let seconds = |(seconds, _): Moment| seconds;
            assert!(seconds(moment) - seconds(there) <= seconds(begun) - seconds(after), "{there:?}");
        }
        assert_eq!(on_clock((i64::MIN, 0), [before, (0, 0), after]), (i64::MIN, 0));
    }

    #[test]
    fn clocks_of_file_systems_of_one_machine_are_one() {
        let here = tempfile::tempdir_in("/dev/shm").unwrap();
        let there = tempfile::tempdir().unwrap();
        let open = |path| rustix::fs::open(path, super::super::DIRECTORY, Mode::empty()).unwrap();
        let (fd, other) = (open(here.path()), open(there.path()));
        let mut clocks = Clocks::new(&fd, (7, 8)).unwrap();
        // No device is this one's, so that they are compared.
        clocks.device = u64::MAX;
        assert_eq!(clocks.moment((&other, there.path())).unwrap(), ((7, 8), None));
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 0);
    }
}
