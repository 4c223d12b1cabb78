//! A program that kills a command at its n-th system call.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::pool::Pool;

/// The program, compiled.
#[derive(Debug)]
pub struct Killer {
    program: PathBuf,
    err: PathBuf,
}

impl Killer {
    /// Compiles it; `None` where there is no C compiler.
    pub fn build(pool: &Pool) -> Option<Self> {
        let source = pool.write("killat.c", KILLER);
        let program = pool.join("killat");
        let built = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&program).arg(&source).status().ok()?;
        built.success().then(|| Self { program, err: pool.join("killed") })
    }

    /// The program: `killat N NAME COMMAND...`, as [`Self::kill_at`].
    #[must_use]
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// Kills a command, which sees itself called `name`, at its n-th system call. With 0 it is left alone.
    /// Returns how many it made; 0 for one that made no call for three seconds, and was killed then.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn kill_at(&self, at: usize, name: &str, command: &mut Command) -> usize {
        let mut killer = Command::new(&self.program);
        killer.arg(at.to_string()).arg(name).arg(command.get_program()).args(command.get_args());
        // A container would keep a pipe open.
        let err = fs::File::create(&self.err).expect("it is ours");
        killer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(err);
        killer.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        killer.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        killer.status().expect("it starts");
        let text = fs::read_to_string(&self.err).unwrap_or_default();
        text.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
    }
}

const KILLER: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
/* killat N NAME COMMAND...: prints how many system calls it made, and kills it at the N-th; one that makes
   none for three seconds is killed too, and 0 is printed. */
static pid_t pid;
static volatile int idle;
static void tick(int signal) { idle = 1; kill(pid, SIGKILL); }
int main(int argc, char **argv) {
    long at = atol(argv[1]), calls = 0;
    pid = fork();
    if (pid == 0) {
        char *program = argv[3];
        argv[3] = argv[2];
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(program, argv + 3);
        _exit(127);
    }
    signal(SIGALRM, tick);
    int status, pass = 0, inside = 0;
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    for (;;) {
        ptrace(PTRACE_SYSCALL, pid, 0, pass);
        pass = 0;
        if (at > 0) alarm(3);
        if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) break;
        int stop = WSTOPSIG(status);
        if (stop == (SIGTRAP | 0x80)) {
            inside = !inside;
            if (inside && ++calls == at) { kill(pid, SIGKILL); waitpid(pid, &status, 0); break; }
        } else if (stop != SIGTRAP && stop != SIGSTOP) pass = stop;
    }
    fprintf(stderr, "%ld\n", idle ? 0 : calls);
    return 0;
}
"#;
