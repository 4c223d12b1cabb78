//! Texts in packages' headers, which are any bytes. librpm's own functions for names of files, packages and owners end the
//! process where one is no text (UTF-8): these do not.

use librpm::{OwnedTagData, PackageHeader, Tag};

/// What stands for bytes that are no text.
const NO_TEXT: char = char::REPLACEMENT_CHARACTER;

/// A header's text, or its first one.
pub(super) fn text(header: &PackageHeader, tag: Tag) -> Option<String> {
    texts(header, tag).into_iter().next()
}

/// All texts of a tag.
pub(super) fn texts(header: &PackageHeader, tag: Tag) -> Vec<String> {
    match header.get_owned(tag) {
        Some(OwnedTagData::Str(text)) => vec![text],
        Some(OwnedTagData::StrArray(texts) | OwnedTagData::I18NStr(texts)) => texts,
        _ => Vec::new(),
    }
}

/// Name, version and architecture as metadata writes them: no epoch when it is 0.
pub(crate) fn nevra(header: &PackageHeader) -> String {
    let epoch = match header.get_owned(Tag::EPOCH) {
        Some(OwnedTagData::Int32(numbers)) => numbers.first().copied().filter(|&epoch| epoch != 0),
        _ => None,
    };
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let of = |tag| text(header, tag).unwrap_or_default();
    let arch = text(header, Tag::ARCH).unwrap_or_else(|| "noarch".into());
    format!("{}-{epoch}{}-{}.{arch}", of(Tag::NAME), of(Tag::VERSION), of(Tag::RELEASE))
}

/// Files of a package.
pub(crate) struct Listed {
    files: librpm::Files,
    paths: Vec<String>,
}

impl Listed {
    pub(crate) fn of(header: &PackageHeader) -> Self {
        Self { files: header.files(), paths: texts(header, Tag::FILENAMES) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Each of them with its path. Of the other texts in it librpm's own functions may not be asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, librpm::FileEntry<'_>)> {
        self.paths.iter().map(String::as_str).zip(self.files.iter())
    }

    /// Their paths.
    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }
}

/// Whether a text was surely one, before librpm made one of it.
pub(crate) fn is_text(text: &str) -> bool {
    !text.contains(NO_TEXT)
}
