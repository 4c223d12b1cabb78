//! Nodes wherever users put them: below directories of the core OS, beside mounts, on file systems of
//! many kinds, in a container. Each layout is a mount namespace of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use red_tests::broom::User;
use red_tests::call::{built, run};
use red_tests::packages::Small;
use red_tests::places::{enter_root, overlay, private_root};
use red_tests::store::Ground;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

/// How a layout ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Everything works.
    Works,
    /// Nothing is written, and the message has these words.
    Refused(&'static [&'static str]),
}

/// Who runs the tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    Root,
    User,
}

/// One layout of a machine.
struct Layout {
    name: &'static str,
    /// Where the node is. `WHO` differs from run to run, for what is not in a root of the test's own.
    node: &'static str,
    /// What is mounted, in order.
    mounts: &'static [Mount],
    end: End,
}

/// What a layout mounts.
#[derive(Clone, Copy, Debug)]
enum Mount {
    /// A tmpfs.
    Memory(&'static str),
    /// A file system of a type, from a file.
    Disk(&'static str, &'static str),
    /// A directory in a second place.
    Bind(&'static str, &'static str),
    /// An empty file over a file.
    File(&'static str),
    /// What is there, read-only.
    ReadOnly(&'static str),
    /// An overlay of a directory of the host over a new one.
    Overlay(&'static str),
    /// The root of a container: an overlay of everything.
    Container,
    /// A directory, and a file in it.
    Made(&'static str),
    /// A symbolic link to a directory.
    Link(&'static str, &'static str),
}

/// Directory that layouts mount their own things in.
const AREA: &str = "/mnt/red-places";

impl Mount {
    /// Mounts it in this thread's namespace.
    fn make(self, ground: &Ground) {
        let made = |point: &str| fs::create_dir_all(point).unwrap_or_else(|error| panic!("{point}: {error}"));
        match self {
            Self::Memory(point) => {
                // The machine's /usr is that of all layouts, at the same time: it gets no directory.
                if point.starts_with("/usr/") && !Path::new(point).exists() {
                    let above = Path::new(point).parent().and_then(Path::to_str).expect("not the root");
                    overlay(above, above);
                }
                made(point);
                mount("red-test", point, "tmpfs", MountFlags::empty(), Some(c"mode=755")).expect("a tmpfs");
                fs::write(Path::new(point).join("red-host"), "of the mount").expect("there is room");
            }
            Self::Disk(fstype, point) => {
                made(point);
                let image = ground.pool.join(format!("{fstype}.img"));
                let made =
                    run(Command::new("mount").args(["-o", "loop", "-t", fstype]).arg(&image).arg(point));
                assert_eq!(made.code, 0, "{}", made.err);
            }
            Self::Bind(of, point) => {
                made(of);
                made(point);
                mount_bind(of, point).expect("a bind mount");
            }
            Self::File(point) => {
                let empty = ground.pool.write("empty", "of the mount\n");
                mount_bind(&empty, point).unwrap_or_else(|error| panic!("{point}: {error}"));
            }
            Self::ReadOnly(point) => {
                made(point);
                mount_bind(point, point).expect("a bind mount");
                mount_remount(point, MountFlags::BIND | MountFlags::RDONLY, "").expect("a bind mount");
            }
            Self::Overlay(point) => {
                made(point);
                overlay(point, point);
            }
            Self::Container => container(ground),
            Self::Made(dir) => {
                made(dir);
                fs::write(Path::new(dir).join("red-host"), "of the host").expect("there is room");
            }
            Self::Link(link, to) => {
                made(to);
                std::os::unix::fs::symlink(to, link).expect("a link");
            }
        }
    }
}

/// Makes an overlay of everything the root of this thread, as a container's is.
fn container(ground: &Ground) {
    let root = ground.pool.mkdir("container");
    let root = root.to_str().expect("a name");
    overlay("/", root);
    for place in ["dev", "proc", "sys"] {
        rustix::mount::mount_bind_recursive(format!("/{place}"), format!("{root}/{place}"))
            .expect("a bind mount");
    }
    // An overlay does not have what is mounted below its layer: the build, or the test's own directory, where
    // they are file systems of their own.
    let programs = built("red-dnf");
    for place in [programs.parent().expect("it is in a directory"), ground.pool.path()] {
        let inside = format!("{root}{}", place.display());
        let has = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut names| names.next().is_some());
        if !has(Path::new(&inside)) {
            fs::create_dir_all(&inside).expect("there is room");
            rustix::mount::mount_bind(place, inside.as_str()).expect("a bind mount");
        }
    }
    enter_root(root);
}

/// Packages, in two versions, that have files wherever packages have.
fn publish(ground: &Ground) {
    let app = |version, more: &'static [(&'static str, &'static str)]| {
        let mut files = vec![
            ("/usr/bin/red-app", version),
            ("/usr/share/red-app/a", version),
            ("/usr/local/share/red-app", version),
            ("/usr/lib/red-app", version),
            ("/opt/red-app/file", version),
            ("/opt/red-file", version),
            ("/srv/red-app/file", version),
            ("/boot/red-app", version),
            ("/var/lib/red-app/file", version),
            ("/var/red-app/file", version),
            ("/etc/red-app.d/file", version),
        ];
        files.extend(more);
        files
    };
    let one =
        app("1", &[("/usr/share/red-app/only-1", "1"), ("/opt/red-only/1", "1"), ("/var/red-only/1", "1")]);
    let two = app("2", &[("/usr/share/red-app/only-2", "2")]);
    let post =
        "echo written > /var/lib/red-app-written; echo red-app >> /etc/red-app-list; id -u > /dev/null";
    let make = |repo: &str, version: &str, files: &[(&str, &str)], dirs: &[&str]| {
        let config = &[("/etc/red-app.conf", "conf")];
        let small = Small {
            name: "red-app",
            version,
            files,
            config,
            post,
            requires: &["/bin/sh"],
            ..Small::default()
        };
        let mut builder = small.builder();
        for dir in dirs {
            builder.with_dir_entry(rpm::FileOptions::dir(*dir)).expect("a path");
        }
        ground.maker.built(&ground.repo(repo), &format!("red-app-{version}-1.noarch.rpm"), &mut builder);
        ground.maker.index(&ground.repo(repo));
    };
    let dirs = [
        "/usr/share/red-app",
        "/opt/red-app",
        "/srv/red-app",
        "/var/lib/red-app",
        "/var/red-app",
        "/etc/red-app.d",
    ];
    let more: Vec<&str> = dirs.into_iter().chain(["/opt/red-only", "/var/red-only"]).collect();
    make("one", "1", &one, &more);
    make("two", "2", &two, &dirs);
    // A program as Debian ships it.
    ground.maker.debian(&ground.repo("one"), "tree", "1");
    ground.maker.index(&ground.repo("one"));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(ground.pool.path().join("repos"))).good();
}

/// Disk images of the file systems that layouts mount.
fn images(ground: &Ground) {
    for (fstype, make) in [
        ("ext4", &["mke2fs", "-q", "-t", "ext4"][..]),
        ("btrfs", &["mkfs.btrfs", "-q"]),
        ("xfs", &["mkfs.xfs", "-q"]),
    ] {
        let image = ground.pool.join(format!("{fstype}.img"));
        let file = fs::File::create(&image).expect("there is room");
        file.set_len(320 << 20).expect("a sparse file");
        run(Command::new(make[0]).args(&make[1..]).arg(&image)).good();
    }
}

const NONE: &[Mount] = &[];
const LAYOUTS: &[Layout] = &[
    Layout { name: "the default pool", node: "/var/redpesk/n", mounts: NONE, end: End::Works },
    Layout { name: "deep in /var", node: "/var/lib/a/b/c/n", mounts: NONE, end: End::Works },
    Layout { name: "right below /var", node: "/var/red-n", mounts: NONE, end: End::Works },
    Layout { name: "/opt", node: "/opt/n", mounts: NONE, end: End::Works },
    Layout { name: "/srv", node: "/srv/nodes/n", mounts: NONE, end: End::Works },
    Layout { name: "/usr/local", node: "/usr/local/red-WHO/n", mounts: NONE, end: End::Works },
    Layout { name: "/etc", node: "/etc/nodes/n", mounts: NONE, end: End::Works },
    Layout { name: "/boot", node: "/boot/nodes/n", mounts: NONE, end: End::Works },
    Layout { name: "/home", node: "/home/red-n/n", mounts: NONE, end: End::Works },
    Layout {
        name: "others beside it",
        node: "/opt/n",
        mounts: &[Mount::Made("/opt/other"), Mount::Made("/opt/red-app")],
        end: End::Works,
    },
    Layout {
        name: "a pool that is a link",
        node: "/var/redpesk/n",
        mounts: &[Mount::Link("/var/redpesk", "/srv/elsewhere")],
        end: End::Works,
    },
    Layout {
        name: "a pool that is mounted from below /srv",
        node: "/var/redpesk/n",
        mounts: &[Mount::Bind("/srv/real", "/var/redpesk")],
        end: End::Works,
    },
    Layout {
        name: "a pool that is seen twice",
        node: "/mnt/red-places/n",
        mounts: &[Mount::Bind("/opt/real", AREA)],
        end: End::Works,
    },
    Layout {
        name: "a mounted /var/log",
        node: "/home/n",
        mounts: &[Mount::Memory("/var/log")],
        end: End::Works,
    },
    Layout {
        name: "a mounted /usr/local",
        node: "/home/n",
        mounts: &[Mount::Memory("/usr/local")],
        end: End::Works,
    },
    Layout { name: "a mounted /opt", node: "/home/n", mounts: &[Mount::Memory("/opt")], end: End::Works },
    Layout {
        name: "a mount where the package goes",
        node: "/home/n",
        mounts: &[
            Mount::Memory("/opt/red-app"),
            Mount::Memory("/var/lib/red-app"),
            Mount::Memory("/usr/share/red-app"),
        ],
        end: End::Works,
    },
    Layout {
        name: "a file mounted over another",
        node: "/home/n",
        mounts: &[Mount::File("/etc/resolv.conf"), Mount::File("/etc/hostname"), Mount::File("/usr/bin/who")],
        end: End::Works,
    },
    Layout {
        name: "boot partitions",
        node: "/home/n",
        mounts: &[Mount::Memory("/boot"), Mount::Memory("/boot/efi")],
        end: End::Works,
    },
    Layout {
        name: "a container engine's images",
        node: "/var/redpesk/n",
        mounts: &[
            Mount::Memory("/var/lib/docker/overlay2/aaa/merged"),
            Mount::Memory("/var/lib/docker/overlay2/bbb/merged"),
            Mount::Memory("/var/lib/nfs/rpc_pipefs"),
        ],
        end: End::Works,
    },
    Layout {
        name: "a read-only /usr",
        node: "/var/redpesk/n",
        mounts: &[Mount::ReadOnly("/usr")],
        end: End::Works,
    },
    Layout {
        name: "a partition",
        node: "/var/redpesk/n",
        mounts: &[Mount::Disk("ext4", "/var/redpesk")],
        end: End::Works,
    },
    Layout {
        name: "btrfs",
        node: "/var/redpesk/n",
        mounts: &[Mount::Disk("btrfs", "/var/redpesk")],
        end: End::Works,
    },
    Layout {
        name: "xfs",
        node: "/var/redpesk/n",
        mounts: &[Mount::Disk("xfs", "/var/redpesk")],
        end: End::Works,
    },
    Layout {
        name: "memory",
        node: "/var/redpesk/n",
        mounts: &[Mount::Memory("/var/redpesk")],
        end: End::Works,
    },
    Layout {
        name: "/var of its own",
        node: "/var/redpesk/n",
        mounts: &[Mount::Overlay("/var")],
        end: End::Works,
    },
    Layout {
        name: "a pool on an overlay",
        node: "/var/redpesk/n",
        mounts: &[Mount::Overlay("/var/redpesk")],
        end: End::Works,
    },
    Layout { name: "a container", node: "/var/redpesk/n", mounts: &[Mount::Container], end: End::Works },
    Layout {
        name: "a container with a volume",
        node: "/var/redpesk/n",
        mounts: &[Mount::Container, Mount::Memory("/var/redpesk"), Mount::File("/etc/resolv.conf")],
        end: End::Works,
    },
    Layout {
        name: "a container in a container",
        node: "/var/redpesk/n",
        mounts: &[Mount::Container, Mount::Container],
        end: End::Refused(&["mounted at /,", "stacks two overlays", "volume"]),
    },
    Layout {
        name: "a pool that is read-only",
        node: "/var/redpesk/n",
        mounts: &[Mount::Memory("/var/redpesk")],
        end: End::Refused(&["/var/redpesk", "read-only", "remount"]),
    },
];

/// One run of a layout.
struct Run<'a> {
    ground: &'a Ground,
    layout: &'a Layout,
    node: String,
}

impl Run<'_> {
    fn node(&self, below: &str) -> std::path::PathBuf {
        Path::new(&self.node).join(below)
    }

