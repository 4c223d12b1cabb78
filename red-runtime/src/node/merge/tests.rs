//! Every row of REDPAK §4, parent × child × admin.

use super::*;
use crate::node::config::Namespace;
use crate::node::value::ExportMode;
use crate::testing::{Maker, errors, launch};

/// Two nodes, each with or without an admin file.
struct Case {
    name: &'static str,
    parent: &'static str,
    parent_admin: Option<&'static str>,
    child: &'static str,
    child_admin: Option<&'static str>,
    /// The result, or the code of the error.
    expected: Result<&'static str, &'static str>,
}

fn case(
    name: &'static str,
    [parent, child]: [&'static str; 2],
    [parent_admin, child_admin]: [Option<&'static str>; 2],
    expected: Result<&'static str, &'static str>,
) -> Case {
    Case { name, parent, parent_admin, child, child_admin, expected }
}

/// Runs cases whose texts are values of one line, `wrap` being what stands around them.
fn run(cases: Vec<Case>, wrap: impl Fn(&str) -> String, read: impl Fn(&Merged) -> String) {
    for case in cases {
        let mut maker = Maker::new().node(&wrap(case.parent));
        if let Some(admin) = case.parent_admin {
            maker = maker.admin(&wrap(admin));
        }
        maker = maker.node(&wrap(case.child));
        if let Some(admin) = case.child_admin {
            maker = maker.admin(&wrap(admin));
        }
        let (merged, report) = maker.merge();
        match case.expected {
            Ok(expected) => {
                assert_eq!(errors(&report), Vec::<&str>::new(), "{}", case.name);
                assert_eq!(read(&merged), expected, "{}", case.name);
            }
            Err(code) => {
                assert_eq!(errors(&report), [code], "{}", case.name);
                let both = report.diagnostics().iter().find(|one| one.code.name() == code);
                let message = &both.expect("just counted").message;
                assert!(message.contains("`n0`") && message.contains("`n1`"), "{}: {message}", case.name);
            }
        }
    }
}

#[test]
fn shares_may_be_tightened_and_never_loosened() {
    const ON: &str = "Enabled";
    const OFF: &str = "Disabled";
    let loose = || Err("share-loosened");
    let cases = vec![
        case("nothing is Disabled", ["", ""], [None, None], Ok(OFF)),
        case("the parent's holds", [ON, ""], [None, None], Ok(ON)),
        case("the parent's holds", [OFF, ""], [None, None], Ok(OFF)),
        case("Unset inherits", [ON, "Unset"], [None, None], Ok(ON)),
        case("the child's, where the parent is silent", ["", ON], [None, None], Ok(ON)),
        case("the child's, where the parent is silent", ["", OFF], [None, None], Ok(OFF)),
        case("the same twice", [OFF, OFF], [None, None], Ok(OFF)),
        case("tightened", [ON, OFF], [None, None], Ok(OFF)),
        case("loosened", [OFF, ON], [None, None], loose()),
        case("loosened to a path", [OFF, "/run/netns/x"], [None, None], loose()),
        case("a path for the host's", [ON, "/run/netns/x"], [None, None], Ok("/run/netns/x")),
        case("tightened from a path", ["/run/netns/x", OFF], [None, None], Ok(OFF)),
        case("the same path", ["/run/netns/x", "/run/netns/x"], [None, None], Ok("/run/netns/x")),
        case("the host's for a path", ["/run/netns/x", ON], [None, None], loose()),
        case("another path", ["/run/netns/x", "/run/netns/y"], [None, None], loose()),
        case("the child's admin file loosens", [OFF, ""], [None, Some(ON)], Ok(ON)),
        case(
            "the child's admin file loosens whatever its normal one says",
            [OFF, OFF],
            [None, Some(ON)],
            Ok(ON),
        ),
        case("an admin file settles a conflict of normal ones", [OFF, ON], [None, Some(ON)], Ok(ON)),
        case("the child's admin file tightens", [ON, ON], [None, Some(OFF)], Ok(OFF)),
        case("the parent's admin file loosens its own", [OFF, ""], [Some(ON), None], Ok(ON)),
        case("a normal child changes nothing of an admin parent", ["", ON], [Some(OFF), None], Ok(OFF)),
        case("a normal child changes nothing of an admin parent", ["", OFF], [Some(ON), None], Ok(ON)),
        case("admin over admin tightens", ["", ""], [Some(ON), Some(OFF)], Ok(OFF)),
        case("admin over admin does not loosen", ["", ""], [Some(OFF), Some(ON)], loose()),
    ];
    let wrap = |value: &str| {
        if value.is_empty() { String::new() } else { format!("config: {{share_net: {value}}}") }
    };
    run(cases, wrap, |merged| merged.shares.get(Namespace::Net).value.show().to_owned());
}

#[test]
fn share_all_is_the_default_of_all_but_time() {
    let share = |texts: [&str; 2], namespace| {
        let (merged, report) = Maker::new().node(texts[0]).node(texts[1]).merge();
        let value = merged.shares.get(namespace).value.show().to_owned();
        (errors(&report), value)
    };
    let net = |texts| share(texts, Namespace::Net);
    let ok = |value: &str| (Vec::<&str>::new(), value.to_owned());
    assert_eq!(net(["config: {share_all: Enabled}", ""]), ok("Enabled"));
    assert_eq!(net(["", "config: {share_all: Enabled}"]), ok("Enabled"));
    assert_eq!(net(["config: {share_all: Enabled, share_net: Disabled}", ""]), ok("Disabled"));
    assert_eq!(
        net(["config: {share_all: Disabled, share_net: Enabled}", "config: {share_net: Enabled}"]),
        ok("Enabled")
    );
    assert_eq!(share(["config: {share_all: Enabled}", ""], Namespace::Time), ok("Enabled"));
    assert_eq!(share(["config: {share_all: Disabled}", ""], Namespace::Time), ok("Enabled"));
    assert_eq!(share(["config: {share_time: Disabled}", ""], Namespace::Time), ok("Disabled"));
    // Opening by name below a node that closed all is loosening too.
    let (codes, _) = net(["config: {share_all: Disabled}", "config: {share_net: Enabled}"]);
    assert_eq!(codes, ["share-loosened"]);
    // redmain's share_all is the default only.
    let (merged, report) =
        Maker::new().main("config: {share_all: Disabled}").node("config: {share_net: Enabled}").merge();
    assert_eq!(errors(&report), Vec::<&str>::new());
    assert_eq!(merged.shares.get(Namespace::Net).value, Sharing::Host);
}

#[test]
fn what_an_ancestor_leaves_unset_beside_closing_all_is_its_descendants_choice() {
    let net = |texts: &[&str]| {
        let node = |maker: Maker, text: &&str| maker.node(&format!("config: {{{text}}}"));
        let (merged, report) = texts.iter().fold(Maker::new(), node).merge();
        (errors(&report), merged.shares.get(Namespace::Net).value.show().to_owned())
    };
    let (left, opens) = ("share_all: Disabled, share_net: Unset", "share_net: Enabled");
    assert_eq!(net(&[left, opens]), (Vec::new(), "Enabled".to_owned()));
    assert_eq!(net(&[left, "", opens]), (Vec::new(), "Enabled".to_owned()));
    assert_eq!(net(&[left, ""]), (Vec::new(), "Disabled".to_owned()), "nobody opened it");
    // Only that one, and not where a node in between closes it or all.
    assert_eq!(net(&[left, "share_pid: Enabled"]).0, ["share-loosened"]);
    assert_eq!(net(&[left, "share_all: Disabled", opens]).0, ["share-loosened"]);
    assert_eq!(net(&[left, "share_net: Disabled", opens]).0, ["share-loosened"]);
    assert_eq!(net(&["share_net: Unset", "share_all: Disabled", opens]).0, ["share-loosened"]);
}

#[test]
fn shares_and_capabilities_of_redmain_are_defaults() {
    const CLOSED: &str = "config: {share_net: Disabled, capabilities: [{cap: ALL, add: 0}]}";
    const OPEN: &str = "config: {share_net: Enabled, capabilities: [{cap: NET_RAW, add: 1}]}";
    let merged = |nodes: &[&str]| {
        let maker = nodes.iter().fold(Maker::new().main(CLOSED), |maker, text| maker.node(text));
        let (merged, report) = maker.merge();
        let net = merged.shares.get(Namespace::Net);
        let granted = merged.capabilities.granted().count();
        (errors(&report), net.value.show().to_owned(), granted, net.over.first().map(|lost| lost.why))
    };
    assert_eq!(merged(&[""]), (Vec::new(), "Disabled".to_owned(), 0, None));
    assert_eq!(merged(&[OPEN]), (Vec::new(), "Enabled".to_owned(), 1, Some(Why::Default)));
    assert_eq!(merged(&["", OPEN]), (Vec::new(), "Enabled".to_owned(), 1, Some(Why::Default)));
    // What a node repeats of it is the node's own, and holds.
    assert_eq!(merged(&[CLOSED, OPEN]).0, ["capability-regained", "share-loosened"]);
    assert_eq!(merged(&[OPEN, CLOSED]).1, "Disabled");
}

#[test]
fn capabilities_once_dropped_stay_dropped() {
    const ADD: &str = "1";
    const DROP: &str = "0";
    let again = || Err("capability-regained");
    let cases = vec![
        case("nothing", ["", ""], [None, None], Ok("-")),
        case("added", [ADD, ""], [None, None], Ok("true")),
        case("added by the child", ["", ADD], [None, None], Ok("true")),
        case("dropped", [DROP, ""], [None, None], Ok("false")),
        case("added and dropped", [ADD, DROP], [None, None], Ok("false")),
        case("added twice", [ADD, ADD], [None, None], Ok("true")),
        case("dropped twice", [DROP, DROP], [None, None], Ok("false")),
        case("dropped and added", [DROP, ADD], [None, None], again()),
        case("admin adds it again", [DROP, ""], [None, Some(ADD)], Ok("true")),
        case("admin settles it", [DROP, ADD], [None, Some(DROP)], Ok("false")),
        case("the parent's admin file adds its own again", [DROP, ""], [Some(ADD), None], Ok("true")),
        case("a normal child changes nothing of an admin parent", ["", ADD], [Some(DROP), None], Ok("false")),
        case("a normal child changes nothing of an admin parent", ["", DROP], [Some(ADD), None], Ok("true")),
        case("admin over admin drops", ["", ""], [Some(ADD), Some(DROP)], Ok("false")),
        case("admin over admin does not add again", ["", ""], [Some(DROP), Some(ADD)], again()),
    ];
    let wrap = |add: &str| {
        if add.is_empty() {
            String::new()
        } else {
            format!("config: {{capabilities: [{{cap: net_raw, add: {add}}}]}}")
        }
    };
    run(cases, wrap, |merged| {
        merged.capabilities.iter().next().map_or("-".to_owned(), |(_, resolved)| resolved.value.to_string())
    });
}

#[test]
fn all_capabilities_come_before_single_ones() {
    let granted = |texts: &[&str]| {
        let maker = texts
            .iter()
            .fold(Maker::new(), |maker, text| maker.node(&format!("config: {{capabilities: [{text}]}}")));
        let (merged, report) = maker.merge();
        let names =
            merged.capabilities.granted().map(|(one, _)| crate::node::capability::capability_name(one));
        (errors(&report), names.collect::<Vec<_>>())
    };
    let none = Vec::<&str>::new();
    let (codes, names) = granted(&["{cap: NET_RAW, add: 1}, {cap: ALL, add: 0}"]);
    assert_eq!((codes, names), (none.clone(), vec!["CAP_NET_RAW"]));
    let (codes, names) = granted(&["{cap: ALL, add: 1}, {cap: CAP_SYS_ADMIN, add: 0}"]);
    assert_eq!((codes, names.len()), (none.clone(), 40));
    assert!(!names.contains(&"CAP_SYS_ADMIN"));
    // One that a parent dropped with all others cannot come back, and is named once.
    let (codes, _) = granted(&["{cap: ALL, add: 0}", "{cap: NET_RAW, add: 1}"]);
    assert_eq!(codes, ["capability-regained"]);
    let (codes, _) = granted(&["{cap: ALL, add: 0}", "{cap: ALL, add: 1}"]);
    assert_eq!(codes, ["capability-regained"]);
    let (codes, names) = granted(&["{cap: ALL, add: 1}", "{cap: ALL, add: 0}, {cap: NET_RAW, add: 1}"]);
    assert_eq!((codes, names), (none, vec!["CAP_NET_RAW"]));
}

#[test]
fn the_oldest_node_decides_single_tags() {
    let cases = vec![
        case("nothing", ["", ""], [None, None], Ok("-")),
        case("the parent's", ["a", ""], [None, None], Ok("a")),
        case("the child's where the parent is silent", ["", "b"], [None, None], Ok("b")),
        case("the oldest wins", ["a", "b"], [None, None], Ok("a")),
        case("admin beats normal", ["a", ""], [None, Some("c")], Ok("c")),
        case("admin beats its own normal", ["a", "b"], [Some("c"), None], Ok("c")),
        case("the oldest admin wins", ["a", "b"], [Some("c"), Some("d")], Ok("c")),
    ];
    let wrap =
        |name: &str| if name.is_empty() { String::new() } else { format!("config: {{hostname: {name}}}") };
    run(cases, wrap, |merged| {
        merged.tags.hostname.as_ref().map_or("-".to_owned(), |tag| tag.value.actual.clone())
    });
}

#[test]
fn every_single_tag_follows_the_oldest_and_redmain_is_the_default() {
    for (tag, one, other) in [
        ("hostname", "a", "b"),
        ("chdir", "/a", "/b"),
        ("umask", "022", "027"),
        ("set-user", "1", "2"),
        ("set-group", "1", "2"),
        ("smack", "a", "b"),
        ("cgrouproot", "/a", "/b"),
        ("die-with-parent", "Enabled", "Disabled"),
        ("new-session", "Enabled", "Disabled"),
        ("seccomp", "Enabled", "Disabled"),
        ("verbose", "1", "2"),
        ("unsafe", "true", "false"),
        ("inherit-env", "true", "false"),
        ("map-root-user", "1", "0"),
    ] {
        let text = |value: &str| format!("config: {{{tag}: {value}}}");
        let line = |merged: &Merged, family: &crate::node::family::Family| {
            let all = crate::spec::provenance::Provenance::of(
                family,
                merged,
                crate::spec::provenance::Show::Expanded,
            );
            let entry = all.config.into_iter().find(|entry| entry.name == tag).expect("it was set");
            (entry.from.expect("somebody wrote it").node, entry.over.len())
        };
        let family = Maker::new().main(&text(other)).node(&text(one)).node(&text(other)).family();
        let launch = launch();
        let (merged, report) = merge(&family, &launch, CommandUse::Keep);
        assert_eq!(errors(&report), Vec::<&str>::new(), "{tag}");
        // redmain's default and the younger node's value both stand as overridden.
        assert_eq!(line(&merged, &family), ("n0".to_owned(), 2), "{tag}");
        assert_eq!(
            report.diagnostics().iter().filter(|one| one.code.name() == "overloaded").count(),
            1,
            "{tag}"
        );
        let family = Maker::new().main(&text(one)).node("").family();
        let (merged, _) = merge(&family, &launch, CommandUse::Keep);
        assert_eq!(line(&merged, &family), ("redmain".to_owned(), 0), "{tag}");
    }
}

#[test]
fn gpgcheck_demanded_anywhere_holds() {
    for (texts, expected) in [
        (["", ""], false),
        (["config: {gpgcheck: yes}", "config: {gpgcheck: no}"], true),
        (["config: {gpgcheck: no}", "config: {gpgcheck: yes}"], true),
        (["config: {gpgcheck: no}", ""], false),
    ] {
        let (merged, _) = Maker::new().node(texts[0]).node(texts[1]).merge();
        assert_eq!(merged.tags.gpgcheck.value, expected, "{texts:?}");
    }
    let (merged, _) = Maker::new().main("config: {gpgcheck: true}").node("config: {gpgcheck: false}").merge();
    assert!(merged.tags.gpgcheck.value);
}

#[test]
fn search_paths_cumulate_leaf_first_and_redmain_last() {
    let family = Maker::new()
        .main("config: {path: /main:/shared}")
        .node("config: {path: '/$NODE_ALIAS/bin:/shared'}")
        .node("config: {path: '/$NODE_ALIAS/bin::/n0/bin'}")
        .admin("config: {path: /admin}")
        .family();
    let (merged, report) = merge(&family, &launch(), CommandUse::Keep);
    assert_eq!(errors(&report), Vec::<&str>::new());
    let path: Vec<&str> = merged.path.iter().map(|item| item.text.actual.as_str()).collect();
    assert_eq!(path, ["/admin", "/n1/bin", "/n0/bin", "/shared", "/main"]);
}

#[test]
fn search_paths_never_run_commands() {
    let (_, report) = Maker::new().node("config: {path: '/bin:$(echo /x)'}").merge();
    assert_eq!(errors(&report), ["expansion"]);
}

#[test]
fn of_one_variable_the_younger_entry_wins() {
    let cases = vec![
        case("the parent's", ["a", ""], [None, None], Ok("a")),
        case("the younger wins", ["a", "b"], [None, None], Ok("b")),
        case("admin wins", ["a", "b"], [Some("c"), None], Ok("c")),
        case("the younger admin wins", ["a", "b"], [Some("c"), Some("d")], Ok("d")),
        case("admin of the child wins", ["a", "b"], [None, Some("d")], Ok("d")),
    ];
    let wrap = |value: &str| {
        if value.is_empty() {
            String::new()
        } else {
            format!("environ: [{{key: K, value: {value}, warn: mind it}}]")
        }
    };
    run(cases, wrap, |merged| merged.environ[0].value.actual.clone());
    let (_, report) = Maker::new().node(&wrap("a")).node(&wrap("b")).merge();
    let warning =
        report.diagnostics().iter().find(|one| one.code.name() == "redefined").expect("it has a warn text");
    assert!(warning.message.ends_with(": mind it"), "{}", warning.message);
}

#[test]
fn names_of_variables_keep_their_case() {
    let (merged, _) =
        Maker::new().node("environ: [{key: http_proxy, value: a}, {key: HTTP_PROXY, value: b}]").merge();
    assert_eq!(merged.environ.len(), 2);
}

#[test]
fn twice_in_one_file_is_an_error_only_when_different() {
    for (text, codes) in [
        ("environ: [{key: K, value: a}, {key: K, value: a}]", vec![]),
        ("environ: [{key: K, value: a}, {key: K, value: b}]", vec!["conflict-duplicate"]),
        ("environ: [{key: K, value: a}, {key: K, mode: Remove}]", vec!["conflict-duplicate"]),
        ("exports: [{mode: Public, mount: /a}, {mode: Public, mount: /a, path: /a}]", vec![]),
        ("exports: [{mode: Public, mount: /a}, {mode: Restricted, mount: /a}]", vec!["conflict-duplicate"]),
        (
            "exports: [{mode: Public, mount: /a, path: /x}, {mode: Public, mount: /a, path: /y}]",
            vec!["conflict-duplicate"],
        ),
        // Keyed by the expanded mount point.
        (
            "exports: [{mode: Tmpfs, mount: /n0}, {mode: Anonymous, mount: /$NODE_ALIAS}]",
            vec!["conflict-duplicate"],
        ),
        // Two spellings: the known admin templates have them, and the longer one holds.
        ("exports: [{mode: Public, mount: /a, path: /x}, {mode: Public, mount: /a/, path: /y}]", vec![]),
    ] {
        let (_, report) = Maker::new().node(text).merge();
        assert_eq!(errors(&report), codes, "{text}");
    }
}

#[test]
fn of_one_mount_point_the_younger_export_wins_with_a_warning() {
    let tmpfs = "exports: [{mode: Tmpfs, mount: /a}]";
    let public = "exports: [{mode: Public, mount: /a, path: /x}]";
    let (merged, report) = Maker::new().node(public).node(tmpfs).merge();
    assert_eq!(errors(&report), Vec::<&str>::new());
    assert_eq!(merged.exports[0].mode, ExportMode::Tmpfs);
    assert_eq!(merged.exports[0].over[0].value, "Public /x");
    assert_eq!(report.diagnostics().iter().filter(|one| one.code.name() == "redefined").count(), 1);
    let (merged, report) = Maker::new().node(public).node(public).merge();
    assert!(
        merged.exports[0].over.is_empty() && report.diagnostics().is_empty(),
        "the same again is no news"
    );
    let (merged, _) = Maker::new().node(public).admin(tmpfs).node(public).merge();
    assert_eq!(merged.exports[0].mode, ExportMode::Tmpfs, "admin beats normal");
}

#[test]
fn exports_come_sorted_by_mount_point() {
    let text =
        "exports: [{mode: Tmpfs, mount: /b/c}, {mode: Tmpfs, mount: /a/$UID}, {mode: Tmpfs, mount: /b}]";
    let (merged, _) = Maker::new().node(text).merge();
    let mounts: Vec<&str> = merged.exports.iter().map(|one| one.mount.actual.as_str()).collect();
    assert_eq!(mounts, ["/a/1000", "/b", "/b/c"]);
}

#[test]
fn private_exports_of_ancestors_are_dropped_before_conflicts() {
    for mode in ["Private", "PrivateFile", "PrivateRestricted"] {
        let text = format!("exports: [{{mode: {mode}, mount: /a, path: /x}}]");
        let (merged, report) =
            Maker::new().node(&text).node("exports: [{mode: Public, mount: /a, path: /x}]").merge();
        assert_eq!(report.diagnostics(), [], "{mode}");
        assert_eq!(merged.exports[0].mode, ExportMode::Public);
        assert_eq!(merged.hidden.len(), 1);
        let (merged, _) = Maker::new().main(&text).node(&text).merge();
        assert_eq!((merged.exports.len(), merged.hidden.len()), (1, 1), "redmain is never the leaf");
    }
}

#[test]
fn what_an_elder_exports_read_only_stays_read_only() {
    let writable = || vec!["export-writable"];
    for (elder, younger, codes) in [
        ("Restricted, mount: /a, path: /x", "Public, mount: /a, path: /x", writable()),
        ("Restricted, mount: /a, path: /x", "Public, mount: /b, path: /x", writable()),
        ("Restricted, mount: /a, path: /x", "Private, mount: /b, path: /x/", writable()),
        ("Restricted, mount: /a, path: /x", "Public, mount: /b, path: /x/y/z", writable()),
        ("Restricted, mount: /a, path: /x/y", "Public, mount: /b, path: /x", writable()),
        ("RestrictedFile, mount: /a, path: /x/f", "PublicFile, mount: /b, path: /x/f", writable()),
        ("Restricted, mount: /a, path: /x", "Public, mount: /b, path: /xy", vec![]),
        ("Restricted, mount: /a, path: /x", "Restricted, mount: /b, path: /x", vec![]),
        ("Public, mount: /a, path: /x", "Public, mount: /b, path: /x", vec![]),
        ("Public, mount: /a, path: /x", "Restricted, mount: /a, path: /x", vec![]),
        // A node's own directory is its own, even below one that an elder exports read-only.
        ("Restricted, mount: /a, path: /pool/n0", "Public, mount: /b, path: $NODE_PATH/var", vec![]),
        ("Restricted, mount: /a, path: /pool/n0", "Public, mount: /b, path: /pool/n0/usr", writable()),
        // But not what an elder exports read-only of it by name.
        (
            "Restricted, mount: /a, path: $LEAF_PATH/usr",
            "Public, mount: /b, path: $NODE_PATH/usr",
            writable(),
        ),
    ] {
        let text = |export: &str| format!("exports: [{{mode: {export}}}]");
        let (_, report) = Maker::new().node(&text(elder)).node(&text(younger)).merge();
        assert_eq!(errors(&report), codes, "{elder} / {younger}");
        if !codes.is_empty() {
            let message = &report
                .diagnostics()
                .iter()
                .find(|one| one.code.name() == codes[0])
                .expect("counted")
                .message;
            assert!(message.contains("`n0`") && message.contains("`n1`"), "{message}");
            let (_, report) = Maker::new().node(&text(elder)).node("").admin(&text(younger)).merge();
            assert_eq!(errors(&report), Vec::<&str>::new(), "an admin file may: {younger}");
            let (_, report) =
                Maker::new().node("").admin(&text(elder)).node("").admin(&text(younger)).merge();
            assert_eq!(errors(&report), codes, "but not over another admin file: {younger}");
        }
    }
}

#[test]
fn within_one_file_a_source_may_be_both_read_only_and_writable() {
    let text = "exports: [{mode: Restricted, mount: /a, path: /x}, {mode: Public, mount: /b, path: /x/y}]";
    let (_, report) = Maker::new().node(text).merge();
    assert_eq!(errors(&report), Vec::<&str>::new());
}

#[test]
fn package_directories_are_each_nodes_own_and_the_cache_is_inherited() {
    let (merged, _) = Maker::new()
        .main("config: {rpmdir: /main, cachedir: /main}")
        .node("config: {rpmdir: /a/rpm, cachedir: $NODE_PATH/cache}")
        .node("")
        .node("config: {persistdir: $NODE_PATH/p}")
        .admin("config: {rpmdir: /admin}")
        .merge();
    let dirs: Vec<[&str; 3]> = merged
        .packages
        .iter()
        .map(|node| [&node.rpmdir, &node.persistdir, &node.cachedir].map(|dir| dir.value.actual.as_str()))
        .collect();
    assert_eq!(
        dirs,
        [
            ["/a/rpm", "/pool/n0/var/lib/dnf", "/pool/n0/cache"],
            ["/pool/n0/n1/var/lib/rpm", "/pool/n0/n1/var/lib/dnf", "/pool/n0/cache"],
            ["/admin", "/pool/n0/n1/n2/p", "/pool/n0/cache"],
        ]
    );
}

#[test]
fn the_tightest_limit_of_all_holds() {
    let limits = |text: &str| format!("config: {{cgroups: {{{text}}}}}");
    for (elder, younger, expected) in [
        ("mem: {max: 1G}", "mem: {max: 512M}", "536870912"),
        ("mem: {max: 512M}", "mem: {max: max}", "536870912"),
        ("mem: {high: 2M}", "mem: {high: 3M}", "2097152"),
        ("mem: {min: 1M}", "mem: {min: 2M}", "2097152"),
        ("mem: {low: 2M}", "mem: {low: 1M}", "2097152"),
        ("mem: {swap_max: max}", "mem: {swap_max: 0}", "0"),
        ("mem: {oom_group: 0}", "mem: {oom_group: 1}", "true"),
        ("pids: {max: 10}", "pids: {max: 20}", "10"),
        ("cpu: {max: 50000 100000}", "cpu: {max: 30000 50000}", "50000 100000"),
        ("cpu: {max: max}", "cpu: {max: 30000 50000}", "30000 50000"),
        ("cpu: {weight: 200}", "cpu: {weight: 100}", "100"),
        ("cpu: {weight_nice: -5}", "cpu: {weight_nice: 5}", "5"),
        ("cpuset: {cpus: 0-3}", "cpuset: {cpus: '2-5'}", "2-3"),
        ("io: {max: '8:0 rbps=100'}", "io: {max: '8:0 rbps=200 wbps=5'}", "8:0 rbps=100 wbps=5"),
        ("io: {weight: 100}", "io: {weight: '8:0 50'}", "default 100\n8:0 50"),
    ] {
        let (merged, _) = Maker::new().node(&limits(elder)).node(&limits(younger)).merge();
        let shown = merged.tightest.shown();
        assert_eq!(shown[0].1, expected, "{elder} / {younger}");
        let chain: Vec<usize> = merged.levels.iter().map(|level| level.limits.shown().len()).collect();
        assert_eq!(chain, [1, 1], "each node keeps its own in the chain");
    }
    let family = Maker::new().main(&limits("pids: {max: 5}")).node(&limits("pids: {max: 9}")).node("");
    let (merged, _) = family.merge();
    let first = merged.levels[0].limits.pids_max.as_ref().expect("set");
    assert_eq!(first.value.to_string(), "5", "redmain's limit is taken into the oldest node's");
}

#[test]
fn a_leaf_chooses_no_path_and_no_user_of_its_elders() {
    // The leaf's name is `name of n1`, its alias `n1`; a slash comes by way of a value.
    let found = |config: &str, exports: &str, name: &str| {
        let elder =
            format!("config: {{{config}}}\nexports: [{exports}]\nenviron: [{{key: A, value: $LEAF_NAME}}]");
        let mut family = Maker::new().node(&elder).node("").family();
        name.clone_into(&mut family.nodes[1].vars.name);
        let (_, report) = merge(&family, &launch(), CommandUse::Keep);
        for one in report.diagnostics().iter().filter(|one| one.code.name() != "unknown-variable") {
            assert_eq!(one.related.len(), 1, "both places: {one:?}");
        }
        errors(&report)
    };
    for export in [
        "{mode: Public, mount: /s, path: $NODE_PATH/shared/$LEAF_NAME}",
        "{mode: Restricted, mount: '/s/$LEAF_NAME', path: /usr}",
        "{mode: Symlink, mount: /s, path: /usr/$LEAF_NAME}",
    ] {
        assert_eq!(found("", export, "../usr/bin"), ["bad-path"], "{export}");
        assert_eq!(found("", export, "usr"), Vec::<&str>::new(), "{export}");
    }
    for config in [
        "share_net: /run/netns/$LEAF_NAME",
        "chdir: /home/$LEAF_NAME",
        "rpmdir: $NODE_PATH/$LEAF_NAME",
        "cgrouproot: /sys/fs/cgroup/$LEAF_NAME",
        "path: /usr/bin:/nodes/$LEAF_NAME/bin",
    ] {
        assert!(found(config, "", "../../proc/1/ns/net").contains(&"bad-path"), "{config}");
        assert_eq!(found(config, "", "app"), Vec::<&str>::new(), "{config}");
    }
    for config in ["set-user: $LEAF_ALIAS", "set-group: g-$LEAF_NAME", "smack: $LEAF_ALIAS"] {
        assert_eq!(found(config, "", "app"), ["bad-user"], "{config}");
    }
    assert_eq!(found("smack: 'App:$LEAF_ALIAS'", "", "app"), Vec::<&str>::new());
    let (_, report) = Maker::new().node("").node("config: {set-user: $LEAF_ALIAS}").merge();
    assert_eq!(errors(&report), Vec::<&str>::new(), "its own file may say so");
}
