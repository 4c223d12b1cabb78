//! The keys of the two file formats, in one table each.
//!
//! The decoder, the JSON Schema of `red-conf schema`, the reference page of the manual and the
//! "did you mean" hints all read these tables, so a key exists in one place.

/// What a key's value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any single value.
    Text,
    /// An alias (letters, digits, `+-_@:`).
    Alias,
    /// A path or other text in which variables expand.
    Expanded,
    /// Paths joined by colons, in which variables expand and commands do not.
    PathList,
    /// An octal umask.
    Umask,
    /// A boolean.
    Bool,
    /// A whole number within bounds.
    Int(i64, i64),
    /// `Unset`, `Enabled` or `Disabled`.
    Switch,
    /// A switch or the path of a namespace file.
    Share,
    /// A capability, or `ALL`.
    Capability,
    /// An export mode.
    ExportMode,
    /// An environment mode.
    VarMode,
    /// The name of an environment variable.
    VarName,
    /// The state of a node.
    State,
    /// Bytes with a suffix, or `max`.
    Size,
    /// A count, or `max`.
    Count,
    /// `QUOTA [PERIOD]`.
    CpuMax,
    /// A list of processor or memory node numbers.
    NumberSet,
    /// `member`, `root` or `isolated`.
    Partition,
    /// Weights of block devices.
    IoWeight,
    /// Bandwidths of block devices.
    IoMax,
    /// A map with these keys.
    Map(&'static [Field]),
    /// A list of maps with these keys.
    List(&'static [Field]),
    /// A list of single values.
    TextList,
    /// Accepted from old files, without effect.
    Ignored,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name. Matched whatever the case.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Whether a map without it is an error.
    pub required: bool,
    /// What it means, one sentence without a full stop.
    pub doc: &'static str,
}

const fn field(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: false, doc }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: true, doc }
}

/// `etc/redpak.yaml` and its relatives.
pub const CONFIG: &[Field] = &[
    required("headers", Kind::Map(HEADERS), "Who the node is"),
    field("config", Kind::Map(TAGS), "Settings of the node and of what runs in it"),
    field("exports", Kind::List(EXPORT), "What becomes visible inside"),
    field("environ", Kind::List(VARIABLE), "Environment variables"),
];

/// `headers`.
pub const HEADERS: &[Field] = &[
    required("alias", Kind::Alias, "Name within the family; siblings may share it"),
    field("name", Kind::Text, "Name that should be unique, for people"),
    field("info", Kind::Text, "Anything that helps to manage the node"),
];

/// `config`.
pub const TAGS: &[Field] = &[
    field("rpmdir", Kind::Expanded, "Directory of the node's package database"),
    field("persistdir", Kind::Expanded, "Directory of the package manager's state"),
    field("cachedir", Kind::Expanded, "Directory of downloaded packages and metadata"),
    field("path", Kind::PathList, "Directories of programs, become PATH"),
    field("ldpath", Kind::PathList, "Directories of libraries, become LD_LIBRARY_PATH"),
    field("umask", Kind::Umask, "Mode bits that new files do not get, in octal"),
    field("hostname", Kind::Expanded, "Host name inside; set, it brings a UTS namespace"),
    field("chdir", Kind::Expanded, "Working directory of the command"),
    field("set-user", Kind::Expanded, "User the command runs as, by name or number"),
    field("set-group", Kind::Expanded, "Group the command runs as, by name or number"),
    field("smack", Kind::Expanded, "Smack label of the command"),
    field("gpgcheck", Kind::Bool, "Packages must be signed; holds for all descendants"),
    field("unsafe", Kind::Bool, "Start a node even if it was moved from where it was made"),
    field("inherit-env", Kind::Bool, "Start from the launching environment instead of an empty one"),
    field("map-root-user", Kind::Bool, "Appear as uid 0 inside a user namespace (0 or 1)"),
    field("verbose", Kind::Int(0, 9), "How much the tools say"),
    field("die-with-parent", Kind::Switch, "End the command when the launcher ends"),
    field("new-session", Kind::Switch, "Start the command in a session of its own"),
    field(
        "seccomp",
        Kind::Switch,
        "Load the standard system call filter, under an engine its part about set-user-ID files (default); an ancestor's Enabled holds",
    ),
    field("share_all", Kind::Share, "Default of the namespaces below but for time"),
    field("share_user", Kind::Share, "The host's user namespace (Enabled), a new one or this one"),
    field("share_cgroup", Kind::Share, "The host's cgroup namespace, a new one or this one"),
    field("share_net", Kind::Share, "The host's network, a new one or this one"),
    field("share_pid", Kind::Share, "The host's processes, a new namespace or this one"),
    field("share_ipc", Kind::Share, "The host's System V and POSIX IPC, a new namespace or this one"),
    field("share_time", Kind::Share, "The host's clocks, a new namespace or this one"),
    field("cgrouproot", Kind::Expanded, "Cgroup below which the family's cgroups are made"),
    field("cgroups", Kind::Map(CGROUPS), "Limits on resources"),
    field("capabilities", Kind::List(CAPABILITY), "Capabilities added or dropped"),
    field("maxage", Kind::Ignored, "Of older releases, without effect"),
    field("inherit", Kind::Ignored, "Of older releases, without effect"),
];

/// `config.cgroups`.
pub const CGROUPS: &[Field] = &[
    field("cpuset", Kind::Map(CPUSET), "Processors and memory nodes"),
    field("mem", Kind::Map(MEMORY), "Memory"),
    field("cpu", Kind::Map(CPU), "Processor time"),
    field("io", Kind::Map(IO), "Block devices"),
    field("pids", Kind::Map(PIDS), "Processes"),
];

