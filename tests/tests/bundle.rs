//! A bundle runs under any OCI runtime, and what runs sees what the plan says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_spec::runtime::Spec;
use red_conformance::compare::{Given, compare};
use red_conformance::container::{Observed, observe};
use red_conformance::mutate::mutants;
use red_conformance::runtime::Runtime;
use red_tests::broom::Tmpfs;
use red_tests::call::{built, red_conf, run};
use red_tests::pool::Pool;
use red_tests::skip;
use serde_json::Value;

/// What a core OS gives to every test: libraries, programs, the probe.
fn core(extra: &str) -> String {
    let probe = built("red-probe");
    format!(
        "exports:
  - {{mode: Restricted, mount: /lib, path: /usr/lib}}
  - {{mode: Restricted, mount: /lib64, path: /usr/lib64}}
  - {{mode: Restricted, mount: /bin, path: /usr/bin}}
  - {{mode: RestrictedFile, mount: /probe, path: {}}}
  - {{mode: Procfs, mount: /proc}}
{extra}",
        probe.display()
    )
}

/// Three nodes with all sixteen modes of exports and all five of variables.
fn everything(pool: &Pool, users: &str) -> PathBuf {
    pool.write("core/shared/file", "shared\n");
    pool.node(
        "core",
        &format!(
            "config:
  {{umask: 027, hostname: box-$LEAF_ALIAS, chdir: /home/$LEAF_ALIAS, path: /bin, ldpath: /lib64, share_net: Enabled, share_user: {users},
   capabilities: [{{cap: ALL, add: 0}}, {{cap: NET_BIND_SERVICE, add: 1}}, {{cap: KILL, add: 1}}]}}
environ:
  - {{key: HOME, value: /home/$LEAF_ALIAS}}
  - {{key: RAW, mode: Static, value: 'a $UID b'}}
  - {{key: KERNEL, mode: Execfd, value: uname -s}}
  - {{key: GONE, value: from the elder}}
{}",
            core(
                "  - {mode: Devfs, mount: /dev}
  - {mode: Mqueue, mount: /dev/mqueue}
  - {mode: Tmpfs, mount: /tmp}
  - {mode: Anonymous, mount: /var}
  - {mode: Anonymous, mount: /run}
  - {mode: Execfd, mount: /etc/passwd, path: getent passwd $UID 65534}
  - {mode: Execfd, mount: /etc/words, path: 'for i in 1 2; do echo word \\$i; done'}
  - {mode: Public, mount: /nodes/core/shared, path: $NODE_PATH/shared}
  - {mode: Restricted, mount: /nodes/$NODE_ALIAS/usr, path: $NODE_PATH/usr}"
            )
        ),
    );
    pool.write("core/mid/file", "mid\n");
    pool.write("core/mid/readme", "read me\n");
    pool.mkdir("core/mid/usr/sub");
    pool.node(
        "core/mid",
        "environ: [{key: GONE, mode: Remove}, {key: TERM, mode: Inherit}, {key: NOT_THERE, mode: Inherit}]
exports:
  - {mode: PublicFile, mount: /nodes/mid/file, path: $NODE_PATH/file}
  - {mode: RestrictedFile, mount: /nodes/mid/readme, path: $NODE_PATH/readme}
  - {mode: Restricted, mount: /nodes/mid/usr, path: $NODE_PATH/usr}
  - {mode: Private, mount: /never, path: $NODE_PATH/private}",
    );
    pool.write("core/mid/app/settings", "mine\n");
    pool.mkdir("core/mid/app/ro");
    pool.node(
        "core/mid/app",
        "config: {path: /nodes/$NODE_ALIAS/bin, capabilities: [{cap: KILL, add: 0}]}
environ: [{key: WHO, value: '$LEAF_ALIAS by $(echo $NODE_NAME)'}]
exports:
  - {mode: Private, mount: /nodes/_private, path: $NODE_PATH/private}
  - {mode: PrivateFile, mount: /etc/settings, path: $NODE_PATH/settings}
  - {mode: PrivateRestricted, mount: /nodes/_ro, path: $NODE_PATH/ro}
  - {mode: Symlink, mount: /home/$LEAF_ALIAS, path: /nodes/_private}
  - {mode: Symlink, mount: /tmp/link, path: /var}
  - {mode: Internal, mount: /run/internal, path: 9}
  - {mode: Lock, mount: /run/app.lock}
  - {mode: Anonymous, mount: /run/mine}",
    )
}

