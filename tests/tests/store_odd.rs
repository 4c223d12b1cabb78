//! Packages with what packages may have, and repositories in all their forms.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::packages::{self, Small};
use red_tests::store::{Ground, Served};

/// A package that has everything, made by rpmbuild.
fn odd(ground: &Ground, version: &str) {
    let repo = ground.repo("main");
    let spec = format!(
        "Name: odd\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: n\nBuildArch: noarch\n%description\nd\n%install\n\
         mkdir -p %{{buildroot}}/usr/share/odd/empty %{{buildroot}}/etc/odd %{{buildroot}}/var/lib/odd %{{buildroot}}/opt/odd\n\
         cd %{{buildroot}}/usr/share/odd\necho {version} > version\necho capable > capable\necho one > one\nln one two\n\
         truncate -s 64M sparse\necho suid > suid\necho owned > owned\nln -s version link\necho odd > 'näme with blank'\n\
         echo conf > %{{buildroot}}/etc/odd/conf\ncd %{{buildroot}}/etc/odd\necho x > pair1\nln pair1 pair2\n\
         echo shipped {version} > %{{buildroot}}/var/lib/odd/shipped\necho o > %{{buildroot}}/opt/odd/o\n\
         %files\n%dir /usr/share/odd\n%dir /usr/share/odd/empty\n/usr/share/odd/version\n%caps(cap_net_raw=ep) /usr/share/odd/capable\n\
         /usr/share/odd/one\n/usr/share/odd/two\n/usr/share/odd/sparse\n%attr(4755,root,root) /usr/share/odd/suid\n\
         %attr(0640,daemon,daemon) /usr/share/odd/owned\n/usr/share/odd/link\n\"/usr/share/odd/näme with blank\"\n\
         %config(noreplace) /etc/odd/conf\n/etc/odd/pair1\n/etc/odd/pair2\n%ghost /usr/share/odd/ghost\n/var/lib/odd\n/opt/odd\n"
    );
    let path = ground.pool.write("odd.spec", spec);
    let mut build = Command::new("rpmbuild");
    build.args([
        "-bb",
        "--quiet",
        "--define",
        "_binary_payload w1.zstdio",
        "--define",
        "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
    ]);
    build.arg("--define").arg(format!("_topdir {}/top", ground.pool.path().display()));
    build.arg("--define").arg(format!("_rpmdir {}", repo.display())).arg(&path);
    run(&mut build).good();
    ground.maker.index(&repo);
}

fn is_as_shipped(ground: &Ground, version: &str) {
    let node = ground.node("node");
    let odd = node.join("usr/share/odd");
    let facts =
        |name: &str| fs::symlink_metadata(odd.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(fs::read_to_string(odd.join("version")).expect("it is there"), format!("{version}\n"));
    let python = "import os,sys; print(os.listxattr(sys.argv[1]))";
    let names = run(Command::new("python3").args(["-c", python]).arg(odd.join("capable"))).good().out;
    assert!(!names.contains("security.capability"), "{names}");
    assert_eq!(facts("one").ino(), facts("two").ino());
    // rpm itself writes holes out; a generation shares what it wrote.
    assert_eq!(facts("sparse").len(), 64 << 20);
    assert_eq!(facts("suid").mode() & 0o7777, 0o755);
    assert_eq!((facts("owned").uid(), facts("owned").mode() & 0o7777), (1, 0o640));
    assert!(
        facts("link").is_symlink() && odd.join("empty").is_dir() && odd.join("näme with blank").is_file()
    );
    assert!(!odd.join("ghost").exists());
    assert_eq!(
        fs::read_to_string(node.join("var/lib/odd/shipped")).expect("it is there"),
        format!("shipped {version}\n")
    );
    assert_eq!(fs::read_to_string(node.join("opt/odd/o")).expect("it is there"), "o\n");
    let mut verify = Command::new("rpm");
    verify.arg("--root").arg(&node).args(["--dbpath", "/var/lib/rpm", "-V", "--nodeps", "odd"]);
    verify.args(["--nouser", "--nogroup"]);
    // What would have them run as their owner is taken away.
    let taken = "........P    /usr/share/odd/capable\n.M.......    /usr/share/odd/suid\n";
    assert_eq!(run(&mut verify).out, taken);
}

#[test]
fn what_packages_may_have_stays_over_generations() {
    let ground = Ground::new();
    odd(&ground, "1");
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "odd"]).good();
    is_as_shipped(&ground, "1");
    // A generation in which odd does not change takes its files over.
    ground.publish(
        "main",
        &[Small { name: "other", version: "1", files: &[("/usr/share/other", "o")], ..Small::default() }],
    );
    ground.dnf("node", &["-y", "--refresh", "install", "other"]).good();
    is_as_shipped(&ground, "1");
    odd(&ground, "2");
    ground.dnf("node", &["-y", "--refresh", "update"]).good();
    is_as_shipped(&ground, "2");
    ground.dnf("node", &["-y", "reinstall", "odd"]).good();
    is_as_shipped(&ground, "2");
    ground.dnf("node", &["-y", "downgrade", "odd"]).good();
    is_as_shipped(&ground, "1");
    ground.dnf("node", &["-y", "remove", "odd"]).good();
    assert!(!ground.node("node").join("usr/share/odd").exists() && !ground.node("node").join("opt").exists());
    assert!(ground.node("node").join("usr/share/other").exists());
}

