//! Each stage, in a user namespace of its own and without cgroups. A stage changes the process it
//! runs in, so every test runs again in a process with one thread, which is that process.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use oci_spec::runtime::{Process, ProcessBuilder, Spec, UserBuilder};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::MountFlags;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::entered::Entered;
use super::{Closed, Common, Joined, Kept, Rooted};
use crate::launch::error::LaunchError;
use crate::launch::job::{Job, Manner};
use crate::launch::namespaces::Namespaces;
use crate::launch::process::Setup;
use crate::launch::root::{Base, Mount, Otherwise, Root, Source, What};
use crate::launch::sync::{Message, Sync};
use crate::spec::layout::Entry;
use crate::sys;
use crate::sys::clone::{ChildToken, Cloned, clone3};
use crate::sys::mount_attr::MountAttr;

/// Runs the body in a process of its own, as root of new user and mount namespaces.
fn isolated(name: &str, body: impl FnOnce(ChildToken)) {
    const KEY: &str = "RED_STAGE_TEST";
    if std::env::var(KEY).is_ok_and(|value| value == name) {
        return in_clone(body);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("launch::inside::tests::{name}"), "--test-threads=1", "--nocapture"])
        .env(KEY, name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The harness of this process runs tests in a thread, and sleeps meanwhile; a clone has one thread.
fn in_clone(body: impl FnOnce(ChildToken)) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match clone3(0, None).unwrap() {
        Cloned::Child(child) => {
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                sys::namespace::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).unwrap();
                std::fs::write("/proc/self/setgroups", "deny").unwrap();
                std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
                std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
                // What is made here goes with the mount namespace.
                rustix::mount::mount("stage", "/tmp", "tmpfs", MountFlags::empty(), None).unwrap();
                body(child);
            }));
            sys::exec::leave(i32::from(ran.is_err()));
        }
        Cloned::Parent { pidfd, .. } => {
            let end = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
            assert_eq!(end.exit_status(), Some(0));
        }
    }
}

fn process(args: &[&str], cwd: &str, env: &[&str]) -> Process {
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let mut process = ProcessBuilder::default()
        .args(texts(args))
        .cwd(cwd)
        .env(texts(env))
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build().unwrap())
        .no_new_privileges(true)
        .build()
        .unwrap();
    process.set_capabilities(None);
    process
}

