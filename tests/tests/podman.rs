//! Nodes under podman.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::broom::User;
use red_tests::call::{red_conf, run};
use red_tests::podman::Podman;
use red_tests::stage::{Stage, eventually};
use red_tests::{remark, skip};

macro_rules! podman_or_skip {
    ($pool:expr, $user:expr) => {
        match Podman::new($pool, $user) {
            Some(podman) => podman,
            None => return skip("podman is not installed"),
        }
    };
}

/// Every file of a tree with what can be seen of it.
fn tree(path: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![path.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let facts = entry.metadata().expect("it is there");
            if facts.is_dir() {
                todo.push(entry.path());
            }
            let size = if facts.is_dir() { 0 } else { facts.len() };
            all.insert(entry.path(), (size, facts.permissions().mode()));
        }
    }
    all
}

/// The ways an engine names a node, and that none of them writes into it.
#[test]
fn a_node_is_chosen_in_four_ways_and_nothing_is_written_into_it() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    let before = tree(&stage.pool.join("core"));
    let empty = stage.pool.mkdir("empty");
    let reference = stage.pool.mkdir("reference");
    stage.pool.write("reference/.redpath.yaml", format!("redpath: {}\n", stage.leaf.display()));
    let annotation = format!("bzh.redpesk.redpak.redpath={}", stage.leaf.display());
    let say = ["sh", "-c", "echo $WHO; hostname"];
    for (options, root, overlay) in [
        (&["--annotation", &annotation][..], &empty, false),
        (&[], &stage.leaf, false),
        (&[], &stage.leaf, true),
        (&[], &reference, false),
    ] {
        let said = podman.run_root(options, root, overlay, &say);
        assert_eq!((said.code, said.out.as_str()), (0, "app\nbox-app\n"), "{}: {}", root.display(), said.err);
    }
    let image = stage.pool.write("reference/Containerfile", "FROM scratch\nCOPY .redpath.yaml /\n");
    let built = podman.call([
        "build",
        "--quiet",
        "--tag",
        "localhost/red-app",
        "--file",
        image.to_str().expect("it is text"),
        reference.to_str().expect("it is text"),
    ]);
    assert_eq!(built.code, 0, "{}", built.err);
    let said =
        podman.call(["run", "--rm", "--network", "none", "localhost/red-app", "sh", "-c", "echo $WHO"]);
    assert_eq!((said.code, said.out.as_str()), (0, "app\n"), "{}", said.err);
    assert_eq!(before, tree(&stage.pool.join("core")), "something was written into a node");
}

