//! YAML tree → typed configuration, collecting every mistake on the way.

use super::capability::capability;
use super::config::{
    CapabilityEntry, Config, Export, Headers, Limits, Namespace, Shares, Status, Tags, Variable,
};
use super::diagnostic::{Code, Diagnostic, Report};
use super::fields::{self, Fields, Reader};
use super::limit_values as limit;
use super::schema;
use super::source::{FileId, Located};
use super::value::{self, ExportMode, PathUse, State, VarMode, Wrong};
use super::yaml::{self, Yaml};

/// Reads a node's configuration. Mistakes go to `report`; `None` when it cannot be used at all.
pub fn config(file: FileId, text: &str, report: &mut Report) -> Option<Config> {
    any_config(file, text, report, value::alias)
}

/// Reads an admin configuration. Its alias names nothing, and the known templates leave it as
/// `$NODE_ALIAS-admin`, so variables may stand in it.
pub fn admin_config(file: FileId, text: &str, report: &mut Report) -> Option<Config> {
    any_config(
        file,
        text,
        report,
        |text| {
            if text.contains('$') { Ok(text.to_owned()) } else { value::alias(text) }
        },
    )
}

fn any_config(
    file: FileId,
    text: &str,
    report: &mut Report,
    alias: fn(&str) -> Result<String, Wrong>,
) -> Option<Config> {
    read(file, text, report, |reader, root| {
        let fields = reader.map(root, schema::CONFIG, "the file");
        let headers = fields.map("headers").and_then(|node| read_headers(reader, node, alias));
        let tags = fields.map("config").map(|node| read_tags(reader, node)).unwrap_or_default();
        let exports = fields.list(reader, "exports", read_export);
        let environ = fields.list(reader, "environ", read_variable);
        Some(Config { file, headers: headers?, tags, exports, environ })
    })
}

/// Reads a status file. Mistakes go to `report`; `None` when it cannot be used at all.
pub fn status(file: FileId, text: &str, report: &mut Report) -> Option<Status> {
    read(file, text, report, |reader, root| {
        let fields = reader.map(root, schema::STATUS, "the file");
        let realpath = fields.text(reader, "realpath");
        let timestamp = fields.parsed(reader, "timestamp", |text| value::integer(text, 0, i64::MAX));
        let state = fields.parsed(reader, "state", |text| value::word(text, &State::ALL, "a state"));
        let info = fields.text(reader, "info").map(|text| text.value);
        let (realpath, timestamp, state) = (realpath?, timestamp?.value, state?);
        Some(Status { file, realpath, timestamp, state, info })
    })
}

/// Reads a policy file. Mistakes go to `report`; `None` when it cannot be used at all. An empty
/// file is a policy that allows nothing.
pub fn policy(file: FileId, text: &str, report: &mut Report) -> Option<PolicyFile> {
    let from = report.diagnostics().len();
    let policy = read(file, text, report, |reader, root| {
        let fields = reader.map(root, schema::POLICY, "the policy");
        let pools = fields.list(reader, "pools", |reader, node| {
            let fields = reader.map(node, schema::POOL, "a pool");
            let path = fields.parsed(reader, "path", value::absolute);
            let owner = fields.text(reader, "owner");
            Some((path?, owner))
        });
        let mut paths = |key: &str, list: &str, table, name: &'static str| {
            let map = fields.map(key).map(|node| reader.map(node, table, name));
            map.map(|fields| {
                fields.list(reader, list, |reader, node| fields::entry(reader, node, value::absolute))
            })
            .unwrap_or_default()
        };
        let execfd_nodes = paths("execfd", "nodes", schema::EXECFD, "`execfd`");
        let admin_nodes = paths("admin", "nodes", schema::ADMIN, "`admin`");
        let exports = paths("exports", "allow", schema::EXPORTS_ALLOWED, "`exports`");
        Some(PolicyFile { pools, execfd_nodes, admin_nodes, exports })
    });
    if report.diagnostics().len() > from { None } else { policy }
}

/// A policy file, typed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyFile {
    /// Directories and who owns them.
    pub pools: Vec<(Located<String>, Option<Located<String>>)>,
    /// Redpaths whose commands may run under an engine.
    pub execfd_nodes: Vec<Located<String>>,
    /// Redpaths that an engine may start in admin mode.
    pub admin_nodes: Vec<Located<String>>,
    /// Paths that may be exported although they are refused otherwise.
    pub exports: Vec<Located<String>>,
}

/// What stands for a node in an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    /// The node.
    pub redpath: Located<String>,
    /// Admin mode.
    pub admin: bool,
    /// What is missing is an error.
    pub strict: bool,
    /// The digest the plan must have.
    pub digest: Option<String>,
    /// Digests of parts of that plan.
    pub parts: Option<String>,
}

