//! Variables in the configuration of repositories: `$releasever`, `$basearch`, those of `etc/dnf/vars`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files;
use super::settings::RepoError;

/// How long a value may be.
const VALUE: usize = 4096;
/// How long a text may become by what its names stand for.
const EXPANDED: usize = 1 << 16;

/// Files named like variables, with their values.
const VARIABLES: &str = "etc/dnf/vars";

/// What `$releasever` and the like stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl Variables {
    /// Those of the machine, then of core OS and nodes in `etc/dnf/vars`, then of the command line.
    ///
    /// # Errors
    /// A file cannot be read, or is no text of that size.
    pub(crate) fn load(roots: &[PathBuf], releasever: Option<&str>) -> Result<Self, RepoError> {
        let arch = crate::solve::arch();
        let base = if arch == "i686" { "i386" } else { arch };
        let mut values: BTreeMap<String, String> = [("arch", arch), ("basearch", base)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for root in roots {
            let text = files::read(root, Path::new("etc/os-release"))?.unwrap_or_default();
            let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
            if let Some(version) = version.filter(|version| version.len() <= VALUE) {
                values.insert("releasever".into(), version.trim_matches('"').to_owned());
            }
            for below in files::all(root, VARIABLES)? {
                let Some(value) = files::read(root, &below)? else { continue };
                if value.len() > VALUE {
                    let source = std::io::Error::other(format!("more than {VALUE} bytes"));
                    return Err(RepoError::File { path: root.join(below), source });
                }
                let name = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
                values.insert(name, value.trim().to_owned());
            }
        }
        values.extend(releasever.map(|version| ("releasever".to_owned(), version.to_owned())));
        Ok(Self(values))
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
