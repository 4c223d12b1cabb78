//! What must never destroy, and what must never fail open: doors of the store that stood open once.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use red_tests::broom::{Bound, Disk};
use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::{Ground, fingerprint};

fn small<'a>(name: &'a str, version: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version, files, ..Small::default() }
}

/// Every file below a directory whose name ends so.
fn ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(ending(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_damaged_cache_is_made_again() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[("/usr/lib/one/f", "1")]), small("two", "1", &[])]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "one"]).good();
    ground.dnf("n", &["repoquery", "-l", "one"]).good();
    let caches = ending(&ground.node("n"), ".solv");
    assert!(caches.len() >= 4, "two databases, packages and lists of files: {caches:?}");
    for cache in &caches {
        let whole = fs::read(cache).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x7f;
            bytes
        };
        let middle = whole.len() / 2;
        let damaged = [
            whole[..8].to_vec(),
            whole[..10].to_vec(),
            Vec::new(),
            whole[..middle].to_vec(),
            flipped(middle),
        ];
        for bytes in damaged {
            let what = format!("{} with {} bytes", cache.display(), bytes.len());
            fs::write(cache, &bytes).unwrap();
            let commands: [&[&str]; 4] =
                [&["list"], &["repoquery", "-l", "one"], &["check"], &["-y", "--assumeno", "install", "two"]];
            for command in commands {
                let said = ground.dnf("n", command);
                assert_eq!(said.code, 0, "{what}: {command:?}: {}", said.err);
            }
        }
        fs::write(cache, &whole).unwrap();
    }
    assert!(ground.dnf("n", &["repoquery", "-l", "one"]).out.contains("/usr/lib/one/f"));
}

/// A directory of the host's that is removed in the end.
struct OfHost(PathBuf);

impl OfHost {
    fn make() -> Self {
        let path = PathBuf::from(format!("/opt/red-test-first-{}", std::process::id()));
        fs::create_dir_all(&path).expect("root may write there");
        Self(path)
    }
}