    fn has(&self, below: &str) -> Option<String> {
        fs::read_to_string(self.node(below)).ok()
    }

    /// Which version every file of the application is of.
    fn is(&self, version: Option<&str>) {
        let name = self.layout.name;
        for file in [
            "usr/bin/red-app",
            "usr/share/red-app/a",
            "usr/local/share/red-app",
            "usr/lib/red-app",
            "opt/red-app/file",
            "opt/red-file",
            "srv/red-app/file",
            "boot/red-app",
            "etc/red-app.d/file",
        ] {
            assert_eq!(self.has(file).as_deref(), version, "{name}: {file}");
        }
        let only = |which: &str| version.filter(|version| *version == which);
        assert_eq!(self.has("usr/share/red-app/only-1").as_deref(), only("1"), "{name}");
        assert_eq!(self.has("opt/red-only/1").as_deref(), only("1"), "{name}");
        assert_eq!(self.node("opt/red-only").exists(), only("1").is_some(), "{name}: an empty directory");
        assert_eq!(self.has("usr/share/red-app/only-2").as_deref(), only("2"), "{name}");
        if version.is_none() {
            for dir in ["opt", "srv", "boot"] {
                let left = fs::read_dir(self.node(dir)).into_iter().flatten().flatten();
                // A directory stays where the machine has something in it: for rpm it is not empty.
                let theirs = |path: &std::path::PathBuf| {
                    fs::read_dir(path).is_ok_and(|mut inner| inner.next().is_none())
                        && Path::new("/").join(dir).join(path.file_name().expect("a name")).exists()
                };
                let left: Vec<_> = left.map(|entry| entry.path()).filter(|path| !theirs(path)).collect();
                assert!(left.is_empty(), "{name}: {left:?}");
            }
        }
        let stage = fs::read_dir(self.node(".red/stage")).into_iter().flatten().flatten();
        let stage: Vec<_> = stage.map(|entry| entry.path()).collect();
        assert!(stage.is_empty(), "{name}: {stage:?}");
    }

