//! rpm's database of a node as scriptlets, other programs and other machines leave it: believed in the shape that rpm
//! makes, with what was planned in it, with keys that were agreed to, or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::store::Ground;

/// A view with what the table of packages had, and with more from some seconds on.
const LATER: &str = "PRAGMA legacy_alter_table=ON; ALTER TABLE Packages RENAME TO Hidden; \
    CREATE VIEW Packages AS SELECT hnum, blob FROM Hidden UNION ALL SELECT * FROM (MORE) \
    WHERE (strftime('%s','now') - NOW) > 15;";
/// Rows without end.
const ENDLESS: &str =
    "WITH RECURSIVE r(n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM r) SELECT n, zeroblob(40) FROM r";

fn small<'a>(name: &'a str, files: &'a [(&'a str, &'a str)]) -> Small<'a> {
    Small { name, version: "1", files, ..Small::default() }
}

/// SQL, run by a program of its own.
fn program(database: &str, sql: &str) -> String {
    format!(
        "import sqlite3, time\ndb = sqlite3.connect('{database}', timeout=20, isolation_level=None)\n\
         db.executescript('''{sql}'''.replace('NOW', str(int(time.time()))))\ndb.close()\n"
    )
}

/// A scriptlet that runs a program.
fn scriptlet(program: &str) -> String {
    format!("cat > /tmp/x.py <<'EOF'\n{program}EOF\npython3 /tmp/x.py\n")
}

/// A node with a good package.
fn ground() -> Ground {
    let ground = Ground::of_this_machine(&[]);
    ground.publish("main", &[small("good", &[("/usr/share/good", "g")]), small("other", &[])]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "good"]).good();
    ground
}

/// `red-dnf`, which has to end.
fn bounded(ground: &Ground, tool: &str, args: &[&str]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "100"]).args(["bash", "-c", &format!("exec -a {tool} \"$0\" \"$@\"")]);
    command.arg(red_tests::call::built("red-dnf")).arg("--redpath").arg(ground.node("node")).args(args);
    command.env("NODE_PREFIX", ground.pool.join("prefix")).env("LANG", "C.UTF-8");
    run(command.stdin(std::process::Stdio::null()))
}

