//! What the fuzz targets share: families made of text, on a machine made of names.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use red_runtime::node::config::{Config, Status};
use red_runtime::node::decode;
use red_runtime::node::diagnostic::Report;
use red_runtime::node::expand::{Launch, NodeVars};
use red_runtime::node::family::{Family, Main, Node};
use red_runtime::node::guard::MountTable;
use red_runtime::node::place::Facts;
use red_runtime::node::source::{At, Located, Sources};
use red_runtime::node::value::State;
use red_runtime::spec::host::{Account, CgroupMode, Host, Probe, Subordinate};

const FACTS: Facts =
    Facts { uid: 0, gid: 0, mode: 0o040_755, dev: 1, ino: 1, size: 0, mtime: (0, 0), ctime: (0, 0), mount: 1, links: 1 };

/// A machine on which what a path is depends on its name alone.
#[derive(Debug)]
pub struct Machine;

impl Host for Machine {
    fn probe(&mut self, path: &str, _node: Option<&Path>) -> Probe {
        let real = path.to_owned();
        match path.as_bytes().last() {
            Some(b'f') => Probe::Other { real, facts: Facts { mode: 0o100_644, ..FACTS } },
            Some(b'v') => Probe::Other { real, facts: Facts { mode: 0o020_666, ..FACTS } },
            Some(b'm') => Probe::Missing,
            Some(b'r') => Probe::Refused { reason: "denied".to_owned() },
            Some(b'l') => Probe::Dir { real: format!("/linked{real}"), facts: FACTS },
            _ => Probe::Dir { real, facts: FACTS },
        }
    }

    fn user(&mut self, name: &str) -> Option<Account> {
        name.parse().ok().map(|uid| Account { uid, gid: Some(uid) })
    }

    fn group(&mut self, name: &str) -> Option<u32> {
        name.parse().ok()
    }

    fn subordinate(&mut self, uid: u32) -> Option<Subordinate> {
        Some(Subordinate { users: (uid.saturating_mul(65_536), 65_536), groups: (100_000, 65_536) })
    }

    fn cgroup_mode(&mut self) -> CgroupMode {
        CgroupMode::V2
    }

    fn mounts(&mut self) -> Rc<MountTable> {
        Rc::new(MountTable::parse("1 0 8:1 / / rw - ext4 /dev/sda rw\n"))
    }

    fn is_node(&mut self, path: &str) -> bool {
        path.ends_with('n')
    }

    fn may_write(&mut self, path: &str) -> bool {
        !path.ends_with('w')
    }
}

/// A launch in which everything is known beforehand.
///
/// # Panics
/// Never: it is fresh.
#[must_use]
pub fn launch() -> Launch {
    let environment = [("A", "a"), ("LOOP", "$LOOP"), ("USER", "me"), ("P", "/p/../q")];
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let launch = Launch { uid: 1000, gid: 100, pid: 42, environment, ..Launch::default() };
    launch.today.set("a day".to_owned()).expect("it is fresh");
    launch.uuid.set("a-uuid".to_owned()).expect("it is fresh");
    launch
}

/// A family from texts separated by lines `---`: redmain, its admin file, then each node and its
/// admin file. An empty text is no file.
#[must_use]
pub fn family(data: &str) -> Option<Family> {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let mut texts = data.split("\n---\n");
    let mut next = |admin: bool| -> Option<Option<Config>> {
        let text = texts.next()?;
        let file = sources.add("fuzz.yaml", text);
        let decode = if admin { decode::admin_config } else { decode::config };
        Some((!text.is_empty()).then(|| decode(file, text, &mut report)).flatten())
    };
    let main = Main { config: next(false)?, admin: next(true)?, vars: vars("core", "/") };
    let mut nodes = Vec::new();
    let mut path = PathBuf::from("/pool");
    while let Some(config) = next(false) {
        let (config, admin) = (config?, next(true).flatten());
        path.push(&config.headers.alias.value);
        let at = At::whole(config.file);
        let shown = path.display().to_string();
        nodes.push(Node {
            status: Status {
                file: config.file,
                realpath: Located::new(shown.clone(), at),
                timestamp: 0,
                state: Located::new(State::Enable, at),
                info: None,
            },
            vars: vars(&config.headers.alias.value, &shown),
            path: path.clone(),
            facts: FACTS,
            moved: false,
            config,
            admin,
        });
    }
    let good = !nodes.is_empty() && !report.has_errors();
    let admin = main.admin.is_some() || nodes.iter().any(|node| node.admin.is_some());
    good.then(|| Family { main, nodes, admin, sources: Arc::new(sources), deciding: Vec::new(), way: Vec::new() })
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