#[test]
fn triggers_and_several_versions() {
    let ground = Ground::new();
    let mut watcher =
        Small { name: "watcher", version: "1", files: &[("/usr/share/watcher", "w")], ..Small::default() }
            .builder();
    watcher.trigger_in("kernel", None, "echo TRIGGERED");
    ground.maker.built(&ground.repo("main"), "watcher-1-1.noarch.rpm", &mut watcher);
    let kernel = |version: &'static str, file: &'static [(&'static str, &'static str)]| Small {
        name: "kernel",
        version,
        files: file,
        ..Small::default()
    };
    ground.publish(
        "main",
        &[kernel("1", &[("/usr/lib/kernel-1", "1")]), kernel("2", &[("/usr/lib/kernel-2", "2")])],
    );
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "watcher"]).good();
    let several = "--setopt=installonlypkgs=kernel";
    ground.dnf("node", &["-y", several, "install", "kernel-1"]).good();
    ground.dnf("node", &["-y", several, "install", "kernel-2"]).good();
    assert_eq!(ground.rpm_says("node"), ["kernel-1", "kernel-2", "watcher-1"]);
    assert!(ground.dnf("node", &["history", "info", "2"]).good().out.contains("TRIGGERED"));
}

#[test]
fn metadata_in_all_forms() {
    let ground = Ground::new();
    ground.publish(
        "plain",
        &[Small { name: "found", version: "1", files: &[("/usr/share/found", "f")], ..Small::default() }],
    );
    let data = ground.repo("plain").join("repodata");
    let entries = fs::read_dir(&data).expect("it is there").flatten().map(|entry| entry.path());
    // Later versions of createrepo_c make it of another kind.
    let primary = entries
        .into_iter()
        .find(|path| path.to_string_lossy().contains("primary.xml."))
        .expect("it is there");
    let unpack = if primary.extension().is_some_and(|kind| kind == "zst") { "zstdcat" } else { "zcat" };
    ground.create("node", None);
    for (suffix, pack) in [("xml", "cat"), ("xml.gz", "gzip"), ("xml.xz", "xz"), ("xml.zst", "zstd -q")] {
        let name = format!("as-{suffix}");
        let to = ground.pool.mkdir(format!("repos/{name}/repodata"));
        let file = format!("primary.{suffix}");
        let pack = format!("{unpack} {} | {pack} > {}", primary.display(), to.join(&file).display());
        run(Command::new("sh").args(["-c", &pack])).good();
        packages::repomd(&ground.repo(&name), &file);
        let from = format!("form,{}", ground.repo(&name).display());
        let said = ground.dnf("node", &["--repofrompath", &from, "--refresh", "repoquery"]).good();
        assert_eq!(said.out, "found-1-1.noarch\n", "{suffix}");
    }
}