/// What a scriptlet does to the database ends its transaction, and nothing has changed.
fn ends_the_transaction(post: &str, words: &[&str]) {
    let ground = ground();
    ground.publish("main", &[Small { post, ..small("evil", &[("/usr/share/evil", "e")]) }]);
    let said = bounded(&ground, "red-dnf", &["-y", "--refresh", "install", "evil"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for word in words.iter().chain(&["nothing has changed"]) {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    assert_eq!(ground.rpm_says("node"), ["good-1"]);
    assert!(!ground.node("node/usr/share/evil").exists());
    ground.dnf("node", &["check"]).good();
    ground.dnf("node", &["-y", "install", "other"]).good();
}

/// The same for SQL.
fn sql_ends_the_transaction(sql: &str, words: &[&str]) {
    ends_the_transaction(&scriptlet(&program("/var/lib/rpm/rpmdb.sqlite", sql)), words);
}

#[test]
fn a_scriptlet_adds_a_view() {
    sql_ends_the_transaction("CREATE VIEW evil AS SELECT 1;", &["view `evil`"]);
}

#[test]
fn a_scriptlet_adds_a_trigger() {
    let sql = "CREATE TRIGGER evil AFTER INSERT ON Name BEGIN DELETE FROM Basenames; END;";
    sql_ends_the_transaction(sql, &["trigger `evil`"]);
}

#[test]
fn a_scriptlet_adds_a_generated_column() {
    sql_ends_the_transaction(
        "ALTER TABLE Name ADD COLUMN more AS (key || 'x');",
        &["table `Name` is another"],
    );
}

#[test]
fn a_scriptlet_adds_a_virtual_table() {
    sql_ends_the_transaction("CREATE VIRTUAL TABLE evil USING rtree(id, a, b);", &["virtual table `evil`"]);
}

#[test]
fn a_scriptlet_adds_a_table_and_an_index() {
    sql_ends_the_transaction("CREATE TABLE evil (a);", &["table `evil`"]);
    sql_ends_the_transaction("CREATE INDEX evil ON Name(abs(hnum));", &["index `evil`"]);
}

#[test]
fn packages_that_never_end_later() {
    sql_ends_the_transaction(&LATER.replace("MORE", ENDLESS), &["rpm's database (", "`Hidden`"]);
}

#[test]
fn a_table_that_never_ends_later() {
    let sql = "ALTER TABLE Name RENAME TO Hidden; CREATE VIEW Name AS SELECT key, hnum, idx FROM Hidden \
        UNION ALL SELECT 'x', n, 0 FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r) \
        WHERE (strftime('%s','now') - NOW) > 15;";
    sql_ends_the_transaction(sql, &["rpm's database ("]);
}

/// The header of a key that nobody agreed to, in hexadecimal digits.
fn key_header(ground: &Ground) -> String {
    let database = ground.pool.mkdir("key-db");
    let import = ["rpmkeys", "--dbpath", &database.to_string_lossy(), "--import"].map(str::to_owned);
    run(Command::new(&import[0]).args(&import[1..]).arg(ground.maker.key())).good();
    header(&database.join("rpmdb.sqlite"))
}

fn header(database: &std::path::Path) -> String {
    let code = format!(
        "import sqlite3\nprint(sqlite3.connect('{}').execute('select blob from Packages').fetchone()[0].hex())",
        database.display()
    );
    run(Command::new("python3").args(["-c", &code])).good().out.trim().to_owned()
}

#[test]
fn a_key_that_comes_later() {
    let other = Ground::of_this_machine(&[]);
    let more = format!("SELECT 7777, x'{}'", key_header(&other));
    sql_ends_the_transaction(&LATER.replace("MORE", &more), &["rpm's database ("]);
}

#[test]
fn a_key_that_is_there_at_once() {
    let other = Ground::of_this_machine(&[]);
    let sql = format!(
        "INSERT INTO Packages (hnum, blob) VALUES (7777, x'{}'); INSERT INTO Name VALUES ('gpg-pubkey', 7777, 0);",
        key_header(&other)
    );
    sql_ends_the_transaction(&sql, &["put a key"]);
}

/// The header of a package that is not installed here.
fn stranger(files: &[(&str, &str)], name: &str) -> String {
    let ground = Ground::new();
    ground.publish("main", &[small(name, files)]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", name]).good();
    header(&ground.node("node/.red/current/var/lib/rpm/rpmdb.sqlite"))
}

#[test]
fn a_package_that_nobody_installed() {
    let sql = format!(
        "INSERT INTO Packages (hnum, blob) VALUES (7777, x'{}'); INSERT INTO Name VALUES ('planted', 7777, 0);",
        stranger(&[], "planted")
    );
    sql_ends_the_transaction(&sql, &["planted-1-1.noarch"]);
}

#[test]
fn a_package_that_is_another_one() {
    // It owns a file that the scriptlet wrote, which no list would show then.
    let sql = format!(
        "UPDATE Packages SET blob = x'{0}' WHERE hnum = (SELECT hnum FROM Name WHERE key = 'good'); \
         UPDATE Basenames SET key = 'evil.conf' WHERE key = 'good';",
        stranger(&[("/etc/evil.conf", "g")], "good")
    );
    sql_ends_the_transaction(&sql, &["good-1-1.noarch is another than its package"]);
}

/// A scriptlet that adds an entry to the index of a package's header.
fn adds_to(package: &str, entry: &str, bytes: &str) -> String {
    scriptlet(&format!(
        "import sqlite3, struct\n\
         db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20, isolation_level=None)\n\
         number, blob = db.execute('select p.hnum, blob from Packages p join Name n using (hnum) where key = ?', ('{package}',)).fetchone()\n\
         entries, length = struct.unpack('>II', blob[:8])\n\
         index, data = blob[8:8 + entries * 16], blob[8 + entries * 16:]\n\
         bytes = {bytes}\n\
         index += struct.pack('>IIII', *{entry}, length, 1 if {entry}[1] == 6 else len(bytes))\n\
         data += bytes\n\
         db.execute('update Packages set blob = ? where hnum = ?', (struct.pack('>II', entries + 1, len(data)) + index + data, number))\n\
         db.close()\n",
    ))
}

#[test]
fn a_package_with_a_scriptlet_of_somebody_elses() {
    // `%preun`, which its package does not have.
    let post = adds_to("good", "(1025, 6)", "b'touch /usr/share/harm\\0'");
    ends_the_transaction(&post, &["good-1-1.noarch is another than its package"]);
}

#[test]
fn a_package_with_a_signature_of_somebody_elses() {
    // What `red-rpm whence` would tell of it (RPMTAG_RSAHEADER).
    for package in ["good", "evil"] {
        let post = adds_to(package, "(268, 7)", "b'x' * 64");
        ends_the_transaction(&post, &[&format!("{package}-1-1.noarch is another than its package")]);
    }
}

/// Signatures of files are what the kernel believes (IMA, fs-verity): those of the package count, and no others.
#[test]
fn a_package_with_signatures_of_files_of_somebody_elses() {
    for package in ["good", "evil"] {
        let post = adds_to(package, "(276, 8)", "bytes(5)");
        ends_the_transaction(&post, &[&format!("{package}-1-1.noarch is another than its package")]);
    }
}

/// rpm removes no file that it does not count as there (RPMTAG_FILESTATES), and does not miss it.
#[test]
fn a_package_whose_files_are_said_not_to_be_there() {
    for package in ["good", "evil"] {
        let post = scriptlet(&format!(
            "import sqlite3, struct\n\
             db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20, isolation_level=None)\n\
             number, blob = db.execute('select p.hnum, blob from Packages p join Name n using (hnum) where key = ?', ('{package}',)).fetchone()\n\
             entries, length = struct.unpack('>II', blob[:8])\n\
             at = [blob[8 + n * 16:][:16] for n in range(entries)]\n\
             at = [struct.unpack('>IIII', entry) for entry in at]\n\
             at = 8 + entries * 16 + [entry[2] for entry in at if entry[0] == 1029][0]\n\
             db.execute('update Packages set blob = ? where hnum = ?', (blob[:at] + b'\\2' + blob[at + 1:], number))\n\
             db.close()\n",
        ));
        ends_the_transaction(&post, &[&format!("{package}-1-1.noarch is another than its package")]);
    }
}

#[test]
fn a_package_that_is_gone() {
    let tables =
        ["Name", "Basenames", "Dirnames", "Providename", "Sha1header", "Sigmd5", "Installtid", "Group"];
    let delete = |table: &&str| format!("DELETE FROM \"{table}\" WHERE hnum = (SELECT hnum FROM gone);");
    let tables: String = tables.iter().map(delete).collect();
    let sql = format!(
        "CREATE TEMP TABLE gone AS SELECT hnum FROM Name WHERE key = 'good'; {tables} \
         DELETE FROM Requirename WHERE hnum = (SELECT hnum FROM gone); \
         DELETE FROM Packages WHERE hnum = (SELECT hnum FROM gone);"
    );
    sql_ends_the_transaction(&sql, &["good-1-1.noarch"]);
}

#[test]
fn a_package_that_no_index_leads_to() {
    sql_ends_the_transaction("DELETE FROM Name WHERE key = 'good';", &["index `Name`"]);
    sql_ends_the_transaction("DELETE FROM Basenames WHERE key = 'good';", &["index `Basenames`"]);
    sql_ends_the_transaction("UPDATE Name SET key = 'better' WHERE key = 'good';", &["index `Name`"]);
}

#[test]
fn a_package_that_rpm_does_not_find() {
    // rpm looks for a text, and reads numbers of 32 bits.
    for (table, key) in [("Name", "good"), ("Basenames", "good")] {
        let text = format!("UPDATE {table} SET key = CAST(key AS BLOB) WHERE key = '{key}';");
        sql_is_not_believed(&text, &[&format!("index `{table}`")]);
        let text = format!("UPDATE {table} SET idx = idx + 4294967296 WHERE key = '{key}';");
        sql_is_not_believed(&text, &[&format!("index `{table}`")]);
    }
    for number in ["4294967297", "0", "-1", "2147483647"] {
        let text = format!(
            "CREATE TEMP TABLE moved AS SELECT hnum AS old FROM Name WHERE key = 'good'; {} \
             UPDATE Packages SET hnum = {number} WHERE hnum = (SELECT old FROM moved);",
            [
                "Name",
                "Basenames",
                "Dirnames",
                "Providename",
                "Requirename",
                "Sha1header",
                "Sigmd5",
                "Installtid",
                "Group"
            ]
            .map(|table| format!(
                "UPDATE \"{table}\" SET hnum = {number} WHERE hnum = (SELECT old FROM moved);"
            ))
            .concat()
        );
        sql_is_not_believed(&text, &["package number"]);
    }
    let text = "UPDATE sqlite_sequence SET seq = 4294967295;";
    sql_ends_the_transaction(text, &["its next package"]);
}

/// Builds a package of no architecture into the repository `main`.
fn package_of_spec(ground: &Ground, spec: &str) -> PathBuf {
    let dir = ground.repo("main");
    let spec = ground.pool.write("package.spec", spec);
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]);
    build.arg(format!("_topdir {}/top", ground.pool.path().display()));
    build.arg("--define").arg(format!("_rpmdir {}", dir.display())).arg("--define");
    run(build.arg("_build_name_fmt %%{NAME}.rpm").arg(spec)).good();
    ground.maker.index(&dir);
    dir
}

/// Puts signatures of files into what a package begins with, as `rpmsign --signfiles` does (IMA).
const SIGN_FILES: &str = r"
import struct, sys
path, files = sys.argv[1], int(sys.argv[2])
package = open(path, 'rb').read()
entries, length = struct.unpack('>8xII', package[96:112])
index = package[112:112 + entries * 16]
data = package[112 + entries * 16:][:length]
rest = package[112 + entries * 16 + length + -length % 8:]
tag, kind, offset, count = struct.unpack('>IIII', index[:16])
body = data[:offset] + b'0302ab\0' * files
numbers = len(body) + -len(body) % 4
index += struct.pack('>IIIIIIII', 274, 8, offset, files, 275, 4, numbers, 1)
entries += 2
body = body.ljust(numbers, b'\0') + struct.pack('>I', 3)
index = struct.pack('>IIII', tag, kind, len(body), count) + index[16:]
data = body + struct.pack('>IIiI', tag, kind, -entries * 16, count)
head = package[96:104] + struct.pack('>II', entries, len(data)) + index + data
open(path, 'wb').write(package[:96] + head.ljust(len(head) + -len(head) % 8, b'\0') + rest)
";

#[test]
fn what_rpm_adds_to_packages_is_no_stranger() {
    let ground = Ground::of_this_machine(&[]);
    let dir = package_of_spec(
        &ground,
        "Name: movable\nVersion: 1\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\nPrefix: /opt\n\
         Prefix: /srv/more\n%description\nd\n%install\nmkdir -p %{buildroot}/opt/movable %{buildroot}/srv/more\n\
         echo x > %{buildroot}/opt/movable/f\n%files\n/opt/movable\n/srv/more\n",
    );
    let signed = ground.maker.small(&dir, &small("signed", &[("/usr/share/signed", "s")]));
    run(Command::new("python3").args(["-c", SIGN_FILES]).arg(&signed).arg("1")).good();
    ground.publish("main", &[small("later", &[])]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "install", "movable", "signed"]).good();
    assert!(ground.node("node/opt/movable/f").exists());
    let asked = ["-q", "--qf", "%{filesignatures} %{instprefixes}\n", "movable", "signed"];
    let said = ground.rpm("node", &asked).good().out;
    assert!(said.contains("/opt") && said.contains("0302ab"), "{said}");
    ground.dnf("node", &["-y", "install", "later"]).good();
    ground.dnf("node", &["-y", "reinstall", "movable"]).good();
    ground.dnf("node", &["-y", "remove", "movable"]).good();
}

/// A package with documentation, and with texts in two languages, each in directories of its own.
const WITH_DOCUMENTATION: &str = "Name: manual\nVersion: 1\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\n\
    %description\nd\n%install\ncd %{buildroot}\n\
    mkdir -p usr/share/doc/manual/more usr/share/texts/de usr/share/texts/en\n\
    for name in doc/manual/README doc/manual/more/a texts/de/t texts/en/t manual; do echo x > usr/share/$name; done\n\
    %files\n%dir /usr/share/doc/manual\n%dir /usr/share/doc/manual/more\n%doc /usr/share/doc/manual/README\n\
    %doc /usr/share/doc/manual/more/a\n%dir /usr/share/texts/de\n%dir /usr/share/texts/en\n\
    %lang(de) /usr/share/texts/de/t\n%lang(en) /usr/share/texts/en/t\n/usr/share/manual\n";

#[test]
fn documentation_is_left_out_with_its_directories() {
    let ground = Ground::of_this_machine(&[]);
    package_of_spec(&ground, WITH_DOCUMENTATION);
    ground.publish("main", &[small("later", &[])]);
    ground.create("node", Some("main"));
    ground.dnf("node", &["-y", "--setopt=tsflags=nodocs", "install", "manual"]).good();
    let there = |path: &str| ground.node("node/usr/share").join(path).exists();
    assert!(there("manual") && there("texts/de/t") && !there("doc/manual"));
    ground.dnf("node", &["-y", "install", "later"]).good();
    ground.dnf("node", &["-y", "reinstall", "manual"]).good();
    assert!(there("doc/manual/more/a"));
}

/// What the host's own packages do without is no word on those of nodes.
#[test]
fn macros_of_the_host_leave_nothing_out() {
    let ground = Ground::of_this_machine(&[]);
    package_of_spec(&ground, WITH_DOCUMENTATION);
    ground.create("node", Some("main"));
    let rpm = ground.pool.mkdir("host").join("rpm");
    run(Command::new("cp").args(["-a", "/usr/lib/rpm"]).arg(&rpm)).good();
    fs::create_dir_all(rpm.join("macros.d")).unwrap();
    fs::write(rpm.join("macros.d/macros.small"), "%_excludedocs 1\n%_install_langs en\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-c", "mount --bind $1 /usr/lib/rpm && exec -a red-dnf \"${@:2}\"", "sh"]);
    command.arg(&rpm).arg(red_tests::call::built("red-dnf")).arg("--redpath").arg(ground.node("node"));
    command.env("NODE_PREFIX", ground.pool.join("prefix")).env("LANG", "C.UTF-8");
    run(command.args(["-y", "install", "manual"])).good();
    for path in ["doc/manual/more/a", "texts/de/t", "texts/en/t"] {
        assert!(ground.node("node/usr/share").join(path).exists(), "{path}");
    }
}

