use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn what_nobody_wrote_to_goes_away() {
    let scratch = tempfile::tempdir().unwrap();
    let upper = scratch.path();
    for name in ["etc/same", "etc/written", "etc/replaced", "opt/kept"] {
        fs::create_dir_all(upper.join(name).parent().unwrap()).unwrap();
        fs::write(upper.join(name), "text").unwrap();
    }
    let stamp = |name: &str| (PathBuf::from(name), Stamp::of(&upper.join(name)).unwrap());
    let scaffold = Scaffold {
        dirs: vec!["etc".into(), "opt".into(), "opt/owned".into()],
        files: vec![stamp("etc/same"), stamp("etc/written"), stamp("etc/replaced")],
        points: vec!["usr/bound".into()],
        own: ["opt/gone", "opt/kept", "opt/owned", "opt/removed"].into_iter().map(PathBuf::from).collect(),
        overlays: Vec::new(),
        split_at: BTreeSet::new(),
    };
    fs::write(upper.join("etc/written"), "TEXT").unwrap();
    fs::write(upper.join("etc/new"), "text").unwrap();
    fs::rename(upper.join("etc/new"), upper.join("etc/replaced")).unwrap();
    fs::create_dir(upper.join("opt/owned")).unwrap();
    // Whether a directory is a package's is for the process outside to say.
    let names = |all: &[&str]| all.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    assert_eq!(scaffold.gone(upper), (names(&["opt/gone", "opt/removed"]), names(&["opt/owned"])));
    let text = serde_json::to_string(&scaffold).unwrap();
    let scaffold: Scaffold = serde_json::from_str(&text).unwrap();
    let fd = rustix::fs::open(upper, DIRECTORY, Mode::empty()).unwrap();
    let spare = scaffold.remove(&fd, upper).unwrap();
    assert!(!upper.join("etc/same").exists());
    assert!(upper.join("etc/written").exists() && upper.join("etc/replaced").exists());
    assert_eq!(spare, ["usr/bound", "opt/owned", "opt", "etc"], "children first");
}

/// A scriptlet that puts a link where a copy was.
#[test]
fn nothing_is_taken_away_behind_a_link() {
    let scratch = tempfile::tempdir().unwrap();
    let (upper, host) = (scratch.path().join("upper"), scratch.path().join("host"));
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/passwd"), "root").unwrap();
    let stamp = Stamp::of(&upper.join("etc/passwd")).unwrap();
    let no_text = PathBuf::from(OsString::from(std::ffi::OsStr::from_bytes(b"etc/\xff")));
    let scaffold = Scaffold {
        files: vec![("etc/passwd".into(), stamp)],
        dirs: vec![no_text.clone()],
        ..Scaffold::default()
    };
    fs::rename(upper.join("etc"), &host).unwrap();
    std::os::unix::fs::symlink(&host, upper.join("etc")).unwrap();
    let fd = rustix::fs::open(&upper, DIRECTORY, Mode::empty()).unwrap();
    assert_eq!(scaffold.remove(&fd, &upper).unwrap(), [no_text.into_os_string()]);
    assert!(host.join("passwd").is_file());
}
