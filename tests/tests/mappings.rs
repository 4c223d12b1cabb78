//! Bundles with user namespaces of several ranges: `red-runtime run` beside `crun run` and `runc run`, and the same in a
//! node. As root and as an ordinary user with subordinate ids (`tests/guest run mappings user/mappings`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::engine::Engine;
use red_tests::podman::through_files;
use red_tests::stage::Stage;
use red_tests::{in_guest, remark, skip};
use serde_json::{Value, json};

/// Who is who. Devices of the host are left out: runc and crun give them to the first user of the mapping, on the host.
const WHO: &str = "id -u; id -g; id -G; for one in u g; do while read -r in out many; do echo $one $in $out $many; done \
    </proc/self/${one}id_map; done; umask 022; : >/tmp/x; stat -c 'file %u %g' /tmp/x; \
    stat -c 'process %u %g' /proc/self/status; cat /proc/self/setgroups";

type Range = (u32, u32, u32);

/// A mapping, and a user inside.
struct Case {
    name: &'static str,
    users: Vec<Range>,
    groups: Vec<Range>,
    user: (u32, u32),
    more: Vec<u32>,
}

fn case(name: &'static str, users: &[Range], groups: &[Range]) -> Case {
    Case { name, users: users.to_vec(), groups: groups.to_vec(), user: (0, 0), more: Vec::new() }
}

/// Mappings of subordinate ids from `first` on; `own` is somebody whom the caller may map.
fn cases(first: u32, own: Range) -> Vec<Case> {
    let at = |inside: u32, offset: u32, many: u32| (inside, first + offset, many);
    let whole = [own, at(1, 0, 2000)];
    let many: Vec<Range> = (0..40).map(|one| at(one, 3 * one, 1)).collect();
    vec![
        case("all", &whole, &whole),
        case("no caller", &[at(0, 0, 2000)], &[at(0, 0, 2000)]),
        case("groups of their own", &whole, &[at(0, 5000, 2000)]),
        case("in pieces", &[at(0, 0, 1000), at(1000, 3000, 1), at(1001, 4000, 10)], &whole),
        case(
            "in reversed order",
            &[at(1000, 0, 1000), at(0, 3000, 1000)],
            &[at(1000, 0, 1000), at(0, 3000, 1000)],
        ),
        case("in reversed order on the host", &[at(0, 2000, 1), at(1, 0, 1000)], &whole),
        Case { user: (1001, 1001), ..case("behind a gap", &[own, at(1000, 0, 10)], &[own, at(1000, 0, 10)]) },
        Case { user: (500, 0), ..case("in a gap", &[own, at(1000, 0, 10)], &whole) },
        Case { user: (0, 500), ..case("a group in a gap", &whole, &[own, at(1000, 0, 10)]) },
        case("without root", &[at(1, 0, 100)], &[at(1, 0, 100)]),
        Case { user: (77, 77), ..case("a user", &whole, &whole) },
        Case { more: vec![3, 9], ..case("further groups", &whole, &whole) },
        Case { user: (77, 78), more: vec![3, 9], ..case("a user with further groups", &whole, &whole) },
        case("one user", &[own], &[own]),
        case("forty pieces", &many, &whole),
        case("pieces over each other", &[at(0, 0, 100), at(50, 1000, 100)], &whole),
        case("nobody", &[(0, first, 0)], &whole),
    ]
}

fn mapped(spec: &mut Value, case: &Case) {
    let ranges = |all: &[Range]| -> Value {
        all.iter()
            .map(|(inside, host, many)| json!({"containerID": inside, "hostID": host, "size": many}))
            .collect()
    };
    let linux = &mut spec["linux"];
    linux["namespaces"].as_array_mut().expect("it has some").push(json!({"type": "user"}));
    linux["uidMappings"] = ranges(&case.users);
    linux["gidMappings"] = ranges(&case.groups);
    spec["process"]["user"] = json!({"uid": case.user.0, "gid": case.user.1, "additionalGids": case.more});
    spec["process"]["env"] = json!(["PATH=/usr/bin:/usr/sbin"]);
}

