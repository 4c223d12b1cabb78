//! What leaves with a package, what scriptlets make that no generation keeps, and what is said of mistakes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::run;
use red_tests::packages::Small;
use red_tests::places::private_root;
use red_tests::store::Ground;
use rustix::mount::{MountFlags, mount};

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// A package with data of its own, and a later version without some of them.
fn data(ground: &Ground) {
    let made = "%install\nmkdir -p %{buildroot}/var/lib/data/sub %{buildroot}/var/log %{buildroot}/var/lib/turned\n\
                cd %{buildroot}/var/lib/data\necho f > f\necho g > sub/g\necho t > ../turned/t\n\
                echo l > %{buildroot}/var/log/data.log\n";
    let files = "%files\n%defattr(-,root,root)\n/var/lib/data\n/var/log/data.log\n/var/lib/turned\n";
    ground.build("data", "1", &format!("{made}{files}"));
    let made = "%pretrans -p <lua>\nos.remove('/var/lib/turned/t')\nos.remove('/var/lib/turned')\n\
                %pre\nrm -rf /var/lib/data/sub && mkdir /var/lib/data/sub && echo made > /var/lib/data/sub/made\n\
                %install\nmkdir -p %{buildroot}/var/lib/data\ncd %{buildroot}/var/lib\necho 2 > data/f\necho 2 > turned\n\
                %files\n%defattr(-,root,root)\n%attr(0711,root,root) %dir /var/lib/data\n/var/lib/data/f\n/var/lib/turned\n";
    ground.build("data", "2", made);
    ground.build("wiper", "1", "%preun\nrm -rf /var/lib/wiped\n%files\n");
}

fn data_leave(ground: &Ground) {
    data(ground);
    let node = ground.with_repository("node");
    let lib = node.join("var/lib");
    ground.dnf("node", &["-y", "install", "data-1"]).good();
    assert_eq!(text(lib.join("data/sub/g")).as_deref(), Some("g\n"));
    fs::write(lib.join("data/of-a-container"), "c").expect("there is room");
    ground.dnf("node", &["-y", "update", "data"]).good();
    assert_eq!(text(lib.join("data/f")).as_deref(), Some("2\n"));
    assert_eq!(text(lib.join("data/of-a-container")).as_deref(), Some("c"), "data are nobody's to remove");
    assert!(!lib.join("data/sub/g").exists() && lib.join("data/sub/made").exists(), "it was made anew");
    assert!(!node.join("var/log/data.log").exists(), "the new version has no such file");
    let mode = fs::metadata(lib.join("data")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o711, "the new version closed it");
    assert_eq!(text(lib.join("turned")).as_deref(), Some("2\n"), "a directory became a file");
    let said = ground.dnf("node", &["-y", "remove", "data"]).good();
    assert!(!lib.join("data/f").exists() && lib.join("data/of-a-container").exists(), "{}", said.err);
    assert!(!lib.join("turned").exists());
    fs::remove_file(lib.join("data/of-a-container")).expect("it is there");
    // With nothing of others in it the directory goes, too.
    fs::remove_dir_all(lib.join("data")).expect("it is there");
    ground.dnf("node", &["-y", "install", "data-1"]).good();
    ground.dnf("node", &["-y", "remove", "data"]).good();
    assert!(
        !lib.join("data").exists() && !lib.join("turned").exists() && !node.join("var/log/data.log").exists()
    );
    assert!(lib.join("rpm").exists());
}

#[test]
fn data_of_a_package_leave_with_it() {
    data_leave(&Ground::new());
}

#[test]
fn data_of_a_users_package_leave_with_it() {
    data_leave(&Ground::new().for_user());
}