    /// Data of packages, which come with a generation and do not leave with it.
    fn data(&self, version: &str) {
        for file in ["var/lib/red-app/file", "var/red-app/file"] {
            assert_eq!(self.has(file).as_deref(), Some(version), "{}: {file}", self.layout.name);
        }
        assert_eq!(self.has("var/lib/red-app-written").as_deref(), Some("written\n"), "{}", self.layout.name);
    }

    fn dnf(&self, args: &[&str]) {
        let said = self.ground.dnf(&self.node, args);
        assert_eq!(said.code, 0, "{}: {args:?}\n{}\n{}", self.layout.name, said.out, said.err);
        for bare in ["os error", "Invalid argument", "Device or resource busy", "symbolic links"] {
            assert!(!said.err.contains(bare), "{}: {args:?}\n{}", self.layout.name, said.err);
        }
    }

    fn works(&self) {
        let two = format!("two,{}", self.ground.repo("two").display());
        self.dnf(&["-y", "red-install", "red-app", "tree"]);
        self.is(Some("1"));
        self.data("1");
        assert!(self.node("usr/bin/tree").is_file(), "{}", self.layout.name);
        self.dnf(&["-y", "--repofrompath", &two, "red-update"]);
        self.is(Some("2"));
        self.data("2");
        let list = self.has("etc/red-app-list").unwrap_or_default();
        assert_eq!(list, "red-app\nred-app\n", "{}: both scriptlets wrote", self.layout.name);
        self.dnf(&["red-check", "--files"]);
        let verified = self.ground.rpm(&self.node, &["-V", "red-app", "tree"]);
        assert_eq!(verified.code, 0, "{}: {}{}", self.layout.name, verified.out, verified.err);
        self.dnf(&["-y", "red-rollback"]);
        self.is(Some("1"));
        self.dnf(&["-y", "red-remove", "red-app"]);
        self.is(None);
        assert!(self.node("usr/bin/tree").is_file(), "{}", self.layout.name);
        self.dnf(&["-y", "red-remove", "tree"]);
        self.dnf(&["red-check", "--files"]);
        self.nothing_outside();
    }

