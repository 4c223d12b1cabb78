use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{XattrFlags, fsetxattr, mkfifoat};

use super::*;

/// Type, path, link, mode and mtime of each entry.
type Listed = Vec<(char, String, String, u32, u64)>;

struct Tree {
    dir: tempfile::TempDir,
    covered: BTreeSet<String>,
    latest: Option<u64>,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, covered: BTreeSet::new(), latest: None }
    }

    fn join(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn write(&self, below: &str, text: &str) -> PathBuf {
        fs::create_dir_all(self.join(below).parent().unwrap()).unwrap();
        fs::write(self.join(below), text).unwrap();
        self.join(below)
    }

    fn source(&self) -> Source {
        let path = fs::canonicalize(self.dir.path()).unwrap().to_str().unwrap().to_owned();
        Source { path, id: None, created: None }
    }

    fn read_while(&self, source: &Source, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, ImageError> {
        let terms = Terms { covered: &self.covered, latest: self.latest, stop };
        let mut reader = Reader::new(Archive::new(Vec::new()), Path::new("layer"), &terms);
        reader.tree(source, "/at")?;
        Ok(reader.archive.finish().unwrap())
    }

    fn read(&self) -> Result<Vec<u8>, ImageError> {
        self.read_while(&self.source(), &|| false)
    }
}

fn listed(archive: &[u8]) -> Listed {
    let mut all = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.push((
            char::from(header.entry_type().as_byte()),
            text(&entry.path_bytes()),
            text(&entry.link_name_bytes().unwrap_or_default()),
            header.mode().unwrap(),
            header.mtime().unwrap(),
        ));
    }
    all
}

fn set_mtime(path: &Path, seconds: i64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap());
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_tree_is_read_in_the_order_of_names_with_links_and_modes() {
    let mut tree = Tree::new();
    let first = tree.write("b/one", "text");
    fs::set_permissions(&first, fs::Permissions::from_mode(0o4711)).unwrap();
    set_mtime(&first, 1_000);
    fs::hard_link(&first, tree.join("c")).unwrap();
    symlink("/etc/shadow", tree.join("b/absolute")).unwrap();
    mkfifoat(CWD, tree.join("a-fifo"), Mode::from_raw_mode(0o600)).unwrap();
    tree.write("hidden/below", "not seen");
    tree.covered.insert("/at/hidden".to_owned());
    let entry =
        |kind, path: &str, link: &str, mode, mtime| (kind, path.to_owned(), link.to_owned(), mode, mtime);
    let wanted = vec![
        entry('5', "at/", "", 0o755, 0),
        entry('6', "at/a-fifo", "", 0o600, 0),
        entry('5', "at/b/", "", 0o755, 0),
        entry('2', "at/b/absolute", "/etc/shadow", 0o777, 0),
        entry('0', "at/b/one", "", 0o4711, 1_000),
        entry('1', "at/c", "at/b/one", 0o4711, 1_000),
    ];
    let bytes = tree.read().unwrap();
    assert_eq!(listed(&bytes), wanted);
    assert_eq!(bytes, tree.read().unwrap());
    // Nothing is later than what the caller says.
    tree.latest = Some(7);
    assert!(listed(&tree.read().unwrap()).iter().all(|(.., mtime)| *mtime <= 7));
}

