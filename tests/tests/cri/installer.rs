//! The init container of `docs/kubernetes/daemonset.yaml`, as a pod that writes to directories of a cluster node, and
//! k3s's templates as containerd loads them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{built, run};
use red_tests::pool::Pool;
use red_tests::skip;
use red_tests::stage::Stage;

use crate::assert_no_leftovers;
use crate::configuration::{self, docs};
use crate::daemon::Cri;
use crate::images;
use crate::manifest::{Container, DaemonSet, Manifest, PodSpec, read};
use crate::pod::{Pod, bind};

const IMPORTS: &str = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n";

/// The image that `Containerfile` describes, but for its base.
fn image(dir: &Path, name: &str) -> PathBuf {
    let layer = dir.join("installer");
    for below in ["red", "usr", "host/bin", "host/containerd"] {
        fs::create_dir_all(layer.join(below)).expect("test directory is writable");
    }
    symlink("usr/bin", layer.join("bin")).expect("test directory is writable");
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), layer.join(name)).expect("test directory is writable");
    }
    let text = fs::read_to_string(docs("kubernetes/Containerfile")).expect("exists");
    let copied = text.lines().find_map(|line| line.strip_prefix("COPY ")).expect("it copies");
    let mut files: Vec<_> = copied.split(' ').collect();
    assert_eq!(files.pop(), Some("/red/"));
    for file in files {
        let file = Path::new(file);
        let name = file.file_name().and_then(|name| name.to_str()).expect("a file");
        let source = match file.strip_prefix("docs").ok().and_then(Path::to_str) {
            Some(below) => docs(below),
            None => built(name),
        };
        fs::copy(source, layer.join("red").join(name)).expect("test directory is writable");
    }
    images::archive(&layer, name, &["sh"])
}

/// Directories of a cluster node.
struct Host(PathBuf);

impl Host {
    fn new(cri: &Cri, name: &str, config: Option<&str>) -> Self {
        let this = Self(cri.stage.pool.mkdir(format!("hosts/{name}")));
        for dir in ["usr/bin", "etc/containerd"] {
            fs::create_dir_all(this.0.join(dir)).expect("test directory is writable");
        }
        if let Some(config) = config {
            fs::write(this.0.join("etc/containerd/config.toml"), config).expect("test directory is writable");
        }
        this
    }

    /// Where a directory of the cluster node is.
    fn path(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").expect("absolute"))
    }

    /// Files below it, with their inode and mode.
    fn files(&self) -> Vec<(String, u64, u32)> {
        let all = run(Command::new("find").arg(&self.0).args(["-type", "f", "-o", "-type", "l"])).good().out;
        let file = |path: &str| {
            let metadata = fs::symlink_metadata(path).expect("exists");
            let below = Path::new(path).strip_prefix(&self.0).expect("below").display().to_string();
            (below, metadata.ino(), metadata.permissions().mode() & 0o7777)
        };
        let mut all: Vec<_> = all.lines().map(file).collect();
        all.sort();
        all
    }

    fn names(&self) -> Vec<String> {
        self.files().into_iter().map(|(name, ..)| name).collect()
    }
}

/// Runs the init container to its end: status and output.
fn install(pod: &Pod, spec: &PodSpec, container: &Container, host: &Host) -> (i32, String) {
    let mut config = container.config(spec, pod, |path| host.path(path));
    // The image has no programs of its own.
    config.mounts.push(bind(Path::new("/usr"), "/usr", true));
    let id = pod.started(config);
    let code = pod.ended(&id).exit_code;
    let output = ["stdout", "stderr"].map(|stream| pod.log(&container.name, stream)).concat();
    fs::remove_file(pod.log_file(&container.name)).expect("exists");
    pod.remove(&id);
    (code, output)
}

