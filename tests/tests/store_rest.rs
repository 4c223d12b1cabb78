//! What leaves with a package, what scriptlets make that no generation keeps, and how much they may take.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use red_tests::call::run;
use red_tests::places::private_root;
use red_tests::store::Ground;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// Makes a package of no architecture with rpmbuild. `body` is what follows the description.
fn build(ground: &Ground, name: &str, version: &str, body: &str) {
    let spec = format!(
        "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\n%description\nd\n{body}"
    );
    let spec = ground.pool.write(format!("packages/{name}-{version}.spec"), spec);
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}/top", ground.maker.dir().display()));
    build.arg("--define").arg(format!("_rpmdir {}", ground.repo("main").display())).arg(spec);
    run(&mut build).good();
}

/// A node with the repository of all packages that were built.
fn node(ground: &Ground, name: &str) -> PathBuf {
    ground.publish("main", &[]);
    ground.create(name, Some("main"));
    ground.node(name)
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// A package with data of its own, and a later version without some of them.
fn data(ground: &Ground) {
    let made = "%install\nmkdir -p %{buildroot}/var/lib/data/sub %{buildroot}/var/log %{buildroot}/var/lib/turned\n\
                cd %{buildroot}/var/lib/data\necho f > f\necho g > sub/g\necho t > ../turned/t\n\
                echo l > %{buildroot}/var/log/data.log\n";
    let files = "%files\n%defattr(-,root,root)\n/var/lib/data\n/var/log/data.log\n/var/lib/turned\n";
    build(ground, "data", "1", &format!("{made}{files}"));
    let made = "%pretrans -p <lua>\nos.remove('/var/lib/turned/t')\nos.remove('/var/lib/turned')\n\
                %pre\nrm -rf /var/lib/data/sub && mkdir /var/lib/data/sub && echo made > /var/lib/data/sub/made\n\
                %install\nmkdir -p %{buildroot}/var/lib/data\ncd %{buildroot}/var/lib\necho 2 > data/f\necho 2 > turned\n\
                %files\n%defattr(-,root,root)\n%attr(0711,root,root) %dir /var/lib/data\n/var/lib/data/f\n/var/lib/turned\n";
    build(ground, "data", "2", made);
    build(ground, "wiper", "1", "%preun\nrm -rf /var/lib/wiped\n%files\n");
}

fn data_leave(ground: &Ground) {
    data(ground);
    let node = node(ground, "node");
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

/// A scriptlet that removes a directory removes what it sees: not what is mounted there, nor another node's files.
#[test]
fn what_a_scriptlet_does_not_see_it_does_not_remove() {
    let ground = Ground::new();
    data(&ground);
    let node = node(&ground, "node");
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("root may");
            let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
            mount_change("/", flags).expect("root may");
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

/// Where `/etc` is split at a mount, names are gone without a mark of overlayfs.
#[test]
fn what_is_removed_from_a_split_directory_stays_so() {
    let ground = Ground::new();
    let odd = "%install\nmkdir -p %{buildroot}/etc/odd.d\ncd %{buildroot}/etc\necho 1 > odd.conf\necho 1 > odd-two.conf\n\
               echo 1 > odd.d/one\n\
               %files\n/etc/odd.conf\n/etc/odd-two.conf\n/etc/odd.d\n";
    build(&ground, "odd", "1", odd);
    build(&ground, "eraser", "1", "%post\nrm -f /etc/odd.conf /etc/$(printf 'of-no\\377text')\n%files\n");
    build(&ground, "other", "1", "%files\n");
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
    build(&ground, "pipe", "1", &spec("mkfifo p", "/usr/share/odd"));
    build(&ground, "socket", "1", &spec(socket, "/usr/share/odd"));
    build(&ground, "ghost", "1", &spec("mkfifo p; echo t > t", "%ghost /usr/share/odd/p\n/usr/share/odd/t"));
    let node = node(&ground, "node");
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
    build(&ground, "maker", "1", post);
    build(&ground, "other", "1", "%files\n");
    let node = node(&ground, "node");
    let said = ground.dnf("node", &["-y", "install", "maker"]).good();
    for below in ["usr/share/made-pipe", "etc/made-pipe"] {
        assert!(said.err.contains(&format!("/{below}: a scriptlet made this pipe")), "{}", said.err);
        assert!(fs::symlink_metadata(node.join(below)).is_err(), "the first generation is as the next one");
    }
    assert!(fs::symlink_metadata(node.join("var/lib/made-pipe")).is_ok());
    ground.dnf("node", &["-y", "install", "other"]).good();
    assert!(fs::symlink_metadata(node.join("var/lib/made-pipe")).is_ok());
}
