//! Entry points of the store's fuzz targets (tests/fuzz), not an interface. Each takes bytes that servers, packages or
//! other programs wrote, and goes as far as this process reads them itself; what librpm and libsolv read is read by
//! processes that may die alone.

use red_runtime::node::generation::Switches;

/// Files of a repository: an input is a kind and the file.
///
/// # Panics
/// A promise of a reader is broken.
pub fn metadata(input: &[u8]) {
    let Some((kind, file)) = input.split_first() else { return };
    crate::repo::fuzz(*kind, file);
}

/// Keys and signatures: an input is a kind and the file.
///
/// # Panics
/// A promise of a reader is broken.
pub fn keys(input: &[u8]) {
    let Some((kind, file)) = input.split_first() else { return };
    crate::rpm::fuzz_keys(*kind, file);
}

/// Headers of packages, as the database has them.
///
/// # Panics
/// A promise of a reader is broken.
pub fn header(input: &[u8]) {
    crate::rpm::fuzz_header(input);
}

/// What a node says of itself: an input is a kind and the file.
///
/// # Panics
/// A promise of a reader is broken.
pub fn state(input: &[u8]) {
    let Some((kind, file)) = input.split_first() else { return };
    match kind % 3 {
        0 => drop(serde_json::from_slice::<crate::history::About>(file)),
        1 => drop(serde_json::from_slice::<crate::history::Record>(file)),
        _ => {
            let Ok(list) = serde_json::from_slice::<Switches>(file) else { return };
            let first = std::path::Path::new("/pool/node");
            for (node, _) in list.at(first) {
                assert!(node.starts_with(first), "{} is no node of the list's family", node.display());
            }
        }
    }
}