#[test]
fn a_log_that_is_not_part_of_it_yet() {
    // Whoever reads keeps rpm from emptying the log, until all of the view ends.
    let post = scriptlet(
        "import sqlite3, time\n\
         db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20, isolation_level=None)\n\
         db.execute('begin')\ndb.execute('select count(*) from Name').fetchone()\ntime.sleep(300)\n",
    );
    let post =
        post.replace("python3 /tmp/x.py", "setsid python3 /tmp/x.py </dev/null >/dev/null 2>&1 &\nsleep 2");
    ends_the_transaction(&post, &["rpmdb.sqlite-wal"]);
}

#[test]
fn a_database_of_another_kind() {
    ends_the_transaction("echo x > /var/lib/rpm/Packages.db", &["Packages.db"]);
}

/// A node whose database was changed where it lies: every command says so and ends, and one leads back.
fn is_not_believed(change: &dyn Fn(&Ground, PathBuf), words: &[&str]) {
    let ground = ground();
    ground.dnf("node", &["-y", "install", "other"]).good();
    let database = ground.node("node/.red/gen/2/var/lib/rpm/rpmdb.sqlite");
    change(&ground, database);
    for (tool, args) in [
        ("red-dnf", &["list"][..]),
        ("red-dnf", &["check"]),
        ("red-dnf", &["-y", "remove", "good"]),
        ("red-rpm", &["-qa"]),
        ("red-rpm", &["-V", "good"]),
    ] {
        let said = bounded(&ground, tool, args);
        assert_eq!(said.code, 1, "{args:?}: {}{}", said.out, said.err);
        for word in words.iter().chain(&["node/", "var/lib/rpm"]) {
            assert!(said.err.contains(word), "{args:?}: {word}: {}", said.err);
        }
    }
    bounded(&ground, "red-dnf", &["generations"]).good();
    bounded(&ground, "red-dnf", &["-y", "rollback", "1"]).good();
    assert!(bounded(&ground, "red-dnf", &["list"]).good().out.contains("good"));
}