/// Paths the plan puts into the root or its tmpfs, with what they are.
fn made(plan: &Value) -> BTreeMap<String, Value> {
    let list = |key: &str| plan[key].as_array().cloned().unwrap_or_default();
    let all = list("skeleton").into_iter().chain(list("within"));
    all.map(|entry| (entry["path"].as_str().unwrap_or_default().to_owned(), entry)).collect()
}

struct Bundle {
    dir: PathBuf,
    spec: Spec,
    plan: Value,
}

/// Writes a bundle whose command is the probe, looking at everything the plan makes.
fn bundle(pool: &Pool, redpath: &Path) -> Bundle {
    let internal = pool.write("internal", "from descriptor nine\n");
    let plan = run(with_terminal(red_conf()).args(["plan", "--json"]).arg(redpath)).good().json();
    let dir = pool.join("bundle");
    let inside = made(&plan).into_keys().chain(extra_paths(&plan));
    // Descriptor 9 comes from whoever calls: here a shell.
    let mut shell = with_terminal(Command::new("bash"));
    shell.args(["-c", "exec 9<\"$1\"; shift; exec -a red-conf \"$@\"", "bash"]).arg(internal);
    shell.arg(built("red-runtime")).arg("bundle").arg(redpath).arg(&dir).args(["--", "/probe"]).args(inside);
    let digest = run(&mut shell).good().out;
    assert_eq!(Some(digest.trim()), plan["digest"].as_str(), "the digest is the one that was shown");
    let text = fs::read_to_string(dir.join("config.json")).expect("the bundle has a configuration");
    let spec = serde_json::from_str(&text).expect("it is an OCI configuration");
    Bundle { dir, spec, plan }
}

fn with_terminal(mut command: Command) -> Command {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TERM", "red-test")
        .env("GONE", "outside");
    command
}

/// Paths to look at besides those of the root: covered ones, and what a read-only bind holds.
fn extra_paths(plan: &Value) -> Vec<String> {
    let linux = &plan["spec"]["linux"];
    let covered = ["maskedPaths", "readonlyPaths"]
        .into_iter()
        .flat_map(|key| linux[key].as_array().cloned().unwrap_or_default());
    let devices =
        ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout", "stderr"];
    covered
        .filter_map(|path| path.as_str().map(str::to_owned))
        .chain(devices.map(|name| format!("/dev/{name}")))
        .chain(
            ["/proc/uptime", "/proc/driver", "/nodes/mid/usr/sub", "/nodes/mid/usr/sub/file"]
                .map(str::to_owned),
        )
        .collect()
}

/// What the plan says beyond the configuration: links, locks, contents, devices.
fn check_contents(plan: &Value, observed: &Observed, who: &str) {
    let paths = &observed.report.paths;
    for (path, entry) in made(plan) {
        let seen = &paths[&path];
        let wanted = match entry["type"].as_str() {
            Some("lock" | "file") => "file",
            Some(kind) => kind,
            None => "?",
        };
        assert_eq!(seen.kind, wanted, "{who}: {path}");
        assert_eq!(seen.target.as_deref(), entry["target"].as_str(), "{who}: {path}");
        if entry["writable"] == true {
            assert_eq!(seen.write, "written", "{who}: {path} is writable");
        }
    }
    let content = |path: &str| paths[path].content.clone().unwrap_or_default();
    let getent = run(Command::new("getent").args(["passwd", "0", "65534"])).out;
    assert_eq!(content("/etc/passwd"), getent, "{who}");
    assert_eq!(content("/etc/words"), "word 1\nword 2\n", "{who}");
    assert_eq!(content("/run/internal"), "from descriptor nine\n", "{who}");
    assert_eq!(content("/nodes/mid/readme"), "read me\n", "{who}");
    for (name, numbers) in [
        ("null", (1, 3)),
        ("zero", (1, 5)),
        ("full", (1, 7)),
        ("random", (1, 8)),
        ("urandom", (1, 9)),
        ("tty", (5, 0)),
    ] {
        assert_eq!(paths[&format!("/dev/{name}")].device, Some(numbers), "{who}: {name}");
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        assert_eq!(paths[&format!("/dev/{name}")].target.as_deref(), Some(target), "{who}: {name}");
    }
    let environment = &observed.report.environment;
    let wanted = [
        ("RAW", "a $UID b"),
        ("KERNEL", "Linux"),
        ("TERM", "red-test"),
        ("WHO", "app by name-app"),
        ("PATH", "/nodes/app/bin:/bin"),
    ];
    for (key, value) in wanted {
        assert_eq!(environment.get(key).map(String::as_str), Some(value), "{who}");
    }
    assert!(!environment.contains_key("GONE") && !environment.contains_key("NOT_THERE"), "{who}");
    assert!(!paths.contains_key("/never"), "{who}: a private export of an ancestor");
}

