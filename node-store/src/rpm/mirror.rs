//! What makes the view writable for an ordinary user.
//!
//! Directories of the core OS belong to the machine's root, who is nobody in the user's namespace:
//! nothing can be made in them, not even above an overlay. Directories of the same names in the
//! staging area, which are the user's own, take their place in the view. Those that stayed empty go
//! away again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Job;

/// Levels of /etc and /var that scriptlets may write to.
const DEPTH: usize = 3;
/// At most this many directories.
const MOST: usize = 20_000;
/// Files that the tools for users and groups change in place or copy with their owner.
const ACCOUNTS: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];

/// What was put into the staging area.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// Directories, relative, parents first.
    dirs: Vec<PathBuf>,
    /// Files, relative, and what they held.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Makes directories that packages or scriptlets will write to, as far as a layer has them.
pub(super) fn make(job: &Job, needed: &BTreeSet<PathBuf>) -> std::io::Result<Mirror> {
    let mut wanted: BTreeSet<PathBuf> = needed.clone();
    for lower in &job.lowers {
        for top in ["etc", "var"] {
            collect(&lower.root, Path::new(top), DEPTH, &mut wanted);
        }
    }
    let mut mirror = Mirror::default();
    for dir in wanted.into_iter().take(MOST) {
        // Through links of the layer, such as /lib → usr/lib, nothing is mirrored: rpm goes there itself.
        let found = job.lowers.iter().map(|lower| lower.root.join(&dir)).find(|path| path.exists());
        let Some(found) = found.filter(|path| path.is_dir() && !path.is_symlink()) else { continue };
        let mode = fs::metadata(&found)?.permissions().mode() & 0o7777;
        let path = job.upper.join(&dir);
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700))?;
                mirror.dirs.push(dir);
            }
            // Its parent may be a link.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound
                ) => {}
            Err(error) => return Err(error),
        }
    }
    for name in ACCOUNTS {
        let (path, theirs) = (
            job.upper.join(name),
            job.lowers.iter().map(|lower| lower.root.join(name)).find(|path| path.exists()),
        );
        let Some(theirs) = theirs else { continue };
        // Nobody but root may read passwords; here there are none.
        let text = fs::read(theirs).unwrap_or_default();
        fs::write(&path, &text)?;
        mirror.files.push((name.into(), text));
    }
    Ok(mirror)
}

fn collect(root: &Path, below: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(below.to_path_buf());
    if depth == 0 || found.len() > MOST {
        return;
    }
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &below.join(entry.file_name()), depth - 1, found);
        }
    }
}

impl Mirror {
    /// Takes away what nobody wrote to. `owned` are paths of packages, absolute.
    pub(super) fn remove(&self, upper: &Path, owned: &BTreeSet<PathBuf>) -> std::io::Result<()> {
        for (name, text) in &self.files {
            let path = upper.join(name);
            if fs::read(&path).is_ok_and(|now| now == *text) && !owned.contains(&Path::new("/").join(name)) {
                fs::remove_file(path)?;
            }
        }
        for dir in self.dirs.iter().rev() {
            if owned.contains(&Path::new("/").join(dir)) {
                continue;
            }
            match fs::remove_dir(upper.join(dir)) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        // A top directory is a mount point still, and goes with the others that are empty.
                        std::io::ErrorKind::DirectoryNotEmpty
                            | std::io::ErrorKind::ResourceBusy
                            | std::io::ErrorKind::NotFound
                            | std::io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
