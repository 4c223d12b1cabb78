use std::path::Path;

use oci_spec::runtime::LinuxNamespaceType;
use serde_json::{Value, json};

use super::{
    BindSource, Combined, EngineFacts, EngineFile, KernelFs, NamedNamespace, Need, Owner, Placed, combine,
    is_bind, is_read_only, joined,
};
use crate::node::diagnostic::Report;
use crate::node::guard::Opened;
use crate::node::place::Facts;
use crate::spec::identity::Caller;
use crate::spec::plan::{Request, plan};
use crate::testing::{FakeHost, Maker, launch};

/// What podman sends for a container without options, as far as it matters.
fn engine(change: impl FnOnce(&mut Value)) -> oci_spec::runtime::Spec {
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "/rootfs"},
        "process": {
            "cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/engine", "HOME=/root", "TERM=xterm"],
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"]},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/etc/resolv.conf", "type": "bind", "source": "/engine/resolv.conf", "options": ["bind"]},
            {"destination": "/run/.containerenv", "type": "bind", "source": "/engine/.containerenv", "options": ["bind"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "resources": {"devices": [{"allow": true, "access": "rwm"}], "memory": {"limit": 1000}, "pids": {"limit": 50}},
        },
    });
    change(&mut spec);
    serde_json::from_value(spec).expect("it is a configuration")
}

const NODE: &str = "config: {path: /bin, capabilities: [{cap: KILL, add: 1}, {cap: SYS_TIME, add: 1}], cgroups: {mem: {max: 2000}, pids: {max: 20}}}
environ: [{key: HOME, value: /home}, {key: TERM, mode: Remove}]
exports:
  - {mode: Restricted, mount: /usr}
  - {mode: Public, mount: /data, path: $NODE_PATH/data}
  - {mode: Symlink, mount: /var/run, path: /run}
  - {mode: Procfs, mount: /proc}
  - {mode: Devfs, mount: /dev}
  - {mode: Anonymous, mount: /run}";

fn combined(node: &str, change: impl FnOnce(&mut Value)) -> (Option<Combined>, Report) {
    let family = Maker::new().node(node).family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let planned = plan(&family, &request, launch(), &mut FakeHost::default(), None);
    let plan = planned.plan.unwrap_or_else(|| panic!("{:?}", planned.report.diagnostics()));
    let engine = engine(change);
    let mut facts = facts(&engine);
    facts.namespaces.extend(joined(&plan).map(|(typ, path)| namespace(typ, path)));
    combine(&engine, &facts, &plan, &family)
}

/// A namespace, whose owner is told by its path: that of `/foreign/a/net` is `/foreign/a/user`.
fn namespace(typ: LinuxNamespaceType, path: &Path) -> NamedNamespace {
    let number = path.strip_prefix("/foreign").ok().map(|rest| rest.iter().next().unwrap().len() as u64);
    let user = typ == LinuxNamespaceType::User;
    NamedNamespace {
        typ,
        path: path.to_owned(),
        id: (4, number.filter(|_| user).unwrap_or(0)),
        hosts: path.starts_with("/proc/1"),
        owner: match number.filter(|_| !user) {
            Some(number) => Owner::Other((4, number)),
            None if path.starts_with("/above") => Owner::Hidden,
            None => Owner::Runtime,
        },
    }
}

/// What would be found on a host where the engine keeps its own below `/engine`, where `/host` holds
/// file systems of the kernel's, and `/proc/1` is the host.
fn facts(engine: &oci_spec::runtime::Spec) -> EngineFacts {
    let mut facts = EngineFacts::default();
    let listed = engine.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    for one in listed.into_iter().flatten() {
        if let Some(path) = one.path() {
            facts.namespaces.push(namespace(one.typ(), path));
        }
    }
    for mount in engine.mounts().iter().flatten() {
        let source = mount.source().clone().unwrap_or_default();
        let kernel = match source.to_str().unwrap_or_default() {
            "/host/sys" => Some(KernelFs::Sysfs),
            "/host/cgroup" => Some(KernelFs::Cgroup),
            "/host/proc" => Some(KernelFs::Proc),
            "/host/mqueue" => Some(KernelFs::Mqueue),
            "/host/pts" => Some(KernelFs::DevPts),
            "/host/shm" => Some(KernelFs::Shm),
            _ => None,
        };
        let made = match source.to_str().unwrap_or_default() {
            "/engine/hosts" => Some(EngineFile::At("/etc/hosts")),
            "/engine/shadow" | "/engine/key" => Some(EngineFile::Secret),
            "/engine/shm" => Some(EngineFile::Shm),
            "/engine/passwd" => Some(EngineFile::At("/etc/passwd")),
            "/engine/resolv.conf" => Some(EngineFile::At("/etc/resolv.conf")),
            "/engine/.containerenv" => Some(EngineFile::At("/run/.containerenv")),
            other if other.starts_with("/engine") => panic!("{other}"),
            _ => None,
        };
        let path = source.display().to_string();
        let opened = Opened {
            path,
            facts: Facts::of(std::fs::File::open("/").expect("it is there")).expect("it is told"),
        };
        facts.sources.push(is_bind(mount).then_some(BindSource { opened, kernel, made }));
    }
    facts
}

