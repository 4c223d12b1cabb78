//! What goes in and comes out without a terminal.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use red_tests::call::run;
use red_tests::containerd::{Containerd, Rootfs};
use red_tests::stage::{Stage, eventually};

use crate::{assert_no_leftovers, for_each_rootfs, setup};

/// Whether a file holds all numbers up to this one, a line each.
fn numbers(file: &Path, last: u32) -> bool {
    let mut seq = Command::new("seq").arg(last.to_string()).stdout(Stdio::piped()).spawn().expect("spawn");
    let from = seq.stdout.take().expect("stdio is piped");
    let same = Command::new("cmp").arg(file).arg("-").stdin(from).status().expect("spawn").success();
    drop(seq.wait());
    same
}

/// Runs a command with output into files of their own.
fn into_files(containerd: &Containerd, mut command: Command) -> (i32, [std::path::PathBuf; 2]) {
    let files = ["big-out", "big-err"].map(|name| containerd.dir().join(name));
    command.stdout(fs::File::create(&files[0]).expect("test directory is writable"));
    command.stderr(fs::File::create(&files[1]).expect("test directory is writable"));
    (command.status().expect("spawn").code().unwrap_or(255), files)
}

#[test]
fn all_output_arrives() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        // 64 kB are as much as a pipe holds, 64 MB are more than anything holds.
        for last in [13_000, 8_500_000] {
            let script = format!("seq {last}; seq {last} >&2");
            let shell = ["/usr/bin/sh", "-c", &script];
            let (code, [out, err]) =
                into_files(&containerd, containerd.run_command(&["--rm"], root, id, &shell));
            assert_eq!(
                (code, numbers(&out, last), numbers(&err, last)),
                (0, true, true),
                "{last} of {root:?}"
            );
        }
        containerd.run_detached(root, id, "sleep 1000");
        let script = "seq 13000; seq 13000 >&2; exit 5";
        let exec = containerd.command(&["task", "exec", "--exec-id", "x", id, "/usr/bin/sh", "-c", script]);
        let (code, [out, err]) = into_files(&containerd, exec);
        assert_eq!((code, numbers(&out, 13_000), numbers(&err, 13_000)), (5, true, true));
        containerd.remove(id);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn input_arrives_and_ends() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        // Not without any: ctr closes an empty input before there is a shim (containerd 1.6; the stock shim waits too).
        for last in [3, 300_000] {
            let input = containerd.dir().join("input");
            fs::write(&input, run(Command::new("seq").arg(last.to_string())).out)
                .expect("test directory is writable");
            let mut command = containerd.run_command(&["--rm"], root, id, &["/usr/bin/cat"]);
            command.stdin(fs::File::open(&input).expect("test directory is writable"));
            let (code, [out, _]) = into_files(&containerd, command);
            assert_eq!((code, numbers(&out, last)), (0, true), "{last} of {root:?}");
        }
        containerd.run_detached(root, id, "sleep 1000");
        let mut exec = containerd.command(&["task", "exec", "--exec-id", "x", id, "/usr/bin/wc", "-c"]);
        let mut exec = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawn");
        exec.stdin.take().expect("stdio is piped").write_all(b"12345").expect("write");
        let output = exec.wait_with_output().expect("wait");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5\n");
        containerd.remove(id);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn what_is_left_behind_may_still_write() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        containerd.run_detached(root, id, "sleep 1000");
        let output = containerd.exec(id, "x", "(sleep 1; echo late) & echo early; exit 3");
        assert_eq!((output.code, output.out.as_str()), (3, "early\nlate\n"));
        containerd.remove(id);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn nobody_reads() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        // What `ctr run -d` leaves behind are fifos without a reader. A container is neither ended nor, as long
        // as they hold it, stopped by that; and whoever reads later has it all.
        let script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; seq 1000; echo done >&2; echo >/tmp/output; sleep 1000";
        containerd.run_detached(root, id, script);
        let inside = |name: &str| format!("/proc/{}/root/tmp/{name}", containerd.pid(id));
        fs::write(inside("go"), "").expect("exists");
        eventually("it has output all", || Path::new(&inside("output")).exists());
        let mut attached = containerd.command(&["task", "attach", id]);
        let mut attached = attached.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("spawn");
        let lines =
            std::io::BufRead::lines(std::io::BufReader::new(attached.stdout.take().expect("stdio is piped")));
        let lines: Vec<String> = lines.map_while(Result::ok).take(1000).collect();
        drop(attached.kill());
        drop(attached.wait());
        assert_eq!((lines[0].as_str(), lines[999].as_str()), ("1", "1000"));
        containerd.remove(id);
        // A client that is killed while it reads.
        let shell = [
            "/usr/bin/sh",
            "-c",
            "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; seq 100; echo >/tmp/more; sleep 1000",
        ];
        let mut client = containerd.run_command(&[], root, id, &shell);
        let mut client = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("spawn");
        let mut first = [0; 6];
        let mut from = client.stdout.take().expect("stdio is piped");
        std::io::Read::read_exact(&mut from, &mut first).expect("read");
        drop(client.kill());
        drop(client.wait());
        fs::write(inside("go"), "").expect("exists");
        eventually("it has output more", || Path::new(&inside("more")).exists());
        assert_eq!(containerd.status(id), "RUNNING");
        containerd.remove(id);
        // One that waits for a reader can be ended.
        containerd.run_detached(root, id, "seq 1000000; echo never >&2; sleep 1000");
        containerd.ctr(&["task", "kill", "--signal", "KILL", id]).good();
        containerd.wait_status(id, "STOPPED");
        assert_eq!(containerd.delete_stopped(id), 137);
    });
    assert_no_leftovers(&containerd);
}

