//! A world for one case: a pool with families, a host around it, and a look at both from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use red_tests::broom::Bound;
use red_tests::call::{Said, red_runtime, red_wrap, run};
use red_tests::pool::Pool;
use red_tests::stage::eventually;
use serde_json::{Value, json};

use crate::cases::{Hostile, Launcher};

const SECRET: &str = "a secret of the host";

/// What the core gives to every node.
const CORE: &str = "exports:
  - {mode: Restricted, mount: /usr}
  - {mode: Symlink, mount: /bin, path: usr/bin}
  - {mode: Symlink, mount: /sbin, path: usr/sbin}
  - {mode: Symlink, mount: /lib, path: usr/lib}
  - {mode: Symlink, mount: /lib64, path: usr/lib64}
  - {mode: Procfs, mount: /proc}
  - {mode: Devfs, mount: /dev}
  - {mode: Tmpfs, mount: /tmp}
  - {mode: Anonymous, mount: /run}
";

/// Nodes of the pool: below it, and by what name in mount points.
const NODES: [(&str, &str); 5] = [
    ("core", "core"),
    ("core/mid", "mid"),
    ("core/mid/app", "app"),
    ("core/other", "other"),
    ("stranger", "stranger"),
];

/// Kernel settings that a case could change.
const SETTINGS: [&str; 7] = [
    "vm/swappiness",
    "fs/file-max",
    "kernel/core_pattern",
    "kernel/msgmax",
    "fs/mqueue/msg_max",
    "net/ipv4/ip_forward",
    "kernel/domainname",
];

/// What they were before the first case.
static SETTINGS_BEFORE: LazyLock<Vec<(PathBuf, String)>> =
    LazyLock::new(|| SETTINGS.iter().filter_map(setting).collect());

pub(crate) struct World {
    /// Unmounted before the directories they are in are removed.
    aliases: Vec<Bound>,
    pool: Pool,
    outside: Pool,
    listener: UnixListener,
    abstract_name: String,
    canary: Child,
    before: BTreeMap<PathBuf, String>,
    nested: Option<PathBuf>,
    queues: Option<PathBuf>,
}

impl World {
    /// A world with hostile input in it.
    pub(crate) fn new(number: usize, launcher: Launcher, hostile: &[Hostile]) -> Self {
        LazyLock::force(&SETTINGS_BEFORE);
        let (pool, outside) = (Pool::new(), Pool::new());
        let marker = marker(&outside);
        outside.write("secret", SECRET);
        let hostbin = outside.write("hostbin", "#!/bin/sh\necho ESCAPE: a program of the host\n");
        fs::set_permissions(hostbin, fs::Permissions::from_mode(0o755)).expect("it is ours");
        outside.write("vol/evil", "#!/bin/sh\necho ESCAPE: the program of a volume\n");
        for dir in ["upper", "work", "bundle/rootfs", "run"] {
            outside.mkdir(dir);
        }
        let state = outside.mkdir("state");
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let policy = format!("# {marker}\npools: [{{path: {}}}]\n", pool.path().display());
        outside.write("prefix/etc/redpak/policy.yaml", policy);
        outside.write("state/redpak.yaml", &marker);
        let mut world = Self {
            listener: UnixListener::bind(outside.join("listener")).expect("the path is short enough"),
            abstract_name: format!("red-campaign-{}-{number}", std::process::id()),
            canary: Command::new("sleep").arg0("red-canary").arg("600").spawn().expect("it starts"),
            before: BTreeMap::new(),
            aliases: Vec::new(),
            nested: None,
            queues: None,
            pool,
            outside,
        };
        world.listener.set_nonblocking(true).expect("it can be");
        world.nodes(launcher, hostile, &marker);
        world.aliases();
        world.stands(hostile);
        for one in hostile {
            if let Hostile::Link { at, target } = one {
                symlink(target, world.filled(at)).expect("it is ours");
            }
        }
        world.before = world.deciding();
        world
    }