fn refusal(node: &str, change: impl FnOnce(&mut Value)) -> String {
    let (combined, report) = combined(node, change);
    assert!(combined.is_none());
    report.diagnostics().iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("; ")
}

fn add(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().expect("it is a list").push(mount);
}

fn volume(destination: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": "/vol", "options": ["rbind"]})
}

#[test]
fn the_stricter_of_both_holds() {
    let (combined, report) = combined(NODE, |_| {});
    let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
    let spec = serde_json::to_value(&combined.spec).expect("it is writable");
    let process = &spec["process"];
    assert_eq!(process["env"], json!(["HOME=/home", "PATH=/bin"]));
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(process["capabilities"][set], json!(["CAP_KILL"]), "{set}");
    }
    assert_eq!(process["noNewPrivileges"], true);
    let resources = &spec["linux"]["resources"];
    assert_eq!((&resources["memory"]["limit"], &resources["pids"]["limit"]), (&json!(1000), &json!(20)));
    assert_eq!(resources["devices"][0]["allow"], false, "the node's filter, from deny all");
    let kinds: Vec<&str> = spec["linux"]["namespaces"]
        .as_array()
        .expect("it is a list")
        .iter()
        .filter_map(|one| one["type"].as_str())
        .collect();
    for kind in ["user", "cgroup", "mount", "pid", "network", "ipc", "uts"] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    assert_eq!(spec["linux"]["uidMappings"][0]["size"], u32::MAX);
}

#[test]
fn mounts_come_from_where_they_should() {
    let (combined, _) = combined(NODE, |spec| add(spec, volume("/var/run/vol")));
    let family = Maker::new().node(NODE).family();
    let planned =
        plan(&family, &Request::new(Caller { uid: 0, gid: 0 }), launch(), &mut FakeHost::default(), None);
    let layout = planned.plan.expect("it was planned before").layout;
    let shown: Vec<String> = combined
        .expect("nothing conflicts")
        .mounts
        .iter()
        .map(|placed| match placed {
            Placed::Node(index) => format!("node {}", layout.mounts[*index].destination),
            Placed::Engine { mount, need, .. } => {
                let need = match need {
                    Need::User => "",
                    Need::Engine => "!",
                    Need::Optional => "?",
                };
                format!("engine {}{need}", mount.destination().display())
            }
        })
        .collect();
    assert_eq!(
        shown,
        [
            "node /data",
            "engine /dev!",
            "node /dev/pts",
            "node /dev/shm",
            "engine /etc/resolv.conf!",
            "engine /proc!",
            "engine /run/.containerenv?",
            "engine /run/vol",
            "node /usr",
        ]
    );
}

#[test]
fn volumes_cover_nothing_that_was_proven() {
    for (destination, words) in [
        ("/usr", "would cover /usr"),
        ("/usr/lib", "a part of /usr"),
        ("/data", "would cover /data"),
        ("/var", "would cover /var/run"),
        ("/", "everything"),
    ] {
        let said = refusal(NODE, |spec| add(spec, volume(destination)));
        assert!(said.contains(words), "{destination}: {said}");
    }
    for destination in ["/srv", "/data/below", "/var/lib", "/run"] {
        let (combined, report) = combined(NODE, |spec| add(spec, volume(destination)));
        assert!(combined.is_some(), "{destination}: {:?}", report.diagnostics());
    }
}

#[test]
fn what_the_node_forbids_does_not_start() {
    let without = |kind: &'static str| {
        move |spec: &mut Value| {
            spec["linux"]["namespaces"]
                .as_array_mut()
                .expect("it is a list")
                .retain(|one| one["type"] != kind);
        }
    };
    assert!(refusal(NODE, without("network")).contains("--network host"));
    assert!(refusal(NODE, without("pid")).contains("share_pid: Disabled"));
    assert!(refusal(NODE, without("ipc")).contains("--ipc host"));
    let shares = NODE.replace("config: {", "config: {share_net: Enabled, ");
    assert!(combined(&shares, without("network")).0.is_some());
    let joins = NODE.replace("config: {", "config: {share_net: /run/netns/x, ");
    assert!(refusal(&joins, |_| {}).contains("/run/netns/x"));
    assert!(combined(&joins, without("network")).0.is_some());
    let device = |spec: &mut Value| {
        spec["linux"]["devices"] = json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]);
    };
    assert!(refusal(NODE, device).contains("/dev/sda"));
}

