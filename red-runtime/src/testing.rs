//! Families and machines made of text, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::node::config::Status;
use crate::node::decode;
use crate::node::diagnostic::{Report, Severity};
use crate::node::expand::{Launch, NodeVars};
use crate::node::family::{Family, Main, Node};
use crate::node::guard::MountTable;
use crate::node::merge::{self, CommandUse, Merged};
use crate::node::place::Facts;
use crate::node::source::{At, Located, Sources};
use crate::node::value::State;
use crate::spec::crossing::{Link, Trace};
use crate::spec::host::{Account, CgroupMode, Host, Probe, Subordinate};

/// Says which part of a test was left out, for a reason that is no fault of the machine's.
pub(crate) fn remark(reason: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("left out: {reason}\n").as_bytes()));
}

/// Facts of a directory of root's.
pub(crate) const ROOT_DIR: Facts = Facts {
    uid: 0,
    gid: 0,
    mode: 0o040_755,
    dev: 1,
    ino: 1,
    size: 0,
    mtime: (0, 0),
    ctime: (0, 0),
    mount: 1,
    links: 1,
};

/// Texts of one layer: normal and admin. Only what stands below `headers` is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    pub(crate) normal: String,
    pub(crate) admin: Option<String>,
}

/// Makes a family of nodes `n0`, `n1`, … at `/pool/n0`, `/pool/n0/n1`, …
#[derive(Clone, Debug, Default)]
pub(crate) struct Maker {
    nodes: Vec<Texts>,
    main: Option<Texts>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a node below the last one.
    pub(crate) fn node(mut self, normal: &str) -> Self {
        self.nodes.push(Texts { normal: normal.to_owned(), admin: None });
        self
    }

    /// Gives the last node an admin file.
    pub(crate) fn admin(mut self, admin: &str) -> Self {
        if let Some(last) = self.nodes.last_mut() {
            last.admin = Some(admin.to_owned());
        }
        self
    }

    /// Adds redmain.
    pub(crate) fn main(mut self, normal: &str) -> Self {
        self.main = Some(Texts { normal: normal.to_owned(), admin: None });
        self
    }

    /// Gives redmain an admin file.
    pub(crate) fn main_admin(mut self, admin: &str) -> Self {
        self.main.get_or_insert_default().admin = Some(admin.to_owned());
        self
    }

    /// The family, in admin mode when there is any admin file.
    pub(crate) fn family(self) -> Family {
        let mut sources = Sources::default();
        let mut report = Report::default();
        let mut config = |name: &str, alias: &str, body: &str| {
            let text = format!(
                "headers: {{alias: {alias}, name: name of {alias}, info: info of {alias}}}\n{body}\n"
            );
            let file = sources.add(name, text);
            decode::config(file, sources.text(file), &mut report)
        };
        let main = self.main.as_ref().map(|texts| Main {
            config: config("main.yaml", "core", &texts.normal),
            admin: texts.admin.as_ref().and_then(|text| config("main-admin.yaml", "core", text)),
            vars: vars("core", "/"),
        });
        let mut nodes = Vec::new();
        let mut path = PathBuf::from("/pool");
        let mut admin = main.as_ref().is_some_and(|main| main.admin.is_some());
        for (index, texts) in self.nodes.iter().enumerate() {
            let alias = format!("n{index}");
            path.push(&alias);
            let normal = config(&format!("{alias}.yaml"), &alias, &texts.normal);
            let admin_text = texts.admin.as_ref();
            let admin_config =
                admin_text.and_then(|text| config(&format!("{alias}-admin.yaml"), &alias, text));
            admin |= admin_text.is_some();
            nodes.push((path.clone(), alias, normal, admin_config));
        }
        let shown = crate::node::render::text(&report, &sources, Severity::Error, false);
        assert!(!report.has_errors(), "the texts of a test must be good:\n{shown}");
        let nodes = nodes
            .into_iter()
            .map(|(path, alias, config, admin)| {
                let config = config.expect("reported above");
                let at = At::whole(config.file);
                let vars = vars(&alias, &path.display().to_string());
                Node {
                    status: Status {
                        file: config.file,
                        realpath: Located::new(path.display().to_string(), at),
                        timestamp: 0,
                        state: Located::new(State::Enable, at),
                        info: None,
                    },
                    path,
                    facts: ROOT_DIR,
                    moved: false,
                    config,
                    admin,
                    vars,
                }
            })
            .collect();
        Family {
            main: main.unwrap_or_default(),
            nodes,
            admin,
            sources: Arc::new(sources),
            deciding: Vec::new(),
            way: Vec::new(),
        }
    }

    /// The family merged, with what was found.
    pub(crate) fn merge(self) -> (Merged, Report) {
        let family = self.family();
        merge::merge(&family, &launch(), CommandUse::Keep)
    }
}

