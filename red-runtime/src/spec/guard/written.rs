//! Where writes to an overlay land: in its upper layer (overlayfs.rst).

use std::path::{Path, PathBuf};

use crate::node::guard::{Location, MountEntry, MountTable};

/// Overlays on overlays that are followed; the kernel has two (`FILESYSTEM_MAX_STACK_DEPTH`).
const DEPTH: usize = 4;

/// The places that writing to a path changes besides its own: none unless it is on an overlay. `None` where
/// the upper layer cannot be found.
pub(super) fn places(mounts: &MountTable, id: u64, path: &str) -> Option<Vec<Location>> {
    let mut all = Vec::new();
    find(mounts, (id, path), DEPTH, &mut all).then_some(all)
}

fn find(mounts: &MountTable, (id, path): (u64, &str), depth: usize, all: &mut Vec<Location>) -> bool {
    let Some(entry) = mounts.mount_of(id, path) else { return true };
    if entry.uppers().is_empty() {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let part = part(entry, path);
    let mut found = false;
    for upper in entry.uppers().iter().flat_map(|upper| readings(entry, upper)) {
        let Some(upper) = upper.to_str() else { continue };
        for mount in mounts.entries().iter().filter(|mount| mount.location() != entry.location()) {
            let rest = upper.strip_prefix(mount.point.trim_end_matches('/'));
            let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else { continue };
            found = true;
            let place = join(&mount.location(), &[rest, &part]);
            if all.contains(&place) {
                continue;
            }
            all.push(place);
            found &= find(mounts, (mount.id, &format!("{upper}/{part}")), depth - 1, all);
        }
    }
    // The layers of a container's root lie outside of it, where nothing in here leads.
    found || entry.point == "/"
}

/// The way from the root of an overlay to a path on one of its mounts.
fn part(entry: &MountEntry, path: &str) -> String {
    let location = entry.location();
    let root = location.as_str().trim_start_matches('/').split_once('/').map_or("", |(_, root)| root);
    let below = path.strip_prefix(&entry.point).unwrap_or(path).trim_matches('/');
    [root, below].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn join(place: &Location, rest: &[&str]) -> Location {
    let rest = rest.iter().map(|part| part.trim_matches('/')).filter(|part| !part.is_empty());
    rest.fold(place.clone(), |place, part| place.join(part))
}

/// What the name of an upper layer can stand for. One that is relative is so to where whoever mounted it
/// was: engines are in a directory above the mount point (containers/storage, `mountOverlayFrom`).
fn readings(entry: &MountEntry, upper: &str) -> Vec<PathBuf> {
    let named = if upper.starts_with('/') {
        vec![PathBuf::from(upper)]
    } else {
        let above = Path::new(&entry.point).ancestors().map(|above| above.join(upper));
        above.filter(|upper| upper.is_dir()).collect()
    };
    let real = named.iter().filter_map(|upper| std::fs::canonicalize(upper).ok()).collect::<Vec<_>>();
    let mut all = named;
    all.extend(real.into_iter().filter(|real| !all.contains(real)).collect::<Vec<_>>());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(options: &str, path: &str) -> Option<Vec<String>> {
        let text = format!(
            "1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 8:2 /sub /data rw - ext4 /dev/sdb rw
3 1 0:60 / /over rw - overlay o rw,lowerdir=/low,{options}
4 1 0:61 / /two rw - overlay o rw,lowerdir=/low,upperdir=/over/up
"
        );
        let mounts = MountTable::parse(&text);
        let places = places(&mounts, 0, path)?;
        Some(places.iter().map(|place| place.as_str().to_owned()).collect())
    }

    #[test]
    fn writes_to_an_overlay_land_in_its_upper_layer() {
        let upper = "upperdir=/data/pool/node,workdir=/data/w";
        let all = written(upper, "/over/etc/x").unwrap();
        assert_eq!(all, ["/8:1/data/pool/node/etc/x", "/8:2/sub/pool/node/etc/x"]);
        assert_eq!(written(upper, "/over").unwrap()[1], "/8:2/sub/pool/node");
        assert!(written(upper, "/low").unwrap().is_empty(), "no overlay");
        assert!(written("", "/over").unwrap().is_empty(), "nothing is written");
        // An upper layer that is an overlay itself.
        assert!(written(upper, "/two/x").unwrap().contains(&"/8:2/sub/pool/node/up/x".to_owned()));
    }

    #[test]
    fn an_upper_layer_that_is_not_found_is_unknown() {
        assert_eq!(written("upperdir=not/there,workdir=w", "/over/x"), None);
    }
}
