//! Bundles of an ordinary user, started by that user.

use std::path::Path;
use std::process::Command;

use red_tests::broom::User;
use red_tests::call::{Said, run};
use red_tests::pool::Pool;
use red_tests::skip;
use red_tests::stage::Stage;
use serde_json::json;

fn pool_of(user: &User, map_root: bool) -> (Pool, std::path::PathBuf) {
    let pool = Pool::new();
    let tag = if map_root { "config: {map-root-user: 1, path: /bin}" } else { "config: {path: /bin}" };
    let redpath = pool.node(
        "core",
        &format!(
            "{tag}
exports:
  - {{mode: Restricted, mount: /lib, path: /usr/lib}}
  - {{mode: Restricted, mount: /lib64, path: /usr/lib64}}
  - {{mode: Restricted, mount: /bin, path: /usr/bin}}
  - {{mode: Procfs, mount: /proc}}
  - {{mode: Devfs, mount: /dev}}
  - {{mode: Mqueue, mount: /dev/mqueue}}
  - {{mode: Anonymous, mount: /run}}
  - {{mode: Private, mount: /data, path: $NODE_PATH/data}}
  - {{mode: Execfd, mount: /etc/greeting, path: echo \\$((6 * 7))}}"
        ),
    );
    pool.install("red-runtime", "red-conf");
    pool.mkdir("run");
    pool.chown(user.uid);
    (pool, redpath)
}

const SCRIPT: &str = "id -u; cat /etc/greeting; echo mine > /data/file; echo > /run/x && echo volatile; \
                      echo > /bin/x || echo refused; cat /proc/self/uid_map | tr -s ' ' | head -1";

fn bundle(user: &User, pool: &Pool, redpath: &Path) -> std::path::PathBuf {
    let bundle = pool.join("bundle");
    let mut command = user.command(pool.join("red-conf"));
    command.arg("bundle").arg(redpath).arg(&bundle).args(["--", "sh", "-c", SCRIPT]);
    run(&mut command).good();
    bundle
}

fn check(said: &Said, pool: &Pool, uid: u32, first_map: &str) {
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let wanted = format!("{uid}\n42\nvolatile\nrefused\n {first_map}\n");
    assert_eq!(said.out, wanted, "{}", said.err);
    assert_eq!(std::fs::read_to_string(pool.join("core/data/file")).expect("it was written"), "mine\n");
}

/// Output goes through files of the user's own: runc changes the owner of what it prints to.
fn through_files(pool: &Pool, mut command: Command) -> Said {
    let (out, err) = (pool.join("run/out"), pool.join("run/err"));
    let file = |path: &Path| std::fs::File::create(path).expect("the pool is writable");
    command.stdout(file(&out)).stderr(file(&err));
    let status = command.status().expect("the command starts");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    Said { code: status.code().unwrap_or(255), out: text(&out), err: text(&err) }
}

#[test]
fn runc_runs_an_ordinary_user_mapped_to_root() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let (pool, redpath) = pool_of(&user, true);
    let bundle = bundle(&user, &pool, &redpath);
    // runc wants root of the container to be the caller, which is what map-root-user says.
    let mut command = user.command("runc");
    command.env("XDG_RUNTIME_DIR", pool.join("run")).arg("--root").arg(pool.join("run/runc"));
    command.args(["run", "--bundle"]).arg(bundle).arg(format!("red-test-user-{}", std::process::id()));
    check(&through_files(&pool, command), &pool, 0, &format!("0 {} 1", user.uid));
}

#[test]
fn crun_runs_an_ordinary_user_as_itself() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let (pool, redpath) = pool_of(&user, false);
    let bundle = bundle(&user, &pool, &redpath);
    // crun refuses a hybrid hierarchy even when it is told to leave cgroups alone.
    let unified = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c", unified, "bash"]);
    command.args(["setpriv", "--reuid", &user.name, "--regid", &user.name, "--init-groups", "--", "crun"]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("XDG_RUNTIME_DIR", pool.join("run"));
    command.arg("--root").arg(pool.join("run/crun")).args(["--cgroup-manager=disabled", "run", "--bundle"]);
    command.arg(bundle).arg(format!("red-test-user-{}", std::process::id()));
    // With ranges of its own the user's subordinate ids come first, else the user alone.
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let start =
        ranges.lines().find_map(|line| line.strip_prefix(&format!("{}:", user.name))?.split(':').next());
    let first = start.map_or(format!("{0} {0} 1", user.uid), |start| format!("0 {start} {}", user.uid));
    check(&through_files(&pool, command), &pool, user.uid, &first);
}

/// As an engine without root has it: root of a user namespace joins namespaces that belong to that one, and may
/// not go back to the host's own.
#[test]
fn root_of_a_user_namespace_joins_a_network() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let stage = Stage::new();
    for (kind, offsets) in [("network", false), ("ipc", false), ("uts", true)] {
        let bundle = stage.plain(kind, &["readlink", &format!("/proc/self/ns/{}", short(kind))], |spec| {
            let linux = &mut spec["linux"];
            let all = linux["namespaces"].as_array_mut().expect("it has some");
            all.retain(|one| one["type"] != kind);
            all.push(json!({"type": kind, "path": "/proc/OTHER/ns/NAME"}));
            if offsets {
                all.push(json!({"type": "time"}));
                linux["timeOffsets"] = json!({"monotonic": {"secs": 10}});
            }
        });
        stage.pool.install("red-runtime", "red-runtime");
        stage.pool.mkdir("run");
        stage.pool.chown(user.uid);
        let name = short(kind);
        let script = format!(
            "unshare --{kind_option} sleep 100 & other=$!
             until [ \"$(cat /proc/$other/comm)\" = sleep ]; do sleep 0.01; done
             sed -i \"s,/proc/OTHER/ns/NAME,/proc/$other/ns/{name},\" {bundle}/config.json
             readlink /proc/$other/ns/{name}
             {runtime} --root {root} run --bundle {bundle} joins-{kind}; code=$?
             kill $other; exit $code",
            kind_option = if kind == "network" { "net" } else { kind },
            bundle = bundle.display(),
            runtime = stage.pool.join("red-runtime").display(),
            root = stage.pool.join("run").display(),
        );
        let mut command = user.command("unshare");
        command.args(["--map-root-user", "sh", "-c", &script]);
        let said = run(&mut command).good();
        let lines: Vec<&str> = said.out.lines().collect();
        assert!(matches!(lines[..], [other, inside] if other == inside), "{kind}: {}{}", said.out, said.err);
    }
}

/// Name of a kind of namespace below `/proc/PID/ns`.
fn short(kind: &str) -> &str {
    if kind == "network" { "net" } else { kind }
}