/// SQL on the machine.
fn sql(database: &std::path::Path, sql: &str) {
    run(Command::new("python3").args(["-c", &program(&database.to_string_lossy(), sql)])).good();
}

/// What every message has to say of a database that was looked at.
const REFUSED: [&str; 3] = ["node `node`", "is not believed", "red-rollback"];

fn sql_is_not_believed(text: &str, words: &[&str]) {
    is_not_believed(&|_, database| sql(&database, text), &[&REFUSED[..], words].concat());
}

#[test]
fn packages_that_never_end_are_not_read() {
    let text = LATER.replace("MORE", ENDLESS).replace("> 15", "> -1");
    sql_is_not_believed(&text, &["`Hidden`"]);
}

#[test]
fn a_trigger_is_not_believed() {
    let text = "CREATE TRIGGER evil AFTER INSERT ON Name BEGIN DELETE FROM Basenames; END;";
    sql_is_not_believed(text, &["trigger `evil`"]);
}

#[test]
fn a_generated_column_is_not_believed() {
    sql_is_not_believed(
        "ALTER TABLE Packages ADD COLUMN more AS (hex(blob));",
        &["table `Packages` is another"],
    );
}

#[test]
fn a_virtual_table_is_not_believed() {
    sql_is_not_believed("CREATE VIRTUAL TABLE evil USING rtree(id, a, b);", &["virtual table `evil`"]);
}