/// The staging area of an ordinary user has that user's group, which is no wish of a package.
#[test]
fn groups_of_a_users_data_stay() {
    let mut ground = Ground::new();
    ground.build("writer", "1", "%post\necho x > /var/lib/shared/f\n%files\n");
    ground.publish("main", &[]);
    ground = ground.for_user();
    ground.create("node", Some("main"));
    let shared = ground.node("node").join("var/lib/shared");
    fs::create_dir_all(&shared).expect("there is room");
    let uid = ground.user.as_ref().map(|user| user.uid);
    for dir in [shared.as_path(), &ground.node("node/var/lib"), &ground.node("node/var")] {
        std::os::unix::fs::chown(dir, uid, Some(4242)).expect("root may");
    }
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).expect("root may");
    ground.dnf("node", &["-y", "install", "writer"]).good();
    let facts = fs::metadata(&shared).expect("it is there");
    assert_eq!((facts.gid(), facts.permissions().mode() & 0o7777), (4242, 0o2775));
    assert_eq!(text(shared.join("f")).as_deref(), Some("x\n"));
}

/// A scriptlet that removes a directory removes what it sees: not what is mounted there, nor another node's files.
#[test]
fn what_a_scriptlet_does_not_see_it_does_not_remove() {
    let ground = Ground::new();
    data(&ground);
    let node = ground.with_repository("node");
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            private_root(&ground, false);
            let wiped = node.join("var/lib/wiped");
            let point = wiped.join("a/mounted");
            fs::create_dir_all(&point).expect("there is room");
            fs::write(wiped.join("a/seen"), "s").expect("there is room");
            mount("red-test", &point, "tmpfs", MountFlags::empty(), None).expect("root may");
            fs::write(point.join("precious"), "p").expect("there is room");
            ground.dnf("node", &["-y", "install", "wiper"]).good();
            ground.dnf("node", &["-y", "remove", "wiper"]).good();
            assert!(!wiped.join("a/seen").exists());
            assert_eq!(text(point.join("precious")).as_deref(), Some("p"));
        });
        inside.join().expect("it holds");
    });
}

/// Parts of `/var` may be file systems of their own, or mount points: what cannot be put there stands in the way
/// of no later command.
#[test]
fn data_come_to_other_file_systems_and_block_nothing() {
    let ground = Ground::new();
    let post = "%install\nmkdir -p %{buildroot}/var/log/spread/sub\ncd %{buildroot}/var/log\necho l > spread.log\n\
                echo s > spread/sub/s\nln -s s spread/sub/link\n\
                %post\nrm -rf /var/lib/deep && mkdir -p /var/lib/deep/a && echo h > /var/lib/deep/a/held\n\
                %files\n/var/log/spread.log\n%attr(0750,root,root) /var/log/spread\n";
    ground.build("spread", "1", post);
    let node = ground.with_repository("node");
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            private_root(&ground, false);
            let (log, held) = (node.join("var/log"), node.join("var/lib/deep/a/held"));
            for dir in [&log, &node.join("var/lib/deep/a")] {
                fs::create_dir_all(dir).expect("there is room");
            }
            mount("red-test", &log, "tmpfs", MountFlags::empty(), None).expect("root may");
            fs::write(&held, "old").expect("there is room");
            rustix::mount::mount_bind(&held, &held).expect("root may");
            let said = ground.dnf("node", &["-y", "install", "spread"]).good();
            assert_eq!(text(log.join("spread.log")).as_deref(), Some("l\n"), "{}", said.err);
            assert_eq!(text(log.join("spread/sub/link")).as_deref(), Some("s\n"));
            let mode = fs::metadata(log.join("spread")).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o7777, 0o750);
            let kept = node.join(".red/kept/1");
            assert!(said.err.contains(&format!("is kept in {}", kept.display())), "{}", said.err);
            assert_eq!(text(kept.join("lib/deep/a/held")).as_deref(), Some("h\n"));
            let said = ground.dnf("node", &["-y", "red-rollback", "0"]).good();
            assert!(!said.err.contains("kept"), "{}", said.err);
            ground.dnf("node", &["-y", "install", "spread"]).good();
            ground.dnf("node", &["-y", "remove", "spread"]).good();
            assert!(!log.join("spread.log").exists() && !log.join("spread").exists());
        });
        inside.join().expect("it holds");
    });
}

