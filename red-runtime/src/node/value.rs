//! The typed values of a configuration, each with the one function that reads it from text.
//!
//! Every reader takes the text as written and answers with the value or with the words that end
//! the sentence "… is not …". Nothing here expands variables: values that may hold variables
//! stay text until [`expand`](crate::node::expand).

use std::fmt;

/// How an export becomes visible (REDPAK §5).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ExportMode {
    /// Directory, writable, for the node and its descendants.
    Public,
    /// File, writable, for the node and its descendants.
    PublicFile,
    /// Directory, read-only, for the node and its descendants.
    Restricted,
    /// File, read-only, for the node and its descendants.
    RestrictedFile,
    /// Directory, writable, for the leaf only.
    Private,
    /// File, writable, for the leaf only.
    PrivateFile,
    /// Directory, read-only, for the leaf only.
    PrivateRestricted,
    /// Fresh directory of this launch.
    Anonymous,
    /// A tmpfs of this launch.
    Tmpfs,
    /// A proc file system.
    Procfs,
    /// A POSIX message queue file system.
    Mqueue,
    /// A minimal `/dev`.
    Devfs,
    /// A symbolic link.
    Symlink,
    /// A file holding what a command printed.
    Execfd,
    /// A file filled from an open descriptor.
    Internal,
    /// A file with a shared lock held while the container lives.
    Lock,
}

impl ExportMode {
    /// Every mode with the word that names it.
    pub const ALL: [(&'static str, Self); 16] = [
        ("Public", Self::Public),
        ("PublicFile", Self::PublicFile),
        ("Restricted", Self::Restricted),
        ("RestrictedFile", Self::RestrictedFile),
        ("Private", Self::Private),
        ("PrivateFile", Self::PrivateFile),
        ("PrivateRestricted", Self::PrivateRestricted),
        ("Anonymous", Self::Anonymous),
        ("Tmpfs", Self::Tmpfs),
        ("Procfs", Self::Procfs),
        ("Mqueue", Self::Mqueue),
        ("Devfs", Self::Devfs),
        ("Symlink", Self::Symlink),
        ("Execfd", Self::Execfd),
        ("Internal", Self::Internal),
        ("Lock", Self::Lock),
    ];

    /// Seen by the leaf only; dropped when the node is not the leaf.
    #[must_use]
    pub fn is_private(self) -> bool {
        matches!(self, Self::Private | Self::PrivateFile | Self::PrivateRestricted)
    }

    /// A bind mount of a path of the host: `Some(true)` when writable.
    #[must_use]
    pub fn bind(self) -> Option<bool> {
        match self {
            Self::Public | Self::PublicFile | Self::Private | Self::PrivateFile => Some(true),
            Self::Restricted | Self::RestrictedFile | Self::PrivateRestricted => Some(false),
            _ => None,
        }
    }

    /// A bind mount whose source is a file, so that a missing source is never made.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::PublicFile | Self::RestrictedFile | Self::PrivateFile)
    }

    /// Whether `path` has a meaning, and may default to `mount`.
    #[must_use]
    pub fn wants_path(self) -> PathUse {
        match self {
            Self::Symlink | Self::Execfd | Self::Internal => PathUse::Needed,
            _ if self.bind().is_some() => PathUse::DefaultsToMount,
            _ => PathUse::Unused,
        }
    }
}

/// What `path` is to an [`ExportMode`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathUse {
    /// Must be given.
    Needed,
    /// The same as `mount` when absent.
    DefaultsToMount,
    /// Has no meaning.
    Unused,
}

/// How a variable gets its value (REDPAK §6).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum VarMode {
    /// Expand and set.
    #[default]
    Default,
    /// Set as written.
    Static,
    /// Set to what a command printed.
    Execfd,
    /// Drop the variable.
    Remove,
    /// Copy from the launching environment.
    Inherit,
}

impl VarMode {
    /// Every mode with the word that names it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("Default", Self::Default),
        ("Static", Self::Static),
        ("Execfd", Self::Execfd),
        ("Remove", Self::Remove),
        ("Inherit", Self::Inherit),
    ];

    /// Whether `value` has a meaning.
    #[must_use]
    pub fn wants_value(self) -> bool {
        matches!(self, Self::Default | Self::Static | Self::Execfd)
    }
}

/// What a `share_*` tag says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Share {
    /// Nothing: an elder or the default decides.
    Unset,
    /// The host's namespace.
    Enabled,
    /// A new namespace.
    Disabled,
    /// The namespace behind this file, before expansion.
    Join(String),
}

/// State of a node, from its status file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// May start.
    Enable,
    /// Switched off.
    Disable,
    /// Never settled.
    Unknown,
    /// Found broken.
    Error,
}

impl State {
    /// Every state with the word that names it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("Enable", Self::Enable),
        ("Disable", Self::Disable),
        ("Unknown", Self::Unknown),
        ("Error", Self::Error),
    ];
}

/// The word that names a value of a table such as [`ExportMode::ALL`].
pub fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table.iter().find(|(_, one)| one == value).map_or("?", |(name, _)| name)
}