    /// Nothing of packages came to the host.
    fn nothing_outside(&self) {
        for path in [
            "/usr/bin/red-app",
            "/usr/share/red-app/a",
            "/usr/local/share/red-app",
            "/opt/red-file",
            "/opt/red-app/file",
            "/var/lib/red-app/file",
            "/var/lib/red-app-written",
            "/etc/red-app-list",
        ] {
            assert!(!Path::new(path).exists(), "{}: {path}", self.layout.name);
        }
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("it is there");
        assert!(!mounts.contains("red-view") && !mounts.contains("red-stage"), "{}", self.layout.name);
    }

    fn refused(&self, words: &[&str]) {
        let before = red_tests::store::fingerprint(Path::new(&self.node));
        let said = self.ground.dnf(&self.node, &["-y", "red-install", "red-app"]);
        assert_ne!(said.code, 0, "{}: {}", self.layout.name, said.out);
        for word in words {
            assert!(said.err.contains(word), "{}: no `{word}` in {}", self.layout.name, said.err);
        }
        assert!(!said.err.contains("os error"), "{}: {}", self.layout.name, said.err);
        let after = red_tests::store::fingerprint(Path::new(&self.node));
        assert!(before == after, "{}: something is written", self.layout.name);
    }
}

/// A directory of the machine's that is removed in the end.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.0));
    }
}

