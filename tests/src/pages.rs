//! The pages of the manual that come from the code: man pages and completion scripts from the
//! command tree, references and JSON Schemas from the tables of the schema.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use node_store::cli::{dnf_command, rpm_command};
use red_runtime::cli::exit::{Meanings, OF_ENTER, OF_EXEC, OF_LAUNCHES, OF_RUNTIME, OF_TOOLS, OF_WRAP};
use red_runtime::cli::{conf_command, runtime_command, wrap_command};
use red_runtime::node::diagnostic::Code;
use red_runtime::node::limits;
use red_runtime::node::schema::{self, Field, Kind};
use red_runtime::node::value::{ExportMode, State, VarMode};
use red_runtime::node::{expand, json_schema};

/// Directories of which every file is generated.
pub const OWNED: [&str; 3] = ["man", "completions", "schemas"];

/// Where the pages stand.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Every generated page, by its path below `docs/`.
///
/// # Errors
/// A page cannot be put into words.
pub fn pages() -> io::Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for mut command in [conf_command(), runtime_command(), wrap_command(), dnf_command(), rpm_command()] {
        command.build();
        completions(&mut command, &mut pages)?;
        man(&command, command.get_name(), &mut pages)?;
    }
    for (name, schema) in [
        ("config", json_schema::config()),
        ("status", json_schema::status()),
        ("policy", json_schema::policy()),
        ("reference", json_schema::reference()),
    ] {
        pages.insert(format!("schemas/{name}.json"), format!("{schema:#}\n"));
    }
    pages.insert("src/reference/configuration.md".into(), configuration());
    pages.insert("src/reference/diagnostics.md".into(), diagnostics());
    pages.insert("src/reference/bounds.md".into(), bounds());
    Ok(pages)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn completions(command: &mut Command, pages: &mut BTreeMap<String, String>) -> io::Result<()> {
    let name = command.get_name().to_owned();
    let files = [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ];
    for (shell, file) in files {
        let mut script = Vec::new();
        generate(shell, command, name.as_str(), &mut script);
        pages.insert(format!("completions/{file}"), utf8(script)?);
    }
    Ok(())
}

/// The page of a command, and of the commands below it.
fn man(command: &Command, name: &str, pages: &mut BTreeMap<String, String>) -> io::Result<()> {
    let title = name.replace(' ', "-");
    // A page is called by the whole name of its command. clap wants names for ever, and this
    // program ends soon.
    let page = command.clone().name(&*title.clone().leak()).bin_name(name).after_help("");
    let man = Man::new(page).title(title.clone()).section("1").manual("red-runtime");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut bytes)?;
    }
    exit_status(statuses(&title)).to_writer(&mut bytes)?;
    man.render_version_section(&mut bytes)?;
    // Nothing stands behind a line's end, so that every tool leaves the page as it is.
    let text: Vec<&str> =
        std::str::from_utf8(&bytes).map_err(io::Error::other)?.lines().map(str::trim_end).collect();
    pages.insert(format!("man/{title}.1"), format!("{}\n", text.join("\n")));
    for below in command.get_subcommands() {
        // `red-runtime conf` is `red-conf`, and `wrap` is `red-wrap`, which have their pages.
        if title != "red-runtime" || !matches!(below.get_name(), "conf" | "wrap") {
            man_below(below, &title, pages)?;
        }
    }
    Ok(())
}

fn man_below(command: &Command, above: &str, pages: &mut BTreeMap<String, String>) -> io::Result<()> {
    man(command, &format!("{above} {}", command.get_name()), pages)
}

fn statuses(title: &str) -> Meanings {
    match title {
        "red-wrap" | "red-runtime-run" => OF_LAUNCHES,
        "red-runtime-exec" => OF_EXEC,
        "red-wrap-enter" => OF_ENTER,
        "red-wrap-ps" | "red-wrap-kill" | "red-wrap-logs" => OF_WRAP,
        "red-dnf-red-check-update" => OF_UPDATES,
        "red-runtime-doctor" | "red-runtime-gc" => OF_TOOLS,
        title if title == "red-runtime" || title.starts_with("red-runtime-") => OF_RUNTIME,
        _ => OF_TOOLS,
    }
}

/// Those of `red-check-update`.
const OF_UPDATES: Meanings = &[
    ("0", "there is nothing newer"),
    ("1", "it failed"),
    ("2", "it was called wrongly"),
    ("100", "updates are available"),
];

fn exit_status(meanings: Meanings) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in meanings {
        roff.control("TP", []);
        roff.text([roman(*code)]);
        roff.text([roman(*meaning)]);
    }
    roff
}

/// The head of every generated Markdown page.
fn head(title: &str, about: &str) -> String {
    format!(
        "<!-- Written by `cargo run -p red-tests --bin red-pages`; do not edit. -->\n\n# {title}\n\n{about}\n"
    )
}

