//! What packages and settings of repositories have to be before anything is installed, and what is said when they are not.

use std::fs;
use std::path::PathBuf;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::Ground;

fn small<'a>(name: &'a str, version: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version, files, ..Small::default() }
}

/// Refused, for a reason, and without a word of how to do without the check.
fn refused(said: &Said, words: &str, what: &str) {
    assert!(said.code == 1 && said.err.contains(words), "{what}: {} {}", said.code, said.err);
    for way in ["`-C`", "nogpgcheck", "=0", "enabled", "skip_if", "allow_older", "otherwise"] {
        assert!(!said.err.contains(way), "{what} names {way}: {}", said.err);
    }
}

/// A node with a repository file of its own.
fn node(ground: &Ground, node: &str, text: &str) -> PathBuf {
    ground.create(node, None);
    let file = ground.node(node).join("etc/yum.repos.d/a.repo");
    fs::create_dir_all(file.parent().expect("it has one")).expect("it is ours");
    fs::write(&file, text).expect("it is ours");
    file
}

fn dnf_conf(ground: &Ground, node: &str, text: &str) {
    ground.pool.write(format!("nodes/{node}/etc/dnf/dnf.conf"), text);
}

#[test]
fn packages_of_directories_are_what_their_metadata_say() {
    let ground = Ground::new();
    let dir = ground.repo("a");
    ground.publish("a", &[small("one", "1", &[("/usr/share/one", "honest")])]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["makecache"]).good();
    let path = dir.join("one-1-1.noarch.rpm");
    let honest = fs::read(&path).expect("it was made");
    let mut flipped = honest.clone();
    let end = flipped.len() - 20;
    flipped[end] ^= 1;
    let mut longer = honest.clone();
    longer.push(0);
    ground
        .maker
        .small(&dir, &small("one", "1", &[("/usr/share/one", "replaced, and a good package in itself")]));
    let replaced = fs::read(&path).expect("it was made");
    for (what, bytes) in [
        ("another build", &replaced),
        ("one bit", &flipped),
        ("one byte more", &longer),
        ("a byte less", &honest[..honest.len() - 1].to_vec()),
    ] {
        fs::write(&path, bytes).expect("it is ours");
        let said = ground.dnf("n", &["-y", "install", "one"]);
        refused(&said, "mismatch: its repository announces", what);
        assert!(said.err.contains("nothing has changed") && ground.rpm_says("n").is_empty(), "{what}");
    }
    // What is no file of a repository is announced by nobody.
    fs::write(&path, &replaced).expect("it is ours");
    ground.dnf("n", &["-y", "install", &path.to_string_lossy()]).good();
    ground.dnf("n", &["-y", "remove", "one"]).good();
    fs::write(&path, &honest).expect("it is ours");
    ground.dnf("n", &["-y", "install", "one"]).good();
    let installed = ground.node("n").join("usr/share/one");
    assert_eq!(fs::read_to_string(installed).expect("it is there"), "honest");
}