#[test]
fn mirrors_variables_and_choices() {
    let ground = Ground::new();
    let small = |name, version, file| Small { name, version, files: file, ..Small::default() };
    ground.publish(
        "9/noarch",
        &[
            small("kept", "1", &[("/usr/share/kept", "k")]),
            small("left-out", "1", &[("/usr/share/out", "l")]),
        ],
    );
    ground.publish("other", &[small("kept", "2", &[("/usr/share/kept", "k2")])]);
    let served = Served::start(&ground.pool.join("repos"));
    let list = format!("# mirrors\nhttp://127.0.0.1:1/dead/\n{}/9/noarch/\n", served.url);
    fs::write(ground.pool.join("repos/mirrors"), list).expect("it is there");
    ground.create("node", None);
    let repo = format!(
        "[first-$releasever]\nname=first\nmirrorlist={0}/mirrors\npriority=10\nexcludepkgs=left-*\n\n\
         [second]\nname=second\nbaseurl={0}/other\n\n[off]\nname=off\nbaseurl={0}/off\nenabled=0\n",
        served.url
    );
    let file = ground.pool.write("given.repo", repo);
    ground.dnf("node", &["red-manager", "--add-repo", &file.to_string_lossy()]).good();
    let release = "--releasever=9";
    let list = ground.dnf("node", &[release, "red-manager", "--list-repo"]).good().out;
    assert!(list.contains("first-9") && list.contains("off "), "{list}");
    let said = ground.dnf("node", &[release, "repoquery"]).good().out;
    assert_eq!(said, "kept-2-1.noarch\nkept-1-1.noarch\n", "the excluded one is not there");
    // The repository of the better priority wins, though its version is older.
    ground.dnf("node", &[release, "-y", "install", "kept"]).good();
    assert_eq!(ground.rpm_says("node"), ["kept-1"]);
    ground.dnf("node", &[release, "-y", "--disablerepo=first-*", "update"]).good();
    assert_eq!(ground.rpm_says("node"), ["kept-2"]);
    let refused = ground.dnf("node", &[release, "--enablerepo=nowhere", "repoquery"]);
    assert!(refused.code == 1 && refused.err.contains("nowhere"), "{}", refused.err);
    ground.dnf("node", &[release, "red-manager", "--remove-repo", "second"]).good();
    assert!(!ground.dnf("node", &[release, "repolist"]).good().out.contains("second"));
    assert_eq!(ground.dnf("node", &["--frobnicate", "repolist"]).code, 2);
    assert_eq!(run(ground.tool("red-dnf").arg("red-list")).code, 2, "no redpath");
}

#[test]
fn root_does_not_work_in_a_users_node() {
    let mut ground = Ground::new().for_user();
    ground.create("node", None);
    let user = ground.user.take();
    let refused = ground.dnf("node", &["-y", "autoremove"]);
    assert!(refused.code == 1 && refused.err.contains("belongs to user"), "{}", refused.err);
    drop(user);
}

#[test]
fn a_node_without_the_core_os() {
    let ground = Ground::new();
    let scripted = Small { name: "scripted", version: "1", post: "true", ..Small::default() };
    ground.publish(
        "main",
        &[
            scripted,
            Small { name: "plain", version: "1", files: &[("/usr/share/plain", "p")], ..Small::default() },
        ],
    );
    ground.dnf("alone", &["red-manager", "--create", "--alias=alone", "--no-system-node"]).good();
    let repo = ground.repo("main");
    ground.dnf("alone", &["red-manager", "--add-repo", &repo.to_string_lossy(), "--id", "main"]).good();
    let refused = ground.dnf("alone", &["-y", "install", "scripted"]);
    assert!(refused.code == 1 && refused.err.contains("/bin/sh"), "{}", refused.err);
    ground.dnf("alone", &["-y", "install", "plain"]).good();
    // A node below it neither.
    ground.create("alone/child", Some("main"));
    assert_eq!(ground.dnf("alone/child", &["-y", "install", "scripted"]).code, 1);
}