fn directory(path: &str) -> OwnedFd {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// What is open, but for the standard streams.
fn open_numbers() -> Vec<i32> {
    let is_open = |number: &i32| sys::exec::inherited(*number).is_ok();
    (3..64).filter(is_open).collect()
}

fn rooted<'a>(child: ChildToken, process: &'a Process, sync: &'a Sync, passed: u32) -> Rooted<'a> {
    let joined = Joined {
        id: "stage-test",
        setup: Setup::with(process, None).unwrap(),
        sync,
        console_socket: None,
        passed,
    };
    Rooted::joined(child, joined).unwrap()
}

fn closed<'a>(child: ChildToken, process: &'a Process, sync: &'a Sync, passed: u32) -> Closed<'a> {
    rooted(child, process, sync, passed).close().unwrap()
}

/// Places a directory of the host at a number as an engine does that passes it.
fn pass(path: &str, number: i32) {
    let fd = rustix::io::fcntl_dupfd_cloexec(directory(path), 40).unwrap();
    sys::exec::place(&fd, number).unwrap();
}

/// Why a process is refused; empty when it is not. In a clone of its own, for what a stage does to a
/// process stays done.
fn refusal(process: &Process, passed: u32) -> String {
    let (ours, sync) = Sync::pair().unwrap();
    match clone3(0, None).unwrap() {
        Cloned::Child(child) => match closed(child, process, &sync, passed).become_user() {
            Ok(_) => sys::exec::leave(0),
            Err(error) => super::report_and_exit(&sync, error),
        },
        Cloned::Parent { pidfd, .. } => {
            drop(sync);
            let said = ours.hear().unwrap();
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
            match said {
                Some(Message::Failed(error)) => error.to_string(),
                _ => String::new(),
            }
        }
    }
}

#[test]
fn closing_leaves_the_conversation_only() {
    isolated("closing_leaves_the_conversation_only", |child| {
        let process = process(&["true"], "/", &[]);
        let (ours, sync) = Sync::pair().unwrap();
        let host = [directory("/"), directory("/proc"), directory("/etc")];
        assert!(open_numbers().len() >= 5);
        let closed = closed(child, &process, &sync, 0);
        assert_eq!(open_numbers(), [sync.number()]);
        // What owned the others does not run again, as in a clone.
        std::mem::forget((host, ours, closed));
    });
}

#[test]
fn passed_descriptors_stay_and_own_ones_in_their_range_go() {
    isolated("passed_descriptors_stay_and_own_ones_in_their_range_go", |child| {
        let process = process(&["true"], "/", &[]);
        let (ours, sync) = Sync::pair().unwrap();
        pass("/etc", 20);
        let own = rustix::io::fcntl_dupfd_cloexec(directory("/"), 21).unwrap();
        assert_eq!(own.as_raw_fd(), 21);
        let closed = closed(child, &process, &sync, 30);
        let left = open_numbers();
        assert!(left.contains(&20) && !left.contains(&21), "{left:?}");
        assert!(left.contains(&sync.number()), "{left:?}");
        std::mem::forget((own, ours, closed));
    });
}

#[test]
fn no_working_directory_leads_through_a_descriptor() {
    isolated("no_working_directory_leads_through_a_descriptor", |_child| {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let link = dir.path().join("work");
        std::os::unix::fs::symlink("/proc/self/fd/3", &link).unwrap();
        // The worst case: the engine itself passes a directory of the host.
        pass("/etc", 3);
        for cwd in ["/proc/self/fd/3", "/proc/self/fd/3/..", "/proc/self/root", link.to_str().unwrap()] {
            let said = refusal(&process(&["true"], cwd, &[]), 1);
            assert!(said.contains("magic link"), "{cwd}: {said}");
        }
        // One of ours is not even there any more.
        let own = directory("/etc");
        let cwd = format!("/proc/self/fd/{}", own.as_raw_fd());
        let said = refusal(&process(&["true"], &cwd, &[]), 1);
        assert!(said.contains("working directory /proc/self/fd/"), "{said}");
        std::mem::forget(own);
    });
}

#[test]
fn no_command_is_found_through_a_descriptor() {
    isolated("no_command_is_found_through_a_descriptor", |_child| {
        pass("/usr", 3);
        for (args, env) in [
            ("/proc/self/fd/3/bin/true", "PATH=/bin"),
            ("/proc/self/root/bin/true", "PATH=/bin"),
            ("/proc/self/exe", "PATH=/bin"),
            ("true", "PATH=/proc/self/fd/3/bin"),
            ("bin/true", "PATH=/bin"),
        ] {
            let cwd = if args == "bin/true" { "/proc/self/fd/3" } else { "/" };
            let said = refusal(&process(&[args], cwd, &[env]), 1);
            assert!(said.contains("magic link"), "{args} {env}: {said}");
        }
        assert_eq!(refusal(&process(&["true"], "/usr", &["PATH=/bin"]), 1), "");
    });
}

#[test]
fn a_working_directory_outside_the_root_is_refused() {
    isolated("a_working_directory_outside_the_root_is_refused", |_child| {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let inner = dir.path().join("root");
        std::fs::create_dir(&inner).unwrap();
        std::env::set_current_dir(dir.path()).unwrap();
        rustix::process::chroot(&inner).unwrap();
        // `.` is outside now, and no walk from `/` leads there.
        let error = super::closed::reachable(Path::new(".")).unwrap_err();
        assert!(error.to_string().contains("outside the container's root"), "{error}");
        // The temporary directory is not to be found from here to be removed.
        std::mem::forget(dir);
        rustix::process::fchdir(directory("/")).unwrap();
        super::closed::reachable(Path::new("/")).unwrap();
    });
}

/// A root of an empty tmpfs, with the host's programs.
fn root() -> Root {
    let directories = ["/usr", "/work", "/proc"];
    let bind = |path: &str| Mount {
        destination: path.to_owned(),
        what: What::Bind { source: Source::Path(path.into()), all: true },
        attr: MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() },
        recursive: MountAttr::default(),
        otherwise: Otherwise::Fail,
        missing_points: Vec::new(),
        held: false,
        of_node: false,
        owners: None,
    };
    Root {
        base: Base::Skeleton {
            entries: directories.iter().map(|&path| (path.to_owned(), Entry::Dir)).collect(),
            owner: (0, 0),
        },
        mounts: vec![bind("/proc"), bind("/usr")],
        ..Root::default()
    }
}

