//! `red-conf image --full`: what the target mounts, for machines without the node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{Said, conf, red_conf, red_wrap, run};
use red_tests::containerd::{Containerd, STOCK};
use red_tests::podman::{Podman, through_files};
use red_tests::skip;
use red_tests::stage::{Stage, eventually};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::{Value, json};

use super::{document, files};

/// What the core of a self-contained family gives to its nodes: nothing is the host's.
const CORE: &str = "config: {path: /usr/bin}
environ: [{key: HOME, value: /tmp}]
exports:
  - {mode: Restricted, mount: /usr, path: $NODE_PATH/usr}
  - {mode: Symlink, mount: /bin, path: usr/bin}
  - {mode: Symlink, mount: /lib, path: usr/lib}
  - {mode: Symlink, mount: /lib64, path: usr/lib64}
  - {mode: Execfd, mount: /etc/issue, path: echo made when written}
  - {mode: Procfs, mount: /proc}
  - {mode: Devfs, mount: /dev}
  - {mode: Tmpfs, mount: /tmp}
  - {mode: Anonymous, mount: /var/lib/app}
  - {mode: Private, mount: /secret, path: $NODE_PATH/secret}
";

/// A program as large as programs are, in a node that needs nothing of the host.
const PROGRAMS: [&str; 6] = ["sh", "cat", "env", "find", "id", "ls"];