impl Drop for OfHost {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn red_rpm_changes_nodes_and_nothing_else() {
    let ground = Ground::new();
    let host = OfHost::make();
    let file = host.0.join("f");
    let shown = file.to_string_lossy().into_owned();
    ground.publish("a", &[small("zz", "1", &[(&shown, "the node's")])]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "zz"]).good();
    fs::write(&file, "the host's").expect("it is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let package = ground.repo("a").join("zz-1-1.noarch.rpm").to_string_lossy().into_owned();
    let mark = ground.pool.join("mark");
    let touch = format!("touch {}", mark.display());
    let eval = format!("%({touch})");
    let define = format!("x {eval}");
    let before = || (fingerprint(&ground.node("n").join(".red")), fingerprint(&host.0));
    let (node, of_host) = before();
    let refused: &[&[&str]] = &[
        &["--nodeps", "-e", "zz"],
        &["-e", "--nodeps", "zz"],
        &["--allmatches", "--erase", "zz"],
        &["--justdb", "-e", "zz"],
        &["-v", "--justdb", "-e", "zz"],
        &["--setperms", "zz"],
        &["--setugids", "zz"],
        &["--restore", "zz"],
        &["-q", "--setperms", "zz"],
        &["--nodeps", "-i", &package],
        &["--force", "-i", &package],
        &["--nodb", "-U", &package],
        &["--root", "/", "-e", "zz"],
        &["--import", &package],
        &["--rebuilddb"],
        &["--initdb"],
        &["-q", "-e", "zz"],
        &["-qe", "zz"],
        &["-qa", "--pipe", &touch],
        &["-E", &eval],
        &["--define", &define, "-qa"],
        &["--family", "-e", "zz"],
    ];
    for words in refused {
        let said = ground.rpm("n", words);
        assert!(said.code != 0 && said.err.starts_with("red-rpm: "), "{words:?}: {} {}", said.code, said.err);
        assert_eq!(before(), (node.clone(), of_host.clone()), "{words:?}");
        assert!(!mark.exists(), "{words:?} ran a program");
    }
    // The caller's own aliases and macros do not count.
    let home = ground.pool.mkdir("home");
    fs::write(home.join(".popt"), "rpm alias --query --erase\nrpm alias -q --erase\n").expect("it is ours");
    fs::write(home.join(".rpmmacros"), format!("%_query_all_fmt {eval}\n")).expect("it is ours");
    let mut query = ground.tool("red-rpm");
    query.env("HOME", &home).arg("--redpath").arg(ground.node("n")).args(["-v", "-q", "zz"]);
    assert_eq!(run(&mut query).good().out, "zz-1-1.noarch\n");
    assert!(!mark.exists(), "macros of the home directory");
    // A directory's name is no macro.
    let odd = "odd %(touch mark)";
    ground.pool.mkdir(format!("nodes/{odd}"));
    ground.create(&format!("{odd}/n"), Some("a"));
    let mut install = ground.tool("red-dnf");
    install.arg("--redpath").arg(ground.node(odd).join("n")).args(["-y", "install", "zz"]);
    run(install.current_dir(ground.pool.path())).good();
    for words in [["-q", "zz"], ["-qf", &shown]] {
        let mut query = ground.tool("red-rpm");
        query.current_dir(ground.pool.path()).arg("--redpath").arg(ground.node(odd).join("n")).args(words);
        assert_eq!(run(&mut query).good().out, "zz-1-1.noarch\n");
    }
    assert!(!mark.exists(), "a directory's name ran a program");
    // A verb is one wherever it stands, and is a transaction.
    for (erase, install) in [
        (["-v", "-e"], ["-v", "-U"]),
        (["--noscripts", "-e"], ["--quiet", "-i"]),
        (["-v", "--erase"], ["-vh", "-Uv"]),
    ] {
        ground.rpm("n", &[erase[0], erase[1], "zz"]).good();
        assert_eq!(ground.rpm_says("n"), Vec::<String>::new(), "{erase:?}");
        assert!(
            !ground.node("n").join(file.strip_prefix("/").expect("it is absolute")).exists(),
            "{erase:?}"
        );
        ground.rpm("n", &[install[0], install[1], &package]).good();
        assert_eq!(ground.rpm_says("n"), ["zz-1"], "{install:?}");
        assert_eq!(fingerprint(&host.0), of_host, "{erase:?} {install:?}");
    }
    let records = ground.dnf("n", &["--json", "history"]).good().json();
    assert_eq!(records.as_array().map(Vec::len), Some(7), "{records}");
    let shown = ground.rpm("n", &["-v", "-qi", "zz"]).good().out;
    let first: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(first, ["Name", ":", "zz"]);
}

/// Writes `dnf.conf` of a node that no transaction touched.
fn dnf_conf(ground: &Ground, node: &str, text: &str) {
    ground.pool.write(format!("nodes/{node}/etc/dnf/dnf.conf"), format!("[main]\n{text}\n"));
}

#[test]
fn a_signature_that_is_asked_for_is_asked_for() {
    let ground = Ground::new();
    ground.publish("a", &[small("one", "1", &[]), small("two", "1", &[])]);
    ground.create("n", Some("a"));
    let refused = |said: &Said, what: &str| {
        assert!(said.code == 1 && ground.rpm_says("n").is_empty(), "{what}: {} {}", said.code, said.err);
    };
    for value in ["1", "True", "TRUE", "Yes", "yes", "On"] {
        dnf_conf(&ground, "n", &format!("gpgcheck={value}"));
        refused(&ground.dnf("n", &["-y", "install", "one"]), value);
        dnf_conf(&ground, "n", "");
        refused(&ground.dnf("n", &["-y", &format!("--setopt=gpgcheck={value}"), "install", "one"]), value);
        refused(&ground.dnf("n", &["-y", &format!("--setopt=a.gpgcheck={value}"), "install", "one"]), value);
        dnf_conf(&ground, "n", &format!("localpkg_gpgcheck={value}"));
        let package = ground.repo("a").join("one-1-1.noarch.rpm");
        refused(&ground.dnf("n", &["-y", "install", &package.to_string_lossy()]), value);
        let from = format!("u,{}", ground.repo("a").display());
        dnf_conf(&ground, "n", "");
        let option = format!("--setopt=u.gpgcheck={value}");
        let args =
            ["-y", "--disablerepo=*", "--enablerepo=u", "--repofrompath", &from, &option, "install", "one"];
        refused(&ground.dnf("n", &args), value);
    }
    for value in ["maybe", "2", "", "Ture", "1 ; really"] {
        dnf_conf(&ground, "n", &format!("gpgcheck={value}"));
        let said = ground.dnf("n", &["-y", "install", "one"]);
        refused(&said, value);
        assert!(said.err.contains("dnf.conf:2: invalid value `gpgcheck="), "{}", said.err);
    }
    dnf_conf(&ground, "n", "");
    // The metadata: what was fetched before nobody asked is not believed afterwards.
    ground.dnf("n", &["makecache"]).good();
    for value in ["1", "True"] {
        let main = format!("--setopt=repo_gpgcheck={value}");
        let one = format!("--setopt=a.repo_gpgcheck={value}");
        for args in [[main.as_str(), "--refresh"], [&main, "-C"], [&one, "--refresh"], [&one, "-C"]] {
            refused(
                &ground.dnf("n", &[&["-y"], args.as_slice(), &["install", "one"]].concat()),
                &args.join(" "),
            );
        }
        dnf_conf(&ground, "n", &format!("repo_gpgcheck={value}"));
        refused(&ground.dnf("n", &["-y", "install", "one"]), "dnf.conf");
        dnf_conf(&ground, "n", "");
    }
    let repo = ground.node("n").join("etc/yum.repos.d/a.repo");
    let text = fs::read_to_string(&repo).expect("it is there");
    fs::write(&repo, format!("{text}repo_gpgcheck=1\n")).expect("it is ours");
    refused(&ground.dnf("n", &["-y", "install", "one"]), "a.repo");
    fs::write(&repo, text).expect("it is ours");
    dnf_conf(&ground, "n", "gpgcheck=False\nrepo_gpgcheck=Off");
    ground.dnf("n", &["-y", "install", "one"]).good();
    assert_eq!(ground.rpm_says("n"), ["one-1"]);
}

#[test]
fn no_option_is_passed_over() {
    let ground = Ground::new();
    let post = Small { post: "echo x > /etc/post", ..small("post", "1", &[]) };
    ground.publish("a", &[small("one", "1", &[]), small("two", "1", &[]), small("two", "2", &[]), post]);
    ground.create("n", Some("a"));
    for (option, words) in [
        ("gpgchek=1", "unsupported option `gpgchek`"),
        ("a.gpgchek=1", "unsupported option `gpgchek`"),
        ("nosuchrepo.enabled=0", "no repository matches `nosuchrepo`"),
        ("a.enabled=maybe", "invalid value `enabled=maybe`"),
        ("protected_packages=one", "unsupported option `protected_packages`"),
        ("a.sslverify=0", "unsupported option `sslverify`"),
        ("tsflags=justdb", "invalid value `tsflags=justdb`"),
        ("generations_keep=few", "invalid value `generations_keep=few`"),
    ] {
        let said = ground.dnf("n", &["-y", &format!("--setopt={option}"), "install", "one"]);
        assert!(said.code == 1 && said.err.contains(words), "{option}: {} {}", said.code, said.err);
        assert!(said.err.contains(&format!("--setopt={option}: ")), "{option}: {}", said.err);
    }
    for id in ["../../../evil", "a/b", ".."] {
        let from = format!("{id},{}", ground.repo("a").display());
        let said = ground.dnf("n", &["--repofrompath", &from, "makecache"]);
        assert!(said.code == 1 && said.err.contains("is no id"), "{id}: {} {}", said.code, said.err);
    }
    dnf_conf(&ground, "n", "installonly_limit=3\nkeepcache=0");
    let said = ground.dnf("n", &["-y", "--assumeno", "install", "one"]).good();
    assert!(
        said.err.contains("dnf.conf:2: unsupported option `installonly_limit` is not in force"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("keepcache"), "{}", said.err);
    // An allow-list lets nothing else through, wherever it stands.
    for (conf, option) in [
        ("includepkgs=one", "best=0"),
        ("", "includepkgs=one"),
        ("", "a.includepkgs=one"),
        ("", "*.includepkgs=one.noarch"),
        ("", "excludepkgs=two"),
        ("", "a.excludepkgs=two.noarch x"),
        ("", "excludepkgs=two-0:1-1.noarch,two-2"),
        ("", "excludepkgs=two-[12]*"),
    ] {
        dnf_conf(&ground, "n", conf);
        let option = format!("--setopt={option}");
        let said = ground.dnf("n", &["-y", "--assumeno", &option, "install", "two"]);
        assert!(said.code == 1 && ground.rpm_says("n").is_empty(), "{conf} {option}: {}", said.err);
        let said = ground.dnf("n", &["-y", "--assumeno", &option, "install", "one"]);
        assert_eq!(said.code, 0, "{conf} {option}: {}", said.err);
    }
    dnf_conf(&ground, "n", "tsflags=noscripts");
    ground.dnf("n", &["-y", "install", "post"]).good();
    assert!(!ground.node("n").join("etc/post").exists(), "noscripts of dnf.conf");
}

/// The core OS of a node that programs run in.
fn core_view(ground: &Ground) {
    ground.pool.write("prefix/etc/redpak/main.yaml", ground.core_os());
}

fn wrap(ground: &Ground, node: &str, args: &[&str]) -> Said {
    run(&mut ground.wrap(node, args))
}

/// Something that runs in a node, and is ended.
struct Runs(Child);

impl Drop for Runs {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const BTRFS: &str = "mkfs.btrfs -q -f";
const EXT4: &str = "mke2fs -q -F -t ext4 -m 0";

fn versions(ground: &Ground, repo: &str, version: &str) {
    ground.publish(repo, &[small("app", version, &[("/usr/share/app/version", version)])]);
}

/// Something runs in a node while the node is updated and no generation is to be kept.
fn keeps_running(ground: &Ground, node: &str, repo: &str) {
    versions(ground, repo, "1");
    let above = ground.node(node);
    fs::create_dir_all(above.parent().expect("a pool")).expect("there is room");
    ground.create(node, Some(repo));
    ground.dnf(node, &["-y", "install", "app"]).good();
    let name = Path::new(node).file_name().expect("a node has a name").to_string_lossy().into_owned();
    let file = format!("/nodes/{name}/usr/share/app/version");
    let script = format!("cat '{file}'; echo; read x; cat '{file}'; echo");
    let mut command = ground.wrap(node, &["sh", "-c", &script]);
    let mut runs = Runs(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut input = runs.0.stdin.take().expect("it is piped");
    let mut output = BufReader::new(runs.0.stdout.take().expect("it is piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it speaks");
    assert_eq!(line, "1\n", "{node}");
    for version in ["2", "3", "4"] {
        versions(ground, repo, version);
        ground.dnf(node, &["-y", "--refresh", "--setopt=generations_keep=1", "update"]).good();
    }
    let list = ground.dnf(node, &["generations"]).good().out;
    assert!(list.lines().any(|line| line.starts_with("1 ") && line.contains("in use")), "{node}: {list}");
    assert!(!list.lines().any(|line| line.starts_with("2 ")), "{node}: {list}");
    input.write_all(b"\n").expect("it listens");
    line.clear();
    output.read_line(&mut line).expect("it speaks");
    assert_eq!(line, "1\n", "{node}: what runs sees its own generation");
}

#[test]
fn what_runs_keeps_its_generation_wherever_the_pool_is() {
    let ground = Ground::new();
    core_view(&ground);
    keeps_running(&ground, "with blank/n", "blank");
    keeps_running(&ground, "back\\slash #1/n", "odd");
    let point = ground.pool.mkdir("nodes/bound");
    let bound = Bound::mount(&ground.pool.mkdir("elsewhere"), &point);
    keeps_running(&ground, "bound/b", "bound");
    drop(bound);
    let image = ground.pool.join("btrfs.img");
    Disk::make(&image, BTRFS, 300);
    let top = Disk::mount(&image, &ground.node("btrfs"), "noatime");
    run(Command::new("btrfs").args(["subvolume", "create"]).arg(top.at.join("sub"))).good();
    keeps_running(&ground, "btrfs/sub/inner", "inner");
    let source =
        run(Command::new("findmnt").args(["-n", "-o", "SOURCE", "--mountpoint"]).arg(&top.at)).good().out;
    let point = ground.pool.mkdir("nodes/sub volume");
    run(Command::new("mount").args(["-o", "subvol=sub", source.trim()]).arg(&point)).good();
    let sub = Disk::mounted(point);
    keeps_running(&ground, "sub volume/outer", "outer");
    drop(sub);
    drop(top);
}

#[test]
fn a_generation_that_another_user_has_mounted_is_kept() {
    let ground = Ground::new().for_user();
    versions(&ground, "a", "1");
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "app"]).good();
    let point = ground.pool.mkdir("point");
    let usr = ground.node("n").join(".red/gen/1/usr");
    let script = format!("mount --bind '{}' '{}' && echo there && read x", usr.display(), point.display());
    let mut runs = Command::new("unshare");
    runs.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut runs = Runs(runs.spawn().expect("it starts"));
    let mut line = String::new();
    BufReader::new(runs.0.stdout.take().expect("it is piped")).read_line(&mut line).expect("it speaks");
    assert_eq!(line, "there\n");
    for version in ["2", "3"] {
        versions(&ground, "a", version);
        ground.dnf("n", &["-y", "--refresh", "--setopt=generations_keep=1", "update"]).good();
    }
    let list = ground.dnf("n", &["generations"]).good().out;
    assert!(list.lines().any(|line| line.starts_with("1 ") && line.contains("in use")), "{list}");
    assert!(!list.lines().any(|line| line.starts_with("2 ")), "{list}");
    drop(runs);
    ground.dnf("n", &["--setopt=generations_keep=1", "generations", "collect"]).good();
    assert!(!usr.exists());
}

#[test]
fn a_damaged_record_forgets_nothing() {
    let ground = Ground::new();
    versions(&ground, "a", "1");
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "app"]).good();
    let record = ground.node("n").join(".red/gen/1/.generation.json");
    let whole = fs::read(&record).expect("it is there");
    for damaged in [&whole[..0], &whole[..whole.len() / 2], b"[]"] {
        fs::write(&record, damaged).expect("it is ours");
        let said = ground.dnf("n", &["-y", "autoremove"]);
        assert!(said.code == 1 && said.err.contains("not a valid record of generation 1"), "{}", said.err);
        assert_eq!(ground.rpm_says("n"), ["app-1"]);
    }
    fs::write(&record, whole).expect("it is ours");
    ground.dnf("n", &["-y", "autoremove"]).good();
    assert_eq!(ground.rpm_says("n"), ["app-1"]);
}

/// What a disk holds at this moment, without what the kernel would still write: the power is cut.
/// Every image has a name of its own: mount(8) would use a loop device again that is about to go.
fn cut(image: &Path, at: &Path) -> Disk {
    let after = image.with_extension("after");
    run(Command::new("cp").args(["--sparse=always"]).arg(image).arg(&after)).good();
    run(Command::new("umount").arg(at)).good();
    Disk::mount(&after, at, "noatime")
}

#[test]
fn what_succeeded_is_on_disk() {
    type Step<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str);
    let steps: [Step<'_>; 6] = [
        ("first", &[], &["-y", "install", "app-1"], "1"),
        ("update", &["install app-1"], &["-y", "update"], "2"),
        ("remove", &["install app-1"], &["-y", "remove", "app"], ""),
        ("rollback", &["install app-1", "update"], &["-y", "rollback"], "1"),
        ("descend", &["install app-1"], &["-y", "--with-descendants", "update"], "2"),
        ("add", &[], &["manager", "--add-repo", "http://127.0.0.1:1/x", "--id", "added"], ""),
    ];
    for make in [BTRFS, EXT4] {
        let ground = Ground::new();
        for version in ["1", "2"] {
            let needs = format!("app = {version}");
            let files =
                [("/usr/share/app/version", version), ("/opt/app/x", "x"), ("/var/lib/app/v", version)];
            let app = small("app", version, &files);
            ground.publish("a", &[app, Small { requires: &[&needs], ..small("child", version, &[]) }]);
        }
        for (name, before, step, wanted) in steps {
            let what = format!("{name} on {make}");
            let image = ground.pool.join(format!("{name}.img"));
            Disk::make(&image, make, 300);
            let at = ground.node("disk");
            let disk = Disk::mount(&image, &at, "noatime,commit=300");
            ground.create("disk/n", Some("a"));
            for one in before {
                ground
                    .dnf("disk/n", &[&["-y"], one.split(' ').collect::<Vec<_>>().as_slice()].concat())
                    .good();
            }
            if name == "descend" {
                ground.create("disk/n/c", Some("a"));
                ground.dnf("disk/n/c", &["-y", "install", "child-1"]).good();
            }
            run(Command::new("sync").arg("-f").arg(&at)).good();
            ground.dnf("disk/n", step).good();
            let after = cut(&image, &at);
            let node = ground.node("disk/n");
            if name == "add" {
                assert!(node.join("etc/yum.repos.d/added.repo").is_file(), "{what}");
            } else {
                let says: Vec<String> =
                    Some(format!("app-{wanted}")).filter(|_| !wanted.is_empty()).into_iter().collect();
                assert_eq!(ground.rpm_says("disk/n"), says, "{what}");
                for file in ["usr/share/app/version", "var/lib/app/v"] {
                    let text = fs::read_to_string(node.join(file)).unwrap_or_default();
                    assert!(
                        text == wanted || ["rollback", "remove"].contains(&name) && file.starts_with("var"),
                        "{what}: {file}: {text}"
                    );
                }
                let history = ground.dnf("disk/n", &["--json", "history"]).good().json();
                assert_eq!(history.as_array().map(Vec::len), Some(before.len() + 1), "{what}: {history}");
            }
            if name == "descend" {
                assert_eq!(ground.rpm_says("disk/n/c"), ["child-2"], "{what}");
            }
            // Data in `var` do not go back.
            let check = if name == "rollback" { &["check"][..] } else { &["check", "--files"] };
            let said = ground.dnf("disk/n", check);
            assert_eq!(said.code, 0, "{what}: {}", said.out);
            ground.dnf("disk/n", &["-y", "--disablerepo=*", "autoremove"]).good();
            drop((after, disk));
            drop(fs::remove_file(image.with_extension("after")));
            drop(fs::remove_file(&image));
        }
    }
}

