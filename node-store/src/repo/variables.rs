//! Variables in the configuration of repositories: `$releasever`, `$basearch`, those of `etc/dnf/vars`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::beneath::Dir;
use crate::regular;

/// How long `os-release` may be.
const BYTES: u64 = 1 << 20;
/// How long a value may be.
const VALUE: u64 = 4096;
/// How many files with values a node may have.
const FILES: usize = 1000;
/// How long a text may become by what its names stand for.
const EXPANDED: usize = 1 << 16;

/// Files named like variables, with their values.
const VARIABLES: &str = "etc/dnf/vars";

/// What `$releasever` and the like stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl Variables {
    /// Those of the machine, then of core OS and nodes in `etc/dnf/vars`, then of the command line.
    pub(crate) fn load(roots: &[PathBuf], releasever: Option<&str>) -> Self {
        let arch = crate::solve::arch();
        let base = if arch == "i686" { "i386" } else { arch };
        let mut values: BTreeMap<String, String> = [("arch", arch), ("basearch", base)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for root in roots {
            let Ok(root) = Dir::open(root) else { continue };
            let text = text_of(&root, Path::new("etc/os-release"), BYTES).unwrap_or_default();
            let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
            if let Some(version) = version.filter(|version| version.len() as u64 <= VALUE) {
                values.insert("releasever".into(), version.trim_matches('"').to_owned());
            }
            let entries = root.dir_in_root(VARIABLES).and_then(|dir| dir.entries()).unwrap_or_default();
            for (name, _) in entries.into_iter().take(FILES) {
                if let Some(value) = text_of(&root, &Path::new(VARIABLES).join(&name), VALUE) {
                    values.insert(name.to_string_lossy().into_owned(), value.trim().to_owned());
                }
            }
        }
        values.extend(releasever.map(|version| ("releasever".to_owned(), version.to_owned())));
        Self(values)
    }

    /// A text with its `$name` and `${name}` replaced. Unknown names stay as they are.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some((name, _)) => (name, name.len() + 3),
                None => {
                    let end =
                        after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                    (&after[..end], end + 1)
                }
            };
            match self.0.get(name).filter(|value| out.len() + value.len() <= EXPANDED) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[at..at + length]),
            }
            rest = &rest[at + length..];
        }
        out.push_str(rest);
        out
    }
}

/// A text of a root, if there is one and it is no longer than that.
fn text_of(root: &Dir, below: &Path, most: u64) -> Option<String> {
    String::from_utf8(regular::bytes(root.file_in_root(below).ok()?, most).ok()?).ok()
}
