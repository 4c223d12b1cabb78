use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn what_others_may_write_to_is_copied() {
    // Where a mount may be made; who may not has a user namespace for that.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("x.rpm");
    for (mode, owner, now) in
        [(0o644, 0, "two"), (0o666, 0, "one"), (0o664, 0, "one"), (0o644, 12_345, "one")]
    {
        std::fs::write(&path, "one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        let mut file = unchanging(&path, &work.path().join("new")).unwrap();
        std::fs::write(&path, "two").unwrap();
        let mut found = String::new();
        std::io::Read::read_to_string(&mut file, &mut found).unwrap();
        assert_eq!(found, now, "{mode:o} {owner}");
    }
    assert_eq!(std::fs::read_dir(work.path().join("new")).unwrap().count(), 0);
}

#[test]
fn a_file_is_what_its_repository_announces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.rpm");
    std::fs::write(&path, "abc").unwrap();
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let wrong = abc.replace('b', "c");
    for (kind, digits, bytes, wanted) in [
        ("sha256", abc, 3, None),
        ("sha256", abc, 0, None),
        ("sha256", abc, 4, Some("size mismatch")),
        ("sha256", wrong.as_str(), 3, Some("checksum mismatch")),
        ("sha512", abc, 3, Some("checksum mismatch")),
        ("md5", "900150983cd24fb0d6963f7d28e17f72", 3, Some("not trusted")),
        ("", "", 3, Some("not trusted")),
    ] {
        let install = crate::rpm::Install {
            file: path.clone(),
            upgrade: false,
            reinstall: false,
            signed: false,
            demanded: String::new(),
            checksum: Some((kind.into(), digits.into())),
            bytes,
            nevra: None,
        };
        let file = std::fs::File::open(&path).unwrap();
        let said = is_announced(&install, &file);
        assert_eq!(said.is_ok(), wanted.is_none(), "{kind} {digits} {bytes}: {said:?}");
        assert!(wanted.is_none_or(|words| said.as_ref().is_err_and(|said| said.contains(words))), "{said:?}");
        let mut left = String::new();
        std::io::Read::read_to_string(&mut { file }, &mut left).unwrap();
        assert!(left == "abc" || wanted.is_some_and(|words| words.contains("size")), "{left}");
    }
}

#[test]
fn a_copy_without_room_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    has_room(dir.path(), 1).unwrap();
    let why = has_room(dir.path(), u64::MAX).unwrap_err().to_string();
    assert!(why.contains("it is copied before") && why.contains(&dir.path().display().to_string()), "{why}");
}