#[test]
fn a_first_transaction_that_fails_leaves_a_node_that_starts() {
    let ground = Ground::new();
    core_view(&ground);
    let repo = ground.repo("a");
    let mut builder = small("badpre", "1", &[("/usr/share/badpre/x", "x")]).builder();
    builder.pre_install_script("exit 1");
    ground.maker.built(&repo, "badpre-1-1.noarch.rpm", &mut builder);
    versions(&ground, "a", "1");
    let starts = |node: &str, what: &str| {
        let said = wrap(&ground, node, &["true"]);
        assert_eq!(said.code, 0, "{what}: {}", said.err);
    };
    ground.create("n", Some("a"));
    let said = ground.dnf("n", &["-y", "install", "badpre"]);
    assert!(said.code == 1 && ground.rpm_says("n").is_empty(), "{}", said.err);
    starts("n", "after a failure");
    ground.create("unsigned", Some("a"));
    assert_eq!(ground.dnf("unsigned", &["-y", "--setopt=gpgcheck=1", "install", "app"]).code, 1);
    starts("unsigned", "after a refusal");
    // What an older red-dnf left there.
    fs::remove_dir_all(ground.node("unsigned").join(".red/gen/0/var")).expect("it is there");
    let said = ground.dnf("unsigned", &["check"]);
    assert!(said.code == 1 && said.out.contains("var/lib/rpm is missing or leads nowhere"), "{}", said.out);
    ground.dnf("unsigned", &["-y", "autoremove"]).good();
    ground.dnf("unsigned", &["check"]).good();
    starts("unsigned", "after the next command");
    // Back before the first transaction, and forth again.
    ground.create("back", Some("a"));
    ground.dnf("back", &["-y", "install", "app"]).good();
    ground.dnf("back", &["-y", "rollback", "0"]).good();
    starts("back", "generation 0");
    ground.dnf("back", &["-y", "rollback", "1"]).good();
    assert_eq!(wrap(&ground, "back", &["cat", "/nodes/back/usr/share/app/version"]).good().out, "1");
    ground.dnf("back", &["check", "--files"]).good();
    // Files of nobody are not hidden, and packages are not lost behind them.
    ground.dnf("back", &["-y", "rollback", "0"]).good();
    ground.pool.write("nodes/back/usr/share/mine", "mine");
    let said = ground.dnf("back", &["-y", "rollback", "1"]);
    assert!(said.code == 1 && said.err.contains("nodes/back/usr: files of no generation"), "{}", said.err);
    starts("back", "after a refused rollback");
    assert_eq!(fs::read_link(ground.node("back").join(".red/current")).expect("a link"), Path::new("gen/0"));
}