/// A family of three that has its programs in its core.
fn family() -> Stage {
    let stage = Stage::new();
    let usr = stage.pool.mkdir("core/usr/bin");
    let mut needed = BTreeSet::new();
    for name in PROGRAMS {
        let program = fs::canonicalize(Path::new("/usr/bin").join(name)).expect("it is installed");
        run(Command::new("cp").arg(&program).arg(usr.join(name))).good();
        let libraries = run(Command::new("ldd").arg(&program)).good().out;
        needed.extend(libraries.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    for library in needed {
        let library = format!("/usr/{}", library.trim_start_matches("/usr").trim_start_matches('/'));
        let into = stage.pool.join(format!("core{library}"));
        fs::create_dir_all(into.parent().expect("it has one")).expect("it is ours");
        run(Command::new("cp").arg("-L").args([Path::new(&library), &into])).good();
    }
    stage.pool.write("core/secret/key", "of the core alone\n");
    stage.pool.node("core", CORE);
    let mid = "exports:\n  - {mode: Public, mount: /nodes/mid, path: $NODE_PATH/shared}\n  - {mode: Restricted, mount: /nodes/mid/sealed, path: $NODE_PATH/own}\n";
    stage.pool.write("core/mid/shared/text", "of mid\n");
    stage.pool.mkdir("core/mid/shared/sealed");
    stage.pool.write("core/mid/own/seal", "sealed\n");
    stage.pool.node("core/mid", mid);
    let app = "config: {chdir: /nodes/app}\nenviron: [{key: WHO, value: $LEAF_ALIAS}]\nexports:\n  - {mode: Private, mount: /nodes/app, path: $NODE_PATH/data}\n  - {mode: Anonymous, mount: /nodes/mid/scratch}\n";
    stage.pool.mkdir("core/mid/shared/scratch");
    stage.pool.write("core/mid/shared/scratch/covered", "not seen\n");
    let data = stage.pool.write("core/mid/app/data/greet", "#!/bin/sh\necho \"$WHO greets $1\"\n");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(stage.pool.join("core/mid/app/data"), fs::Permissions::from_mode(0o750))
        .expect("ours");
    fs::hard_link(&data, stage.pool.join("core/mid/app/data/again")).expect("it is ours");
    symlink("/usr/bin/sh", stage.pool.join("core/mid/app/data/link")).expect("it is ours");
    stage.pool.write(format!("core/mid/app/data/{}/deep", "long".repeat(40)), "deep\n");
    let odd = std::ffi::OsStr::from_bytes(b"core/mid/app/data/not \xff text\n");
    stage.pool.write(Path::new(odd), "odd\n");
    run(Command::new("mkfifo").arg(stage.pool.join("core/mid/app/data/fifo"))).good();
    let capable = stage.pool.write("core/mid/app/data/capable", "");
    // An owner that a tar header has no room for. A change of owner takes capabilities away.
    std::os::unix::fs::chown(&capable, Some(3_000_000), Some(12)).expect("root may");
    setxattr(&capable, "security.capability", &CAPABILITY, XattrFlags::empty()).expect("root may");
    stage.pool.node("core/mid/app", app);
    stage
}

/// CAP_NET_RAW, permitted and effective (capabilities(7), "File capability extended attribute versioning").
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn image(stage: &Stage, name: &str, options: &[&str]) -> (PathBuf, Said) {
    let options: Vec<&str> = ["--full"].iter().chain(options).copied().collect();
    super::image(stage, name, &options)
}

/// Nothing was written, not even in part.
fn assert_nothing(stage: &Stage, name: &str) {
    let names = fs::read_dir(stage.pool.path()).expect("it is there").flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_eq!(names.find(|one| one.contains(name)), None);
}

/// The manifest and the configuration.
fn documents(dir: &Path) -> (Value, Value) {
    let all = files(dir);
    let index: Value = serde_json::from_slice(&all[Path::new("index.json")]).expect("it is JSON");
    let manifest = document(&all, &index["manifests"][0]);
    let config = document(&all, &manifest["config"]);
    (manifest, config)
}

/// Paths in each layer of an image.
fn layers(dir: &Path) -> Vec<Vec<String>> {
    let (manifest, _) = documents(dir);
    let layers = manifest["layers"].as_array().expect("it has some").iter();
    let blob =
        |layer: &Value| layer["digest"].as_str().expect("it has one").replacen("sha256:", "blobs/sha256/", 1);
    let listed =
        layers.map(|layer| run(Command::new("tar").arg("-tzf").arg(dir.join(blob(layer)))).good().out);
    listed.map(|listed| listed.lines().map(str::to_owned).collect()).collect()
}

/// What a process of the node sees: its files with types, modes, owners and targets, and what it runs.
const LOOK: &str = "find /usr /nodes /bin /lib /etc/issue /tmp /var/lib -printf '%p %y %m %U:%G %l\\n'; \
    find /usr /nodes -type f -printf '%p %Ts %n\\n'; cat /nodes/mid/text /nodes/mid/sealed/seal /etc/issue; ./greet you; ./again me; pwd";

/// The same without what file systems and engines make of it.
fn seen(said: Said) -> BTreeSet<String> {
    said.good().out.lines().map(str::to_owned).collect()
}

fn environment(said: Said) -> BTreeMap<String, String> {
    let out = said.good().out;
    out.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn layers_are_the_same_for_the_same_nodes() {
    let stage = family();
    let (one, said) = image(&stage, "one", &["--json"]);
    let said = said.good().json();
    let (two, again) = image(&stage, "two", &[]);
    again.good();
    assert_eq!(files(&one), files(&two));
    let nodes: Vec<&str> = said["layers"]
        .as_array()
        .expect("some")
        .iter()
        .map(|one| one["node"].as_str().expect("it has one"))
        .collect();
    assert_eq!(nodes, ["core", "mid", "app"]);
    let (manifest, config) = documents(&one);
    let plan = conf(["plan", &stage.leaf.display().to_string(), "--json"]).good().json();
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["bzh.redpesk.redpak.origin.digest"], plan["digest"]);
    assert_eq!(annotations["bzh.redpesk.redpak.origin.redpath"], json!(stage.leaf));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    assert_eq!(config["history"][1]["created_by"], "red-conf image --full: node mid");
    assert_eq!(
        (&config["config"]["Cmd"], &config["config"]["WorkingDir"]),
        (&json!(["sh"]), &json!("/nodes/app"))
    );
    assert_eq!(config["config"]["User"], Value::Null);
    let layers = layers(&one);
    let all: Vec<&String> = layers.iter().flatten().collect();
    assert!(all.iter().all(|path| !path.contains("secret") && !path.contains(".red")), "{all:?}");
    assert!(!all.iter().any(|path| path.contains("covered")), "what a mount covers is not seen: {all:?}");
    assert!(
        layers[0].iter().any(|path| path == "usr/bin/cat")
            && !layers[2].iter().any(|path| path == "usr/bin/")
    );
    // A younger node changes its own layer only, and a sibling has the same layers below its own.
    stage.pool.write("core/mid/app/data/new", "more\n");
    let (more, said) = image(&stage, "more", &[]);
    said.good();
    // It mounts as much into what is mid's: what is covered is in no layer.
    let other =
        "exports: [{mode: Anonymous, mount: /nodes/mid/scratch}, {mode: Anonymous, mount: /nodes/other}]";
    let other = stage.pool.node("core/mid/other", other);
    let sibling = stage.pool.join("sibling");
    conf(["image", "--full", &other.display().to_string(), "--output", &sibling.display().to_string()])
        .good();
    let ids = |dir: &Path| documents(dir).1["rootfs"]["diff_ids"].as_array().expect("some").clone();
    for (dir, same) in [(&more, 2), (&sibling, 2)] {
        assert_eq!(ids(dir)[..same], ids(&one)[..same]);
        assert_ne!(ids(dir)[same], ids(&one)[same]);
    }
    // Something is there, and stays.
    let (_, said) = image(&stage, "one", &[]);
    assert!(said.code == 1 && said.err.contains("is not an empty directory"), "{}", said.err);
    assert_eq!(files(&one), files(&two));
}

#[test]
fn no_time_is_later_than_the_source_date_epoch() {
    let stage = family();
    let write = |name: &str, epoch: &str| {
        let mut command = red_conf();
        command.args(["image", "--full", "--output"]).arg(stage.pool.join(name)).arg(&stage.leaf);
        run(command.env("SOURCE_DATE_EPOCH", epoch))
    };
    write("first", "1000").good();
    let file = stage.pool.join("core/mid/app/data/greet");
    let now = fs::File::options().append(true).open(&file).expect("it is ours");
    now.set_modified(std::time::SystemTime::now()).expect("it is ours");
    write("second", "1000").good();
    assert_eq!(files(&stage.pool.join("first")), files(&stage.pool.join("second")));
    assert_eq!(documents(&stage.pool.join("first")).1["created"], "1970-01-01T00:16:40Z");
    for epoch in ["", "yesterday", "-1", "999999999999999"] {
        let said = write("refused", epoch);
        assert!(said.code == 1 && said.err.contains("invalid SOURCE_DATE_EPOCH"), "{epoch}: {}", said.err);
        assert_nothing(&stage, "refused");
    }
}

#[test]
fn podman_runs_it_with_runc_as_the_node_is() {
    let stage = family();
    let Some(podman) = Podman::new(&stage.pool, None) else { return skip("podman is not installed") };
    let Some(runc) = installed("runc") else { return skip("runc is not installed") };
    let (dir, said) = image(&stage, "image", &["--cmd", "./greet", "--cmd", "all"]);
    said.good();
    let wrapped = seen(stage.wrap(&["sh", "-c", LOOK]));
    let variables = environment(stage.wrap(&["env"]));
    let mut pull = podman.command();
    pull.args(["pull", "--quiet", "oci:image"]).current_dir(dir.parent().expect("it has one"));
    let id = through_files(stage.pool.path(), pull).good().out.trim().to_owned();
    // Where the node is there too it is not what runs.
    let text = stage.pool.write("core/mid/shared/text", "later\n");
    let said = podman.call(["run", "--rm", "--network", "none", &id, "cat", "/nodes/mid/text"]);
    assert_eq!((said.code, said.out.as_str()), (0, "of mid\n"), "{}", said.err);
    assert_eq!(stage.wrap(&["cat", "/nodes/mid/text"]).good().out, "later\n");
    fs::write(text, "of mid\n").expect("it is ours");
    // The image does not need the node, nor a runtime that knows nodes.
    fs::rename(stage.pool.join("core"), stage.pool.join("away")).expect("it is ours");
    let call = |options: &[&str], command: &[&str]| {
        let all = ["--runtime", &runc, "run", "--rm", "--network", "none"];
        podman.call(all.iter().chain(options).chain(&[&*id]).chain(command))
    };
    assert_eq!(call(&[], &[]).good().out, "app greets all\n");
    assert_eq!(seen(call(&[], &["sh", "-c", LOOK])), wrapped);
    let inside = environment(call(&[], &["env"]));
    for (key, value) in &variables {
        assert!(
            matches!(&**key, "PWD" | "SHLVL" | "_") || inside.get(key) == Some(value),
            "{key}: {inside:?}"
        );
    }
    let told = call(&["--user", "12:34"], &["id", "-u"]);
    assert_eq!(told.good().out, "12\n");
    // red-runtime takes it for what it is: a plain image.
    let said = podman.call(["run", "--rm", "--network", "none", &id]);
    assert_eq!((said.code, said.out.as_str()), (0, "app greets all\n"), "{}", said.err);
    // What no process of the container can tell, seen from outside.
    let root = podman.call(["image", "mount", &id]).good().out.trim().to_owned();
    let capable = Path::new(&root).join("nodes/app/capable");
    let mut value = [0_u8; 64];
    let length = getxattr(&capable, "security.capability", &mut value[..]).expect("it has one");
    let facts = fs::metadata(&capable).expect("it is there");
    let links = fs::metadata(Path::new(&root).join("nodes/app/again")).expect("it is there").nlink();
    podman.call(["image", "unmount", &id]).good();
    assert_eq!((&value[..length], facts.uid(), facts.gid(), links), (&CAPABILITY[..], 3_000_000, 12, 2));
}

#[test]
fn containerd_imports_it_as_an_archive_and_runs_it_with_runc() {
    let stage = family();
    if installed("containerd-shim-runc-v2").is_none() || installed("runc").is_none() {
        return skip("containerd's own shim or runc is not installed");
    }
    let Some(containerd) = Containerd::new(&stage) else { return skip("containerd is not installed") };
    let (dir, said) = image(&stage, "image", &["--name", "example.org/full:1"]);
    said.good();
    let wrapped = seen(stage.wrap(&["sh", "-c", LOOK]));
    let archive = stage.pool.join("image.tar").display().to_string();
    run(Command::new("tar").args(["-cf", &archive, "-C"]).arg(&dir).arg(".")).good();
    fs::rename(stage.pool.join("core"), stage.pool.join("away")).expect("it is ours");
    containerd.ctr(&["image", "import", &archive]).good();
    let call = |id: &str, command: &[&str]| {
        let all = ["run", "--rm", "--runtime", STOCK, "--cpu-shares", "0", "example.org/full:1", id];
        containerd.ctr(&all.iter().chain(command).copied().collect::<Vec<_>>())
    };
    assert_eq!(seen(call("red-full-a", &["sh", "-c", LOOK])), wrapped);
    assert_eq!(call("red-full-b", &["./greet", "you"]).good().out, "app greets you\n");
}

/// Path of an installed program.
fn installed(name: &str) -> Option<String> {
    run(Command::new("which").arg(name)).out.lines().next().map(str::to_owned)
}

/// Files of the host are in an image only when somebody says so, and those that nodes may write never.
#[test]
fn exports_of_the_host_are_for_the_caller_to_decide() {
    let stage = Stage::with("", "");
    stage.pool.write("tool/bin/run", "of the host\n");
    stage.pool.write("state/kept", "somebody's\n");
    let pool = stage.pool.path().display();
    let core = format!(
        "exports:\n  - {{mode: Restricted, mount: /tool, path: {pool}/tool}}\n  - {{mode: RestrictedFile, mount: /etc/one, path: {pool}/tool/bin/run}}\n  - {{mode: Public, mount: /data, path: {pool}/data}}\n  - {{mode: RestrictedFile, mount: /etc/hosts}}\n  - {{mode: Restricted, mount: /nodes/core, path: $NODE_PATH/usr}}\n"
    );
    stage.pool.write("data/file", "state\n");
    stage.pool.write("core/usr/file", "the node's\n");
    stage.pool.node("core", &core);
    let (_, said) = image(&stage, "refused", &[]);
    assert!(said.code == 1 && said.err.contains("image-contents"), "{}", said.err);
    for words in ["/etc/one, /tool", "--host-exports include", "--host-exports omit", "redpak.yaml:3"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_nothing(&stage, "refused");
    let (dir, said) = image(&stage, "with", &["--host-exports", "include"]);
    assert!(said.clone().good().err.contains("/data is empty"), "{}", said.err);
    let [host, oldest, .., leaf] = &layers(&dir)[..] else { panic!("too few layers") };
    assert_eq!(host, &["etc/", "etc/one", "tool/", "tool/bin/", "tool/bin/run"]);
    assert_eq!(oldest, &["nodes/", "nodes/core/", "nodes/core/file"]);
    assert!(leaf.contains(&"data/".to_owned()) && !leaf.contains(&"data/file".to_owned()), "{leaf:?}");
    assert!(!layers(&dir).concat().contains(&"etc/hosts".to_owned()), "engines make it");
    assert_eq!(documents(&dir).1["history"][0]["created_by"], "red-conf image --full: exports of the host");
    let (dir, said) = image(&stage, "without", &["--host-exports", "omit"]);
    said.good();
    let all = layers(&dir).concat();
    assert!(all.contains(&"tool/".to_owned()) && !all.contains(&"tool/bin/".to_owned()), "{all:?}");
    assert!(!all.contains(&"etc/one".to_owned()), "{all:?}");
    // A link of a node leads to no file of the host.
    let core = format!("{core}  - {{mode: Restricted, mount: /linked, path: $NODE_PATH/link}}\n");
    stage.pool.node("core", &core);
    symlink(stage.pool.join("tool"), stage.pool.join("core/link")).expect("it is ours");
    let (_, said) = image(&stage, "linked", &["--host-exports", "include"]);
    let link = stage.pool.join("core/link").display().to_string();
    assert!(said.code == 1 && said.err.contains(&link) && said.err.contains("symbolic link"), "{}", said.err);
    assert_nothing(&stage, "linked");
    let said = super::image(&stage, "usage", &["--host-exports", "omit"]).1;
    assert!(said.code == 2 && said.err.contains("--full"), "{}", said.err);
}

#[test]
fn variables_of_the_caller_stay_out_and_the_user_of_the_family_is_in() {
    let stage = family();
    let app = "config: {inherit-env: true, set-user: '1234', set-group: '77'}\nenviron: [{key: TOKEN, mode: Inherit}, {key: WHO, value: $LEAF_ALIAS}, {key: STOLEN, value: x$OTHER}]\nexports: [{mode: Anonymous, mount: /own}, {mode: Symlink, mount: /link, path: /x$OTHER}]\n";
    stage.pool.node("core/mid/app", app);
    let mut command = red_conf();
    command.args(["image", "--full", "--output"]).arg(stage.pool.join("image")).arg(&stage.leaf);
    let said = run(command.env("TOKEN", "secret").env("OTHER", "secret")).good();
    assert!(said.err.contains("TOKEN") && said.err.contains("inherit-env"), "{}", said.err);
    assert!(said.err.contains("OTHER") && !said.err.contains("secret"), "{}", said.err);
    let found = run(Command::new("grep").args(["-rlz", "secret"]).arg(stage.pool.join("image")));
    assert_eq!((found.code, found.out.as_str()), (1, ""));
    let (_, config) = documents(&stage.pool.join("image"));
    assert_eq!(config["config"]["Env"], json!(["HOME=/tmp", "PATH=/usr/bin", "STOLEN=x", "WHO=app"]));
    assert_eq!(config["config"]["User"], "1234:77");
}

#[test]
fn what_cannot_be_in_an_image_is_refused() {
    let stage = family();
    let refuse = |words: &[&str]| {
        let (_, said) = image(&stage, "refused", &[]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{words:?}");
        for word in words {
            assert!(said.err.contains(word), "{word}: {}", said.err);
        }
        assert_nothing(&stage, "refused");
    };
    let data = stage.pool.join("core/mid/app/data");
    let whiteout = stage.pool.write("core/mid/app/data/.wh.greet", "");
    refuse(&[&whiteout.display().to_string(), "`.wh.`", "rename it"]);
    fs::remove_file(whiteout).expect("it is ours");
    let listener = std::os::unix::net::UnixListener::bind(data.join("socket")).expect("it is ours");
    refuse(&[&data.join("socket").display().to_string(), "a socket cannot be in an image"]);
    drop(listener);
    fs::remove_file(data.join("socket")).expect("it is ours");
    run(Command::new("mknod").arg(data.join("device")).args(["c", "1", "3"])).good();
    refuse(&[&data.join("device").display().to_string(), "a device cannot be in an image"]);
    fs::remove_file(data.join("device")).expect("it is ours");
    // An image does not hold itself.
    let (dir, said) = image(&stage, "core/mid/app/data/refused", &[]);
    assert!(said.code == 1 && said.err.contains("write it elsewhere") && !dir.exists(), "{}", said.err);
    // An image that is a copy is no reference to what it is a copy of.
    let own = "exports: [{mode: RestrictedFile, mount: /.redpath.yaml, path: $NODE_PATH/data/greet}]\n";
    stage.pool.node("core/mid/app", own);
    refuse(&["/.redpath.yaml would make red-runtime take the image for a reference"]);
}

/// A file system that is full ends it with the reason, and nothing of it stays.
#[test]
fn a_full_disk_is_told_and_cleaned_up() {
    let stage = family();
    let small = stage.pool.mkdir("small");
    let script = "mount -t tmpfs -o size=256k small \"$1\" && shift && \"$@\"; code=$?; ls -A \"$SMALL\" >&2; exit $code";
    let conf = stage.pool.join("red-conf");
    symlink(red_tests::call::built("red-runtime"), &conf).expect("it is ours");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&small).env("SMALL", &small).arg(&conf);
    command.args(["image", "--full", "--output"]).arg(small.join("image")).arg(&stage.leaf);
    let said = run(&mut command);
    assert!(said.code == 1 && said.err.contains("No space left on device"), "{}", said.err);
    let lines: Vec<&str> = said.err.trim().lines().collect();
    assert!(lines.last().is_some_and(|line| line.contains("No space left")), "nothing is left: {lines:?}");
    assert!(said.err.contains(&small.join("image").display().to_string()), "{}", said.err);
}

/// Whoever ends it early has nothing to clean up.
#[test]
fn a_signal_ends_it_and_nothing_stays() {
    let stage = family();
    // Holes, which take long to read and no room.
    let large = stage.pool.write("core/mid/app/data/large", "");
    fs::File::options().write(true).open(large).and_then(|file| file.set_len(1 << 40)).expect("it is ours");
    let mut command = red_conf();
    command.args(["image", "--full", "--output"]).arg(stage.pool.join("image")).arg(&stage.leaf);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let building = || {
        let mut names = fs::read_dir(stage.pool.path()).expect("it is there").flatten();
        names.any(|entry| entry.file_name().to_string_lossy().starts_with(".image."))
    };
    eventually("the image is being written", building);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
    let status = child.wait().expect("it ends");
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("it is a pipe"), &mut err).expect("text");
    assert!(status.code() == Some(1) && err.contains("interrupted"), "{status}: {err}");
    assert_nothing(&stage, "image");
}

/// Directories that a launch makes, and what is in the root that it makes.
#[test]
fn what_the_launch_makes_is_in_the_image() {
    let stage = family();
    let app = "exports:\n  - {mode: Private, mount: /made, path: $NODE_PATH/made}\n  - {mode: Tmpfs, mount: /made/deep/tmp}\n  - {mode: Lock, mount: /run/lock}\n";
    stage.pool.node("core/mid/app", app);
    let (dir, said) = image(&stage, "image", &[]);
    said.good();
    let leaf = layers(&dir).pop().expect("it has one");
    for path in ["made/", "made/deep/", "made/deep/tmp/", "run/lock", "etc/issue", "etc/passwd"] {
        assert_eq!(leaf.iter().filter(|one| *one == path).count(), 1, "{path}: {leaf:?}");
    }
    assert!(!stage.pool.join("core/mid/app/made").exists(), "nothing is made in the node");
    let mut wrap = red_wrap(&stage.root);
    wrap.arg(format!("--redpath={}", stage.leaf.display())).args(["--", "ls", "/made/deep"]);
    assert_eq!(run(&mut wrap).good().out, "tmp\n");
}
