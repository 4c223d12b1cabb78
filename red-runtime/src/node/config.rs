//! A configuration file and a status file, typed but not expanded.

use super::capability::CapabilityName;
use super::limit_values::{CpuMax, IoMax, IoWeight, Limit, NumberSet};
use super::source::{At, FileId, Located};
use super::value::{ExportMode, Share, State, VarMode};

/// One `etc/redpak.yaml`, admin file or redmain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub file: FileId,
    /// Who the node is.
    pub headers: Headers,
    /// The `config` section.
    pub tags: Tags,
    /// The `exports` section.
    pub exports: Vec<Export>,
    /// The `environ` section.
    pub environ: Vec<Variable>,
}

/// The `headers` section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Headers {
    /// Where the section starts.
    pub at: At,
    /// Name within the family.
    pub alias: Located<String>,
    /// Name for people.
    pub name: Option<Located<String>>,
    /// Anything.
    pub info: Option<Located<String>>,
}

/// One namespace that a `share_*` tag speaks of.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Namespace {
    /// Users and groups.
    User,
    /// The view of the cgroup hierarchy.
    Cgroup,
    /// Network.
    Net,
    /// Processes.
    Pid,
    /// System V and POSIX inter-process communication.
    Ipc,
    /// Monotonic and boot clocks.
    Time,
}

impl Namespace {
    /// Every one, with its tag.
    pub const ALL: [(&'static str, Self); 6] = [
        ("share_user", Self::User),
        ("share_cgroup", Self::Cgroup),
        ("share_net", Self::Net),
        ("share_pid", Self::Pid),
        ("share_ipc", Self::Ipc),
        ("share_time", Self::Time),
    ];

    /// Its tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        super::value::name_of(&Self::ALL, &self)
    }
}

/// The `share_*` tags as written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shares {
    /// `share_all`.
    pub all: Option<Located<Share>>,
    /// The others, in the order of [`Namespace::ALL`].
    pub each: [Option<Located<Share>>; 6],
}

/// The `config` section. Texts are as written; `None` is absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[allow(
    missing_docs,
    reason = "each field is the key of the same name in schema::TAGS, where its meaning stands"
)]
pub struct Tags {
    pub rpmdir: Option<Located<String>>,
    pub persistdir: Option<Located<String>>,
    pub cachedir: Option<Located<String>>,
    pub path: Option<Located<String>>,
    pub ldpath: Option<Located<String>>,
    pub umask: Option<Located<u32>>,
    pub hostname: Option<Located<String>>,
    pub chdir: Option<Located<String>>,
    pub set_user: Option<Located<String>>,
    pub set_group: Option<Located<String>>,
    pub smack: Option<Located<String>>,
    pub gpgcheck: Option<Located<bool>>,
    pub unsafe_: Option<Located<bool>>,
    pub inherit_env: Option<Located<bool>>,
    pub map_root_user: Option<Located<bool>>,
    pub verbose: Option<Located<i64>>,
    /// `None` when absent or `Unset`.
    pub die_with_parent: Option<Located<bool>>,
    /// `None` when absent or `Unset`.
    pub new_session: Option<Located<bool>>,
    /// `None` when absent or `Unset`.
    pub seccomp: Option<Located<bool>>,
    pub shares: Shares,
    pub cgrouproot: Option<Located<String>>,
    pub cgroups: Limits,
    pub capabilities: Vec<CapabilityEntry>,
}

/// The `cgroups` section.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "each field is a key of schema::CGROUPS, where its meaning stands")]
pub struct Limits {
    pub cpus: Option<Located<NumberSet>>,
    pub mems: Option<Located<NumberSet>>,
    pub cpus_partition: Option<Located<&'static str>>,
    pub memory_max: Option<Located<Limit>>,
    pub memory_high: Option<Located<Limit>>,
    pub memory_min: Option<Located<Limit>>,
    pub memory_low: Option<Located<Limit>>,
    pub oom_group: Option<Located<bool>>,
    pub swap_high: Option<Located<Limit>>,
    pub swap_max: Option<Located<Limit>>,
    pub cpu_weight: Option<Located<i64>>,
    pub cpu_weight_nice: Option<Located<i64>>,
    pub cpu_max: Option<Located<CpuMax>>,
    pub io_cost_qos: Option<Located<String>>,
    pub io_cost_model: Option<Located<String>>,
    pub io_weight: Option<Located<IoWeight>>,
    pub io_max: Option<Located<IoMax>>,
    pub pids_max: Option<Located<Limit>>,
}

/// One of `capabilities`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CapabilityEntry {
    /// Which one.
    pub cap: Located<CapabilityName>,
    /// Added, or dropped.
    pub add: bool,
    /// Shown when a descendant changes it.
    pub warn: Option<String>,
}

/// One of `exports`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// How it becomes visible.
    pub mode: ExportMode,
    /// Path inside, before expansion. Its place stands for the whole entry.
    pub mount: Located<String>,
    /// Path outside, target, command or descriptor, before expansion.
    pub path: Option<Located<String>>,
    /// Anything about it.
    pub info: Option<String>,
    /// Shown when a descendant changes it.
    pub warn: Option<String>,
}

/// One of `environ`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Variable {
    /// Where its value comes from.
    pub mode: VarMode,
    /// Its name. Its place stands for the whole entry.
    pub key: Located<String>,
    /// Its value, before expansion.
    pub value: Option<Located<String>>,
    /// Anything about it.
    pub info: Option<String>,
    /// Shown when a descendant changes it.
    pub warn: Option<String>,
}

/// A status file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// The file it was read from.
    pub file: FileId,
    /// Where the node was made.
    pub realpath: Located<String>,
    /// Last change, in milliseconds since 1970.
    pub timestamp: i64,
    /// Whether it may start.
    pub state: Located<State>,
    /// Anything about it.
    pub info: Option<String>,
}
