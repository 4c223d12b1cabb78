//! Fills alias, name and info into the text of a template, leaving its remarks alone.

use serde_json::Value;

use super::CreateError;
use super::templates::Template;
use crate::node::config::Config;
use crate::node::diagnostic::Report;
use crate::node::expand::{self, Commands, Scope};
use crate::node::source::{At, FileId, Sources};

type Decode = fn(FileId, &str, &mut Report) -> Option<Config>;

/// A text as a YAML scalar in double quotes (JSON's notation is valid YAML).
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The template with its headers filled in: the alias, a name (a fresh UUID unless the node has
/// one), and who made it when. The result is checked to be what was meant.
pub(super) fn fill(
    template: &Template,
    scope: Scope<'_>,
    alias: &str,
    decode: Decode,
) -> Result<String, CreateError> {
    let config = read(&template.name, &template.text, decode)?;
    let bad = |reason| CreateError::Headers { name: template.name.clone(), reason };
    let name = if scope.node.name.is_empty() { scope.launch.uuid() } else { &scope.node.name };
    let info = expand::expand("Node created by $LOGNAME($HOSTNAME) the $TODAY", scope, Commands::AsText);
    let info = info.map(|info| info.actual).unwrap_or_default();
    let headers = &config.headers;
    let mut edits: Vec<(At, String)> = vec![(headers.alias.at, alias.to_owned())];
    let mut missing = Vec::new();
    for (key, there, value) in [("name", &headers.name, name), ("info", &headers.info, &info)] {
        match there {
            Some(there) => edits.push((there.at, quoted(value))),
            None => missing.push((key, quoted(value))),
        }
    }
    let mut lines: Vec<String> = template.text.lines().map(str::to_owned).collect();
    // From the last to the first, so that places before stay where they are.
    edits.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (at, value) in &edits {
        let line = line_of(&mut lines, *at).ok_or_else(|| bad("a place in it is gone"))?;
        *line = spliced(line, *at, value).ok_or_else(|| bad("write each value on one line"))?;
    }
    insert(&mut lines, headers.alias.at, headers.at, &missing)
        .ok_or_else(|| bad("write `alias` on a line of its own"))?;
    let text = lines.join("\n") + "\n";
    let filled = read(&template.name, &text, decode)?.headers;
    let is = |value: Option<&crate::node::source::Located<String>>, wanted: &str| {
        value.is_some_and(|value| value.value == wanted)
    };
    let good =
        filled.alias.value == alias && is(filled.name.as_ref(), name) && is(filled.info.as_ref(), &info);
    if good { Ok(text) } else { Err(bad("write `headers` in its simplest form")) }
}

fn read(name: &str, text: &str, decode: Decode) -> Result<Config, CreateError> {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let file = sources.add(name, text);
    match decode(file, text, &mut report) {
        Some(config) if !report.has_errors() => Ok(config),
        _ => Err(CreateError::Mistakes { report, sources }),
    }
}

fn line_of(lines: &mut [String], at: At) -> Option<&mut String> {
    lines.get_mut(usize::try_from(at.line).ok()?.checked_sub(1)?)
}

/// A line with the characters of a place replaced.
fn spliced(line: &str, at: At, value: &str) -> Option<String> {
    let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
    let length = usize::try_from(at.length).ok()?;
    let byte = |n: usize| line.char_indices().map(|(index, _)| index).chain([line.len()]).nth(n);
    Some(format!("{}{value}{}", &line[..byte(column)?], &line[byte(column + length)?..]))
}

/// Adds keys that the template does not have, behind its alias.
fn insert(lines: &mut Vec<String>, alias: At, headers: At, missing: &[(&str, String)]) -> Option<()> {
    if missing.is_empty() {
        return Some(());
    }
    let index = usize::try_from(alias.line).ok()?.checked_sub(1)?;
    let line = lines.get_mut(index)?;
    let indent = line.len() - line.trim_start().len();
    if line.trim_start().to_ascii_lowercase().starts_with("alias") {
        for (key, value) in missing.iter().rev() {
            lines.insert(index + 1, format!("{}{key}: {value}", " ".repeat(indent)));
        }
        return Some(());
    }
    // `headers: {alias: …}` on one line: behind the brace that opens it.
    let open = usize::try_from(headers.column).ok()?.checked_sub(1)?;
    let brace = line.char_indices().nth(open).filter(|(_, c)| *c == '{')?.0;
    let added: String = missing.iter().map(|(key, value)| format!("{key}: {value}, ")).collect();
    line.insert_str(brace + 1, &added);
    Some(())
}