/// A family whose switch was cut short: the parent's list is durable, nobody has switched.
fn interrupted(ground: &Ground) {
    for version in ["1", "2"] {
        let needs = format!("app = {version}");
        ground.publish(
            "a",
            &[small("app", version, &[]), Small { requires: &[&needs], ..small("child", version, &[]) }],
        );
    }
    drop(fs::remove_dir_all(ground.node("plat")));
    ground.create("plat", Some("a"));
    ground.create("plat/mid", Some("a"));
    ground.dnf("plat", &["-y", "install", "app-1"]).good();
    ground.dnf("plat/mid", &["-y", "install", "child-1"]).good();
    ground.dnf("plat", &["-y", "--with-descendants", "update"]).good();
    let mut nodes = Vec::new();
    for node in ["plat", "plat/mid"] {
        let red = ground.node(node).join(".red");
        fs::remove_file(red.join("current")).expect("it is there");
        symlink("gen/1", red.join("current")).expect("there is room");
        fs::remove_file(red.join("history/2.json")).expect("it is there");
        nodes.push(format!("[\"{}\", 2]", ground.node(node).display()));
    }
    let text = format!("{{\"nodes\": [{}]}}", nodes.join(", "));
    ground.pool.write("nodes/plat/.red/pending.json", text);
}

