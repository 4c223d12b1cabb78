//! Data goes to stdout, all else to stderr.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use crate::node::diagnostic::{Report, Severity};
use crate::node::render;
use crate::node::source::Sources;

/// Where a tool writes.
pub struct Output {
    data: AutoStream<io::Stdout>,
    talk: AutoStream<io::Stderr>,
    color: bool,
    /// Characters beyond ASCII may be drawn with.
    pub unicode: bool,
}

impl Output {
    /// The process's own streams. `choice` is what `--color` says; `auto` asks the terminal,
    /// `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    #[must_use]
    pub fn standard(choice: ColorChoice) -> Self {
        let talk_choice = match choice {
            ColorChoice::Auto => AutoStream::choice(&io::stderr()),
            chosen => chosen,
        };
        Self {
            data: AutoStream::new(io::stdout(), choice),
            talk: AutoStream::new(io::stderr(), choice),
            color: talk_choice != ColorChoice::Never,
            unicode: utf8_locale() || !io::stdout().is_terminal(),
        }
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// What the stream says, but that nobody reads any more: that ends the output quietly.
    pub fn data(&mut self, text: &str) -> io::Result<()> {
        self.bytes(text.as_bytes()).map(drop)
    }

    /// Writes a piece of data as it is. Returns whether anybody still reads.
    ///
    /// # Errors
    /// What the stream says.
    pub fn bytes(&mut self, piece: &[u8]) -> io::Result<bool> {
        match self.data.write_all(piece).and_then(|()| self.data.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Writes text for people, without what would steer their terminal.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        let lines: Vec<_> = text.split('\n').map(render::visible).collect();
        self.data(&lines.join("\n"))
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        self.data(&render::visible_json(&format!("{value:#}\n")))
    }

    /// Says something to the person.
    pub fn say(&mut self, text: &str) {
        // When stderr is gone there is nobody left to tell.
        drop(self.talk.write_all(text.as_bytes()));
    }

    /// Shows a report from `least` on.
    pub fn report(&mut self, report: &Report, sources: &Sources, least: Severity) {
        let text = render::text(report, sources, least, self.color);
        self.say(&text);
    }
}

/// Whether the locale draws boxes (locale(7): `LC_ALL`, then `LC_CTYPE`, then `LANG`).
fn utf8_locale() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}
