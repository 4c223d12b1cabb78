//! A service of systemd that runs a command of a node (systemd.service(5)).

use std::path::Path;

use super::plan::Plan;
use super::quadlet::{UnitError, is_unprintable, text};
use crate::node::config::Namespace;
use crate::node::family::Family;
use crate::node::merge::Sharing;

/// When the service counts as started (systemd.service(5), "Type=").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// Once red-wrap is executed.
    Exec,
    /// Once the command says so (sd_notify(3)).
    Notify,
}

/// What a service is made of.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// Path of red-wrap.
    pub program: &'a Path,
    /// When it counts as started.
    pub start: Start,
    /// It is for the manager of an ordinary user.
    pub user: bool,
    /// The command is sent SIGHUP to reload.
    pub reload: bool,
    /// Options of red-wrap besides the node.
    pub options: &'a [String],
    /// The command.
    pub command: &'a [String],
}

/// Restrictions that a launch works under. For an ordinary user each implies NoNewPrivileges=, without which there is no
/// newuidmap(1).
const RESTRICTIONS: [&str; 4] =
    ["NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes", "SystemCallArchitectures=native"];

impl Service<'_> {
    /// The unit that runs a plan's node.
    ///
    /// # Errors
    /// The path of red-wrap, the name of the node or a word cannot be in a unit.
    pub fn unit(&self, plan: &Plan, family: &Family) -> Result<String, UnitError> {
        let mut lines = vec![
            "[Unit]".to_owned(),
            format!("Description=redpak node {}", text(&family.leaf().vars.name)?),
            "Documentation=man:red-wrap(1)".to_owned(),
            format!("RequiresMountsFor={}", quoted(&plan.redpath, false)?),
        ];
        // The manager of a user has no such target.
        if !self.user && plan.merged.shares.get(Namespace::Net).value == Sharing::Host {
            lines.extend(["Wants", "After"].map(|key| format!("{key}=network-online.target")));
        }
        lines.extend(["", "[Service]"].map(str::to_owned));
        match self.start {
            Start::Exec => lines.push("Type=exec".to_owned()),
            // The command is another process than the main one, which is red-wrap.
            Start::Notify => lines.extend(["Type=notify", "NotifyAccess=all"].map(str::to_owned)),
        }
        lines.push(format!("ExecStart={}", self.command_line(plan)?));
        if self.reload {
            lines.push("ExecReload=/bin/kill -HUP $MAINPID".to_owned());
        }
        lines.extend(
            [
                "KillMode=mixed",
                "Delegate=yes",
                "SuccessExitStatus=143",
                "Restart=on-failure",
                "RestartPreventExitStatus=125 126 127",
            ]
            .map(str::to_owned),
        );
        let restrictions = if self.user { &[][..] } else { &RESTRICTIONS[..] };
        lines.extend(restrictions.iter().map(|line| (*line).to_owned()));
        let target = if self.user { "default.target" } else { "multi-user.target" };
        lines.extend(["UMask=0027", "", "[Install]"].map(str::to_owned));
        lines.push(format!("WantedBy={target}\n"));
        Ok(lines.join("\n"))
    }

    fn command_line(&self, plan: &Plan) -> Result<String, UnitError> {
        let program = self.program.to_str().filter(|_| self.program.is_absolute());
        // Of the program variables are not expanded, but everything else is.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._+-".contains(letter);
        let program = program.filter(|path| path.chars().all(plain));
        let program = program.ok_or_else(|| UnitError::Program(self.program.display().to_string()))?;
        let redpath = format!("--redpath={}", plan.redpath);
        let mut words = vec![program.to_owned(), quoted(&redpath, true)?];
        for option in self.options {
            words.push(quoted(option, true)?);
        }
        words.push("--".to_owned());
        for word in self.command {
            words.push(quoted(word, true)?);
        }
        Ok(words.join(" "))
    }
}

/// A word as systemd reads it back (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers"); on a command line,
/// where `variables` are expanded, without that.
fn quoted(word: &str, variables: bool) -> Result<String, UnitError> {
    let mut all = String::with_capacity(word.len() + 2);
    for letter in word.chars() {
        match letter {
            '\\' => all.push_str("\\\\"),
            '"' => all.push_str("\\\""),
            '%' => all.push_str("%%"),
            '$' if variables => all.push_str("$$"),
            '\n' => all.push_str("\\n"),
            '\t' => all.push_str("\\t"),
            letter if is_unprintable(letter) => {
                return Err(UnitError::Argument(word.escape_debug().to_string()));
            }
            letter => all.push(letter),
        }
    }
    let plain = |letter: char| letter.is_alphanumeric() || "/._@:+,=-".contains(letter);
    Ok(if !word.is_empty() && word.chars().all(plain) { all } else { format!("\"{all}\"") })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_read_back_as_they_were() {
        for (word, wanted) in [
            ("navigation", "navigation"),
            ("--at=/x", "--at=/x"),
            ("", "\"\""),
            (";", "\";\""),
            ("a b", "\"a b\""),
            ("$HOME 100%", "\"$$HOME 100%%\""),
            ("\\ \"'", "\"\\\\ \\\"'\""),
            ("a\n\tb", "\"a\\n\\tb\""),
        ] {
            assert_eq!(quoted(word, true).unwrap(), wanted);
        }
        assert_eq!(quoted("/a$b", false).unwrap(), "\"/a$b\"");
        for word in ["a\u{1b}[2J", "a\u{202e}b", "a\u{2028}b", "a\rb"] {
            assert!(quoted(word, true).is_err(), "{word:?}");
        }
    }
}