/// Reads a reference file. Mistakes go to `report`; `None` when there are any.
pub fn reference(file: FileId, text: &str, report: &mut Report) -> Option<Reference> {
    let from = report.diagnostics().len();
    let reference = read(file, text, report, |reader, root| {
        let fields = reader.map(root, schema::REFERENCE, "a reference to a node");
        let redpath = fields.parsed(reader, "redpath", value::absolute);
        let mut flag = |key: &str| fields.parsed(reader, key, value::boolean).is_some_and(|flag| flag.value);
        let (admin, strict) = (flag("admin"), flag("strict"));
        let digest = fields.text(reader, "plan-digest").map(|digest| digest.value);
        let parts = fields.text(reader, "plan-parts").map(|parts| parts.value);
        Some(Reference { redpath: redpath?, admin, strict, digest, parts })
    });
    if report.diagnostics().len() > from { None } else { reference }
}

/// What all files share: parse, decode, and keep the number of mistakes within bounds.
fn read<T>(
    file: FileId,
    text: &str,
    report: &mut Report,
    decode: impl FnOnce(&mut Reader<'_>, &Yaml<'_>) -> Option<T>,
) -> Option<T> {
    let from = report.diagnostics().len();
    let result = match yaml::parse(file, text) {
        Err(diagnostic) => {
            report.push(*diagnostic);
            None
        }
        Ok(None) => {
            report.push(
                Diagnostic::error(Code::MissingKey, "the file is empty")
                    .at(super::source::At::whole(file))
                    .help("write at least `headers: {alias: NAME}`"),
            );
            None
        }
        Ok(Some(root)) => decode(&mut Reader { report }, &root),
    };
    report.sort(from);
    report.cap(from, super::limits::MISTAKES);
    result
}

fn read_headers(
    reader: &mut Reader<'_>,
    node: &Yaml<'_>,
    alias: fn(&str) -> Result<String, Wrong>,
) -> Option<Headers> {
    let fields = reader.map(node, schema::HEADERS, "`headers`");
    let alias = fields.parsed(reader, "alias", alias);
    let name = fields.text(reader, "name");
    let info = fields.text(reader, "info");
    Some(Headers { at: node.at, alias: alias?, name, info })
}

fn read_tags(reader: &mut Reader<'_>, node: &Yaml<'_>) -> Tags {
    let fields = reader.map(node, schema::TAGS, "`config`");
    let r = reader;
    Tags {
        rpmdir: fields.text(r, "rpmdir"),
        persistdir: fields.text(r, "persistdir"),
        cachedir: fields.text(r, "cachedir"),
        path: fields.text(r, "path"),
        ldpath: fields.text(r, "ldpath"),
        umask: fields.parsed(r, "umask", value::umask),
        hostname: fields.text(r, "hostname"),
        chdir: fields.text(r, "chdir"),
        set_user: fields.text(r, "set-user"),
        set_group: fields.text(r, "set-group"),
        smack: fields.text(r, "smack"),
        gpgcheck: fields.parsed(r, "gpgcheck", value::boolean),
        unsafe_: fields.parsed(r, "unsafe", value::boolean),
        inherit_env: fields.parsed(r, "inherit-env", value::boolean),
        map_root_user: fields.parsed(r, "map-root-user", value::boolean),
        verbose: fields.parsed(r, "verbose", |text| value::integer(text, 0, 9)),
        die_with_parent: set(fields.parsed(r, "die-with-parent", value::switch)),
        new_session: set(fields.parsed(r, "new-session", value::switch)),
        seccomp: set(fields.parsed(r, "seccomp", value::switch)),
        shares: Shares {
            all: fields.parsed(r, "share_all", value::share),
            each: Namespace::ALL.map(|(tag, _)| fields.parsed(r, tag, value::share)),
        },
        cgrouproot: fields.text(r, "cgrouproot"),
        cgroups: fields.map("cgroups").map(|node| read_limits(r, node)).unwrap_or_default(),
        capabilities: read_capabilities(r, &fields),
    }
}

/// `Unset` is the same as absent.
fn set(switch: Option<Located<Option<bool>>>) -> Option<Located<bool>> {
    let switch = switch?;
    switch.value.map(|on| Located::new(on, switch.at))
}

