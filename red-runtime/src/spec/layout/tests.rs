use super::*;
use crate::node::diagnostic::Severity;
use crate::spec::identity::Caller;
use crate::spec::plan::{Plan, Request, plan};
use crate::testing::{FakeHost, Maker, errors, launch};

fn planned(exports: &str, host: &mut FakeHost) -> (Option<Plan>, Report) {
    planned_with(exports, host, |_| {})
}

fn planned_with(exports: &str, host: &mut FakeHost, ask: impl Fn(&mut Request)) -> (Option<Plan>, Report) {
    let family = Maker::new().node(&format!("exports:\n{exports}")).family();
    let mut request = Request::new(Caller { uid: 0, gid: 0 });
    ask(&mut request);
    let planned = plan(&family, &request, launch(), host, None);
    (planned.plan, planned.report)
}

fn good(exports: &str, host: &mut FakeHost) -> Plan {
    let (plan, report) = planned(exports, host);
    plan.unwrap_or_else(|| panic!("{exports}: {:?}", report.diagnostics()))
}

fn refused(exports: &str, host: &mut FakeHost) -> String {
    let (plan, report) = planned(exports, host);
    assert!(plan.is_none(), "{exports} is refused");
    let first = report.diagnostics().iter().find(|one| one.severity == Severity::Error);
    first.expect("there is an error").message.clone()
}

fn destinations(plan: &Plan) -> Vec<&str> {
    plan.layout.mounts.iter().map(|mount| mount.destination.as_str()).collect()
}

#[test]
fn mount_points_in_the_root_are_made_beforehand() {
    let mut host = FakeHost { files: ["/etc/hosts".to_owned()].into(), ..FakeHost::default() };
    let plan = good(
        "- {mode: Public, mount: /a/b/c, path: /x}\n- {mode: Restricted, mount: /a/f, path: /etc/hosts}",
        &mut host,
    );
    let skeleton: Vec<(&str, &Entry)> =
        plan.layout.skeleton.iter().map(|(path, entry)| (path.as_str(), entry)).collect();
    assert_eq!(
        skeleton,
        [("/a", &Entry::Dir), ("/a/b", &Entry::Dir), ("/a/b/c", &Entry::Dir), ("/a/f", &Entry::File)]
    );
}

#[test]
fn mounts_come_outer_first_whatever_sorts_between() {
    let plan = good(
        "- {mode: Public, mount: /a/z, path: /x}\n- {mode: Tmpfs, mount: /a}\n- {mode: Tmpfs, mount: /a-b}",
        &mut FakeHost::default(),
    );
    assert_eq!(destinations(&plan), ["/a", "/a/z", "/a-b"]);
    assert!(!plan.layout.skeleton.contains_key("/a/z"), "a tmpfs gets its mount points from the runtime");
}

#[test]
fn a_mount_point_in_a_bind_must_exist_there() {
    let text = "- {mode: Restricted, mount: /usr, path: /h}\n- {mode: Public, mount: /usr/app, path: /x}";
    let plan = good(text, &mut FakeHost::default());
    assert_eq!(destinations(&plan), ["/usr", "/usr/app"]);
    assert!(!plan.layout.skeleton.contains_key("/usr/app"));
    let mut host = FakeHost { missing: ["/h/app".to_owned()].into(), ..FakeHost::default() };
    assert_eq!(
        refused(text, &mut host),
        "/usr/app lies in the export of /usr: it needs /h/app, which does not exist"
    );
    let mut host = FakeHost { files: ["/h/app".to_owned()].into(), ..FakeHost::default() };
    assert!(refused(text, &mut host).ends_with("/h/app, which is no directory while its source is one"));
    let links = [("/h/app".to_owned(), "/elsewhere".to_owned())].into();
    let mut host = FakeHost { links, ..FakeHost::default() };
    assert!(refused(text, &mut host).ends_with("/h/app, which is a link to /elsewhere"));
}

#[test]
fn a_directory_that_a_launch_makes_can_be_mounted_on() {
    let text = "- {mode: Private, mount: /data, path: $NODE_PATH/data}\n- {mode: Public, mount: /data/var/cache, path: $NODE_PATH/x}";
    let missing = ["/pool/n0/data/var/cache".to_owned()].into();
    let plan = good(text, &mut FakeHost { missing, ..FakeHost::default() });
    assert_eq!(plan.layout.create[0].path, "/pool/n0/data/var/cache");
    assert_eq!(destinations(&plan), ["/data", "/data/var/cache"]);
}

