//! What a leaf calls itself, in texts of its elders. It is the leaf's choice, so in a path it is one name
//! and leads nowhere else.

/// A part of an expanded text that the leaf chose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FromLeaf {
    /// The variable, such as `LEAF_NAME`.
    pub variable: &'static str,
    /// What it stands for.
    pub value: String,
    /// Where it begins in the actual text; `None` for one in a command.
    pub at: Option<usize>,
}

/// The variable, where a leaf chooses its value freely. `LEAF_PATH` is where it is.
pub(super) fn chosen(name: &str) -> Option<&'static str> {
    ["LEAF_ALIAS", "LEAF_NAME", "LEAF_INFO"].into_iter().find(|variable| *variable == name)
}

/// The first part that leads a path elsewhere than to one name, and why.
#[must_use]
pub fn astray<'f>(text: &str, from: &'f [FromLeaf]) -> Option<(&'f FromLeaf, &'static str)> {
    from.iter().find_map(|part| Some((part, part.leads(text)?)))
}

impl FromLeaf {
    fn leads(&self, text: &str) -> Option<&'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-_@:.,=%".contains(c);
        let Some(at) = self.at else {
            return (!self.value.chars().all(plain)).then_some("in a command it is one plain word");
        };
        if self.value.contains('/') {
            return Some("it has a slash in it");
        }
        let (before, after) = (text.get(..at)?, text.get(at + self.value.len()..)?);
        let first = before.rfind('/').map_or(0, |slash| slash + 1);
        let last = at + self.value.len() + after.find('/').unwrap_or(after.len());
        match text.get(first..last)? {
            ".." => Some("it leads up"),
            "." => Some("it leads to the directory around it"),
            "" if text.starts_with('/') => Some("it is empty, and leads to the directory around it"),
            _ => None,
        }
    }
}
