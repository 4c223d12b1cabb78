//! `red-runtime doctor`: what this machine lacks, and how to get it.

mod containerd;
mod packages;
mod podman;
mod surroundings;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde_json::json;

use super::exit::Exit;
use super::output::Output;
use crate::launch::cause;
use crate::launch::cgroup::{Base, Layout};
use crate::launch::record::Store;
use crate::node::diagnostic::Severity;
use crate::node::place::plain;
use crate::policy;
use crate::spec::host::{Host, SystemHost};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// How something stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grade {
    Good,
    /// Something works less well.
    Poor,
    /// Something does not work.
    Bad,
}

impl Grade {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Poor => "poor",
            Self::Bad => "bad",
        }
    }
}

/// The type of file systems in memory (statfs(2)).
const TMPFS_MAGIC: u32 = 0x0102_1994;

/// One thing that was looked at.
struct Finding {
    about: &'static str,
    grade: Grade,
    text: String,
    fix: Option<String>,
}

fn finding(about: &'static str, grade: Grade, text: impl Into<String>, fix: Option<&str>) -> Finding {
    Finding { about, grade, text: text.into(), fix: fix.map(str::to_owned) }
}

pub(super) fn run(args: &Args, out: &mut Output) -> Exit {
    let mut findings = vec![
        kernel(),
        cgroups(),
        delegation(),
        surroundings::system_calls(),
        surroundings::namespaces(),
        surroundings::user_namespaces(),
        surroundings::hidden_processes(),
        surroundings::limits(),
        subordinate_ids(),
        own_file(),
        states(),
        check_policy(out, !args.json),
        podman::podman(),
        containerd::check(),
        smack(),
    ];
    findings.extend(surroundings::runtime_directory());
    findings.extend(packages::all());
    let written = if args.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| json!({"about": one.about, "grade": one.grade.name(), "text": one.text, "fix": one.fix}))
            .collect();
        out.json(&json!({"schema": "red/doctor/v1", "findings": all}))
    } else {
        let mut text = String::new();
        for one in &findings {
            text.push_str(&format!("{:<5}{}: {}\n", one.grade.name(), one.about, one.text));
            if let Some(fix) = &one.fix {
                text.push_str(&format!("     = {fix}\n"));
            }
        }
        out.text(&text)
    };
    let bad = written.is_err() || findings.iter().any(|one| one.grade == Grade::Bad);
    if bad { Exit::Failure } else { Exit::Success }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// open_tree, move_mount and fsopen are of 5.2, openat2 of 5.6, mount_setattr of 5.12, cgroup.kill of
/// 5.14.
fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (major, minor) if (major, minor) < (5, 12) => finding(
            "kernel",
            Grade::Bad,
            format!("{release} lacks mount_setattr(2)"),
            Some("start a kernel of 5.12 or later"),
        ),
        (major, minor) if (major, minor) < (5, 14) => finding(
            "kernel",
            Grade::Poor,
            format!("{release} lacks cgroup.kill; containers are ended one process at a time"),
            Some("start a kernel of 5.14 or later"),
        ),
        _ => finding("kernel", Grade::Good, release, None),
    }
}

fn cgroups() -> Finding {
    match Layout::here() {
        Layout::V2 => finding("cgroups", Grade::Good, "version 2", None),
        Layout::V1 => finding(
            "cgroups",
            Grade::Poor,
            "version 1: limits that only version 2 has do nothing, and starting takes longer",
            Some("boot with `systemd.unified_cgroup_hierarchy=1`, or mount cgroup2 at /sys/fs/cgroup"),
        ),
        Layout::None => finding(
            "cgroups",
            Grade::Bad,
            "none at /sys/fs/cgroup: nothing can be limited, and devices are not filtered",
            Some("mount -t cgroup2 none /sys/fs/cgroup"),
        ),
    }
}

fn delegation() -> Finding {
    let about = "delegation";
    let good = |text: String| finding(about, Grade::Good, text, None);
    match Base::here(Layout::here()) {
        Base::Delegated { path, .. } => {
            good(format!("{path} is this unit's: its nodes have their limits there"))
        }
        Base::Scope { service, slice } => match (crate::launch::cgroup::manager(), service) {
            (Err(error), _) => finding(
                about,
                Grade::Poor,
                format!("systemd is not reached ({error}): nodes with limits do not start"),
                Some("loginctl enable-linger, and a login session with XDG_RUNTIME_DIR"),
            ),
            (Ok(()), Some(service)) => finding(
                about,
                Grade::Poor,
                format!("{} is not delegated: nodes with limits run in a scope beside it", service.unit),
                Some("`Delegate=yes` in the unit"),
            ),
            (Ok(()), None) => good(format!("systemd makes scopes in {slice} for nodes with limits")),
        },
        Base::Free(_) if crate::launch::record::is_machines_root() => good("root needs none".to_owned()),
        Base::Free(path) => {
            let own = path.trim_end_matches("/red-runtime");
            let directory = format!("{}{own}", crate::launch::cgroup::MOUNT);
            let writable = accessat(CWD, &*directory, Access::WRITE_OK, AtFlags::EACCESS);
            if writable.is_ok() && Layout::here() == Layout::V2 {
                return good(format!("{directory} is this user's"));
            }
            finding(
                about,
                Grade::Poor,
                format!("{directory} is not this user's: nodes with limits do not start"),
                Some("have root give this user a cgroup of version 2 and start a shell in it"),
            )
        }
    }
}

