//! The stock shim of containerd for runc, with our binary in runc's place.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use red_tests::call::{Said, red_conf, run};
use red_tests::podman::through_files;
use red_tests::skip;
use red_tests::stage::{Stage, eventually};

/// containerd with state of its own, ended with the test.
struct Containerd {
    dir: PathBuf,
    daemon: Child,
    runtime: PathBuf,
}

impl Containerd {
    fn new(stage: &Stage) -> Option<Self> {
        for program in ["containerd", "ctr", "containerd-shim-runc-v2"] {
            run(Command::new("which").arg(program)).out.lines().next()?;
        }
        let dir = stage.pool.mkdir("containerd");
        stage.pool.write(
            "prefix/etc/redpak/policy.yaml",
            // The engine's own storage lies beside the nodes, not among them.
            format!("pools: [{{path: {}}}]\n", stage.pool.join("core").display()),
        );
        let red = stage.pool.install("red-runtime", "red-runtime-for-containerd");
        let wrapper = stage.pool.write(
            "red-runtime-wrapper",
            format!(
                "#!/bin/sh\nNODE_PREFIX={} exec {} \"$@\"\n",
                stage.pool.join("prefix").display(),
                red.display()
            ),
        );
        fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("it is ours");
        let config = stage.pool.write(
            "containerd/config.toml",
            format!(
                "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/sock\"\n",
                dir.display()
            ),
        );
        let log = fs::File::create(dir.join("log")).expect("it is ours");
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .ok()?;
        let this = Self { dir, daemon, runtime: wrapper };
        eventually("containerd answers", || this.ctr(&["version"]).code == 0);
        Some(this)
    }

    fn ctr(&self, args: &[&str]) -> Said {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("sock")).args(args).stdin(Stdio::null());
        through_files(&self.dir, command)
    }

    fn run(&self, options: &[&str], root: &str, id: &str, command: &[&str]) -> Said {
        let runtime = self.runtime.display().to_string();
        let mut all = vec!["run", "--runtime", "io.containerd.runc.v2", "--runc-binary", &runtime];
        all.extend(options);
        all.extend(["--rootfs", root, id]);
        all.extend(command);
        self.ctr(&all)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in self.ctr(&["container", "list", "-q"]).out.lines() {
            self.ctr(&["task", "kill", "--signal", "KILL", id]);
            self.ctr(&["task", "delete", "--force", id]);
            self.ctr(&["container", "delete", id]);
        }
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        run(Command::new("pkill").arg("-f").arg(format!("containerd-shim.*{}", self.dir.display())));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines().rev().filter(|line| line.contains(&*self.dir.display().to_string())) {
            run(Command::new("umount").arg("--lazy").args(line.split(' ').nth(1)));
        }
    }
}

#[test]
fn ctr_runs_nodes_and_plain_roots() {
    let stage = Stage::new();
    let Some(containerd) = Containerd::new(&stage) else {
        return skip("containerd is not installed");
    };
    let leaf = stage.leaf.display().to_string();
    let said = containerd.run(&["--rm"], &leaf, "red-a", &["sh", "-c", "echo $WHO; hostname; exit 7"]);
    assert_eq!((said.code, said.out.as_str()), (7, "app\nbox-app\n"), "{}", said.err);
    let empty = stage.pool.mkdir("empty").display().to_string();
    let annotation = format!("bzh.redpesk.redpak.redpath={leaf}");
    let said =
        containerd.run(&["--rm", "--annotation", &annotation], &empty, "red-b", &["sh", "-c", "echo $WHO"]);
    assert_eq!((said.code, said.out.as_str()), (0, "app\n"), "{}", said.err);
    let said = containerd.run(&["--rm"], &leaf, "red-c", &["no-such-command"]);
    assert!(said.code != 0 && said.err.contains("executable file not found"), "{}", said.err);
    // A host's namespace by path is the host's, as CRI names those of every pod; a volume of the pool is
    // no way to what decides.
    let host = |kind: &str, name: &str| format!("{kind}:/proc/{}/ns/{name}", std::process::id());
    let pool = stage.pool.join("core").display().to_string();
    let mount = format!("type=bind,src={pool},dst=/host,options=rbind:rw");
    for (option, value, words) in [
        ("--with-ns", host("network", "net"), "share_net: Disabled"),
        ("--with-ns", host("ipc", "ipc"), "share_ipc: Disabled"),
        ("--with-ns", host("pid", "pid"), "share_pid: Disabled"),
        ("--mount", mount, "would make writable what decides"),
    ] {
        let said = containerd.run(&["--rm", option, &value], &leaf, "red-f", &["echo", "started"]);
        assert!(
            said.code != 0 && said.out.is_empty() && said.err.contains(words),
            "{value}: {}{}",
            said.out,
            said.err
        );
        containerd.ctr(&["container", "delete", "red-f"]);
    }
    // A plain root, and an absolute command without a PATH, as ctr sends it.
    let plain = stage.plain("b", &["true"], |_| {});
    let root = plain.join("rootfs").display().to_string();
    fs::create_dir(plain.join("rootfs/usr")).expect("it is ours");
    let said = containerd.run(
        &["--rm", "--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"],
        &root,
        "red-d",
        &["/usr/bin/env"],
    );
    assert_eq!(said.code, 0, "{}", said.err);
    // Detached, entered, measured, paused, ended.
    let said = containerd.run(&["-d"], &leaf, "red-e", &["sleep", "1000"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = containerd.ctr(&["task", "exec", "--exec-id", "x", "red-e", "sh", "-c", "echo $WHO; exit 4"]);
    assert_eq!((said.code, said.out.as_str()), (4, "app\n"), "{}", said.err);
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
    let runtime = containerd.runtime.display().to_string();
    let run = |options: &[&str]| {
        let mut all = vec!["run", "--rm", "--runtime", "io.containerd.runc.v2", "--runc-binary", &runtime];
        all.extend(options);
        all.extend(["localhost/app:latest", "red-image"]);
        containerd.ctr(&all)
    };
    let said = run(&[]);
    assert_eq!((said.code, said.out.as_str()), (0, "app\n0\n"), "{}", said.err);
    let said = run(&["--annotation", &format!("bzh.redpesk.redpak.plan-digest=sha256:{}", "0".repeat(64))]);
    assert!(said.code != 0 && said.err.contains("and the root's .redpath.yaml says"), "{}", said.err);
    containerd.ctr(&["container", "delete", "red-image"]);
    containerd.ctr(&["image", "remove", "--sync", "localhost/app:latest"]).good();
}
