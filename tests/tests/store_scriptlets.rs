//! That scriptlets run, and what is told when they fail: the same with every version of rpm.

use std::fs;
use std::path::Path;
use std::process::Command;

use red_tests::call::run;
use red_tests::packages::Small;
use red_tests::store::{Ground, rpm_version};

fn small<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version: "1", files, ..Small::default() }
}

#[test]
fn a_scriptlet_that_fails_is_told_where_the_command_ends() {
    let ground = Ground::new();
    let with = |name, post| Small { post, ..small(name, &[]) };
    ground.publish(
        "main",
        &[
            with("good", "echo it ran > /usr/share/ran\nulimit -a >/dev/null"),
            with("bad", "echo words of its own\nexit 3"),
            with("ended", "kill -9 $$"),
            with("broken", "exit 126"),
        ],
    );
    for (name, packages, failed) in [
        ("good", vec!["good"], vec![]),
        ("one", vec!["good", "bad"], vec!["%post(bad-1-1.noarch) scriptlet failed, exit status 3"]),
        (
            "several",
            vec!["good", "bad", "ended", "broken"],
            vec!["exit status 3", "%post(ended-1-1.noarch) scriptlet failed, signal 9", "exit status 126"],
        ),
        ("no-good", vec!["bad", "broken"], vec!["exit status 3", "exit status 126"]),
    ] {
        ground.create(name, Some("main"));
        let said = ground.dnf(name, &[&["-y", "install"], &packages[..]].concat()).good();
        assert_eq!(
            packages.contains(&"good"),
            ground.node(name).join("usr/share/ran").exists(),
            "{}",
            said.err
        );
        let end = said.err.split("done: generation 1 is current").nth(1).expect("it is done").to_owned();
        assert_eq!(end.contains("should have done is missing"), !failed.is_empty(), "{}", said.err);
        let info = ground.dnf(name, &["history", "info", "1"]).good().out;
        for words in failed {
            assert!(end.contains(words), "{name}: {}", said.err);
            assert!(
                info.split("scriptlets that failed:").nth(1).is_some_and(|told| told.contains(words)),
                "{info}"
            );
        }
    }
}

/// 126 says that a command could not be executed. When that is all there is to say, it is no transaction that somebody
/// asked for: so every scriptlet failed under rpm 4.20, when a plugin of rpm's wanted more than the view allows.
#[test]
fn a_transaction_whose_scriptlets_cannot_start_changes_nothing() {
    let ground = Ground::new();
    let with = |name, post| Small { post, ..small(name, &[]) };
    ground.publish("main", &[with("broken", "exit 126"), with("cracked", "exit 126")]);
    ground.create("node", Some("main"));
    let refused = ground.dnf("node", &["-y", "install", "broken", "cracked"]);
    assert!(refused.code == 1 && refused.err.contains("no scriptlet could be started"), "{}", refused.err);
    assert!(
        refused.err.contains("%post(broken-1-1.noarch)") && !refused.err.contains("done:"),
        "{}",
        refused.err
    );
    assert_eq!(ground.rpm_says("node"), Vec::<String>::new());
    ground.dnf("node", &["-y", "--setopt=tsflags=noscripts", "install", "broken", "cracked"]).good();
    assert_eq!(ground.rpm_says("node"), ["broken-1", "cracked-1"]);
}

