//! Commands of a configuration run in a box, for a launch only, and must succeed.

use std::path::PathBuf;

use red_tests::broom::User;
use red_tests::call::{Said, red_conf, run};
use red_tests::pool::Pool;
use red_tests::skip;

/// A node with one Execfd export.
fn node(command: &str) -> (Pool, PathBuf) {
    let pool = Pool::new();
    let quoted = command.replace('\'', "''");
    let node = pool.node("a", &format!("exports: [{{mode: Execfd, mount: /f, path: '{quoted}'}}]"));
    (pool, node)
}

/// What a command printed when a bundle was written.
fn printed(command: &str) -> String {
    let (pool, node) = node(command);
    let bundle = pool.join("bundle");
    run(red_conf().arg("bundle").arg(node).arg(&bundle)).good();
    std::fs::read_to_string(bundle.join("files/1")).expect("it is the only file")
}

fn refused(command: &str) -> String {
    let (pool, node) = node(command);
    let said = run(red_conf().arg("bundle").arg(node).arg(pool.join("bundle")));
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(!pool.join("bundle").exists(), "nothing half done");
    said.err
}

#[test]
fn they_have_no_capabilities_and_cannot_get_any() {
    let status = printed("grep -E \"^(Cap|NoNewPrivs)\" /proc/self/status | tr -d \"\\t \"");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:1"), "{status}");
}

#[test]
fn they_see_no_process_network_descriptor_or_variable_of_the_host() {
    let processes = printed("ls /proc | grep -c \"^[0-9]\"");
    assert!(processes.trim().parse::<u32>().expect("a number") <= 5, "{processes}");
    assert_eq!(printed("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d \" \""), "lo\n");
    assert_eq!(printed("ls /proc/self/fd | tr \"\\n\" \" \""), "0 1 2 3 ", "3 is the directory being listed");
    let environment = printed("env | cut -d= -f1 | sort | tr \"\\n\" \" \"");
    assert_eq!(environment, "PWD SHLVL _ ", "what bash sets by itself");
    assert_eq!(printed("cat; echo end"), "end\n", "there is nothing to read");
}

#[test]
fn they_write_nowhere() {
    for place in ["/etc/red-test", "/tmp/red-test", "/dev/shm/red-test", "/proc/sys/kernel/hostname"] {
        let said = refused(&format!("echo > {place}"));
        assert!(said.contains("ended with status 1"), "{said}");
        assert!(place.starts_with("/proc") || !std::path::Path::new(place).exists());
    }
    let said = refused("mount -t tmpfs x /mnt");
    assert!(said.contains("ended with status"), "{said}");
    assert!(refused("mount -o remount,rw /").contains("ended with status"));
}

#[test]
fn what_takes_too_long_is_killed_with_all_it_started() {
    let marker = format!("3{}", std::process::id());
    for command in [
        format!("sleep {marker}"),
        format!("sleep {marker} & setsid sleep {marker} & exec >&- 2>&-; wait"),
        format!("exec >&- 2>&-; trap \"\" TERM INT HUP; while :; do sleep {marker}; done"),
        "while :; do :; done".to_owned(),
    ] {
        let said = refused(&command);
        assert!(said.contains("took longer than 2000 ms and was killed"), "{said}");
    }
    let left = run(std::process::Command::new("pgrep").args(["-f", &format!("^sleep {marker}$")]));
    assert_eq!(left.out, "", "nothing of it is left");
}

#[test]
fn what_prints_too_much_or_fails_is_an_error_with_its_words() {
    assert!(refused("yes").contains("printed more than 65536 bytes and was killed"));
    assert_eq!(printed("head -c 65536 /dev/zero | tr \"\\0\" x").len(), 65_536, "the limit itself is fine");
    let said = refused("echo so far; echo it broke >&2; exit 3");
    assert!(said.contains("ended with status 3: it broke"), "{said}");
    assert!(said.contains("a/etc/redpak.yaml:2:"), "{said}");
    assert!(refused("no-such-program-here").contains("ended with status 127"));
}

#[test]
fn the_shell_of_a_substitution_is_restricted() {
    let pool = Pool::new();
    let node = pool.node("a", "environ: [{key: A, value: 'x $(cd / && pwd)'}]");
    let said = run(red_conf().arg("bundle").arg(&node).arg(pool.join("bundle")));
    assert!(said.code == 1 && said.err.contains("restricted"), "{}", said.err);
    let node = pool.node("b", "environ: [{key: A, value: 'x $(echo $NODE_ALIAS | tr b c)'}]");
    run(red_conf().arg("bundle").arg(&node).arg(pool.join("bundle"))).good();
    let config = std::fs::read_to_string(pool.join("bundle/config.json")).expect("it was written");
    assert!(config.contains("\"A=x c\""), "{config}");
}

#[test]
fn looking_never_runs_them() {
    let pool = Pool::new();
    let text = "environ: [{key: A, mode: Execfd, value: 'exit 9'}, {key: B, value: $(exit 9)}]
exports: [{mode: Execfd, mount: /f, path: 'exit 9'}, {mode: Restricted, mount: '/m/$(exit 9)', path: /etc}]";
    let node = pool.node("a", text);
    let path = node.as_os_str();
    for args in [
        vec!["check"],
        vec!["plan"],
        vec!["plan", "--json"],
        vec!["plan", "--digest"],
        vec!["mergeconfig", "--expand"],
        vec!["mergeconfig", "--yaml"],
        vec!["config"],
    ] {
        let said: Said = run(red_conf().args(&args).arg(path));
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
    }
    run(red_conf().arg("access").arg(path).arg("/f")).good();
    run(red_conf().arg("diff").arg(path).arg(path)).good();
    assert_eq!(run(red_conf().arg("bundle").arg(path).arg(pool.join("bundle"))).code, 1, "a launch does");
}

#[test]
fn an_ordinary_user_gets_the_same_box() {
    if !rustix::process::geteuid().is_root() {
        return skip("needs root to make a user");
    }
    let user = User::make();
    let (pool, node) = node(
        "id -u; id -G; grep -c . /proc/self/uid_map; tail -n +3 /proc/net/dev | wc -l; touch /tmp/red-test-x 2>&1 | grep -o \"Read-only\"",
    );
    let program = pool.install("red-runtime", "red-conf");
    pool.chown(user.uid);
    let bundle = pool.join("bundle");
    run(user.command(program).arg("bundle").arg(node).arg(&bundle)).good();
    let text = std::fs::read_to_string(bundle.join("files/1")).expect("it is the only file");
    assert_eq!(text, format!("{0}\n{0}\n1\n1\nRead-only\n", user.uid));
}
