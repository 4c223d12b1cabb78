//! The shape of the database that rpm makes with SQLite, the same in 4.18, 4.20 and 6.1. Whoever may write to the file
//! can put more into it: a view or a table of another definition in the place of one of rpm's, which answers something
//! else, later, or never. So what is not exactly rpm's is no database of rpm.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use red_runtime::node::render::visible;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB};

/// Indices of texts, which are tables to SQLite.
const TEXTS: [&str; 16] = [
    "Name",
    "Basenames",
    "Group",
    "Requirename",
    "Providename",
    "Conflictname",
    "Obsoletename",
    "Triggername",
    "Dirnames",
    "Sha1header",
    "Filetriggername",
    "Transfiletriggername",
    "Recommendname",
    "Suggestname",
    "Supplementname",
    "Enhancename",
];
/// Indices of bytes.
const BYTES: [&str; 2] = ["Installtid", "Sigmd5"];
/// Tables of SQLite's own: of AUTOINCREMENT, and of `PRAGMA optimize`, which rpm ends with.
const OWN: [(&str, &str); 3] = [
    ("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)"),
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];
const PACKAGES: &str = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";

/// What SQLite makes files of where nobody says otherwise; rpm does not.
const PAGE: [u8; 2] = [0x10, 0];
/// The first bytes of every database of SQLite.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// How many bytes it begins with before its pages.
const HEADER: usize = 100;
/// What its 18th and 19th byte say: that there is no write-ahead log, or that there may be one.
const MODES: [[u8; 2]; 2] = [[1, 1], [2, 2]];
/// Where it says what its texts are, and that they are UTF-8.
const ENCODING: std::ops::Range<usize> = 56..60;
const UTF8: [u8; 4] = [0, 0, 0, 1];
/// The highest number that a package may have: rpm's are `int`s, and after this one there are numbers left for packages
/// to come.
const HIGHEST: i64 = (i32::MAX - (1 << 24)) as i64;
/// How long all of it may take.
const SECONDS: Duration = Duration::from_secs(60);
/// Names and definitions that are shown.
const SHOWN: usize = 80;

/// Opens a database of so many bytes in SQLite's own memory, so that no other file has a say, and there is one copy of it.
/// Nothing in it is trusted.
pub(super) fn open(mut from: impl Read, length: usize) -> Result<Connection, String> {
    let mut bytes = [0; HEADER];
    if length < HEADER || from.read_exact(&mut bytes).is_err() || !bytes.starts_with(MAGIC) {
        return Err("it is no database of SQLite".into());
    }
    if bytes[16..18] != PAGE {
        return Err("its pages have another size than rpm's, 4096 bytes".into());
    }
    if !MODES.iter().any(|mode| bytes[18..20] == *mode) {
        return Err("it is for another version of SQLite".into());
    }
    if bytes[ENCODING] != UTF8 {
        return Err("its texts have another encoding than rpm's, UTF-8".into());
    }
    // rpm's files say that they have a write-ahead log. The one who asked has seen that it is empty.
    bytes[18..20].copy_from_slice(&[1, 1]);
    let words = |error: rusqlite::Error| error.to_string();
    let mut open = Connection::open_in_memory().map_err(words)?;
    for (what, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        open.set_db_config(what, on).map_err(words)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 256 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 50),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 10),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ] {
        open.set_limit(limit, most).map_err(words)?;
    }
    let begun = Instant::now();
    open.progress_handler(100_000, Some(move || begun.elapsed() > SECONDS)).map_err(words)?;
    open.deserialize_read_exact(MAIN_DB, (&bytes[..]).chain(from), length, true).map_err(words)?;
    Ok(open)
}

