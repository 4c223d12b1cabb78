//! `red-conf plan`

use serde_json::{Value, json};

use super::session::{Commands, ModeArgs, PlanArgs, RedpathArgs, Session};
use super::table::Table;
use super::{ConfError, Exit, Form, Output};
use crate::node::diagnostic::{Report, Severity};
use crate::node::family::Family;
use crate::node::render;
use crate::spec::layout::{Content, Entry, MountKind};
use crate::spec::plan::Plan;
use crate::spec::provenance::{Provenance, Show, Speller};
use crate::spec::{digest, json as spec_json};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    redpath: RedpathArgs,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Print the digest only
    #[arg(long, conflicts_with = "json")]
    digest: bool,
    /// Print the canonical form, whose SHA-256 is the digest
    #[arg(long, conflicts_with_all = ["json", "digest"])]
    canonical: bool,
}

impl Args {
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &Args, out: &mut Output, least: Severity) -> Result<Exit, ConfError> {
    let session = Session::open(&args.redpath.path(), &args.mode)?;
    let (plan, report) = session.planned(&args.plan, Commands::Show)?;
    let family = &session.family;
    if args.canonical {
        let mut form = Vec::new();
        digest::write_canonical(&mut form, family, &plan.merged, &args.plan.asked(), plan.smack.as_deref())?;
        out.data(&String::from_utf8_lossy(&form))?;
    } else if args.digest {
        out.data(&format!("{}\n", plan.digest))?;
    } else if args.json {
        out.json(&as_json(family, &plan, &report)?)?;
    } else {
        out.text(&as_text(family, &plan))?;
        out.report(&report, &family.sources, least);
    }
    Ok(Exit::Success)
}

/// The whole plan. What differs per launch stands in `launch`.
pub(in crate::cli) fn as_json(family: &Family, plan: &Plan, report: &Report) -> Result<Value, ConfError> {
    let speller = Speller::new(family);
    let from = |export: usize| plan.merged.exports.get(export).map(|export| speller.from(export.origin));
    let root: Vec<Value> = plan.layout.skeleton.iter().map(|(path, entry)| skeleton(path, entry)).collect();
    let within: Vec<Value> = plan.layout.within.iter().map(|(path, entry)| skeleton(path, entry)).collect();
    let mounts: Vec<Value> = plan
        .layout
        .mounts
        .iter()
        .map(|mount| json!({"destination": mount.destination, "from": from(mount.export)}))
        .collect();
    let files: Vec<Value> = files(plan);
    let created = plan.layout.create.iter();
    let create: Vec<Value> =
        created.map(|one| json!({"path": one.path, "mode": if one.private { "0700" } else { "0775" }, "from": from(one.export)})).collect();
    let locks: Vec<Value> = plan
        .layout
        .host_locks
        .iter()
        .map(|lock| json!({"path": lock.path, "from": from(lock.export)}))
        .collect();
    let skipped = plan.layout.skipped.iter();
    let skipped: Vec<Value> =
        skipped.map(|one| json!({"reason": one.reason, "from": from(one.export)})).collect();
    let cgroups: Vec<Value> = plan
        .merged
        .levels
        .iter()
        .map(|level| {
            let limits = level.limits.shown().into_iter();
            let limits: serde_json::Map<String, Value> =
                limits.map(|(name, value, ..)| (name.to_owned(), value.into())).collect();
            json!({"node": family.nodes[level.node].vars.alias, "limits": limits})
        })
        .collect();
    Ok(json!({
        "schema": "red/plan/v1",
        "redpath": plan.redpath,
        "digest": plan.digest.to_string(),
        "spec": spec_json::spec(&plan.spec)?,
        "mounts": mounts,
        "skeleton": root,
        "within": within,
        "files": files,
        "create": create,
        "locks": locks,
        "left_out": skipped,
        "cgroups": cgroups,
        "options": {
            "die-with-parent": plan.die_with_parent(),
            "new-session": plan.new_session(),
            "seccomp": plan.seccomp(),
            "smack": plan.smack,
        },
        "provenance": Provenance::of(family, &plan.merged, Show::Expanded),
        "launch": {"uid": plan.target.uid, "gid": plan.target.gid, "pid": plan.launch.pid, "commands_run": plan.complete},
        "diagnostics": render::json(report, &family.sources)?,
    }))
}