/// How it went, and what it said if it went well.
fn essence(said: &Said) -> (bool, String) {
    (said.code == 0, if said.code == 0 { said.out.clone() } else { String::new() })
}

fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin"].into_iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

/// The first subordinate id of a user.
fn subordinate() -> Option<u32> {
    let name = run(Command::new("id").arg("-un")).out;
    let text = std::fs::read_to_string("/etc/subuid").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(&format!("{}:", name.trim()))?.split(':').next()?.parse().ok())
}

#[test]
fn mappings_of_bundles_are_those_of_peers() {
    let user = rustix::process::geteuid();
    let (first, own) = if user.is_root() { (100_000, (0, 0, 1)) } else { (0, (0, user.as_raw(), 1)) };
    let first = match (user.is_root(), subordinate()) {
        (true, _) => first,
        (false, Some(first)) => first,
        (false, None) => return skip("this user has no subordinate ids"),
    };
    let mut engine = Engine::new(Stage::new());
    if !user.is_root() {
        // None but root's policy counts.
        engine.prefix = engine.stage.pool.mkdir("no-policy");
    }
    let mut peers = vec![];
    // crun refuses the hybrid layout of other machines.
    if let (true, Some(crun)) = (in_guest(), installed("crun")) {
        peers.push(("crun", crun));
    }
    // Without root runc 1.1 wants its caller to be root inside, and gives no further groups.
    if let (true, Some(runc)) = (user.is_root(), installed("runc")) {
        peers.push(("runc", runc));
    }
    if peers.is_empty() {
        return skip("needs crun or runc");
    }
    let mut differing = Vec::new();
    let all = cases(first, own);
    for case in &all {
        let plain = |name: &str| {
            let bundle = engine.stage.plain(name, &["sh", "-c", WHO], |spec| {
                mapped(spec, case);
                let tmp = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]});
                spec["mounts"].as_array_mut().expect("it has some").push(tmp);
            });
            for point in ["proc", "dev", "usr", "tmp"] {
                engine.stage.pool.mkdir(format!("{name}/rootfs/{point}"));
            }
            // runc 1.1 gives a tmpfs the mode of the directory that it covers.
            let mode = PermissionsExt::from_mode(0o1777);
            std::fs::set_permissions(bundle.join("rootfs/tmp"), mode).expect("it is ours");
            bundle
        };
        let ours = engine.run(&plain("ours"));
        let node = || engine.run(&engine.node("node", &["sh", "-c", WHO], |spec| mapped(spec, case)));
        let node = if user.is_root() { node() } else { ours.clone() };
        if essence(&ours) != essence(&node) {
            differing
                .push(format!("{}: a node:\n{}{}\n{}{}", case.name, ours.out, ours.err, node.out, node.err));
        }
        for (name, program) in &peers {
            if !user.is_root() && case.users.len() > 6 {
                // crun 1.21 gives newuidmap(1) six pieces at most, and runs with those.
                continue;
            }
            let bundle = plain(name);
            let mut command = Command::new(program);
            command.arg("--root").arg(engine.stage.pool.mkdir(format!("{name}.state")));
            if *name == "crun" {
                command.arg("--cgroup-manager=disabled");
            }
            command.arg("run").arg("--bundle").arg(&bundle).arg(format!("red-peer-{}", std::process::id()));
            command.stdin(std::process::Stdio::null());
            let theirs = through_files(engine.stage.pool.path(), command);
            std::fs::remove_dir_all(&bundle).expect("it is ours");
            if essence(&ours) != essence(&theirs) {
                let (theirs, ours) =
                    (format!("{}{}", theirs.out, theirs.err), format!("{}{}", ours.out, ours.err));
                differing.push(format!("{}: {name}:\n{theirs}---\n{ours}", case.name));
            }
        }
    }
    assert!(differing.is_empty(), "{} of {}:\n{}", differing.len(), all.len(), differing.join("\n"));
    let names: Vec<&str> = peers.iter().map(|(name, _)| *name).collect();
    remark(&format!("nothing: {} mappings as with {}", all.len(), names.join(" and ")));
}