#[test]
fn the_users_of_both() {
    let user = |uid: u32| move |spec: &mut Value| spec["process"]["user"] = json!({"uid": uid, "gid": uid});
    let uid = |combined: Option<Combined>| {
        combined.and_then(|one| one.spec.process().as_ref().map(|process| process.user().uid()))
    };
    assert_eq!(uid(combined(NODE, user(12)).0), Some(12));
    let named = NODE.replace("config: {", "config: {set-user: 33, set-group: 33, ");
    assert_eq!(uid(combined(&named, user(0)).0), Some(33));
    assert_eq!(uid(combined(&named, user(33)).0), Some(33));
    assert!(refusal(&named, user(12)).contains("set-user: 33"));
}

#[test]
fn a_namespace_that_is_named_is_what_its_inode_says() {
    let name = |kind: &'static str, path: &'static str| {
        move |spec: &mut Value| {
            let all = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
            all.retain(|one| one["type"] != kind);
            all.push(json!({"type": kind, "path": path}));
        }
    };
    for (kind, words) in [
        ("network", "share_net: Disabled"),
        ("pid", "share_pid: Disabled"),
        ("ipc", "share_ipc: Disabled"),
        ("user", "share_user: Disabled"),
        ("cgroup", "share_cgroup: Disabled"),
    ] {
        let said = refusal(NODE, name(kind, "/proc/1/ns/x"));
        assert!(
            said.contains(words) && said.contains("by default") && said.contains("/proc/1/ns/x"),
            "{said}"
        );
        let said =
            refusal(&NODE.replace("config: {", "config: {share_all: Disabled, "), name(kind, "/proc/1/ns/x"));
        assert!(said.contains(words), "{said}");
        assert!(combined(NODE, name(kind, "/proc/77/ns/x")).0.is_some(), "{kind} of another container");
    }
    let shares = NODE.replace("config: {", "config: {share_net: Enabled, ");
    assert!(combined(&shares, name("network", "/proc/1/ns/net")).0.is_some());
    // A host name is set in a namespace of its own, or not at all.
    let named = NODE.replace("config: {", "config: {hostname: box, ");
    let (combined_with_name, _) = combined(&named, name("uts", "/proc/1/ns/uts"));
    let spec = serde_json::to_value(&combined_with_name.expect("it starts").spec).expect("it is writable");
    let uts = spec["linux"]["namespaces"].as_array().expect("a list").iter().find(|one| one["type"] == "uts");
    assert_eq!(uts.expect("it is there").get("path"), None);
    assert!(refusal(NODE, name("mount", "/proc/77/ns/mnt")).contains("mount namespace"));
    // Nobody looked at it: it could be the host's.
    let family = Maker::new().node(NODE).family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let plan = plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.expect("it is fine");
    let engine = engine(name("network", "/proc/77/ns/net"));
    assert!(combine(&engine, &EngineFacts::default(), &plan, &family).0.is_none());
}

