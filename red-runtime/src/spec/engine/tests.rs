use serde_json::{Value, json};

use super::{Combined, Placed, combine};
use crate::node::diagnostic::Report;
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
            {"destination": "/run/.containerenv", "type": "bind", "source": "/engine/env", "options": ["bind"]},
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
    combine(&engine(change), &plan, &family)
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
            Placed::Engine { mount, optional } => {
                format!("engine {}{}", mount.destination().display(), if *optional { "?" } else { "" })
            }
        })
        .collect();
    assert_eq!(
        shown,
        [
            "node /data",
            "engine /dev?",
            "node /dev/pts",
            "node /dev/shm",
            "engine /etc/resolv.conf?",
            "engine /proc?",
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
        ("/run", "would cover /run"),
        ("/", "everything"),
    ] {
        let said = refusal(NODE, |spec| add(spec, volume(destination)));
        assert!(said.contains(words), "{destination}: {said}");
    }
    for destination in ["/srv", "/data/below", "/var/lib"] {
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
