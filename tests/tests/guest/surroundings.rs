//! What units, settings and sessions keep from a launch: it works all the same, or says why not and what to do. doctor,
//! started the same way, sees it too.

use std::fs;
use std::process::Command;

use red_tests::broom::User;
use red_tests::call::{Said, built, run};
use red_tests::stage::{Stage, eventually};

use super::{Wrapped, here, is_root, of_manager};

/// Findings of doctor that are not good, as `about: text = fix`.
fn found(said: &Said) -> Vec<String> {
    let all = said.json();
    let all = all["findings"].as_array().expect("a list").clone();
    let bad = all.iter().filter(|one| one["grade"] != "good");
    bad.map(|one| format!("{}: {} = {}", one["about"], one["text"], one["fix"])).collect()
}

/// Runs a command of a node, and then doctor, in a unit with these properties.
fn in_unit(node: &Wrapped, properties: &[&str]) -> (Said, Vec<String>) {
    let properties: Vec<String> = properties.iter().map(|one| format!("--property={one}")).collect();
    let mut options = vec!["--quiet", "--wait", "--pipe", "--property=Delegate=yes"];
    options.extend(properties.iter().map(String::as_str));
    let said = node.by_manager(&options, &["echo", "works"]);
    let program = built("red-runtime").display().to_string();
    options.extend([program.as_str(), "doctor", "--json"]);
    (said, found(&of_manager("systemd-run", &options)))
}