#[test]
fn a_container_is_looked_after() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    let root = format!("{}:O", stage.leaf.display());
    let script = "echo started; trap 'echo ended; exit 0' TERM; while :; do sleep 0.05; done";
    podman
        .call([
            "run",
            "-d",
            "--name",
            "one",
            "--network",
            "none",
            "--memory",
            "64m",
            "--pids-limit",
            "50",
            "--cpus",
            "0.5",
            "--health-cmd",
            "test -e /usr",
            "--rootfs",
            &root,
            "sh",
            "-c",
            script,
        ])
        .good();
    eventually("it says so", || podman.call(["logs", "one"]).out == "started\n");
    let said = podman.call(["exec", "one", "sh", "-c", "echo $WHO; exit 7"]);
    assert_eq!((said.code, said.out.as_str()), (7, "app\n"));
    assert_eq!(podman.call(["exec", "one", "no-such-command"]).code, 127);
    assert_eq!(podman.call(["exec", "one", "/etc/passwd"]).code, 126);
    assert_eq!(podman.call(["exec", "one", "/no/such/command"]).code, 127);
    assert_eq!(podman.call(["exec", "--workdir", "/no/such/directory", "one", "true"]).code, 127);
    let inspect =
        |format: &str| podman.call(["inspect", "--format", format, "one"]).good().out.trim().to_owned();
    assert_eq!(inspect("{{.State.Status}}"), "running");
    let (id, pid) = (inspect("{{.Id}}"), inspect("{{.State.Pid}}"));
    let read = |controller: &str, v1: &str, v2: &str| {
        let v1 = format!("/sys/fs/cgroup/{controller}/libpod_parent/libpod-{id}/{v1}");
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
        let v2 = format!("/sys/fs/cgroup{own}/{v2}");
        fs::read_to_string(v1).or_else(|_| fs::read_to_string(v2)).unwrap_or_default()
    };
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max").trim(), "67108864");
    assert_eq!(read("pids", "pids.max", "pids.max").trim(), "50");
    assert!(read("cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("50000"));
    podman.call(["pause", "one"]).good();
    assert_eq!(inspect("{{.State.Status}}"), "paused");
    podman.call(["unpause", "one"]).good();
    let stats = podman.call(["stats", "--no-stream", "--format", "{{.PIDs}}", "one"]).good();
    assert!(stats.out.trim().parse::<u32>().is_ok_and(|pids| pids > 0), "{}", stats.out);
    assert!(podman.call(["top", "one"]).good().out.contains("sh -c"));
    // Without systemd podman cannot set a timer, but a person can ask.
    assert_eq!(podman.call(["healthcheck", "run", "one"]).code, 0);
    podman.call(["kill", "--signal", "CONT", "one"]).good();
    podman.call(["stop", "--time", "100", "one"]).good();
    assert_eq!(inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
    assert_eq!(podman.call(["logs", "one"]).out, "started\nended\n");
    podman.call(["rm", "one"]).good();
    let pattern = format!("*libpod-{id}*");
    assert_eq!(run(Command::new("find").args(["/sys/fs/cgroup", "-name", &pattern])).out, "");
}

#[test]
fn options_of_podman() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    let run =
        |options: &[&str], script: &str| podman.run_root(options, &stage.leaf, true, &["sh", "-c", script]);
    let data = stage.pool.mkdir("data");
    stage.pool.write("data/in", "from outside\n");
    let volume = format!("{}:/data", data.display());
    assert_eq!(run(&["-v", &volume], "cat /data/in; echo back > /data/out").good().out, "from outside\n");
    assert_eq!(fs::read_to_string(data.join("out")).expect("it was written"), "back\n");
    assert_eq!(run(&["--user", "1234:4321"], "id -u; id -g").good().out, "1234\n4321\n");
    assert_eq!(
        run(&["--read-only"], "touch /x 2>/dev/null || echo no; touch /tmp/x && echo yes").good().out,
        "no\nyes\n"
    );
    // Neither of them gives what the other does not.
    assert_eq!(
        run(&["--cap-add", "SYS_ADMIN"], "grep CapBnd /proc/self/status").good().out,
        "CapBnd:\t0000000000000000\n"
    );
    assert_eq!(
        run(&["-e", "FROM=podman", "-e", "WHO=podman"], "echo $FROM $WHO; pwd").good().out,
        "podman app\n/\n"
    );
    assert_eq!(run(&["--hostname", "other"], "hostname").good().out, "box-app\n");
    assert_eq!(run(&[], "exit 42").code, 42);
    assert_eq!(run(&["--init"], "kill -TERM $$").code, 128 + 15);
    let seccomp = run(&[], "grep -E 'Seccomp:|NoNew' /proc/self/status").good();
    assert_eq!(seccomp.out, "NoNewPrivs:\t1\nSeccomp:\t2\n");
    let capabilities = Stage::with(", capabilities: [{cap: CHOWN, add: 1}, {cap: SYS_ADMIN, add: 1}]", "");
    let podman = podman_or_skip!(&capabilities.pool, None);
    let granted = podman.run_root(&[], &capabilities.leaf, true, &["grep", "CapEff", "/proc/self/status"]);
    assert_eq!(
        granted.good().out,
        "CapEff:\t0000000000000001\n",
        "podman gives no SYS_ADMIN, the node CHOWN"
    );
}

#[test]
fn what_podman_prints_is_our_message() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    let data = stage.pool.mkdir("data").display().to_string();
    let over = |path: &str| format!("{data}:{path}");
    let annotation = |key: &str, value: &str| format!("bzh.redpesk.redpak.{key}={value}");
    let missing = annotation("redpath", &stage.pool.join("core/none").display().to_string());
    let outside = annotation("redpath", "/usr");
    for (options, words, code) in [
        (
            vec!["-v".to_owned(), over("/usr")],
            vec!["/core/etc/redpak.yaml:5:", "would cover /usr, which node `core` exports"],
            126,
        ),
        (vec!["-v".to_owned(), over("/usr/share/x")], vec!["a part of /usr", "read-only"], 126),
        (vec!["-v".to_owned(), over("/nodes")], vec!["would cover /nodes/"], 126),
        (vec!["--pid=host".to_owned()], vec!["--pid host", "share_pid: Disabled"], 126),
        (vec!["--device=/dev/fuse".to_owned()], vec!["no devices but the usual ones"], 126),
        (vec!["--annotation".to_owned(), missing], vec!["missing (ENOENT)", "core/none"], 126),
        (vec!["--annotation".to_owned(), outside], vec!["is not a node"], 126),
        (
            vec!["--annotation".to_owned(), annotation("plan-digest", &"0".repeat(64))],
            vec!["plan digest mismatch for "],
            126,
        ),
        (
            vec!["--annotation".to_owned(), annotation("plan-digest", "sha256:00")],
            vec!["64 hexadecimal digits"],
            126,
        ),
        (vec!["--annotation".to_owned(), annotation("redpth", "/x")], vec!["did you mean"], 126),
        (vec!["--tmpfs".to_owned(), "/usr/sbin".to_owned()], vec!["a part of /usr", "read-only"], 126),
        (vec!["-v".to_owned(), format!("{data}:/usr/share:O")], vec!["a part of /usr", "read-only"], 126),
        (
            vec![format!("--ipc=ns:/proc/{}/ns/ipc", std::process::id())],
            vec!["--ipc host", "share_ipc: Disabled"],
            126,
        ),
        (vec!["--annotation".to_owned(), annotation("admin", "true")], vec!["admin mode"], 126),
    ] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let said = podman.run_root(&options, &stage.leaf, true, &["true"]);
        assert_eq!(said.code, code, "{options:?}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "{options:?}: {word}: {}", said.err);
        }
        assert!(!said.err.contains("no such file"), "{}", said.err);
    }
    let said = podman.call([
        "run",
        "--rm",
        "--network",
        "host",
        "--rootfs",
        &format!("{}:O", stage.leaf.display()),
        "true",
    ]);
    assert!(said.code == 126 && said.err.contains("--network host"), "{}", said.err);
    assert_eq!(podman.run_root(&[], &stage.leaf, true, &["no-such"]).code, 127);
    assert_eq!(podman.run_root(&[], &stage.leaf, true, &["/etc/passwd"]).code, 126);
    let config = stage.pool.join("core/mid/etc/redpak.yaml");
    let good = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, format!("{good}\nexprots: []\n")).expect("it is ours");
    let said = podman.run_root(&[], &stage.leaf, true, &["true"]);
    assert!(
        said.code == 126
            && said.err.contains("core/mid/etc/redpak.yaml:4:1: ")
            && said.err.contains("exprots"),
        "{}",
        said.err
    );
    fs::write(&config, good).expect("it is ours");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let said = podman.run_root(&[], &stage.leaf, true, &["true"]);
    assert!(said.code == 126 && said.err.contains("can be written by others"), "{}", said.err);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).expect("it is ours");
    stage.pool.status("core", "Disable");
    let said = podman.run_root(&[], &stage.leaf, true, &["true"]);
    assert!(said.code == 126 && said.err.contains("node `core` is not enabled"), "{}", said.err);
}