#[test]
fn missing_sources_are_made_left_out_or_refused() {
    let missing =
        || FakeHost { missing: ["/x".to_owned(), "/pool/n0/x".to_owned()].into(), ..FakeHost::default() };
    for (export, strict, created, skipped, error) in [
        ("Public, path: $NODE_PATH/x", false, 1, 0, false),
        ("Public, path: $NODE_PATH/x", true, 0, 1, true),
        ("Restricted, path: $NODE_PATH/x", false, 1, 0, false),
        ("PublicFile, path: $NODE_PATH/x", false, 0, 1, false),
        ("PublicFile, path: $NODE_PATH/x", true, 0, 1, true),
        ("Public, path: /x", false, 0, 1, false),
        ("Public, path: /x", true, 0, 1, true),
    ] {
        let text = format!("- {{mount: /a, mode: {export}}}");
        let (plan, report) = planned_with(&text, &mut missing(), |request| request.strict = strict);
        assert_eq!(plan.is_none(), error, "{export} {strict}");
        if let Some(plan) = plan {
            assert_eq!(
                (plan.layout.create.len(), plan.layout.skipped.len()),
                (created, skipped),
                "{export} {strict}"
            );
            assert_eq!(report.count(Severity::Warning), skipped);
        }
    }
}

#[test]
fn links_of_the_plan_are_followed() {
    let text = "- {mode: Symlink, mount: /home/app, path: /nodes/_private}\n- {mode: Public, mount: /home/app/data, path: /x}\n- {mode: Private, mount: /nodes/_private, path: /y}";
    let plan = good(text, &mut FakeHost::default());
    assert_eq!(destinations(&plan), ["/nodes/_private", "/nodes/_private/data"]);
    let circle = "- {mode: Symlink, mount: /a, path: /b}\n- {mode: Symlink, mount: /b, path: /a}\n- {mode: Tmpfs, mount: /a/x}";
    assert_eq!(refused(circle, &mut FakeHost::default()), "/a/x lies behind links that lead in a circle");
    let same =
        "- {mode: Symlink, mount: /a, path: /b}\n- {mode: Tmpfs, mount: /a/x}\n- {mode: Tmpfs, mount: /b/x}";
    assert!(refused(same, &mut FakeHost::default()).ends_with("are both /b/x behind a link"));
}

#[test]
fn what_stands_in_a_fresh_file_system_is_made_after_it() {
    let text = "- {mode: Tmpfs, mount: /tmp}\n- {mode: Symlink, mount: /tmp/l, path: /x}\n- {mode: Lock, mount: /tmp/lock}\n- {mode: Anonymous, mount: /tmp/a}";
    let plan = good(text, &mut FakeHost::default());
    let within: Vec<&str> = plan.layout.within.keys().map(String::as_str).collect();
    assert_eq!(within, ["/tmp/l", "/tmp/lock"]);
    assert_eq!(destinations(&plan), ["/tmp", "/tmp/a"]);
}

#[test]
fn nothing_is_written_into_an_export() {
    let base = "- {mode: Public, mount: /d, path: /x}\n";
    assert!(
        refused(&format!("{base}- {{mode: Symlink, mount: /d/l, path: /y}}"), &mut FakeHost::default())
            .starts_with("the link /d/l lies in the export of /d")
    );
    let plan = good(&format!("{base}- {{mode: Lock, mount: /d/lock}}"), &mut FakeHost::default());
    assert_eq!(
        plan.layout.host_locks[0].path, "/x/lock",
        "a lock in a writable export is what others look at"
    );
    let read_only = "- {mode: Restricted, mount: /d, path: /x}\n- {mode: Lock, mount: /d/lock}";
    assert!(refused(read_only, &mut FakeHost::default()).contains("not writable"));
}

#[test]
fn a_mount_below_a_file_or_in_proc_is_refused() {
    let mut host = FakeHost { files: ["/f".to_owned(), "/cpu".to_owned()].into(), ..FakeHost::default() };
    let below = "- {mode: PublicFile, mount: /a, path: /f}\n- {mode: Tmpfs, mount: /a/b}";
    assert_eq!(refused(below, &mut host), "/a/b lies below /a, which is a file");
    let proc = "- {mode: Procfs, mount: /proc}\n- {mode: Tmpfs, mount: /proc/x}";
    assert_eq!(refused(proc, &mut host), "/proc/x lies in /proc, where the kernel makes the files");
    // Without a /proc of the node's own, too: a launch would refuse it.
    for mode in ["Tmpfs", "Mqueue"] {
        let proc = format!("- {{mode: {mode}, mount: /proc}}");
        assert_eq!(refused(&proc, &mut host), "/proc is for a proc file system and nothing else");
        let below = format!("- {{mode: {mode}, mount: /proc/sys}}");
        assert_eq!(refused(&below, &mut host), "/proc/sys lies in /proc, where the kernel makes the files");
    }
    good("- {mode: Anonymous, mount: /proc}", &mut host);
    good(
        "- {mode: Procfs, mount: /proc}\n- {mode: RestrictedFile, mount: /proc/cpuinfo, path: /cpu}",
        &mut host,
    );
}

