use crate::node::diagnostic::{Report, Severity};
use crate::node::guard::Rules;
use crate::spec::identity::Caller;
use crate::spec::layout::MountKind;
use crate::spec::plan::{Plan, Request, plan};
use crate::testing::{FakeHost, Maker, errors, launch};

fn planned(maker: Maker, host: &mut FakeHost) -> (Option<Plan>, Report) {
    let family = maker.family();
    let mut request = Request::new(Caller { uid: 0, gid: 0 });
    request.rules = Rules { pools: vec!["/pool".into()], ..Rules::default() };
    let planned = plan(&family, &request, launch(), host, None);
    (planned.plan, planned.report)
}

/// The codes of errors when a root node says `elder`, and its child `younger`.
fn codes(elder: &str, younger: &str, host: &mut FakeHost) -> Vec<&'static str> {
    let maker = Maker::new().node(&format!("exports: [{elder}]")).node(&format!("exports: [{younger}]"));
    errors(&planned(maker, host).1)
}

fn export(mode: &str, path: &str) -> String {
    format!("{{mode: {mode}, mount: /m-{}, path: {path}}}", mode.to_lowercase())
}

/// A machine on which nothing of the store is there yet.
fn host() -> FakeHost {
    let mut host = FakeHost::default();
    for node in ["/pool/n0", "/pool/n0/n1"] {
        for missing in ["var/lib/rpm", "var/lib/dnf", "var/cache/dnf"] {
            host.missing.insert(format!("{node}/{missing}"));
        }
    }
    host
}

/// Mounts by destination, with source and whether it is writable.
fn binds(plan: &Plan) -> Vec<(&str, &str, bool)> {
    let binds = plan.layout.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, writable, .. } => {
            Some((mount.destination.as_str(), source.as_str(), *writable))
        }
        _ => None,
    });
    binds.collect()
}

#[test]
fn what_decides_is_not_exported_writable() {
    let decides = vec!["export-decides"];
    for path in [
        "$NODE_PATH",
        "$NODE_PATH/etc",
        "$NODE_PATH/etc/redpak.yaml",
        "$NODE_PATH/etc/redpak-admin.yaml",
        "$NODE_PATH/etc/yum.repos.d",
        "$NODE_PATH/etc/yum.repos.d/a",
        "$NODE_PATH/.rednode.yaml",
        "$NODE_PATH/.red",
        "$NODE_PATH/.red/gen/1/usr",
        "/pool/n0",
        "/pool/n0/etc",
        "/pool/n0/.red",
        "/pool",
        "/",
        "/etc",
        "/etc/redpak",
        "/etc/redpak/templates.d",
        "/run/red-runtime/x",
    ] {
        let found = codes("", &export("Public", path), &mut host());
        assert!(found.contains(&"export-decides"), "{path}: {found:?}");
        assert_eq!(codes("", &export("Restricted", "/pool"), &mut host()), Vec::<&str>::new(), "{path}");
    }
    // What is somebody else's: a sibling, a directory between nodes, what an elder keeps for itself.
    for path in ["/pool/other", "/pool/other/data", "/pool/n0/x", "/pool/n0/sibling/data"] {
        assert_eq!(codes("", &export("Public", path), &mut host()), decides, "{path}");
    }
    let kept = export("Private", "$NODE_PATH/x");
    assert_eq!(codes(&kept, &export("Public", "/pool/n0/x/y"), &mut host()), decides, "private to the elder");
    // What a node has is its own, and what an elder gives away may be given on.
    for (elder, younger) in [
        ("", "$NODE_PATH/data"),
        ("", "$NODE_PATH/var"),
        ("", "$NODE_PATH/etc/app"),
        ("", "/srv/data"),
        ("$NODE_PATH/shared", "/pool/n0/shared"),
        ("$NODE_PATH/shared", "/pool/n0/shared/part"),
        ("$LEAF_PATH/data", "$NODE_PATH/x"),
    ] {
        let elder = if elder.is_empty() { String::new() } else { export("Public", elder) };
        let found = codes(&elder, &export("Private", younger), &mut host());
        assert_eq!(found, Vec::<&str>::new(), "{younger}");
    }
}

#[test]
fn what_decides_is_not_made_by_a_launch() {
    for path in ["etc/redpak-admin.yaml", ".red", "etc/yum.repos.d"] {
        let mut host = host();
        host.missing.insert(format!("/pool/n0/n1/{path}"));
        let found = codes("", &export("Restricted", &format!("/pool/n0/n1/{path}")), &mut host);
        assert_eq!(found, ["export-decides"], "{path}");
        let found = codes("", &export("RestrictedFile", &format!("/pool/n0/n1/{path}")), &mut host);
        assert_eq!(found, Vec::<&str>::new(), "a file that is missing is left out: {path}");
    }
}