/// Keys that count are in a record which nodes of other users read, whatever root's umask was.
#[test]
fn nodes_of_others_read_records_whatever_the_umask() {
    let mut ground = Ground::new();
    for name in ["one", "two"] {
        ground.build(name, "1", "%files\n");
    }
    ground.publish("main", &[]);
    ground = ground.for_user();
    let user = ground.user.take().expect("it was made");
    ground.create("parent", Some("main"));
    let parent = ground.node("parent");
    let mut tool = ground.tool("red-dnf");
    tool.arg(format!("--redpath={}", parent.display())).args(["-y", "install", "one"]);
    let mut closed = Command::new("bash");
    closed.args(["-c", "umask 027; exec \"$@\"", "bash"]).arg(tool.get_program()).args(tool.get_args());
    closed.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut closed).good();
    ground.create("parent/child", Some("main"));
    let id = format!("{0}:{0}", user.uid);
    run(Command::new("chown").arg("-R").arg(id).arg(parent.join("child"))).good();
    ground.user = Some(user);
    ground.dnf("parent/child", &["-y", "install", "two"]).good();
    let current = fs::canonicalize(parent.join(".red/current")).expect("it is there");
    let record = current.join(".generation.json");
    fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).expect("root may");
    let said = ground.dnf("parent/child", &["-y", "remove", "two"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains(".generation.json: Permission denied: it says whose"), "{}", said.err);
}

/// Where `/etc` is split at a mount, names are gone without a mark of overlayfs.
#[test]
fn what_is_removed_from_a_split_directory_stays_so() {
    let ground = Ground::new();
    let odd = "%install\nmkdir -p %{buildroot}/etc/odd.d\ncd %{buildroot}/etc\necho 1 > odd.conf\necho 1 > odd-two.conf\n\
               echo 1 > odd.d/one\n\
               %files\n/etc/odd.conf\n/etc/odd-two.conf\n/etc/odd.d\n";
    ground.build("odd", "1", odd);
    ground.build("eraser", "1", "%post\nrm -f /etc/odd.conf /etc/$(printf 'of-no\\377text')\n%files\n");
    ground.build("other", "1", "%files\n");
    ground.publish("main", &[]);
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            private_root(&ground, true);
            fs::create_dir_all("/etc/red-mounted").expect("there is room");
            mount("red-test", "/etc/red-mounted", "tmpfs", MountFlags::empty(), None).expect("root may");
            let name = "/home/node";
            ground.create(name, Some("main"));
            let etc = Path::new(name).join("etc");
            let no_text = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"of-no\xfftext");
            fs::write(etc.join(no_text), "x").expect("there is room");
            let directory =
                etc.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"dir\xff"));
            fs::create_dir(&directory).expect("there is room");
            fs::write(directory.join("f"), "x").expect("there is room");
            set_label(&directory);
            ground.dnf(name, &["-y", "install", "odd"]).good();
            assert!(directory.join("f").exists() && etc.join(no_text).exists());
            assert_eq!(label(&directory), b"mine", "an access control list or a label stays");
            ground.dnf(name, &["-y", "install", "eraser"]).good();
            assert!(!etc.join("odd.conf").exists(), "a scriptlet removed a file that a package owns");
            assert!(!etc.join(no_text).exists(), "a name that is no text");
            ground.dnf(name, &["-y", "install", "other"]).good();
            assert!(!etc.join("odd.conf").exists() && etc.join("odd-two.conf").exists());
            ground.dnf(name, &["-y", "remove", "odd"]).good();
            ground.dnf(name, &["-y", "remove", "other"]).good();
            assert!(!etc.join("odd-two.conf").exists() && !etc.join("odd.d").exists());
            assert_eq!(label(&directory), b"mine");
        });
        inside.join().expect("it holds");
    });
}

fn set_label(dir: &Path) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(dir, "trusted.label", b"mine", flags).expect("root may");
}

fn label(dir: &Path) -> Vec<u8> {
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(dir, "trusted.label", &mut value[..]).unwrap_or(0);
    value[..length].to_vec()
}

