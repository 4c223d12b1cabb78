//! The person at the other end: told, shown, asked.

use std::io::{self, BufRead, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use red_runtime::node::render::visible;

use super::output;
use crate::plan::{Action, Change, bytes};
use crate::transaction::{NoTerminal, Talk};

/// A terminal, or whatever stands in for one.
pub(super) struct Person {
    yes: bool,
    quiet: bool,
    json: bool,
    bar: Option<ProgressBar>,
}

impl Person {
    pub(super) fn new(yes: bool, quiet: bool, json: bool) -> Self {
        Self { yes, quiet, json, bar: None }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Talk for Person {
    fn say(&mut self, line: &str) {
        self.clear();
        output::say(line);
    }

    fn show(&mut self, node: &str, changes: &[Change]) {
        self.clear();
        if self.json {
            // What cannot be written is for nobody.
            drop(output::json(&serde_json::json!({"node": node, "changes": changes})));
        } else if !self.quiet {
            output::say(&plan(node, changes));
        }
    }

    fn agrees(&mut self, question: &str) -> Result<bool, NoTerminal> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(NoTerminal);
        }
        loop {
            drop(write!(io::stderr(), "{} [y/N]: ", visible(question)));
            let mut answer = String::new();
            let read = io::stdin().lock().read_line(&mut answer);
            match answer.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "" | "n" | "no" => return Ok(false),
                _ if !matches!(read, Ok(length) if length > 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn step(&mut self, what: &str, done: u64, total: u64) {
        if self.quiet || self.json {
            return;
        }
        if !io::stderr().is_terminal() {
            if !what.is_empty() {
                output::say(&format!("  {what}"));
            }
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        if total > 0 {
            bar.set_length(total);
            bar.set_position(done);
        }
        if !what.is_empty() {
            bar.set_message(visible(what).into_owned());
        }
    }
}

/// The table of a transaction.
fn plan(node: &str, changes: &[Change]) -> String {
    let mut rows =
        vec![["", "package", "version", "arch", "repository", "size", "reason"].map(String::from).to_vec()];
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by(|one, other| (one.action, &one.name).cmp(&(other.action, &other.name)));
    for change in &sorted {
        rows.push(vec![
            change.action.words().to_owned(),
            change.name.clone(),
            change.evr.clone(),
            change.arch.clone(),
            change.repo.clone(),
            bytes(change.size),
            change.reason.clone(),
        ]);
    }
    let adds = || sorted.iter().filter(|change| change.action != Action::Remove);
    let download: u64 = adds().map(|change| change.download).sum();
    let size: u64 = adds().map(|change| change.size).sum();
    let removed = sorted.len() - adds().count();
    format!(
        "node `{node}`:\n{}\n{} to install or change, {removed} to remove; to fetch {}, installed {}",
        output::table(&rows).join("\n"),
        adds().count(),
        bytes(download),
        bytes(size)
    )
}