/// How a launch in a unit ends.
enum Ends {
    Well,
    /// red-wrap says so.
    Told(&'static str),
    /// Before red-wrap could say anything.
    Badly,
}

/// Properties of a unit, how a launch ends, and what doctor says.
type Case = (&'static [&'static str], Ends, &'static str);

/// Checks what is said of units, of all before anything is reported.
fn check(node: &Wrapped, cases: &[Case]) {
    let mut wrong = Vec::new();
    for (properties, ends, finding) in cases {
        let (said, found) = in_unit(node, properties);
        let seen = found.iter().any(|one| one.contains(finding));
        let as_wanted = match ends {
            Ends::Well => said.code == 0 && said.out == "works\n",
            Ends::Told(word) => said.code == 125 && said.err.contains(word) && seen,
            Ends::Badly => said.code != 0 && seen,
        };
        if !as_wanted {
            wrong.push(format!("{properties:?}: {} {}{}\n{found:#?}", said.code, said.out, said.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_of_a_unit_are_named_that_keep_a_launch_from_working() {
    use Ends::{Badly, Told, Well};
    if !here() {
        return;
    }
    let root: &[Case] = &[
        (&["RestrictSUIDSGID=yes"], Told("RestrictSUIDSGID="), "RestrictSUIDSGID="),
        (&["RestrictNamespaces=yes"], Told("RestrictNamespaces="), "RestrictNamespaces="),
        // It hides /tmp, too, where the test's program is.
        (&["DynamicUser=yes"], Badly, "DynamicUser="),
        (&["ProtectHostname=yes"], Told("ProtectHostname="), "ProtectHostname="),
        (&["SystemCallFilter=@system-service"], Badly, "SystemCallFilter="),
        (
            &["SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM"],
            Told("SystemCallFilter="),
            "SystemCallFilter=",
        ),
        (&["SystemCallFilter=@system-service @mount @privileged"], Well, ""),
        (&["LimitNOFILE=8"], Told("LimitNOFILE="), "LimitNOFILE="),
        (
            &[
                "NoNewPrivileges=yes",
                "LockPersonality=yes",
                "RestrictRealtime=yes",
                "MemoryDenyWriteExecute=yes",
            ],
            Well,
            "",
        ),
        (
            &["PrivateDevices=yes", "ProtectHome=yes", "ProtectClock=yes", "ProtectKernelModules=yes"],
            Well,
            "",
        ),
        (&["ProtectSystem=full", "ProtectControlGroups=yes"], Well, ""),
        (&["PrivateUsers=yes"], Well, ""),
        (&["ProtectProc=invisible", "ProcSubset=pid", "PrivateNetwork=yes", "PrivateIPC=yes"], Well, ""),
    ];
    let user: &[Case] = &[
        (&["NoNewPrivileges=yes"], Told("NoNewPrivileges="), "NoNewPrivileges="),
        (&["LockPersonality=yes"], Told("NoNewPrivileges="), "NoNewPrivileges="),
        (&["UMask=0077"], Well, ""),
    ];
    check(&Wrapped::new(), if is_root() { root } else { user });
}

/// Without `--root` the state directory is below /run.
#[test]
fn a_state_directory_that_is_read_only_is_told() {
    if !here() || !is_root() {
        return;
    }
    let node = Wrapped::new();
    let words: Vec<String> = node.words.iter().filter(|word| !word.starts_with("--root=")).cloned().collect();
    let usual = Wrapped { stage: Stage::new(), words };
    const STRICT: &str = "ProtectSystem=strict";
    check(
        &usual,
        &[
            (&[STRICT], Ends::Told("RuntimeDirectory=red-runtime"), "RuntimeDirectory=red-runtime"),
            (&[STRICT, "RuntimeDirectory=red-runtime", "RuntimeDirectoryPreserve=yes"], Ends::Well, ""),
        ],
    );
}

/// A setting of the kernel that is put back.
struct Setting {
    path: String,
    before: String,
}

impl Setting {
    fn set(name: &str, value: &str) -> Self {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let before = fs::read_to_string(&path).expect("the kernel has it");
        fs::write(&path, value).expect("root may set it");
        Self { path, before }
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(&self.path, &self.before).expect("root may set it");
    }
}

/// A node of a user who has no session and no manager.
struct Another {
    user: User,
    stage: Stage,
}

impl Drop for Another {
    fn drop(&mut self) {
        self.sweep();
    }
}

impl Another {
    fn new(config: &str) -> Self {
        let user = User::make();
        let stage = Stage::with(config, "");
        run(Command::new("chown").arg("-R").arg(&user.name).arg(stage.pool.path())).good();
        Self { user, stage }
    }

    /// red-wrap as that user, by way of other commands.
    fn wrap(&self, by: &[&str], options: &[&str], command: &[&str]) -> Command {
        let words = by.iter().map(|word| (*word).to_owned());
        let mut words: Vec<String> = words.chain([self.program("red-wrap")]).collect();
        words.push(format!("--root={}", self.stage.root.display()));
        words.push(format!("--redpath={}", self.stage.leaf.display()));
        let mut wrap = self.user.command(&words[0]);
        wrap.args(&words[1..]).args(options).arg("--").args(command);
        wrap
    }

    /// A program by its name.
    fn program(&self, name: &str) -> String {
        let link = self.stage.pool.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(built("red-runtime"), &link).expect("it is ours");
        }
        link.display().to_string()
    }

    /// Removes what that user has: root does not touch the states of others.
    fn sweep(&self) {
        let tool = |words: &[&str]| {
            let mut tool = self.user.command(self.program("red-runtime"));
            run(tool.arg(format!("--root={}", self.stage.root.display())).args(words))
        };
        for id in tool(&["list", "-q"]).out.lines() {
            tool(&["delete", "--force", id]);
        }
    }

    fn doctor(&self, by: &[&str], environment: (&str, &str)) -> Vec<String> {
        let program = self.program("red-runtime");
        let words: Vec<&str> = by.iter().copied().chain([program.as_str(), "doctor", "--json"]).collect();
        let mut doctor = self.user.command(words[0]);
        found(&run(doctor.args(&words[1..]).env(environment.0, environment.1)))
    }
}

#[test]
fn settings_of_the_kernel_are_named_that_keep_an_ordinary_user_from_namespaces() {
    if !here() || !is_root() {
        return;
    }
    let another = Another::new("");
    assert_eq!(run(&mut another.wrap(&[], &[], &["echo", "works"])).good().out, "works\n");
    for (name, words) in [
        ("user.max_user_namespaces", "user.max_user_namespaces=15000"),
        ("user.max_net_namespaces", "user.max_net_namespaces=15000"),
        ("kernel.unprivileged_userns_clone", "kernel.unprivileged_userns_clone=1"),
    ] {
        let setting = Setting::set(name, "0");
        let said = run(&mut another.wrap(&[], &[], &["echo", "works"]));
        let found = another.doctor(&[], ("A", "b"));
        drop(setting);
        assert!(said.code == 125 && said.err.contains(words), "{name}: {}{}", said.out, said.err);
        assert!(found.iter().any(|one| one.contains(words)), "{name}: {found:#?}");
    }
    assert_eq!(another.stage.left("app"), Vec::<String>::new());
}

#[test]
fn limits_of_processes_and_files_are_named() {
    if !here() || !is_root() {
        return;
    }
    let another = Another::new("");
    for (limit, words, finding) in [
        ("--nproc=0", "ulimit -u", "ulimit -u"),
        ("--nofile=8", "ulimit -n", "ulimit -n"),
        ("--fsize=0", "ulimit -f", "ulimit -f"),
    ] {
        let said = run(&mut another.wrap(&["prlimit", limit, "--"], &[], &["echo", "works"]));
        assert!(
            said.code == 125 && said.err.contains(words),
            "{limit}: {} {}{}",
            said.code,
            said.out,
            said.err
        );
        let found = another.doctor(&["prlimit", limit, "--"], ("A", "b"));
        assert!(found.iter().any(|one| one.contains(finding)), "{limit}: {found:#?}");
    }
    assert_eq!(another.stage.left("app"), Vec::<String>::new());
}

/// As after `su`, which keeps the caller's environment.
#[test]
fn a_session_that_is_another_users_is_not_used() {
    if !here() || !is_root() {
        return;
    }
    let another = Another::new("");
    let mut wrap = another.user.command(another.program("red-wrap"));
    let redpath = format!("--redpath={}", another.stage.leaf.display());
    let home = format!("/home/{}", another.user.name);
    wrap.args([&redpath, "--", "echo", "works"]).env("XDG_RUNTIME_DIR", "/run/user/0").env("HOME", home);
    wrap.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/0/bus");
    assert_eq!(run(&mut wrap).good().out, "works\n");
    let found = another.doctor(&[], ("XDG_RUNTIME_DIR", "/run/user/0"));
    assert!(found.iter().any(|one| one.contains("XDG_RUNTIME_DIR is /run/user/0")), "{found:#?}");
    assert_eq!(another.stage.left("app"), Vec::<String>::new());
}

#[test]
fn a_node_with_limits_of_a_user_without_a_bus_says_what_it_needs() {
    if !here() || !is_root() {
        return;
    }
    let another = Another::new(", cgroups: {pids: {max: 40}}");
    let user = format!("--property=User={}", another.user.name);
    let program = another.program("red-wrap");
    let root = format!("--root={}", another.stage.root.display());
    let redpath = format!("--redpath={}", another.stage.leaf.display());
    let start = |delegate: &str| {
        let options = ["--quiet", "--wait", "--pipe", &user, delegate];
        let command = [program.as_str(), &root, &redpath, "--", "echo", "works"];
        of_manager("systemd-run", &[&options[..], &command].concat())
    };
    let said = start("--property=Delegate=no");
    assert!(said.code == 125 && said.err.contains("`Delegate=yes`"), "{}{}", said.out, said.err);
    assert_eq!(start("--property=Delegate=yes").good().out, "works\n");
    assert_eq!(another.stage.left("app"), Vec::<String>::new());
}

/// /proc with an option, which is put back.
struct Hidden;

impl Hidden {
    fn mount(option: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{option}"), "/proc"])).good();
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        Self::mount("hidepid=0");
    }
}

#[test]
fn a_detached_node_runs_where_processes_are_hidden() {
    if !here() || !is_root() {
        return;
    }
    let another = Another::new("");
    Hidden::mount("hidepid=2");
    let hidden = Hidden;
    let tool = |words: &[&str]| {
        let mut tool = another.user.command(another.program("red-wrap"));
        tool.arg(words[0]).arg("--root").arg(&another.stage.root).args(&words[1..]);
        run(&mut tool)
    };
    run(&mut another.wrap(&[], &["--detach", "--name", "held"], &["sh", "-c", "echo runs; exec sleep 1000"]))
        .good();
    eventually("it prints", || tool(&["logs", "held"]).out == "runs\n");
    assert!(tool(&["ps"]).good().out.contains("held"), "it is listed");
    assert_eq!(tool(&["enter", "held", "echo", "inside"]).good().out, "inside\n");
    tool(&["kill", "held", "KILL"]).good();
    eventually("it has ended", || !tool(&["ps"]).out.contains("held"));
    // Its name is free.
    run(&mut another.wrap(&[], &["--detach", "--name", "held"], &["sleep", "1000"])).good();
    tool(&["kill", "held", "KILL"]).good();
    let found = another.doctor(&[], ("A", "b"));
    drop(hidden);
    assert!(!found.iter().any(|one| one.contains("hidepid")), "it works: {found:#?}");
    another.sweep();
    assert_eq!(another.stage.left("held"), Vec::<String>::new());
}
