//! Every system call can fail: no panic, no hang, nothing left.

use std::process::{Command, Stdio};

use red_tests::call::{red_runtime, run};
use red_tests::skip;
use red_tests::stage::Stage;

/// How far apart the calls are that fail: a share of what a person can ask for with `RED_SOAK=full`.
fn stride() -> usize {
    if std::env::var_os("RED_SOAK").is_some_and(|value| value == "full") { 1 } else { 23 }
}

/// Calls that a launch makes, and errors that each may give.
const CALLS: &str = "openat,openat2,open,mkdirat,mkdir,mknodat,symlinkat,renameat,unlinkat,unlink,rename,write,read,fcntl,fstat,newfstatat,close_range,\
clone3,clone,unshare,setns,mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,pivot_root,prctl,capset,setresuid,setresgid,setgroups,\
socketpair,socket,bind,listen,connect,sendto,recvfrom,pidfd_open,execve,execveat,fdatasync,prlimit64,chdir,fchdir,setsid";

#[test]
fn any_call_may_fail() {
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("strace is not installed");
    }
    let stage = Stage::new();
    let bundle = stage.plain("b", &["true"], |_| {});
    let (mut failed, mut survived) = (0, 0);
    for errno in ["EIO", "ENOSPC", "ENOMEM", "EMFILE", "EINTR"] {
        let mut at = 1;
        let mut quiet = 0;
        // Until the failing call lies beyond all that are made.
        while quiet < 3 {
            let trace = stage.pool.join("trace");
            let mut command = Command::new("timeout");
            command.args(["--kill-after=5", "30", "strace", "-f", "-o"]).arg(&trace);
            command.arg(format!("--inject={CALLS}:error={errno}:when={at}"));
            command.arg("-e").arg(format!("trace={CALLS}"));
            let red = red_runtime(&stage.root);
            command
                .arg(red.get_program())
                .args(red.get_args())
                .arg("run")
                .arg("--bundle")
                .arg(&bundle)
                .arg("f");
            command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
            let said = run(&mut command);
            assert!(said.code != 124 && said.code != 137, "{errno} at {at}: it hangs");
            assert!(
                !said.err.contains("panicked") && said.code != 134 && said.code != 139,
                "{errno} at {at}: {}",
                said.err
            );
            if said.code == 0 {
                survived += 1
            } else {
                failed += 1
            }
            let removed = stage.runtime(["delete", "--force", "f"]);
            assert_eq!(removed.code, 0, "{errno} at {at}: {}", removed.err);
            let left = stage.left("f");
            assert!(left.is_empty(), "{errno} at {at}: {left:?}\n{}", injected(&trace));
            quiet = if injected(&trace).is_empty() { quiet + 1 } else { 0 };
            at += stride();
        }
    }
    assert!(failed > 10, "only {failed} of {} failed", failed + survived);
    run(red_runtime(&stage.root).arg("run").arg("--bundle").arg(&bundle).arg("f")).good();
}

/// The calls that were made to fail.
fn injected(trace: &std::path::Path) -> String {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    text.lines().filter(|line| line.contains("(INJECTED)")).collect::<Vec<_>>().join("\n")
}
