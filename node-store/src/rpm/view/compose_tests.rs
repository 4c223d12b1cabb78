use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::*;

/// A machine of paths. Those that end with a slash are directories, with `@` links.
#[derive(Default)]
struct Fake {
    paths: BTreeMap<PathBuf, Kind>,
    mounts: Vec<(&'static str, &'static str)>,
    nodes: Vec<&'static str>,
    locked: bool,
}

impl Fake {
    fn new(paths: &[&str]) -> Self {
        let mut fake = Self { locked: true, ..Self::default() };
        for path in paths {
            let (path, kind) = match path.strip_suffix('/') {
                Some(dir) => (dir, Kind::Directory),
                None => match path.strip_suffix('@') {
                    Some(link) => (link, Kind::Link),
                    None => (*path, Kind::File(1)),
                },
            };
            for above in Path::new(path).ancestors().skip(1) {
                fake.paths.entry(above.into()).or_insert(Kind::Directory);
            }
            fake.paths.insert(path.into(), kind);
        }
        fake
    }

    fn mounts(mut self, mounts: &[(&'static str, &'static str)]) -> Self {
        for (point, _) in mounts {
            self.paths.entry(PathBuf::from(point)).or_insert(Kind::Directory);
        }
        self.mounts = mounts.to_vec();
        self
    }

    fn view(&self, layers: &[Layer], files: &[&str]) -> Result<Composition, ViewError> {
        let wanted = super::super::wanted(&files.iter().map(PathBuf::from).collect());
        let tops = ["bin", "etc", "opt", "usr", "var"].into_iter().map(str::to_owned).collect();
        compose(layers, &tops, &wanted, self)
    }
}

impl Host for Fake {
    fn kind(&self, path: &Path) -> Option<Kind> {
        self.paths.get(path).copied()
    }

    fn entries(&self, dir: &Path) -> Vec<OsString> {
        let below = self.paths.range(dir.to_path_buf()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(dir)).filter(|path| path.parent() == Some(dir));
        below.filter_map(|path| path.file_name()).map(OsString::from).collect()
    }

    fn readable(&self, path: &Path) -> bool {
        !path.ends_with("shadow")
    }

    fn is_node(&self, dir: &Path) -> bool {
        self.nodes.iter().any(|node| Path::new(node) == dir)
    }

    fn nodes_below(&self, dir: &Path) -> Vec<PathBuf> {
        let nodes = self.nodes.iter().map(PathBuf::from);
        nodes.filter(|node| node != dir && node.starts_with(dir)).collect()
    }

    fn mounts_below(&self, dir: &Path, at: &Path, depth: usize) -> Vec<PathBuf> {
        let points = self.mounts.iter().map(|(point, _)| PathBuf::from(point));
        let points = points.filter(|point| point != dir && point.starts_with(dir));
        points
            .filter(|point| self.locked || at.components().count() + point.components().count() <= depth)
            .collect()
    }

    fn mount_point(&self, _dir: &Path) -> PathBuf {
        "/".into()
    }

    fn fstype(&self, dir: &Path) -> String {
        let found = self.mounts.iter().find(|(point, _)| Path::new(point) == dir);
        found.map_or("ext4", |(_, fstype)| fstype).to_owned()
    }

    fn unsuited(&self, dir: &Path) -> Option<String> {
        Some(self.fstype(dir)).filter(|fstype| fstype == "vfat")
    }
}

fn core() -> Layer {
    Layer { root: "/".into(), variable: None, own: false }
}

fn node(path: &str) -> Layer {
    let path = Path::new(path);
    Layer { root: path.join(".red/gen/1"), variable: Some(path.join("var")), own: true }
}

fn step<'a>(view: &'a Composition, at: &str) -> Option<&'a Step> {
    view.steps.get(Path::new(at))
}

fn overlay(lowers: &[&str]) -> Step {
    Step::Overlay { lowers: lowers.iter().map(PathBuf::from).collect() }
}

const CORE: [&str; 9] = [
    "/bin@",
    "/etc/passwd",
    "/etc/dnf/",
    "/usr/bin/sh",
    "/usr/local/",
    "/opt/",
    "/var/lib/rpm/db",
    "/var/log/",
    "/var/tmp/",
];

