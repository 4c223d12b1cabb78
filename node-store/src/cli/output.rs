//! Data on stdout, all else on stderr; nothing that would steer a terminal.

use std::io::{self, Write};

use red_runtime::node::render::{visible, visible_json};

/// Writes data that are [`visible`] already. That nobody reads any more ends the output quietly.
fn data(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes lines for people.
pub(super) fn lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> io::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&visible(line.as_ref()));
        text.push('\n');
    }
    data(&text)
}

/// Writes one JSON document.
pub(super) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    data(&visible_json(&format!("{text}\n")))
}

/// Says something to the person.
pub(super) fn say(text: &str) {
    // When stderr is gone there is nobody left to tell.
    drop(writeln!(io::stderr().lock(), "{}", text.split('\n').map(visible).collect::<Vec<_>>().join("\n")));
}

/// A table, columns as wide as they need.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells =
                row.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = widths[at]));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_text_steers_a_terminal(text in "\\PC{0,20}(\\x1b[\\]\\[P^_X][0-9;]{0,4}[a-zA-Z\\x07]|[\\x00-\\x1f\\x7f-\\u{9f}]|[\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}]|.){0,20}") {
            let steers = |c: char| c.is_control() && c != '\t' || "\u{202e}\u{202d}\u{2066}".contains(c);
            let table = table(&[vec![text.clone(), text.clone()]]);
            for line in table.iter().chain([&text]) {
                proptest::prop_assert!(!visible(line).contains(steers));
            }
            let json = serde_json::to_string_pretty(&serde_json::json!({"text": text})).unwrap();
            let shown = visible_json(&json);
            proptest::prop_assert!(!shown.contains(|c| steers(c) && c != '\n'));
            let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
            proptest::prop_assert_eq!(back["text"].as_str(), Some(text.as_str()));
        }
    }
}
