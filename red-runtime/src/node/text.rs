//! A text once its variables are expanded.

use std::borrow::Cow;

/// An expanded text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text {
    /// What a launch uses.
    pub actual: String,
    /// What the digest sees, where it differs from the actual text with `$` escaped.
    pub(super) symbolic: Option<String>,
    /// What was written, where it differs from the actual text.
    pub(super) written: Option<String>,
    /// Names that stand for nothing, here or in the environment.
    pub unknown: Vec<String>,
    /// Whether a command was kept instead of run, so that `actual` is not final.
    pub unresolved: bool,
}

impl Text {
    /// A text in which nothing is variable.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self { actual: text.into(), ..Self::default() }
    }

    /// The text that does not depend on the launch: variables that do stay `${NAME}`, literal
    /// dollars are `\$`.
    #[must_use]
    pub fn canonical(&self) -> Cow<'_, str> {
        match &self.symbolic {
            Some(symbolic) => Cow::Borrowed(symbolic),
            None => escape(&self.actual),
        }
    }

    /// The text as it was written, before anything expanded.
    #[must_use]
    pub fn written(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.actual)
    }

    /// Whether the actual text may differ from one launch to the next.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.symbolic.is_some()
    }

    /// Applies a change that means the same for both texts, such as cleaning a path.
    #[must_use]
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self { actual: change(&self.actual), symbolic: self.symbolic.as_deref().map(&change), ..self }
    }
}

/// A text with its dollars escaped.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if text.contains('$') { Cow::Owned(text.replace('$', "\\$")) } else { Cow::Borrowed(text) }
}
