//! `red-conf quadlet`

use std::path::PathBuf;

use super::session::{Commands, ModeArgs, PlanArgs, Session};
use super::{ConfError, Exit, Output};
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic, Report, Severity};
use crate::node::family::Family;
use crate::node::merge::Sharing;
use crate::spec::annotation::{self, ADMIN, PLAN_DIGEST};
use crate::spec::plan::Plan;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node
    redpath: PathBuf,
    #[command(flatten)]
    mode: ModeArgs,
    /// Word of the command to run; repeat for each argument [default: sh]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath, &args.mode)?;
    let (plan, report) = session.planned(&PlanArgs::strict(false), Commands::Show)?;
    let unit = unit(&plan, &session.family, &args.cmd).map_err(|message| {
        let mut report = Report::default();
        report.push(Diagnostic::error(Code::BadValue, message));
        ConfError::Mistakes(report, std::sync::Arc::clone(&session.family.sources))
    })?;
    out.report(&report, &session.family.sources, least);
    out.data(&unit)?;
    Ok(Exit::Success)
}

/// A unit of podman's generator (podman-systemd.unit(5)).
fn unit(plan: &Plan, family: &Family, cmd: &[String]) -> Result<String, String> {
    let vars = &family.leaf().vars;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._@:+,=-".contains(letter);
    if !plan.redpath.chars().all(plain) || plan.redpath.contains(':') {
        return Err(format!(
            "{}: the path has characters that podman or systemd take for something else",
            plan.redpath
        ));
    }
    let mut lines = vec![
        "[Unit]".to_owned(),
        format!("Description=redpak node {}", text(&vars.name)),
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
    let words: Result<Vec<String>, String> = cmd.iter().map(|word| quoted(word)).collect();
    let words = words?;
    lines.push(format!("Exec={}", if words.is_empty() { "sh".to_owned() } else { words.join(" ") }));
    for line in ["", "[Service]", "Restart=on-failure", "", "[Install]", "WantedBy=default.target", ""] {
        lines.push(line.to_owned());
    }
    Ok(lines.join("\n"))
}

/// One line of text, without specifiers.
fn text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('%', "%%")
}

/// Name of a container for an alias: podman has no others than these letters.
fn container(alias: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let name: String = alias.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect();
    // It has to begin with a letter or digit.
    format!(
        "{}{name}",
        if name.starts_with(|first: char| first.is_ascii_alphanumeric()) { "" } else { "node" }
    )
}

/// A word of a command line (systemd.service(5), "Command lines").
fn quoted(word: &str) -> Result<String, String> {
    if word.chars().any(char::is_control) {
        return Err(format!("--cmd `{}`: a unit has no control characters", word.escape_debug()));
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |letter: char| letter.is_alphanumeric() || "/._@:+,=-".contains(letter);
    let bare = !word.is_empty() && word.chars().all(plain);
    Ok(if bare { escaped } else { format!("\"{escaped}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_as_they_are() {
        for (word, wanted) in [
            ("navigation", "navigation"),
            ("--at=/x", "--at=/x"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("$HOME 100%", "\"$$HOME 100%%\""),
            ("\\ \"", "\"\\\\ \\\"\""),
            (";", "\";\""),
        ] {
            assert_eq!(quoted(word).unwrap(), wanted);
        }
        assert!(quoted("a\nExecStartPre=x").is_err());
        assert_eq!(text("a\nExecStartPre=%x"), "a ExecStartPre=%%x");
        assert_eq!((container("a+b"), container("@b")), ("a-b".to_owned(), "node-b".to_owned()));
    }
}
