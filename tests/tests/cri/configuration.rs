//! The files of `docs/containerd`, and a daemon's own configuration around them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{built, run};
use red_tests::pool::Pool;
use red_tests::skip;

use crate::images::PAUSE;

/// Version of the configuration's format: containerd 2.x writes 3, 1.6 and 1.7 know 2.
pub(crate) fn version() -> u32 {
    if release().starts_with("1.") { 2 } else { 3 }
}

/// Release of the daemon.
pub(crate) fn release() -> String {
    let output = run(Command::new("containerd").arg("--version")).out;
    output.split(' ').nth(2).unwrap_or_default().trim_start_matches('v').to_owned()
}

/// A file or directory of the repository's `docs`.
pub(crate) fn docs(below: &str) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("repository root");
    // A test that was copied to another machine finds them beside its programs.
    let beside = built("red-runtime").with_file_name("docs");
    if beside.is_dir() { beside } else { repository.join("docs") }.join(below)
}

/// The file that is shipped for a version of the format.
fn shipped(version: u32) -> PathBuf {
    docs(&format!("containerd/red-v{version}.toml"))
}

/// Table of the runtimes.
pub(crate) fn runtimes(version: u32) -> &'static str {
    if version == 2 {
        r#"plugins."io.containerd.grpc.v1.cri""#
    } else {
        r#"plugins."io.containerd.cri.v1.runtime""#
    }
}

/// What a test's daemon needs beyond the shipped file: nothing outside its directory, and no score below that of the
/// machine's processes, which takes CAP_SYS_RESOURCE. Beside the handlers `red` and `runc` there is `stock`: containerd's
/// own shim with red-runtime.
fn own(dir: &Path, version: u32) -> String {
    let table = runtimes(version);
    let images = if version == 2 {
        format!("[{table}]\nsandbox_image = \"{PAUSE}\"\nrestrict_oom_score_adj = true\n")
    } else {
        format!(
            "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"{PAUSE}\"\n\
             [{table}]\nrestrict_oom_score_adj = true\n"
        )
    };
    format!(
        "{images}netns_mounts_under_state_dir = true\n[{table}.cni]\nconf_dir = \"{dir}/cni\"\nbin_dir = \"{dir}/cni-bin\"\n\
         [{table}.containerd.runtimes.stock]\nruntime_type = \"io.containerd.runc.v2\"\n\
         pod_annotations = [\"bzh.redpesk.redpak.*\"]\ncontainer_annotations = [\"bzh.redpesk.redpak.*\"]\n\
         [{table}.containerd.runtimes.stock.options]\nBinaryName = \"{}\"\n",
        binary(dir).display(),
        dir = dir.display(),
    )
}

/// What `BinaryName` is of a test's daemon: another path than the one that the shim finds by itself.
pub(crate) fn binary(dir: &Path) -> PathBuf {
    dir.join("red-runtime")
}

/// Writes a daemon's configuration, which imports the shipped file with the test's own binary in it.
pub(crate) fn write(dir: &Path) {
    let version = version();
    let text = fs::read_to_string(shipped(version)).expect("shipped file");
    let binary = binary(dir);
    std::os::unix::fs::symlink(built("red-runtime"), &binary).expect("test directory is writable");
    let mut red = text.replace("/usr/bin/red-runtime", &binary.display().to_string());
    assert_ne!(red, text, "the shipped file names the binary");
    let mut main = format!(
        "version = {version}\nroot = \"{0}/root\"\nstate = \"{0}/state\"\nimports = [\"{0}/red.toml\"]\n\
         [debug]\nlevel = \"debug\"\n[grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{0}/opt\"\n",
        dir.display()
    );
    if version == 2 {
        // An import takes the place of the whole section of a plugin there.
        red += &own(dir, version);
    } else {
        main += &own(dir, version);
        write!(
            main,
            "[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\nsocket_path = \"{}/nri\"\n",
            dir.display()
        )
        .expect("write to String");
    }
    fs::write(dir.join("red.toml"), red).expect("test directory is writable");
    fs::write(dir.join("config.toml"), main).expect("test directory is writable");
}

/// A daemon's configuration with nothing but an import of the shipped file, as `containerd config dump` has it.
fn imported(dir: &Path, version: u32, main: &str) -> String {
    let file = dir.join("config.toml");
    let text = format!("version = {version}\nimports = [\"{}\"]\n{main}", shipped(version).display());
    fs::write(&file, text).expect("test directory is writable");
    run(Command::new("containerd").arg("--config").arg(&file).args(["config", "dump"])).good().out
}

#[test]
fn the_shipped_file_is_loaded_as_it_is() {
    if run(Command::new("which").arg("containerd")).code != 0 {
        return skip("containerd is not installed");
    }
    let pool = Pool::new();
    let version = version();
    let (table, quote) = if version == 2 {
        ("io.containerd.grpc.v1.cri", '"')
    } else {
        ("io.containerd.cri.v1.runtime", '\'')
    };
    let dump = imported(pool.path(), version, "");
    let header = |runtime: &str| format!("[plugins.{quote}{table}{quote}.containerd.runtimes.{runtime}]");
    let section = |name: &str| {
        let text = dump.split(&header(name)).nth(1).unwrap_or_else(|| panic!("no {name}:\n{dump}"));
        text.split("\n\n").take(2).collect::<String>().replace('\'', "\"")
    };
    assert!(section("red").contains("runtime_type = \"io.containerd.red.v2\""), "{}", section("red"));
    assert!(
        section("red.options").contains("BinaryName = \"/usr/bin/red-runtime\""),
        "{}",
        section("red.options")
    );
    for kind in ["pod", "container"] {
        let line = format!("{kind}_annotations = [\"bzh.redpesk.redpak.*\"]");
        assert!(section("red").contains(&line), "{}", section("red"));
    }
    // The default runtime stays.
    assert!(section("runc").contains("runtime_type = \"io.containerd.runc.v2\""), "{}", section("runc"));
    // What the file says of settings beside it: kept from 2.x on.
    let main = format!("[plugins.\"{table}\".cni]\nbin_dir = \"/nowhere\"\n");
    let main =
        if version == 2 { main } else { main.replace("bin_dir = \"/nowhere\"", "bin_dirs = [\"/nowhere\"]") };
    let kept = imported(pool.path(), version, &main).contains("/nowhere");
    assert_eq!(kept, version == 3);
}
