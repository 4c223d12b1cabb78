//! The stock shim of containerd for runc, with our binary in runc's place.

use std::fs;
use std::process::Command;

use red_tests::call::{Said, built, red_conf, run};
use red_tests::containerd::{Containerd, STOCK};
use red_tests::podman::through_files;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};

fn run_stock(containerd: &Containerd, options: &[&str], root: &str, id: &str, command: &[&str]) -> Said {
    let runtime = built("red-runtime").display().to_string();
    let mut all = vec!["run", "--runtime", STOCK, "--runc-binary", &runtime];
    all.extend(options);
    all.extend(["--rootfs", root, id]);
    all.extend(command);
    through_files(containerd.dir(), containerd.command(&all))
}

#[test]
fn ctr_runs_nodes_and_plain_roots() {
    let stage = Stage::new();
    if run(Command::new("which").arg("containerd-shim-runc-v2")).out.is_empty() {
        return skip("containerd's own shim is not installed");
    }
    let Some(containerd) = Containerd::new(&stage) else {
        return skip("containerd is not installed");
    };
    let leaf = stage.leaf.display().to_string();
    let output =
        run_stock(&containerd, &["--rm"], &leaf, "red-a", &["sh", "-c", "echo $WHO; hostname; exit 7"]);
    assert_eq!((output.code, output.out.as_str()), (7, "app\nbox-app\n"), "{}", output.err);
    let empty = stage.pool.mkdir("empty").display().to_string();
    let annotation = format!("bzh.redpesk.redpak.redpath={leaf}");
    let output = run_stock(
        &containerd,
        &["--rm", "--annotation", &annotation],
        &empty,
        "red-b",
        &["sh", "-c", "echo $WHO"],
    );
    assert_eq!((output.code, output.out.as_str()), (0, "app\n"), "{}", output.err);
    let output = run_stock(&containerd, &["--rm"], &leaf, "red-c", &["no-such-command"]);
    assert!(output.code != 0 && output.err.contains("executable file not found"), "{}", output.err);
    // A host's namespace by path is the host's, as CRI names those of every pod; a volume of the pool is
    // no way to what decides.
    let host = |kind: &str, name: &str| format!("{kind}:/proc/{}/ns/{name}", std::process::id());
    let pool = stage.pool.join("core").display().to_string();
    let mount = format!("type=bind,src={pool},dst=/host,options=rbind:rw");
    for (option, value, message) in [
        ("--with-ns", host("network", "net"), "share_net: Disabled"),
        ("--with-ns", host("ipc", "ipc"), "share_ipc: Disabled"),
        ("--with-ns", host("pid", "pid"), "share_pid: Disabled"),
        ("--mount", mount, "would make writable what decides"),
    ] {
        let output = run_stock(&containerd, &["--rm", option, &value], &leaf, "red-f", &["echo", "started"]);
        assert!(
            output.code != 0 && output.out.is_empty() && output.err.contains(message),
            "{value}: {}{}",
            output.out,
            output.err
        );
        containerd.ctr(&["container", "delete", "red-f"]);
    }
    // A plain root, and an absolute command without a PATH, as ctr sends it.
    let plain = stage.plain("b", &["true"], |_| {});
    let root = plain.join("rootfs").display().to_string();
    fs::create_dir(plain.join("rootfs/usr")).expect("test directory is writable");
    let output = run_stock(
        &containerd,
        &["--rm", "--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"],
        &root,
        "red-d",
        &["/usr/bin/env"],
    );
    assert_eq!(output.code, 0, "{}", output.err);
    // Detached, entered, measured, paused, ended.
    let output = run_stock(&containerd, &["-d"], &leaf, "red-e", &["sleep", "1000"]);
    assert_eq!(output.code, 0, "{}", output.err);
    let output =
        containerd.ctr(&["task", "exec", "--exec-id", "x", "red-e", "sh", "-c", "echo $WHO; exit 4"]);
    assert_eq!((output.code, output.out.as_str()), (4, "app\n"), "{}", output.err);
    assert!(containerd.ctr(&["task", "ps", "red-e"]).good().out.lines().count() >= 2);
    containerd.ctr(&["task", "metrics", "red-e"]).good();
    containerd.ctr(&["task", "pause", "red-e"]).good();
    assert!(containerd.ctr(&["task", "list"]).good().out.contains("PAUSED"));
    containerd.ctr(&["task", "resume", "red-e"]).good();
    containerd.ctr(&["task", "kill", "--signal", "KILL", "red-e"]).good();
    eventually("it has stopped", || containerd.ctr(&["task", "list"]).out.contains("STOPPED"));
    containerd.ctr(&["task", "delete", "red-e"]);
    containerd.ctr(&["container", "delete", "red-e"]).good();
}

#[test]
fn ctr_imports_the_image_of_a_node() {
    let stage = Stage::new();
    let Some(containerd) = Containerd::new(&stage) else {
        return skip("containerd is not installed");
    };
    let (dir, archive) = (stage.pool.join("image"), stage.pool.join("image.tar"));
    let mut image = red_conf();
    image.arg("image").arg(&stage.leaf).arg("--output").arg(&dir).args(["--cmd", "sh", "--cmd", "-c"]);
    run(image.args(["--cmd", "echo $WHO; id -u"])).good();
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&dir).arg(".")).good();
    containerd.ctr(&["image", "import", &archive.display().to_string()]).good();
    assert!(containerd.ctr(&["image", "list", "-q"]).good().out.contains("localhost/app:latest"));
    let runtime = built("red-runtime").display().to_string();
    let run = |options: &[&str]| {
        let mut all = vec!["run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", &runtime];
        all.extend(options);
        all.extend(["localhost/app:latest", "red-image"]);
        containerd.ctr(&all)
    };
    let output = run(&[]);
    assert_eq!((output.code, output.out.as_str()), (0, "app\n0\n"), "{}", output.err);
    let output = run(&["--annotation", &format!("bzh.redpesk.redpak.plan-digest=sha256:{}", "0".repeat(64))]);
    assert!(output.code != 0 && output.err.contains("and the root's .redpath.yaml says"), "{}", output.err);
    containerd.ctr(&["container", "delete", "red-image"]);
    containerd.ctr(&["image", "remove", "--sync", "localhost/app:latest"]).good();
}