fn subordinate_ids() -> Finding {
    let about = "subordinate ids";
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return finding(about, Grade::Good, "root needs none", None);
    }
    match SystemHost::default().subordinate(uid.as_raw()) {
        Some(_) if rustix::thread::no_new_privs().unwrap_or(false) => finding(
            about,
            Grade::Bad,
            "newuidmap has no privileges here: nothing starts",
            Some("NoNewPrivileges=no in the unit, and no option that implies it (systemd.exec(5))"),
        ),
        Some(ids) => finding(about, Grade::Good, format!("{} users from {}", ids.users.1, ids.users.0), None),
        None => finding(
            about,
            Grade::Poor,
            "none: only this user exists in its containers",
            Some(
                "apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
            ),
        ),
    }
}

fn own_file() -> Finding {
    let about = "own file";
    use rustix::fs::{StatVfsMountFlags, statvfs};
    let read_only =
        statvfs("/proc/self/exe").is_ok_and(|facts| facts.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        return finding(about, Grade::Good, "on a read-only mount: protected at no cost", None);
    }
    let mut bytes = [0_u8; 4096];
    let file = fs::File::open("/proc/self/exe");
    let count = file.and_then(|mut file| std::io::Read::read(&mut file, &mut bytes)).unwrap_or(0);
    let dynamic = bytes[..count].windows(4).any(|window| window == b"/ld-")
        || bytes[..count].windows(8).any(|window| window == b"ld-linux");
    if dynamic {
        return finding(
            about,
            Grade::Poor,
            "needs the dynamic loader at every start",
            Some("build it with `.ci/static`"),
        );
    }
    finding(about, Grade::Good, "protected by a read-only mount of its own for each container", None)
}

fn states() -> Finding {
    let about = "states";
    let store = Store::of(None);
    let place = match store.path() {
        Ok(place) => place,
        Err(error) => {
            return finding(about, Grade::Bad, error.to_string(), Some("log in through PAM, or set it"));
        }
    };
    // It may not have been made yet.
    let directory = place.ancestors().find(|above| above.exists()).unwrap_or(place);
    let directory = directory.display().to_string();
    let flags = (Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    if let Err(errno) = accessat(CWD, &*directory, flags.0, flags.1) {
        let text = format!("state directory {directory}: {}", plain(errno));
        let fix = cause::of(&text);
        return finding(about, Grade::Bad, text, fix.as_deref().or(Some("--root names another one")));
    }
    match rustix::fs::statfs(&*directory) {
        Ok(facts) if facts.f_type == i64::from(TMPFS_MAGIC) => {
            finding(about, Grade::Good, format!("{directory} is in memory"), None)
        }
        Ok(_) => finding(
            about,
            Grade::Poor,
            format!("{directory} is on a disk: every start writes to it and waits for it"),
            Some("mount a tmpfs there"),
        ),
        Err(errno) => finding(about, Grade::Bad, format!("{directory}: {errno}"), None),
    }
}

fn check_policy(out: &mut Output, show: bool) -> Finding {
    let about = "policy";
    let prefix = std::env::var("NODE_PREFIX").unwrap_or_default();
    let path = policy::path(&prefix);
    let loaded = policy::load(&path);
    let Some(policy) = loaded.policy else {
        if show {
            out.report(&loaded.report, &loaded.sources, Severity::Warning);
        }
        let text = loaded.report.one_line(&loaded.sources);
        return finding(about, Grade::Bad, text, Some("until it can be read, engines start no node"));
    };
    let pools: Vec<String> = policy.pools.iter().map(|pool| pool.path.display().to_string()).collect();
    let missing: Vec<&String> = pools.iter().filter(|pool| !Path::new(pool).is_dir()).collect();
    if pools.is_empty() {
        let fix = format!("list one under `pools` in {}", path.display());
        finding(about, Grade::Poor, "there is no pool: engines start no node", Some(&fix))
    } else if missing.is_empty() {
        finding(about, Grade::Good, format!("engines may start nodes of {}", pools.join(", ")), None)
    } else {
        let fix = format!("make a directory, or list another pool in {}", path.display());
        finding(about, Grade::Poor, format!("pool {} does not exist", missing[0]), Some(&fix))
    }
}

/// Path of an installed program.
fn program(name: &str) -> Option<PathBuf> {
    let directories = ["/usr/local/bin", "/usr/bin", "/usr/sbin"];
    directories.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists())
}

fn smack() -> Finding {
    let there = Path::new("/sys/fs/smackfs").exists();
    let text = if there {
        "labels are checked, and set by the kernel's rules"
    } else {
        "not in this kernel: nodes with a label do not start"
    };
    finding("smack", Grade::Good, text, None)
}