#[test]
fn the_daemon_set_installs_and_updates() {
    let Some(cri) = Cri::start(Stage::new()) else { return };
    let set: Manifest<DaemonSet> = read(&docs("kubernetes/daemonset.yaml"), "DaemonSet");
    let spec = set.spec.template.spec;
    let [container] = &spec.init_containers[..] else { panic!("{spec:?}") };
    let name = spec.images().next().expect("it has one");
    cri.import(&image(&cri.stage.pool.mkdir("made"), name), name);
    let pod = Pod::run(&cri, "runc", "installer");
    let everything = [
        "etc/containerd/conf.d/red-runtime.toml",
        "etc/containerd/config.toml",
        "usr/bin/containerd-shim-red-v2",
        "usr/bin/red-runtime",
    ];

    let host = Host::new(&cri, "imports", Some(IMPORTS));
    let (code, output) = install(&pod, &spec, container, &host);
    assert_eq!((code, output.matches("installed ").count()), (0, 3), "{output}");
    let first = host.files();
    assert_eq!(host.names(), everything);
    assert!(
        first.iter().all(|(name, _, mode)| *mode == if name.starts_with("usr") { 0o755 } else { 0o644 }),
        "{first:?}"
    );
    let drop_in = fs::read_to_string(host.path(Path::new("/etc/containerd/conf.d/red-runtime.toml")));
    let shipped = fs::read_to_string(docs("containerd/red-v3.toml"));
    assert_eq!(drop_in.ok(), shipped.ok());

    // Again: nothing is written. An older program, which may be running: another inode takes its place.
    assert_eq!(install(&pod, &spec, container, &host), (0, String::new()));
    assert_eq!(host.files(), first);
    let program = host.path(Path::new("/usr/bin/red-runtime"));
    fs::write(&program, "old").expect("test directory is writable");
    let (code, output) = install(&pod, &spec, container, &host);
    assert_eq!((code, output.as_str()), (0, "installed /host/bin/red-runtime\n"));
    assert_eq!(fs::read(&program).ok(), fs::read(built("red-runtime")).ok());
    assert!(host.files() != first && host.names() == everything);

    // A link is replaced, and what it leads to is left alone.
    let elsewhere = cri.stage.pool.write("elsewhere", "somebody's");
    fs::remove_file(&program).expect("exists");
    symlink(&elsewhere, &program).expect("test directory is writable");
    assert_eq!(install(&pod, &spec, container, &host).0, 0);
    assert!(!program.is_symlink() && fs::read_to_string(&elsewhere).is_ok_and(|text| text == "somebody's"));

    let red = fs::read_to_string(docs("containerd/red-v2.toml")).expect("exists");
    let by_hand = Host::new(&cri, "by-hand", Some(&red));
    let (code, output) = install(&pod, &spec, container, &by_hand);
    assert!(code == 0 && output.contains("configures the runtime already"), "{output}");
    assert_eq!(by_hand.names(), everything[1..]);

    for (name, config) in [
        ("version-2", Some("version = 2\nimports = ['/etc/containerd/conf.d/*.toml']\n")),
        ("no-imports", Some("version = 3\n")),
        (
            "comments",
            Some("version = 3\n# imports = ['/etc/containerd/conf.d/*.toml']\n# io.containerd.red.v2\n"),
        ),
        ("nothing", None),
    ] {
        let host = Host::new(&cri, name, config);
        let before = host.files();
        let (code, output) = install(&pod, &spec, container, &host);
        assert!(
            code == 1 && output.contains("add the tables of docs/containerd/red-v2.toml"),
            "{name}: {output}"
        );
        assert_eq!(host.files(), before, "{name}");
    }
    pod.end();
    assert_no_leftovers(&cri);
}

/// What k3s puts in the place of `{{ template "base" . }}`, shortened to what could collide with the tables behind it.
fn base(version: u32) -> String {
    let table = configuration::runtimes(version);
    format!(
        "version = {version}\nroot = \"/nowhere/root\"\nstate = \"/nowhere/state\"\n[{table}]\n\
         enable_selinux = false\n[{table}.containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n[{table}.containerd.runtimes.runc.options]\n\
         SystemdCgroup = true\n"
    )
}

#[test]
fn templates_of_k3s_are_loaded() {
    if run(Command::new("which").arg("containerd")).code != 0 {
        return skip("containerd is not installed");
    }
    let pool = Pool::new();
    // Each release reads older formats.
    let newest = configuration::version();
    for (version, name) in [(2, "config.toml.tmpl"), (3, "config-v3.toml.tmpl")] {
        if version > newest {
            red_tests::remark("this containerd does not read version 3 of its configuration");
            continue;
        }
        let template = fs::read_to_string(docs("k3s").join(name)).expect("exists");
        let text = template.replacen("{{ template \"base\" . }}", &base(version), 1);
        let text = text.replacen("{{ .SystemdCgroup }}", "true", 1);
        assert!(!text.contains("{{"), "{name}: {text}");
        let file = pool.write(name, text);
        let dump =
            run(Command::new("containerd").arg("--config").arg(&file).args(["config", "dump"])).good().out;
        let dump = dump.replace('\'', "\"");
        for runtime in ["runc", "red"] {
            let tables = dump.split(&format!(".containerd.runtimes.{runtime}]")).nth(1);
            let tables = tables.unwrap_or_else(|| panic!("{name}: no {runtime}:\n{dump}"));
            let tables: String = tables.split("\n\n").take(2).collect();
            assert!(
                tables.contains(&format!("runtime_type = \"io.containerd.{runtime}.v2\"")),
                "{name}: {tables}"
            );
            assert!(tables.contains("SystemdCgroup = true"), "{name}: {tables}");
        }
        assert!(dump.contains("BinaryName = \"/usr/bin/red-runtime\""), "{name}: {dump}");
        assert_eq!(dump.matches("_annotations = [\"bzh.redpesk.redpak.*\"]").count(), 2, "{name}: {dump}");
    }
}