#[test]
fn misspelt_settings_of_signatures_are_errors() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[])]);
    let repo = format!("[a]\nname=a\nbaseurl=file://{}\n", ground.repo("a").display());
    let file = node(&ground, "n", &repo);
    let asks: [&[&str]; 3] = [&["-y", "install", "one"], &["repolist"], &["makecache"]];
    for option in ["gpgchek", "gpg_check", "repo_gpgchek", "pkg_gpgchek", "gpgckeck"] {
        for ask in asks {
            fs::write(&file, format!("{repo}{option}=1\n")).expect("it is ours");
            refused(
                &ground.dnf("n", ask),
                &format!("a.repo:4: unsupported option `{option}`: did you mean"),
                option,
            );
            fs::write(&file, &repo).expect("it is ours");
            dnf_conf(&ground, "n", &format!("[main]\n{option}=1\n"));
            refused(
                &ground.dnf("n", ask),
                &format!("dnf.conf:2: unsupported option `{option}`: did you mean"),
                option,
            );
            dnf_conf(&ground, "n", "");
            for given in [format!("--setopt={option}=1"), format!("--setopt=a.{option}=1")] {
                let said = ground.dnf("n", &[ask, &[given.as_str()]].concat());
                refused(&said, &format!("{given}: unsupported option `{option}`: did you mean"), &given);
            }
        }
        let other = ground.pool.write("b.repo", format!("[b]\nbaseurl=file:///b\n{option}=1\n"));
        let said = ground.dnf("n", &["red-manager", "--add-repo", &other.to_string_lossy()]);
        refused(&said, "b.repo:3: unsupported option", option);
    }
    for (section, words) in [("Main", "did you mean `[main]`?"), ("a", "etc/yum.repos.d")] {
        dnf_conf(&ground, "n", &format!("[{section}]\ngpgcheck=1\n"));
        refused(&ground.dnf("n", asks[0]), words, section);
    }
    assert!(ground.rpm_says("n").is_empty());
    // dnf5's name of it is one.
    dnf_conf(&ground, "n", "[main]\npkg_gpgcheck=1\n");
    refused(&ground.dnf("n", asks[0]), "`gpgcheck` of repository `a` demands signatures", "dnf.conf");
    dnf_conf(&ground, "n", "");
    fs::write(&file, format!("{repo}pkg_gpgcheck=1\n")).expect("it is ours");
    refused(&ground.dnf("n", asks[0]), "is not signed", "a.repo");
    fs::write(&file, &repo).expect("it is ours");
    for given in ["--setopt=pkg_gpgcheck=1", "--setopt=a.pkg_gpgcheck=True"] {
        refused(&ground.dnf("n", &[asks[0], &[given]].concat()), "is not signed", given);
    }
    ground.dnf("n", asks[0]).good();
    // What an ancestor demands of its own repositories.
    ground.create("n/below", None);
    for setting in ["gpgcheck", "pkg_gpgcheck", "repo_gpgcheck"] {
        dnf_conf(&ground, "n", &format!("[main]\n{setting}=1\n"));
        let said = ground.dnf("n/below", &["--ancestor-repos", "makecache"]);
        assert_eq!(said.code == 0, setting != "repo_gpgcheck", "{setting}: {}", said.err);
    }
    dnf_conf(&ground, "n", "[main]\ngpgcheck=1\n");
    let listed = ground.dnf("n/below", &["--ancestor-repos", "--json", "repolist"]).good().json();
    assert_eq!((&listed[0]["id"], &listed[0]["gpgcheck"]), (&"a".into(), &true.into()), "{listed}");
}

#[test]
fn red_rpm_upgrades_as_rpm_does() {
    let ground = Ground::new();
    ground.publish("a", &[small("app", "1", &[]), small("app", "2", &[]), small("other", "1", &[])]);
    ground.create("n", Some("a"));
    let file =
        |name: &str| ground.repo("a").join(format!("{name}-1.noarch.rpm")).to_string_lossy().into_owned();
    let (one, two, other) = (file("app-1"), file("app-2"), file("other-1"));
    ground.rpm("n", &["-U", &one]).good();
    ground.rpm("n", &["-U", &two]).good();
    let generations = || ground.dnf("n", &["--json", "history"]).good().json().as_array().map(Vec::len);
    let before = generations();
    for (args, words) in [
        (
            vec!["-U", &one],
            "package app-2-1.noarch (which is newer than app-1-1.noarch) is already installed",
        ),
        (vec!["-U", &one], "`--oldpackage`"),
        (vec!["-U", "--replacepkgs", &one], "`--oldpackage`"),
        (vec!["-U", &two], "package app-2-1.noarch is already installed"),
        (vec!["-U", "--oldpackage", &two], "`--replacepkgs`"),
        (vec!["-U", &other, &one], "`--oldpackage`"),
    ] {
        let said = ground.rpm("n", &args);
        assert!(said.code == 1 && said.err.contains(words), "{args:?}: {} {}", said.code, said.err);
    }
    for args in [vec!["-F", &one], vec!["-F", &two], vec!["-Fvh", &one, &other]] {
        assert_eq!(ground.rpm("n", &args).code, 0, "{args:?}");
    }
    assert_eq!((generations(), ground.rpm_says("n")), (before, vec!["app-2".to_owned()]));
    ground.rpm("n", &["-U", "--replacepkgs", &two]).good();
    assert_eq!(ground.rpm_says("n"), ["app-2"]);
    ground.rpm("n", &["-U", "--oldpackage", &one]).good();
    assert_eq!(ground.rpm_says("n"), ["app-1"]);
    ground.rpm("n", &["-F", &two]).good();
    ground.rpm("n", &["-U", &other]).good();
    assert_eq!(ground.rpm_says("n"), ["app-2", "other-1"]);
}

