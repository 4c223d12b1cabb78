//! dnf itself, in empty roots.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use red_tests::call::run;
use red_tests::store::Ground;

/// Starts dnf for each line, without loading it each time.
const SERVER: &str = r#"
import json, os, sys, traceback
import dnf.cli.main, dnf.cli.cli
for line in sys.stdin:
    args, log = json.loads(line)
    pid = os.fork()
    if pid == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, of in ((0, null), (1, out), (2, out)):
            os.dup2(of, number)
        try:
            code = dnf.cli.main.user_main(args)
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"#;

/// dnf, waiting for words.
pub(crate) struct Dnf {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    root: PathBuf,
    log: PathBuf,
}

impl Dnf {
    /// Loads dnf; `None` where there is none.
    pub(crate) fn start(ground: &Ground) -> Option<Self> {
        if run(Command::new("/usr/bin/python3").args(["-c", "import dnf"])).code != 0 {
            red_tests::skip("no dnf to compare with: only the table is held");
            return None;
        }
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER])
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python is there");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Self {
            child,
            stdin,
            stdout,
            root: ground.pool.join("dnf-root"),
            log: ground.pool.join("dnf-log"),
        })
    }

    /// Whether it is the version that the table is written for.
    pub(crate) fn is_of_bookworm(&self) -> bool {
        run(Command::new("dnf").arg("--version")).out.starts_with("4.14.")
    }

    /// Installs the package `one` into a new root with these files. Returns whether it is there, and what dnf says.
    pub(crate) fn installs(
        &mut self,
        files: &[(String, Vec<u8>)],
        keys: &[PathBuf],
        words: &[String],
        policy: Option<&Path>,
    ) -> (bool, String) {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).expect("it is ours");
        }
        fs::create_dir_all(self.root.join("etc/yum.repos.d")).expect("it is ours");
        for (path, text) in files {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
            fs::write(path, text).expect("it is ours");
        }
        for key in keys {
            // One that it does not know stays out.
            drop(run(Command::new("rpmkeys").arg("--root").arg(&self.root).arg("--import").arg(key)));
        }
        let root = self.root.display();
        let mut args = vec![format!("--installroot={root}"), "--releasever=1".into()];
        args.extend(words.iter().cloned());
        let code = match policy {
            // rpm 4.18 forgets subkeys of a key that is imported by the same process.
            Some(policy) => match self.below(policy, &args) {
                0 => 0,
                _ => self.below(policy, &args),
            },
            None => self.ask(&args),
        };
        let there = self.root.join("usr/share/one").exists();
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        assert_eq!(there, code == 0, "{words:?}: {code}\n{said}");
        (there, said)
    }

    /// Has the server start dnf.
    fn ask(&mut self, args: &[String]) -> i32 {
        let line = serde_json::json!([args, self.log]);
        writeln!(self.stdin, "{line}").expect("it listens");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("it answers");
        answer.trim().parse().unwrap_or_else(|_error| panic!("dnf says {answer:?}"))
    }

    /// Runs dnf where rpm has another configuration.
    fn below(&self, policy: &Path, args: &[String]) -> i32 {
        let mut command = Command::new("unshare");
        command.args(["-m", "bash", "-c", "mount --bind $1 /usr/lib/rpm && exec dnf \"${@:2}\"", "sh"]);
        let said = run(command.arg(policy).args(args).stdin(Stdio::null()));
        fs::write(&self.log, format!("{}{}", said.out, said.err)).expect("it is ours");
        said.code
    }
}

impl Drop for Dnf {
    fn drop(&mut self) {
        // It may be gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
