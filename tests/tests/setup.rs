//! `.ci/setup` installs what is missing, and sees that it is: each probe is asked on a machine where one thing is
//! hidden and everything near it is there. apt-get only says what it was asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use red_tests::call::{Said, run};
use red_tests::pages::root;
use red_tests::pool::Pool;
use red_tests::skip;

/// What `.ci/setup` would install when files are hidden, for a caller with that `PATH`. `None` when the test is not
/// root's.
fn asked(hidden: &[PathBuf], path: &str, environment: &[(&str, &str)]) -> Option<Vec<String>> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let pool = Pool::new();
    let asked = pool.join("asked");
    let apt = pool.write(
        "bin/apt-get",
        format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >>{}\ncase \"$*\" in *install*) exit 100 ;; esac\n",
            asked.display()
        ),
    );
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-euc"]);
    // A device that is empty: it is no regular file, no program, and no description of a library.
    command.arg("for file; do mount --bind /dev/null \"$file\"; done; exec bash \"$SETUP\"").arg("hide");
    command.args(hidden).stdin(Stdio::null()).env("SETUP", root().join("../.ci/setup"));
    command.env("PATH", format!("{}:{path}", pool.join("bin").display()));
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "CARGO_HTTP_CAINFO", "LIBCLANG_PATH"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    let Said { code, err, .. } = run(&mut command);
    let text = fs::read_to_string(&asked).unwrap_or_default();
    assert_eq!(code == 0, text.is_empty(), "{code}: {err}");
    let mut words: Vec<String> =
        text.lines().skip_while(|word| *word != "install").map(str::to_owned).collect();
    words.retain(|word| !word.starts_with('-') && word != "install");
    Some(words)
}

fn own_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}

/// Entries of directories.
fn entries(directories: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let read = directories.into_iter().filter_map(|directory| fs::read_dir(directory).ok());
    read.flatten().flatten().map(|entry| entry.path()).collect()
}

/// The file of a name that a program finds.
fn found(program: &str) -> PathBuf {
    fs::canonicalize(run(Command::new("which").arg(program)).good().out.trim()).expect("it is there")
}

/// Directory of the architecture's libraries.
fn libraries() -> PathBuf {
    let name = run(Command::new("cc").arg("-print-multiarch")).good().out;
    Path::new("/usr/lib").join(name.trim())
}

/// The library that bindgen loads is hidden, its C++ namesake is there.
#[test]
fn libclang_cpp_is_not_libclang() {
    // Links lead to these.
    let mut hidden = entries([libraries()]);
    hidden.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libclang") && !name.contains("-cpp.") && !path.is_symlink()
    });
    if hidden.is_empty() {
        return skip("libclang-dev of Debian is not installed");
    }
    let Some(words) = asked(&hidden, &own_path(), &[]) else { return skip("needs root") };
    assert_eq!(words, ["libclang-dev"]);
    let elsewhere = [("LIBCLANG_PATH", "/no/such/directory")];
    assert_eq!(asked(&[], &own_path(), &elsewhere), Some(vec!["libclang-dev".to_owned()]));
}

/// A header, another library or a program beside it does not make up for what is used.
#[test]
fn every_probe_asks_for_what_is_used() {
    let Some(words) = asked(&[], &own_path(), &[]) else { return skip("needs root") };
    assert_eq!(words, [""; 0], "tests run where everything is installed");
    let of_cc = |name: &str| {
        let said = run(Command::new("cc").arg(format!("-print-file-name={name}"))).good();
        fs::canonicalize(said.out.trim()).expect("it is there")
    };
    let of_pkg_config = |name: &str| {
        let said = run(Command::new("pkg-config").args(["--variable=pcfiledir", name])).good();
        Path::new(said.out.trim()).join(format!("{name}.pc"))
    };
    let mut headers =
        entries(entries(entries(["/usr/lib".into()]).into_iter().map(|path| path.join("lib/clang"))));
    headers.iter_mut().for_each(|path| path.push("stddef.h"));
    headers.retain(|path| path.is_file());
    // In the order of the script. libsolvext needs libsolv, and is tried alone.
    let each = [
        (vec![of_cc("libc.a")], "libc6-dev"),
        (vec![of_pkg_config("libseccomp")], "libseccomp-dev"),
        (vec!["/etc/ssl/certs/ca-certificates.crt".into()], "ca-certificates"),
        (vec![found("rpmsign")], "rpm"),
        (vec!["/usr/lib/rpm/elfdeps".into()], "rpm"),
        (vec![found("gpg-agent")], "gpg-agent"),
        (vec![found("mke2fs")], "e2fsprogs"),
        (vec![of_pkg_config("rpm")], "librpm-dev"),
        (vec![of_pkg_config("libsolvext")], "libsolvext-dev"),
        (vec![of_pkg_config("sqlite3")], "libsqlite3-dev"),
        (headers, "libclang-dev"),
        (vec!["/usr/lib/cni/bridge".into()], "containernetworking-plugins"),
        (vec![found("ctr")], "containerd"),
        (vec![found("newgidmap")], "uidmap"),
    ];
    for (hidden, package) in &each {
        let there = !hidden.is_empty() && hidden.iter().all(|path| path.is_file());
        assert!(there, "{package} is not where Debian has it: {hidden:?}");
    }
    let (hidden, packages): (Vec<_>, Vec<_>) = each.into_iter().unzip();
    assert_eq!(asked(&hidden.concat(), &own_path(), &[]).expect("it is root's"), packages);
    let words = asked(&[of_pkg_config("libsolv")], &own_path(), &[]).expect("it is root's");
    assert_eq!(words, ["libsolv-dev", "libsolvext-dev"]);
}

/// `su` keeps the PATH of an ordinary user.
#[test]
fn programs_of_the_system_are_found_without_their_directories_in_path() {
    let path = own_path();
    let kept: Vec<&str> = path.split(':').filter(|directory| !directory.ends_with("sbin")).collect();
    let Some(words) = asked(&[], &kept.join(":"), &[]) else { return skip("needs root") };
    assert_eq!(words, [""; 0]);
}
