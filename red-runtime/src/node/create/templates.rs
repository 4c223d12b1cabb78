//! Where templates come from.

use std::path::{Path, PathBuf};

use super::CreateError;
use crate::node::place::{self, PlaceError};

/// The templates that come with the program.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("full-normal", include_str!("templates/full-normal.yaml")),
    ("full-admin", include_str!("templates/full-admin.yaml")),
    ("leaf-normal", include_str!("templates/leaf-normal.yaml")),
    ("leaf-admin", include_str!("templates/leaf-admin.yaml")),
    ("root-normal", include_str!("templates/root-normal.yaml")),
    ("root-admin", include_str!("templates/root-admin.yaml")),
];

/// Names of older releases, and what they mean.
const OLD_NAMES: [(&str, &str); 6] = [
    ("default", "leaf-normal"),
    ("admin", "leaf-admin"),
    ("default-no-system-node", "full-normal"),
    ("admin-no-system-node", "full-admin"),
    ("main-system", "root-normal"),
    ("main-admin-system", "root-admin"),
];

/// A template, with the name it is spoken of by.
pub(super) struct Template {
    pub(super) name: String,
    pub(super) text: String,
}

/// The templates of a machine.
pub(super) struct Library {
    directory: PathBuf,
}

impl Library {
    /// Templates in `directory`, by default below `NODE_PREFIX`, and the built-in ones.
    pub(super) fn new(directory: Option<&Path>, prefix: &str) -> Self {
        let default = || PathBuf::from(format!("{prefix}/etc/redpak/templates.d"));
        Self { directory: directory.map_or_else(default, Path::to_path_buf) }
    }

    /// A template by name (`leaf`, `leaf-normal`, `default`) or path. `kind` is `normal` or
    /// `admin`, for names that leave it out.
    pub(super) fn get(&self, name: &str, kind: &str) -> Result<Template, CreateError> {
        let with_ending = |path: PathBuf| {
            if path.extension().is_some_and(|ending| ending == "yaml") {
                path
            } else {
                path.with_file_name(format!(
                    "{}.yaml",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ))
            }
        };
        if name.contains('/') {
            let path = PathBuf::from(name);
            let found = match read(&path, false)? {
                None => read(&with_ending(path), false)?,
                found => found,
            };
            return found.ok_or_else(|| self.missing(name));
        }
        let bare = name.strip_suffix(".yaml").unwrap_or(name);
        let modern = OLD_NAMES.iter().find(|(old, _)| *old == bare).map_or(bare, |(_, new)| new);
        let long = format!("{modern}-{kind}");
        for candidate in [bare, modern, &long] {
            if let Some(template) = read(&with_ending(self.directory.join(candidate)), true)? {
                return Ok(template);
            }
        }
        BUILT_IN
            .iter()
            .find(|(name, _)| *name == modern || *name == long)
            .map(|(name, text)| Template { name: (*name).to_owned(), text: (*text).to_owned() })
            .ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> CreateError {
        CreateError::NoTemplate {
            name: name.to_owned(),
            directory: self.directory.display().to_string(),
            known: BUILT_IN.map(|(name, _)| name).join(", "),
        }
    }
}

/// Reads a template, if it is there. One of the machine becomes a node's configuration unseen, so it has to
/// be root's or the caller's, and so has every directory and link on the way to it; one that the caller
/// names by its path is the caller's choice.
fn read(path: &Path, of_machine: bool) -> Result<Option<Template>, CreateError> {
    let text = match place::text_at(path) {
        Ok(text) => text,
        Err(error) if place::is_missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let own = [Some(0), Some(rustix::process::geteuid().as_raw()), place::unmapped_owner()];
    let doubtful = text.deciding.iter().find(|one| {
        let facts = one.facts;
        !own.contains(&Some(facts.uid)) || (facts.is_open() && !facts.is_sticky())
    });
    match doubtful.filter(|_| of_machine) {
        Some(one) => Err(PlaceError::Others {
            path: path.display().to_string(),
            by: one.path.display().to_string(),
            uid: one.facts.uid,
        }
        .into()),
        None => Ok(Some(Template { name: path.display().to_string(), text: text.text })),
    }
}
