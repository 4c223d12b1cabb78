//! Every system call can fail: no panic, no hang, nothing left.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use red_tests::call::{Said, red_runtime};
use red_tests::podman::through_files;
use red_tests::skip;
use red_tests::stage::Stage;

/// One call of so many fails in CI, each in turn with `RED_SOAK=full`.
fn stride() -> usize {
    if std::env::var_os("RED_SOAK").is_some_and(|value| value == "full") { 1 } else { 23 }
}

/// Calls that a launch makes.
const CALLS: &str = "openat,openat2,open,mkdirat,mkdir,mknodat,symlinkat,renameat,unlinkat,unlink,rename,write,read,fcntl,fstat,newfstatat,close_range,\
clone3,clone,unshare,setns,mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,pivot_root,prctl,capset,setresuid,setresgid,setgroups,\
socketpair,socket,bind,listen,connect,sendto,recvfrom,pidfd_open,execve,execveat,fdatasync,prlimit64,chdir,fchdir,setsid,\
memfd_create,sendmsg,recvmsg,signalfd4,ioctl,statx,fchmodat,ppoll,poll,rt_sigprocmask,wait4,waitid,dup2,dup3";

/// Runs a launch to its end under strace(1), with what it is told.
fn traced(stage: &Stage, launch: &[&str], options: &[String]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "strace", "-f", "-o"]).arg(stage.pool.join("trace")).args(options);
    let red = red_runtime(&stage.root);
    command.arg(red.get_program());
    // `wrap` has its state directory among its own options.
    if launch[0] != "wrap" {
        command.args(red.get_args());
    }
    command.args(launch).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    // A container that stays would keep a pipe open.
    through_files(stage.pool.path(), command)
}

/// Each call that is made, with its position among those of its name in one process.
fn points(trace: &str) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            *counts.entry((name, pid)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    for ((name, _), count) in counts {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most.into_iter().flat_map(|(name, count)| (1..=count).map(move |at| (name.to_owned(), at))).collect()
}

#[test]
fn any_call_of_a_bundles_launch_may_fail() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["true"], |_| {}).display().to_string();
    any_call_may_fail(&stage, &["run", "--bundle", &bundle, "f"]);
}

/// With red-init as the first process.
#[test]
fn any_call_of_a_nodes_launch_may_fail() {
    let stage = Stage::new();
    let (root, leaf) = (stage.root.display().to_string(), format!("--redpath={}", stage.leaf.display()));
    any_call_may_fail(&stage, &["wrap", "--root", &root, &leaf, "--name", "f", "--", "true"]);
}

fn any_call_may_fail(stage: &Stage, launch: &[&str]) {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("strace is not installed");
    }
    let trace = || std::fs::read_to_string(stage.pool.join("trace")).unwrap_or_default();
    let said = traced(stage, launch, &["-e".into(), format!("trace={CALLS}")]);
    assert_eq!(said.code, 0, "{}", said.err);
    let points = points(&trace());
    assert!(points.len() > 300, "only {} calls are seen", points.len());
    let (mut failed, mut survived) = (0, 0);
    for (offset, errno) in ["EIO", "ENOSPC", "ENOMEM", "EMFILE", "EINTR"].into_iter().enumerate() {
        for (call, at) in points.iter().skip(offset % stride()).step_by(stride()) {
            let what = format!("{errno} of {call} at {at}");
            let inject = format!("--inject={call}:error={errno}:when={at}");
            let said = traced(stage, launch, &[inject, "-e".into(), format!("trace={call}")]);
            assert!(said.code != 124 && said.code != 137, "{what}: it hangs");
            assert!(
                !said.err.contains("panicked") && said.code != 134 && said.code != 139,
                "{what}: {}",
                said.err
            );
            if said.code == 0 {
                survived += 1
            } else {
                failed += 1
            }
            let removed = stage.runtime(["delete", "--force", "f"]);
            assert_eq!(removed.code, 0, "{what}: {}", removed.err);
            let left = stage.left("f");
            assert!(left.is_empty(), "{what}: {left:?}\n{}", said.err);
        }
    }
    red_tests::remark(&format!("{failed} failed, {survived} succeeded all the same"));
    assert!(failed > 20, "only {failed} of {} failed", failed + survived);
    assert_eq!(traced(stage, launch, &[]).code, 0);
}