fn one(ground: &Ground, layout: &Layout, user: Option<&User>) {
    let container = layout.mounts.iter().any(|mount| matches!(mount, Mount::Container));
    private_root(ground, !container);
    for mount in layout.mounts {
        mount.make(ground);
    }
    let who = format!("{}-{}", std::process::id(), user.map_or(0, |user| user.uid));
    let name = layout.node.replace("WHO", &who);
    let node = Path::new(&name);
    let pool = node.parent().expect("not the root");
    fs::create_dir_all(pool).expect("root may");
    if let Some(user) = user {
        // Step 0 of the quick start; in a directory of the system, root makes that of the node.
        let given = if pool.components().count() > 2 { pool } else { node };
        fs::create_dir_all(given).expect("root may");
        std::os::unix::fs::chown(given, Some(user.uid), Some(user.uid)).expect("root gives files away");
        fs::set_permissions(given, fs::Permissions::from_mode(0o755)).expect("root may");
    }
    let _removed = layout.node.contains("WHO").then(|| Removed(pool));
    ground.create(&name, Some("one"));
    let run = Run { ground, layout, node: name.clone() };
    match layout.end {
        End::Works => run.works(),
        End::Refused(words) => {
            if words.contains(&"read-only") {
                mount_remount(pool, MountFlags::RDONLY, "").expect("it is mounted");
            }
            run.refused(words);
        }
    }
}

/// Runs every second layout, so that two tests share the work.
fn layouts(who: Who, part: usize) {
    let mut ground = Ground::of_this_machine(&[]);
    publish(&ground);
    images(&ground);
    if who == Who::User {
        ground = ground.for_user();
    }
    let only = std::env::var("RED_LAYOUT").unwrap_or_default();
    let mut failed = Vec::new();
    for layout in LAYOUTS.iter().skip(part).step_by(2).filter(|layout| layout.name.contains(&only)) {
        let done =
            std::thread::scope(|scope| scope.spawn(|| one(&ground, layout, ground.user.as_ref())).join());
        if done.is_err() {
            failed.push(layout.name);
        }
    }
    assert!(failed.is_empty(), "{who:?}: {failed:?}");
}

#[test]
fn root_installs_wherever_nodes_are() {
    layouts(Who::Root, 0);
}