#[test]
fn a_mount_is_judged_by_what_it_is_and_covers() {
    let node = NODE.replace(
        "exports:",
        "exports:
  - {mode: Restricted, mount: /etc, path: $NODE_PATH/etc}
  - {mode: Tmpfs, mount: /tmp}",
    );
    let one = |value: Value| move |spec: &mut Value| add(spec, value);
    let tmpfs = |at: &str| json!({"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["rw", "tmpcopyup"]});
    let overlay = |at: &str| json!({"destination": at, "type": "overlay", "source": "overlay", "options": ["lowerdir=/x,upperdir=/y,workdir=/z"]});
    let bind = |at: &str, source: &str| json!({"destination": at, "type": "bind", "source": source, "options": ["bind"]});
    let follows = |at: &str, how: &str| json!({"destination": at, "type": "bind", "source": "/vol", "options": ["rbind", "ro", how]});
    for (mount, words) in [
        (tmpfs("/usr"), "would cover /usr"),
        (bind("/dev/shm", "/host/shm"), "share_ipc: Disabled"),
        (bind("/x", "/host/shm"), "share_ipc: Disabled"),
        (follows("/x", "slave"), "what the host mounts later"),
        (follows("/x", "rshared"), "what the host mounts later"),
        (tmpfs("/usr/sbin"), "a part of /usr"),
        (tmpfs("/"), "cover everything"),
        (tmpfs("/proc"), "would cover /proc"),
        (tmpfs("/proc/sys"), "a part of /proc"),
        (tmpfs("/etc/conf"), "a part of /etc"),
        (overlay("/usr/sbin"), "a part of /usr"),
        (overlay("/data"), "would cover /data"),
        (json!({"destination": "/usr/x", "type": "mqueue", "source": "mqueue"}), "a part of /usr"),
        (json!({"destination": "/usr/x", "type": "devpts", "source": "devpts"}), "a part of /usr"),
        (
            json!({"destination": "/usr/x", "type": "tmpfs", "source": "/vol", "options": ["rbind"]}),
            "a part of /usr",
        ),
        (
            json!({"destination": "/usr", "type": "proc", "source": "/vol", "options": ["bind"]}),
            "would cover /usr",
        ),
        // Files that only have the names of an engine's.
        (bind("/etc/hosts", "/home/me/hosts"), "a part of /etc"),
        (bind("/etc/passwd", "/home/me/passwd"), "a part of /etc"),
        (bind("/etc/shadow", "/engine/shadow"), "a part of /etc"),
        (bind("/etc/hosts", "/engine/key"), "a part of /etc"),
        (bind("/etc/passwd", "/engine/hosts"), "a part of /etc"),
        (bind("/etc/localtime", "/engine/shm"), "a part of /etc"),
        (bind("/dev/mqueue", "/host/mqueue"), "share_ipc: Disabled"),
        (bind("/q", "/host/mqueue"), "whose place is /dev/mqueue"),
        (bind("/dev/pts", "/host/pts"), "the host's terminals"),
        // Of the kernel's file systems each has its place.
        (json!({"destination": "/p", "type": "proc", "source": "proc"}), "at its usual place only"),
        (json!({"destination": "/s", "type": "sysfs", "source": "sysfs"}), "at its usual place only"),
        (json!({"destination": "/c", "type": "cgroup2", "source": "cgroup"}), "at its usual place only"),
        (
            json!({"destination": "/x", "type": "ext4", "source": "/dev/sda1"}),
            "no file system of type `ext4`",
        ),
        (json!({"destination": "/x", "type": "debugfs", "source": "x"}), "no file system of type `debugfs`"),
        (bind("/p", "/host/proc"), "the host's processes"),
        (bind("/proc", "/host/proc"), "the host's processes"),
        (bind("/s", "/host/sys"), "whose place is /sys"),
        (bind("/sys", "/host/sys"), "not read-only"),
        (bind("/proc/sys/kernel/core_pattern", "/vol"), "a part of /proc"),
    ] {
        let said = refusal(&node, one(mount.clone()));
        assert!(said.contains(words), "{mount}: {said}");
    }
    for mount in [
        tmpfs("/tmp"),
        tmpfs("/run"),
        tmpfs("/var/tmp"),
        tmpfs("/data/cache"),
        tmpfs("/dev/shm"),
        overlay("/srv"),
        overlay("/run"),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs"}),
        json!({"destination": "/sys", "type": "none", "source": "/host/sys", "options": ["rbind", "ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}),
        bind("/etc/hosts", "/engine/hosts"),
        bind("/run/secrets/key", "/engine/key"),
        bind("/dev/shm", "/engine/shm"),
        bind("/dev/shm", "/home/me/shm"),
        bind("/run/secrets/key", "/home/me/key"),
        bind("/proc/meminfo", "/lxcfs/meminfo"),
    ] {
        let (combined, report) = combined(&node, one(mount.clone()));
        assert!(combined.is_some(), "{mount}: {:?}", report.diagnostics());
    }
}

#[test]
fn the_hosts_sys_comes_read_only_with_its_cgroups() {
    let (combined, _) = combined(NODE, |spec| {
        add(
            spec,
            json!({"destination": "/sys", "type": "none", "source": "/host/sys", "options": ["rbind", "ro"]}),
        );
    });
    let mounts = combined.expect("it starts").mounts;
    let sys = mounts.iter().find_map(|placed| match placed {
        Placed::Engine { mount, .. } if mount.destination().ends_with("sys") => mount.options().clone(),
        _ => None,
    });
    assert!(sys.expect("it is there").contains(&"rro".to_owned()));
}

#[test]
fn what_sets_up_the_machine_is_read_only_in_a_node() {
    for (fstype, at) in [("sysfs", "/sys"), ("cgroup", "/sys/fs/cgroup"), ("cgroup2", "/sys/fs/cgroup")] {
        for said in [&["nosuid"][..], &["rw"], &["ro", "rw", "rrw"]] {
            let (combined, _) = combined(NODE, |spec| {
                add(spec, json!({"destination": at, "type": fstype, "source": fstype, "options": said}));
            });
            let mounts = combined.expect("it starts").mounts;
            let held = mounts.iter().any(|placed| match placed {
                Placed::Engine { mount, .. } => mount.destination().ends_with(at) && is_read_only(mount),
                Placed::Node(_) => false,
            });
            assert!(held, "{fstype} {said:?}");
        }
    }
}

#[test]
fn the_hosts_queues_come_where_the_node_shares_them() {
    let queues = |spec: &mut Value| {
        add(
            spec,
            json!({"destination": "/dev/mqueue", "type": "bind", "source": "/host/mqueue", "options": ["rbind"]}),
        )
    };
    let shared = NODE.replace("config: {", "config: {share_ipc: Enabled, ");
    assert!(combined(&shared, queues).0.is_some());
    assert!(refusal(NODE, queues).contains("share_ipc: Disabled"));
}

#[test]
fn who_the_node_says_it_says_wholly() {
    let user = |user: Value| move |spec: &mut Value| spec["process"]["user"] = user;
    let got = |node: &str, value: Value| {
        let (combined, report) = combined(node, user(value));
        let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        let user = combined.spec.process().as_ref().expect("it has one").user().clone();
        (user.uid(), user.gid(), user.additional_gids().clone())
    };
    let groups = json!({"uid": 0, "gid": 0, "additionalGids": [0, 4]});
    assert_eq!(got(NODE, groups.clone()), (0, 0, Some(vec![0, 4])));
    let both = NODE.replace("config: {", "config: {set-user: 33, set-group: 33, ");
    assert_eq!(got(&both, groups.clone()), (33, 33, None));
    assert_eq!(got(&both, json!({"uid": 33, "gid": 0, "additionalGids": [4]})), (33, 33, None));
    assert!(refusal(&both, user(json!({"uid": 33, "gid": 5}))).contains("set-group: 33"));
    let group = NODE.replace("config: {", "config: {set-group: 33, ");
    assert_eq!(got(&group, groups), (0, 33, None));
    assert!(refusal(&group, user(json!({"uid": 0, "gid": 5}))).contains("the engine demands group 5"));
}

#[test]
fn an_engine_lifts_no_limit_by_another_name() {
    let (combined, _) = combined(NODE, |spec| {
        spec["linux"]["resources"]["unified"] =
            json!({"memory.max": "max", "pids.max": "max", "memory.oom.group": "1", "cpu.max": "1000"});
    });
    let spec = serde_json::to_value(&combined.expect("it starts").spec).expect("it is writable");
    assert_eq!(spec["linux"]["resources"]["unified"], json!({"memory.oom.group": "1", "cpu.max": "1000"}));
}

#[test]
fn an_engines_zero_is_no_limit_and_lifts_none() {
    let node = NODE.replace(
        "cgroups: {mem: {max: 2000}, pids: {max: 20}}",
        "cgroups: {mem: {max: 2000}, pids: {max: 20}, cpu: {weight: 50, max: '50000 100000'}}",
    );
    let resources = |theirs: Value| {
        let (combined, report) = combined(&node, |spec| spec["linux"]["resources"] = theirs);
        let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        serde_json::to_value(&combined.spec).expect("it is writable")["linux"]["resources"].clone()
    };
    let none = resources(json!({
        "pids": {"limit": 0}, "memory": {"limit": 0, "swap": 0, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0},
    }));
    assert_eq!(none["pids"]["limit"], 20);
    assert_eq!(none["memory"]["limit"], 2000);
    assert_eq!((&none["cpu"]["quota"], &none["cpu"]["period"]), (&json!(50_000), &json!(100_000)));
    assert_ne!(none["cpu"]["shares"], 0);
    // Less than the node's 50 %, of the usual period and not of one that was set before.
    let quota = resources(json!({"cpu": {"quota": 9000, "burst": 9000}}));
    assert_eq!((&quota["cpu"]["quota"], &quota["cpu"]["period"]), (&json!(9000), &json!(100_000)));
    assert_eq!(quota["cpu"]["burst"], Value::Null);
    // Less than the node's is less.
    assert_eq!(resources(json!({"pids": {"limit": 5}}))["pids"]["limit"], 5);
}

#[test]
fn no_file_of_a_controller_that_the_node_limits_is_the_engines() {
    let (combined, _) = combined(NODE, |spec| {
        spec["linux"]["resources"]["unified"] =
            json!({"./memory.max": "max", "memory.reclaim": "1", "memory.low": "1", "io.bfq.weight": "1000"});
    });
    let spec = serde_json::to_value(&combined.expect("it starts").spec).expect("it is writable");
    let files = spec["linux"]["resources"]["unified"].as_object().expect("it has some").clone();
    assert!(files.contains_key("memory.low") && files.contains_key("io.bfq.weight"), "{files:?}");
    assert!(!files.contains_key("memory.reclaim"), "{files:?}");
    for (class, stays) in [("promote-to-rt", false), ("none-to-rt\n", false), ("idle", true)] {
        let (combined, _) = self::combined(NODE, |spec| {
            spec["linux"]["resources"]["unified"] = json!({"io.prio.class": class});
        });
        let spec = serde_json::to_value(&combined.expect("it starts").spec).expect("it is writable");
        assert_eq!(spec["linux"]["resources"]["unified"]["io.prio.class"].is_string(), stays, "{class}");
    }
}

#[test]
fn shared_memory_of_the_host_comes_where_the_node_shares_it() {
    let shared = NODE.replace("config: {", "config: {share_ipc: Enabled, ");
    for at in ["/dev/shm", "/x"] {
        let (combined, report) = combined(&shared, |spec| {
            spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != "ipc");
            add(spec, json!({"destination": at, "type": "bind", "source": "/host/shm", "options": ["bind"]}));
        });
        assert!(combined.is_some(), "{at}: {:?}", report.diagnostics());
    }
}

#[test]
fn accounts_of_a_node_come_before_the_engines() {
    let passwd = json!({"destination": "/etc/passwd", "type": "bind", "source": "/engine/passwd", "options": ["bind"]});
    for (node, engines) in [
        (NODE.to_owned(), true),
        (format!("{NODE}\n  - {{mode: Restricted, mount: /etc, path: /host-etc}}"), false),
        (format!("{NODE}\n  - {{mode: Restricted, mount: /etc/passwd, path: /host-passwd}}"), false),
    ] {
        let (combined, report) = combined(&node, |spec| add(spec, passwd.clone()));
        let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        let held = combined.mounts.iter().any(|placed| match placed {
            Placed::Engine { mount, .. } => mount.destination().ends_with("passwd"),
            Placed::Node(_) => false,
        });
        assert_eq!(held, engines, "{node}");
    }
}

#[test]
fn a_mapping_of_an_engine_makes_nobody_else_of_the_nodes_user() {
    let node = NODE.replace("config: {", "config: {set-user: 33, set-group: 34, ");
    let mapped = |maps: Value, uid: u32, gid: u32| {
        move |spec: &mut Value| {
            spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
            spec["linux"]["uidMappings"] = maps.clone();
            spec["linux"]["gidMappings"] = maps;
            spec["process"]["user"] = json!({"uid": uid, "gid": gid});
        }
    };
    let one =
        |inside: u32, host: u32, size: u32| json!({"containerID": inside, "hostID": host, "size": size});
    let ids = |maps: Value, uid: u32, gid: u32| {
        let (combined, report) = combined(&node, mapped(maps, uid, gid));
        let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        let user = combined.spec.process().as_ref().expect("it has one").user().clone();
        (user.uid(), user.gid())
    };
    assert_eq!(ids(json!([one(0, 0, 100)]), 0, 0), (33, 34));
    assert_eq!(ids(json!([one(0, 100_000, 33), one(33, 33, 2)]), 33, 34), (33, 34));
    let of = |maps: Value, uid: u32, gid: u32| refusal(&node, mapped(maps, uid, gid));
    let away = json!([one(0, 100_000, 65536)]);
    let words = "linux.uidMappings of the engine makes 100033 on the host of user 33, and the node has `set-user: 33`; \
                 linux.gidMappings of the engine makes 100034 on the host of group 34, and the node has `set-group: 34`";
    assert_eq!(of(away.clone(), 0, 0), words);
    assert_eq!(of(away, 33, 34), words);
    let said = of(json!([one(0, 30, 10)]), 3, 4);
    assert!(said.contains("the engine demands user 3, and the node has"), "{said}");
    let said = of(json!([one(0, 30, 10)]), 0, 0);
    assert!(said.contains("linux.uidMappings of the engine leaves out user 33, and"), "{said}");
    // Who is root inside is who is mapped to root.
    let root = NODE.replace("config: {", "config: {map-root-user: 1, set-user: 33, set-group: 33, ");
    let starts = |host: u32| combined(&root, mapped(json!([one(0, host, 1)]), 0, 0)).0.is_some();
    assert!(starts(33) && !starts(0) && !starts(34));
    let named = |path: &str| {
        let path = path.to_owned();
        move |spec: &mut Value| {
            let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.push(json!({"type": "user", "path": path}));
        }
    };
    let said = refusal(&node, named("/pods/user"));
    assert!(said.contains("the engine names user namespace /pods/user"), "{said}");
    // Of a node that leaves it to the engine nothing is asked.
    assert!(combined(NODE, named("/pods/user")).0.is_some());
    // Without a user namespace of the engine's its mappings are of nothing, and the node's are used.
    let (beside, _) = combined(&node, |spec| spec["linux"]["uidMappings"] = json!([one(0, 5, 1)]));
    let beside = serde_json::to_value(&beside.expect("it starts").spec).expect("it is writable");
    assert_eq!(beside["linux"]["uidMappings"], json!([one(0, 0, u32::MAX)]));
    assert_eq!(beside["process"]["user"]["uid"], 33);
}

#[test]
fn no_priority_of_an_engine_lifts_what_limits_a_node() {
    for (field, value, words) in [
        ("scheduler", json!({"policy": "SCHED_FIFO", "priority": 1}), "process.scheduler.policy SCHED_FIFO"),
        ("scheduler", json!({"policy": "SCHED_RR", "priority": 1}), "SCHED_RR"),
        ("scheduler", json!({"policy": "SCHED_DEADLINE", "runtime": 9, "period": 9}), "SCHED_DEADLINE"),
        ("scheduler", json!({"policy": "SCHED_OTHER", "nice": -1}), "process.scheduler.nice -1"),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 7}), "IOPRIO_CLASS_RT"),
        ("rlimits", json!([{"type": "RLIMIT_RTPRIO", "soft": 0, "hard": 1}]), "RLIMIT_RTPRIO of 1"),
        ("rlimits", json!([{"type": "RLIMIT_NICE", "soft": 40, "hard": 40}]), "RLIMIT_NICE of 40"),
    ] {
        let said = refusal(NODE, |spec| spec["process"][field] = value);
        assert!(said.contains(words) && said.contains("lifts limits of node"), "{said}");
    }
    for (field, value) in [
        ("scheduler", json!({"policy": "SCHED_BATCH", "nice": 19})),
        ("scheduler", json!({"policy": "SCHED_IDLE"})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 7})),
        (
            "rlimits",
            json!([{"type": "RLIMIT_RTPRIO", "soft": 0, "hard": 0}, {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}]),
        ),
    ] {
        let (combined, report) = combined(NODE, |spec| spec["process"][field] = value);
        assert!(combined.is_some(), "{field}: {:?}", report.diagnostics());
    }
}