#[test]
fn an_interrupted_switch_never_bricks_a_family() {
    let ground = Ground::new();
    let works = |node: &str| {
        let said = ground.dnf(node, &["-y", "-C", "autoremove"]).good();
        assert!(!ground.node("plat/.red/pending.json").exists(), "{}", said.err);
        ground.dnf(node, &["check"]).good();
        said
    };
    interrupted(&ground);
    let said = ground.dnf("plat", &["check"]);
    assert!(said.code == 1 && said.out.contains("plat: interrupted: "), "{}", said.out);
    works("plat");
    assert_eq!(
        (ground.rpm_says("plat"), ground.rpm_says("plat/mid")),
        (vec!["app-2".into()], vec!["child-2".into()])
    );
    interrupted(&ground);
    fs::remove_dir_all(ground.node("plat/mid")).expect("it is there");
    works("plat");
    assert_eq!(ground.rpm_says("plat"), ["app-2"]);
    ground.dnf("plat", &["-y", "rollback"]).good();
    // A command on the child completes it, and throws nothing of it away.
    for command in [&["generations", "collect"][..], &["-y", "-C", "autoremove"], &["-y", "rollback", "2"]] {
        interrupted(&ground);
        ground.dnf("plat/mid", command);
        assert!(ground.node("plat/mid/.red/gen/2").is_dir(), "{command:?}");
        works("plat/mid");
        works("plat");
        assert_eq!(ground.rpm_says("plat"), ["app-2"], "{command:?}");
    }
    // One that cannot follow any more is named.
    interrupted(&ground);
    fs::remove_dir_all(ground.node("plat/mid/.red/gen/2")).expect("it is there");
    let said = ground.dnf("plat", &["-y", "-C", "autoremove"]);
    assert!(
        said.code == 0 && said.err.contains("plat/mid cannot be completed"),
        "{} {}",
        said.code,
        said.err
    );
    assert!(!ground.node("plat/.red/pending.json").exists());
    // The pool has moved.
    interrupted(&ground);
    fs::rename(ground.node("plat"), ground.node("moved")).expect("it is ours");
    for node in ["moved", "moved/mid"] {
        ground.dnf(node, &["manager", "--update"]).good();
    }
    ground.dnf("moved", &["-y", "-C", "autoremove"]).good();
    assert_eq!(
        (ground.rpm_says("moved"), ground.rpm_says("moved/mid")),
        (vec!["app-2".into()], vec!["child-2".into()])
    );
}