fn runtimes(pool: &Pool) -> Vec<Runtime> {
    let state = pool.mkdir("state");
    let all = Runtime::all(&state);
    for name in ["runc", "crun"] {
        if !all.iter().any(|runtime| runtime.name == name) {
            skip(&format!("{name} is not installed, or cannot be used here"));
        }
    }
    all
}

const CRUN_OF_DEBIAN_12: &str = "crun version 1.8.1";

/// Entries that a release of a runtime is known to get wrong. One that is mended there must go
/// from this list: an unexpected agreement fails too.
fn known(runtime: &Runtime, users: &str) -> &'static [&'static str] {
    match (runtime.version().as_str(), users) {
        // In a user namespace it forgets the flags of a writable bind unless one of them is
        // recursive, and recursive ones it cannot apply to files. Neither weighs much on a file
        // under no_new_privs.
        (CRUN_OF_DEBIAN_12, "Disabled") => &[
            "mount /etc/settings: nodev",
            "mount /etc/settings: nosuid",
            "mount /nodes/mid/file: nodev",
            "mount /nodes/mid/file: nosuid",
        ],
        _ => &[],
    }
}

#[test]
fn every_mode_under_runc_and_crun() {
    every_mode("Disabled");
}

#[test]
fn every_mode_with_the_hosts_users() {
    every_mode("Enabled");
}

fn every_mode(users: &str) {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let pool = Pool::new();
    let redpath = everything(&pool, users);
    let sub = pool.join("core/mid/usr/sub");
    let below = Tmpfs::mount(&sub);
    fs::write(sub.join("file"), "below\n").expect("the tmpfs is writable");
    let bundle = bundle(&pool, &redpath);
    let modes: Vec<&Value> = bundle.plan["provenance"]["exports"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["mode"])
        .collect();
    let hidden = bundle.plan["provenance"]["hidden"].as_array().expect("a list").len();
    let distinct: std::collections::BTreeSet<String> = modes.iter().map(|mode| mode.to_string()).collect();
    assert_eq!((distinct.len(), hidden), (16, 1), "every mode is there: {distinct:?}");
    for runtime in runtimes(&pool) {
        let who = runtime.name;
        let observed = observe(&runtime, &bundle.dir).unwrap_or_else(|error| panic!("{error}"));
        let given = Given { spec: bundle.spec.clone(), controllers: runtime.has_controllers() };
        let agreed = compare(&given, &observed);
        let entries: Vec<&str> = agreed.iter().map(|one| one.entry.as_str()).collect();
        assert_eq!(entries, known(&runtime, users), "{who}: {agreed:?}");
        check_contents(&bundle.plan, &observed, who);
        // Read-only is read-only for what is mounted below it too.
        let seen = &observed.report.paths["/nodes/mid/usr/sub"];
        assert_eq!((seen.kind.as_str(), seen.write.as_str()), ("directory", "read-only"), "{who}");
        // In a user namespace this release of crun does not bring along what is mounted below.
        let brought = (runtime.version().as_str(), users) != (CRUN_OF_DEBIAN_12, "Disabled");
        let wanted = if brought { ("file", "read-only") } else { ("missing", "") };
        let seen = &observed.report.paths["/nodes/mid/usr/sub/file"];
        assert_eq!((seen.kind.as_str(), seen.write.as_str()), wanted, "{who}");
        // The comparison notices every single entry that is wrong.
        let wrong = mutants(&given.spec, given.controllers).expect("mutants are configurations");
        assert!(wrong.len() > 150, "{who}: {} mutants", wrong.len());
        let unnoticed: Vec<String> = wrong
            .into_iter()
            .filter(|mutant| {
                compare(&Given { spec: mutant.spec.clone(), ..given.clone() }, &observed).is_empty()
            })
            .map(|mutant| mutant.change)
            .collect();
        assert_eq!(unnoticed, Vec::<String>::new(), "{who}");
    }
    drop(below);
    for (path, what) in [("core/.red-probe", "the node"), ("core/mid/usr/.red-probe", "a read-only export")] {
        assert!(!pool.join(path).exists(), "nothing was written into {what}");
    }
    assert!(!bundle.dir.join("rootfs/.red-probe").exists(), "nothing outlives the container in its root");
}

