//! The texts a family is read from, and places in them.

use std::path::{Path, PathBuf};

/// Index of a text in [`Sources`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FileId(u16);

/// A stretch of one line of one file. Lines and columns count from 1, columns and lengths in
/// characters, as editors show them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct At {
    /// The file.
    pub file: FileId,
    /// Line, from 1. Zero means the file as a whole.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Characters covered on that line, at least 1.
    pub length: u32,
}

impl At {
    /// The file as a whole, for mistakes that have no line (a missing section, a wrong owner).
    #[must_use]
    pub fn whole(file: FileId) -> Self {
        Self { file, line: 0, column: 0, length: 0 }
    }
}

/// A value together with the place it was written at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: At,
}

impl<T> Located<T> {
    /// Pairs `value` with its place.
    pub fn new(value: T, at: At) -> Self {
        Self { value, at }
    }
}

/// One file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as shown to people.
    pub path: PathBuf,
    /// Whole text. Empty when the file could not be read as UTF-8.
    pub text: String,
}

/// All texts of one family, in the order they were read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its index.
    ///
    /// A family is bounded (see [`limits`](super::limits)) far below the 65,536 files an index
    /// can name; a caller that ignores those bounds gets the last index again.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let id = FileId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        self.files.push(Source { path: path.into(), text: text.into() });
        id
    }

    /// The file behind an index of this collection.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&Source> {
        self.files.get(usize::from(id.0))
    }

    /// The text behind an index, empty for a foreign index.
    #[must_use]
    pub fn text(&self, id: FileId) -> &str {
        self.get(id).map_or("", |source| source.text.as_str())
    }

    /// The path behind an index.
    #[must_use]
    pub fn path(&self, id: FileId) -> &Path {
        self.get(id).map_or(Path::new("?"), |source| source.path.as_path())
    }

    /// Line `number` (from 1) of a file, without its line end.
    #[must_use]
    pub fn line(&self, id: FileId, number: u32) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.text(id).lines().nth(index)
    }

    /// `path:line:column`, or the path alone for a place without a line.
    #[must_use]
    pub fn show(&self, at: At) -> String {
        let path = self.path(at.file).display();
        if at.line == 0 { path.to_string() } else { format!("{path}:{}:{}", at.line, at.column) }
    }
}
