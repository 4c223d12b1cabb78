//! Data on stdout, all else on stderr; nothing that would steer a terminal.

use std::io::{self, Write};

use red_runtime::node::render::{visible, visible_json};

/// Writes data. That nobody reads any more ends the output quietly.
pub(super) fn data(text: &str) -> io::Result<()> {
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
