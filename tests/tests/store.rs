//! The node store through its tools: real packages, real rpm databases, real containers.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::{Ground, Served};

/// The core OS's layer as `red-conf create` ships it, with the database of a ground.
fn core_view(ground: &Ground) {
    ground.pool.write("prefix/etc/redpak/main.yaml", ground.core_os());
}

fn red_wrap(ground: &Ground, node: &str, args: &[&str]) -> Said {
    let state = ground.pool.mkdir("state");
    let mut command = match &ground.user {
        Some(user) => {
            std::os::unix::fs::chown(&state, Some(user.uid), Some(user.uid)).expect("root gives files away");
            user.command("bash")
        }
        None => Command::new("bash"),
    };
    fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
    let program = ground.pool.join("red-runtime");
    if !program.exists() {
        ground.pool.install("red-runtime", "red-runtime");
    }
    command
        .args(["-c", &format!("exec -a red-wrap {} \"$@\"", program.display()), "red-wrap", "--root"])
        .arg(&state);
    command.arg(format!("--redpath={}", ground.node(node).display())).args(args);
    command
        .env("NODE_PREFIX", ground.pool.join("prefix"))
        .env("XDG_RUNTIME_DIR", &state)
        .stdin(Stdio::null());
    run(&mut command)
}

/// Steps 0 to 10 of the founding document, with mosquitto for its private packages.
fn quick_start(ground: &Ground) {
    core_view(ground);
    let served = Served::start(&ground.pool.join("repos"));
    let core = "agl-redpesk9";
    // 1
    ground.dnf(core, &["red-manager", "--create", "--alias=agl-core"]).good();
    // 2
    ground.dnf(core, &["red-manager", "--add-repo", &format!("{}/main", served.url)]).good();
    // 3
    let found = ground.dnf(core, &["red-search", "mosquitto"]).good().out;
    assert!(found.contains("mosquitto.x86_64") || found.contains("mosquitto.aarch64"), "{found}");
    let refused = ground.dnf(core, &["red-install", "mosquitto"]);
    assert_eq!(refused.code, 1, "never an assumed yes: {}", refused.out);
    assert!(refused.err.contains("-y"), "{}", refused.err);
    ground.dnf(core, &["-y", "red-install", "mosquitto"]).good();
    // 4
    let help = red_wrap(ground, core, &["mosquitto", "-h"]);
    assert!(help.out.contains("mosquitto version 2"), "{} {}", help.out, help.err);
    // 5
    let inside = "ls /nodes/agl-core/usr/sbin/; ldd /nodes/agl-core/usr/sbin/mosquitto; rpm -qa";
    let said = red_wrap(ground, core, &["--force", "bash", "-c", inside]).good();
    for wanted in ["mosquitto", "/nodes/agl-core/usr/lib64/libwrap.so.0", "libmosquitto1-"] {
        assert!(said.out.contains(wanted), "no {wanted} in {}", said.out);
    }
    // 6, 7, 8
    let demo = "agl-redpesk9/agl-demo";
    ground.dnf(demo, &["red-manager", "--create", "--alias=agl-demo"]).good();
    ground.dnf(demo, &["red-manager", "--add-repo", &format!("{}/extra/", served.url)]).good();
    assert!(ground.dnf(demo, &["red-search", "clients"]).good().out.contains("mosquitto-clients"));
    ground.dnf(demo, &["-y", "red-install", "mosquitto-clients"]).good();
    // The system's own rpm agrees.
    let (of_core, of_demo) = (ground.rpm_says(core), ground.rpm_says(demo));
    assert!(of_core.iter().any(|name| name.starts_with("libmosquitto1-")), "{of_core:?}");
    assert_eq!(of_demo.len(), 1, "the library is the parent's: {of_demo:?}");
    ground.rpm_verifies(core).expect("it is there");
    ground.rpm_verifies(demo).expect("it is there");
    // 9
    let said =
        red_wrap(ground, demo, &["--force", "bash", "-c", "ls /nodes; mosquitto_pub --help | head -1"]);
    assert!(
        said.out.contains("agl-core") && said.out.contains("mosquitto_pub is"),
        "{} {}",
        said.out,
        said.err
    );
    let whence = ground.rpm(demo, &["whence", "/nodes/agl-core/usr/sbin/mosquitto"]).good().out;
    for wanted in ["node `agl-core`", "generation  1", "mosquitto-2", "signed      not signed"] {
        assert!(whence.contains(wanted), "no {wanted} in {whence}");
    }
    assert_eq!(ground.dnf(core, &["red-check", "--files"]).good().out, "");
    // 10
    fs::remove_dir_all(ground.node(demo)).expect("a simple rm is enough");
    assert_eq!(ground.dnf(core, &["red-check"]).good().out, "");
}