/// Refuses whatever rpm does not make, then what is damaged. Only in this order: pages that are a part of two tables, or
/// that lead to themselves, are found by the second step, and SQL of somebody else would be run by it.
pub(super) fn check(open: &Connection) -> Result<(), String> {
    let mut missing: BTreeSet<&str> = TEXTS.into_iter().chain(BYTES).chain(["Packages"]).collect();
    let mut all = open.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master").map_err(damaged)?;
    let mut rows = all.query([]).map_err(damaged)?;
    while let Some(row) = rows.next().map_err(damaged)? {
        let text = |at: usize| row.get::<_, Option<String>>(at).ok().flatten().unwrap_or_default();
        let (kind, name, table, sql) = (text(0), text(1), text(2), text(3));
        if !is_rpms(&kind, &name, &table, &sql) {
            return Err(stranger(&kind, &name, &sql));
        }
        missing.remove(name.as_str());
    }
    if let Some(name) = missing.first() {
        return Err(format!("it has no table `{name}`"));
    }
    is_sound(open)?;
    let mut last = open.prepare("SELECT name, seq FROM sqlite_sequence").map_err(damaged)?;
    let mut rows = last.query([]).map_err(damaged)?;
    let mut known = false;
    while let Some(row) = rows.next().map_err(damaged)? {
        let entry = (row.get::<_, String>(0).unwrap_or_default(), row.get::<_, i64>(1).ok());
        let sound = entry.0 == "Packages" && entry.1.is_some_and(|last| (0..=HIGHEST).contains(&last));
        if known || !sound {
            return Err("the number that its next package gets is none of rpm's".into());
        }
        known = true;
    }
    Ok(())
}

/// The number of a package, where rpm gives such ones.
pub(super) fn number(number: i64) -> Option<i32> {
    i32::try_from(number).ok().filter(|_| (1..=HIGHEST).contains(&number))
}

/// Refuses what is damaged.
fn is_sound(open: &Connection) -> Result<(), String> {
    let said: String = open.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if said != "ok" {
        return Err(format!("it is damaged ({})", shown(&said)));
    }
    let mut keys = open.prepare("PRAGMA foreign_key_check").map_err(damaged)?;
    match keys.query([]).map_err(damaged)?.next().map_err(damaged)? {
        None => Ok(()),
        Some(row) => {
            let table: String = row.get(0).map_err(damaged)?;
            Err(format!("it is damaged (`{}` has an entry of a package that is not there)", shown(&table)))
        }
    }
}

/// An error of SQLite.
pub(super) fn damaged(error: rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => "reading it does not end".into(),
        _ => format!("it is damaged ({})", shown(&error.to_string())),
    }
}

/// Whether rpm makes that.
fn is_rpms(kind: &str, name: &str, table: &str, sql: &str) -> bool {
    match kind {
        "table" if name != table => false,
        "table" if name == "Packages" => sql == PACKAGES,
        "table" if TEXTS.contains(&name) => sql == index(name, "TEXT"),
        "table" if BYTES.contains(&name) => sql == index(name, "BLOB"),
        "table" => OWN.contains(&(name, sql)),
        "index" if TEXTS.contains(&table) || BYTES.contains(&table) => ["key", "hnum"].iter().any(|column| {
            let wanted = format!("{table}_{column}_idx");
            name == wanted && sql == format!("CREATE INDEX '{wanted}' ON '{table}'({column} ASC)")
        }),
        _ => false,
    }
}

/// How rpm makes an index.
fn index(name: &str, kind: &str) -> String {
    format!(
        "CREATE TABLE '{name}' (key '{kind}' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, FOREIGN KEY (hnum) \
         REFERENCES 'Packages'(hnum))"
    )
}

fn stranger(kind: &str, name: &str, sql: &str) -> String {
    let known = name == "Packages" || TEXTS.contains(&name) || BYTES.contains(&name);
    let is_virtual = sql.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("CREATE VIRTUAL"));
    let name = shown(name);
    match kind {
        "table" if is_virtual => format!("it has the virtual table `{name}`, and rpm makes none"),
        "table" | "index" if known => format!("its {kind} `{name}` is another than rpm's ({})", shown(sql)),
        "table" | "index" => format!("it has the {kind} `{name}`, which rpm does not make"),
        "view" | "trigger" => format!("it has the {kind} `{name}`, and rpm makes none"),
        _ => format!("it has `{name}`, which rpm does not make"),
    }
}