#[test]
fn root_installs_wherever_nodes_are_too() {
    layouts(Who::Root, 1);
}

#[test]
fn a_user_installs_wherever_nodes_are() {
    layouts(Who::User, 0);
}

#[test]
fn a_user_installs_wherever_nodes_are_too() {
    layouts(Who::User, 1);
}

#[test]
fn there_are_enough_layouts() {
    assert!(LAYOUTS.len() >= 25, "{}", LAYOUTS.len());
    let names: std::collections::BTreeSet<_> = LAYOUTS.iter().map(|layout| layout.name).collect();
    assert_eq!(names.len(), LAYOUTS.len());
}

/// A package with a hard link from one directory of /usr to another.
fn linked(ground: &Ground) {
    let spec = "Name: red-linked\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n\
                %install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/usr/libexec\n\
                echo x > %{buildroot}/usr/bin/red-linked\n\
                ln %{buildroot}/usr/bin/red-linked %{buildroot}/usr/libexec/red-linked\n\
                %files\n/usr/bin/red-linked\n/usr/libexec/red-linked\n";
    let path = ground.pool.write("packages/linked.spec", spec);
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}/top", ground.maker.dir().display()));
    build.arg("--define").arg(format!("_rpmdir {}", ground.repo("one").display())).arg(path);
    run(&mut build).good();
    ground.maker.index(&ground.repo("one"));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(ground.pool.path().join("repos"))).good();
}

#[test]
fn hard_links_hold_where_one_overlay_covers_them_and_are_refused_with_the_mount_elsewhere() {
    let ground = Ground::new();
    linked(&ground);
    let install = |node: &str, mounted: bool| {
        private_root(&ground, true);
        if mounted {
            Mount::Memory("/usr/local").make(&ground);
        }
        ground.create(node, Some("one"));
        ground.dnf(node, &["-y", "red-install", "red-linked"])
    };
    std::thread::scope(|scope| {
        let said = scope.spawn(|| install("/home/whole", false)).join().expect("it ends");
        assert_eq!(said.code, 0, "{}", said.err);
        let said = scope.spawn(|| install("/home/split", true)).join().expect("it ends");
        assert_ne!(said.code, 0, "{}", said.out);
        assert!(said.err.contains("/usr/local") && said.err.contains("hard links"), "{}", said.err);
    });
}

#[test]
fn the_doctor_knows_where_packages_can_be_installed() {
    let ground = Ground::new();
    ground.pool.install("red-runtime", "red-runtime");
    ground.pool.install("red-dnf", "red-dnf");
    let doctor = |mounts: &[Mount]| {
        private_root(&ground, !mounts.iter().any(|mount| matches!(mount, Mount::Container)));
        for mount in mounts {
            mount.make(&ground);
        }
        fs::create_dir_all("/var/redpesk").expect("root may");
        if mounts.iter().any(|mount| matches!(mount, Mount::Memory(_))) {
            mount_remount("/var/redpesk", MountFlags::RDONLY, "").expect("it is mounted");
        }
        let mut doctor = Command::new(ground.pool.join("red-runtime"));
        let said = run(doctor.args(["doctor", "--json"]).env("NODE_PREFIX", "/nowhere"));
        let found = said.json();
        let findings = found["findings"].as_array().expect("a list").clone();
        let view = findings.into_iter().find(|one| one["about"] == "install view").expect("it was looked at");
        (
            view["grade"].as_str().unwrap_or_default().to_owned(),
            view["text"].as_str().unwrap_or_default().to_owned(),
        )
    };
    for (mounts, grade, words) in [
        (NONE, "good", "packages can be installed"),
        (&[Mount::Overlay("/var/redpesk")], "poor", "unpacked in memory"),
        (&[Mount::Memory("/var/redpesk")], "bad", "mounted read-only at /var/redpesk"),
        (&[Mount::Container, Mount::Container], "bad", "stacks two overlays"),
    ] {
        let (got, text) = std::thread::scope(|scope| scope.spawn(|| doctor(mounts)).join().expect("it ends"));
        assert_eq!(got, grade, "{mounts:?}: {text}");
        assert!(text.contains(words) && text.contains("/var/redpesk"), "{mounts:?}: {text}");
    }
}