/// podman's own files come through to a node whose `/etc` is read-only; a user's by the same names do
/// not.
#[test]
fn files_of_podmans_own_are_known_by_where_they_lie() {
    let leaf = "  - {mode: Restricted, mount: /etc, path: $NODE_PATH/own}\n";
    let stage = Stage::with("", leaf);
    for name in ["passwd", "group", "hosts", "hostname", "resolv.conf"] {
        stage.pool.write(format!("core/mid/app/own/{name}"), format!("the node's {name}\n"));
    }
    let podman = podman_or_skip!(&stage.pool, None);
    let said =
        podman.run_root(&["--add-host", "peer:10.1.2.3"], &stage.leaf, true, &["cat", "/etc/hosts"]).good();
    assert!(said.out.contains("10.1.2.3"), "{}", said.out);
    let file = stage.pool.write("user/file", "EVIL\n").display().to_string();
    for name in ["hosts", "passwd", "resolv.conf", "shadow"] {
        let said = podman.run_root(
            &["-v", &format!("{file}:/etc/{name}")],
            &stage.leaf,
            true,
            &["cat", "/etc/hosts"],
        );
        assert!(said.code == 126 && said.err.contains("would cover"), "{name}: {}{}", said.out, said.err);
    }
    let config = stage.pool.join("core").display().to_string();
    let said = podman.run_root(&["-v", &format!("{config}:/host")], &stage.leaf, true, &["true"]);
    assert!(said.code == 126 && said.err.contains("would make writable what decides"), "{}", said.err);
}