#[test]
fn the_policy_may_allow_it() {
    let family = Maker::new().node(&format!("exports: [{}]", export("Public", "/proc/acpi"))).family();
    let mut request = Request::new(Caller { uid: 0, gid: 0 });
    let mut host = FakeHost { mounts: "2 1 0:3 / /proc rw - proc proc rw\n".into(), ..FakeHost::default() };
    for (allowed, count) in [("/proc/acpi", 0), ("/proc/", 0), ("/proc", 1), ("/proc/acpi/x", 1)] {
        request.rules.allowed = vec![allowed.to_owned()];
        let report = plan(&family, &request, launch(), &mut host, None).report;
        assert_eq!(report.count(Severity::Error), count, "{allowed}");
    }
}

#[test]
fn a_name_is_no_way_around() {
    // The pool's file system is mounted a second time; a directory of it is bound elsewhere; and a mount
    // of it lies below an innocent directory.
    let mounts = "2 1 8:1 /srv /alias rw - ext4 /dev/sda rw
3 1 8:1 / /sysroot rw - ext4 /dev/sda rw
4 1 8:1 /pool/n0 /data/deep/mount rw - ext4 /dev/sda rw
5 1 8:1 /srv/ro /n1-own/ro rw - ext4 /dev/sda rw
";
    let host = || FakeHost { mounts: mounts.into(), ..host() };
    for path in ["/sysroot/pool/n0/etc", "/sysroot", "/sysroot/pool", "/data", "/data/deep/mount/etc"] {
        let found = codes("", &export("Public", path), &mut host());
        assert!(found.contains(&"export-decides"), "{path}: {found:?}");
    }
    // What an elder exports read-only, under another name.
    let elder = export("Restricted", "/srv/ro");
    for path in ["/srv/ro", "/alias/ro", "/alias/ro/x", "/alias", "/sysroot/srv/ro", "/n1-own"] {
        let found = codes(&elder, &export("Public", path), &mut host());
        assert!(found.contains(&"export-writable"), "{path}: {found:?}");
    }
    assert_eq!(codes(&elder, &export("Public", "/alias/rw"), &mut host()), Vec::<&str>::new());
    // And the other way round: the elder has the alias.
    let elder = export("Restricted", "/n1-own");
    assert_eq!(codes(&elder, &export("Public", "/srv/ro/x"), &mut host()), ["export-writable"]);
    // A hard link is the same file, but nobody can say which other names there are.
    let files = || FakeHost {
        files: ["/srv/ro/file".to_owned(), "/srv/link".to_owned(), "/srv/single".to_owned()].into(),
        links_to: [("/srv/link".to_owned(), "/srv/ro/file".to_owned())].into(),
        ..host()
    };
    let elder = export("Restricted", "/srv/ro");
    assert_eq!(codes(&elder, &export("PublicFile", "/srv/link"), &mut files()), ["export-decides"]);
    assert_eq!(codes(&elder, &export("PublicFile", "/srv/single"), &mut files()), Vec::<&str>::new());
}

#[test]
fn nodes_in_what_is_given_away_are_none() {
    for (elder, refused) in [
        ("{mode: Public, mount: /a, path: $NODE_PATH}", true),
        // Private to the elder: containers of the elder write there, not those of the child.
        ("{mode: Private, mount: /a, path: /pool/n0/n1}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/n1/../n1}", true),
        // Of the elder as a leaf.
        ("{mode: Public, mount: /a, path: $LEAF_PATH/n1}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/$LEAF_ALIAS}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/$HOME}", true),
        ("{mode: Private, mount: /a, path: '$NODE_PATH/$(id -un)'}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/home/$USER}", false),
        // What a leaf calls itself says nothing about where it is.
        ("{mode: Public, mount: /a, path: $NODE_PATH/$LEAF_NAME}", true),
        ("{mode: Public, mount: /a, path: '$NODE_PATH/n$LEAF_ALIAS'}", true),
        ("{mode: Public, mount: /a, path: $NODE_PATH/$LEAF_ALIAS-data}", false),
        ("{mode: Public, mount: /a, path: $NODE_PATH/$LEAF_ALIAS/data}", true),
        // Of what differs per launch, what does not.
        ("{mode: Private, mount: /a, path: $NODE_PATH/home-$USER}", false),
        ("{mode: Private, mount: /a, path: '$NODE_PATH/n${USER}'}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/$USER-home}", false),
        ("{mode: Private, mount: /a, path: $NODE_PATH/$UID}", false),
        ("{mode: Private, mount: /a, path: $NODE_PATH/n$UID}", true),
        ("{mode: Private, mount: /a, path: $NODE_PATH/data}", false),
        ("{mode: PrivateRestricted, mount: /a, path: /pool/n0/n1}", false),
    ] {
        let maker = Maker::new().node(&format!("exports: [{elder}]")).node("");
        let found = errors(&planned(maker, &mut host()).1);
        assert_eq!(found.contains(&"node-writable"), refused, "{elder}: {found:?}");
    }
    // Under another name of the same place.
    let mounts = "4 1 8:1 /pool /srv/view rw - ext4 /dev/sda rw\n";
    let mut host = FakeHost { mounts: mounts.into(), ..host() };
    let elder = "{mode: Private, mount: /a, path: /srv/view/n0/n1}";
    assert_eq!(
        errors(&planned(Maker::new().node(&format!("exports: [{elder}]")).node(""), &mut host).1),
        ["node-writable"]
    );
    // Redmain's exports are written to by everybody's containers.
    let maker = Maker::new().main("exports: [{mode: Public, mount: /a, path: /pool/n0}]").node("");
    assert_eq!(errors(&planned(maker, &mut host).1), ["node-writable"]);
}