macro_rules! display_by_table {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(name_of(&Self::ALL, self))
            }
        }
    )*};
}
display_by_table!(ExportMode, VarMode, State);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("Unset"),
            Self::Enabled => f.write_str("Enabled"),
            Self::Disabled => f.write_str("Disabled"),
            Self::Join(path) => f.write_str(path),
        }
    }
}

/// Why a text is not the value that was wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    /// What was wanted, as in "`x` is not {wanted}".
    pub wanted: String,
    /// A way out.
    pub help: Option<String>,
}

impl Wrong {
    /// Without a way out.
    pub fn new(wanted: impl Into<String>) -> Self {
        Self { wanted: wanted.into(), help: None }
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The word of `words` that `text` most probably means.
#[must_use]
pub fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Longer than any word there is: comparing would cost the product of the lengths.
    if text.len() > 40 {
        return None;
    }
    let text = text.to_ascii_lowercase().replace('-', "_");
    let far = 1 + text.chars().count() / 3;
    words
        .into_iter()
        .map(|word| {
            let lower = word.to_ascii_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&text, &lower), word)
        })
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Reads one word of a table, whatever its case.
///
/// # Errors
/// Names the nearest word, or all of them.
pub fn word<T: Copy>(text: &str, table: &[(&'static str, T)], what: &str) -> Result<T, Wrong> {
    if let Some((_, value)) = table.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(*value);
    }
    let wrong = Wrong::new(what);
    Err(match nearest(text, table.iter().map(|(name, _)| *name)) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => {
            let all: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
            wrong.help(format!("one of {}", all.join(", ")))
        }
    })
}

/// Reads a boolean: `true yes on 1` or `false no off 0`, whatever the case.
///
/// # Errors
/// Anything else.
pub fn boolean(text: &str) -> Result<bool, Wrong> {
    const WORDS: [(&str, bool); 8] = [
        ("true", true),
        ("false", false),
        ("yes", true),
        ("no", false),
        ("on", true),
        ("off", false),
        ("1", true),
        ("0", false),
    ];
    word(text, &WORDS, "a boolean").map_err(|wrong| wrong.help("write `true` or `false`"))
}

/// Reads `Unset`, `Enabled` or `Disabled`.
///
/// # Errors
/// Anything else.
pub fn switch(text: &str) -> Result<Option<bool>, Wrong> {
    const WORDS: [(&str, Option<bool>); 3] =
        [("Unset", None), ("Enabled", Some(true)), ("Disabled", Some(false))];
    word(text, &WORDS, "a switch")
}

/// Reads a `share_*` tag: a switch or the absolute path of a namespace file.
///
/// # Errors
/// Anything else.
pub fn share(text: &str) -> Result<Share, Wrong> {
    if text.starts_with(['/', '$']) {
        return Ok(Share::Join(text.to_owned()));
    }
    switch(text)
        .map(|on| match on {
            None => Share::Unset,
            Some(true) => Share::Enabled,
            Some(false) => Share::Disabled,
        })
        .map_err(|wrong| {
            let near = wrong.help.filter(|help| help.starts_with("did you"));
            Wrong {
                wanted: "Unset, Enabled, Disabled or the absolute path of a namespace file".into(),
                help: near,
            }
        })
}

/// Reads an umask: one to four octal digits, at most `0777`.
///
/// # Errors
/// Anything else.
pub fn umask(text: &str) -> Result<u32, Wrong> {
    let wrong = || Wrong::new("an octal umask").help("write up to four octal digits, such as `027`");
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return Err(wrong());
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err(wrong()),
    }
}

/// Reads a whole number within bounds.
///
/// # Errors
/// Anything else.
pub fn integer(text: &str, least: i64, most: i64) -> Result<i64, Wrong> {
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Wrong::new(format!("a whole number from {least} to {most}"))),
    }
}

/// Reads an alias: letters, digits and `+-_@:`. It becomes a path component and a cgroup name.
///
/// # Errors
/// Anything else.
pub fn alias(text: &str) -> Result<String, Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+-_@:".contains(c);
    if text.is_empty() || !text.chars().all(good) {
        return Err(Wrong::new("an alias").help("use letters, digits and `+-_@:` only"));
    }
    if text.len() > super::limits::NAME_BYTES {
        return Err(Wrong::new(format!("at most {} bytes long", super::limits::NAME_BYTES)));
    }
    Ok(text.to_owned())
}

/// Reads the name of an environment variable.
///
/// # Errors
/// Empty, or with `=`, white space or control characters in it.
pub fn variable_name(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.chars().any(|c| c == '=' || c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new("the name of a variable").help("no `=`, spaces or control characters"));
    }
    Ok(text.to_owned())
}

/// Reads an absolute path without `..`.
///
/// # Errors
/// Anything else.
pub fn absolute(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') || text.contains('\0') || text.split('/').any(|part| part == "..") {
        return Err(Wrong::new("an absolute path without `..`"));
    }
    Ok(text.to_owned())
}
