//! `red-conf mergeconfig`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::session::{ModeArgs, RedpathArgs, Session};
use super::table::Table;
use super::{ConfError, Exit, Form, Output, yaml};
use crate::node::diagnostic::{Report, Severity};
use crate::node::family::Family;
use crate::node::merge::{self, CommandUse};
use crate::node::render;
use crate::spec::provenance::{Entry, Provenance, Show};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    redpath: RedpathArgs,
    #[command(flatten)]
    mode: ModeArgs,
    /// Expand variables. Commands are never run for showing
    #[arg(long)]
    expand: bool,
    /// Print one configuration file that amounts to the family
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        match (self.yaml, self.json) {
            (_, true) => Form::Json,
            (true, _) => Form::Yaml,
            _ => Form::Text,
        }
    }
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath.path(), &args.mode)?;
    let family = &session.family;
    let (merged, found) = merge::merge(family, session.launch(), CommandUse::Keep);
    let mut report = session.report.clone();
    report.append(found);
    let show = if args.expand { Show::Expanded } else { Show::Written };
    let provenance = Provenance::of(family, &merged, show);
    match args.form() {
        Form::Json => out.json(&as_json(family, &provenance, &report)?)?,
        Form::Yaml => out.data(&as_yaml(family, &provenance))?,
        Form::Text => out.text(&as_text(family, &provenance))?,
    }
    if args.form() != Form::Json {
        out.report(&report, &family.sources, least);
    }
    Ok(if report.has_errors() { Exit::Failure } else { Exit::Success })
}

fn nodes(family: &Family) -> Vec<Value> {
    let nodes = family.nodes.iter();
    nodes.map(|node| json!({"alias": node.vars.alias, "path": node.vars.path})).collect()
}

fn as_json(family: &Family, provenance: &Provenance, report: &Report) -> Result<Value, ConfError> {
    let mut value = serde_json::to_value(provenance)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("schema".into(), "red/mergeconfig/v1".into());
        map.insert("redpath".into(), family.leaf().vars.path.clone().into());
        map.insert("admin".into(), family.admin.into());
        map.insert("nodes".into(), nodes(family).into());
        map.insert("diagnostics".into(), render::json(report, &family.sources)?);
    }
    Ok(value)
}

/// Sections and their entries, each with its origin and whom it overrode.
fn as_text(family: &Family, provenance: &Provenance) -> String {
    let mut table = Table::default();
    let redmain = if family.main.config.is_some() { "redmain and " } else { "" };
    let aliases: Vec<&str> = family.nodes.iter().map(|node| node.vars.alias.as_str()).collect();
    let admin = if family.admin { ", admin mode" } else { "" };
    table.heading(format!("{}: {redmain}{}{admin}", family.leaf().vars.path, aliases.join(" / ")));
    for (title, entries) in [
        ("config", &provenance.config),
        ("capabilities", &provenance.capabilities),
        ("limits", &provenance.limits),
        ("environ", &provenance.environ),
        ("exports", &provenance.exports),
        ("not visible", &provenance.hidden),
    ] {
        if entries.is_empty() {
            continue;
        }
        table.heading("");
        table.heading(title);
        for entry in entries {
            rows(entry, &mut table);
        }
    }
    table.render()
}

fn rows(entry: &Entry, table: &mut Table) {
    let from = entry.from.as_ref().map_or_else(|| "(default)".to_owned(), |from| from.show());
    let mode = entry.mode.as_deref().unwrap_or("");
    if mode.is_empty() {
        table.row([&entry.name, &entry.value, &from]);
    } else {
        table.row([&entry.name, &format!("{mode} {}", entry.value), &from]);
    }
    for over in &entry.over {
        table.row(["", &format!("  not: {}", over.value), &format!("{}  ({})", over.from.show(), over.why)]);
    }
}

