//! What is in a staging area that no package owns: scriptlets wrote it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// At most this many are listed.
const LISTED: usize = 10_000;

/// Files below `upper`, relative to the root of the view, that are not in `owned`.
pub(super) fn outside(upper: &Path, owned: &BTreeSet<PathBuf>) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(upper, Path::new("/"), owned, &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn walk(
    dir: &Path,
    shown: &Path,
    owned: &BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = shown.join(entry.file_name());
        if found.len() >= LISTED || path == Path::new("/var/lib/rpm") {
            continue;
        }
        let kind = entry.file_type()?;
        let volatile = ["/dev", "/proc", "/run", "/sys", "/tmp"].iter().any(|top| path == Path::new(top));
        if kind.is_dir() && !volatile {
            walk(&entry.path(), &path, owned, found)?;
        } else if (kind.is_file() || kind.is_symlink())
            && !owned.contains(&path)
            && path.parent() != Some(Path::new("/"))
        {
            found.push(path);
        }
    }
    Ok(())
}
