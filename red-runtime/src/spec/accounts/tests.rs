use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::spec::identity::Caller;
use crate::spec::plan::{Request, plan};
use crate::testing::{FakeHost, Maker, launch};

const NODE: &str = "exports:
  - {mode: Restricted, mount: /etc}
  - {mode: Restricted, mount: /lib}
  - {mode: Symlink, mount: /run, path: /lib/run}";

/// A plan whose `/etc` and `/lib` are in `dir`.
fn in_dir(dir: &Path) -> Plan {
    let family = Maker::new().node(NODE).family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let mut plan = plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.unwrap();
    for mount in &mut plan.layout.mounts {
        let MountKind::Bind { source, .. } = &mut mount.kind else { continue };
        *source = format!("{}{source}", dir.display());
        mount.id = None;
        fs::create_dir_all(source).unwrap();
    }
    plan
}

#[test]
fn links_of_contents_lead_where_they_lead_in_the_container() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let plan = in_dir(&dir);
    let write = |path: &str, text: &str| {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), text).unwrap();
    };
    fs::write(dir.join("secret"), "secret").unwrap();
    let read = |target: &str| {
        drop(fs::remove_file(dir.join("etc/passwd")));
        symlink(target, dir.join("etc/passwd")).unwrap();
        read(&plan, "/etc/passwd").map(|found| found.map(|bytes| String::from_utf8(bytes).unwrap()))
    };
    write("etc/own/list", "own");
    write("lib/list", "of lib");
    write("lib/run/list", "of run");
    for (target, wanted) in [
        ("own/list", Some("own")),
        ("/etc/own/../own/list", Some("own")),
        ("/lib/list", Some("of lib")),
        ("../../../lib/list", Some("of lib")),
        ("/run/list", Some("of run")),
        ("/usr/list", None),
        ("/lib/nothing", None),
    ] {
        assert_eq!(read(target).unwrap().as_deref(), wanted, "{target}");
    }
    // The host's files are out of reach, by whatever link.
    let host = dir.join("secret");
    for target in [host.to_str().unwrap(), "/etc/shadow", "../secret", "/proc/self/exe"] {
        assert_eq!(read(target).unwrap(), None, "{target}");
    }
    assert!(read("passwd").is_err(), "it leads to itself");
}

#[test]
fn what_is_there_and_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let plan = in_dir(&dir);
    let path = dir.join("etc/passwd");
    assert_eq!(read(&plan, "/etc/passwd").unwrap(), None);
    // To open it would wait for whoever writes to it.
    rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let said = read(&plan, "/etc/passwd").unwrap_err().to_string();
    assert!(said.contains("not a regular file") && said.contains(path.to_str().unwrap()), "{said}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(read(&plan, "/etc/passwd"), Err(PlaceError::NotAFile { .. })));
    fs::remove_dir(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    assert!(matches!(read(&plan, "/etc/passwd"), Err(PlaceError::TooLarge { .. })));
    fs::remove_file(&path).unwrap();
    fs::write(dir.join("etc/file"), "").unwrap();
    symlink("file/x", &path).unwrap();
    assert!(read(&plan, "/etc/passwd").is_err(), "a file is no directory");
}
