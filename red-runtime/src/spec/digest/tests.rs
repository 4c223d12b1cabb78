use super::*;
use crate::node::merge::{CommandUse, merge};
use crate::testing::{Maker, launch};

fn digest_with(maker: Maker, change: impl Fn(&mut crate::node::expand::Launch)) -> Digest {
    let family = maker.family();
    let mut launch = launch();
    change(&mut launch);
    let (merged, report) = merge(&family, &launch, CommandUse::Keep);
    assert!(!report.has_errors(), "{:?}", report.diagnostics());
    Digest::of(&family, &merged, &Asked::default(), None)
}

fn digest(normal: &str) -> Digest {
    digest_with(Maker::new().node(normal), |_| {})
}

const FULL: &str = "config: {umask: 027, hostname: $LEAF_ALIAS, share_net: Enabled, path: '/bin:/x/$UID'}
environ: [{key: A, value: $USER}, {key: B, mode: Execfd, value: date}]
exports: [{mode: Restricted, mount: /usr}, {mode: Public, mount: /run/user/$UID}, {mode: Execfd, mount: /p, path: 'id $(id -u)'}]";

#[test]
fn does_not_depend_on_who_starts_it_when_and_from_where() {
    let reference = digest(FULL);
    let same = |change: fn(&mut crate::node::expand::Launch)| {
        assert_eq!(digest_with(Maker::new().node(FULL), change), reference);
    };
    same(|launch| launch.uid = 0);
    same(|launch| launch.gid = 7);
    same(|launch| launch.pid = 1);
    same(|launch| launch.environment.clear());
    same(|launch| {
        launch.environment.insert("USER".into(), "other".into());
    });
}

#[test]
fn does_not_depend_on_how_it_is_written() {
    let other = "# a remark\nexports:
  - {mount: /p, path: 'id $(id -u)', mode: EXECFD, info: text}
  - {mount: /run//user/./$UID/, mode: public}
  - {mount: /usr, mode: restricted, path: /usr, warn: text}
config: {path: '/bin::/x/$UID:/bin', share_net: enabled, hostname: n0, umask: '27', verbose: 3, gpgcheck: true}
environ: [{key: B, mode: Execfd, value: date}, {key: A, value: $USER, mode: Default}]";
    assert_eq!(digest(FULL), digest(other));
}

#[test]
fn depends_on_everything_that_changes_what_runs() {
    let reference = digest(FULL);
    for (from, to) in [
        ("umask: 027", "umask: 022"),
        ("hostname: $LEAF_ALIAS", "hostname: other"),
        ("share_net: Enabled", "share_net: Disabled"),
        ("share_net: Enabled", "share_net: Enabled, share_time: Disabled"),
        ("share_net: Enabled", "share_net: Enabled, inherit-env: true"),
        ("share_net: Enabled", "share_net: Enabled, map-root-user: 1"),
        ("share_net: Enabled", "share_net: Enabled, die-with-parent: Enabled"),
        ("share_net: Enabled", "share_net: Enabled, new-session: Enabled"),
        ("share_net: Enabled", "share_net: Enabled, seccomp: Disabled"),
        ("share_net: Enabled", "share_net: Enabled, set-user: 5"),
        ("share_net: Enabled", "share_net: Enabled, set-group: 5"),
        ("share_net: Enabled", "share_net: Enabled, chdir: /"),
        ("share_net: Enabled", "share_net: Enabled, cgrouproot: /"),
        ("share_net: Enabled", "share_net: Enabled, ldpath: /lib"),
        ("share_net: Enabled", "share_net: Enabled, cgroups: {pids: {max: 5}}"),
        ("share_net: Enabled", "share_net: Enabled, capabilities: [{cap: CHOWN, add: 1}]"),
        ("/bin:/x/$UID", "/bin:/x/$GID"),
        ("/bin:/x/$UID", "/bin:/x/1000"),
        ("value: $USER", "value: $LOGNAME"),
        ("value: $USER", "value: \\$USER"),
        ("value: $USER", "value: $USER, mode: Static"),
        ("value: date", "value: date +%s"),
        ("mode: Restricted", "mode: Public"),
        ("mount: /usr}", "mount: /usr, path: /usr/local}"),
        ("/run/user/$UID", "/run/user/1000"),
        ("id $(id -u)", "id $(id -g)"),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from} is there");
        assert_ne!(digest(&text), reference, "{from} -> {to}");
    }
}

#[test]
fn redmain_and_admin_files_count_by_what_they_change() {
    let plain = digest_with(Maker::new().node(FULL), |_| {});
    let with_main = digest_with(Maker::new().main("config: {verbose: 1}").node(FULL), |_| {});
    assert_eq!(plain, with_main);
    let host = digest_with(Maker::new().main("config: {hostname: h}").node(""), |_| {});
    let admin = digest_with(Maker::new().main_admin("config: {hostname: h}").node(""), |_| {});
    assert_ne!(host, admin, "admin mode is another launch");
}

#[test]
fn parts_tell_what_differs() {
    let parts = |normal: &str| {
        let family = Maker::new().node(normal).family();
        let (merged, _) = merge(&family, &launch(), CommandUse::Keep);
        super::parts(&family, &merged, &Asked::default(), None)
    };
    let reference = parts(FULL);
    assert_eq!(reference.split(' ').count(), PARTS.len());
    assert_eq!(differing(&reference, &reference), Vec::<&str>::new());
    for (from, to, wanted) in [
        ("umask: 027", "umask: 022", "process"),
        ("hostname: $LEAF_ALIAS", "hostname: other", "namespaces"),
        ("mount: /usr", "mount: /opt", "exports"),
        ("value: date", "value: time", "environment"),
        ("umask: 027", "umask: 027, cgroups: {pids: {max: 9}}", "limits"),
        ("umask: 027", "umask: 027, seccomp: Disabled", "capabilities"),
    ] {
        assert_eq!(differing(&parts(&FULL.replace(from, to)), &reference), [wanted], "{to}");
    }
    // Every key is in a part.
    let family = Maker::new().node(FULL).family();
    let (merged, _) = merge(&family, &launch(), CommandUse::Keep);
    let form = serde_json::to_value(Canonical::of(&family, &merged, &Asked::default(), None)).unwrap();
    for key in form.as_object().unwrap().keys() {
        assert!(PARTS.iter().any(|(_, keys)| keys.contains(&key.as_str())), "{key}");
    }
}