#[test]
fn generations_are_kept_as_asked() {
    let ground = Ground::new();
    ground.create("node", None);
    let from = format!("main,{}", ground.repo("main").display());
    for version in ["1", "2", "3", "4"] {
        ground.publish(
            "main",
            &[Small { name: "thing", version, files: &[("/usr/share/thing", version)], ..Small::default() }],
        );
        let verb = if version == "1" { "install" } else { "update" };
        let args = ["-y", "--refresh", "--repofrompath", &from, "--setopt=generations_keep=2", verb, "thing"];
        ground.dnf("node", &args).good();
        if version == "1" {
            ground.dnf("node", &["generations", "pin", "1"]).good();
        }
    }
    let numbers = |ground: &Ground| -> Vec<u64> {
        let all = ground.dnf("node", &["--json", "generations"]).good().json();
        all.as_array().expect("a list").iter().filter_map(|one| one["generation"].as_u64()).collect()
    };
    assert_eq!(numbers(&ground), [1, 3, 4]);
    ground.dnf("node", &["-y", "rollback", "1"]).good();
    assert_eq!(ground.rpm_says("node"), ["thing-1"]);
    ground.dnf("node", &["generations", "pin", "--remove", "1"]).good();
    ground.dnf("node", &["--setopt=generations_keep=1", "generations", "collect"]).good();
    assert_eq!(numbers(&ground), [1, 4], "the current one, and the newest");
    let history = ground.dnf("node", &["--json", "history"]).good().json();
    assert_eq!(history.as_array().map(Vec::len), Some(5));
    assert_eq!(ground.dnf("node", &["-y", "rollback", "77"]).code, 1);
}

/// Names of files are bytes. A node's own are text, those of the core OS are what they are.
#[test]
fn names_that_are_no_text_are_refused_and_end_nothing() {
    let ground = Ground::new();
    let spec = "%global _invalid_encoding_terminates_build 0\n%install\nmkdir -p %{buildroot}/usr/share/odd\n\
                cd %{buildroot}/usr/share/odd\necho x > $(printf 'n\\377')\nln -s $(printf '\\377') link\n\
                %files\n/usr/share/odd\n";
    ground.build("notext", "1", spec);
    ground.build("noise", "1", &spec.replace("/usr/share/odd", "/usr/share/noise"));
    let file = |name: &str| {
        let all =
            run(Command::new("find").arg(ground.repo("main")).args(["-name", &format!("{name}-1-*.rpm")]));
        PathBuf::from(all.good().out.trim())
    };
    let (refused, core) = (file("notext"), file("noise"));
    let aside = ground.pool.join("notext.rpm");
    std::fs::rename(refused, &aside).expect("it is ours");
    let mut install = Command::new("rpm");
    install.arg("--dbpath").arg(ground.pool.join("core-db")).args(["-i", "--justdb"]).arg(&core);
    run(&mut install).good();
    std::fs::remove_file(core).expect("it is ours");
    // What is shown in the place of such bytes is a text like any other.
    ground.build(
        "shown",
        "1",
        "%install\nmkdir -p %{buildroot}/opt\necho x > %{buildroot}/opt/$(printf '\\357\\277\\275')\n%files\n/opt/*\n",
    );
    ground.publish(
        "main",
        &[Small { name: "good", version: "1", files: &[("/usr/share/odd/f", "x")], ..Small::default() }],
    );
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "shown"]).good();
    assert!(ground.node("node/opt/\u{fffd}").exists());
    let said = ground.dnf("node", &["-y", "install", aside.to_str().expect("text")]);
    assert_eq!(said.code, 1, "{}", said.err);
    for words in ["notext-1-1.noarch", "no text (UTF-8)", "nothing has changed"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(!said.err.contains("unexpectedly") && !said.err.contains("panicked"), "{}", said.err);
    // The core OS's packages are looked into for files of the same name.
    ground.dnf("node", &["-y", "install", "good"]).good();
    ground.dnf("node", &["check", "--files"]).good();
}

fn plain<'a>(name: &'a str, version: &'a str) -> Small<'a> {
    Small { name, version, ..Small::default() }
}

#[test]
fn what_a_node_below_has_is_named() {
    let ground = Ground::new();
    ground.publish("a", &[plain("a", "1"), plain("a", "2"), plain("b", "1")]);
    ground.create("p", Some("a"));
    ground.create("p/c", Some("a"));
    ground.dnf("p/c", &["-y", "install", "a-1"]).good();
    for version in ["1", "2"] {
        let said = ground.dnf("p", &["--assumeno", "install", &format!("a-{version}")]).good();
        let hint = format!("node `c` has a-1-1.noarch of its own, which hides a-{version}-1.noarch there");
        assert!(said.err.contains(&hint) && said.err.contains("red-remove a`"), "{}", said.err);
    }
    let said = ground.dnf("p", &["--assumeno", "install", "b"]).good();
    assert!(!said.err.contains("of its own"), "{}", said.err);
}