#[test]
fn the_root_is_entered_before_anything_is_closed_or_found() {
    isolated("the_root_is_entered_before_anything_is_closed_or_found", |child| {
        let process = process(&["ls"], "/work", &["PATH=/usr/bin"]);
        let mut spec = Spec::default();
        spec.set_process(Some(process));
        spec.set_hooks(None);
        let root = root();
        let job = Job {
            nested: None,
            id: "stage-test",
            own: false,
            bundle: "/".into(),
            spec: &spec,
            root: &root,
            cgroups: None,
            resources: None,
            later_filter: false,
            filter: crate::launch::filter::Standard::None,
            keeps_groups: false,
            manner: Manner::Foreground { die_with_parent: false, new_session: false, reaper: false },
            start_socket: None,
            ended: None,
            smack: None,
            console: None,
            streams: None,
            preserve: 0,
            no_pivot: false,
            no_new_keyring: false,
        };
        let (ours, sync) = Sync::pair().unwrap();
        let state = directory("/etc");
        let namespaces = Namespaces::default();
        let common = Common { child, setup: Setup::of(&spec).unwrap(), sync: &sync, passed: 0 };
        let entered =
            Entered::at(common, &job, &namespaces, Kept::default()).begin(false, false, None).unwrap();
        // The launcher's descriptors are gone before the first mount is made.
        assert_eq!(open_numbers(), [sync.number()]);
        let rooted = entered.assemble().unwrap();
        assert!(Path::new("/work").is_dir() && !Path::new("/etc").exists());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(mounts.lines().next().unwrap().contains("red-root"), "{mounts}");
        let ready = rooted.close().unwrap().become_user().unwrap();
        assert_eq!(open_numbers(), [sync.number()]);
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/work"));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        for line in ["CapBnd:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line} in {status}");
        }
        std::mem::forget((ours, state, ready));
    });
}

#[test]
fn the_standard_filter_loads_once_nothing_is_to_be_gained() {
    isolated("the_standard_filter_loads_once_nothing_is_to_be_gained", |child| {
        let process = process(&["true"], "/", &["PATH=/usr/bin:/bin"]);
        let (ours, sync) = Sync::pair().unwrap();
        let ready = closed(child, &process, &sync, 0).become_user().unwrap();
        crate::launch::filter::Standard::Whole.load().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
        let name = c"x";
        assert_eq!(sys::keyring::join_new(Some(name)), Err(rustix::io::Errno::PERM));
        std::mem::forget((ours, ready));
    });
}

#[test]
fn errors_of_a_stage_name_what_was_asked_for() {
    isolated("errors_of_a_stage_name_what_was_asked_for", |child| {
        let said = refusal(&process(&["true"], "/no/such/place", &["PATH=/bin"]), 0);
        assert!(said.starts_with("working directory /no/such/place"), "{said}");
        let (ours, sync) = Sync::pair().unwrap();
        let missing = process(&["no-such-command"], "/", &["PATH=/bin"]);
        let error = closed(child, &missing, &sync, 0).become_user().err().unwrap();
        assert!(matches!(error, LaunchError::CommandMissing { .. }), "{error}");
        std::mem::forget(ours);
    });
}