#[test]
fn foreign_nodes_on_the_way_are_left_alone() {
    let mut host = FakeHost { nodes: ["/pool/n0/n1/deep".to_owned(), "/srv/n".to_owned()].into(), ..host() };
    for path in ["$NODE_PATH/deep/data", "/srv/n", "/srv/n/data", "/srv/n/a/b"] {
        assert_eq!(codes("", &export("Public", path), &mut host), ["export-decides"], "{path}");
    }
    // A status file that a container wrote into its own export stops nothing: no node is believed there.
    for (elder, path) in [("", "$NODE_PATH/deep"), ("/srv", "/srv/n")] {
        let elder = if elder.is_empty() { String::new() } else { export("Public", elder) };
        assert_eq!(codes(&elder, &export("Private", path), &mut host), Vec::<&str>::new(), "{path}");
    }
}

#[test]
fn links_that_contents_can_place_are_not_followed() {
    let host = |from: &str, to: &str| FakeHost { links: [(from.into(), to.into())].into(), ..host() };
    for (elder, younger, from, to) in [
        // In an elder's export, private or not, of a launch that does not have it, or the node's own.
        ("Public /sh", "Public /sh/sub", "/sh/sub", "/other"),
        ("Public /sh", "Restricted /sh/sub", "/sh/sub", "/other"),
        ("Private /sh", "RestrictedFile /sh/a/c.txt", "/sh/a/c.txt", "/etc/shadow"),
        ("Private $NODE_PATH/home/$USER", "Restricted /pool/n0/home/x", "/pool/n0/home/x", "/pool/n0/y"),
        (
            "",
            "Public $NODE_PATH/var, Private $NODE_PATH/var/local",
            "/pool/n0/n1/var/local",
            "/pool/n0/n1/kid",
        ),
        (
            "",
            "Public $NODE_PATH/var, Restricted $NODE_PATH/var/local",
            "/pool/n0/n1/var/local",
            "/pool/n0/n1/usr",
        ),
    ] {
        let list = |all: &str| {
            let one = |(index, one): (usize, &str)| {
                let (mode, path) = one.split_once(' ').unwrap();
                format!("{{mode: {mode}, mount: /m{index}-{}, path: {path}}}", mode.to_lowercase())
            };
            let all = all.split(", ").filter(|one| !one.is_empty()).enumerate().map(one);
            all.collect::<Vec<_>>().join(", ")
        };
        let found = codes(&list(elder), &list(younger), &mut host(from, to));
        assert_eq!(found, ["export-decides"], "{elder}; {younger}");
        // Where contents cannot place it, it is as good as what it leads to.
        let elder = elder.replace("Public", "Restricted").replace("Private", "Restricted");
        let younger = younger.replace("Public $NODE_PATH/var,", "Restricted $NODE_PATH/var,");
        if !younger.contains("Private") {
            let younger = younger.replace("Public", "Restricted");
            let found = codes(&list(&elder), &list(&younger), &mut host(from, to));
            assert_eq!(found, Vec::<&str>::new(), "{elder}; {younger}");
        }
    }
    // What it would lead to is not given away by it.
    let elder = "{mode: Public, mount: /v, path: $NODE_PATH/var}, {mode: Private, mount: /l, path: $NODE_PATH/var/local}";
    let found = codes(elder, "", &mut host("/pool/n0/var/local", "/pool/n0/n1"));
    assert_eq!(found, Vec::<&str>::new(), "contents of the parent stop no child");
}

