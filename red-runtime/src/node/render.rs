//! A report as text for people, or as one JSON document for machines.

use std::borrow::Cow;

use annotate_snippets::{Annotation, AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::diagnostic::{Diagnostic, Report, Severity};
use super::source::{At, Sources};

/// Characters of a line that are shown behind a mistake; before it the renderer cuts by itself.
const BEHIND: usize = 110;

/// From this column on a line is no longer shown.
const FAR: usize = 2_000;

/// Renders every diagnostic with its line and a caret, from `least` on.
#[must_use]
pub fn text(report: &Report, sources: &Sources, least: Severity, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for one in report.diagnostics().iter().filter(|one| one.severity <= least) {
        out.push_str(&renderer.render(&[group(one, sources)]));
        out.push_str("\n\n");
    }
    if report.dropped() > 0 {
        out.push_str(&format!("and {} more\n\n", report.dropped()));
    }
    out
}

fn group<'a>(one: &'a Diagnostic, sources: &'a Sources) -> annotate_snippets::Group<'a> {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut elements: Vec<Element<'a>> = Vec::new();
    if let Some(at) = one.at {
        elements.push(place(at, one.label.as_deref(), AnnotationKind::Primary, sources));
    }
    for label in &one.related {
        elements.push(place(label.at, Some(&label.text), AnnotationKind::Context, sources));
    }
    if let Some(help) = &one.help {
        elements.push(Level::HELP.message(visible(help)).into());
    }
    level.primary_title(visible(&one.message)).id(one.code.name()).elements(elements)
}

/// A line with something under it; a file without a line stands alone.
fn place<'a>(at: At, label: Option<&'a str>, kind: AnnotationKind, sources: &'a Sources) -> Element<'a> {
    let path = visible(&sources.path(at.file).to_string_lossy()).into_owned();
    let Some(line) = sources.line(at.file, at.line) else { return Origin::path(path).into() };
    let column = usize::try_from(at.column.saturating_sub(1)).unwrap_or(0);
    let number = usize::try_from(at.line).unwrap_or(1);
    if column > FAR {
        return Origin::path(path).line(number).char_column(column).into();
    }
    let shown = visible(&line[..byte(line, column + BEHIND)]);
    let from = byte(&shown, column);
    let to = byte(&shown, column + usize::try_from(at.length).unwrap_or(1)).max(from);
    // Past the end of the line the caret stands behind it.
    let mut annotation: Annotation<'a> = kind.span(from..to);
    if let Some(label) = label {
        annotation = annotation.label(visible(label));
    }
    Snippet::source(shown).path(path).line_start(number).annotation(annotation).into()
}

/// A text in which every character that would steer a terminal or turn the direction of writing
/// is a replacement character. Tabs stay.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(steers) { Cow::Owned(text.replace(steers, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A JSON document with the same characters written as escapes, which mean the same.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(|c| steers(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if steers(c) && c != '\n' { out.push_str(&format!("\\u{:04x}", u32::from(c))) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether a character steers a terminal, or the direction of text (Unicode Annex 9).
pub(crate) fn steers(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Byte at which the n-th character starts, or the end.
fn byte(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(index, _)| index)
}

#[derive(Serialize)]
struct JsonReport<'a> {
    schema: &'static str,
    errors: usize,
    warnings: usize,
    dropped: usize,
    diagnostics: Vec<JsonDiagnostic<'a>>,
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    severity: &'static str,
    code: &'a str,
    message: &'a str,
    #[serde(flatten)]
    place: Option<JsonPlace<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    related: Vec<JsonRelated<'a>>,
}

#[derive(Serialize)]
struct JsonPlace<'a> {
    file: String,
    /// Absent for a file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonRelated<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: JsonPlace<'a>,
}

fn json_place(at: At, sources: &Sources) -> JsonPlace<'_> {
    let some = (at.line > 0).then_some(at);
    JsonPlace {
        file: sources.path(at.file).display().to_string(),
        line: some.map(|at| at.line),
        column: some.map(|at| at.column),
        length: some.map(|at| at.length),
        text: sources.line(at.file, at.line),
    }
}

/// The report as a JSON value, `red/diagnostics/v1`.
///
/// # Errors
/// None in practice.
pub fn json(report: &Report, sources: &Sources) -> serde_json::Result<serde_json::Value> {
    let diagnostics = report
        .diagnostics()
        .iter()
        .map(|one| JsonDiagnostic {
            severity: one.severity.name(),
            code: one.code.name(),
            message: &one.message,
            place: one.at.map(|at| json_place(at, sources)),
            help: one.help.as_deref(),
            related: one
                .related
                .iter()
                .map(|label| JsonRelated { message: &label.text, place: json_place(label.at, sources) })
                .collect(),
        })
        .collect();
    serde_json::to_value(JsonReport {
        schema: "red/diagnostics/v1",
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        dropped: report.dropped(),
        diagnostics,
    })
}