/// rpm 4.18.0 waits for ever for somebody to read from a pipe that it unpacks.
#[test]
fn pipes_and_sockets_are_refused_before_anything_is_done() {
    let ground = Ground::new();
    let spec = |make: &str, files: &str| {
        format!(
            "%install\nmkdir -p %{{buildroot}}/usr/share/odd\ncd %{{buildroot}}/usr/share/odd\n{make}\n%files\n{files}\n"
        )
    };
    let socket = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'";
    ground.build("pipe", "1", &spec("mkfifo p", "/usr/share/odd"));
    ground.build("socket", "1", &spec(socket, "/usr/share/odd"));
    ground.build("ghost", "1", &spec("mkfifo p; echo t > t", "%ghost /usr/share/odd/p\n/usr/share/odd/t"));
    let node = ground.with_repository("node");
    for (name, path, what) in
        [("pipe", "/usr/share/odd/p", "named pipe"), ("socket", "/usr/share/odd/s", "socket")]
    {
        let said = ground.dnf("node", &["-y", "install", name]);
        assert_eq!(said.code, 1, "{}", said.err);
        for words in [&format!("{name}-1-1.noarch"), path, what, "nothing has changed"] {
            assert!(said.err.contains(words), "{words}: {}", said.err);
        }
        assert!(!said.err.contains(&format!("installing {name}")), "{}", said.err);
    }
    // rpm makes nothing of a ghost.
    ground.dnf("node", &["-y", "install", "ghost"]).good();
    assert!(node.join("usr/share/odd/t").exists() && !node.join("usr/share/odd/p").exists());
}

#[test]
fn what_a_scriptlet_makes_and_no_generation_keeps_is_told() {
    let ground = Ground::new();
    let post = "%post\nmkfifo /usr/share/made-pipe /var/lib/made-pipe /etc/made-pipe\n%files\n";
    ground.build("maker", "1", post);
    ground.build("other", "1", "%files\n");
    let node = ground.with_repository("node");
    let said = ground.dnf("node", &["-y", "install", "maker"]).good();
    for below in ["usr/share/made-pipe", "etc/made-pipe"] {
        assert!(said.err.contains(&format!("/{below}: a scriptlet made this pipe")), "{}", said.err);
        assert!(fs::symlink_metadata(node.join(below)).is_err(), "the first generation is as the next one");
    }
    assert!(fs::symlink_metadata(node.join("var/lib/made-pipe")).is_ok());
    ground.dnf("node", &["-y", "install", "other"]).good();
    assert!(fs::symlink_metadata(node.join("var/lib/made-pipe")).is_ok());
}

#[test]
fn repositories_are_found_with_blanks_in_their_names() {
    let ground = Ground::new();
    ground.build("one", "1", "%files\n");
    ground.publish("main", &[]);
    let copy = ground.pool.join("repos/with a blank");
    run(Command::new("cp").arg("-r").arg(ground.repo("main")).arg(&copy)).good();
    let served = red_tests::store::Served::start(&ground.pool.join("repos"));
    let shown = copy.display().to_string();
    for (name, url) in [
        ("dir", shown.clone()),
        ("file", format!("file://{shown}")),
        ("coded", format!("file://{}", shown.replace(' ', "%20"))),
        ("http", format!("{}/with a blank", served.url)),
        ("http-coded", format!("{}/with%20a%20blank", served.url)),
    ] {
        ground.create(name, None);
        ground.dnf(name, &["red-manager", "--add-repo", &url, "--id", "blank"]).good();
        ground.dnf(name, &["-y", "install", "one"]).good();
        assert_eq!(ground.rpm_says(name), ["one-1"], "{url}");
    }
    let given = format!("given,{shown}");
    ground.create("given", None);
    ground.dnf("given", &["-y", "--repofrompath", &given, "install", "one"]).good();
    let broken = ground.dnf("dir", &["red-manager", "--add-repo", "http://a/b\nc", "--id", "two"]);
    assert_eq!(broken.code, 1, "{}", broken.err);
}