    fn nodes(&self, launcher: Launcher, hostile: &[Hostile], marker: &str) {
        for (below, name) in NODES {
            let mut config = String::from("path: /usr/bin:/usr/sbin");
            let mut exports = format!(
                "  - {{mode: Public, mount: /data/{name}, path: $NODE_PATH/data}}\n  - {{mode: Restricted, mount: /ro/{name}, path: $NODE_PATH/ro}}\n"
            );
            for one in hostile {
                match one {
                    Hostile::Config { node, line } if *node == name => config += &format!(", {line}"),
                    other => exports += &other.exports(name, self),
                }
            }
            let chdir = hostile.iter().find_map(|one| match one {
                Hostile::Cwd(cwd) if name == "app" && !launcher.is_engine() => {
                    Some(format!(", chdir: {cwd}"))
                }
                _ => None,
            });
            config += &chdir.unwrap_or_default();
            if name == "core" {
                config += ", share_all: Disabled";
            }
            let first = if matches!(name, "core" | "stranger") { CORE } else { "exports:\n" };
            self.pool.node(below, &format!("# {marker}\nconfig: {{{config}}}\n{first}{exports}"));
            let status = self.pool.join(format!("{below}/.rednode.yaml"));
            let text = fs::read_to_string(&status).expect("it was made") + "info: " + marker + "\n";
            fs::write(status, text).expect("it is ours");
            for dir in ["data/sub", "ro/sub", "private", ".red/gen", "var/lib/rpm", "var/lib/dnf"] {
                self.pool.mkdir(format!("{below}/{dir}"));
            }
            for file in ["file", "hosts", "passwd", "localtime", "resolv.conf"] {
                self.pool.write(format!("{below}/ro/{file}"), "ro\n");
            }
            self.pool.write(format!("{below}/var/lib/rpm/rpmdb.sqlite"), marker);
        }
    }

    /// The same things under other names.
    fn aliases(&mut self) {
        let (etc, ro) = (self.pool.join("core/etc"), self.pool.join("core/ro"));
        for (name, of) in [("alias", &etc), ("ro-alias", &ro)] {
            self.aliases.push(Bound::mount(of, &self.outside.mkdir(name)));
        }
        symlink(&etc, self.outside.join("link")).expect("it is ours");
        symlink(&ro, self.outside.join("ro-link")).expect("it is ours");
        let packages = self.pool.join("core/mid/app/var/lib/rpm/rpmdb.sqlite");
        for (name, of) in [("hardlink", etc.join("redpak.yaml")), ("hardlink-rpm", packages)] {
            fs::hard_link(of, self.outside.join(name)).expect("both are in one file system");
        }
    }

    /// What single cases need: a root with the pool mounted in it, message queues of the host.
    fn stands(&mut self, hostile: &[Hostile]) {
        if hostile.iter().any(|one| matches!(one, Hostile::ReadOnlyRoot { .. })) {
            let top = self.outside.mkdir("top");
            for dir in ["pool", "usr", "proc", "dev", "tmp"] {
                self.outside.mkdir(format!("top/{dir}"));
            }
            usual_links(&top);
            self.aliases.push(Bound::mount(self.pool.path(), &top.join("pool")));
        }
        if hostile.iter().any(|one| matches!(one, Hostile::Mount { source: "%/queues", .. })) {
            let queues = self.outside.mkdir("queues");
            // A kernel without queues has none to protect.
            let mounted = run(Command::new("mount").args(["-t", "mqueue", "none"]).arg(&queues)).code == 0;
            if mounted {
                fs::write(queues.join(marker(&self.outside)), "").expect("root may make one");
                self.queues = Some(queues);
            }
        }
        for one in hostile {
            if let Hostile::Part { source, overlay: true, .. } = one {
                let source = PathBuf::from(self.filled(source));
                fs::create_dir_all(source.parent().expect("it has one").join("work")).expect("it is ours");
            }
        }
        if hostile.iter().any(|one| matches!(one, Hostile::Secret(_))) {
            let secret = self.bundle_dir(hostile).join("secrets/key");
            fs::create_dir_all(secret.parent().expect("it has one")).expect("it is ours");
            fs::write(secret, "ESCAPE: the file of a user\n").expect("it is ours");
        }
    }

    /// Where the bundle is: for what an engine keeps beside it, as podman has it.
    pub(crate) fn bundle_dir(&self, hostile: &[Hostile]) -> PathBuf {
        let secret = hostile.iter().any(|one| matches!(one, Hostile::Secret(_)));
        self.outside.join(if secret { "overlay-containers/abc/userdata" } else { "bundle" })
    }

    /// A text with the world's places: `@` is the pool, `%` what is outside it.
    pub(crate) fn filled(&self, text: &str) -> String {
        let (pool, outside) = (self.pool.path().display(), self.outside.path().display());
        text.replace('@', &pool.to_string()).replace('%', &outside.to_string())
    }

    fn leaf(&self) -> PathBuf {
        self.pool.join("core/mid/app")
    }

    fn payload(&self) -> Vec<String> {
        let true_size = fs::metadata("/usr/bin/true").expect("it is there").size();
        let place = |name: &str| self.outside.join(name).display().to_string();
        let mut words: Vec<String> =
            ["python3", "-c", include_str!("payload.py")].map(str::to_owned).to_vec();
        words.extend([place("secret"), place("made"), self.canary.id().to_string(), place("listener")]);
        words.extend([self.abstract_name.clone(), true_size.to_string(), marker(&self.outside)]);
        words
    }