#[test]
fn a_rollback_that_was_killed_goes_no_farther() {
    let ground = Ground::new();
    versions(&ground, "a", "0");
    ground.create("n", Some("a"));
    for version in ["1", "2", "3"] {
        versions(&ground, "a", version);
        ground
            .dnf("n", &["-y", "--refresh", if version == "1" { "install" } else { "update" }, "app"])
            .good();
    }
    let red = ground.node("n").join(".red");
    // Killed between the switch and the record.
    ground.dnf("n", &["-y", "rollback"]).good();
    let record = red.join("history/4.json");
    assert!(!red.join("rollback.json").exists());
    fs::rename(&record, red.join("rollback.json")).expect("it is there");
    let said = ground.dnf("n", &["-y", "rollback"]).good();
    assert!(said.err.contains("the interrupted rollback is complete"), "{}", said.err);
    assert_eq!(ground.rpm_says("n"), ["app-2"]);
    assert!(!red.join("rollback.json").exists());
    let text = fs::read_to_string(&record).expect("it is recorded");
    assert!(text.contains("\"rollback\""), "with its command line: {text}");
    // Nobody has interrupted anything since: it leads to what was current before.
    ground.dnf("n", &["-y", "rollback"]).good();
    assert_eq!(ground.rpm_says("n"), ["app-3"]);
    // Killed before the switch: it is done now.
    fs::write(red.join("rollback.json"), &text).expect("it is ours");
    ground.dnf("n", &["-y", "rollback"]).good();
    assert_eq!(ground.rpm_says("n"), ["app-2"]);
}