/// Runs a container with a logger, until its log is there.
fn logged(containerd: &Containerd, root: &Rootfs, id: &str, uri: &str, log: &Path) -> String {
    let script = "seq 13000; echo err >&2; exit 4";
    let output = containerd.run(&["-d", "--log-uri", uri], root, id, &["/usr/bin/sh", "-c", script]);
    assert_eq!(output.code, 0, "{}", output.err);
    containerd.wait_status(id, "STOPPED");
    assert_eq!(containerd.delete_stopped(id), 4);
    fs::read_to_string(log).unwrap_or_default()
}

fn logger(stage: &Stage) -> String {
    let log = stage.pool.join("logged");
    let text = format!(
        "#!/bin/sh\nexec >{}\necho \"$CONTAINER_NAMESPACE $CONTAINER_ID $* $NODE_PREFIX\"\nexec 5>&-\n\
         cat <&3 >{1}.out &\ncat <&4 >{1}.err\nwait\ncat {1}.out {1}.err\n",
        log.display(),
        stage.pool.join("part").display(),
    );
    let program = stage.pool.write("logger", text);
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("test directory is writable");
    program.display().to_string()
}

#[test]
fn files_and_programs_take_what_is_said() {
    let Some((stage, containerd)) = setup() else { return };
    let program = logger(&stage);
    let numbers = run(Command::new("seq").arg("13000")).out;
    for_each_rootfs(&stage, |root, id| {
        let file = containerd.dir().join(format!("a dir/{id}"));
        let uri = format!("file://{}", file.display()).replace(' ', "%20");
        let text = logged(&containerd, root, id, &uri, &file);
        assert_eq!(text.replace("err\n", ""), numbers);
        assert!(text.contains("err\n"));
        let uri = format!("binary://{program}?tag=a%26b");
        let text = logged(&containerd, root, id, &uri, &stage.pool.join("logged"));
        let head = format!("{} {id} tag a&b \n", containerd.namespace());
        assert_eq!(text, format!("{head}{numbers}err\n"));
        let output =
            containerd.run(&["-d", "--log-uri", "binary:///no/such/logger"], root, id, &["/usr/bin/true"]);
        assert!(output.code != 0 && output.err.contains("/no/such/logger"), "{}", output.err);
        containerd.ctr(&["container", "delete", id]);
        containerd.run(&["--rm", "--null-io"], root, id, &["/usr/bin/echo", "nothing"]).good();
    });
    assert_no_leftovers(&containerd);
}
