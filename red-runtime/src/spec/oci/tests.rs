use serde_json::{Value, json};

use crate::command::Shell;
use crate::node::expand::Runner;
use crate::spec::host::Subordinate;
use crate::spec::identity::Caller;
use crate::spec::json as spec_json;
use crate::spec::plan::{Plan, Request, plan};
use crate::testing::{FakeHost, Maker, launch};

fn planned(maker: Maker, caller: Caller, host: &mut FakeHost) -> Plan {
    let family = maker.family();
    let planned = plan(&family, &Request::new(caller), launch(), host, None);
    planned.plan.unwrap_or_else(|| panic!("{:?}", planned.report.diagnostics()))
}

const ROOT: Caller = Caller { uid: 0, gid: 0 };
const USER: Caller = Caller { uid: 1000, gid: 100 };

fn spec(maker: Maker, caller: Caller) -> Value {
    spec_json::spec(&planned(maker, caller, &mut FakeHost::default()).spec).expect("always writable")
}

/// The modes that need nothing of the machine, for the snapshot.
const FAMILY: [&str; 2] = [
    "config: {hostname: $LEAF_ALIAS, umask: 027, path: /bin, share_net: Enabled, chdir: /home, cgroups: {mem: {max: 64M, high: 32M, swap_max: 0}, cpu: {weight: 200, max: 50000}, pids: {max: 20}, io: {max: '8:0 rbps=1M'}}}
exports:
  - {mode: Restricted, mount: /usr}
  - {mode: RestrictedFile, mount: /etc/hosts}
  - {mode: Procfs, mount: /proc}
  - {mode: Devfs, mount: /dev}
  - {mode: Mqueue, mount: /dev/mqueue}
  - {mode: Anonymous, mount: /var}
  - {mode: Execfd, mount: /etc/passwd, path: getent passwd $UID}",
    "config: {path: '/nodes/$NODE_ALIAS/bin', capabilities: [{cap: NET_BIND_SERVICE, add: 1}, {cap: CHOWN, add: 1}]}
environ: [{key: HOME, value: /home}, {key: USER, mode: Inherit}, {key: WHEN, mode: Execfd, value: date}]
exports:
  - {mode: Private, mount: /var/lib, path: $NODE_PATH/var}
  - {mode: Tmpfs, mount: /tmp}
  - {mode: Symlink, mount: /home, path: /var/lib}",
];

fn family() -> Maker {
    Maker::new().node(FAMILY[0]).node(FAMILY[1])
}

fn host(v2: bool) -> FakeHost {
    FakeHost { files: ["/etc/hosts".to_owned()].into(), v2, ..FakeHost::default() }
}

#[test]
fn translations_stay_what_they_are() {
    for (name, caller, v2) in [("root_v1", ROOT, false), ("root_v2", ROOT, true), ("user_v2", USER, true)] {
        let plan = planned(family(), caller, &mut host(v2));
        let value = spec_json::spec(&plan.spec).expect("always writable");
        insta::assert_snapshot!(name, format!("{value:#}"));
    }
}

#[test]
fn every_plan_keeps_what_hardening_asks() {
    for (name, maker) in [("empty", Maker::new().node("")), ("full", family())] {
        for caller in [ROOT, USER] {
            let spec = spec(maker.clone(), caller);
            for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
                let caps = spec.pointer(&format!("/process/capabilities/{set}"));
                let wanted: &[&str] =
                    if name == "full" { &["CAP_CHOWN", "CAP_NET_BIND_SERVICE"] } else { &[] };
                assert_eq!(caps, Some(&json!(wanted)), "{name} {set}");
            }
            assert_eq!(spec.pointer("/process/noNewPrivileges"), Some(&json!(true)));
            let deny = json!({"allow": false, "access": "rwm"});
            assert_eq!(spec.pointer("/linux/resources/devices/0"), Some(&deny));
            let listed = |key: &str| spec.pointer(key).and_then(Value::as_array).map_or(0, Vec::len);
            assert!(listed("/linux/maskedPaths") > 8 && listed("/linux/readonlyPaths") > 4);
            let env = spec.pointer("/process/env").and_then(Value::as_array).expect("it has one");
            assert_eq!(
                env.iter().filter(|one| one.as_str().is_some_and(|one| one.starts_with("PATH=/"))).count(),
                1
            );
            assert_eq!(spec.pointer("/linux/namespaces/0/type"), Some(&json!("mount")));
            for mount in spec["mounts"].as_array().expect("it has mounts") {
                let options: Vec<&str> =
                    mount["options"].as_array().expect("options").iter().filter_map(Value::as_str).collect();
                assert!(options.contains(&"nosuid"), "{mount}");
                if mount["type"] == "bind" {
                    assert!(options.contains(&"nodev"), "{mount}");
                    let recursive = options.contains(&"rbind");
                    assert_eq!(options.contains(&"ro") && recursive, options.contains(&"rro"), "{mount}");
                    assert!(options.contains(&"rprivate") || options.contains(&"private"), "{mount}");
                }
            }
        }
    }
}