/// What podman adds to what red-wrap shows, and nothing else: this list.
#[test]
fn podman_runs_the_same_plan_and_shows_the_same_but_for_what_it_adds() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    let digest = run(red_conf().args(["plan", "--digest"]).arg(&stage.leaf)).good().out;
    let pinned = format!("bzh.redpesk.redpak.plan-digest={}", digest.trim());
    let view = "cut -d' ' -f4-6 /proc/self/mountinfo | sort; env | sort; grep -E 'Cap|NoNew' /proc/self/status; hostname; umask; pwd; id";
    let theirs =
        podman.run_root(&["--annotation", &pinned], &stage.leaf, true, &["sh", "-c", view]).good().out;
    let ours = stage.wrap(&["sh", "-c", view]).good().out;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(&ours), lines(&theirs));
    let missing: Vec<&String> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    // podman's own /dev, /dev/pts and /dev/shm have flags of their own.
    assert!(missing.iter().all(|line| line.starts_with("/ /dev")), "{missing:?}");
    let added: Vec<&String> = theirs.iter().filter(|line| !ours.contains(line)).collect();
    let known = [
        " /dev",
        " /sys",
        " /etc/hosts",
        " /etc/hostname",
        " /etc/resolv.conf",
        " /run/.containerenv",
        " /run/secrets",
        "container=",
        "TERM=",
        "HOSTNAME=",
    ];
    assert!(added.iter().all(|line| known.iter().any(|known| line.contains(known))), "{added:?}");
}

#[test]
fn a_pod_of_two_leaves_of_one_family() {
    let stage = Stage::new();
    stage.pool.mkdir("core/mid/two/private");
    stage.pool.node("core/mid/two", "environ: [{key: WHO, value: $LEAF_ALIAS}]");
    let podman = podman_or_skip!(&stage.pool, None);
    if !Path::new("/usr/bin/catatonit").exists() && !Path::new("/usr/libexec/podman/catatonit").exists() {
        return skip("catatonit, which podman needs for pods, is not installed");
    }
    podman.call(["pod", "create", "--name", "red-pod", "--network", "none"]).good();
    let root = |leaf: &str| format!("{}:O", stage.pool.join(leaf).display());
    podman
        .call([
            "run",
            "-d",
            "--pod",
            "red-pod",
            "--name",
            "server",
            "--rootfs",
            &root("core/mid/app"),
            "python3",
            "-m",
            "http.server",
            "8080",
            "--directory",
            "/nodes/mid/shared",
        ])
        .good();
    stage.pool.write("core/mid/shared/file", "shared by the family\n");
    let client = "for i in $(seq 50); do python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8080/file\").read().decode(), end=\"\")' 2>/dev/null && break; sleep 0.1; done; cat /nodes/mid/shared/file; echo $WHO";
    let said = podman
        .call(["run", "--rm", "--pod", "red-pod", "--rootfs", &root("core/mid/two"), "sh", "-c", client])
        .good();
    assert_eq!(said.out, "shared by the family\nshared by the family\ntwo\n");
}