#[test]
fn a_privileged_container_is_called_so() {
    let device = json!([{"path": "/dev/autofs", "type": "c", "major": 10, "minor": 235}]);
    let privileged = refusal(NODE, |spec| spec["linux"]["devices"] = device.clone());
    assert!(privileged.contains("the engine demands a privileged container"), "{privileged}");
    let one = refusal(NODE, |spec| {
        spec["linux"]["devices"] = device;
        spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 235, "access": "rwm"}]);
    });
    assert!(one.contains("the engine demands device /dev/autofs"), "{one}");
}

#[test]
fn a_volume_takes_the_place_of_what_has_nothing_of_a_nodes() {
    let node = format!(
        "{NODE}\n  - {{mode: Tmpfs, mount: /tmp}}\n  - {{mode: Tmpfs, mount: /a}}\n  - {{mode: Public, mount: /a/b, path: $NODE_PATH/b}}\n  - {{mode: Symlink, mount: /tmp2/l, path: /x}}\n  - {{mode: Anonymous, mount: /tmp2}}"
    );
    for place in ["/tmp", "/run", "/var/run"] {
        let (combined, report) = combined(&node, |spec| add(spec, volume(place)));
        let combined = combined.unwrap_or_else(|| panic!("{place}: {:?}", report.diagnostics()));
        let at = combined.mounts.iter().filter(|placed| match placed {
            Placed::Node(_) => false,
            Placed::Engine { mount, .. } => place.ends_with(&mount.destination().display().to_string()),
        });
        assert_eq!(at.count(), 1, "{place}");
    }
    for (place, words) in
        [("/a", "would cover /a/b"), ("/tmp2", "would cover /tmp2/l"), ("/tmp/..", "everything")]
    {
        let said = refusal(&node, |spec| add(spec, volume(place)));
        assert!(said.contains(words), "{place}: {said}");
    }
}

