//! Requests at the same time, and requests that wait for something that never comes.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::shim::shim as api;
use containerd_shim_protos::ttrpc::Code;
use containerd_shim_protos::types::empty::Empty;
use red_tests::call::run;
use red_tests::remark;
use red_tests::stage::{Stage, eventually};

use crate::client::{Answer, Shim, any, binary_option, exec, process, runtime_wrapper};

fn sleeping_bundle(stage: &Stage) -> std::path::PathBuf {
    stage.plain("b", &["/usr/bin/sleep", "1000"], |_| {})
}

fn update(id: &str, resources: &str) -> api::UpdateTaskRequest {
    let resources = any("types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", resources);
    api::UpdateTaskRequest { id: id.into(), resources, ..Default::default() }
}

/// Whether there is a pids controller, in any hierarchy.
fn has_pids_controller() -> bool {
    let mut find = Command::new("find");
    !run(find.args(["/sys/fs/cgroup", "-name", "pids.max", "-print", "-quit"])).out.is_empty()
}

#[test]
fn concurrent_deletes_spare_the_successor() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-a");
    let options = binary_option(&runtime_wrapper(
        &stage,
        "slow-delete",
        r#"case " $* " in *" delete "*) sleep 0.3 ;; esac; exec $runtime "$@""#,
    ));
    let shim = Shim::start(&stage, &bundle, id);
    let create = api::CreateTaskRequest { options, ..shim.create(id, &bundle) };
    shim.run(&create);
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    std::thread::scope(|scope| {
        let (answers, results) = mpsc::channel();
        for _ in 0..4 {
            let answers = answers.clone();
            let shim = &shim;
            scope.spawn(move || answers.send(shim.delete(id, "").map(drop)));
        }
        // After the first success the ID is free.
        let mut failed = 0;
        let mut fails = |answer: Answer<()>| {
            let (code, message) = answer.expect_err("deleted once");
            assert_eq!(code, Code::NOT_FOUND, "{message}");
            failed += 1;
        };
        loop {
            match results.recv().expect("answer") {
                Ok(()) => break,
                error => fails(error),
            }
        }
        let pid = shim.run(&create);
        drop(answers);
        results.iter().for_each(&mut fails);
        assert_eq!(failed, 3);
        let state = shim.status(id).expect("the successor");
        assert_eq!(state.pid, pid);
        assert!(Path::new(&format!("/proc/{pid}")).exists());
    });
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
}

#[test]
fn a_late_kill_spares_the_successor() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-h");
    let marker = stage.pool.join("killing");
    let script = format!(
        r#"case " $* " in *" kill "*) touch {}; sleep 1 ;; esac; exec $runtime "$@""#,
        marker.display()
    );
    let options = binary_option(&runtime_wrapper(&stage, "slow-kill", &script));
    let shim = Shim::start(&stage, &bundle, id);
    let create = api::CreateTaskRequest { options, ..shim.create(id, &bundle) };
    shim.run(&create);
    std::thread::scope(|scope| {
        let kill_all = scope.spawn(|| {
            let kill = api::KillRequest { id: id.into(), signal: 9, all: true, ..Default::default() };
            let result: Answer<Empty> = shim.call("Kill", &kill);
            result.map(drop)
        });
        eventually("the runtime is about to kill", || marker.exists());
        shim.kill(id, "");
        assert_eq!(shim.wait(id, ""), Ok(137));
        shim.delete(id, "").expect("stopped");
        let pid = shim.run(&create);
        // Too late, whatever the runtime says of it.
        drop(kill_all.join().expect("no panic"));
        std::thread::sleep(Duration::from_millis(300));
        assert!(shim.status(id).is_ok_and(|state| state.pid == pid && state.exit_status == 0));
    });
}