fn mosquitto() -> Ground {
    let ground = Ground::of_this_machine(&["libmosquitto", "libcjson", "libdlt", "libwrap"]);
    let libraries = ["libmosquitto1", "libcjson1", "libdlt2", "libdlt3", "libwrap0"];
    let names = ground.maker.missing(&[&["mosquitto"][..], &libraries].concat());
    for name in names.iter().filter(|name| *name != "mosquitto-clients") {
        ground.maker.debian(&ground.repo("main"), name, "1");
    }
    ground.maker.debian(&ground.repo("extra"), "mosquitto-clients", "1");
    ground.maker.index(&ground.repo("main"));
    ground.maker.index(&ground.repo("extra"));
    ground
}

#[test]
fn the_quick_start_as_root_and_as_a_user() {
    let ground = mosquitto();
    quick_start(&ground);
    fs::remove_dir_all(ground.node("agl-redpesk9")).expect("a simple rm is enough");
    quick_start(&ground.for_user());
}

const LIB1: Small<'_> = Small {
    name: "libdata",
    version: "1",
    requires: &[],
    provides: &["libdata.so.1"],
    conflicts: &[],
    obsoletes: &[],
    recommends: &[],
    files: &[("/usr/share/libdata/version", "1\n")],
    config: &[("/etc/libdata.conf", "v1\n")],
    post: "",
    preun: "",
};
const LIB2: Small<'_> = Small {
    version: "2",
    provides: &["libdata.so.2"],
    files: &[("/usr/share/libdata/version", "2\n"), ("/usr/share/libdata/new", "new\n")],
    config: &[("/etc/libdata.conf", "v2\n")],
    ..LIB1
};

fn plain<'a>(
    name: &'a str,
    version: &'a str,
    requires: &'a [&'a str],
    files: &'a [(&'a str, &'a str)],
) -> Small<'a> {
    Small { name, version, requires, files, ..Small::default() }
}