#[test]
fn only_what_nobody_asked_for_may_be_left_out() {
    let (combined, _) = combined(NODE, |spec| {
        add(
            spec,
            json!({"destination": "/etc/hosts", "type": "bind", "source": "/engine/hosts", "options": ["bind"]}),
        );
        add(
            spec,
            json!({"destination": "/run/secrets/key", "type": "bind", "source": "/engine/key", "options": ["bind"]}),
        );
        add(spec, volume("/srv"));
    });
    let mounts = combined.expect("it starts").mounts;
    let need = |place: &str| {
        let found = mounts.iter().find_map(|placed| match placed {
            Placed::Engine { mount, need, .. } if mount.destination().ends_with(place) => Some(*need),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{place} is missing"))
    };
    for (place, wanted) in [
        ("run/.containerenv", Need::Optional),
        ("etc/hosts", Need::Engine),
        ("run/secrets/key", Need::Engine),
        ("srv", Need::User),
    ] {
        assert_eq!(need(place), wanted, "{place}");
    }
    assert!(!EngineFile::Secret.is_optional() && EngineFile::DefaultSecrets.is_optional());
}

#[test]
fn a_node_uses_the_user_namespace_of_what_it_is_handed() {
    let handed = |path: &'static str| {
        move |spec: &mut Value| {
            let all = spec["linux"]["namespaces"].as_array_mut().expect("a list");
            all.retain(|one| one["type"] != "network");
            all.push(json!({"type": "network", "path": path}));
        }
    };
    let has_user = |node: &str| {
        let (combined, report) = combined(node, handed("/pods/net"));
        let combined = combined.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        let linux = combined.spec.linux().clone().expect("it has one");
        linux
            .namespaces()
            .iter()
            .flatten()
            .any(|one| one.typ() == oci_spec::runtime::LinuxNamespaceType::User)
    };
    let with = |tags: &str| NODE.replace("config: {", &format!("config: {{{tags}, "));
    for node in [NODE.to_owned(), with("share_all: Disabled"), with("share_user: Enabled")] {
        assert!(!has_user(&node), "{node}");
    }
    let said = refusal(&with("share_user: Disabled"), handed("/pods/net"));
    assert!(said.contains("would have with `share_user: Disabled`"), "{said}");
}

/// Every namespace that is handed over is of the user namespace that is used, or of the runtime's own.
#[test]
fn a_namespace_is_used_with_the_user_namespace_that_owns_it() {
    let handed = |all: &'static [(&'static str, &'static str)]| {
        move |spec: &mut Value| {
            let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("a list");
            for (kind, path) in all {
                namespaces.retain(|one| one["type"] != *kind);
                namespaces.push(json!({"type": kind, "path": path}));
            }
        }
    };
    let with = |tags: &str| NODE.replace("config: {", &format!("config: {{{tags}, "));
    let own = ("user", "/foreign/a/user");
    for node in [NODE.to_owned(), with("share_user: Enabled"), with("share_all: Disabled")] {
        for kind in ["network", "ipc", "uts", "cgroup", "pid", "time"] {
            let all: &'static [_] = Box::leak(Box::new([(kind, "/foreign/a/ns"), own]));
            let node = if kind == "time" { format!("{node}\n") } else { node.clone() };
            let said = refusal(&node, handed(&all[..1]));
            assert!(said.contains("namespace /foreign/a/ns, which another user namespace owns"), "{said}");
            assert!(combined(&node, handed(all)).0.is_some(), "{kind}");
            // The engine names a third one.
            let all: &'static [_] = Box::leak(Box::new([(kind, "/foreign/bb/ns"), own]));
            let said = refusal(&node, handed(all));
            assert!(said.contains("another user namespace owns than /foreign/a/user"), "{said}");
            let all: &'static [_] = Box::leak(Box::new([(kind, "/above/ns"), own]));
            assert!(refusal(&node, handed(all)).contains("/above/ns"), "{kind}");
        }
    }
    // A node that joins one itself, or the user namespace.
    let joins = with("share_net: /foreign/a/net");
    let without = |spec: &mut Value| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != "network");
    };
    assert!(refusal(&joins, without).contains("/foreign/a/net, which another user namespace owns"));
    let both = with("share_net: /foreign/a/net, share_user: /foreign/a/user");
    assert!(combined(&both, without).0.is_some());
    assert!(
        refusal(&with("share_net: /foreign/bb/net, share_user: /foreign/a/user"), without).contains("bb")
    );
}