/// Tags whose values are booleans.
const BOOLEANS: [&str; 4] = ["gpgcheck", "unsafe", "inherit-env", "map-root-user"];

/// One file in the schema, with remarks.
fn as_yaml(family: &Family, provenance: &Provenance) -> String {
    let leaf = &family.leaf().vars;
    let mut out = format!("headers:\n  alias: {}\n", yaml::scalar(&leaf.alias));
    for (key, value) in [("name", &leaf.name), ("info", &leaf.info)] {
        if !value.is_empty() {
            out.push_str(&format!("  {key}: {}\n", yaml::scalar(value)));
        }
    }
    out.push_str("config:\n");
    for list in ["path", "ldpath"] {
        let items: Vec<&Entry> = provenance.config.iter().filter(|entry| entry.name == list).collect();
        let joined = items.iter().map(|item| item.value.as_str()).collect::<Vec<_>>().join(":");
        if !joined.is_empty() {
            out.push_str(&format!("  {list}: {}\n", yaml::scalar(&joined)));
        }
    }
    for entry in provenance.config.iter().filter(|entry| !["path", "ldpath"].contains(&entry.name.as_str())) {
        let boolean = BOOLEANS.contains(&entry.name.as_str());
        let value = if boolean { entry.value.clone() } else { yaml::scalar(&entry.value) };
        out.push_str(&format!("  {}: {value}{}\n", entry.name, remark(entry)));
    }
    limits(&provenance.limits, &mut out);
    list("  ", "capabilities", &provenance.capabilities, &mut out, |entry, pad| {
        let add = u8::from(entry.value == "added");
        format!("{pad}- cap: {}{}\n{pad}  add: {add}\n", entry.name, remark(entry))
    });
    list("", "environ", &provenance.environ, &mut out, |entry, pad| {
        let mode = entry.mode.as_deref().unwrap_or("Default");
        let value = match mode {
            "Remove" | "Inherit" => String::new(),
            _ => format!("{pad}  value: {}\n", yaml::scalar(&entry.value)),
        };
        format!("{pad}- key: {}{}\n{pad}  mode: {mode}\n{value}", yaml::scalar(&entry.name), remark(entry))
    });
    list("", "exports", &provenance.exports, &mut out, |entry, pad| {
        let mode = entry.mode.as_deref().unwrap_or("");
        let path = entry.value.strip_prefix("descriptor ").unwrap_or(&entry.value);
        let path =
            if path.is_empty() { String::new() } else { format!("{pad}  path: {}\n", yaml::scalar(path)) };
        format!("{pad}- mount: {}{}\n{pad}  mode: {mode}\n{path}", yaml::scalar(&entry.name), remark(entry))
    });
    out
}

fn list(pad: &str, key: &str, entries: &[Entry], out: &mut String, one: impl Fn(&Entry, &str) -> String) {
    if !entries.is_empty() {
        out.push_str(&format!("{pad}{key}:\n"));
        entries.iter().for_each(|entry| out.push_str(&one(entry, &format!("{pad}  "))));
    }
}

fn limits(entries: &[Entry], out: &mut String) {
    let mut groups: BTreeMap<&str, Vec<(&str, &Entry)>> = BTreeMap::new();
    for entry in entries {
        if let Some((group, name)) = entry.name.split_once('.') {
            groups.entry(group).or_default().push((name, entry));
        }
    }
    if groups.is_empty() {
        return;
    }
    out.push_str("  cgroups:\n");
    for (group, entries) in groups {
        out.push_str(&format!("    {group}:\n"));
        for (name, entry) in entries {
            out.push_str(&format!("      {name}: {}{}\n", yaml::scalar(&entry.value), remark(entry)));
        }
    }
}

fn remark(entry: &Entry) -> String {
    entry.from.as_ref().map_or_else(String::new, |from| {
        let admin = if from.admin { " (admin)" } else { "" };
        format!("  # {}{admin}:{}", from.node, from.line)
    })
}
