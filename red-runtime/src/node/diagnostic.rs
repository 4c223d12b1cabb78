//! Mistakes and remarks, each with its place and a way out.

pub use super::code::Code;
use super::source::{At, Sources};

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It starts, but probably not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word used in text and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A further place that belongs to a mistake, such as the elder's line in a conflict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Label {
    /// Where.
    pub at: At,
    /// What is there.
    pub text: String,
}

/// One mistake or remark.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable word for machines, such as `unknown-key`.
    pub code: Code,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// Where it is, if it has a place.
    pub at: Option<At>,
    /// What the place is, shown beside the caret.
    pub label: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    fn new(severity: Severity, code: Code, message: String) -> Self {
        Self { severity, code, message, at: None, label: None, related: Vec::new(), help: None }
    }

    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    /// A note.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message.into())
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, at: At) -> Self {
        self.at = Some(at);
        self
    }

    /// Adds the words beside the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, at: At, text: impl Into<String>) -> Self {
        self.related.push(Label { at, text: text.into() });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds what to do where there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, text: Option<String>) -> Self {
        self.help = text.or(self.help);
        self
    }
}

/// Everything found while one family was read, merged or planned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    dropped: usize,
}

impl Report {
    /// Adds one, or only counts it once there are too many.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < super::limits::MISTAKES * 10 {
            self.diagnostics.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds all of another report.
    pub fn append(&mut self, mut other: Report) {
        self.diagnostics.append(&mut other.diagnostics);
        self.dropped += other.dropped;
    }

    /// Sorts what was added since `from` by its place, so that a file reads from top to bottom.
    pub(crate) fn sort(&mut self, from: usize) {
        self.diagnostics[from..].sort_by_key(|one| one.at);
    }

    /// Counts what is left out beyond `keep` of the diagnostics added since `from`.
    pub(crate) fn cap(&mut self, from: usize, keep: usize) {
        let most = from + keep;
        if self.diagnostics.len() > most {
            self.dropped += self.diagnostics.len() - most;
            self.diagnostics.truncate(most);
        }
    }

    /// All that was found, in the order it was found.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many more there were than are kept.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether anything of this weight was found.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|one| one.severity == severity).count()
    }

    /// Whether anything forbids going on.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.dropped > 0 || self.diagnostics.iter().any(|one| one.severity == Severity::Error)
    }

    /// All errors in one line, for engines and logs: `path:line:column: message (help)`.
    #[must_use]
    pub fn one_line(&self, sources: &Sources) -> String {
        let mut lines: Vec<String> = Vec::new();
        for one in &self.diagnostics {
            if one.severity == Severity::Error {
                let place = one.at.map(|at| format!("{}: ", sources.show(at))).unwrap_or_default();
                let help = one.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                lines.push(format!("{place}{}{help}", one.message));
            }
        }
        lines.join("; ")
    }
}