#[test]
fn each_top_directory_is_one_overlay() {
    let mut paths = CORE.to_vec();
    paths.extend(["/home/n/.red/gen/1/usr/bin/x", "/home/n/var/"]);
    let mut fake = Fake::new(&paths);
    fake.nodes = vec!["/home/n"];
    let view = fake.view(&[node("/home/n"), core()], &[]).unwrap();
    assert_eq!(step(&view, "usr"), Some(&overlay(&["/home/n/.red/gen/1/usr", "/usr"])));
    assert_eq!(step(&view, "var"), Some(&overlay(&["/home/n/var", "/var"])));
    assert_eq!(step(&view, "bin"), Some(&Step::Link { of: "/bin".into() }));
    assert_eq!(view.steps.len(), 5);
    assert!(view.split_at.is_empty() && view.left_out.is_empty() && view.own.is_empty());
}

#[test]
fn no_layer_lies_in_another() {
    let mut paths = CORE.to_vec();
    paths.extend([
        "/var/redpesk/n/.red/gen/1/usr/",
        "/var/redpesk/n/var/lib/x/",
        "/var/redpesk/other/",
        "/var/redpesk/repos/a",
    ]);
    let mut fake = Fake::new(&paths);
    fake.nodes = vec!["/var/redpesk/n", "/var/redpesk/other"];
    let view = fake.view(&[node("/var/redpesk/n"), core()], &[]).unwrap();
    assert_eq!(step(&view, "var"), Some(&Step::Directory { like: Some("/var/redpesk/n/var".into()) }));
    assert_eq!(step(&view, "var/lib"), Some(&overlay(&["/var/redpesk/n/var/lib", "/var/lib"])));
    assert_eq!(step(&view, "var/log"), Some(&overlay(&["/var/log"])));
    assert_eq!(step(&view, "var/redpesk/repos"), Some(&overlay(&["/var/redpesk/repos"])));
    for node in ["var/redpesk/n", "var/redpesk/other"] {
        assert_eq!(step(&view, node), None, "{node}");
    }
    assert!(view.own.contains(Path::new("var/lib")));
}

#[test]
fn a_node_at_a_top_directory_hides_it() {
    let mut fake = Fake::new(&["/opt/.red/gen/1/opt/a", "/opt/var/", "/usr/bin/"]);
    fake.nodes = vec!["/opt"];
    let view = fake.view(&[node("/opt"), core()], &[]).unwrap();
    assert_eq!(step(&view, "opt"), Some(&overlay(&["/opt/.red/gen/1/opt"])));
    assert_eq!(step(&view, "usr"), Some(&overlay(&["/usr"])));
}

#[test]
fn directories_are_split_at_mounts() {
    let mut paths = CORE.to_vec();
    paths.extend(["/etc/shadow", "/etc/resolv.conf", "/usr/big", "/usr/mine"]);
    let fake = Fake::new(&paths).mounts(&[
        ("/usr/local", "ext4"),
        ("/etc/resolv.conf", "ext4"),
        ("/opt/dos", "vfat"),
    ]);
    let view = fake.view(&[core()], &["/usr/mine"]).unwrap();
    assert_eq!(step(&view, "usr/local"), Some(&overlay(&["/usr/local"])), "what is mounted is in the view");
    assert_eq!(step(&view, "usr/bin"), Some(&overlay(&["/usr/bin"])));
    assert_eq!(step(&view, "usr/big"), Some(&Step::Bind { of: "/usr/big".into() }));
    assert_eq!(step(&view, "etc/resolv.conf"), Some(&Step::Copy { of: "/etc/resolv.conf".into() }));
    assert_eq!(step(&view, "etc/shadow"), Some(&Step::Bind { of: "/etc/shadow".into() }), "unreadable");
    assert_eq!(step(&view, "opt/dos"), None);
    assert_eq!(view.left_out.get(Path::new("/opt/dos")).map(String::as_str), Some("vfat"));
}

#[test]
fn a_packages_own_file_takes_the_place_of_a_bind() {
    let paths = ["/usr/mine", "/usr/theirs", "/usr/local/"];
    let fake = Fake::new(&paths).mounts(&[("/usr/local", "ext4")]);
    let layer = Layer { root: "/n".into(), variable: None, own: true };
    let view = fake.view(&[layer, core()], &["/usr/mine"]).unwrap();
    assert_eq!(step(&view, "usr/mine"), None);
    assert_eq!(step(&view, "usr/theirs"), Some(&Step::Bind { of: "/usr/theirs".into() }));
}

