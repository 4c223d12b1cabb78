//! What makes the view writable for an ordinary user.
//!
//! Directories of the core OS belong to the machine's root, who is nobody in the user's namespace:
//! nothing can be made in them, not even above an overlay. Directories of the same names in the
//! staging area, which are the user's own, take their place in the view. Those that stayed empty go
//! away again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Job;
use super::view::{Composition, Scaffold, Stamp};

/// Levels of /etc and /var that scriptlets may write to.
const DEPTH: usize = 3;
/// At most this many directories.
const MOST: usize = 20_000;
/// Files that the tools for users and groups change in place or copy with their owner.
const ACCOUNTS: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];

/// Makes directories that packages or scriptlets will write to, as far as a layer has them below an
/// overlay of the view.
pub(super) fn make(
    job: &Job,
    needed: &BTreeSet<PathBuf>,
    composition: &Composition,
    scaffold: &mut Scaffold,
) -> std::io::Result<()> {
    let mut wanted: BTreeSet<PathBuf> = needed.clone();
    for (at, lowers) in
        composition.overlays().filter(|(at, _)| at.starts_with("etc") || at.starts_with("var"))
    {
        let depth = (DEPTH + 1).saturating_sub(at.components().count());
        lowers.iter().for_each(|lower| collect(lower, at, depth, &mut wanted));
    }
    for dir in wanted.into_iter().take(MOST) {
        // Through links of the layer, such as /lib → usr/lib, nothing is mirrored: rpm goes there itself.
        let found = composition.below_overlay(&dir).find(|path| path.exists());
        let Some(found) = found.filter(|path| path.is_dir() && !path.is_symlink()) else { continue };
        let mode = fs::metadata(&found)?.permissions().mode() & 0o7777;
        let path = job.upper.join(&dir);
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700))?;
                scaffold.dirs.push(dir);
            }
            // Its parent may be a link.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    for name in ACCOUNTS {
        let path = job.upper.join(name);
        let theirs = job.lowers.iter().map(|lower| lower.root.join(name)).find(|path| path.exists());
        let Some(theirs) = theirs else { continue };
        if path.symlink_metadata().is_ok() {
            continue;
        }
        // Nobody but root may read passwords; here there are none.
        fs::write(&path, fs::read(theirs).unwrap_or_default())?;
        scaffold.files.push((name.into(), Stamp::of(&path)?));
    }
    Ok(())
}

/// Directories of `dir`, which is at `below` in the view.
fn collect(dir: &Path, below: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(below.to_path_buf());
    if depth == 0 || found.len() > MOST {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &below.join(entry.file_name()), depth - 1, found);
        }
    }
}
