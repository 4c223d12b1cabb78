//! The drop-in for podman that the project ships, loaded by the podman that is installed: really in
//! /etc/containers/containers.conf.d/, in a mount namespace of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use red_tests::call::{Said, run};
use red_tests::podman::through_files;
use red_tests::skip;
use red_tests::stage::Stage;

const SHIPPED: &str = include_str!("../../docs/podman/red-runtime.conf");
/// Settings without which podman starts no container on a machine without systemd, in a file of their own.
const MACHINE: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:2048\"]\n\
    [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n[network]\nnetwork_backend = \"netavark\"\n";

/// Copies of /etc/containers and an overlay of /usr/bin, mounted for one script; `podman` is podman with storage of
/// its own.
const ENTER: &str = r#"
mount --bind "$POOL/containers" /etc/containers
mount -t tmpfs red-test "$POOL/bin"
mkdir "$POOL/bin/upper" "$POOL/bin/work"
cp "$POOL/red-runtime" "$POOL/red-runtime.elf" "$POOL/bin/upper/"
mount -t overlay -o "lowerdir=/usr/bin,upperdir=$POOL/bin/upper,workdir=$POOL/bin/work" red-test /usr/bin
podman() {
    command podman --log-level=error --root "$POOL/storage" --runroot "$POOL/runroot" --tmpdir "$POOL/tmp" "$@"
}
"#;

/// What the machine would be with certain drop-ins.
struct Machine {
    stage: Stage,
}

impl Machine {
    /// `None` when podman is not installed, or the test is not root's.
    fn new() -> Option<Self> {
        Command::new("podman").arg("--version").stdout(Stdio::null()).status().ok()?;
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let stage = Stage::new();
        let pool = &stage.pool;
        for below in ["containers", "bin", "storage", "runroot", "tmp", "home", "empty"] {
            pool.mkdir(below);
        }
        run(Command::new("cp").arg("-a").arg("/etc/containers/.").arg(pool.join("containers"))).good();
        // The machine may have the drop-in already.
        for entry in fs::read_dir(pool.mkdir("containers/containers.conf.d")).expect("it was made").flatten()
        {
            if fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("red-runtime")) {
                fs::remove_file(entry.path()).expect("it is a copy");
            }
        }
        pool.write("containers/containers.conf.d/50-machine.conf", MACHINE);
        let policy = format!("pools: [{{path: {}}}]\n", pool.path().display());
        pool.write("prefix/etc/redpak/policy.yaml", policy);
        pool.install("red-runtime", "red-runtime.elf");
        // podman gives a runtime no environment of the caller.
        let prefix = pool.join("prefix");
        let script =
            format!("#!/bin/sh\nNODE_PREFIX={} exec /usr/bin/red-runtime.elf \"$@\"\n", prefix.display());
        let wrapper = pool.write("red-runtime", script);
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Some(Self { stage })
    }

    /// The same with a drop-in, or without one.
    fn with(&self, name: &str, text: Option<&str>) -> &Self {
        let path = format!("containers/containers.conf.d/{name}");
        match text {
            Some(text) => drop(self.stage.pool.write(path, text)),
            None => fs::remove_file(self.stage.pool.join(path)).unwrap_or(()),
        }
        self
    }

    /// Runs a script there.
    fn run(&self, script: &str) -> Said {
        let pool = &self.stage.pool;
        let mut command = Command::new("unshare");
        // Processes too: conmon and the cleaning up that it starts would outlive the script.
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["bash", "-euc"]);
        command.arg(format!("{ENTER}\n{script}")).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", pool.join("home"));
        command.env("POOL", pool.path()).env("LEAF", &self.stage.leaf);
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        through_files(pool.path(), command)
    }

    /// Grade, text and fix of what `doctor` finds about podman.
    fn doctor(&self) -> [String; 3] {
        let said = self.run("red-runtime doctor --json || true").good();
        let all = said.json();
        let all = all["findings"].as_array().expect("a list");
        let podman = all.iter().find(|one| one["about"] == "podman").expect("it is looked at");
        ["grade", "text", "fix"].map(|key| podman[key].as_str().unwrap_or_default().to_owned())
    }
}

macro_rules! machine_or_skip {
    () => {
        match Machine::new() {
            Some(machine) => machine,
            None => return skip("needs root, and podman"),
        }
    };
}

const DEFAULT_RUNTIME: &str = "podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'";

#[test]
fn every_podman_loads_it_and_keeps_its_own_runtimes() {
    let machine = machine_or_skip!();
    let before = machine.run(DEFAULT_RUNTIME).good().out;
    machine.with("red-runtime.conf", Some(SHIPPED));
    assert_eq!(
        machine.run("command podman --version; podman info >/dev/null; podman ps --quiet").good().err,
        ""
    );
    assert_eq!(machine.run(DEFAULT_RUNTIME).good().out, before, "the default runtime stays what it was");
    let by_name = "for name in red-runtime crun runc; do
            command -v $name >/dev/null || continue
            podman --runtime $name info --format '{{.Host.OCIRuntime.Name}}'
        done";
    let found = machine.run(by_name).good().out;
    assert!(found.starts_with("red-runtime\n"), "{found}");
    let run = "podman --runtime red-runtime run --rm --network none --rootfs \"$LEAF:O\" sh -c 'echo $WHO'";
    assert_eq!(machine.run(run).good().out, "app\n");
    // podman refuses this of a runtime that the drop-in does not name for it.
    let run = run.replace("--rm", "--rm --cgroups=disabled");
    assert_eq!(machine.run(&run).good().out, "app\n");
    // No limit is nothing to be limited with; a limit is.
    let run = run.replace("--rm", "--rm --pids-limit=-1");
    assert_eq!(machine.run(&run).good().out, "app\n");
}