#[test]
fn a_missing_source_brings_nothing_along() {
    let mounts = "2 1 0:3 / /pool rw - tmpfs tmpfs rw\n".to_owned();
    let mut host = FakeHost { mounts, ..host() };
    host.missing.insert("/run/systemd/notify".to_owned());
    let found = codes(&export("Public", "/run/systemd/notify"), "", &mut host);
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn what_the_host_decides_by_is_kept_by_name_and_through_links() {
    let mut host = FakeHost { links: [("/pool".to_owned(), "/data/pool".to_owned())].into(), ..host() };
    host.links.insert("/etc/redpak".to_owned(), "/lnk/cur".to_owned());
    for path in ["/data", "/lnk", "/lnk/cur", "/lnk/cur/x", "/etc"] {
        let found = codes("", &export("Public", path), &mut host);
        assert_eq!(found, ["export-decides"], "{path}");
    }
    let mut host = FakeHost::default();
    host.missing.insert("/opt/missing".to_owned());
    let family = Maker::new().node(&format!("exports: [{}]", export("Public", "/opt"))).family();
    let mut request = Request::new(Caller { uid: 0, gid: 0 });
    request.rules = Rules { pools: vec!["/opt/missing".into()], ..Rules::default() };
    assert_eq!(errors(&plan(&family, &request, launch(), &mut host, None).report), ["export-decides"]);
}

#[test]
fn layers_of_an_overlay_are_exported_with_it() {
    let mounts = "2 1 0:9 / /m rw - overlay overlay rw,lowerdir=/low,upperdir=/ro,workdir=/work\n";
    let mut host = FakeHost { mounts: mounts.into(), ..host() };
    let found = codes(&export("Restricted", "/ro"), &export("Public", "/m/x"), &mut host);
    assert_eq!(found, ["export-writable"]);
    let found = codes(&export("Restricted", "/m"), &export("Public", "/ro"), &mut host);
    assert_eq!(found, ["export-writable"]);
}

#[test]
fn packages_stay_read_only_in_what_is_exported_around_them() {
    let text = "config: {rpmdir: $NODE_PATH/var/lib/rpm}
exports: [{mode: Private, mount: /var/lib/rpm, path: $NODE_PATH/var/lib/rpm}, {mode: Public, mount: /v, path: $NODE_PATH/var}]";
    let (plan, report) = planned(Maker::new().node(text), &mut host());
    let plan = plan.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
    assert_eq!(
        binds(&plan),
        [
            ("/v", "/pool/n0/var", true),
            ("/v/lib", "/pool/n0/var/lib", true),
            ("/v/lib/dnf", "/pool/n0/var/lib/dnf", false),
            ("/v/lib/rpm", "/pool/n0/var/lib/rpm", false),
            ("/var/lib/rpm", "/pool/n0/var/lib/rpm", false),
        ]
    );
    let created: Vec<&str> = plan.layout.create.iter().map(|created| created.path.as_str()).collect();
    assert!(created.contains(&"/pool/n0/var/lib/rpm"), "what is not there could be made: {created:?}");
    let warned: Vec<&str> = report
        .diagnostics()
        .iter()
        .filter(|one| one.severity == Severity::Warning)
        .map(|one| one.code.name())
        .collect();
    assert_eq!(warned, ["export-kept"], "the export that was asked to be writable");
    // Nobody named a database and there is none: contents could make one, and its keys would count.
    let text = "exports: [{mode: Public, mount: /v, path: $NODE_PATH/var}]";
    let (plan, _) = planned(Maker::new().node(text), &mut host());
    let read_only = ["/v/lib/dnf", "/v/lib/rpm"];
    let plan = plan.unwrap();
    let found: Vec<&str> = binds(&plan).iter().filter(|one| !one.2).map(|one| one.0).collect();
    assert_eq!(found, read_only);
    // Maintenance writes to the node, but not to what it is started by.
    let maker = Maker::new().node("").admin("exports: [{mode: Private, mount: /n, path: $NODE_PATH}, {mode: Restricted, mount: /n/.rednode.yaml, path: $NODE_PATH/.rednode.yaml}]");
    let mut files = host();
    files.files.extend(
        [".rednode.yaml", "etc/redpak.yaml", "etc/redpak-admin.yaml"].map(|name| format!("/pool/n0/{name}")),
    );
    for missing in ["etc/redpack.yaml", "etc/redpack-admin.yaml", ".red"] {
        files.missing.insert(format!("/pool/n0/{missing}"));
    }
    let (plan, report) = planned(maker, &mut files);
    let plan = plan.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
    assert_eq!(
        binds(&plan),
        [
            ("/n", "/pool/n0", true),
            ("/n/.red", "/pool/n0/.red", false),
            ("/n/.rednode.yaml", "/pool/n0/.rednode.yaml", false),
            ("/n/etc", "/pool/n0/etc", true),
            ("/n/etc/redpak-admin.yaml", "/pool/n0/etc/redpak-admin.yaml", false),
            ("/n/etc/redpak.yaml", "/pool/n0/etc/redpak.yaml", false),
        ]
    );
    // Nor to nodes below that are not started.
    let maker = Maker::new().node("").admin("exports: [{mode: Private, mount: /n, path: $NODE_PATH}]");
    let mut nested = files.clone();
    nested.nodes = ["/pool/n0/kid".to_owned(), "/pool/n0/kid/deep".to_owned()].into();
    let plan = planned(maker, &mut nested).0.unwrap();
    assert!(binds(&plan).contains(&("/n/kid", "/pool/n0/kid", false)), "{:?}", binds(&plan));
    // Of an old spelling, the new one would hold.
    let old = Maker::new().node("").admin("exports: [{mode: Private, mount: /n, path: $NODE_PATH}]");
    let mut spelled = files.clone();
    spelled.missing.remove("/pool/n0/etc/redpack.yaml");
    let (first, second) = ("/pool/n0/etc/redpak.yaml", "/pool/n0/etc/redpack.yaml");
    spelled.files.remove(first);
    spelled.files.insert(second.to_owned());
    spelled.missing.insert(first.to_owned());
    let (plan, report) = planned(old, &mut spelled);
    let plan = plan.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
    assert!(binds(&plan).contains(&("/n/etc", "/pool/n0/etc", false)), "{:?}", binds(&plan));
    // An admin file that is not there could be made.
    let maker =
        Maker::new().node("").admin("exports: [{mode: Public, mount: /n, path: $LEAF_PATH}]").node("");
    for name in [".rednode.yaml", "etc/redpak.yaml"] {
        files.files.insert(format!("/pool/n0/n1/{name}"));
    }
    for missing in ["etc/redpack.yaml", "etc/redpack-admin.yaml", "etc/redpak-admin.yaml", ".red"] {
        files.missing.insert(format!("/pool/n0/n1/{missing}"));
    }
    assert!(errors(&planned(maker.clone(), &mut files).1).contains(&"export-decides"));
    files.missing.remove("/pool/n0/n1/etc/redpak-admin.yaml");
    files.files.insert("/pool/n0/n1/etc/redpak-admin.yaml".to_owned());
    assert_eq!(errors(&planned(maker, &mut files).1), Vec::<&str>::new());
    // But not to that of an elder.
    let maker = Maker::new().node("").node("").admin("exports: [{mode: Private, mount: /n, path: /pool/n0}]");
    assert!(errors(&planned(maker, &mut host()).1).contains(&"export-decides"));
}

#[test]
fn the_kernel_and_services_of_root_are_no_exports() {
    let mounts = "2 1 0:3 / /proc rw - proc proc rw
3 1 0:4 / /sys rw - sysfs sysfs rw
4 3 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
5 1 0:6 / /dev rw - devtmpfs devtmpfs rw
6 5 0:7 / /dev/shm rw - tmpfs tmpfs rw
7 1 0:8 / /run rw - tmpfs tmpfs rw
8 1 0:3 /sys /harmless rw - proc proc rw
9 1 0:8 /docker.sock /innocent rw - tmpfs tmpfs rw
11 1 0:8 /docker.sock /dir/deep/innocent rw - tmpfs tmpfs rw
10 1 0:4 / /data/sub rw - sysfs sysfs rw
";
    let host = || FakeHost { mounts: mounts.into(), ..host() };
    for mode in ["Public", "Restricted", "Private", "PrivateRestricted"] {
        for path in [
            "/proc",
            "/proc/sys",
            "/sys",
            "/sys/fs/cgroup/x",
            "/dev",
            "/harmless",
            "/harmless/kernel",
            "/data",
        ] {
            let found = codes("", &export(mode, path), &mut host());
            assert_eq!(found, ["export-kernel"], "{mode} {path}");
        }
        for path in [
            "/run/docker.sock",
            "/run",
            "/run/systemd",
            "/run/user",
            "/run/user/7",
            "/run/dbus",
            "/innocent",
            "/dir",
        ] {
            let found = codes("", &export(mode, path), &mut host());
            assert_eq!(found, ["export-privileged"], "{mode} {path}");
        }
        // What deployed templates export.
        for path in ["/run/systemd/notify", "/run/platform", "/run/user/$UID", "/run/app"] {
            let found = codes("", &export(mode, path), &mut host());
            assert_eq!(found, Vec::<&str>::new(), "{mode} {path}");
        }
    }
    // An admin file and redmain may name a service, and it is called what it is.
    let socket = "exports: [{mode: Public, mount: /s, path: /run/docker.sock}]";
    for maker in [Maker::new().node("").admin(socket), Maker::new().main(socket).node("")] {
        let (plan, report) = planned(maker, &mut host());
        assert_eq!(plan.unwrap().layout.privileged.values().collect::<Vec<_>>(), [&"Docker"]);
        assert!(report.diagnostics().iter().any(|one| one.message.ends_with("gives access to Docker")));
    }
}

#[test]
fn what_differs_from_launch_to_launch_stays_where_it_is_known_to_lead() {
    let node = "/pool/n0/n1";
    for (path, refused) in [
        // What the launch puts first may be anything, and what it puts into the node's own name.
        ("'${EMPTY}/pool/n0/n1/data'", true),
        ("$NODE_PATH$EMPTY/data", true),
        ("/lnk/../lnk/$EMPTY/x", true),
        ("'${EMPTY}/srv/data'", false),
        ("/srv/$USER", false),
        ("$NODE_PATH/home/$SHELL_SESSION_ID", false),
        ("$NODE_PATH/home/$USER/x", false),
    ] {
        // Through a link whose target this launch chooses.
        let links = [("/lnk/x".to_owned(), format!("{node}/data"))].into();
        let found = codes("", &export("Private", path), &mut FakeHost { links, ..host() });
        assert_eq!(found.contains(&"export-decides"), refused, "{path}: {found:?}");
    }
    // A link of the administrator's, and a name in what it leads to: any name.
    let links: std::collections::BTreeMap<String, String> =
        [("/lnk".to_owned(), "/pool/n0".to_owned()), ("/else".to_owned(), "/srv".to_owned())].into();
    for (path, refused) in [
        ("/lnk/$USER", true),
        ("/lnk/$LEAF_NAME", true),
        ("/lnk/$LEAF_ALIAS-data", false),
        ("/lnk/deep/$USER", false),
        ("/else/$USER", false),
        ("/pool/$USER", false),
    ] {
        let elder = export("Private", path);
        let found = codes(&elder, "", &mut FakeHost { links: links.clone(), ..host() });
        assert_eq!(found.contains(&"node-writable"), refused, "{path}: {found:?}");
    }
}

#[test]
fn what_any_mode_reads_is_kept_where_it_leads() {
    let links = |all: &[(&str, &str)]| {
        let links = all.iter().map(|(link, target)| ((*link).to_owned(), (*target).to_owned())).collect();
        FakeHost { links, ..host() }
    };
    for (link, target, path) in [
        ("etc/redpak-admin.yaml", "conf/adm.yaml", "conf"),
        ("etc/redpack-admin.yaml", "conf/adm.yaml", "conf"),
        ("etc/redpack.yaml", "conf/r.yaml", "conf"),
        (".rednode.yaml", "conf/status", "conf"),
        (".red", "redstore", "redstore/gen"),
        ("etc/yum.repos.d", "conf/repos", "conf"),
        ("etc/yum.repos.d/a.repo", "conf/a.repo", "conf"),
        ("etc/dnf/vars/releasever", "conf/releasever", "conf"),
    ] {
        let target = format!("/pool/n0/n1/{target}");
        let mut host = links(&[(&format!("/pool/n0/n1/{link}"), &target)]);
        for missing in [false, true] {
            if missing {
                host.missing.insert(target.clone());
            }
            let found = codes("", &export("Private", &format!("$NODE_PATH/{path}")), &mut host);
            assert_eq!(found, ["export-decides"], "{link}, missing: {missing}");
        }
    }
    // The host's, also where nothing is there yet.
    for (link, target) in [
        ("/etc/redpak/main.yaml", "/srv/data/main.yaml"),
        ("/etc/redpak/templates.d/leaf.yaml", "/srv/data/t.yaml"),
        ("/etc/redpak", "/srv/data/redpak"),
        ("/pool", "/srv/data/pool"),
    ] {
        let mut host = links(&[(link, target)]);
        host.missing.insert(target.to_owned());
        assert_eq!(codes("", &export("Public", "/srv/data"), &mut host), ["export-decides"], "{link}");
    }
}

#[test]
fn package_databases_are_kept_where_they_lead() {
    let whole = |maker: Maker| planned(maker, &mut host()).0;
    let read_only = |config: &str, path: &str| {
        let mut host = FakeHost { links: [("/lnk".into(), "/srv/db".into())].into(), ..host() };
        host.links.insert("/pool/n0/n1/db".into(), "/pool/n0/n1/vardata".into());
        let text = format!("config: {{{config}}}\nexports: [{}]", export("Public", path));
        let (plan, report) = planned(Maker::new().node("").node(&text), &mut host);
        let plan = plan.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
        binds(&plan)
            .iter()
            .filter(|one| !one.2)
            .map(|(at, source, _)| format!("{at} {source}"))
            .collect::<Vec<_>>()
    };
    for (config, path, kept) in [
        ("rpmdir: /lnk/rpm", "/srv/db", "/m-public/rpm /srv/db/rpm"),
        ("rpmdir: /lnk/rpm", "/lnk/rpm", "/m-public /srv/db/rpm"),
        ("rpmdir: $NODE_PATH/db/rpm", "$NODE_PATH/vardata", "/m-public/rpm /pool/n0/n1/vardata/rpm"),
        ("", "/var/lib/rpm", "/m-public /var/lib/rpm"),
        ("", "/var/lib/dnf/x", "/m-public /var/lib/dnf/x"),
    ] {
        assert_eq!(read_only(config, path), [kept], "{config} {path}");
    }
    let redmain = Maker::new()
        .main("config: {rpmdir: /srv/core/rpm}")
        .node("exports: [{mode: Public, mount: /x, path: /srv/core}]");
    let plan = whole(redmain).unwrap();
    assert!(binds(&plan).contains(&("/x/rpm", "/srv/core/rpm", false)), "{:?}", binds(&plan));
    for path in ["/etc/dnf", "/etc/dnf/vars", "/etc/yum.repos.d", "/etc/pki/rpm-gpg"] {
        assert_eq!(codes("", &export("Public", path), &mut host()), ["export-decides"], "{path}");
    }
}

#[test]
fn maintenance_stays_in_its_node() {
    let admin = |path: &str, host: &mut FakeHost| {
        let text = format!("exports: [{{mode: Private, mount: /x, path: {path}}}]");
        errors(&planned(Maker::new().node("").node("").admin(&text), host).1)
    };
    let nodes = || FakeHost { nodes: ["/srv/n".to_owned()].into(), ..host() };
    for path in [
        "/pool/n0/usr/bin",
        "/pool/n0/sibling/etc",
        "/pool/n0/sibling",
        "/pool/other/etc",
        "/pool/other",
        "/srv/n",
        "/srv/n/etc",
    ] {
        assert_eq!(admin(path, &mut nodes()), ["export-decides"], "{path}");
    }
    for path in ["$NODE_PATH/usr", "$NODE_PATH/kid/data", "/srv/data"] {
        assert_eq!(admin(path, &mut nodes()), Vec::<&str>::new(), "{path}");
    }
    // An elder's admin file reaches what is below it.
    let elder = "exports: [{mode: Public, mount: /x, path: $LEAF_PATH/usr}]";
    let found = errors(&planned(Maker::new().node("").admin(elder).node(""), &mut host()).1);
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn a_lock_uncovers_nothing() {
    let locks = "{mode: Lock, mount: /n/.rednode.yaml}, {mode: Lock, mount: /n/etc/redpak.yaml}";
    let text = format!("exports: [{{mode: Private, mount: /n, path: $NODE_PATH}}, {locks}]");
    let mut files = host();
    for name in [".rednode.yaml", "etc/redpak.yaml", "etc/redpak-admin.yaml"] {
        files.files.insert(format!("/pool/n0/{name}"));
    }
    for missing in ["etc/redpack.yaml", "etc/redpack-admin.yaml"] {
        files.missing.insert(format!("/pool/n0/{missing}"));
    }
    let (plan, report) = planned(Maker::new().node("").admin(&text), &mut files);
    let plan = plan.unwrap_or_else(|| panic!("{:?}", report.diagnostics()));
    for name in [".rednode.yaml", "etc/redpak.yaml"] {
        let (at, source) = (format!("/n/{name}"), format!("/pool/n0/{name}"));
        assert!(binds(&plan).contains(&(&*at, &*source, false)), "{name}: {:?}", binds(&plan));
    }
}

#[test]
fn records_are_made_before_contents_make_them() {
    let mut host = host();
    host.missing.insert("/home/me/.local/state".to_owned());
    host.missing.insert("/home/me/.local/state/red-runtime".to_owned());
    let text = "exports: [{mode: Public, mount: /h, path: /home/me/.local}]";
    let mut request = Request::new(Caller { uid: 0, gid: 0 });
    let states = vec!["/home/me/.local/state/red-runtime".into()];
    request.rules = Rules { pools: vec!["/pool".into()], states, ..Rules::default() };
    let plan = plan(&Maker::new().node(text).family(), &request, launch(), &mut host, None).plan.unwrap();
    let made: Vec<_> = plan.layout.create.iter().map(|one| (one.path.as_str(), one.private)).collect();
    assert_eq!(made, [("/home/me/.local/state/red-runtime", true)]);
    assert_eq!(plan.layout.create[0].node, std::path::Path::new("/home/me/.local"));
    let kept = ("/h/state/red-runtime", "/home/me/.local/state/red-runtime", false);
    assert!(binds(&plan).contains(&kept), "{:?}", binds(&plan));
}

#[test]
fn what_an_elder_has_read_only_is_not_made_behind_links() {
    let missing = |elder: &str, younger: &str| {
        let mut host = FakeHost { links: [("/l2".into(), "/srv/par".into())].into(), ..host() };
        host.missing.insert("/srv/par/conf".to_owned());
        codes(&export("Restricted", elder), &export("Public", younger), &mut host)
    };
    for (elder, younger) in [
        ("/l2/conf", "/srv/par"),
        ("/srv/par/conf", "/srv/par"),
        ("/srv/par/conf", "/l2"),
        ("/l2/conf", "/l2"),
    ] {
        assert_eq!(missing(elder, younger), ["export-writable"], "{elder} {younger}");
    }
    assert_eq!(missing("/l2/conf", "/srv/other"), Vec::<&str>::new());
}

#[test]
fn a_namespace_is_where_no_contents_lead_it() {
    let found = |share: &str, exports: &str, link: &str| {
        let mut host = FakeHost { links: [(link.into(), "/proc/7/ns/net".into())].into(), ..host() };
        let elder = format!("config: {{{share}}}\nexports: [{exports}]");
        errors(&planned(Maker::new().node(&elder).node(""), &mut host).1)
    };
    let data = export("Public", "$NODE_PATH/data");
    for share in ["share_net: $NODE_PATH/data/net", "share_all: $NODE_PATH/data/net"] {
        assert!(found(share, &data, "/pool/n0/data/net").contains(&"export-decides"), "{share}");
        assert!(found(share, &data, "/nothing").contains(&"export-decides"), "{share}: no link yet");
        assert!(found(share, &export("Private", "$NODE_PATH/data"), "/nothing").contains(&"export-decides"));
        assert_eq!(found(share, "", "/pool/n0/data/net"), Vec::<&str>::new(), "{share}: nobody writes there");
    }
    assert_eq!(found("share_net: /run/netns/a", &data, "/run/netns/a"), Vec::<&str>::new());
}

#[test]
fn a_launch_makes_nothing_of_its_elders() {
    for (path, made) in [
        ("$NODE_PATH/new", true),
        ("/pool/n0/new", false),
        ("/pool/n0/between/.rednode.yaml", false),
        ("$NODE_PATH/kid/.rednode.yaml", false),
    ] {
        let mut host = host();
        host.missing.insert(path.replace("$NODE_PATH", "/pool/n0/n1"));
        let text = format!("exports: [{}]", export("Restricted", path));
        let (plan, _) = planned(Maker::new().node("").node(&text), &mut host);
        let plan = plan.unwrap();
        assert_eq!(
            (plan.layout.create.len(), plan.layout.skipped.len()),
            (made.into(), (!made).into()),
            "{path}"
        );
    }
    // An elder makes what it gives to a leaf.
    let mut host = host();
    host.missing.insert("/pool/n0/n1/given".to_owned());
    let text = format!("exports: [{}]", export("Public", "$LEAF_PATH/given"));
    let (plan, _) = planned(Maker::new().node(&text).node(""), &mut host);
    assert_eq!(plan.unwrap().layout.create.len(), 1);
}

#[test]
fn a_service_in_a_node_is_one() {
    let mounts = "2 1 0:8 / /run rw - tmpfs tmpfs rw
3 1 0:8 /podman /pool/n0/n1/svc rw - tmpfs tmpfs rw
";
    for path in ["$NODE_PATH/svc", "$NODE_PATH/svc/podman.sock"] {
        let found = codes("", &export("Restricted", path), &mut FakeHost { mounts: mounts.into(), ..host() });
        assert_eq!(found, ["export-privileged"], "{path}");
    }
    let found =
        codes("", &export("Restricted", "$NODE_PATH"), &mut FakeHost { mounts: mounts.into(), ..host() });
    assert_eq!(found, ["export-privileged"], "it comes along");
    let found =
        codes("", &export("Restricted", "$NODE_PATH/usr"), &mut FakeHost { mounts: mounts.into(), ..host() });
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn a_link_of_a_process_leads_nowhere_that_is_written_to() {
    let mounts = "2 1 0:3 / /proc rw - proc proc rw\n".to_owned();
    let links = [("/proc/self/cwd".to_owned(), "/srv/data".to_owned())].into();
    let mut host = FakeHost { mounts, links, ..host() };
    for path in ["/proc/self/cwd", "/proc/self/cwd/x"] {
        assert_eq!(codes("", &export("Private", path), &mut host), ["export-decides"], "{path}");
        assert_eq!(codes("", &export("Restricted", path), &mut host), Vec::<&str>::new(), "{path}");
    }
}
