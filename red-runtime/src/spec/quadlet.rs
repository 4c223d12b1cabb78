//! A unit of podman (quadlet) that runs a node.

use crate::node::config::Namespace;
use crate::node::family::Family;
use crate::node::merge::Sharing;
use crate::node::render::steers;
use crate::spec::annotation::{self, ADMIN, PLAN_DIGEST};
use crate::spec::plan::Plan;

/// Errors of writing a unit.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A unit cannot hold the path of the node.
    #[error("{0}: the path has characters that podman or systemd take for something else; move the node")]
    Path(String),
    /// A unit cannot hold the name of the node.
    #[error("name of the node `{}`: a unit has no control characters and none that change the direction of text", .0.escape_unicode())]
    Name(String),
    /// A unit cannot hold a word of the command.
    #[error("--cmd `{word}`: {why}")]
    Word {
        /// The word, escaped.
        word: String,
        /// The reason.
        why: &'static str,
    },
    /// A unit cannot hold a word of a command line.
    #[error("`{0}`: a unit has no control characters and none that change the direction of text")]
    Argument(String),
    /// A unit cannot hold the path of a program.
    #[error("--red-wrap {0}: not an absolute path of letters, digits and `._+-`")]
    Program(String),
}

/// A unit of podman's generator (podman-systemd.unit(5)).
///
/// # Errors
/// The path, the name or a word of the command cannot be in a unit.
pub fn unit(plan: &Plan, family: &Family, cmd: &[String]) -> Result<String, UnitError> {
    let vars = &family.leaf().vars;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._@+,=-".contains(letter);
    if !plan.redpath.chars().all(plain) {
        return Err(UnitError::Path(plan.redpath.clone()));
    }
    let mut lines = vec![
        "# Needs podman 4.5 or newer: earlier generators do not know Rootfs=.".to_owned(),
        "[Unit]".to_owned(),
        format!("Description=redpak node {}", text(&vars.name)?),
        String::new(),
        "[Container]".to_owned(),
        format!("ContainerName={}", container(&vars.alias)),
        format!("Rootfs={}:O", plan.redpath),
        "PodmanArgs=--runtime=red-runtime".to_owned(),
        format!("Annotation={}={}", annotation::full(PLAN_DIGEST), plan.digest),
    ];
    if family.admin {
        lines.push(format!("Annotation={}=true", annotation::full(ADMIN)));
    }
    let hosts = |namespace| plan.merged.shares.get(namespace).value == Sharing::Host;
    if hosts(Namespace::Net) {
        lines.push("Network=host".to_owned());
    }
    for (namespace, option) in [(Namespace::Pid, "--pid=host"), (Namespace::Ipc, "--ipc=host")] {
        if hosts(namespace) {
            lines.push(format!("PodmanArgs={option}"));
        }
    }
    let words: Result<Vec<String>, UnitError> = cmd.iter().map(|word| quoted(word)).collect();
    let words = words?;
    lines.push(format!("Exec={}", if words.is_empty() { "sh".to_owned() } else { words.join(" ") }));
    for line in ["", "[Service]", "Restart=on-failure", "", "[Install]", "WantedBy=default.target", ""] {
        lines.push(line.to_owned());
    }
    Ok(lines.join("\n"))
}

/// A description: without specifiers, and without a backslash, which continues a line at its end. systemd takes
/// `\\` there for one, podman's generator does not.
pub(super) fn text(text: &str) -> Result<String, UnitError> {
    let text = text.trim();
    if text.chars().any(is_unprintable) {
        return Err(UnitError::Name(text.to_owned()));
    }
    Ok(text.replace('\\', "\\x5c").replace('%', "%%"))
}

/// What steers a terminal or the direction of text, or separates lines.
pub(super) fn is_unprintable(letter: char) -> bool {
    steers(letter) || matches!(letter, '\t' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
}

/// Name of a container for an alias: podman has no others than these letters.
pub(crate) fn container(alias: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let name: String = alias.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect();
    // It has to begin with a letter or digit.
    format!(
        "{}{name}",
        if name.starts_with(|first: char| first.is_ascii_alphanumeric()) { "" } else { "node" }
    )
}

/// A word of a command line (systemd.service(5), "Command lines").
fn quoted(word: &str) -> Result<String, UnitError> {
    let refused = |why| UnitError::Word { word: word.escape_debug().to_string(), why };
    match word {
        "" => return Err(refused("podman's generator loses an empty word; put the command into a script")),
        ";" => {
            return Err(refused(
                "systemd takes this word for the end of a command; put the command into a script",
            ));
        }
        _ if word.chars().any(is_unprintable) => {
            return Err(refused(
                "a unit has no control characters and none that change the direction of text",
            ));
        }
        _ => {}
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |letter: char| letter.is_alphanumeric() || "/._@:+,=-".contains(letter);
    Ok(if word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_as_they_are() {
        for (word, wanted) in [
            ("navigation", "navigation"),
            ("--at=/x", "--at=/x"),
            ("a b", "\"a b\""),
            ("$HOME 100%", "\"$$HOME 100%%\""),
            ("\\ \"", "\"\\\\ \\\"\""),
            ("a;", "\"a;\""),
        ] {
            assert_eq!(quoted(word).unwrap(), wanted);
        }
        for (word, why) in [
            ("a\nExecStartPre=x", "control"),
            ("a\u{202e}b", "direction"),
            (";", "end of a command"),
            ("", "empty word"),
        ] {
            let error = quoted(word).unwrap_err().to_string();
            assert!(error.starts_with("--cmd `") && error.contains(why), "{error}");
        }
        assert_eq!((container("a+b"), container("@b")), ("a-b".to_owned(), "node-b".to_owned()));
    }

    #[test]
    fn a_name_is_one_line_and_no_other_text_than_it_looks() {
        assert_eq!(text(" 100% \u{e9}t\u{e9}\n").unwrap(), "100%% \u{e9}t\u{e9}");
        assert_eq!(text("a\\").unwrap(), "a\\x5c", "it would continue the line");
        for name in ["a\nExecStartPre=x", "a\tb", "a\u{1b}[2J", "a\u{202e}b", "a\u{2066}b", "a\u{2028}b"] {
            assert!(matches!(text(name), Err(UnitError::Name(_))), "{name:?}");
        }
    }
}