/// A list of one's own without `{append = true}`, which podman 4.3 does not know, replaces podman's: then the
/// errors of runc and crun come as lines of their log.
#[test]
fn errors_of_red_runtime_and_of_other_runtimes_are_parsed() {
    let machine = machine_or_skip!();
    machine.with("red-runtime.conf", Some(SHIPPED));
    let refused = "podman --runtime red-runtime run --rm --network none -v \"$POOL/empty:/usr\" --rootfs \"$LEAF:O\" true";
    let said = machine.run(refused);
    assert_eq!(said.code, 126, "{}", said.err);
    assert!(said.err.contains("would cover /usr, which node `core` exports"), "{}", said.err);
    assert!(!said.err.contains("level") && said.err.lines().count() == 1, "{}", said.err);
    let missing = "podman --runtime red-runtime run --rm --network none --rootfs \"$LEAF:O\" no-such";
    assert_eq!(machine.run(missing).code, 127);
    let runc = "podman --runtime runc run --rm --network none --rootfs \"$POOL/empty\" /no-such";
    if machine.run("command -v runc").code != 0 {
        return skip("runc is not installed");
    }
    let parsed = machine.run(runc);
    assert!(parsed.code == 127 && parsed.err.contains("/no-such"), "{}", parsed.err);
    assert!(!parsed.err.contains("level=error"), "{}", parsed.err);
    let alone = "[engine]\nruntime_supports_json = [\"red-runtime\"]\n";
    machine.with("red-runtime.conf", Some(alone));
    let raw = machine.run(runc);
    assert!(raw.err.contains("level=error"), "the comparison shows nothing: {}", raw.err);
}

#[test]
fn doctor_loads_what_it_recommends_with_the_podman_that_is_installed() {
    let machine = machine_or_skip!();
    let version = machine.run("command podman --version").good().out;
    let version = version.trim().rsplit(' ').next().expect("a number").to_owned();
    let [grade, text, fix] = machine.doctor();
    assert_eq!((grade.as_str(), text), ("poor", format!("podman {version} does not know red-runtime")));
    assert!(fix.contains("docs/podman/red-runtime.conf, which it loads"), "{fix}");

    machine.with("red-runtime.conf", Some(SHIPPED));
    let [grade, text, _] = machine.doctor();
    assert_eq!(grade, "good", "{text}");
    assert!(text.ends_with("knows red-runtime, and parses its errors"), "{text}");

    // What an older podman makes of `{append = true}` is what each makes of this.
    let broken = SHIPPED.replace("\"red-runtime\"]", "\"red-runtime\", {append = 1}]");
    assert_ne!(machine.with("red-runtime.conf", Some(&broken)).run("command podman --version").code, 0);
    let [grade, text, fix] = machine.doctor();
    assert_eq!(grade, "bad", "{text}");
    assert!(
        text.starts_with("does not start: ") && text.contains("/containers.conf.d/red-runtime.conf"),
        "{text}"
    );
    assert!(
        fix.starts_with(
            "replace /etc/containers/containers.conf.d/red-runtime.conf by docs/podman/red-runtime.conf"
        ),
        "{fix}"
    );

    // Another's mistake is not blamed on the drop-in.
    machine.with("red-runtime.conf", Some(SHIPPED)).with("60-other.conf", Some("engine = [\n"));
    let [grade, text, fix] = machine.doctor();
    assert!(grade == "bad" && text.contains("60-other.conf"), "{text}");
    assert_eq!(fix, "correct the file that it names");
}

#[test]
fn doctor_sees_lists_that_replace_each_other_and_a_runtime_that_is_not_there() {
    let machine = machine_or_skip!();
    let own = "[engine]\nruntime_supports_json = [\n  \"own\", # of this machine\n]\n";
    machine.with("red-runtime.conf", Some(SHIPPED)).with("10-own.conf", Some(own));
    let [grade, text, _] = machine.doctor();
    assert!(grade == "poor" && text.contains("no longer parses errors of own"), "{text}");
    machine.with("10-own.conf", None).with("zz-own.conf", Some(own));
    let [grade, text, fix] = machine.doctor();
    assert!(grade == "poor" && text.ends_with("does not parse its errors as JSON"), "{text}");
    assert!(fix.contains("runtime_supports_json"), "{fix}");
    machine.with("zz-own.conf", None);
    let elsewhere = SHIPPED.replace("/usr/bin/red-runtime", "/no/such/red-runtime");
    let [grade, text, _] = machine.with("red-runtime.conf", Some(&elsewhere)).doctor();
    assert!(grade == "bad" && text.contains("/no/such/red-runtime: missing"), "{text}");
}