#[test]
fn siblings_differ_and_parents_are_respected() {
    let ground = Ground::new();
    ground.publish(
        "main",
        &[
            plain("base", "1", &[], &[("/usr/share/base/version", "1")]),
            LIB1,
            LIB2,
            plain("needs-base", "1", &["base"], &[("/usr/share/needs-base/x", "x")]),
        ],
    );
    ground.create("core", Some("main"));
    for sibling in ["core/one", "core/two"] {
        ground.create(sibling, Some("main"));
    }
    ground.dnf("core", &["-y", "red-install", "base"]).good();
    // Both proceed, each with its own version.
    ground.dnf("core/one", &["-y", "install", "libdata-1", "needs-base"]).good();
    ground.dnf("core/two", &["-y", "install", "libdata-2"]).good();
    assert_eq!(ground.rpm_says("core/one"), ["libdata-1", "needs-base-1"]);
    assert_eq!(ground.rpm_says("core/two"), ["libdata-2"]);
    for (node, version) in [("core/one", "1\n"), ("core/two", "2\n")] {
        assert_eq!(
            fs::read_to_string(ground.node(node).join("usr/share/libdata/version")).expect("it is there"),
            version
        );
    }
    // What the parent has is not installed again.
    let said = ground.dnf("core/two", &["-y", "install", "base"]).good();
    assert!(said.err.contains("base-1-1.noarch is provided already: it is in node `core`"), "{}", said.err);
    assert_eq!(ground.rpm_says("core/two"), ["libdata-2"]);
    // What a child needs is not taken from its parent.
    let refused = ground.dnf("core", &["-y", "remove", "base"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("node `one`") && refused.err.contains("needs-base-1-1.noarch needs base"),
        "{}",
        refused.err
    );
    assert_eq!(ground.rpm_says("core"), ["base-1"]);
    // Nor by going back.
    let refused = ground.dnf("core", &["-y", "rollback", "0"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("node `one`"), "{}", refused.err);
}

#[test]
fn descendants_move_along() {
    let ground = Ground::new();
    let (v1, v2) = (["plat = 1"], ["plat = 2"]);
    ground.publish(
        "main",
        &[
            plain("plat", "1", &[], &[("/usr/share/plat", "1")]),
            plain("app", "1", &v1, &[("/usr/share/app", "1")]),
        ],
    );
    ground.create("core", Some("main"));
    ground.create("core/app", Some("main"));
    ground.dnf("core", &["-y", "install", "plat"]).good();
    ground.dnf("core/app", &["-y", "install", "app"]).good();
    ground.publish("main", &[plain("plat", "2", &[], &[("/usr/share/plat", "2")])]);
    let refused = ground.dnf("core", &["-y", "--refresh", "update"]);
    assert_eq!(refused.code, 1, "{}", refused.out);
    assert!(
        refused.err.contains("app-1-1.noarch needs plat = 1") && refused.err.contains("--with-descendants"),
        "{}",
        refused.err
    );
    // No version of app goes with it.
    let refused = ground.dnf("core", &["-y", "--refresh", "--with-descendants", "update"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert_eq!(ground.rpm_says("core"), ["plat-1"]);
    ground.publish("main", &[plain("app", "2", &v2, &[("/usr/share/app", "2")])]);
    ground.dnf("core", &["-y", "--refresh", "--with-descendants", "update"]).good();
    assert_eq!(
        (ground.rpm_says("core"), ground.rpm_says("core/app")),
        (vec!["plat-2".into()], vec!["app-2".into()])
    );
    assert_eq!(ground.dnf("core", &["red-check", "--files"]).good().out, "");
}

#[test]
fn an_update_is_a_generation_and_goes_back() {
    let ground = Ground::new();
    let scripted = Small {
        post: "echo ran; echo made > /etc/made-by-script; mkdir -p /var/lib/thing; echo data > /var/lib/thing/data",
        files: &[("/usr/bin/thing", "#!/bin/sh\necho thing\n")],
        recommends: &["libdata"],
        ..plain("thing", "1", &[], &[])
    };
    ground.publish("main", &[LIB1, scripted]);
    ground.create("node", Some("main"));
    let said = ground.dnf("node", &["-y", "install", "thing"]).good();
    assert!(said.err.contains("recommended"), "weak dependencies come along: {}", said.err);
    let info = ground.dnf("node", &["red-history", "info", "1"]).good().out;
    for wanted in [
        "install thing-1-1.noarch from main (asked for)",
        "/etc/made-by-script",
        "/var/lib/thing/data",
        "  ran",
    ] {
        assert!(info.contains(wanted), "no {wanted} in {info}");
    }
    assert_eq!(
        fs::read_to_string(ground.node("node").join("var/lib/thing/data")).expect("it is there"),
        "data\n"
    );
    // A changed configuration file stays, the new one is beside it.
    fs::write(ground.node("node").join("etc/libdata.conf"), "mine\n").expect("it is there");
    ground.publish("main", &[LIB2]);
    assert_eq!(ground.dnf("node", &["--refresh", "check-update"]).code, 100);
    ground.dnf("node", &["-y", "--refresh", "update"]).good();
    assert_eq!(
        fs::read_to_string(ground.node("node").join("etc/libdata.conf")).expect("it is there"),
        "mine\n"
    );
    assert_eq!(
        fs::read_to_string(ground.node("node").join("etc/libdata.conf.rpmnew")).expect("it is there"),
        "v2\n"
    );
    assert!(ground.node("node").join("usr/share/libdata/new").exists());
    ground.rpm_verifies("node").expect("it is there");
    assert_eq!(ground.dnf("node", &["check-update"]).code, 0);
    ground.dnf("node", &["-y", "rollback"]).good();
    assert!(!ground.node("node").join("usr/share/libdata/new").exists());
    assert_eq!(ground.rpm_says("node"), ["libdata-1", "thing-1"]);
    ground.rpm_verifies("node").expect("it is there");
    // Forward again, then back by a transaction.
    ground.dnf("node", &["-y", "rollback", "2"]).good();
    ground.dnf("node", &["-y", "history", "undo", "2"]).good();
    assert_eq!(ground.rpm_says("node"), ["libdata-1", "thing-1"]);
    // What nobody asked for goes with what needed it.
    assert!(ground.dnf("node", &["why", "libdata"]).good().out.contains("nobody asked for it"));
    ground.dnf("node", &["-y", "remove", "thing"]).good();
    ground.dnf("node", &["-y", "autoremove"]).good();
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
}

#[test]
fn a_node_of_red_pak_is_converted_by_its_first_transaction() {
    let ground = Ground::new();
    ground.publish("main", &[LIB1, plain("other", "1", &[], &[("/usr/share/other", "o")])]);
    ground.create("node", Some("main"));
    let (node, database) = (ground.node("node"), ground.node("node").join("var/lib/rpm"));
    fs::create_dir_all(&database).expect("it is there");
    let package = ground.repo("main").join("libdata-1-1.noarch.rpm");
    run(Command::new("rpm")
        .arg("--root")
        .arg(&node)
        .args(["--dbpath", "/var/lib/rpm", "-i", "--nodeps"])
        .arg(&package))
    .good();
    fs::write(node.join("usr/share/libdata/of-nobody"), "kept").expect("it is there");
    assert!(ground.dnf("node", &["list"]).good().out.contains("libdata.noarch"));
    // But for what is cached, which lies where no export reaches.
    assert!(!node.join(".red/current").exists() && !database.is_symlink(), "looking changes nothing");
    ground.dnf("node", &["-y", "install", "other"]).good();
    assert_eq!(ground.rpm_says("node"), ["libdata-1", "other-1"]);
    assert_eq!(fs::read_to_string(node.join("usr/share/libdata/of-nobody")).expect("it is there"), "kept");
    assert!(node.join("usr").is_symlink() && node.join("etc").is_symlink());
    ground.rpm_verifies("node").expect("it is there");
    red_tests::call::conf([std::ffi::OsStr::new("check"), node.as_os_str()]).good();
    assert_eq!(ground.dnf("node", &["red-manager", "--update"]).code, 0, "its configuration can be updated");
}

#[test]
fn what_is_not_signed_as_demanded_is_refused() {
    let ground = Ground::new();
    let dir = ground.repo("main");
    let good = ground.maker.small(&dir, &plain("good", "1", &[], &[("/usr/share/good", "g")]));
    let wrong = ground.maker.small(&dir, &plain("wrong", "1", &[], &[("/usr/share/wrong", "w")]));
    let flipped = ground
        .maker
        .small(&dir, &plain("flipped", "1", &[], &[("/usr/share/flipped", &"text ".repeat(2000))]));
    let header = ground.maker.small(&dir, &plain("header", "1", &[], &[("/usr/share/header", "h")]));
    ground.maker.small(&dir, &plain("unsigned", "1", &[], &[("/usr/share/unsigned", "u")]));
    ground.maker.sign("red-test", &[good.clone(), flipped.clone(), header.clone()]);
    ground.maker.sign("somebody-else", &[wrong]);
    let stripped = ground.maker.small(&dir, &plain("stripped", "1", &[], &[("/usr/share/stripped", "s")]));
    ground.maker.sign("red-test", std::slice::from_ref(&stripped));
    run(Command::new("rpmsign").arg("--delsign").arg(&stripped)).good();
    // One byte of the payload, one of the header: both behind what repodata saw, as a mirror could do it
    // that makes its own repodata.
    let mut bytes = fs::read(&flipped).expect("it is there");
    let end = bytes.len() - 20;
    bytes[end] ^= 1;
    fs::write(&flipped, bytes).expect("it is there");
    let mut bytes = fs::read(&header).expect("it is there");
    let at = bytes.windows(19).rposition(|part| part == b"test package header").expect("it is there");
    bytes[at] ^= 0x20;
    fs::write(&header, bytes).expect("it is there");
    ground.maker.index(&dir);
    ground.create("core", None);
    let config = ground.node("core").join("etc/redpak.yaml");
    let text =
        fs::read_to_string(&config).expect("it is there").replace("config:\n", "config:\n  gpgcheck: true\n");
    fs::write(&config, text).expect("it is there");
    ground.create("core/app", None);
    let key = ground.maker.key();
    ground
        .dnf(
            "core/app",
            &[
                "red-manager",
                "--add-repo",
                &dir.to_string_lossy(),
                "--id",
                "main",
                "--gpgkey",
                &key.to_string_lossy(),
            ],
        )
        .good();
    for (name, wanted) in [
        ("unsigned", "not signed"),
        ("stripped", "not signed"),
        ("wrong", "not accepted"),
        ("flipped", "nothing has changed"),
        ("header", "nothing has changed"),
    ] {
        let refused = ground.dnf("core/app", &["-y", "install", name]);
        assert_eq!(refused.code, 1, "{name}: {}", refused.err);
        assert!(refused.err.contains(wanted), "{name}: {}", refused.err);
        assert_eq!(ground.rpm_says("core/app"), Vec::<String>::new());
        assert!(!ground.node("core/app").join("usr/share").join(name).exists());
    }
    let refused = ground.dnf("core/app", &["-y", "--nogpgcheck", "install", "unsigned"]);
    assert!(refused.code == 1 && refused.err.contains("node `core`"), "{}", refused.err);
    let said = ground.dnf("core/app", &["-y", "install", "good"]).good();
    assert!(said.err.contains("fingerprint"), "{}", said.err);
    assert!(ground.rpm("core/app", &["-q", "gpg-pubkey"]).good().out.contains("gpg-pubkey-"));
    let whence = ground.rpm("core/app", &["whence", "/nodes/app/usr/share/good"]).good().out;
    assert!(whence.contains("RSA/SHA") && whence.contains("repository  main"), "{whence}");
}

#[test]
fn one_command_at_a_time_changes_a_node() {
    let ground = Ground::new();
    let slow = Small { post: "sleep 2", ..plain("slow", "1", &[], &[("/usr/share/slow", "s")]) };
    ground.publish("main", &[slow, LIB1]);
    ground.create("core", Some("main"));
    ground.create("core/a", Some("main"));
    ground.create("core/b", Some("main"));
    let start = |node: &str, name: &str| {
        let mut command = ground.tool("red-dnf");
        command.arg(format!("--redpath={}", ground.node(node).display())).args(["-y", "install", name]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let first = start("core/a", "slow");
    std::thread::sleep(Duration::from_millis(700));
    let busy = ground.dnf("core/a", &["-y", "--wait=0", "install", "libdata"]);
    assert_eq!(busy.code, 1, "{}", busy.err);
    assert!(
        busy.err.contains(&format!("process {}", first.id())) && busy.err.contains("install slow"),
        "{}",
        busy.err
    );
    // A sibling proceeds, and does not see the other's packages.
    let sibling = ground.dnf("core/b", &["-y", "--wait=0", "install", "libdata"]).good();
    assert!(sibling.err.contains("generation 1"), "{}", sibling.err);
    // The parent has to wait: a child relies on it.
    assert_eq!(ground.dnf("core", &["-y", "--wait=0", "install", "libdata"]).code, 1);
    let second = start("core/a", "libdata");
    let (first, second) =
        (first.wait_with_output().expect("it ends"), second.wait_with_output().expect("it ends"));
    assert!(first.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.success() && words.contains("waiting"), "{words}");
    assert_eq!(ground.rpm_says("core/a"), ["libdata-1", "slow-1"]);
}

#[test]
fn what_runs_keeps_its_generation() {
    let ground = Ground::new();
    core_view(&ground);
    let database = ground.pool.join("core-db");
    assert!(database.exists());
    ground.publish("main", &[LIB1]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "libdata"]).good();
    ground.pool.install("red-runtime", "red-runtime");
    let state = ground.pool.mkdir("state");
    fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
    let script =
        "cat /nodes/node/usr/share/libdata/version; read x; cat /nodes/node/usr/share/libdata/version";
    let mut child = Command::new("bash")
        .args([
            "-c",
            &format!("exec -a red-wrap {} \"$@\"", ground.pool.join("red-runtime").display()),
            "red-wrap",
            "--root",
        ])
        .arg(&state)
        .arg(format!("--redpath={}", ground.node("node").display()))
        .args(["--", "bash", "-c", script])
        .env("NODE_PREFIX", ground.pool.join("prefix"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).expect("it speaks");
    assert_eq!(line, "1\n");
    ground.publish("main", &[LIB2]);
    ground.dnf("node", &["-y", "--refresh", "--setopt=generations_keep=1", "update"]).good();
    let list = ground.dnf("node", &["generations"]).good().out;
    assert!(list.lines().any(|line| line.starts_with("1 ") && line.contains("in use")), "{list}");
    let after = red_wrap(&ground, "node", &["cat", "/nodes/node/usr/share/libdata/version"]).good();
    assert_eq!(after.out, "2\n");
    std::io::Write::write_all(&mut input, b"\n").expect("it listens");
    line.clear();
    std::io::BufRead::read_line(&mut output, &mut line).expect("it speaks");
    assert_eq!(line, "1\n", "what runs still sees the old generation");
    assert!(child.wait().expect("it ends").success());
    ground.dnf("node", &["--setopt=generations_keep=1", "generations", "collect"]).good();
    let list = ground.dnf("node", &["generations"]).good().out;
    assert!(!list.lines().any(|line| line.starts_with("1 ")), "{list}");
}

#[test]
fn solving_is_libsolvs() {
    let ground = Ground::new();
    let rich = Small {
        requires: &["(one or two)", "/usr/share/by-path"],
        ..plain("rich", "1", &[], &[("/usr/share/rich", "r")])
    };
    let newer = Small {
        obsoletes: &["old-name"],
        provides: &["old-name = 2"],
        ..plain("new-name", "2", &[], &[("/usr/share/name", "n")])
    };
    let apart = Small { conflicts: &["two"], ..plain("apart", "1", &[], &[("/usr/share/apart", "a")]) };
    ground.publish(
        "main",
        &[
            rich,
            plain("two", "1", &[], &[("/usr/share/two", "2")]),
            plain("bypath", "1", &[], &[("/usr/share/by-path", "p")]),
            plain("old-name", "1", &[], &[("/usr/share/name", "o")]),
            apart,
            plain("broken", "1", &["not-there"], &[]),
        ],
    );
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "rich", "old-name"]).good();
    assert_eq!(ground.rpm_says("node"), ["bypath-1", "old-name-1", "rich-1", "two-1"]);
    let refused = ground.dnf("node", &["-y", "install", "apart"]);
    assert!(refused.code == 1 && refused.err.contains("conflicts with two"), "{}", refused.err);
    let refused = ground.dnf("node", &["-y", "install", "broken"]);
    assert!(
        refused.code == 1 && refused.err.contains("add a repository that has `not-there`"),
        "{}",
        refused.err
    );
    let refused = ground.dnf("node", &["-y", "install", "rihc"]);
    assert!(refused.err.contains("did you mean `rich`?"), "{}", refused.err);
    ground.publish("main", &[newer]);
    ground.dnf("node", &["-y", "--refresh", "update"]).good();
    assert_eq!(ground.rpm_says("node"), ["bypath-1", "new-name-2", "rich-1", "two-1"]);
    assert_eq!(
        ground.dnf("node", &["repoquery", "--whatprovides", "old-name"]).good().out,
        "new-name-2-1.noarch\nold-name-1-1.noarch\n"
    );
    assert!(ground.dnf("node", &["provides", "/usr/share/by-path"]).good().out.contains("bypath"));
    // libsolv's own test cases.
    let case = ground.pool.write(
        "case.t",
        "repo system 0 testtags <inline>\n#>=Pkg: a 1 1 noarch\nrepo new 0 testtags <inline>\n#>=Pkg: a 2 1 noarch\n\
         system noarch rpm system\njob update all packages\nresult transaction,problems <inline>\n#>upgrade a-1-1.noarch@system a-2-1.noarch@new\n",
    );
    let said = run(ground.tool("red-dnf").arg("red-testcase").arg(&case)).good();
    assert_eq!(said.out.trim(), "upgrade a-1-1.noarch@system a-2-1.noarch@new");
}

#[test]
fn red_rpm_speaks_rpms_words() {
    let ground = Ground::new();
    ground
        .publish("main", &[LIB1, LIB2, plain("app", "1", &["libdata"], &[("/usr/bin/app", "#!/bin/sh\n")])]);
    ground.create("core", Some("main"));
    ground.create("core/app", Some("main"));
    ground.dnf("core", &["-y", "install", "libdata-1"]).good();
    let file = ground.repo("main").join("app-1-1.noarch.rpm");
    ground.rpm("core/app", &["-Uvh", &file.to_string_lossy()]).good();
    assert_eq!(ground.rpm_says("core/app"), ["app-1"]);
    assert_eq!(ground.rpm("core/app", &["-q", "--qf", "%{VERSION}\\n", "app"]).good().out, "1\n");
    assert_eq!(ground.rpm("core/app", &["-qf", "/usr/bin/app"]).good().out, "app-1-1.noarch\n");
    assert_eq!(ground.rpm("core/app", &["-V", "app"]).good().out, "");
    let family = ground.rpm("core/app", &["--family", "-qa"]).good().out;
    for wanted in ["core-os: core-os-1-1.noarch", "core: libdata-1-1.noarch", "app: app-1-1.noarch"] {
        assert!(family.contains(wanted), "no {wanted} in {family}");
    }
    fs::write(ground.node("core/app").join("usr/bin/app"), "changed").expect("it is there");
    let changed = ground.rpm("core/app", &["-V", "app"]);
    assert!(changed.code != 0 && changed.out.contains("/usr/bin/app"), "{} {}", changed.out, changed.err);
    ground.rpm("core/app", &["-e", "app"]).good();
    assert_eq!(ground.rpm_says("core/app"), Vec::<String>::new());
    let refused = ground.rpm("core/app", &["-e", "libdata"]);
    assert!(refused.code == 1 && refused.err.contains("is in node `core`"), "{}", refused.err);
}