#[test]
fn pages_of_two_tables_are_not_believed() {
    let text = "PRAGMA writable_schema=ON; UPDATE sqlite_master SET rootpage = \
        (SELECT rootpage FROM sqlite_master WHERE name = 'Requirename') WHERE name = 'Providename';";
    sql_is_not_believed(text, &["damaged"]);
}

#[test]
fn a_hidden_package_is_not_believed() {
    sql_is_not_believed("DELETE FROM Name WHERE key = 'good';", &["index `Name`"]);
}

#[test]
fn what_is_no_header_is_not_believed() {
    sql_is_not_believed("UPDATE Packages SET blob = zeroblob(40) WHERE hnum = 1;", &["no header"]);
}

#[test]
fn pages_of_another_size_are_not_believed() {
    sql_is_not_believed(
        "PRAGMA journal_mode=DELETE; PRAGMA page_size=1024; VACUUM;",
        &["pages have another size"],
    );
}

#[test]
fn a_truncated_database_is_not_believed() {
    for length in [0, 50, 5000, 100_000] {
        let cut = |_: &Ground, database: PathBuf| {
            let file = fs::OpenOptions::new().write(true).open(database).expect("it is ours");
            file.set_len(length).expect("it is ours");
        };
        is_not_believed(&cut, &REFUSED);
    }
}