#[test]
fn errors_say_what_to_do() {
    let ground = Ground::new();
    ground.build("one", "1", "%files\n");
    let node = ground.with_repository("node");
    let said = ground.dnf("nowhere", &["-y", "install", "one"]);
    assert!(said.code == 1 && said.err.contains("red-manager --create"), "{}", said.err);
    ground.pool.mkdir("nodes/plain");
    let said = ground.dnf("plain", &["red-list"]);
    assert!(said.code == 1 && said.err.contains("red-manager --create"), "{}", said.err);
    ground.dnf("node", &["red-manager", "--add-repo", "http://127.0.0.1:1/r", "--id", "dead"]).good();
    let said = ground.dnf("node", &["-y", "install", "one"]);
    assert!(said.code == 1 && said.err.contains("repository `dead`: http://127.0.0.1:1/r"), "{}", said.err);
    assert!(said.err.contains("--setopt=dead.enabled=0"), "{}", said.err);
    ground.dnf("node", &["-y", "--setopt=dead.enabled=0", "install", "one"]).good();
    // Another user's node.
    let ground = ground.for_user();
    let said = ground.dnf("node", &["-y", "--setopt=dead.enabled=0", "remove", "one"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let whose = format!("{}/.red/lock: Permission denied", node.display());
    assert!(said.err.contains(&whose) && said.err.contains("belongs to user 0; run this as"), "{}", said.err);
}

/// rpm says so of a database in which nothing is, too.
#[test]
fn a_node_without_packages_answers_as_rpm_does() {
    let ground = Ground::new();
    ground.build("one", "1", "%files\n");
    let node = ground.with_repository("node");
    let said = ground.rpm("node", &["-q", "nosuch"]);
    assert_eq!((said.code, said.out.as_str()), (1, "package nosuch is not installed\n"), "{}", said.err);
    let said = ground.rpm("node", &["-qa"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert!(!node.join("var/lib/rpm/rpmdb.sqlite").exists(), "a question makes nothing");
}

/// Two versions of a library, and of what needs exactly one of them.
fn pairs(ground: &Ground) {
    for version in ["1", "2"] {
        ground.build("lib", version, "%files\n");
    }
    let needs = |version: &str| {
        format!(
            "Name: user\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\nRequires: lib = {version}\n%description\nd\n%files\n"
        )
    };
    for version in ["1", "2"] {
        let spec = ground.pool.write(format!("packages/user-{version}.spec"), needs(version));
        let mut make = Command::new("rpmbuild");
        make.args(["-bb", "--quiet", "--define"])
            .arg(format!("_topdir {}/top", ground.maker.dir().display()));
        make.arg("--define").arg(format!("_rpmdir {}", ground.repo("main").display())).arg(spec);
        run(&mut make).good();
    }
}

/// Nodes below are looked at before their parent is written to.
#[test]
fn descendants_that_cannot_move_are_told_before_anything_is_done() {
    let ground = Ground::new();
    pairs(&ground);
    let parent = ground.with_repository("parent");
    ground.create("parent/child", Some("main"));
    ground.dnf("parent", &["-y", "install", "lib-1"]).good();
    ground.dnf("parent/child", &["-y", "install", "user-1"]).good();
    // It has nothing to do with all this.
    ground.create("parent/other", Some("main"));
    std::os::unix::fs::chown(parent.join("other"), Some(12345), Some(12345)).expect("root may");
    let child = parent.join("child");
    // Root does nothing in a node that another user could lead it out of.
    std::os::unix::fs::chown(&child, Some(12345), Some(12345)).expect("root may");
    let before = fs::read_dir(parent.join(".red/gen")).expect("it is there").count();
    let said = ground.dnf("parent", &["-y", "--with-descendants", "update", "lib"]);
    assert!(said.code == 1 && said.err.contains("belongs to user 12345"), "{}", said.err);
    assert!(!said.err.contains("installing lib"), "{}", said.err);
    assert_eq!(fs::read_dir(parent.join(".red/gen")).expect("it is there").count(), before);
    std::os::unix::fs::chown(&child, Some(0), Some(0)).expect("root may");
    ground.dnf("parent", &["-y", "--with-descendants", "update", "lib"]).good();
    assert_eq!(ground.rpm_says("parent"), ["lib-2"]);
    assert_eq!(ground.rpm_says("parent/child"), ["user-2"]);
}

/// A child of somebody else that has nothing to do with a change is in nobody's way.
#[test]
fn children_of_others_that_stay_as_they_are_are_not_asked() {
    let mut ground = Ground::new();
    pairs(&ground);
    ground.publish("main", &[]);
    ground = ground.for_user();
    ground.create("parent", Some("main"));
    ground.create("parent/child", Some("main"));
    ground.dnf("parent", &["-y", "install", "lib-1"]).good();
    ground.dnf("parent/child", &["-y", "install", "user-1"]).good();
    let user = ground.user.take();
    ground.create("parent/other", Some("main"));
    ground.user = user;
    ground.dnf("parent", &["-y", "--with-descendants", "update", "lib"]).good();
    assert_eq!(ground.rpm_says("parent"), ["lib-2"]);
    assert_eq!(ground.rpm_says("parent/child"), ["user-2"]);
    let user = ground.user.take();
    ground.dnf("parent/other", &["-y", "install", "user-2"]).good();
    ground.user = user;
    let said = ground.dnf("parent", &["-y", "--with-descendants", "downgrade", "lib-1"]);
    assert!(said.code == 1 && said.err.contains("belongs to user 0"), "{}", said.err);
    assert!(!said.err.contains("installing lib"), "{}", said.err);
}

/// A node with a package that a package of its child requires.
fn parent_and_child() -> Ground {
    let ground = Ground::new();
    pairs(&ground);
    ground.publish("main", &[]);
    ground.create("parent", Some("main"));
    ground.dnf("parent", &["-y", "install", "lib-1"]).good();
    ground.create("parent/child", Some("main"));
    ground.dnf("parent/child", &["-y", "install", "user-1"]).good();
    ground
}

/// Runs SQL on the database of a node, as its owner may. Returns where that is.
fn change_database(ground: &Ground, node: &str, sql: &str) -> PathBuf {
    let database = ground.node(node).join(".red/current/var/lib/rpm/rpmdb.sqlite");
    let code = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                db.executescript(sys.argv[2])\ndb.close()";
    run(Command::new("python3").args(["-c", code]).arg(&database).arg(sql)).good();
    database
}

/// Whoever owns a node may make anything of its database, and is not to keep those above from their updates.
#[test]
fn a_database_below_that_is_not_believed_is_in_nobodys_way() {
    let ground = parent_and_child();
    change_database(&ground, "parent/child", "CREATE VIEW evil AS SELECT 1;");
    let said = ground.dnf("parent/child", &["-y", "reinstall", "user"]);
    assert!(said.code == 1 && said.err.contains("evil"), "{}", said.err);
    for args in [&["-y", "update", "lib"][..], &["-y", "--with-descendants", "downgrade", "lib-1"]] {
        ground.dnf("parent", args).good();
    }
    assert_eq!(ground.rpm_says("parent"), ["lib-1"]);
}

/// What was looked at of a database is what is opened: rpm gets a copy, never a path that the node's owner could lead
/// elsewhere meanwhile.
#[test]
fn databases_of_nodes_are_not_opened_by_their_paths() {
    if Command::new("strace").arg("--version").output().is_err() {
        return red_tests::skip("strace is not installed");
    }
    let ground = parent_and_child();
    let trace = ground.pool.join("trace");
    for (tool, node, args) in [
        ("red-dnf", "parent", &["-y", "--with-descendants", "update", "lib"][..]),
        ("red-dnf", "parent/child", &["-y", "reinstall", "user"]),
        ("red-dnf", "parent/child", &["check", "--files"]),
        ("red-rpm", "parent/child", &["--family", "-qa"]),
        ("red-rpm", "parent/child", &["-V", "user"]),
    ] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-s", "4096", "-e", "trace=open,openat", "-o"]).arg(&trace).args(["bash", "-c"]);
        strace.arg(format!("exec -a {tool} \"$0\" \"$@\"")).arg(red_tests::call::built("red-dnf"));
        strace.arg("--redpath").arg(ground.node(node)).args(args);
        run(strace.env("NODE_PREFIX", ground.pool.join("prefix")).env("LANG", "C.UTF-8")).good();
        let text = fs::read_to_string(&trace).expect("it was made");
        let opened = |line: &&str| {
            let path = line.split('"').nth(1).unwrap_or_default();
            path.ends_with("rpmdb.sqlite")
                && Path::new(path).starts_with(ground.node(""))
                && !line.contains("ENOENT")
        };
        let opened: Vec<&str> = text.lines().filter(opened).collect();
        // What a transaction has made, and nobody else writes to.
        let strange: Vec<_> = opened.iter().filter(|line| !line.contains("/.red/stage/")).collect();
        assert!(text.contains("rpmdb.sqlite") && strange.is_empty(), "{tool} {args:?}: {strange:?}");
    }
}

/// Names of directories of commands that are there.
fn left_aside(dir: &Path) -> Vec<String> {
    let all = fs::read_dir(dir).expect("it is there").flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("red-database-")).collect()
}

/// A copy of a database goes where there is room for it, and nothing of it stays, those of commands that were killed
/// neither.
#[test]
fn databases_are_copied_where_there_is_room() {
    let ground = parent_and_child();
    // Four megabytes that were in use.
    let more = "INSERT INTO Packages VALUES (7777, zeroblob(4 << 20)); DELETE FROM Packages WHERE hnum = 7777; \
                UPDATE sqlite_sequence SET seq = 7;";
    let database =
        change_database(&ground, "parent/child", &format!("{more} PRAGMA wal_checkpoint(TRUNCATE);"));
    assert!(fs::metadata(&database).expect("it is there").len() > 4 << 20);
    let small = ground.pool.mkdir("small");
    let test = || {
        private_root(&ground, false);
        for (place, options) in [(small.as_path(), c"size=2m"), (Path::new("/var/tmp"), c"size=64m")] {
            mount("red-tests", place, "tmpfs", MountFlags::empty(), options).expect("root may");
        }
        fs::create_dir_all("/var/tmp/red-database-killed/upper").expect("there is room");
        fs::set_permissions("/var/tmp/red-database-killed", fs::Permissions::from_mode(0o700)).expect("ours");
        let mounted = Path::new("/var/tmp/red-database-mounted");
        fs::create_dir(mounted).expect("there is room");
        mount("red-tests", mounted, "tmpfs", MountFlags::empty(), c"size=64k,mode=700").expect("root may");
        fs::write(mounted.join("file"), "x").expect("there is room");
        for args in [&["-q", "user"][..], &["-V", "user"]] {
            let mut rpm = ground.tool("red-rpm");
            rpm.arg("--redpath").arg(ground.node("parent/child")).args(args).env("TMPDIR", &small);
            run(&mut rpm).good();
            assert_eq!(left_aside(&small), Vec::<String>::new(), "{args:?}");
            assert_eq!(left_aside(Path::new("/var/tmp")), ["red-database-mounted"], "{args:?}");
            assert!(mounted.join("file").exists(), "what is mounted is no command's");
        }
        // Nowhere.
        for place in ["/var/tmp", "/dev/shm"] {
            mount("red-tests", place, "tmpfs", MountFlags::empty(), c"size=1m").expect("root may");
        }
        let mut rpm = ground.tool("red-rpm");
        let said = run(rpm
            .arg("--redpath")
            .arg(ground.node("parent/child"))
            .args(["-q", "user"])
            .env("TMPDIR", &small));
        for words in ["parent/child", "cannot be copied", "/var/tmp: No space left", "set TMPDIR"] {
            assert!(said.code == 1 && said.err.contains(words), "{words}: {}", said.err);
        }
        // That a child cannot be looked at for want of room is no reason to leave it without what it needs.
        let mut dnf = ground.tool("red-dnf");
        dnf.arg("--redpath").arg(ground.node("parent")).args(["-y", "update", "lib"]).env("TMPDIR", &small);
        let said = run(&mut dnf);
        assert!(said.code == 1 && said.err.contains("cannot be copied"), "{}", said.err);
        assert_eq!(ground.rpm_says("parent"), ["lib-1"]);
    };
    std::thread::scope(|scope| scope.spawn(test).join().expect("it ends"));
}

/// What is cut off, or holes, is refused before memory is spent on it.
#[test]
fn databases_of_other_lengths_are_refused() {
    let ground = parent_and_child();
    let database = change_database(&ground, "parent/child", "PRAGMA wal_checkpoint(TRUNCATE);");
    let good = fs::metadata(&database).expect("it is there").len();
    for (length, words) in [(1 << 30, "holes"), (good + 7, "cut off"), (good - 7, "cut off")] {
        let file = fs::OpenOptions::new().write(true).open(&database).expect("it is ours");
        file.set_len(length).expect("there is room");
        let said = ground.rpm("parent/child", &["-q", "user"]);
        assert!(said.code == 1 && said.err.contains(words), "{length}: {}", said.err);
        file.set_len(good).expect("it is ours");
    }
}

/// A host may forbid files in memory that programs could be started from (`vm.memfd_noexec`).
#[test]
fn no_programs_in_memory_are_needed() {
    const SETTING: &str = "/proc/sys/vm/memfd_noexec";
    if !Path::new(SETTING).exists() {
        return red_tests::skip("the kernel is older than 6.3");
    }
    let ground = parent_and_child();
    let mut command = Command::new("unshare");
    // The setting is one of the PID namespace.
    command.args(["--fork", "--pid", "--mount-proc", "sh", "-c"]);
    command
        .arg(format!("echo 2 > {SETTING} && exec \"$@\""))
        .arg("sh")
        .arg(red_tests::call::built("red-dnf"));
    command.arg("--redpath").arg(ground.node("parent/child")).args(["-y", "reinstall", "user"]);
    run(command.env("NODE_PREFIX", ground.pool.join("prefix")).env("LANG", "C.UTF-8")).good();
}

/// A package file that others may write to is read once.
#[test]
fn package_files_of_others_are_copied() {
    let ground = Ground::new();
    ground.build(
        "lib",
        "1",
        "%install\nmkdir -p %{buildroot}/opt\necho x > %{buildroot}/opt/x\n%files\n/opt/x\n",
    );
    let file = run(Command::new("find").arg(ground.repo("main")).args(["-name", "lib-1-*.rpm"])).good().out;
    let file = ground.pool.join("main.rpm").parent().map(|dir| dir.join(file.trim())).expect("it is a file");
    std::os::unix::fs::chown(&file, Some(12_345), None).expect("root gives files away");
    ground.create("node", None);
    ground.dnf("node", &["-y", "install", file.to_str().expect("text")]).good();
    assert!(ground.node("node/opt/x").exists() && !ground.node("node/.red/stage").join("1.work").exists());
    ground.dnf("node", &["-y", "reinstall", file.to_str().expect("text")]).good();
}

/// Packages that rpm installed itself, as in nodes of red-pak, are nobody's to remove: nothing says that they are there for
/// others.
#[test]
fn what_no_transaction_brought_is_wanted() {
    let ground = Ground::new();
    let brought = [
        Small { name: "app", version: "1", requires: &["lib"], ..Small::default() },
        Small { name: "lib", version: "1", ..Small::default() },
        Small { name: "more", version: "1", requires: &["more-lib"], ..Small::default() },
        Small { name: "more-lib", version: "1", ..Small::default() },
    ];
    ground.publish("main", &brought);
    ground.publish("main", &[Small { name: "lib", version: "2", ..Small::default() }]);
    ground.create("n", Some("main"));
    let mut install = Command::new("rpm");
    install.arg("--root").arg(ground.node("n")).args(["--dbpath", "/var/lib/rpm", "-i"]);
    install.args(["app-1-1", "lib-1-1"].map(|name| ground.repo("main").join(format!("{name}.noarch.rpm"))));
    run(&mut install).good();
    let says = || ground.rpm_says("n");
    let nothing = || {
        let said = ground.dnf("n", &["-y", "autoremove"]).good();
        assert!(said.err.contains("nothing to do"), "{}", said.err);
    };
    nothing();
    ground.dnf("n", &["-y", "install", "more"]).good();
    nothing();
    assert_eq!(says(), ["app-1", "lib-1", "more-1", "more-lib-1"]);
    assert!(ground.dnf("n", &["why", "app"]).good().out.contains("no transaction of red-dnf brought it"));
    // A newer version is wanted as the one before was.
    ground.dnf("n", &["-y", "update", "lib"]).good();
    ground.dnf("n", &["-y", "remove", "app", "more"]).good();
    assert_eq!(says(), ["lib-2"], "what came for another goes with it");
    nothing();
}
