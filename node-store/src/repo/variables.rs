//! Variables in the configuration of repositories: `$releasever`, `$basearch`, those of `etc/dnf/vars`.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
            let text = std::fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
            let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
            if let Some(version) = version {
                values.insert("releasever".into(), version.trim_matches('"').to_owned());
            }
            for entry in std::fs::read_dir(root.join("etc/dnf/vars")).into_iter().flatten().flatten() {
                if let Ok(value) = std::fs::read_to_string(entry.path()) {
                    values.insert(entry.file_name().to_string_lossy().into_owned(), value.trim().to_owned());
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
            match self.0.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[at..at + length]),
            }
            rest = &rest[at + length..];
        }
        out.push_str(rest);
        out
    }
}