#[test]
fn concurrent_updates_do_not_mix() {
    if !has_pids_controller() {
        return remark("no pids controller here");
    }
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-b");
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    std::thread::scope(|scope| {
        for limit in 100..110 {
            let shim = &shim;
            // Lengths differ, so that a mix of two is no valid JSON.
            let padding = " ".repeat((limit - 100) * 1000);
            let resources = format!(r#"{{{padding}"pids":{{"limit":{limit}}}}}"#);
            scope.spawn(move || shim.good("Update", &update(id, &resources)));
        }
    });
    let left = std::fs::read_dir(&bundle).expect("exists").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("red-input")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn waits_for_processes_that_never_start_return() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-c");
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let broken = any("types.containerd.io/opencontainers/runtime-spec/1/Process", "{x");
    for (exec_id, spec) in [("fails", broken), ("deleted", process("true")), ("left", process("true"))] {
        shim.good("Exec", &exec(id, exec_id, spec));
    }
    std::thread::scope(|scope| {
        let waits = ["fails", "deleted", "left"].map(|exec_id| {
            let shim = &shim;
            scope.spawn(move || shim.wait(id, exec_id))
        });
        let pending = || waits.iter().filter(|wait| !wait.is_finished()).count();
        // Whether the requests have arrived cannot be seen from outside.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(pending(), 3);
        assert!(shim.start_process(id, "fails").is_err());
        eventually("the first has returned", || pending() == 2);
        assert_eq!(shim.delete(id, "fails").expect("never started").exit_status, 255);
        assert_eq!(shim.delete(id, "deleted").expect("never started").exit_status, 255);
        eventually("the second has returned", || pending() == 1);
        shim.kill(id, "");
        assert_eq!(shim.wait(id, ""), Ok(137));
        assert_eq!(shim.start_process(id, "left").expect_err("stopped").0, Code::FAILED_PRECONDITION);
        shim.delete(id, "").expect("stopped");
        eventually("the third has returned", || pending() == 0);
        for wait in waits {
            assert_eq!(wait.join().expect("no panic"), Ok(255));
        }
    });
}

#[test]
fn an_exec_process_that_cannot_be_attached_is_killed() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-d");
    let fifo = stage.pool.join("fifo");
    assert_eq!(run(Command::new("mkfifo").arg(&fifo)).code, 0);
    // After `exec` the shim can open no file as long as the streams of the process are open.
    let options = binary_option(&runtime_wrapper(
        &stage,
        "no-descriptors",
        &format!(
            r#"$runtime "$@"; status=$?
            case " $* " in *" exec "*)
                fd=0; while [ "$(readlink /proc/$PPID/fd/$fd)" != {} ]; do fd=$((fd + 1)); done
                prlimit --pid $PPID --nofile=$((fd + 1)): ;;
            esac; exit $status"#,
            fifo.display()
        ),
    ));
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&api::CreateTaskRequest { options, ..shim.create(id, &bundle) });
    let spec = process("exec sleep 98765");
    let stdout = fifo.display().to_string();
    shim.good("Exec", &api::ExecProcessRequest { stdout, ..exec(id, "x", spec) });
    let (_, message) = shim.start_process(id, "x").expect_err("no file descriptors");
    let mut prlimit = Command::new("prlimit");
    run(prlimit.args(["--pid", &shim.pid.to_string(), "--nofile=1024:"])).good();
    assert!(message.contains("red-pid."), "{message}");
    let is_running = || run(Command::new("pgrep").args(["-f", "sleep 98765"])).code == 0;
    eventually("the process is killed", || !is_running());
    assert_eq!(shim.wait(id, "x"), Ok(255));
    assert!(shim.status(id).is_ok());
}

#[test]
fn a_container_created_during_the_shutdown_keeps_its_shim() {
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-e");
    // Nobody takes the events, for which the shim waits a moment before it exits.
    let shim = Shim::with_env(&stage, &bundle, id, &[("TTRPC_ADDRESS", "/no/events")]);
    let create = shim.create(id, &bundle);
    shim.run(&create);
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
    shim.good("Shutdown", &api::ShutdownRequest::default());
    shim.run(&create);
    std::thread::sleep(Duration::from_secs(5));
    assert!(shim.status(id).is_ok() && shim.socket.exists());
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    shim.delete(id, "").expect("stopped");
    shim.good("Shutdown", &api::ShutdownRequest::default());
    eventually("the shim exits", || {
        !shim.socket.exists() && !Path::new(&format!("/proc/{}", shim.pid)).exists()
    });
}

#[test]
fn metrics_stay_those_of_the_container() {
    if !has_pids_controller() {
        return remark("no pids controller here");
    }
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-f");
    let shim = Shim::start(&stage, &bundle, id);
    let pid = shim.run(&shim.create(id, &bundle));
    shim.good("Update", &update(id, r#"{"pids":{"limit":77}}"#));
    let has_limit = || {
        let request = api::StatsRequest { id: id.into(), ..Default::default() };
        let response: api::StatsResponse = shim.call("Stats", &request).expect("running");
        // Field 2 of PidsStat, a varint.
        response.stats.value.windows(2).any(|pair| pair == [0x10, 77])
    };
    assert!(has_limit());
    // A process without a cgroup namespace may move itself; here the test does it.
    for procs in ["/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/cgroup.procs"] {
        if Path::new(procs).exists() {
            std::fs::write(procs, pid.to_string()).expect("the root cgroup accepts all");
        }
    }
    assert!(has_limit());
    shim.kill(id, "");
    assert_eq!(shim.wait(id, ""), Ok(137));
    assert!(has_limit(), "until the container is deleted");
}

#[test]
fn all_stdins_share_an_inotify_instance() {
    const MANY: usize = 5;
    let stage = Stage::new();
    let (bundle, id) = (sleeping_bundle(&stage), "race-g");
    let shim = Shim::start(&stage, &bundle, id);
    shim.run(&shim.create(id, &bundle));
    let fifo = |number: usize| stage.pool.join(format!("stdin{number}")).display().to_string();
    for number in 0..MANY {
        assert_eq!(run(Command::new("mkfifo").arg(fifo(number))).code, 0);
        let request = exec(id, &format!("x{number}"), process("cat; exit 5"));
        shim.good("Exec", &api::ExecProcessRequest { stdin: fifo(number), ..request });
        shim.start_process(id, &format!("x{number}")).expect("started");
    }
    let fds = std::fs::read_dir(format!("/proc/{}/fd", shim.pid)).expect("running").flatten();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    assert_eq!(targets.filter(|target| target.ends_with("anon_inode:inotify")).count(), 1);
    // Each gets the EOF of its own writer only.
    for number in (0..MANY).rev() {
        std::fs::write(fifo(number), "x").expect("the shim holds the read end");
        assert_eq!(shim.wait(id, &format!("x{number}")), Ok(5));
        let state = api::StateRequest { id: id.into(), exec_id: "x0".into(), ..Default::default() };
        let state: api::StateResponse = shim.call("State", &state).expect("not deleted");
        assert_eq!(state.exited_at == MessageField::none(), number > 0);
    }
}