fn vars(alias: &str, path: &str) -> NodeVars {
    NodeVars {
        alias: alias.to_owned(),
        name: format!("name of {alias}"),
        path: path.to_owned(),
        info: format!("info of {alias}"),
        config_file: "etc/redpak.yaml",
        admin_file: "etc/redpak-admin.yaml",
    }
}

/// A launch in which everything is known beforehand.
pub(crate) fn launch() -> Launch {
    let environment = [("USER", "me"), ("SHELL_SESSION_ID", "7"), ("EMPTY", "")];
    let launch = Launch {
        uid: 1000,
        gid: 100,
        pid: 42,
        environment: environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Launch::default()
    };
    launch.today.set("a day".to_owned()).expect("it is fresh");
    launch.uuid.set("a-uuid".to_owned()).expect("it is fresh");
    launch
}

/// The codes of errors in a report, sorted.
pub(crate) fn errors(report: &Report) -> Vec<&'static str> {
    let mut codes: Vec<&'static str> = report
        .diagnostics()
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| one.code.name())
        .collect();
    codes.sort_unstable();
    codes
}

/// A machine on which every directory is there unless said otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeHost {
    pub(crate) files: BTreeSet<String>,
    pub(crate) missing: BTreeSet<String>,
    pub(crate) links: BTreeMap<String, String>,
    /// Hard links: files that are another one.
    pub(crate) links_to: BTreeMap<String, String>,
    /// Lines of mountinfo beside the root's.
    pub(crate) mounts: String,
    /// Nodes of other families.
    pub(crate) nodes: BTreeSet<String>,
    pub(crate) v2: bool,
    pub(crate) subordinate: Option<Subordinate>,
}

impl FakeHost {
    /// A path without links, and the links on the way.
    fn resolve(&self, path: &str) -> (String, Vec<Link>) {
        let (mut real, mut links) = (path.to_owned(), Vec::new());
        while let Some((link, target)) = self.links.iter().find(|(link, _)| {
            let rest = real.strip_prefix(link.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) {
            real = format!("{target}{}", &real[link.len()..]);
            links.push(Link { path: link.clone(), mount: 0 });
        }
        (real, links)
    }
}

impl Host for FakeHost {
    fn probe(&mut self, path: &str, _node: Option<&Path>) -> Probe {
        let (real, _) = self.resolve(path);
        if self.missing.contains(&real) {
            return Probe::Missing;
        }
        // Two paths are one thing where a test says so.
        let names_of = self.links_to.get(&real).unwrap_or(&real);
        let ino = names_of.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte));
        let linked = self.links_to.contains_key(&real) || self.links_to.values().any(|name| *name == real);
        let facts = Facts { ino, mount: 0, links: if linked { 2 } else { 1 }, ..ROOT_DIR };
        if self.files.contains(&real) {
            Probe::Other { real, facts: Facts { mode: 0o100_644, ..facts } }
        } else {
            Probe::Dir { real, facts }
        }
    }

    fn follow(&mut self, path: &str, node: Option<&Path>) -> (Probe, Vec<Link>) {
        (self.probe(path, node), self.resolve(path).1)
    }

    fn trace(&mut self, path: &str, node: Option<&Path>) -> Option<Trace> {
        let (real, links) = self.resolve(path);
        let facts = match self.probe(path, node) {
            Probe::Dir { facts, .. } | Probe::Other { facts, .. } => Some(facts),
            _ => None,
        };
        Some(Trace { real, facts, links })
    }

    fn is_link(&mut self, path: &str, _node: &Path) -> bool {
        self.links.contains_key(path)
    }

    fn links_in(&mut self, path: &str) -> Vec<String> {
        let names = self.links.keys().filter_map(|link| link.strip_prefix(path)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn mounts(&mut self) -> Rc<MountTable> {
        const ROOT: &str = "1 0 8:1 / / rw - ext4 /dev/sda rw\n";
        Rc::new(MountTable::parse(&format!("{ROOT}{}", self.mounts)))
    }

    fn is_node(&mut self, path: &str) -> bool {
        self.nodes.contains(path)
    }

    fn nodes_in(&mut self, path: &str) -> Vec<String> {
        let names = self.nodes.iter().filter_map(|node| node.strip_prefix(path)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn may_write(&mut self, _path: &str) -> bool {
        true
    }

    fn user(&mut self, name: &str) -> Option<Account> {
        match name {
            "svc" => Some(Account { uid: 777, gid: Some(778) }),
            number => number.parse().ok().map(|uid| Account { uid, gid: None }),
        }
    }

    fn group(&mut self, name: &str) -> Option<u32> {
        if name == "svc" { Some(778) } else { name.parse().ok() }
    }

    fn subordinate(&mut self, _uid: u32) -> Option<Subordinate> {
        self.subordinate
    }

    fn cgroup_mode(&mut self) -> CgroupMode {
        if self.v2 { CgroupMode::V2 } else { CgroupMode::V1 }
    }
}
