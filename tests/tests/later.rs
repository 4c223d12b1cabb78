//! What is asked of a container later, or of the kernel on its behalf, is bounded by what it was made
//! with: users, limits, descriptors, names.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use red_tests::call::{Said, red_runtime, run};
use red_tests::engine::Engine;
use red_tests::stage::Stage;
use serde_json::json;

const LIVES: [&str; 2] = ["sleep", "1000"];

/// A call of the engine's.
fn asked(engine: &Engine, args: &[&str]) -> Said {
    run(engine.command().args(args))
}

/// Starts a container that lives on; its output goes nowhere.
fn started(engine: &Engine, bundle: &Path, id: &str) {
    let mut create = engine.command();
    create.args(["create", "-b"]).arg(bundle).arg(id).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().expect("it starts").success());
    asked(engine, &["start", id]).good();
}

/// A further process is who the node says its commands are.
#[test]
fn no_further_process_is_another_user_than_the_node_says() {
    let engine = Engine::new(Stage::with(", set-user: '65534', set-group: '65534'", ""));
    let bundle = engine.node("b", &LIVES, |_| {});
    started(&engine, &bundle, "c");
    let show = "id -u; id -g; id -G";
    // Engines ask for 0 where nobody asked for anything.
    for options in
        [&[][..], &["--user", "0:0"], &["--user", "0", "--additional-gids", "4"], &["--user", "65534:65534"]]
    {
        let mut args = vec!["exec"];
        args.extend(options);
        args.extend(["c", "sh", "-c", show]);
        let said = asked(&engine, &args).good();
        assert_eq!(said.out, "65534\n65534\n65534\n", "{options:?}");
    }
    for options in [["--user", "1000:65534"], ["--user", "65534:4"]] {
        let said = asked(&engine, &["exec", options[0], options[1], "c", "true"]);
        assert!(
            said.code != 0 && said.err.contains("the node runs its commands as"),
            "{options:?} {}",
            said.err
        );
    }
}

/// An update lifts no limit of the node.
#[test]
fn no_update_lifts_a_limit_of_the_node() {
    let engine = Engine::new(Stage::with(", cgroups: {pids: {max: 30}, mem: {max: 100M}}", ""));
    let bundle = engine.node("b", &LIVES, |_| {});
    started(&engine, &bundle, "c");
    let current = |engine: &Engine| {
        let pid = asked(engine, &["state", "c"]).good().json()["pid"].to_string();
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
        let of = |controller: &str, file: &str| {
            let path = text.lines().find_map(|line| line.split_once(&format!(":{controller}:")))?.1;
            let dir = if controller.is_empty() { String::new() } else { format!("/{controller}") };
            let value = fs::read_to_string(format!("/sys/fs/cgroup{dir}{path}/{file}")).ok()?;
            Some(value.trim().to_owned())
        };
        let pids = of("pids", "pids.max").or_else(|| of("", "pids.max")).expect("there is a limit");
        let memory = of("memory", "memory.limit_in_bytes").or_else(|| of("", "memory.max"));
        (pids, memory.expect("there is a limit"))
    };
    let node = ("30".to_owned(), (100_u64 << 20).to_string());
    assert_eq!(current(&engine), node);
    let lifted = engine.stage.pool.write("r.json", r#"{"pids":{"limit":-1},"memory":{"limit":-1}}"#);
    let lifted = lifted.display().to_string();
    for args in [
        &["update", "--pids-limit", "5000", "c"][..],
        &["update", "--memory", "2000000000", "c"],
        &["update", "--resources", &lifted, "c"],
    ] {
        asked(&engine, args).good();
        assert_eq!(current(&engine), node, "{args:?}");
    }
    asked(&engine, &["update", "--pids-limit", "20", "c"]).good();
    assert_eq!(current(&engine).0, "20");
}

/// The highest id is no id: the kernel leaves the process what it is, which is root.
#[test]
fn no_process_stays_root_by_an_id_that_is_none() {
    let stage = Stage::new();
    for user in [
        json!({"uid": u32::MAX, "gid": 0}),
        json!({"uid": 0, "gid": u32::MAX}),
        json!({"uid": 1, "gid": 1, "additionalGids": [5, u32::MAX]}),
    ] {
        let name = "b";
        let bundle = stage.plain(name, &["id"], |spec| spec["process"]["user"] = user.clone());
        let said = stage.runtime(["run", "-b", &bundle.display().to_string(), "c"]);
        assert!(said.code == 1 && said.err.contains("invalid user or group ID"), "{user}: {}", said.err);
        fs::remove_dir_all(bundle).expect("it is ours");
    }
    let bundle = stage.plain("e", &LIVES, |_| {});
    stage.start(&bundle, "e");
    let said = stage.runtime(["exec", "--user", "4294967295", "e", "id"]);
    assert!(said.code != 0 && said.err.contains("invalid user or group ID"), "{}", said.err);
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    let stage = Stage::new();
    let bundle = stage.plain("b", &["true"], |_| {});
    let mut run_with = red_runtime(&stage.root);
    run_with.args(["create", "--preserve-fds", "4294967295", "-b"]).arg(&bundle).arg("c");
    let said = run(&mut run_with);
    assert!(said.code == 1 && said.err.contains("--preserve-fds"), "{}", said.err);
    let bundle = stage.plain("n", &["true"], |spec| spec["linux"]["cgroupsPath"] = json!("/x/\u{0}"));
    let said = stage.create(&bundle, "n");
    assert!(said.code == 1 && said.err.contains("control character"), "{}", said.err);
    assert!(stage.sweep(), "nothing of it is on record");
}

/// A variable of the caller names a socket to report to; anything else it names stays outside.
#[test]
fn only_a_socket_is_mounted_because_a_variable_names_it() {
    let stage = Stage::new();
    let file = stage.pool.write("outside/file", "of the host");
    let mut wrap = stage.wrap_command(&[], &["cat", &file.display().to_string()]);
    let said = run(wrap.env("NOTIFY_SOCKET", &file));
    assert!(said.code != 0 && !said.out.contains("of the host"), "{}", said.out);
}