/// `config.cgroups.cpuset`.
pub const CPUSET: &[Field] = &[
    field("cpus", Kind::NumberSet, "Processors, such as 0-2,5"),
    field("mems", Kind::NumberSet, "Memory nodes"),
    field("cpus_partition", Kind::Partition, "Scheduling partition: member, root or isolated"),
];

/// `config.cgroups.mem`.
pub const MEMORY: &[Field] = &[
    field("max", Kind::Size, "Hard limit; beyond it processes are killed"),
    field("high", Kind::Size, "Throttling limit"),
    field("min", Kind::Size, "Memory that is never reclaimed"),
    field("low", Kind::Size, "Memory reclaimed last"),
    field("oom_group", Kind::Bool, "Kill the whole cgroup when memory ends"),
    field("swap_high", Kind::Size, "Throttling limit of swap"),
    field("swap_max", Kind::Size, "Hard limit of swap"),
];

/// `config.cgroups.cpu`.
pub const CPU: &[Field] = &[
    field("weight", Kind::Int(1, 10_000), "Share of processor time against siblings"),
    field("weight_nice", Kind::Int(-20, 19), "The same as a nice value"),
    field("max", Kind::CpuMax, "Bandwidth: QUOTA [PERIOD] in microseconds"),
];

/// `config.cgroups.io`.
pub const IO: &[Field] = &[
    field("cost_qos", Kind::Text, "Quality of service of the io cost model (root cgroup only)"),
    field("cost_model", Kind::Text, "The io cost model (root cgroup only)"),
    field("weight", Kind::IoWeight, "Share of a device against siblings"),
    field("max", Kind::IoMax, "Bandwidth by device, such as 8:0 rbps=2097152"),
];

/// `config.cgroups.pids`.
pub const PIDS: &[Field] = &[field("max", Kind::Count, "Most processes and threads")];

/// One of `config.capabilities`.
pub const CAPABILITY: &[Field] = &[
    required("cap", Kind::Capability, "Its name, or ALL, which is applied first"),
    required("add", Kind::Bool, "1 adds it, 0 drops it"),
    field("info", Kind::Text, "Anything about it"),
    field("warn", Kind::Text, "Shown when a descendant changes it"),
];

/// One of `exports`.
pub const EXPORT: &[Field] = &[
    required("mode", Kind::ExportMode, "How it becomes visible"),
    required("mount", Kind::Expanded, "Absolute path inside"),
    field(
        "path",
        Kind::Expanded,
        "Path outside (or target, command, descriptor); the same as mount when absent",
    ),
    field("info", Kind::Text, "Anything about it"),
    field("warn", Kind::Text, "Shown when a descendant changes it"),
];

/// One of `environ`.
pub const VARIABLE: &[Field] = &[
    field("mode", Kind::VarMode, "Where its value comes from, Default when absent"),
    required("key", Kind::VarName, "Its name"),
    field("value", Kind::Expanded, "Its value, or a command"),
    field("info", Kind::Text, "Anything about it"),
    field("warn", Kind::Text, "Shown when a descendant changes it"),
];

/// `.rednode.yaml`.
pub const STATUS: &[Field] = &[
    required("realpath", Kind::Text, "Where the node was made"),
    required("timestamp", Kind::Int(0, i64::MAX), "Last change, milliseconds since 1970"),
    required("state", Kind::State, "Only Enable starts"),
    field("info", Kind::Text, "Anything about it"),
];

/// `/etc/redpak/policy.yaml`.
pub const POLICY: &[Field] = &[
    field("pools", Kind::List(POOL), "Directories whose nodes engines may start"),
    field("execfd", Kind::Map(EXECFD), "Commands of nodes that an engine starts"),
    field("admin", Kind::Map(ADMIN), "Admin mode of nodes that an engine starts"),
    field("exports", Kind::Map(EXPORTS_ALLOWED), "Exports and volumes that are refused otherwise"),
];

/// `exports` of a policy.
pub const EXPORTS_ALLOWED: &[Field] = &[field(
    "allow",
    Kind::TextList,
    "Paths of the host that nodes may export and engines may mount although they belong to the kernel or a privileged service, or decide for nodes; with a closing slash, everything below too",
)];

/// One of `pools`.
pub const POOL: &[Field] = &[
    required("path", Kind::Text, "The directory, absolute"),
    field(
        "owner",
        Kind::Text,
        "Who besides root may write there, by name or number; absent, the owner of the directory",
    ),
];

/// `admin`.
pub const ADMIN: &[Field] = &[field(
    "nodes",
    Kind::TextList,
    "Redpaths that an engine may start in admin mode; with a closing slash, all nodes below too",
)];

/// `.redpath.yaml`: what an image holds that stands for a node.
pub const REFERENCE: &[Field] = &[
    required("redpath", Kind::Text, "The node, absolute"),
    field("admin", Kind::Bool, "Admin mode, if the policy allows it"),
    field("strict", Kind::Bool, "What is missing is an error"),
    field("plan-digest", Kind::Text, "The digest the plan must have"),
    field("plan-parts", Kind::Text, "Short digests of parts of the plan, which tell what differs"),
];

/// `execfd`.
pub const EXECFD: &[Field] = &[field(
    "nodes",
    Kind::TextList,
    "Redpaths whose commands may run; with a closing slash, of all nodes below too",
)];