#[test]
fn a_removal_is_undone_without_its_repository() {
    let ground = Ground::new();
    ground.publish("a", &[Small { files: &[("/usr/share/a/f", "1")], ..plain("a", "1") }, plain("b", "1")]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "a"]).good();
    ground.dnf("n", &["-y", "remove", "a"]).good();
    fs::rename(ground.repo("a"), ground.pool.join("gone")).expect("it is ours");
    ground.dnf("n", &["clean", "all"]).good();
    for args in [&["-y", "history", "undo", "2"][..], &["-y", "--disablerepo=*", "history", "undo", "2"]] {
        let said = ground.dnf("n", args).good();
        assert!(said.err.contains("generation 1, from before that record, is kept"), "{}", said.err);
        assert_eq!(ground.rpm_says("n"), ["a-1"], "{args:?}");
        assert!(ground.node("n/usr/share/a/f").exists(), "{args:?}");
        ground.dnf("n", &["-y", "rollback", "2"]).good();
    }
    // Something came after it.
    fs::rename(ground.pool.join("gone"), ground.repo("a")).expect("it is ours");
    ground.dnf("n", &["-y", "--refresh", "install", "b"]).good();
    let refused = ground.dnf("n", &["-y", "--disablerepo=*", "history", "undo", "2"]);
    assert!(
        refused.code == 1 && refused.err.contains("no repository has a-1-1.noarch any more"),
        "{}",
        refused.err
    );
}

/// What nobody can read any more is mended by going back, and each error says so.
#[test]
fn a_node_without_a_current_generation_is_led_back() {
    let ground = Ground::new();
    let small = |name: &'static str| Small { name, version: "1", ..Small::default() };
    ground.publish("main", &[small("one"), small("two")]);
    ground.create("n", Some("main"));
    ground.create("n/below", Some("main"));
    for package in ["one", "two"] {
        ground.dnf("n", &["-y", "install", package]).good();
    }
    let link = ground.node("n").join(".red/current");
    let good = fs::read_link(&link).expect("it was made");
    assert_eq!(good, Path::new("gen/2"));
    for bad in ["gen/7", "elsewhere", "/etc"] {
        fs::remove_file(&link).expect("it is ours");
        std::os::unix::fs::symlink(bad, &link).expect("it is ours");
        let node = ground.node("n");
        let cure = format!(
            "{0}: `.red/current` leads to no generation: `red-dnf --redpath={0} red-rollback N` mends that; there are \
             generations 0, 1, 2",
            node.display()
        );
        for (path, words) in [("n", "list"), ("n", "check"), ("n/below", "list")] {
            let said = ground.dnf(path, &[words]);
            assert!(said.code != 0 && said.err.contains(&cure), "{bad} {path} {words}: {}", said.err);
        }
        if bad != "/etc" {
            let launch = run(&mut ground.wrap("n/below", &["true"]));
            let cure = format!("red-dnf --redpath={} red-rollback N", node.display());
            assert!(launch.code == 125 && launch.err.contains(&cure), "{bad}: {}", launch.err);
        }
        let listed = ground.dnf("n", &["generations"]).good();
        assert_eq!(listed.out.lines().count(), 4, "{bad}: {}", listed.out);
        for number in [&[][..], &["7"]] {
            let said = ground.dnf("n", &[&["-y", "rollback"], number].concat());
            assert_eq!(said.code, 1, "{bad}: {}", said.err);
            assert!(said.err.contains("name one of 0, 1, 2"), "{bad}: {}", said.err);
        }
        assert_eq!(ground.dnf("n", &["--assumeno", "rollback", "2"]).code, 0);
        assert_eq!(fs::read_link(&link).expect("it is there"), Path::new(bad));
        ground.dnf("n", &["-y", "rollback", "2"]).good();
        assert_eq!(fs::read_link(&link).expect("it is there"), good);
        let check = ground.dnf("n", &["check", "--files"]);
        assert_eq!(check.code, 0, "{bad}: {}{}", check.out, check.err);
        assert_eq!(ground.rpm_says("n"), ["one-1", "two-1"], "{bad}");
    }
    ground.dnf("n", &["-y", "remove", "two"]).good();
    let history = ground.dnf("n", &["history"]).good().out;
    assert_eq!(history.matches("rollback 2").count(), 3, "{history}");
}