#[test]
fn proc_is_masked_wherever_it_is_mounted() {
    let spec = spec(Maker::new().node("exports: [{mode: Procfs, mount: /p}]"), ROOT);
    let masked = spec["linux"]["maskedPaths"].as_array().expect("a list");
    assert!(masked.contains(&json!("/p/kcore")) && masked.contains(&json!("/proc/kcore")));
    assert!(spec["linux"]["readonlyPaths"].as_array().expect("a list").contains(&json!("/p/sys")));
}

#[test]
fn users_are_mapped_as_the_family_says() {
    let map = |text: &str, caller| {
        let spec = spec(Maker::new().node(text), caller);
        let user = &spec["process"]["user"];
        let ids = (user["uid"].as_u64().expect("a number"), user["gid"].as_u64().expect("a number"));
        let map = spec["linux"]["uidMappings"].as_array().map(|maps| {
            maps.iter()
                .map(|map| {
                    [&map["containerID"], &map["hostID"], &map["size"]].map(|n| n.as_u64().expect("a number"))
                })
                .collect::<Vec<_>>()
        });
        (ids, map)
    };
    let all = u64::from(u32::MAX);
    assert_eq!(map("", ROOT), ((0, 0), Some(vec![[0, 0, all]])));
    assert_eq!(map("config: {share_user: Enabled}", ROOT), ((0, 0), None));
    assert_eq!(map("config: {map-root-user: 1}", ROOT), ((0, 0), Some(vec![[0, 0, all]])));
    assert_eq!(map("config: {set-user: svc}", ROOT), ((777, 778), Some(vec![[0, 0, all]])));
    assert_eq!(map("config: {set-user: svc, map-root-user: 1}", ROOT), ((0, 0), Some(vec![[0, 777, 1]])));
    assert_eq!(
        map("config: {set-user: svc, share_user: Enabled, map-root-user: 1}", ROOT),
        ((777, 778), None)
    );
    assert_eq!(map("config: {set-user: '5', set-group: svc}", ROOT), ((5, 778), Some(vec![[0, 0, all]])));
    // An unprivileged caller gets a user namespace whatever the family says.
    assert_eq!(map("", USER), ((1000, 100), Some(vec![[1000, 1000, 1]])));
    assert_eq!(map("config: {share_user: Enabled}", USER), ((1000, 100), Some(vec![[1000, 1000, 1]])));
    assert_eq!(map("config: {map-root-user: 1}", USER), ((0, 0), Some(vec![[0, 1000, 1]])));
}

#[test]
fn subordinate_ids_are_mapped_around_the_callers_own() {
    let map = |text: &str, caller: Caller, count| {
        let subordinate = Some(Subordinate { users: (100_000, count), groups: (200_000, count) });
        let host = &mut FakeHost { subordinate, ..FakeHost::default() };
        let plan = planned(Maker::new().node(text), caller, host);
        let line = |map: &oci_spec::runtime::LinuxIdMapping| (map.container_id(), map.host_id(), map.size());
        let lines = |maps: &[oci_spec::runtime::LinuxIdMapping]| maps.iter().map(line).collect::<Vec<_>>();
        (lines(&plan.inside.uid_map), lines(&plan.inside.gid_map))
    };
    let (users, groups) = map("", USER, 65_536);
    assert_eq!(users, [(0, 100_000, 1000), (1000, 1000, 1), (1001, 101_000, 64_536)]);
    assert_eq!(groups, [(0, 200_000, 100), (100, 100, 1), (101, 200_100, 65_436)]);
    let (users, _) = map("config: {map-root-user: 1}", USER, 10);
    assert_eq!(users, [(0, 1000, 1), (1, 100_000, 10)]);
    let (users, _) = map("", USER, 10);
    assert_eq!(users, [(0, 100_000, 10), (1000, 1000, 1)]);
    let (users, _) = map("", ROOT, 10);
    assert_eq!(users, [(0, 0, u32::MAX)], "root needs none");
}

#[test]
fn changing_users_takes_root_and_an_account() {
    for (text, caller, message) in [
        ("config: {set-user: svc}", USER, "user 1000 may not run as 777:778"),
        ("config: {set-user: nobody-here}", ROOT, "there is no user `nobody-here`"),
        ("config: {set-group: nobody-here}", ROOT, "there is no group `nobody-here`"),
        ("config: {set-user: '5'}", ROOT, "user 5 has no account, so no group"),
    ] {
        let family = Maker::new().node(text).family();
        let planned = plan(&family, &Request::new(caller), launch(), &mut FakeHost::default(), None);
        assert!(planned.plan.is_none());
        assert_eq!(planned.report.diagnostics()[0].message, message);
    }
}

