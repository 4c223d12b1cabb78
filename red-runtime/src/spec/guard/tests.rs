use std::fs::{self, File};
use std::os::unix::fs::symlink;

use super::*;
use crate::spec::identity::Caller;
use crate::spec::plan::{Request, plan};
use crate::testing::{FakeHost, Maker, launch};

#[test]
fn volumes_cover_nothing_that_decides() {
    let dir = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(dir.path()).unwrap();
    for below in ["pool/node/etc", "pool/node/data", "host/redpak", "elsewhere/deep"] {
        fs::create_dir_all(top.join(below)).unwrap();
    }
    symlink(top.join("pool/node"), top.join("elsewhere/link")).unwrap();
    fs::write(top.join("pool/node/etc/redpak.yaml"), "").unwrap();
    fs::hard_link(top.join("pool/node/etc/redpak.yaml"), top.join("elsewhere/name")).unwrap();
    fs::write(top.join("elsewhere/file"), "").unwrap();
    fs::write(top.join("host/redpak/policy.yaml"), "").unwrap();
    let mut rules = Rules {
        pools: vec![top.join("pool"), top.join("missing")],
        deciding: vec![top.join("host/redpak")],
        states: Vec::new(),
        allowed: Vec::new(),
    };
    let open = |below: &str| File::open(top.join(below)).unwrap();
    let guard = Guard::new(&rules, None);
    for below in [
        "",
        "pool",
        "pool/node",
        "pool/node/etc",
        "pool/node/data",
        "elsewhere/link",
        "host",
        "host/redpak",
        "host/redpak/policy.yaml",
    ] {
        let refused = guard.check_volume(open(below), true).unwrap_err();
        assert!(refused.to_string().contains("would make writable what decides"), "{below}: {refused}");
        assert_eq!(guard.check_volume(open(below), false), Ok(()), "{below} read-only");
    }
    assert_eq!(guard.check_volume(open("elsewhere"), true), Ok(()));
    assert_eq!(guard.check_volume(open("elsewhere/deep"), true), Ok(()));
    assert_eq!(guard.check_volume(open("elsewhere/file"), true), Ok(()));
    let refused = guard.check_volume(open("elsewhere/name"), true).unwrap_err();
    assert!(refused.to_string().contains("hard links"), "{refused}");
    assert_eq!(guard.check_volume(open("elsewhere/name"), false), Ok(()));
    for (below, above) in
        [("", true), ("host", true), ("pool", false), ("pool/node", false), ("elsewhere", false)]
    {
        assert_eq!(guard.is_above(&Opened::of(open(below)).unwrap()), above, "{below}");
    }
    assert_eq!(
        guard.check_volume(File::open("/proc").unwrap(), true),
        Ok(()),
        "a plain bundle is as with runc"
    );
    rules.allowed = vec![top.join("pool/node/data").display().to_string()];
    assert_eq!(
        Guard::new(&rules, None).check_volume(open("pool/node/data"), true),
        Ok(()),
        "the policy says so"
    );
}

#[test]
fn a_nodes_container_gets_what_the_node_gives_and_no_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir_all(top.join("given/part")).unwrap();
    fs::create_dir_all(top.join("kept")).unwrap();
    let text = format!(
        "exports: [{{mode: Public, mount: /g, path: {}}}, {{mode: Restricted, mount: /k, path: {}}}]",
        top.join("given").display(),
        top.join("kept").display()
    );
    let family = Maker::new().node(&text).family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let plan = plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.unwrap();
    let rules = Rules { pools: vec![top.clone()], ..Rules::default() };
    let guard = Guard::new(&rules, Some((&family, &plan)));
    let open = |below: &str| File::open(top.join(below)).unwrap();
    assert_eq!(guard.check_volume(open("given/part"), true), Ok(()));
    assert!(guard.check_volume(open("kept"), true).is_err());
    assert!(guard.check_volume(open(""), true).is_err());
    for writable in [true, false] {
        let refused = guard.check_volume(File::open("/proc").unwrap(), writable).unwrap_err();
        assert!(refused.to_string().contains("shows the host's proc"), "{refused}");
    }
}

#[test]
fn what_a_node_has_read_only_in_its_writable_exports_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(dir.path()).unwrap();
    for below in ["var/lib/kept", "var/log"] {
        fs::create_dir_all(top.join(below)).unwrap();
    }
    let text = format!(
        "exports: [{{mode: Public, mount: /var, path: {0}/var}}, {{mode: Restricted, mount: /var/lib/kept, path: {0}/var/lib/kept}}]",
        top.display()
    );
    let family = Maker::new().node(&text).family();
    let request = Request::new(Caller { uid: 0, gid: 0 });
    let plan = plan(&family, &request, launch(), &mut FakeHost::default(), None).plan.unwrap();
    let guard = Guard::new(&Rules::default(), Some((&family, &plan)));
    let open = |below: &str| File::open(top.join(below)).unwrap();
    for below in ["var", "var/lib", "var/lib/kept", ""] {
        let refused = guard.check_volume(open(below), true).unwrap_err();
        assert!(refused.to_string().contains("read-only in what the node exports"), "{below}: {refused}");
        assert_eq!(guard.check_volume(open(below), false), Ok(()), "{below} read-only");
    }
    assert_eq!(guard.check_volume(open("var/log"), true), Ok(()));
    let over = guard.check_planned(&Opened::of(open("var")).unwrap()).unwrap();
    assert_eq!(over.len(), 1, "the plan's own mount, with what stands over it");
}

#[test]
fn links_to_what_decides_and_what_is_missing_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(dir.path()).unwrap();
    for below in ["srv", "real/pool", "empty", "up/later/deep"] {
        fs::create_dir_all(top.join(below)).unwrap();
    }
    symlink(top.join("real/pool"), top.join("srv/pool")).unwrap();
    symlink("srv", top.join("way")).unwrap();
    fs::write(top.join("one"), "").unwrap();
    fs::hard_link(top.join("one"), top.join("other")).unwrap();
    let open = |below: &str| File::open(top.join(below)).unwrap();
    let guard = |pool: &str| {
        let pools = vec![top.join(pool)];
        let rules = Rules { pools, deciding: Vec::new(), states: Vec::new(), allowed: Vec::new() };
        Guard::new(&rules, None)
    };
    for (pool, refused) in [
        ("srv/pool", &["srv", "real", "real/pool", ""][..]),
        ("way/pool", &["srv", "real/pool", ""]),
        ("srv/later", &["srv", ""]),
        ("way/later/deeper", &["srv", ""]),
        ("up/later/deep/pool", &["up", "up/later", "up/later/deep"]),
    ] {
        let guard = guard(pool);
        for below in refused {
            let said = guard.check_volume(open(below), true).unwrap_err();
            assert!(said.to_string().contains("would make writable what decides"), "{pool} {below}: {said}");
            assert_eq!(guard.check_volume(open(below), false), Ok(()), "{pool} {below}");
        }
        assert_eq!(guard.check_volume(open("empty"), true), Ok(()), "{pool}");
    }
    // What is missing has no other names.
    assert_eq!(guard("srv/later").check_volume(open("one"), true), Ok(()));
    assert!(guard("srv/pool").check_volume(open("one"), true).is_err());
}

#[test]
fn file_systems_that_decide_are_known_by_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules { pools: vec![dir.path().to_owned()], ..Rules::default() };
    let guard = Guard::new(&rules, None);
    let device = rustix::fs::stat(dir.path()).unwrap().st_dev;
    assert!(guard.devices().contains(&device));
    assert!(!guard.may_be_again("tmpfs") && !guard.may_be_again("ext4"));
}