#[test]
fn a_bundle_without_recursive_read_only_is_noticed() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let pool = Pool::new();
    let redpath = everything(&pool, "Disabled");
    let below = Tmpfs::mount(&pool.join("core/mid/usr/sub"));
    let bundle = bundle(&pool, &redpath);
    let mut config: Value = serde_json::to_value(&bundle.spec).expect("it was read from JSON");
    for mount in config["mounts"].as_array_mut().expect("a list") {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "rro");
        }
    }
    fs::write(bundle.dir.join("config.json"), config.to_string()).expect("the bundle is ours");
    let Some(runc) = Runtime::runc(&pool.mkdir("state")) else { return skip("runc is not installed") };
    let observed = observe(&runc, &bundle.dir).unwrap_or_else(|error| panic!("{error}"));
    let given = Given { spec: bundle.spec, controllers: true };
    let entries: Vec<String> = compare(&given, &observed).into_iter().map(|one| one.entry).collect();
    assert_eq!(entries, ["mount /nodes/mid/usr: rro"]);
    drop(below);
}

#[test]
fn limits_of_a_family_hold() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let pool = Pool::new();
    pool.node(
        "core",
        &format!("config: {{cgroups: {{mem: {{max: 256M, low: 32M}}, pids: {{max: 40}}, cpu: {{max: 60000, weight: 300}}, cpuset: {{cpus: 0-1}}}}}}\n{}", core("")),
    );
    let redpath = pool.node(
        "core/app",
        "config: {cgroups: {mem: {max: 128M, low: 16M}, pids: {max: 90}, cpu: {max: 50000 100000, weight: 200}, cpuset: {cpus: '0', mems: '0'}}}",
    );
    let bundle = bundle(&pool, &redpath);
    let limits = &bundle.plan["spec"]["linux"]["resources"];
    assert_eq!(limits["memory"]["limit"], 128 << 20, "the tighter of the two");
    assert_eq!(limits["memory"]["reservation"], 32 << 20, "the greater of what is kept");
    assert_eq!((&limits["pids"]["limit"], &limits["cpu"]["cpus"]), (&40.into(), &"0".into()));
    for runtime in runtimes(&pool).into_iter().filter(Runtime::has_controllers) {
        let observed = observe(&runtime, &bundle.dir).unwrap_or_else(|error| panic!("{error}"));
        let given = Given { spec: bundle.spec.clone(), controllers: true };
        assert_eq!(compare(&given, &observed), [], "{}", runtime.name);
        let wrong = mutants(&given.spec, true).expect("mutants are configurations");
        let wrong: Vec<_> = wrong.into_iter().filter(|mutant| mutant.change.starts_with("limit")).collect();
        assert_eq!(wrong.len(), 6);
        for mutant in wrong {
            let given = Given { spec: mutant.spec, controllers: true };
            assert!(!compare(&given, &observed).is_empty(), "{} goes unnoticed", mutant.change);
        }
    }
}