fn read_limits(r: &mut Reader<'_>, node: &Yaml<'_>) -> Limits {
    let top = r.map(node, schema::CGROUPS, "`cgroups`");
    let mut group = |name: &str, table| {
        top.map(name).map(|node| r.map(node, table, name)).unwrap_or_else(|| Fields::empty(table))
    };
    let cpuset = group("cpuset", schema::CPUSET);
    let mem = group("mem", schema::MEMORY);
    let cpu = group("cpu", schema::CPU);
    let io = group("io", schema::IO);
    let pids = group("pids", schema::PIDS);
    Limits {
        cpus: cpuset.parsed(r, "cpus", limit::number_set),
        mems: cpuset.parsed(r, "mems", limit::number_set),
        cpus_partition: cpuset
            .parsed(r, "cpus_partition", |text| value::word(text, &limit::PARTITIONS, "a partition")),
        memory_max: mem.parsed(r, "max", limit::size),
        memory_high: mem.parsed(r, "high", limit::size),
        memory_min: mem.parsed(r, "min", limit::size),
        memory_low: mem.parsed(r, "low", limit::size),
        oom_group: mem.parsed(r, "oom_group", value::boolean),
        swap_high: mem.parsed(r, "swap_high", limit::size),
        swap_max: mem.parsed(r, "swap_max", limit::size),
        cpu_weight: cpu.parsed(r, "weight", |text| value::integer(text, 1, 10_000)),
        cpu_weight_nice: cpu.parsed(r, "weight_nice", |text| value::integer(text, -20, 19)),
        cpu_max: cpu.parsed(r, "max", limit::cpu_max),
        io_cost_qos: io.text(r, "cost_qos"),
        io_cost_model: io.text(r, "cost_model"),
        io_weight: io.parsed(r, "weight", limit::io_weight),
        io_max: io.parsed(r, "max", limit::io_max),
        pids_max: pids.parsed(r, "max", limit::count),
    }
}

fn read_capabilities(reader: &mut Reader<'_>, tags: &Fields<'_, '_>) -> Vec<CapabilityEntry> {
    let entries = tags.list(reader, "capabilities", |reader, node| {
        let fields = reader.map(node, schema::CAPABILITY, "a capability");
        let cap = fields.parsed(reader, "cap", capability);
        let add = fields.parsed(reader, "add", value::boolean);
        let warn = fields.text(reader, "warn").map(|text| text.value);
        fields.text(reader, "info");
        Some(CapabilityEntry { cap: cap?, add: add?.value, warn })
    });
    for (index, entry) in entries.iter().enumerate() {
        let earlier = &entries[..index];
        let twin = earlier.iter().find(|one| one.cap.value == entry.cap.value && one.add != entry.add);
        if let Some(twin) = twin {
            let name = entry.cap.value;
            reader.report.push(
                Diagnostic::error(
                    Code::ConflictDuplicate,
                    format!("{name} is added and dropped in one file"),
                )
                .at(entry.cap.at)
                .related(twin.cap.at, "the other one")
                .help("keep one of the two"),
            );
        }
    }
    entries
}

fn read_export(reader: &mut Reader<'_>, node: &Yaml<'_>) -> Option<Export> {
    let fields = reader.map(node, schema::EXPORT, "an export");
    let mode = fields.parsed(reader, "mode", |text| value::word(text, &ExportMode::ALL, "an export mode"));
    let mount = fields.text(reader, "mount");
    let path = fields.text(reader, "path");
    let info = fields.text(reader, "info").map(|text| text.value);
    let warn = fields.text(reader, "warn").map(|text| text.value);
    let (mode, mount) = (mode?, mount?);
    match (mode.value.wants_path(), &path) {
        (PathUse::Needed, None) => {
            reader.report.push(
                Diagnostic::error(Code::MissingKey, format!("an export of mode {} needs `path`", mode.value))
                    .at(mode.at)
                    .help(match mode.value {
                        ExportMode::Symlink => "the target of the link",
                        ExportMode::Internal => "the number of an open descriptor",
                        _ => "the command whose output becomes the file",
                    }),
            );
            return None;
        }
        (PathUse::Unused, Some(path)) => reader.report.push(
            Diagnostic::warning(Code::UnusedValue, format!("`path` means nothing to mode {}", mode.value))
                .at(path.at)
                .help("remove it"),
        ),
        _ => {}
    }
    Some(Export { mode: mode.value, mount, path, info, warn })
}

fn read_variable(reader: &mut Reader<'_>, node: &Yaml<'_>) -> Option<Variable> {
    let fields = reader.map(node, schema::VARIABLE, "a variable");
    let mode = fields.parsed(reader, "mode", |text| value::word(text, &VarMode::ALL, "an environment mode"));
    let bad_mode = fields.has("mode") && mode.is_none();
    let key = fields.parsed(reader, "key", value::variable_name);
    let value = fields.text_or_empty(reader, "value");
    let info = fields.text(reader, "info").map(|text| text.value);
    let warn = fields.text(reader, "warn").map(|text| text.value);
    let key = key?;
    if bad_mode {
        return None;
    }
    let mode = mode.map(|mode| mode.value).unwrap_or_default();
    match (&value, mode.wants_value()) {
        (None, true) => {
            reader.report.push(
                Diagnostic::error(Code::MissingKey, format!("a variable of mode {mode} needs `value`"))
                    .at(key.at)
                    .help("write `value: \"\"` for an empty one, or `mode: Remove` to drop it"),
            );
            return None;
        }
        (Some(value), false) => reader.report.push(
            Diagnostic::warning(Code::UnusedValue, format!("`value` means nothing to mode {mode}"))
                .at(value.at)
                .help("remove it"),
        ),
        _ => {}
    }
    Some(Variable { mode, key, value, info, warn })
}