/// Since 4.19 rpm itself makes the users that a package ships in sysusers.d, by a program in the view.
#[test]
fn users_that_packages_bring_are_made_in_the_node() {
    let ground = Ground::new();
    let top = ground.pool.mkdir("top");
    let spec = "Name: bringer\nVersion: 1\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\n%description\nd\n\
                %install\nmkdir -p %{buildroot}/usr/lib/sysusers.d %{buildroot}/usr/share\n\
                echo 'u redtest-bringer - \"of a test\" /' >%{buildroot}/usr/lib/sysusers.d/bringer.conf\n\
                echo b >%{buildroot}/usr/share/bringer\n\
                %files\n/usr/lib/sysusers.d/bringer.conf\n\
                %attr(0640,redtest-bringer,redtest-bringer) /usr/share/bringer\n";
    let spec = ground.pool.write("bringer.spec", spec);
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}", top.display()));
    build.arg("--define").arg(format!("_rpmdir {}", ground.repo("main").display())).arg(spec);
    run(&mut build).good();
    ground.publish("main", &[]);
    ground.create("node", Some("main"));
    let before = fs::read("/etc/passwd").expect("it is there");
    let said = ground.dnf("node", &["-y", "install", "bringer"]).good();
    assert!(!said.err.contains("failed"), "{}", said.err);
    assert_eq!(
        fs::read("/etc/passwd").expect("it is there"),
        before,
        "the machine's users are the machine's"
    );
    // Without systemd's program rpm calls a script of its own, which cannot work in the view; its words are in the history.
    if rpm_version() >= (4, 19) && Path::new("/usr/bin/systemd-sysusers").exists() {
        let users = fs::read_to_string(ground.node("node").join("etc/passwd")).expect("the node has users");
        let line =
            users.lines().find(|line| line.starts_with("redtest-bringer:")).expect("the user was made");
        let facts = fs::metadata(ground.node("node").join("usr/share/bringer")).expect("it is there");
        let id = std::os::unix::fs::MetadataExt::uid(&facts).to_string();
        assert_eq!(line.split(':').nth(2), Some(id.as_str()), "{line}");
    }
}

/// Plugins are about the host. They come with distributions, and are switched on by files in rpm's directories.
#[test]
fn no_plugin_of_rpm_is_loaded() {
    let ground = Ground::new();
    ground.publish("main", &[Small { post: "exit 0", ..small("one", &[]) }]);
    ground.create("node", Some("main"));
    let log = ground.pool.join("opened");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "trace=open,openat", "-o"]).arg(&log).args(["--"]);
    let mut dnf = ground.tool("red-dnf");
    dnf.arg(format!("--redpath={}", ground.node("node").display())).args(["-y", "install", "one"]);
    traced.arg(dnf.get_program()).args(dnf.get_args());
    for (name, value) in dnf.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(&mut traced).good();
    let opened = fs::read_to_string(log).expect("it was written");
    assert!(opened.contains("librpm.so"), "the trace has what libraries were opened");
    let plugins: Vec<&str> = opened.lines().filter(|line| line.contains("rpm-plugins/")).collect();
    assert!(plugins.is_empty(), "{plugins:#?}");
}

/// What overlayfs writes down of what was removed, a scriptlet cannot: names of the node go when they are removed.
#[test]
fn a_scriptlet_makes_no_marks_of_what_was_removed() {
    let ground = Ground::new();
    let places = ["/usr/share/one/f", "/usr/share/two/f", "/var/lib/one/f", "/var/lib/two/f", "/data/f"];
    let files = places.map(|place| (place, "x"));
    let post = "cd /usr/share && mkfifo -m 0 one/.wh..wh..opq && cd /var/lib && mkfifo -m 0 one/.wh..wh..opq && \
                mkdir /data && mknod /data/f c 0 0 && \
                python3 -c 'import os\nfor top in [\"/usr/share\", \"/var/lib\"]:\n \
                os.setxattr(top + \"/two\", \"user.overlay.opaque\", b\"y\")'";
    ground.publish("main", &[small("victim", &files), Small { post, ..small("evil", &[]) }]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "victim"]).good();
    let said = ground.dnf("node", &["-y", "install", "evil"]).good();
    assert!(!said.err.contains("should have done is missing"), "{}", said.err);
    for place in places {
        assert!(ground.node("node").join(&place[1..]).is_file(), "{place}: {}", said.err);
    }
    ground.dnf("node", &["check", "--files"]).good();
    // What is really removed is gone.
    let post = "rm -r /usr/share/one /var/lib/one; mkdir /usr/share/one";
    ground.publish("main", &[Small { post, ..small("eraser", &[]) }]);
    ground.dnf("node", &["-y", "--refresh", "install", "eraser"]).good();
    for place in ["/usr/share/one/f", "/var/lib/one/f"] {
        assert!(!ground.node("node").join(&place[1..]).exists(), "{place}");
    }
}
