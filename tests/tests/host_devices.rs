//! User 0 of a container is the machine's, capabilities or not, and whoever owns a device node may
//! change its mode. So no device node of the host is in reach of a container that could be changed: not
//! in its `/dev`, not as a mask, not as a standard stream.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{built, run};
use red_tests::engine::Engine;
use red_tests::skip;
use red_tests::stage::Stage;

/// Mode of a file that is put back in the end, whatever happened to it.
struct Watched {
    path: PathBuf,
    mode: u32,
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode()
}

impl Watched {
    fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { mode: mode(&path), path }
    }

    fn assert_as_before(&self) {
        assert_eq!(mode(&self.path), self.mode, "{} was changed", self.path.display());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may be gone with the test's directory.
        drop(fs::set_permissions(&self.path, Permissions::from_mode(self.mode)));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn devices_of_a_node_are_used_and_not_changed() {
    if !is_root() {
        return skip("needs root, whose devices they are");
    }
    let stage = Stage::new();
    let watched: Vec<Watched> = ["null", "zero", "full", "random", "urandom", "tty"]
        .map(|name| Watched::new(format!("/dev/{name}")))
        .into();
    let said = stage.wrap(&[
        "sh",
        "-c",
        "for d in null zero full random urandom tty; do chmod 640 /dev/$d 2>/dev/null && echo changed $d; \
         chown 7 /dev/$d 2>/dev/null && echo given away $d; done
         echo x >/dev/null && head -c 1 /dev/zero | wc -c; echo x 2>/dev/null >/dev/full || echo full",
    ]);
    watched.iter().for_each(Watched::assert_as_before);
    assert_eq!(said.good().out, "1\nfull\n");
}

#[test]
fn devices_and_masks_of_an_engines_container_are_used_and_not_changed() {
    if !is_root() {
        return skip("needs root, whose devices they are");
    }
    let watched = Watched::new("/dev/null");
    let engine = Engine::new(Stage::new());
    let script =
        "chmod 646 /dev/null /proc/timer_list 2>/dev/null && echo changed; cat /proc/timer_list; echo done";
    let bundle = engine.node("b", &["sh", "-c", script], |spec| {
        spec["linux"]["maskedPaths"] = serde_json::json!(["/proc/timer_list"]);
    });
    assert_eq!(engine.run(&bundle).good().out, "done\n");
    watched.assert_as_before();
    let plain = engine.stage.plain(
        "p",
        &["sh", "-c", "chmod 646 /proc/timer_list 2>/dev/null && echo changed; echo done"],
        |spec| {
            spec["linux"]["maskedPaths"] = serde_json::json!(["/proc/timer_list"]);
        },
    );
    let said = engine.stage.runtime(["run", "--bundle", &plain.display().to_string(), "plain"]);
    watched.assert_as_before();
    assert_eq!(said.good().out, "done\n");
}

#[test]
fn devices_that_are_standard_streams_are_used_and_not_changed() {
    if !is_root() {
        return skip("needs root, whose devices they are");
    }
    let stage = Stage::new();
    let watched = Watched::new("/dev/full");
    let null = Watched::new("/dev/null");
    let script = "for n in 0 1 2; do chmod 640 /proc/self/fd/$n && exit 3; done; echo x; test $? -ne 0";
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let mut wrap = stage.wrap_command(&[], &["sh", "-c", script]);
    let status =
        wrap.stdin(File::open("/dev/null").expect("it is there")).stdout(full()).stderr(full()).status();
    assert!(status.expect("it starts").success(), "writing to /dev/full has to fail, and chmod too");
    watched.assert_as_before();
    null.assert_as_before();
    // A further process, and one in the background, whose standard input nobody gave.
    let name = "in-background";
    let options = ["--detach", "--name", name];
    let live = "chmod 640 /proc/self/fd/0; echo $?; exec sleep 1000";
    run(stage.wrap_command(&options, &["sh", "-c", live]).stdout(Stdio::null()).stderr(Stdio::null())).good();
    let exec = ["exec", name, "sh", "-c", "chmod 640 /proc/self/fd/0 2>/dev/null; echo $?"];
    assert_eq!(stage.runtime(exec).good().out, "1\n");
    null.assert_as_before();
}

#[test]
fn a_socket_to_report_to_is_used_and_not_changed() {
    let stage = Stage::new();
    let path = stage.pool.mkdir("outside").join("notify");
    let socket = UnixDatagram::bind(&path).expect("there is room");
    assert!(fs::metadata(&path).expect("it was made").file_type().is_socket());
    let watched = Watched::new(&path);
    let script = "chmod 600 \"$NOTIFY_SOCKET\" 2>/dev/null && echo changed; test -w \"$NOTIFY_SOCKET\" && echo writable";
    let mut wrap = stage.wrap_command(&[], &["sh", "-c", script]);
    let said = run(wrap.env("NOTIFY_SOCKET", &path));
    assert_eq!(said.good().out, "writable\n");
    watched.assert_as_before();
    drop(socket);
}

/// What a container writes to its log is passed on piece by piece, however long the container makes the
/// file.
#[test]
fn a_log_of_any_length_is_passed_on() {
    let stage = Stage::new();
    let live = "echo first; truncate -s 1T /proc/self/fd/1; exec sleep 1000";
    let options = ["--detach", "--name", "long"];
    run(stage.wrap_command(&options, &["sh", "-c", live]).stdout(Stdio::null()).stderr(Stdio::null())).good();
    let mut logs = Command::new(built("red-runtime"));
    logs.arg0("red-wrap").args(["logs", "--root"]).arg(&stage.root).arg("long");
    logs.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    red_tests::stage::eventually("it has written", || {
        let mut child = logs.spawn().expect("it starts");
        let mut begin = [0; 6];
        let read = std::io::Read::read_exact(&mut child.stdout.take().expect("a pipe"), &mut begin);
        // Nobody reads on: that ends it.
        child.wait().expect("it ends");
        read.is_ok() && &begin == b"first\n"
    });
}