#[test]
fn what_the_node_has_in_a_split_directory_is_known() {
    let paths = [
        "/n/.red/gen/1/usr/a",
        "/n/.red/gen/1/usr/full/x",
        "/n/.red/gen/1/usr/empty/",
        "/usr/b",
        "/usr/local/",
    ];
    let fake = Fake::new(&paths).mounts(&[("/usr/local", "ext4")]);
    let view = fake.view(&[node("/n"), core()], &[]).unwrap();
    let own: BTreeSet<PathBuf> = ["usr/a", "usr/full"].into_iter().map(PathBuf::from).collect();
    assert_eq!(view.own, own);
    assert_eq!(
        step(&view, "usr/a"),
        Some(&Step::Copy { of: "/n/.red/gen/1/usr/a".into() }),
        "it can be removed"
    );
}

#[test]
fn deep_mounts_of_var_are_left_out_unless_packages_go_there() {
    let paths = ["/var/lib/docker/overlay2/a/merged/", "/var/lib/docker/overlay2/b/", "/var/lib/x/"];
    let point = "/var/lib/docker/overlay2/a/merged";
    let fake = Fake::new(&paths).mounts(&[(point, "overlay")]);
    let view = fake.view(&[core()], &[]).unwrap();
    let dir = "var/lib/docker/overlay2";
    assert_eq!(step(&view, dir), Some(&Step::Directory { like: Some(Path::new("/").join(dir)) }));
    assert_eq!(step(&view, "var/lib/docker/overlay2/b"), None);
    assert_eq!(view.left_out.get(Path::new(point)).map(String::as_str), Some("overlay"));
    let view = fake.view(&[core()], &["/var/lib/docker/overlay2/b/file"]).unwrap();
    assert_eq!(step(&view, "var/lib/docker/overlay2/b"), Some(&overlay(&["/var/lib/docker/overlay2/b"])));
}

#[test]
fn something_else_hides_what_is_below_its_name() {
    let mut paths = vec!["/n/.red/gen/1/opt/a@", "/opt/a/b", "/opt/m/", "/p/.red/gen/1/opt/c", "/opt/c/d"];
    paths.push("/n/.red/gen/1/opt/c/");
    let fake = Fake::new(&paths).mounts(&[("/opt/m", "ext4")]);
    let view = fake.view(&[node("/n"), node("/p"), core()], &[]).unwrap();
    assert_eq!(step(&view, "opt/a"), Some(&Step::Link { of: "/n/.red/gen/1/opt/a".into() }));
    assert_eq!(step(&view, "opt/c"), Some(&overlay(&["/n/.red/gen/1/opt/c"])), "the parent has a file there");
}

#[test]
fn too_many_entries_are_refused_with_the_mount() {
    let names: Vec<String> = (0..=MOST).map(|index| format!("/usr/share/{index}/")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fake = Fake::new(&names).mounts(&[("/usr/share/7", "nfs")]);
    let error = fake.view(&[core()], &[]).unwrap_err().to_string();
    assert!(error.contains("/usr/share/7") && error.contains("unmount"), "{error}");
}

/// What the view leaves out is not gone because the transaction does not find it.
#[test]
fn what_is_left_out_is_nobodys_to_miss() {
    let files =
        ["n/var/lib/pool/child/f", "n/var/lib/images/a/b/deep/f", "n/var/lib/own/f", "n/var/lib/own/dir/"];
    let mut host = Fake::new(&files.map(|file| format!("/{file}")).each_ref().map(String::as_str));
    host = host.mounts(&[("/n/var/lib/images/a/b/deep", "ext4"), ("/n/var/lib/own/dir", "ext4")]);
    host.nodes = vec!["/n/var/lib/pool/child"];
    let layer = Layer { root: "/n/.red/gen/1".into(), variable: Some("/n/var".into()), own: true };
    let view = host.view(&[layer], &[]).unwrap();
    let own: Vec<&Path> = view.own.iter().map(PathBuf::as_path).collect();
    assert!(own.contains(&Path::new("var/lib/own/f")), "{own:?}");
    for left_out in ["var/lib/pool", "var/lib/pool/child", "var/lib/images", "var/lib/images/a/b", "var/lib"]
    {
        assert!(!own.contains(&Path::new(left_out)), "{left_out}: {own:?}");
    }
}