#[test]
fn a_huge_database_is_not_read() {
    let grow = |_: &Ground, database: PathBuf| {
        let file = fs::OpenOptions::new().write(true).open(database).expect("it is ours");
        file.set_len(1 << 41).expect("it is ours");
    };
    is_not_believed(&grow, &[&REFUSED[..], &["more than"]].concat());
}

#[test]
fn a_log_at_rest_is_not_believed() {
    let leave = |_: &Ground, database: PathBuf| {
        let code = format!(
            "import os, sqlite3\ndb = sqlite3.connect('{}', isolation_level=None)\n\
             db.execute('PRAGMA wal_autocheckpoint=0')\ndb.execute('CREATE VIEW evil AS SELECT 1')\nos._exit(0)\n",
            database.display()
        );
        run(Command::new("python3").args(["-c", &code])).good();
    };
    is_not_believed(&leave, &[&REFUSED[..], &["rpmdb.sqlite-wal"]].concat());
}

#[test]
fn another_kind_beside_it_is_not_believed() {
    let put = |_: &Ground, database: PathBuf| {
        fs::write(database.with_file_name("Packages.db"), "x").expect("it is ours")
    };
    is_not_believed(&put, &[&REFUSED[..], &["Packages.db"]].concat());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let pipe = |_: &Ground, database: PathBuf| {
        fs::remove_file(&database).expect("it is ours");
        run(Command::new("mkfifo").arg(&database)).good();
    };
    is_not_a_database(&pipe);
    let link = |ground: &Ground, database: PathBuf| {
        let aside = ground.pool.join("aside.sqlite");
        fs::rename(&database, &aside).expect("it is ours");
        symlink(aside, database).expect("it is ours");
    };
    is_not_a_database(&link);
}