#[test]
fn namespaces_come_out_as_shared() {
    let types = |text: &str| {
        let spec = spec(Maker::new().node(text), ROOT);
        let all = spec["linux"]["namespaces"].as_array().expect("a list").clone();
        let name = |one: &Value| {
            let path = one["path"].as_str().map(|path| format!("={path}")).unwrap_or_default();
            format!("{}{path}", one["type"].as_str().expect("a word"))
        };
        let mut names: Vec<String> = all.iter().map(name).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(types(""), "cgroup ipc mount network pid user");
    assert_eq!(types("config: {share_all: Enabled}"), "mount");
    assert_eq!(
        types("config: {hostname: x, share_time: Disabled}"),
        "cgroup ipc mount network pid time user uts"
    );
    assert_eq!(
        types("config: {share_all: Enabled, share_net: /run/netns/$LEAF_ALIAS}"),
        "mount network=/run/netns/n0"
    );
}

#[test]
fn kernel_file_systems_follow_the_namespaces() {
    let text = "config: {share_pid: Enabled}\nexports: [{mode: Procfs, mount: /proc}]";
    let spec = spec(Maker::new().node(text), USER);
    assert_eq!(
        spec["mounts"][0]["type"], "bind",
        "a user namespace cannot mount proc for the host's processes"
    );
    let family =
        Maker::new().node("config: {share_ipc: Enabled}\nexports: [{mode: Mqueue, mount: /q}]").family();
    let planned = plan(&family, &Request::new(USER), launch(), &mut FakeHost::default(), None);
    assert_eq!(planned.report.diagnostics()[0].code.name(), "namespace-needed");
}

struct Fixed;

impl Runner for Fixed {
    fn run(&mut self, command: &str) -> Result<String, String> {
        Ok(command.to_uppercase())
    }
}

impl Shell for Fixed {
    fn output(&mut self, command: &str) -> Result<Vec<u8>, String> {
        if command == "false" {
            Err("ended with status 1".into())
        } else {
            Ok(format!("[{command}]\n").into_bytes())
        }
    }
}

#[test]
fn commands_run_only_for_a_launch_and_must_succeed() {
    let text = "environ: [{key: A, mode: Execfd, value: one}, {key: B, value: 'b $(two)'}]\nexports: [{mode: Execfd, mount: /f, path: three}, {mode: Public, mount: '/m/$(four)', path: /x}]";
    let family = Maker::new().node(text).family();
    let request = Request::new(ROOT);
    let shown =
        plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.expect("it can be shown");
    assert!(!shown.complete && shown.files[0].content.is_none());
    let ran =
        plan(&family, &request, launch(), &mut FakeHost::default(), Some(&mut Fixed)).plan.expect("it runs");
    assert_eq!(ran.files[0].content.as_deref(), Some(&b"[three]\n"[..]));
    let env = ran.spec.process().as_ref().and_then(|process| process.env().clone()).expect("it has one");
    assert!(env.contains(&"A=[one]".to_owned()) && env.contains(&"B=b TWO".to_owned()), "{env:?}");
    assert!(ran.layout.mounts.iter().any(|mount| mount.destination == "/m/FOUR"));
    assert_eq!(shown.digest, ran.digest, "what commands print is not part of the digest");
    for text in [
        "environ: [{key: A, mode: Execfd, value: 'false'}]",
        "exports: [{mode: Execfd, mount: /f, path: 'false'}]",
    ] {
        let family = Maker::new().node(text).family();
        let planned = plan(&family, &request, launch(), &mut FakeHost::default(), Some(&mut Fixed));
        assert!(planned.plan.is_none());
        assert!(planned.report.diagnostics()[0].message.ends_with("`false` ended with status 1"));
    }
}

#[test]
fn limits_that_the_machine_lacks_are_warned_of() {
    let text = "config: {cgroups: {mem: {high: 1M, oom_group: 1}, io: {cost_model: x}, cpu: {weight: 200}}}";
    let family = Maker::new().node(text).family();
    let report = |v2| {
        let host = &mut FakeHost { v2, ..FakeHost::default() };
        plan(&family, &Request::new(ROOT), launch(), host, None).report
    };
    let messages =
        |v2| -> Vec<String> { report(v2).diagnostics().iter().map(|one| one.message.clone()).collect() };
    assert_eq!(messages(true).len(), 1);
    assert!(messages(true)[0].starts_with("`io.cost_model` is not applied"));
    assert_eq!(messages(false).len(), 3);
}