fn configuration() -> String {
    let mut page = head(
        "Configuration keys",
        "Keys and words are matched whatever their case. What each of them does is told in [The model](../model.md).",
    );
    let files: [(&str, &[Field]); 4] = [
        ("`etc/redpak.yaml`, `etc/redpak-admin.yaml`, `main.yaml`", schema::CONFIG),
        ("`.rednode.yaml`", schema::STATUS),
        ("`/etc/redpak/policy.yaml`", schema::POLICY),
        ("`.redpath.yaml` of an image", schema::REFERENCE),
    ];
    for (title, table) in files {
        let _never = write!(page, "\n## {title}\n");
        keys("", table, &mut page);
    }
    for (title, words) in [
        ("Export modes", ExportMode::ALL.map(|(name, _)| name).to_vec()),
        ("Environment modes", VarMode::ALL.map(|(name, _)| name).to_vec()),
        ("States", State::ALL.map(|(name, _)| name).to_vec()),
        ("Variables", expand::BUILT_IN.to_vec()),
    ] {
        let _never = write!(page, "\n## {title}\n\n`{}`\n", words.join("` `"));
    }
    page
}

/// A table of keys, then one for each map below.
fn keys(above: &str, table: &'static [Field], page: &mut String) {
    let _never = write!(page, "\n| key | value | meaning |\n|---|---|---|\n");
    for field in table {
        let required = if field.required { " (required)" } else { "" };
        let _never =
            writeln!(page, "| `{above}{}`{required} | {} | {} |", field.name, kind(field.kind), field.doc);
    }
    for field in table {
        match field.kind {
            Kind::Map(below) => keys(&format!("{above}{}.", field.name), below, page),
            Kind::List(below) => keys(&format!("{above}{}[].", field.name), below, page),
            _ => {}
        }
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Alias => "letters, digits, `+-_@:`".into(),
        Kind::Expanded => "text, variables expand".into(),
        Kind::PathList => "paths joined by `:`, variables expand".into(),
        Kind::Umask => "octal".into(),
        Kind::Bool => "`true` `false` (`yes` `no` `on` `off` `1` `0`)".into(),
        Kind::Int(least, i64::MAX) => format!("number from {least}"),
        Kind::Int(least, most) => format!("number from {least} to {most}"),
        Kind::Switch => "`Unset` `Enabled` `Disabled`".into(),
        Kind::Share => "`Unset` `Enabled` `Disabled` or the path of a namespace".into(),
        Kind::Capability => "capability, with or without `CAP_`, or `ALL`".into(),
        Kind::ExportMode => "export mode".into(),
        Kind::VarMode => "environment mode".into(),
        Kind::VarName => "name without `=` and white space".into(),
        Kind::State => "state".into(),
        Kind::Size => "bytes, with `K` `M` `G` `T`, or `max`".into(),
        Kind::Count => "number or `max`".into(),
        Kind::CpuMax => "`QUOTA [PERIOD]` in µs, quota may be `max`".into(),
        Kind::NumberSet => "numbers and ranges, as `0-2,5`".into(),
        Kind::Partition => "`member` `root` `isolated`".into(),
        Kind::IoWeight => "`[default] WEIGHT` or `MAJOR:MINOR WEIGHT`".into(),
        Kind::IoMax => "`MAJOR:MINOR rbps=N wbps=N riops=N wiops=N`".into(),
        Kind::Map(_) => "map".into(),
        Kind::List(_) => "list of maps".into(),
        Kind::TextList => "list of texts".into(),
        Kind::Ignored => "ignored, with a note".into(),
    }
}

fn diagnostics() -> String {
    let mut page = head(
        "Diagnostics",
        "The words that name a mistake, in brackets behind its weight and as `code` with `--json`.",
    );
    page.push_str("\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in Code::ALL {
        let _never = writeln!(page, "| `{}` | {} |", code.name(), meaning.trim());
    }
    page
}

fn bounds() -> String {
    let mut page = head(
        "Bounds",
        "Input beyond these is refused with an error that names the bound. Real families stay far below them.",
    );
    page.push_str("\n| bound | value |\n|---|---|\n");
    let rows: [(&str, u64); 13] = [
        ("bytes of one file", limits::FILE_BYTES),
        ("levels of nesting in one file", limits::DEPTH as u64),
        ("collections and scalars of one file, aliases counted as often as used", limits::YAML_NODES as u64),
        ("bytes of one scalar", limits::SCALAR_BYTES as u64),
        ("entries of one list", limits::LIST_ENTRIES as u64),
        ("mistakes shown for one file", limits::MISTAKES as u64),
        ("nodes of one family", limits::FAMILY_NODES as u64),
        ("depth of variables in values of variables", limits::EXPANSION_DEPTH as u64),
        ("variables looked up for one text", limits::EXPANSION_STEPS as u64),
        ("bytes of one expanded text", limits::EXPANDED_BYTES as u64),
        ("commands of one plan", limits::COMMANDS as u64),
        ("bytes a command may print", limits::COMMAND_OUTPUT as u64),
        ("milliseconds a command may take", limits::COMMAND_MILLIS),
    ];
    for (bound, value) in rows {
        let _never = writeln!(page, "| {bound} | {value} |");
    }
    page
}
