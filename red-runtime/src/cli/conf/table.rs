//! Columns for people.

use crate::node::render::visible;

/// Lines of cells, padded so that columns stand under each other.
#[derive(Default)]
pub(in crate::cli) struct Table {
    rows: Vec<Row>,
}

enum Row {
    /// A line as it is.
    Plain(String),
    /// Cells; the last is not padded.
    Cells(Vec<String>),
}

/// Beyond this a cell no longer widens its column: the rest of its line moves instead.
const WIDEST: usize = 44;

impl Table {
    /// A heading.
    pub(in crate::cli) fn heading(&mut self, text: impl Into<String>) {
        self.rows.push(Row::Plain(text.into()));
    }

    /// A line of cells.
    pub(in crate::cli) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(Row::Cells(cells.map(|cell| visible(cell).into_owned()).to_vec()));
    }

    /// The text.
    pub(in crate::cli) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count().min(WIDEST));
            }
        }
        let mut out = String::new();
        for row in &self.rows {
            match row {
                Row::Plain(text) => out.push_str(text),
                Row::Cells(cells) => {
                    let mut line = String::from("  ");
                    for (cell, width) in cells.iter().zip(&widths) {
                        line.push_str(&format!("{cell:<width$}  "));
                    }
                    out.push_str(line.trim_end());
                }
            }
            out.push('\n');
        }
        out
    }
}
