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

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A generator of numbers, the same at every run (SplitMix64).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % (end as u64)).unwrap()
        }
    }

    /// The stored inputs, and changes of them: what CI has time for.
    #[test]
    fn stored_inputs_and_changes_of_them_break_no_promise() {
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 4] = [
            ("metadata", super::metadata),
            ("keys", super::keys),
            ("header", super::header),
            ("state", super::state),
        ];
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut numbers = Numbers(1);
        for (name, target) in targets {
            let mut paths: Vec<_> =
                std::fs::read_dir(corpora.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            assert!(paths.len() > 1, "{name}");
            for path in paths {
                let input = std::fs::read(path).unwrap();
                target(&input);
                for _ in 0..1000 {
                    let mut changed = input.clone();
                    for _ in 0..=numbers.below(4) {
                        let at = numbers.below(changed.len());
                        match numbers.below(4) {
                            0 => changed[at] = u8::try_from(numbers.below(256)).unwrap(),
                            1 if changed.len() > 1 => drop(changed.remove(at)),
                            2 => changed.truncate(at + 1),
                            _ => changed.insert(at, 0xff),
                        }
                    }
                    target(&changed);
                }
            }
        }
    }
}