    /// Starts the payload; what it and its launcher said.
    pub(crate) fn launch(&mut self, launcher: Launcher, hostile: &[Hostile]) -> Said {
        let env: Vec<String> = hostile.iter().flat_map(|one| one.environment(self)).collect();
        self.nested = hostile.iter().find_map(|one| match one {
            Hostile::Nest { real, .. } => Some(Path::new(&self.filled(real)).join("x")),
            _ => None,
        });
        let mut said = self.start(launcher, hostile, &env);
        if hostile.iter().any(|one| matches!(one, Hostile::Relink(_))) {
            let again = self.start(launcher, hostile, &[]);
            said = Said { code: again.code, out: said.out + &again.out, err: said.err + &again.err };
        }
        said
    }

    fn start(&self, launcher: Launcher, hostile: &[Hostile], env: &[String]) -> Said {
        let said = match launcher {
            Launcher::Wrap => run(&mut self.wrap(&self.leaf(), env, &[])),
            Launcher::Detached => self.detached(env),
            Launcher::Engine | Launcher::Root | Launcher::Plain => {
                let bundle = self.bundle(launcher, hostile, env);
                run(self.runtime().args(["run", "-b"]).arg(bundle).arg("c"))
            }
            Launcher::Exec => self.exec(hostile),
        };
        self.sweep();
        said
    }

    fn wrap(&self, node: &Path, env: &[String], options: &[&str]) -> Command {
        let mut wrap = red_wrap(&self.outside.join("state"));
        wrap.env("NODE_PREFIX", self.outside.join("prefix")).arg(format!("--redpath={}", node.display()));
        for one in env {
            wrap.args(["-e", one]);
        }
        wrap.args(options).arg("--").args(self.payload());
        wrap
    }

    fn detached(&self, env: &[String]) -> Said {
        let mut said = run(&mut self.wrap(&self.leaf(), env, &["--detach", "--name", "d"]));
        if said.code == 0 {
            let state = || run(self.runtime().args(["state", "d"])).out;
            eventually("a detached command ends", || !state().contains("running"));
            let output = self.outside.join("state");
            said.out = run(Command::new("sh").args(["-c", "cat \"$0\"/.d.log"]).arg(output)).out;
        }
        said
    }

    fn runtime(&self) -> Command {
        let mut runtime = red_runtime(&self.outside.join("state"));
        runtime.env("NODE_PREFIX", self.outside.join("prefix"));
        runtime
    }