#[test]
fn ports_on_the_default_bridge() {
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, None);
    if !Path::new("/usr/lib/podman/netavark").exists() && !Path::new("/usr/libexec/podman/netavark").exists()
    {
        return skip("netavark is not installed");
    }
    let root = format!("{}:O", stage.leaf.display());
    let said = podman.call([
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "127.0.0.1:18642:8080",
        "--rootfs",
        &root,
        "python3",
        "-m",
        "http.server",
        "8080",
        "--directory",
        "/usr/share",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let get = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:18642/').status)";
    eventually("the port answers", || run(Command::new("python3").args(["-c", get])).out == "200\n");
    podman.call(["rm", "--force", "--time", "0", "web"]).good();
}

#[test]
fn an_ordinary_users_podman() {
    if !rustix::process::geteuid().is_root() {
        return remark("root makes an ordinary user for this; here the others are one's");
    }
    let user = User::make();
    let stage = Stage::new();
    let podman = podman_or_skip!(&stage.pool, Some(&user));
    let said = podman.run_root(
        &[],
        &stage.leaf,
        true,
        &[
            "sh",
            "-c",
            "echo $WHO; id -u; touch /nodes/app/private/mine; touch /usr/x 2>/dev/null || echo refused",
        ],
    );
    assert_eq!((said.code, said.out.as_str()), (0, "app\n0\nrefused\n"), "{}", said.err);
    let owner = std::os::unix::fs::MetadataExt::uid(
        &fs::metadata(stage.pool.join("core/mid/app/private/mine")).expect("it was made"),
    );
    assert_eq!(owner, user.uid);
    let root = format!("{}:O", stage.leaf.display());
    podman
        .call(["run", "-d", "--name", "mine", "--network", "none", "--rootfs", &root, "sleep", "100"])
        .good();
    assert_eq!(podman.call(["exec", "mine", "sh", "-c", "echo $WHO; exit 3"]).code, 3);
    podman.call(["rm", "--force", "--time", "0", "mine"]).good();
    let said = podman.run_root(&[], &stage.leaf, true, &["no-such"]);
    assert_eq!(said.code, 127, "{}", said.err);
}

#[test]
fn what_podman_mounts_is_there_where_a_node_has_no_place_for_it() {
    let user = rustix::process::geteuid().is_root().then(User::make);
    for user in [None, user.as_ref()] {
        let leaf = "  - {mode: Restricted, mount: /etc, path: $NODE_PATH/own}\n  - {mode: RestrictedFile, mount: /etc/passwd, path: $NODE_PATH/own/passwd}\n";
        let stage = Stage::with("", leaf);
        stage.pool.write("core/mid/app/own/passwd", "root:x:0:0::/:/bin/sh\n");
        let podman = podman_or_skip!(&stage.pool, user);
        let script = "cat /etc/hostname; echo; cat /etc/passwd; test -s /etc/hosts && ls /etc | grep host; touch /etc/x 2>/dev/null || echo refused";
        let said = podman.run_root(&["--hostname", "here"], &stage.leaf, true, &["sh", "-c", script]);
        let wanted = "here\nroot:x:0:0::/:/bin/sh\nhostname\nhosts\nrefused\n";
        // Whether a line ends in a file is up to podman.
        assert_eq!((said.code, &*said.out.replace("\n\n", "\n")), (0, wanted), "{}", said.err);
        let left: Vec<_> = fs::read_dir(stage.leaf.join("own")).expect("it is there").flatten().collect();
        assert_eq!(left.len(), 1, "nothing is made in a node");
    }
}