#[test]
fn dev_is_minimal_wherever_it_stands() {
    let plan = good("- {mode: Devfs, mount: /dev}", &mut FakeHost::default());
    assert_eq!(destinations(&plan), ["/dev", "/dev/pts", "/dev/shm"]);
    let plan = good(
        "- {mode: Devfs, mount: /mine}\n- {mode: Public, mount: /mine/shm, path: /x}",
        &mut FakeHost::default(),
    );
    assert_eq!(destinations(&plan), ["/mine/pts", "/mine/shm"]);
    assert_eq!(plan.layout.devices, ["/mine"]);
    assert_eq!(
        plan.layout.skeleton.get("/mine/fd"),
        Some(&Entry::Symlink { target: "/proc/self/fd".into() })
    );
    let devices =
        plan.spec.linux().as_ref().and_then(|linux| linux.devices().clone()).expect("it has devices");
    assert_eq!(devices.len(), 6);
}

#[test]
fn the_working_directory_exists_when_the_command_starts() {
    let family = |chdir: &str, exports: &str| {
        Maker::new().node(&format!("config: {{chdir: {chdir}}}\nexports: [{exports}]")).family()
    };
    let cwd = |chdir: &str, exports: &str, host: &mut FakeHost| {
        let request = Request::new(Caller { uid: 0, gid: 0 });
        let planned = plan(&family(chdir, exports), &request, launch(), host, None);
        planned
            .plan
            .map(|plan| (plan.layout.cwd.clone(), plan.layout.skeleton.contains_key(&plan.layout.cwd)))
    };
    let mut host = FakeHost { missing: ["/x/gone".to_owned()].into(), ..FakeHost::default() };
    assert_eq!(cwd("/home/$LEAF_ALIAS", "", &mut host), Some(("/home/n0".into(), true)));
    assert_eq!(cwd("/l", "{mode: Symlink, mount: /l, path: /d}", &mut host), Some(("/d".into(), true)));
    assert_eq!(
        cwd("/d/sub", "{mode: Public, mount: /d, path: /x}", &mut host),
        Some(("/d/sub".into(), false))
    );
    assert_eq!(cwd("/d/gone", "{mode: Public, mount: /d, path: /x}", &mut host), None);
    assert_eq!(cwd("relative", "", &mut host), None);
}

#[test]
fn where_paths_really_lead_decides_what_is_read_only() {
    let family = Maker::new()
        .node("exports: [{mode: Restricted, mount: /a, path: /usr/lib}]")
        .node("exports: [{mode: Public, mount: /b, path: /lib}]")
        .family();
    let links = [("/lib".to_owned(), "/usr/lib".to_owned())].into();
    let mut host = FakeHost { links, ..FakeHost::default() };
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let planned = plan(&family, &request, launch(), &mut host, None);
    assert_eq!(errors(&planned.report), ["export-writable"]);
    assert!(plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.is_some());
}

#[test]
fn paths_that_are_none_are_refused_with_what_they_are() {
    for (mount, message) in [
        ("..", "`mount: ..` is relative"),
        ("usr", "`mount: usr` is relative"),
        ("/", "`mount: /` would replace the root itself"),
        ("/a/../..", "`mount: /a/../..` goes up beyond the root with `..`"),
        ("$NOTHING", "`mount` is empty"),
        ("\"/a\\nb\"", "has a control character in it"),
        (&format!("/{}", "x".repeat(300)), "has a name of more than 255 bytes in it"),
        (&"/x".repeat(2_100), "`mount` has 4200 bytes"),
    ] {
        let said = refused(&format!("- {{mode: Tmpfs, mount: {mount}}}"), &mut FakeHost::default());
        assert!(said.contains(message), "{mount}: {said}");
    }
    let long = "/abcdefghi".repeat(30);
    let plan = good(&format!("- {{mode: Tmpfs, mount: {long}}}"), &mut FakeHost::default());
    assert_eq!(destinations(&plan), [long]);
    let plan = good("- {mode: Tmpfs, mount: /a/./b//../c/}", &mut FakeHost::default());
    assert_eq!(destinations(&plan), ["/a/c"]);
}