/// The beginning of a text of somebody else's.
fn shown(text: &str) -> String {
    visible(&text.chars().take(SHOWN).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8]) -> Result<Connection, String> {
        open(bytes, bytes.len())
    }

    /// A database of this machine's rpm, with more in it.
    fn said(sql: &str) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rpmdb.sqlite");
        let made =
            std::process::Command::new("rpmdb").arg("--initdb").arg("--dbpath").arg(dir.path()).status();
        assert!(made.unwrap().success());
        // A mode without a log, so that everything is in the one file.
        Connection::open(&path)
            .unwrap()
            .execute_batch(&format!("PRAGMA journal_mode=DELETE; {sql}"))
            .unwrap();
        check(&opened(&std::fs::read(path).unwrap())?)
    }

    #[test]
    fn what_rpm_makes_is_believed_and_nothing_else() {
        assert_eq!(said(""), Ok(()));
        assert_eq!(said("ANALYZE"), Ok(()), "rpm ends with `PRAGMA optimize`");
        for (sql, wanted) in [
            ("CREATE VIEW v AS SELECT 1", "view `v`"),
            ("CREATE TRIGGER t AFTER INSERT ON Name BEGIN SELECT 1; END", "trigger `t`"),
            ("CREATE TABLE t (a)", "table `t`"),
            ("CREATE VIRTUAL TABLE t USING rtree(id, a, b)", "virtual table `t`"),
            ("CREATE INDEX Name_idx_idx ON Name(idx)", "index `Name_idx_idx`"),
            ("DROP INDEX Name_key_idx; CREATE INDEX Name_key_idx ON Name(hnum)", "index `Name_key_idx`"),
            ("ALTER TABLE Name ADD COLUMN more", "table `Name` is another"),
            ("ALTER TABLE Packages ADD COLUMN more AS (hex(blob))", "table `Packages` is another"),
            ("DROP TABLE Triggername", "no table `Triggername`"),
            ("DROP TABLE Triggername; CREATE VIEW Triggername AS SELECT 1", "view `Triggername`"),
            ("INSERT INTO Name VALUES ('x', 7, 0)", "an entry of a package that is not there"),
            (
                "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql = 'CREATE TABLE x' WHERE name = 'Name'",
                "damaged",
            ),
            (
                "PRAGMA writable_schema=ON; UPDATE sqlite_master SET rootpage = 4 WHERE name = 'Group'",
                "damaged",
            ),
            ("PRAGMA page_size=512; VACUUM", "another size"),
            ("INSERT INTO sqlite_sequence VALUES ('Packages', 2147483647)", "next package"),
            ("INSERT INTO sqlite_sequence VALUES ('Packages', -1)", "next package"),
            ("INSERT INTO sqlite_sequence VALUES ('Packages', 1e300)", "next package"),
            ("INSERT INTO sqlite_sequence VALUES ('Name', 1)", "next package"),
            (
                "INSERT INTO sqlite_sequence VALUES ('Packages', 1); INSERT INTO sqlite_sequence VALUES ('Packages', 2)",
                "next package",
            ),
        ] {
            let said = said(sql);
            assert!(said.as_ref().is_err_and(|why| why.contains(wanted)), "{sql}: {said:?}");
        }
        assert_eq!(said("INSERT INTO sqlite_sequence VALUES ('Packages', 7)"), Ok(()));
        for bytes in [&b""[..], b"SQLite format 3\0", &[0; 4096]] {
            assert!(opened(bytes).is_err());
        }
    }

    #[test]
    fn what_other_versions_of_sqlite_read_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sqlite");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
        let bytes = std::fs::read(path).unwrap();
        for (mode, fits) in
            [([1, 1], true), ([2, 2], true), ([3, 2], false), ([2, 3], false), ([1, 2], false)]
        {
            let mut bytes = bytes.clone();
            bytes[18..20].copy_from_slice(&mode);
            assert_eq!(opened(&bytes).is_ok(), fits, "{mode:?}");
        }
        let mut other = bytes;
        other[ENCODING].copy_from_slice(&[0, 0, 0, 2]);
        assert!(opened(&other).is_err_and(|why| why.contains("encoding")));
    }
}