#[test]
fn what_an_ancestor_demands_no_command_lifts() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[])]);
    ground.create("n", None);
    let config = ground.node("n").join("etc/redpak.yaml");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text.replace("config:\n", "config:\n  gpgcheck: true\n")).expect("it is ours");
    ground.create("n/below", Some("a"));
    let package = ground.repo("a").join("one-1-1.noarch.rpm").to_string_lossy().into_owned();
    let from = format!("u,{}", ground.repo("a").display());
    for args in [
        &["install", "one"][..],
        &["--setopt=gpgcheck=0", "install", "one"],
        &["--setopt=pkg_gpgcheck=0", "install", "one"],
        &["--setopt=a.gpgcheck=0", "install", "one"],
        &["--setopt=*.pkg_gpgcheck=No", "install", "one"],
        &["--setopt=localpkg_gpgcheck=0", "install", &package],
        &["--disablerepo=*", "--enablerepo=u", "--repofrompath", &from, "install", "one"],
        &["--nogpgcheck", "install", "one"],
        &["--nogpgcheck", "install", &package],
        &["--nogpgcheck", "--disablerepo=*", "--enablerepo=u", "--repofrompath", &from, "install", "one"],
    ] {
        let said = ground.dnf("n/below", &[&["-y"], args].concat());
        let words = if args[0] == "--nogpgcheck" { "no command overrides that" } else { "node `n`" };
        assert!(said.code == 1 && said.err.contains(words), "{args:?}: {} {}", said.code, said.err);
        assert!(ground.rpm_says("n/below").is_empty(), "{args:?}");
    }
    for args in [&["-U", package.as_str()][..], &["-i", &package], &["-Uv", "--replacepkgs", &package]] {
        refused(&ground.rpm("n/below", args), "node `n` (`gpgcheck: true`) demands signatures", "red-rpm");
    }
    assert_ne!(ground.rpm("n/below", &["-U", "--nosignature", &package]).code, 0);
    // The same of its `dnf.conf`, for its own repositories.
    fs::write(&config, text).expect("it is ours");
    let repo = format!("[own]\nname=own\nbaseurl=file://{}\n", ground.repo("a").display());
    ground.pool.write("nodes/n/etc/yum.repos.d/own.repo", repo);
    for setting in ["gpgcheck", "pkg_gpgcheck"] {
        dnf_conf(&ground, "n", &format!("[main]\n{setting}=1\n"));
        for args in
            [&["--nogpgcheck"][..], &["--setopt=own.gpgcheck=0"], &["--nogpgcheck", "--setopt=gpgcheck=0"]]
        {
            let usual = ["-y", "--ancestor-repos", "--disablerepo=a", "install", "one"];
            let said = ground.dnf("n/below", &[args, &usual].concat());
            refused(&said, "n/etc/dnf/dnf.conf demands signatures", &format!("{setting} {args:?}"));
        }
    }
    assert!(ground.rpm_says("n/below").is_empty());
    // A node's own is what the command line is for.
    dnf_conf(&ground, "n", "[main]\n");
    dnf_conf(&ground, "n/below", "[main]\ngpgcheck=1\n");
    ground.dnf("n/below", &["-y", "--nogpgcheck", "install", "one"]).good();
}

#[test]
fn files_of_dnf5_demand_signatures() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[])]);
    ground.create("n", Some("a"));
    ground.create("n/below", None);
    let write = |name: &str, text: &str| drop(ground.pool.write(format!("nodes/n/etc/dnf/{name}"), text));
    let (part, changes) = ("libdnf5.conf.d/20-site.conf", "repos.override.d/99-config_manager.repo");
    for (name, text) in [
        (part, "[main]\ngpgcheck=1\n"),
        (part, "[main]\nrepo_gpgcheck=1\n"),
        (changes, "[a]\ngpgcheck=1\n"),
        (changes, "[*]\nrepo_gpgcheck=1\n"),
    ] {
        write(name, text);
        let words = if text.contains("repo_") { "`repo_gpgcheck` is set" } else { "is not signed" };
        refused(&ground.dnf("n", &["-y", "install", "one"]), words, text);
        if (name, words) == (part, "is not signed") {
            let said = ground.dnf("n/below", &["-y", "--ancestor-repos", "--nogpgcheck", "install", "one"]);
            refused(&said, "20-site.conf demands signatures", text);
        }
        write(name, "");
    }
    write(changes, "[a]\nenabled=0\n");
    assert_eq!(ground.dnf("n", &["-y", "install", "one"]).code, 1);
    write(changes, "");
    ground.dnf("n", &["-y", "install", "one"]).good();
}