#[test]
fn a_full_disk_is_helped_by_collecting() {
    let ground = Ground::new();
    let image = ground.pool.join("disk.img");
    Disk::make(&image, EXT4, 48);
    let disk = Disk::mount(&image, &ground.node("disk"), "noatime");
    versions(&ground, "a", "0");
    ground.create("disk/n", Some("a"));
    for version in ["1", "2", "3"] {
        let big = version.repeat(2 << 20);
        ground.publish("a", &[small("app", version, &[("/usr/share/app/version", &big)])]);
        ground
            .dnf("disk/n", &["-y", "--refresh", if version == "1" { "install" } else { "update" }, "app"])
            .good();
    }
    // What a sweep would free must not be what helps.
    for swept in ["stage", "trash"] {
        drop(fs::remove_dir(ground.node("disk/n/.red").join(swept)));
    }
    // What is written gives back some of what was set aside for it, so it is filled several times.
    for round in 0..4 {
        let filler = disk.at.join(format!("filler{round}"));
        run(Command::new("dd")
            .args(["if=/dev/zero", "bs=4k", "status=none"])
            .arg(format!("of={}", filler.display())));
        run(Command::new("sync").arg("-f").arg(&disk.at)).good();
        let full = (0..20_000).any(|at| fs::create_dir(disk.at.join(format!("d{round}-{at}"))).is_err());
        assert!(full, "directories have no room either");
        run(Command::new("sync").arg("-f").arg(&disk.at)).good();
    }
    let said = ground.dnf("disk/n", &["--setopt=generations_keep=1", "generations", "collect"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!ground.node("disk/n/.red/gen/1").exists(), "{}", said.err);
    fs::create_dir(disk.at.join("room")).expect("there is room again");
    assert_eq!(ground.rpm_says("disk/n"), ["app-3"]);
    drop(disk);
}

#[test]
fn directories_keep_their_attributes() {
    let ground = Ground::new();
    ground.publish(
        "a",
        &[small("app", "1", &[("/usr/lib/app/f", "1")]), small("other", "1", &[("/opt/o", "1")])],
    );
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "app"]).good();
    // user::rwx user:1:rwx group::r-x mask::rwx other::r-x (acl(5)).
    let python = "import os,struct,sys\n\
        acl=struct.pack('<I',2)+b''.join(struct.pack('<HHI',*e) for e in [(1,7,0xffffffff),(2,7,1),(4,5,0xffffffff),(16,7,0xffffffff),(32,5,0xffffffff)])\n\
        for d in sys.argv[2:]:\n \
         v={'trusted.red-test':b'kept','system.posix_acl_access':acl}\n \
         for k in v:\n  \
          if sys.argv[1]=='set': os.setxattr(d,k,v[k])\n  \
          elif os.getxattr(d,k)!=v[k]: sys.exit(d+': '+k)\n";
    let attributes = |verb: &str| {
        let dirs = ["usr/", "usr/lib", "usr/lib/app"].map(|dir| ground.node("n").join(dir));
        run(Command::new("python3").args(["-c", python, verb]).args(dirs)).good();
    };
    attributes("set");
    fs::set_permissions(ground.node("n").join("usr/lib"), fs::Permissions::from_mode(0o1775))
        .expect("it is ours");
    attributes("get");
    ground.dnf("n", &["-y", "install", "other"]).good();
    assert_eq!(ground.rpm_says("n"), ["app-1", "other-1"]);
    attributes("get");
    let mode = fs::metadata(ground.node("n").join("usr/lib")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o1775);
}
