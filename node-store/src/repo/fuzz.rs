//! What the fuzz target `metadata` calls.

use std::path::Path;

use super::{Variables, ini, metadata, mirrors, options, repomd, seen, settings};

/// Reads a file of a kind, and asserts what others rely on.
pub(crate) fn fuzz(kind: u8, file: &[u8]) {
    let Ok(text) = std::str::from_utf8(file) else { return };
    match kind % 5 {
        0 => {
            let path = Path::new("/etc/yum.repos.d/a.repo");
            let Ok(sections) = settings::sections(path, text) else { return };
            for section in &sections {
                drop(settings::repo(section, path, &Variables::default()));
            }
        }
        1 => {
            for section in ini::parse(text).unwrap_or_default() {
                for (key, value, _) in section.values {
                    drop(options::check(options::Where::Main, &key, &value));
                }
            }
        }
        2 => {
            let Ok(index) = repomd::parse(text) else { return };
            assert!(index.data.len() <= 100);
            for data in &index.data {
                assert!(
                    !metadata::is_below(&data.location) || !data.location.split('/').any(|part| part == "..")
                );
            }
            drop(seen::Moment::of(&index).age(0));
        }
        3 => mirrors::fuzz(text),
        _ => drop(serde_json::from_str::<metadata::State>(text)),
    }
}