/// What a link of a node leads to is in the node, and a demand is not lost where it leads nowhere.
#[test]
fn a_link_to_settings_loses_no_demand() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[])]);
    ground.create("n", Some("a"));
    ground.create("n/below", None);
    let link = ground.node("n").join("etc/dnf/dnf.conf");
    fs::create_dir_all(link.parent().expect("it has one")).expect("it is ours");
    std::os::unix::fs::symlink("/usr/share/dnf-of-test/dnf.conf", &link).expect("it is ours");
    let above = ["-y", "--ancestor-repos", "install", "one"];
    let ask = || [ground.dnf("n", &["-y", "install", "one"]), ground.dnf("n/below", &above)];
    for said in ask() {
        refused(&said, "n/etc/dnf/dnf.conf is a symbolic link to /usr/share/dnf-of-test/dnf.conf", "nowhere");
    }
    ground.pool.write("nodes/n/usr/share/dnf-of-test/dnf.conf", "[main]\ngpgcheck=1\n");
    for said in ask() {
        refused(&said, "is not signed", "in the node");
    }
    fs::remove_file(&link).expect("it is ours");
    let dir = ground.node("n").join("etc/dnf/libdnf5.conf.d");
    std::os::unix::fs::symlink("/usr/share/none-of-test", &dir).expect("it is ours");
    refused(&ask()[0], "libdnf5.conf.d is a symbolic link to", "a directory");
}

/// Devices and pipes in the place of files, which any package could bring, are neither read nor waited for.
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[])]);
    ground.create("n", Some("a"));
    let ask = |what: &str| {
        let node = format!("--redpath={}", ground.node("n").display());
        let mut limited = std::process::Command::new("timeout");
        // Address space: what is read to its end fills it.
        limited.args(["10", "prlimit", "--as=2000000000:", "--fsize=100000000:"]);
        let mut tool = ground.tool("red-dnf");
        tool.arg(&node).args(["-y", "makecache"]);
        limited.arg(tool.get_program()).args(tool.get_args());
        limited.envs(tool.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let said = run(&mut limited);
        assert!(said.code == 0 || said.code == 1, "{what}: {} {}", said.code, said.err);
        said
    };
    let repo = ground.node("n").join("etc/yum.repos.d/b.repo");
    let pipe = |path: &std::path::Path| drop(run(std::process::Command::new("mkfifo").arg(path)).good());
    let zero = |path: &std::path::Path| std::os::unix::fs::symlink("/dev/zero", path).expect("it is ours");
    let places = ["etc/os-release", "etc/dnf/vars/x", "etc/yum.repos.d/b.repo", "etc/dnf/dnf.conf"];
    for place in places {
        let path = ground.node("n").join(place);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
        for make in [&pipe as &dyn Fn(&std::path::Path), &zero] {
            make(&path);
            let said = ask(place);
            // `/dev/zero` leads to nothing in the node.
            let told = ["not a regular file", "is a symbolic link to /dev/zero"];
            let is_told = told.iter().any(|words| said.err.contains(words)) && said.err.contains(place);
            assert!(said.code == 1 && is_told, "{place}: {} {}", said.code, said.err);
            fs::remove_file(&path).expect("it is ours");
        }
    }
    // The same in a repository of this machine, for metadata, keys and lists of mirrors.
    let bad = ground.pool.mkdir("repos/bad/repodata");
    ground.pool.write("repos/a/repodata/repomd.xml.asc", "none");
    for make in [&pipe as &dyn Fn(&std::path::Path), &zero] {
        make(&bad.join("repomd.xml"));
        let at = format!("file://{}", ground.repo("bad").display());
        let file = format!("{at}/repodata/repomd.xml");
        let good = format!("baseurl=file://{}", ground.repo("a").display());
        for text in [
            format!("baseurl={at}"),
            format!("mirrorlist={file}"),
            format!("{good}\nrepo_gpgcheck=1\ngpgkey={file}"),
        ] {
            fs::write(&repo, format!("[b]\nname=b\n{text}\n")).expect("it is ours");
            let said = ask(&text);
            assert!(said.code == 1 && said.err.contains("not a regular file"), "{text}: {}", said.err);
        }
        fs::remove_file(bad.join("repomd.xml")).expect("it is ours");
    }
}
