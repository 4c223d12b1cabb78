//! The process that reads a database of somebody else's. It gets the file open, and nothing else; before it looks at a
//! byte of it, it gives up what it could do besides computing.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::process::ExitCode;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::header::{Header, Identity, tag};
use super::{Contents, Installed, KEY, Said, StoredKey, TELL, shape};

/// Address space: the file, and what is told of it.
const MEMORY: u64 = 4 << 30;
/// Seconds of processor time.
const SECONDS: u64 = 120;

/// A database on stdin, what it holds on stdout, or nothing where that was not asked.
pub(crate) fn main(args: &[std::ffi::OsString]) -> ExitCode {
    let tell = args.first().is_some_and(|how| how == TELL);
    let said: Said = read().map(|contents| if tell { contents } else { Contents::default() });
    let good = said.is_ok();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written =
        serde_json::to_writer(&mut out, &said).map_err(std::io::Error::from).and_then(|()| out.flush());
    // One who did not get all of it does not believe a part.
    if good && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read() -> Said {
    confine().map_err(|errno| format!("its reader cannot be confined: {}", std::io::Error::from(errno)))?;
    let stdin = std::io::stdin().lock();
    let length = rustix::fs::fstat(&stdin).map_err(|errno| std::io::Error::from(errno).to_string())?.st_size;
    let open = shape::open(stdin, usize::try_from(length).unwrap_or(0))?;
    shape::check(&open)?;
    contents(&open)
}

/// What rpm finds by an index: packages' names and names of files, by the number of the package.
type Names = BTreeMap<i32, (Vec<u8>, Vec<Vec<u8>>)>;

/// Neither files nor processes nor rights from here on: what comes next is somebody else's.
fn confine() -> rustix::io::Result<()> {
    let limits = [
        (Resource::As, MEMORY),
        (Resource::Cpu, SECONDS),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    red_runtime::confine::filter_scriptlets()
}

/// Everything in a database whose shape is rpm's: each header, and that the indices by which rpm finds packages and
/// files lead to exactly these.
fn contents(open: &Connection) -> Said {
    let mut found = Contents::default();
    let (mut names, mut files) = (BTreeMap::new(), 0_usize);
    let mut all = open.prepare("SELECT hnum, blob FROM Packages").map_err(shape::damaged)?;
    let mut rows = all.query([]).map_err(shape::damaged)?;
    while let Some(row) = rows.next().map_err(shape::damaged)? {
        let number: i64 = row.get(0).map_err(shape::damaged)?;
        let blob = row.get_ref(1).map_err(shape::damaged)?.as_blob().unwrap_or_default();
        let Some(short) = shape::number(number) else {
            return Err(format!("it has the package number {number}, and rpm gives none like that"));
        };
        let broken = || format!("it is damaged (what it has of package number {number} is no header)");
        let header = Header::read(blob).ok_or_else(broken)?;
        let name = header.bytes(tag::NAME).and_then(|names| names.first().map(|name| name.to_vec()));
        let name = name.ok_or_else(broken)?;
        let paths = header.files().ok_or_else(broken)?;
        let bases = header.bytes(tag::BASE_NAMES).ok_or_else(broken)?;
        let bases: Vec<Vec<u8>> = bases.into_iter().map(<[u8]>::to_vec).collect();
        files += bases.len();
        if name == KEY.as_bytes() {
            let text = |tag| header.text(tag).ok_or_else(broken);
            found.keys.push(StoredKey {
                name: format!("{KEY}-{}-{}", text(tag::VERSION)?, text(tag::RELEASE)?),
                armored: text(tag::DESCRIPTION)?,
                header: Some(Identity::whole(blob)),
                plain: header.is_plain_key(),
            });
        } else {
            found.packages.push(Installed {
                nevra: header.nevra().ok_or_else(broken)?,
                identity: header.identity().clone(),
                signatures: header.signatures().ok_or_else(broken)?,
                strange: header.is_strange(),
                files: paths,
                states: header.states(),
            });
        }
        names.insert(short, (name, bases));
    }
    leads_to_all(open, &names, files)?;
    Ok(found)
}

/// Compares two indices with the headers. Without an entry rpm does not see that a package is there, or that a file is
/// another package's.
fn leads_to_all(open: &Connection, headers: &Names, files: usize) -> Result<(), String> {
    for (table, wanted) in [("Name", headers.len()), ("Basenames", files)] {
        let mut all = open.prepare(&format!("SELECT hnum, idx, key FROM {table}")).map_err(shape::damaged)?;
        let mut rows = all.query([]).map_err(shape::damaged)?;
        let mut seen = HashSet::new();
        while let Some(row) = rows.next().map_err(shape::damaged)? {
            // rpm reads both numbers as `int`s, and cuts off what is longer; it looks for texts, which no BLOB equals.
            let at = row.get::<_, i32>(1).ok().and_then(|at| usize::try_from(at).ok());
            let entry = (row.get::<_, i32>(0).ok(), at, row.get_ref(2).ok());
            let (Some(number), Some(at), Some(ValueRef::Text(key))) = entry else {
                return Err(differs(table));
            };
            let known = headers.get(&number).and_then(|(name, bases)| match table {
                "Name" => Some(name).filter(|_| at == 0),
                _ => bases.get(at),
            });
            if known.is_none_or(|known| known != key) || !seen.insert((number, at)) {
                return Err(differs(table));
            }
        }
        let hidden = headers
            .iter()
            .find(|(number, (name, _))| name == KEY.as_bytes() && !seen.contains(&(**number, 0)));
        if let Some((number, _)) = hidden.filter(|_| table == "Name") {
            return Err(format!(
                "somebody put a key into it that its index does not lead to, package number {number}"
            ));
        }
        if seen.len() != wanted {
            return Err(differs(table));
        }
    }
    Ok(())
}

fn differs(table: &str) -> String {
    format!("its index `{table}` does not lead to what its packages are")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a package of a name with a file, and of what two indices have of it.
    fn said(name: &[u8], file: &[u8], sql: &str) -> Result<(), String> {
        let open = Connection::open_in_memory().unwrap();
        let index = |name| format!("CREATE TABLE {name} (key 'TEXT' NOT NULL, hnum INTEGER, idx INTEGER);");
        open.execute_batch(&format!("{}{}{sql}", index("Name"), index("Basenames"))).unwrap();
        let headers = BTreeMap::from([(1, (name.to_vec(), vec![file.to_vec()]))]);
        leads_to_all(&open, &headers, 1)
    }

    #[test]
    fn keys_are_texts_of_the_same_bytes() {
        let name = "INSERT INTO Name VALUES ('good', 1, 0);";
        for (key, good) in [
            ("CAST(x'6ee9' AS TEXT)", true),
            ("CAST(x'6eea' AS TEXT)", false),
            ("CAST(x'6eefbfbd' AS TEXT)", false),
            ("x'6ee9'", false),
            ("CAST(x'6ee900' AS TEXT)", false),
            ("7", false),
        ] {
            let sql = format!("{name} INSERT INTO Basenames VALUES ({key}, 1, 0);");
            assert_eq!(said(b"good", b"n\xe9", &sql).is_ok(), good, "{key}");
        }
        let names = "INSERT INTO Name VALUES (CAST(x'6eea' AS TEXT), 1, 0); INSERT INTO Basenames VALUES ('f', 1, 0);";
        assert_eq!(said(b"n\xea", b"f", names), Ok(()));
        assert_eq!(said(b"n\xe9", b"f", names), Err(differs("Name")));
    }

    #[test]
    fn numbers_are_those_that_rpm_reads() {
        for (numbers, good) in [
            ("1, 0", true),
            ("4294967297, 0", false),
            ("1, 4294967296", false),
            ("1, -1", false),
            ("'x', 0", false),
        ] {
            let sql = format!(
                "INSERT INTO Name VALUES ('good', {numbers}); INSERT INTO Basenames VALUES ('f', {numbers});"
            );
            assert_eq!(said(b"good", b"f", &sql).is_ok(), good, "{numbers}");
        }
    }
}