    fn bundle(&self, launcher: Launcher, hostile: &[Hostile], env: &[String]) -> PathBuf {
        let bundle = self.bundle_dir(hostile);
        let root = bundle.join("rootfs");
        fs::create_dir_all(&root).expect("it is ours");
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "cwd": "/", "args": self.payload(), "env": ["PATH=/usr/bin:/usr/sbin"],
                "user": {"uid": 0, "gid": 0}, "noNewPrivileges": true, "capabilities": {},
            },
            "hostname": "plain",
            "annotations": {},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            ],
            "linux": {
                "namespaces": [
                    {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"}
                ],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
            },
        });
        spec["process"]["env"].as_array_mut().expect("it is a list").extend(env.iter().map(|one| json!(one)));
        match launcher {
            Launcher::Engine => {
                spec["annotations"]["bzh.redpesk.redpak.redpath"] = json!(self.leaf());
            }
            Launcher::Root => spec["root"]["path"] = json!(self.leaf()),
            _ => {
                usual_links(&root);
                let mounts = spec["mounts"].as_array_mut().expect("it is a list");
                mounts.push(json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "rro"]}));
            }
        }
        for one in hostile {
            one.put_into(&mut spec, self);
        }
        fs::write(bundle.join("config.json"), spec.to_string()).expect("it is ours");
        bundle
    }

    /// A further process of a container that is harmless itself.
    fn exec(&self, hostile: &[Hostile]) -> Said {
        let bundle = self.bundle(Launcher::Plain, hostile, &[]);
        let mut spec: Value =
            serde_json::from_slice(&fs::read(bundle.join("config.json")).expect("it was made"))
                .expect("it is JSON");
        let process = spec["process"].take();
        spec["process"] = process.clone();
        spec["process"]["args"] = json!(["sleep", "600"]);
        spec["process"]["cwd"] = json!("/");
        spec["process"]["env"] = json!(["PATH=/usr/bin"]);
        fs::write(bundle.join("config.json"), spec.to_string()).expect("it is ours");
        let file = bundle.join("process.json");
        fs::write(&file, process.to_string()).expect("it is ours");
        let mut create = self.runtime();
        create.args(["create", "-b"]).arg(&bundle).arg("c").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(create.status().expect("it starts").success(), "the harmless container is made");
        run(self.runtime().args(["start", "c"])).good();
        run(self.runtime().args(["exec", "--process"]).arg(file).arg("c"))
    }

    fn sweep(&self) {
        let listed = run(self.runtime().args(["list", "-q"]));
        for id in listed.out.lines() {
            run(self.runtime().args(["delete", "--force", id]));
        }
    }

    /// What was reached that should not be: from what was said, and from a look at the host.
    pub(crate) fn escapes(&mut self, said: &Said, launcher: Launcher) -> Vec<String> {
        let mut found: Vec<String> =
            said.out.lines().filter(|line| line.starts_with("ESCAPE")).map(str::to_owned).collect();
        if said.out.contains(SECRET) {
            found.push("a secret was printed".into());
        }
        if self.outside.join("made").exists() {
            found.push("a file was made on the host".into());
        }
        if self.listener.accept().is_ok() {
            found.push("a socket of the host was connected to".into());
        }
        if self.canary.try_wait().expect("it is ours").is_some() {
            found.push("a process of the host was signalled".into());
        }
        for (path, value) in SETTINGS_BEFORE.iter() {
            let now = fs::read_to_string(path).unwrap_or_default();
            if now != *value {
                fs::write(path, value).expect("it can be set back");
                found.push(format!("{} became {}", path.display(), now.trim()));
            }
        }
        let after = self.deciding();
        for (path, facts) in &after {
            if self.before.get(path) != Some(facts) {
                found.push(format!("{} was made or changed", path.display()));
            }
        }
        found.extend(
            self.before
                .keys()
                .filter(|path| !after.contains_key(*path))
                .map(|path| format!("{} is gone", path.display())),
        );
        found.extend(namespaces(said, launcher));
        found.extend(self.nested());
        found
    }

    /// A node that the container made is started by somebody who is allowed to start nodes.
    fn nested(&self) -> Option<String> {
        let node = self.nested.as_ref().filter(|node| node.join(".rednode.yaml").exists())?;
        let said = run(&mut self.wrap(node, &[], &[]));
        self.sweep();
        (said.code == 0 || said.out.contains("NS"))
            .then(|| format!("a node that a container made was started: {}", node.display()))
    }

    /// Everything in the pool and of the host that decides, with what it holds.
    fn deciding(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        for (below, _) in NODES {
            for name in [".rednode.yaml", "etc", ".red", "var", "ro", "private"] {
                facts(&self.pool.join(below).join(name), &mut all);
            }
            // The directory itself: who may write to it, and what is in it.
            let node = self.pool.join(below);
            let names: Vec<_> =
                fs::read_dir(&node).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
            let mode = fs::metadata(&node).expect("it is there").mode();
            all.insert(node, format!("{mode:o} {}", names.len()));
        }
        facts(&self.outside.join("prefix"), &mut all);
        // Of the state directory what no runtime makes: a file of this world, and what the payload makes
        // beside such a one.
        for name in ["redpak.yaml", "redpak-admin.yaml", ".red"] {
            facts(&self.outside.join("state").join(name), &mut all);
        }
        all
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sweep();
        if let Some(queues) = &self.queues {
            let queue = queues.join(marker(&self.outside));
            drop(fs::remove_file(queue));
            run(Command::new("umount").arg(queues));
        }
        // One that is gone was found so already.
        let _gone = (self.canary.kill(), self.canary.wait());
    }
}

/// The links that a root has beside `/usr`.
fn usual_links(root: &Path) {
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        match symlink(target, root.join(link)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
    }
}

fn marker(outside: &Pool) -> String {
    format!("marker-{}", outside.path().file_name().expect("it has one").to_string_lossy())
}

fn setting(name: &&str) -> Option<(PathBuf, String)> {
    let path = Path::new("/proc/sys").join(name);
    fs::read_to_string(&path).ok().map(|value| (path, value))
}

fn facts(path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let Ok(found) = path.symlink_metadata() else { return };
    let contents = if found.is_file() { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    all.insert(path.to_owned(), format!("{:o} {} {contents}", found.mode(), found.uid()));
    if found.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            facts(&entry.path(), all);
        }
    }
}

/// Namespaces that nodes keep for themselves unless they say otherwise.
fn namespaces(said: &Said, launcher: Launcher) -> Vec<String> {
    let Some(line) = said.out.lines().find_map(|line| line.strip_prefix("NS ")) else { return Vec::new() };
    let inside: Value = serde_json::from_str(line).unwrap_or_default();
    let kinds: &[&str] = if launcher.is_node() { &["net", "ipc", "pid", "mnt"] } else { &["mnt", "pid"] };
    let hosts = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).expect("it is there");
    kinds
        .iter()
        .filter(|kind| inside[**kind].as_str() == hosts(kind).to_str())
        .map(|kind| format!("it is in the host's {kind} namespace"))
        .collect()
}