#[test]
fn attributes_of_contents_are_kept_and_those_of_the_machine_are_not() {
    let tree = Tree::new();
    let file = fs::File::create(tree.join("file")).unwrap();
    if fsetxattr(&file, "user.kept", b"a\0b", XattrFlags::empty()).is_err() {
        return; // a file system without them has nothing to keep
    }
    fsetxattr(&file, "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let bytes = tree.read().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut entry = archive.entries().unwrap().nth(1).unwrap().unwrap();
    let records: Vec<(String, Vec<u8>)> = entry
        .pax_extensions()
        .unwrap()
        .unwrap()
        .map(|one| one.map(|one| (one.key().unwrap().to_owned(), one.value_bytes().to_vec())).unwrap())
        .collect();
    assert_eq!(records, [("SCHILY.xattr.user.kept".to_owned(), b"a\0b".to_vec())]);
    assert!(is_of_contents("security.capability") && !is_of_contents("security.selinux"));
    assert!(!is_of_contents("trusted.overlay.opaque"));
}

#[test]
fn what_a_layer_cannot_hold_is_refused_with_its_path() {
    let tree = Tree::new();
    let whiteout = tree.write("dir/.wh.file", "");
    let error = tree.read().unwrap_err().to_string();
    assert!(error.starts_with(whiteout.to_str().unwrap()) && error.contains("rename it"), "{error}");
    fs::remove_file(whiteout).unwrap();
    let socket = tree.join("dir/socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let error = tree.read().unwrap_err().to_string();
    assert!(error.starts_with(socket.to_str().unwrap()) && error.contains("a socket"), "{error}");
    drop(listener);
    fs::remove_file(socket).unwrap();
    tree.read().unwrap();
}

#[test]
fn what_changes_while_it_is_read_is_an_error_with_its_path() {
    for change in ["grows", "shrinks", "is touched", "goes", "a name comes"] {
        let tree = Tree::new();
        let large = tree.write("dir/large", &"x".repeat(CHUNK + 1));
        let asked = Cell::new(0);
        let result = tree.read_while(&tree.source(), &|| {
            asked.set(asked.get() + 1);
            // 1 the top, 2 `dir`, 3 the file, 4 its first bytes, 5 the rest.
            match (change, asked.get()) {
                ("grows", 5) => fs::write(&large, "y".repeat(2 * CHUNK)).unwrap(),
                ("shrinks", 5) => fs::File::options().write(true).open(&large).unwrap().set_len(3).unwrap(),
                ("is touched", 5) => set_mtime(&large, 5),
                ("goes", 2) => fs::remove_dir_all(tree.join("dir")).unwrap(),
                ("a name comes", 4) => fs::write(tree.join("dir/new"), "").unwrap(),
                _ => {}
            }
            false
        });
        let error = result.unwrap_err().to_string();
        let wanted = if matches!(change, "goes" | "a name comes") { tree.join("dir") } else { large };
        assert!(error.starts_with(wanted.to_str().unwrap()), "{change}: {error}");
        assert!(error.contains("changed while it was read"), "{change}: {error}");
    }
}

#[test]
fn reading_stops_when_it_is_told_to() {
    let tree = Tree::new();
    tree.write("file", "text");
    let result = tree.read_while(&tree.source(), &|| true);
    assert!(matches!(result, Err(ImageError::Interrupted)), "{result:?}");
}

/// The source is what was judged, no link is followed to it, and one that a launch makes need not be there.
#[test]
fn the_source_is_what_was_judged() {
    let tree = Tree::new();
    let source = tree.source();
    let other = Source { id: Some((1, 2)), ..source.clone() };
    assert!(matches!(tree.read_while(&other, &|| false), Err(ImageError::Changed { .. })));
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), tree.join("link")).unwrap();
    let link = Source { path: format!("{}/link", source.path), ..source.clone() };
    assert!(matches!(tree.read_while(&link, &|| false), Err(ImageError::Changed { .. })));
    let missing = Source { path: format!("{}/none", source.path), ..source };
    assert!(matches!(tree.read_while(&missing, &|| false), Err(ImageError::Read { .. })));
    let made = Source { created: Some(0o700), ..missing };
    let bytes = tree.read_while(&made, &|| false).unwrap();
    assert_eq!(listed(&bytes), [('5', "at/".to_owned(), String::new(), 0o700, 0)]);
}

#[test]
fn contents_are_those_of_the_file() {
    let tree = Tree::new();
    let text = "0123456789".repeat(CHUNK / 5);
    tree.write("file", &text);
    let bytes = tree.read().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = String::new();
    archive.entries().unwrap().nth(1).unwrap().unwrap().read_to_string(&mut found).unwrap();
    assert_eq!(found, text);
}
