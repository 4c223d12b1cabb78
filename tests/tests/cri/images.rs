//! Images that a test makes: one layer each, in the form of `docker save`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{built, run};
use serde_json::json;

/// The sandbox image: one static program.
pub(crate) const PAUSE: &str = "red.test/pause:1";

/// An image whose container finds the machine's programs on a volume at `/usr`.
pub(crate) const PLAIN: &str = "red.test/plain:1";

/// An image that is a reference to a node.
pub(crate) const REFERENCE: &str = "red.test/reference:1";

/// What a pause container does: it waits, reaps what is left to it, and ends when told to.
const PROGRAM: &str = "
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0) ; }
int main(void) {
    signal(SIGINT, end);
    signal(SIGTERM, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
";

/// Writes the sandbox image, with a program that lies beside the built binaries as `pause`, else with one that is
/// compiled now. `None` where there is no compiler for it.
pub(crate) fn pause(dir: &Path) -> Option<PathBuf> {
    let layer = dir.join("pause");
    fs::create_dir_all(&layer).expect("test directory is writable");
    let program = layer.join("pause");
    let there = built("red-runtime").with_file_name("pause");
    if there.is_file() {
        fs::copy(there, &program).expect("test directory is writable");
    } else {
        let source = dir.join("pause.c");
        fs::write(&source, PROGRAM).expect("test directory is writable");
        let mut cc = Command::new("cc");
        cc.args(["-static", "-Os", "-s", "-w", "-o"]).arg(&program).arg(&source);
        cc.output().ok().filter(|output| output.status.success())?;
    }
    Some(archive(&layer, PAUSE, &["/pause"]))
}

/// Writes an image without programs.
pub(crate) fn plain(dir: &Path) -> PathBuf {
    let layer = dir.join("plain");
    for below in ["usr", "etc", "tmp", "run"] {
        fs::create_dir_all(layer.join(below)).expect("test directory is writable");
    }
    for name in ["bin", "lib", "lib64", "sbin"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), layer.join(name))
            .expect("test directory is writable");
    }
    archive(&layer, PLAIN, &["sh"])
}

/// Writes an image that names a node.
pub(crate) fn reference(dir: &Path, node: &Path) -> PathBuf {
    let layer = dir.join("reference");
    fs::create_dir_all(&layer).expect("test directory is writable");
    fs::write(layer.join(".redpath.yaml"), format!("redpath: {}\n", node.display()))
        .expect("test directory is writable");
    archive(&layer, REFERENCE, &["sh"])
}

/// Packs a directory as an image, in a file beside it.
pub(crate) fn archive(layer: &Path, name: &str, command: &[&str]) -> PathBuf {
    let dir = layer.with_extension("image");
    fs::create_dir(&dir).expect("test directory is writable");
    let tar = |from: &Path, to: &Path, what: &[&str]| {
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "-C"]).arg(from).arg("-cf").arg(to).args(what);
        run(&mut tar).good();
    };
    tar(layer, &dir.join("layer.tar"), &["."]);
    let sum = run(Command::new("sha256sum").arg(dir.join("layer.tar"))).good().out;
    let digest = format!("sha256:{}", sum.split(' ').next().unwrap_or_default());
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": {"Entrypoint": command, "Env": ["PATH=/usr/bin:/usr/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    });
    fs::write(dir.join("config.json"), config.to_string()).expect("test directory is writable");
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(dir.join("manifest.json"), manifest.to_string()).expect("test directory is writable");
    let file = layer.with_extension("tar");
    tar(&dir, &file, &["manifest.json", "config.json", "layer.tar"]);
    file
}