/// What is not even a file is found when the node is loaded.
fn is_not_a_database(change: &dyn Fn(&Ground, PathBuf)) {
    let ground = ground();
    change(&ground, ground.node("node/.red/current/var/lib/rpm/rpmdb.sqlite"));
    for (tool, args) in
        [("red-dnf", &["list"][..]), ("red-rpm", &["-qa"]), ("red-dnf", &["-y", "remove", "good"])]
    {
        let said = bounded(&ground, tool, args);
        assert_eq!(said.code, 1, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("not a regular file"), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_node_that_came_from_elsewhere_is_looked_at() {
    let ground = ground();
    let came = ground.node("came");
    ground.dnf("came", &["red-manager", "--create"]).good();
    let database = came.join("var/lib/rpm");
    fs::create_dir_all(database.parent().expect("it has one")).expect("it is ours");
    drop(fs::remove_dir_all(&database));
    let good = ground.node("node/.red/current/var/lib/rpm");
    run(Command::new("cp").arg("-aT").arg(good).arg(&database)).good();
    assert!(ground.dnf("came", &["list"]).good().out.contains("good"));
    sql(&database.join("rpmdb.sqlite"), "CREATE VIEW evil AS SELECT 1;");
    let said = ground.dnf("came", &["list"]);
    assert!(
        said.code == 1 && said.err.contains("node `came`") && said.err.contains("view `evil`"),
        "{}",
        said.err
    );
    // Its children neither.
    ground.create("came/child", Some("main"));
    let said = ground.dnf("came/child", &["-y", "install", "good"]);
    assert!(said.code == 1 && said.err.contains("node `came`"), "{}", said.err);
}

/// A repository with a signed package, and a node with a package.
fn with_signed(ground: &Ground) -> PathBuf {
    let dir = ground.repo("main");
    let signed = ["theirs", "below"].map(|name| {
        let file = format!("/usr/share/{name}");
        ground.maker.small(&dir, &small(name, &[(&file, "t")]))
    });
    let key = ground.maker.key();
    ground.maker.sign("red-test", &signed);
    ground.maker.index(&dir);
    key
}

fn import(database: PathBuf, key: &PathBuf) {
    run(Command::new("rpmkeys").arg("--dbpath").arg(database).arg("--import").arg(key)).good();
}

const CHECKED: [&str; 4] = ["-y", "--refresh", "--setopt=gpgcheck=1", "install"];

#[test]
fn a_key_that_nobody_agreed_to_does_not_count() {
    let ground = ground();
    let key = with_signed(&ground);
    import(ground.node("node/.red/current/var/lib/rpm"), &key);
    let said = ground.dnf("node", &[&CHECKED[..], &["theirs"]].concat());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("does not count") && said.err.contains("nobody agreed"), "{}", said.err);
    assert!(!ground.node("node/usr/share/theirs").exists());
    // Nor for those below.
    ground.create("node/child", Some("main"));
    let said = ground.dnf("node/child", &[&CHECKED[..], &["below"]].concat());
    assert!(said.code == 1 && said.err.contains("does not count"), "{}", said.err);
    // One that is agreed to does, from then on.
    let repo = ground.node("node/etc/yum.repos.d/main.repo");
    let text = fs::read_to_string(&repo).expect("it is there");
    fs::write(&repo, format!("{}\ngpgkey=file://{}\n", text.trim_end(), key.display())).expect("it is ours");
    let said = ground.dnf("node", &[&CHECKED[..], &["theirs"]].concat()).good();
    assert!(said.err.contains("signs with the key"), "{}", said.err);
    let said = ground.dnf("node", &["-y", "--setopt=gpgcheck=1", "reinstall", "theirs"]).good();
    assert!(!said.err.contains("does not count") && !said.err.contains("signs with"), "{}", said.err);
    let said = ground.dnf("node/child", &[&CHECKED[..], &["below"]].concat()).good();
    assert!(ground.node("node/child/usr/share/below").exists(), "{}", said.err);
    ground.dnf("node/child", &["-y", "remove", "below"]).good();
    // A list goes back with its generation.
    ground.dnf("node", &["-y", "rollback", "1"]).good();
    let said = ground.dnf("node", &[&CHECKED[..], &["other"]].concat());
    assert!(said.code == 1, "{}", said.err);
}

#[test]
fn keys_of_a_node_without_a_list_are_adopted_once() {
    let ground = Ground::of_this_machine(&[]);
    ground.publish("main", &[small("good", &[("/usr/share/good", "g")])]);
    let key = with_signed(&ground);
    ground.create("node", Some("main"));
    let database = ground.node("node/var/lib/rpm");
    fs::create_dir_all(&database).expect("it is ours");
    import(database, &key);
    let said = ground.dnf("node", &[&CHECKED[..], &["theirs"]].concat()).good();
    assert!(said.err.contains("is trusted from now on"), "{}", said.err);
    let about = fs::read_to_string(ground.node("node/.red/current/.generation.json")).expect("it is there");
    assert!(about.contains("\"keys\""), "{about}");
    let said = ground.dnf("node", &["-y", "install", "good"]).good();
    assert!(!said.err.contains("trusted"), "{}", said.err);
    let other = ground.maker.key_of("somebody");
    import(ground.node("node/.red/current/var/lib/rpm"), &other);
    let said = ground.dnf("node", &["-y", "remove", "good"]).good();
    assert!(said.err.contains("does not count"), "{}", said.err);
    ground.dnf("node", &["-y", "--setopt=gpgcheck=1", "reinstall", "theirs"]).good();
    // What says whose signatures count is never guessed.
    fs::write(ground.node("node/.red/current/.generation.json"), "{").expect("it is ours");
    ground.create("node/child", Some("main"));
    let said = ground.dnf("node/child", &["-y", "install", "good"]);
    assert!(said.code == 1 && said.err.contains("not a valid record"), "{}", said.err);
}

#[test]
fn a_directorys_name_is_no_macro() {
    let ground = Ground::of_this_machine(&[]);
    ground.publish("main", &[small("good", &[]), small("other", &[])]);
    let key = with_signed(&ground);
    let node = "odd %(touch mark) %%(touch mark) %{lua:io.open('mark', 'w')}";
    ground.pool.mkdir(format!("nodes/{node}"));
    ground.create(&format!("{node}/n"), Some("main"));
    let path = ground.node(node).join("n");
    let repo = path.join("etc/yum.repos.d/main.repo");
    let text = fs::read_to_string(&repo).expect("it is there");
    fs::write(&repo, format!("{}\ngpgkey=file://{}\n", text.trim_end(), key.display())).expect("it is ours");
    let signed = [&CHECKED[..], &["theirs"]].concat();
    for words in
        [&["-y", "install", "good"][..], &["list"], &signed, &["check"], &["-y", "remove", "good"], &["list"]]
    {
        let mut command = ground.tool("red-dnf");
        command.current_dir(ground.pool.path()).arg("--redpath").arg(&path).args(words);
        run(&mut command).good();
        assert!(!ground.pool.join("mark").exists(), "{words:?}: a directory's name ran a program");
    }
}

/// A scriptlet that writes the header of a key anew, with more in it, beside it or in its place.
fn another_key(more: &str, beside: bool) -> String {
    let write = if beside {
        "number = db.execute('insert into Packages (blob) values (?)', (blob,)).lastrowid\n\
         db.execute(\"insert into Name values ('gpg-pubkey', ?, 0)\", (number,))\n"
    } else {
        "db.execute('update Packages set blob = ? where hnum = ?', (blob, number))\n"
    };
    scriptlet(&format!(
        "import sqlite3, struct\n\
         db = sqlite3.connect('/var/lib/rpm/rpmdb.sqlite', timeout=20, isolation_level=None)\n\
         number, blob = db.execute(\"select p.hnum, blob from Packages p join Name n using (hnum) where key = 'gpg-pubkey'\").fetchone()\n\
         entries, length = struct.unpack('>II', blob[:8])\n\
         index, data = blob[8:8 + entries * 16], blob[8 + entries * 16:]\n\
         for tag, text in {more}:\n\
         \x20   index += struct.pack('>IIII', tag, 6, len(data), 1)\n\
         \x20   data += text + b'\\0'\n\
         \x20   entries += 1\n\
         blob = struct.pack('>II', entries, len(data)) + index + data\n\
         {write}db.close()\n"
    ))
}

#[test]
fn the_header_of_a_key_is_what_it_was() {
    let ground = Ground::of_this_machine(&[]);
    let key = with_signed(&ground);
    let evil = |name, post| Small { post, ..small(name, &[]) };
    let (changed, more, twice) = (
        another_key("[(1023, b'touch /usr/share/harm')]", false),
        another_key("[(1054, b'good')]", true),
        another_key("[]", true),
    );
    ground.publish("main", &[evil("changed", &changed), evil("more", &more), evil("twice", &twice)]);
    ground.create("node", Some("main"));
    let repo = ground.node("node/etc/yum.repos.d/main.repo");
    let text = fs::read_to_string(&repo).expect("it is there");
    fs::write(&repo, format!("{}\ngpgkey=file://{}\n", text.trim_end(), key.display())).expect("it is ours");
    ground.dnf("node", &[&CHECKED[..], &["theirs"]].concat()).good();
    for name in ["changed", "more", "twice"] {
        let said = ground.dnf("node", &["-y", "install", name]);
        assert!(said.code == 1 && said.err.contains("key"), "{name}: {}{}", said.out, said.err);
        assert!(said.err.contains("nothing has changed"), "{name}: {}", said.err);
    }
    ground.dnf("node", &["-y", "--setopt=gpgcheck=1", "install", "below"]).good();
}