fn skeleton(path: &str, entry: &Entry) -> Value {
    match entry {
        Entry::Dir => json!({"path": path, "type": "directory"}),
        Entry::Anonymous => json!({"path": path, "type": "directory", "writable": true}),
        Entry::File => json!({"path": path, "type": "file"}),
        Entry::Symlink { target } => json!({"path": path, "type": "symlink", "target": target}),
        Entry::Lock => json!({"path": path, "type": "lock"}),
    }
}

fn files(plan: &Plan) -> Vec<Value> {
    let contents = plan.layout.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::File(content) => Some((mount, content)),
        _ => None,
    });
    (1..)
        .zip(contents)
        .map(|(number, (mount, content))| match content {
            Content::Command(command) => {
                json!({"name": format!("files/{number}"), "destination": mount.destination, "command": command})
            }
            Content::Descriptor(fd) => {
                json!({"name": format!("files/{number}"), "destination": mount.destination, "descriptor": fd})
            }
        })
        .collect()
}

pub(in crate::cli) fn as_text(family: &Family, plan: &Plan) -> String {
    let speller = Speller::new(family);
    let mut table = Table::default();
    table.heading(plan.redpath.clone());
    table.heading(plan.digest.to_string());
    table.heading("");
    let user = format!(
        "{}:{} outside, {}:{} inside",
        plan.target.uid, plan.target.gid, plan.inside.uid, plan.inside.gid
    );
    table.row(["user", &user]);
    table.row(["directory", &plan.layout.cwd]);
    for (namespace, share) in plan.merged.shares.iter() {
        let from = share.origin.map_or_else(|| "(default)".to_owned(), |origin| speller.from(origin).show());
        table.row([namespace.tag(), share.value.show(), &from]);
    }
    let granted: Vec<&str> = plan
        .merged
        .capabilities
        .granted()
        .map(|(one, _)| crate::node::capability::capability_name(one))
        .collect();
    table.row(["capabilities", &if granted.is_empty() { "none".to_owned() } else { granted.join(" ") }]);
    for (name, value, origin, _) in plan.merged.tightest.shown() {
        let from = origin.map_or_else(String::new, |origin| speller.from(origin).show());
        table.row([name, &value, &from]);
    }
    table.heading("");
    table.heading("mounts");
    for mount in &plan.layout.mounts {
        let from = plan.merged.exports.get(mount.export).map(|export| speller.from(export.origin).show());
        table.row([&mount.destination, &words(&mount.kind), &from.unwrap_or_default()]);
    }
    table.heading("");
    table.heading("root");
    for (path, entry) in plan.layout.skeleton.iter().chain(&plan.layout.within) {
        let what = match entry {
            Entry::Dir => "directory".to_owned(),
            Entry::Anonymous => "directory, writable".to_owned(),
            Entry::File => "file".to_owned(),
            Entry::Symlink { target } => format!("-> {target}"),
            Entry::Lock => "lock".to_owned(),
        };
        table.row([path, &what]);
    }
    for created in &plan.layout.create {
        table.row([&created.path, "made in the node first"]);
    }
    table.heading("");
    table.heading("environment");
    for entry in &plan.environment {
        let from = entry.origin.map_or_else(|| "(default)".to_owned(), |origin| speller.from(origin).show());
        table.row([&entry.key, entry.value.as_deref().unwrap_or("(a command's output)"), &from]);
    }
    table.render()
}

fn words(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { source, writable, .. } => {
            format!("{} {source}", if *writable { "rw" } else { "ro" })
        }
        MountKind::File(Content::Command(command)) => format!("output of `{command}`"),
        MountKind::File(Content::Descriptor(number)) => format!("contents of descriptor {number}"),
        MountKind::Tmpfs | MountKind::Anonymous | MountKind::DevShm => "tmpfs".to_owned(),
        MountKind::Proc => "proc".to_owned(),
        MountKind::HostProc => "proc of the host".to_owned(),
        MountKind::Mqueue => "mqueue".to_owned(),
        MountKind::Dev => "minimal dev".to_owned(),
        MountKind::DevPts => "devpts".to_owned(),
    }
}
