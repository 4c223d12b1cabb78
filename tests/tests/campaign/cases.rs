//! What is tried: classes of hostile input, and how each of them is put into a world.

use serde_json::{Value, json};

use crate::world::World;

/// Who starts the command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Launcher {
    /// `red-wrap`.
    Wrap,
    /// `red-wrap --detach`.
    Detached,
    /// An engine, which names the node by an annotation.
    Engine,
    /// An engine, whose root is the node.
    Root,
    /// An engine, with a bundle that has nothing to do with nodes.
    Plain,
    /// An engine, as a further process of a container of a plain bundle.
    Exec,
}

impl Launcher {
    pub(crate) const ALL: [Self; 6] =
        [Self::Wrap, Self::Detached, Self::Engine, Self::Root, Self::Plain, Self::Exec];

    /// Whether it starts a node.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Self::Wrap | Self::Detached | Self::Engine | Self::Root)
    }

    /// Whether a configuration of an engine is there.
    pub(crate) fn is_engine(self) -> bool {
        !matches!(self, Self::Wrap | Self::Detached)
    }
}

/// One piece of hostile input.
#[derive(Clone, Debug)]
pub(crate) enum Hostile {
    /// A working directory.
    Cwd(String),
    /// A command, in place of the usual one.
    Command(String),
    /// Where commands are looked for.
    SearchPath(String),
    /// An export of one of the family's nodes, with `@` for the pool, `%` for what is outside.
    Export { node: &'static str, mode: &'static str, mount: &'static str, source: &'static str },
    /// A line in the `config` of one of the family's nodes.
    Config { node: &'static str, line: &'static str },
    /// The container makes a node in a directory it may write to; afterwards that one is started.
    Nest { inside: &'static str, real: &'static str },
    /// A link in the contents of a node that a container may write to.
    Link { at: &'static str, target: &'static str },
    /// A namespace of the host's, by path.
    Namespace { kind: &'static str, name: &'static str },
    /// A mount of the engine's, `@` and `%` as in exports.
    Mount { kind: &'static str, at: &'static str, source: &'static str, options: &'static [&'static str] },
    /// An annotation.
    Annotation { key: &'static str, value: &'static str },
    /// A kernel setting; with or without the namespace it would belong to.
    Sysctl { name: &'static str, value: &'static str, without: Option<&'static str> },
    /// A rule for devices, with the capability to make them.
    Device(Value),
    /// The leaf exports something writable, and the engine mounts something of it: as a volume, or as
    /// what an overlay writes to.
    Part { export: &'static str, source: &'static str, overlay: bool },
    /// A file as a volume.
    File(&'static str),
    /// A root of a plain bundle, read-only, and a file system that is mounted in it.
    ReadOnlyRoot { root: &'static str, at: &'static str },
    /// A file of a user's where the engine keeps its own, at a place of the leaf's `/etc`.
    Secret(&'static str),
    /// The container makes a link of what is exported to it, and is started again.
    Relink(&'static str),
}

impl Hostile {
    /// Whether it can be put into what this launcher starts.
    pub(crate) fn suits(&self, launcher: Launcher) -> bool {
        match self {
            Self::Cwd(_) => true,
            Self::Command(_) | Self::SearchPath(_) => launcher.is_engine(),
            Self::Export { .. } | Self::Config { .. } | Self::Nest { .. } => launcher.is_node(),
            Self::Link { .. } => matches!(launcher, Launcher::Engine | Launcher::Root),
            Self::Namespace { .. } | Self::Mount { .. } | Self::Annotation { .. } => {
                matches!(launcher, Launcher::Engine | Launcher::Root)
            }
            Self::Sysctl { .. } | Self::Device(_) | Self::File(_) => {
                matches!(launcher, Launcher::Engine | Launcher::Root | Launcher::Plain)
            }
            Self::Part { .. } | Self::Secret(_) => matches!(launcher, Launcher::Engine | Launcher::Root),
            Self::ReadOnlyRoot { .. } => launcher == Launcher::Plain,
            Self::Relink(_) => launcher.is_node() && launcher != Launcher::Detached,
        }
    }

    /// What it adds to the exports of a node.
    pub(crate) fn exports(&self, node: &str, world: &World) -> String {
        let export = |mode: &str, mount: &str, source: &str| {
            format!("  - {{mode: {mode}, mount: {mount}, path: {}}}\n", world.filled(source))
        };
        match self {
            Self::Export { node: of, mode, mount, source } if *of == node => export(mode, mount, source),
            Self::Part { export: source, .. } if node == "app" => export("Public", "/w", source),
            Self::Secret(_) if node == "app" => export("Restricted", "/etc", "$NODE_PATH/ro"),
            Self::Relink(_) if node == "core" => export("Public", "/sub", "$NODE_PATH/data/sub"),
            Self::Relink(_) if node == "app" => export("Public", "/again", "@/core/data/sub"),
            _ => String::new(),
        }
    }

    /// What the payload is told, as variables of its environment.
    pub(crate) fn environment(&self, world: &World) -> Vec<String> {
        match self {
            Self::Nest { inside, real } => {
                vec![format!("RED_NEST={inside}"), format!("RED_NEST_REAL={}", world.filled(real))]
            }
            Self::Relink(target) => vec![format!("RED_RELINK={}", world.filled(target))],
            _ => Vec::new(),
        }
    }

    /// Whether running at all would be wrong.
    pub(crate) fn must_be_refused(&self) -> bool {
        match self {
            Self::Annotation { key, .. } => key.starts_with("bzh."),
            Self::Sysctl { .. } => true,
            _ => false,
        }
    }

    /// Puts it into the configuration of an engine.
    pub(crate) fn put_into(&self, spec: &mut Value, world: &World) {
        match self {
            Self::Cwd(cwd) => spec["process"]["cwd"] = json!(cwd),
            Self::Command(command) => spec["process"]["args"] = json!([world.filled(command)]),
            Self::SearchPath(path) => {
                spec["process"]["env"] = json!([format!("PATH={}", world.filled(path))]);
                spec["process"]["args"] = json!(["hostbin"]);
            }
            Self::Namespace { kind, name } => {
                let list = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
                list.retain(|one| one["type"] != *kind);
                let path = format!("/proc/{}/ns/{name}", std::process::id());
                list.push(json!({"type": kind, "path": path}));
            }
            Self::Mount { kind, at, source, options } => {
                let list = spec["mounts"].as_array_mut().expect("it is a list");
                list.push(json!({
                    "destination": at, "type": kind, "source": world.filled(source),
                    "options": options.iter().map(|word| world.filled(word)).collect::<Vec<_>>(),
                }));
            }
            Self::Annotation { key, value } => spec["annotations"][*key] = json!(world.filled(value)),
            Self::Sysctl { name, value, without } => {
                spec["linux"]["sysctl"][*name] = json!(value);
                if let Some(without) = without {
                    let list = spec["linux"]["namespaces"].as_array_mut().expect("it is a list");
                    list.retain(|one| one["type"] != *without);
                }
            }
            Self::Device(rule) => {
                spec["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}, rule]);
                for set in ["bounding", "effective", "permitted"] {
                    spec["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
                }
            }
            // The engine mounts a file where, through the link, something read-only is.
            Self::Link { target, .. } => {
                let name = if target.starts_with("/usr") { "true" } else { "file" };
                let list = spec["mounts"].as_array_mut().expect("it is a list");
                list.push(json!({
                    "destination": format!("/data/core/l/{name}"), "type": "bind",
                    "source": world.filled("%/vol/evil"), "options": ["bind", "rw"],
                }));
            }
            Self::Part { source, overlay, .. } => mount(spec, &part(&world.filled(source), *overlay, world)),
            Self::File(source) => mount(
                spec,
                &json!({"destination": "/f", "type": "bind", "source": world.filled(source), "options": ["bind", "rw"]}),
            ),
            Self::ReadOnlyRoot { root, at } => {
                spec["root"] = json!({"path": world.filled(root), "readonly": true});
                mount(spec, &json!({"destination": at, "type": "tmpfs", "source": "tmpfs"}));
            }
            Self::Secret(at) => {
                let source = world.bundle_dir(std::slice::from_ref(self)).join("secrets/key");
                mount(
                    spec,
                    &json!({"destination": at, "type": "bind", "source": source, "options": ["bind"]}),
                );
            }
            Self::Export { .. } | Self::Config { .. } | Self::Nest { .. } | Self::Relink(_) => {}
        }
    }
}

fn mount(spec: &mut Value, mount: &Value) {
    spec["mounts"].as_array_mut().expect("it is a list").push(mount.clone());
}

/// A volume, or an overlay that writes to it.
fn part(source: &str, overlay: bool, world: &World) -> Value {
    if !overlay {
        return json!({"destination": "/vol", "type": "bind", "source": source, "options": ["rbind", "rw"]});
    }
    // What an overlay works with has to be beside what it writes to.
    let work = std::path::Path::new(source).parent().expect("it has one").join("work");
    let options =
        [world.filled("lowerdir=%/vol"), format!("upperdir={source}"), format!("workdir={}", work.display())];
    json!({"destination": "/vol", "type": "overlay", "source": "overlay", "options": options})
}

/// Every class of the kinds that must not lead out.
pub(crate) fn classes() -> Vec<Hostile> {
    let mut all = Vec::new();
    // What a launcher has open.
    for number in [3, 4, 5, 6, 7, 8, 9, 10, 11] {
        all.push(Hostile::Cwd(format!("/proc/self/fd/{number}")));
        all.push(Hostile::Command(format!("/proc/self/fd/{number}/{}%/hostbin", "../".repeat(24))));
    }
    all.push(Hostile::Cwd("/proc/self/root".into()));
    all.push(Hostile::Cwd("/proc/1/cwd".into()));
    all.push(Hostile::Cwd("/../../..".into()));
    all.push(Hostile::SearchPath(format!("/proc/self/fd/5/{}%:/usr/bin", "../".repeat(24))));
    // What decides.
    let sources = [
        "@",
        "@/core",
        "@/core/etc",
        "@/core/etc/redpak.yaml",
        "@/core/.rednode.yaml",
        "@/core/mid",
        "@/core/mid/etc",
        "@/core/mid/app",
        "@/core/mid/app/etc",
        "@/core/other/etc",
        "@/core/other",
        "@/stranger",
        "@/stranger/data",
        "@/core/private",
        "@/core/.red",
        "@/core/var/lib/rpm",
        "%/alias",
        "%/link",
        "%/prefix/etc/redpak",
        "%/state",
        "/",
        "/proc",
        "/sys",
        "/sys/fs/cgroup",
        "/dev",
        "/proc/sys",
        "/proc/1/root",
        "/run",
        "/dev/pts",
    ];
    for (index, source) in sources.into_iter().enumerate() {
        for (node, mode) in [("mid", "Public"), ("app", "Public"), ("app", "Private")] {
            // Each source with the nodes in turn, and the leaf's public export always.
            if mode == "Public" && (node == "app" || index % 2 == 0) || mode == "Private" && index % 3 == 0 {
                all.push(Hostile::Export { node, mode, mount: "/p", source });
            }
        }
    }
    for source in
        ["@/core/etc/redpak.yaml", "@/core/.rednode.yaml", "%/hardlink", "%/prefix/etc/redpak/policy.yaml"]
    {
        all.push(Hostile::Export { node: "app", mode: "PublicFile", mount: "/p-alias", source });
    }
    for source in ["%/ro-alias", "@/core/ro", "%/ro-link"] {
        all.push(Hostile::Export { node: "app", mode: "Public", mount: "/p", source });
    }
    all.push(Hostile::Export { node: "app", mode: "Restricted", mount: "/hp", source: "/proc" });
    for line in [
        "share_net: Enabled",
        "share_pid: Enabled",
        "share_ipc: Enabled",
        "share_all: Enabled",
        "capabilities: [{cap: ALL, add: 1}]",
        "share_net: /proc/1/ns/net",
        "cgrouproot: /",
        "chdir: /proc/self/fd/5",
        "chdir: /proc/1/root",
    ] {
        all.push(Hostile::Config { node: "app", line });
    }
    all.push(Hostile::Nest { inside: "/data/core", real: "@/core/data" });
    all.push(Hostile::Nest { inside: "/data/mid", real: "@/core/mid/data" });
    all.push(Hostile::Nest { inside: "/data/app", real: "@/core/mid/app/data" });
    // What engines send.
    for (kind, name) in [
        ("network", "net"),
        ("ipc", "ipc"),
        ("pid", "pid"),
        ("uts", "uts"),
        ("network", "pid"),
        ("pid", "pid_for_children"),
        ("network", "user"),
    ] {
        all.push(Hostile::Namespace { kind, name });
    }
    for at in ["/usr", "/usr/sbin", "/ro/core", "/ro/mid/sub", "/usr/bin/true"] {
        for (kind, source, options) in [
            ("tmpfs", "tmpfs", &["rw", "tmpcopyup"][..]),
            ("bind", "%/vol", &["bind", "rw"]),
            ("overlay", "overlay", &["lowerdir=%/vol", "upperdir=%/upper", "workdir=%/work"]),
            ("ramfs", "ramfs", &["rw"]),
        ] {
            all.push(Hostile::Mount { kind, at, source, options });
        }
    }
    for source in [
        "@",
        "@/core",
        "@/core/etc",
        "@/core/mid/app",
        "@/stranger",
        "@/core/private",
        "%/prefix/etc/redpak",
        "%/state",
        "%/alias",
        "/",
    ] {
        all.push(Hostile::Mount { kind: "bind", at: "/vol", source, options: &["rbind", "rw"] });
    }
    for at in ["/etc/hosts", "/etc/passwd", "/run/secrets", "/dev/shm", "/proc", "/sys"] {
        all.push(Hostile::Mount { kind: "bind", at, source: "@/core/etc", options: &["rbind", "rw"] });
    }
    all.push(Hostile::Mount { kind: "proc", at: "/hp", source: "proc", options: &["rw"] });
    all.push(Hostile::Mount { kind: "bind", at: "/hp", source: "/proc", options: &["rbind", "rw"] });
    all.push(Hostile::Mount {
        kind: "bind",
        at: "/vol",
        source: "/sys/fs/cgroup",
        options: &["rbind", "rw"],
    });
    all.push(Hostile::Link { at: "@/core/data/l", target: "/usr/bin" });
    all.push(Hostile::Link { at: "@/core/data/l", target: "/ro/core" });
    for (key, value) in [
        ("io.kubernetes.cri.container-type", "sandbox"),
        ("io.kubernetes.cri-o.ContainerType", "sandbox"),
        ("bzh.redpesk.redpak.plan-digst", "sha256:00"),
        ("bzh.redpesk.redpak.plan-digest", "sha256:00"),
        ("bzh.redpesk.redpak.amdin", "true"),
        ("bzh.redpesk.redpak.admin", "true"),
        ("bzh.redpesk.redpak.strict", "perhaps"),
    ] {
        all.push(Hostile::Annotation { key, value });
    }
    parts(&mut all);
    // What is the host's.
    for (name, value, without) in [
        ("vm.swappiness", "61", None),
        ("fs.file-max", "99999", None),
        ("kernel.core_pattern", "core", None),
        ("kernel.msgmax", "9001", Some("ipc")),
        ("fs.mqueue.msg_max", "11", Some("ipc")),
        ("net.ipv4.ip_forward", "0", Some("network")),
        ("kernel.domainname", "evil", Some("uts")),
        ("vm/swappiness", "61", None),
        ("net/../vm/swappiness", "61", None),
        ("kernel.hostname", "evil", None),
    ] {
        all.push(Hostile::Sysctl { name, value, without });
    }
    for rule in [
        json!({"allow": true, "type": "b", "major": 4_294_967_296_i64, "minor": 4_294_967_296_i64, "access": "rwm"}),
        json!({"allow": true, "type": "b", "major": 4_294_967_305_i64, "minor": 5, "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": -2, "minor": 1, "access": "rwm"}),
    ] {
        all.push(Hostile::Device(rule));
    }
    all
}

/// Parts of what is exported, other names of what decides, and file systems of the kernel's.
fn parts(all: &mut Vec<Hostile>) {
    for export in ["@/core/mid/app/data", "@/core/mid/app/var", "@/core/mid/app/var/lib"] {
        for source in [
            "@/core/mid/app/data",
            "@/core/mid/app/var",
            "@/core/mid/app/var/lib",
            "@/core/mid/app/var/lib/rpm",
            "@/core/mid/app/var/lib/rpm/rpmdb.sqlite",
        ] {
            all.push(Hostile::Part { export, source, overlay: false });
        }
    }
    // A file system of the same kind cannot always be stacked, but nothing is written all the same.
    for source in ["@/core/mid/app/var/lib/rpm", "@/core/mid/app/var/lib"] {
        all.push(Hostile::Part { export: "@/core/mid/app/var", source, overlay: true });
    }
    for source in ["%/hardlink", "%/hardlink-rpm", "@/core/etc/redpak.yaml"] {
        all.push(Hostile::File(source));
    }
    for (root, at) in [
        ("%/top", "/pool/core/made"),
        ("%/top", "/tmp"),
        ("@/core/etc", "/redpak-admin.yaml"),
        ("@/core/private", "/etc"),
        ("@/stranger/var", "/made"),
    ] {
        all.push(Hostile::ReadOnlyRoot { root, at });
    }
    for at in ["/etc/hosts", "/etc/passwd", "/etc/localtime", "/etc/resolv.conf"] {
        all.push(Hostile::Secret(at));
    }
    for (kind, at, source, options) in [
        ("bind", "/dev/mqueue", "%/queues", &["rbind", "rw"][..]),
        ("bind", "/dev/pts", "/dev/pts", &["rbind", "rw"]),
        ("bind", "/sys/fs/cgroup", "/sys/fs/cgroup", &["rbind", "rw"]),
        ("sysfs", "/sys", "sysfs", &["rw"]),
        ("cgroup", "/sys/fs/cgroup", "cgroup", &["rw"]),
        ("cgroup2", "/sys/fs/cgroup", "cgroup", &["rw", "rrw"]),
    ] {
        all.push(Hostile::Mount { kind, at, source, options });
    }
    for target in [
        "../etc",
        "../mid",
        "../mid/app/etc",
        "../../stranger",
        "@/stranger/etc",
        "%/prefix/etc/redpak",
        "/etc",
    ] {
        all.push(Hostile::Relink(target));
    }
}
