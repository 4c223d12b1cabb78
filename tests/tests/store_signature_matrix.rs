//! Every spelling of every setting of signatures, in every place where dnf.conf(5) and we read one, with packages and
//! metadata that are signed in every way: nothing is installed here that dnf refuses, and where more is refused here than
//! by dnf, the table says why.
//!
//! Each cell is one installation by `red-dnf` into a fresh node and one by dnf into an empty root, with the same files.
//! The gate tries a share of the cells, which `RED_SEED` and `RED_CASES` choose; `RED_SOAK=full` tries all of them, which
//! takes more than an hour. `RED_ROW` (a part of its name) and `RED_COLUMNS` (names with `;` between them) choose some.

#[path = "signatures/columns.rs"]
mod columns;
#[path = "signatures/dnf.rs"]
mod dnf;
#[path = "signatures/rows.rs"]
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::random::{Random, chosen};
use red_tests::signer::Signer;
use red_tests::store::{self, Ground};

use columns::Column;
use dnf::Dnf;
use rows::{Asks, Kind, Row};

/// Cells that the gate tries.
const CASES: u64 = 80;
const SEED: u64 = 20_261_201;

/// Whether an installation succeeds, by what is verified and by how it is signed.
fn passes(asks: Asks, packages: bool, metadata: bool) -> bool {
    match asks {
        Asks::Nothing => true,
        Asks::Packages => packages,
        Asks::Metadata => metadata,
        Asks::Both => packages && metadata,
        Asks::Refuses => false,
    }
}

/// Both tools, and what they work on.
struct Matrix {
    ground: Ground,
    columns: Vec<Column>,
    dnf: Option<Dnf>,
    /// Directory with rpm's configuration that demands signatures.
    policy: PathBuf,
    /// The versions that the table is written for.
    exact: bool,
}

impl Matrix {
    fn new() -> Self {
        let ground = Ground::new();
        let signer = Signer::new(&ground);
        let columns = columns::all(&ground, &signer);
        ground.create("n", None);
        ground.create("n/below", None);
        let policy = ground.pool.join("rpm-policy");
        run(Command::new("cp").args(["-a", "/usr/lib/rpm"]).arg(&policy)).good();
        fs::create_dir_all(policy.join("macros.d")).expect("it is ours");
        fs::write(policy.join("macros.d/macros.policy"), "%_pkgverify_level signature\n")
            .expect("it is ours");
        let dnf = Dnf::start(&ground);
        let exact = store::rpm_version() == (4, 18) && dnf.as_ref().is_none_or(Dnf::is_of_bookworm);
        Self { ground, columns, dnf, policy, exact }
    }

    /// Copies nodes as they were made, with the keys of a column where a row wants them, and writes its files.
    fn prepare(&self, row: &Row, column: &Column) -> String {
        let keys = row.kind == Kind::Local;
        let node = if row.is_below { "n/below" } else { "n" };
        let kept = self.ground.pool.join(if keys { format!("kept-{}", column.dir) } else { "kept".into() });
        let nodes = self.ground.node("n");
        if !kept.exists() {
            if self.ground.pool.join("kept").exists() {
                copy(&self.ground.pool.join("kept"), &nodes);
            } else {
                copy(&nodes, &self.ground.pool.join("kept"));
            }
            if keys {
                let both =
                    format!("{} file://{}", column.key_urls(), self.ground.pool.join("seed.asc").display());
                let text = format!(
                    "[seed]\nname=seed\nbaseurl=file://{}\ngpgcheck=1\ngpgkey={both}\n",
                    self.ground.repo("seed").display()
                );
                self.ground.pool.write("nodes/n/etc/yum.repos.d/seed.repo", text);
                // A key that rpm does not know stays out.
                drop(self.ground.dnf("n", &["-y", "install", "seed"]));
                drop(fs::remove_file(nodes.join("etc/yum.repos.d/seed.repo")));
                copy(&nodes, &kept);
            }
        }
        copy(&kept, &nodes);
        for (path, text) in self.files(row, column) {
            self.ground.pool.write(format!("nodes/{node}/{path}"), text);
        }
        if row.is_demanded {
            let config = self.ground.node("n/etc/redpak.yaml");
            let text = fs::read_to_string(&config).expect("it is there");
            fs::write(&config, text.replace("config:\n", "config:\n  gpgcheck: true\n")).expect("it is ours");
        }
        if let Some(text) = &row.above {
            self.ground.pool.write("nodes/n/etc/dnf/dnf.conf", text);
            let own = self.ground.node("n/below/etc/yum.repos.d/a.repo");
            let above = self.ground.pool.write("nodes/n/etc/yum.repos.d/a.repo", "");
            fs::rename(own, above).expect("it is ours");
        }
        node.to_owned()
    }

    /// The files of a row, below a root.
    fn files(&self, row: &Row, column: &Column) -> Vec<(String, Vec<u8>)> {
        let mut key = column.key_lines();
        // dnf does nothing at all while it knows no key and a repository that demands signatures has none.
        if row.kind == Kind::Local && key.is_empty() {
            key = format!("gpgkey=file://{}\n", self.ground.pool.join("seed.asc").display());
        }
        let dir = self.ground.repo(&column.dir);
        let repo = row.repo.replace("{dir}", &dir.display().to_string()).replace("{key}", &key);
        let conf = if row.conf.is_empty() { "[main]\n".to_owned() } else { row.conf.clone() };
        let mut files = vec![("etc/dnf/dnf.conf".to_owned(), conf.into_bytes())];
        if !repo.is_empty() {
            files.push(("etc/yum.repos.d/a.repo".to_owned(), repo.into_bytes()));
        }
        files.extend(row.files.iter().map(|(path, text)| {
            let text = text.replace("{dir}", &dir.display().to_string()).replace("{key}", &key);
            ((*path).to_owned(), text.into_bytes())
        }));
        files
    }

    /// The words of a row, and what is installed.
    fn words(&self, row: &Row, column: &Column) -> Vec<String> {
        let dir = self.ground.repo(&column.dir).display().to_string();
        let mut words = vec!["-y".to_owned()];
        if row.kind == Kind::FromPath {
            words.extend(["--repofrompath".to_owned(), format!("a,file://{dir}")]);
            words.push(format!("--setopt=a.gpgkey={}", column.key_urls()));
        }
        words.extend(row.args.iter().map(|word| word.replace("{dir}", &dir)));
        words.push("install".into());
        words.push(if row.kind == Kind::Local { format!("{dir}/one-1-1.noarch.rpm") } else { "one".into() });
        words
    }

    /// Whether red-dnf installs, and what it says.
    fn red(&self, row: &Row, column: &Column) -> (bool, Said) {
        let node = self.prepare(row, column);
        let mut words = self.words(row, column);
        if row.above.is_some() {
            words.insert(0, "--ancestor-repos".into());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = if row.kind == Kind::Policy {
            let program = red_tests::call::built("red-dnf");
            let mut command = Command::new("unshare");
            command.args([
                "-m",
                "bash",
                "-c",
                "mount --bind $1 /usr/lib/rpm && exec -a red-dnf \"${@:2}\"",
                "sh",
            ]);
            command.arg(&self.policy).arg(program).arg("--redpath").arg(self.ground.node(&node)).args(words);
            run(command.env("NODE_PREFIX", self.ground.pool.join("prefix")).env("LANG", "C.UTF-8"))
        } else {
            self.ground.dnf(&node, &words)
        };
        let there = self.ground.node(&node).join("usr/share/one").exists();
        assert_eq!(there, said.code == 0, "{} {}: {}", row.what, column.what, said.err);
        (there, said)
    }

    /// Whether dnf installs, and what it says.
    fn of_dnf(&mut self, row: &Row, column: &Column) -> Option<(bool, String)> {
        let files = self.files(row, column);
        let words = self.words(row, column);
        let policy = (row.kind == Kind::Policy).then(|| self.policy.clone());
        let keys = if row.kind == Kind::Local { column.keys.clone() } else { Vec::new() };
        Some(self.dnf.as_mut()?.installs(&files, &keys, &words, policy.as_deref()))
    }

    /// What is wrong with a cell, if anything is.
    fn cell(&mut self, row: &Row, column: &Column) -> Result<(), String> {
        let (red, said) = self.red(row, column);
        let dnf = self.of_dnf(row, column);
        let show = |passes: bool| if passes { "installs" } else { "refuses" };
        let shown = format!("{} × {}", row.what, column.what);
        let mut words = said.err.clone();
        if let Some((_, of_dnf)) = &dnf {
            words = format!("{words}\n--- dnf:\n{of_dnf}");
        }
        if let Some((false, _)) = dnf
            && red
            && row.dnf != Asks::Refuses
        {
            return Err(format!("{shown}: dnf refuses, red-dnf installs\n{words}"));
        }
        if dnf.as_ref().is_some_and(|(dnf, _)| *dnf) && !red && row.why.is_empty() {
            return Err(format!(
                "{shown}: red-dnf refuses, dnf installs, and the table has no reason\n{words}"
            ));
        }
        if !self.exact {
            return Ok(());
        }
        // Whatever is asked for, rpm takes no signature that is a wrong one of a key that it knows.
        let is_bad = row.kind == Kind::Local && column.what == columns::DAMAGED;
        let wanted = passes(row.red, column.accepted.0, column.accepted.1) && !is_bad;
        if red != wanted {
            return Err(format!("{shown}: red-dnf {}, the table says {}\n{words}", show(red), show(wanted)));
        }
        let wanted = passes(row.dnf, column.accepted.0, column.accepted.1) && !is_bad;
        match dnf {
            Some((dnf, _)) if dnf != wanted => {
                Err(format!("{shown}: dnf {}, the table says {}\n{words}", show(dnf), show(wanted)))
            }
            _ => Ok(()),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("it is ours");
    }
    run(Command::new("cp").arg("--archive").arg(from).arg(to)).good();
}

/// The table itself: where red-dnf verifies less than dnf no reason would do, where it verifies more there is one, and
/// there is none for what is the same.
fn is_sound(rows: &[Row]) {
    let of = |asks: Asks| match asks {
        Asks::Nothing => [false; 3],
        Asks::Packages => [true, false, false],
        Asks::Metadata => [false, true, false],
        Asks::Both => [true, true, false],
        Asks::Refuses => [true; 3],
    };
    let mut wrong = Vec::new();
    let mut is_wrong = |what: &str, less: bool, differ: bool, why: &str| {
        if less {
            wrong.push(format!("{what}: less than dnf"));
        }
        if differ == why.is_empty() {
            wrong.push(format!(
                "{what}: {}",
                if differ { "no reason" } else { "a reason that is not needed" }
            ));
        }
    };
    for row in rows {
        let (red, dnf) = (of(row.red), of(row.dnf));
        // What dnf does not do at all it does not verify either.
        let less = row.dnf != Asks::Refuses && (0..3).any(|at| dnf[at] && !red[at]);
        is_wrong(&row.what, less, red != dnf, row.why);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: BTreeSet<&str> = rows.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "rows of the same name");
}

#[test]
fn nothing_passes_that_dnf_refuses() {
    let mut matrix = Matrix::new();
    let rows = rows::all();
    is_sound(&rows);
    let columns = std::mem::take(&mut matrix.columns);
    let mut cells: Vec<(&Row, &Column)> =
        rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))).collect();
    let only = |name: &str| std::env::var(name).unwrap_or_default();
    let (row, some) = (only("RED_ROW"), only("RED_COLUMNS"));
    cells.retain(|(of, _)| of.what.contains(&row));
    cells.retain(|(_, of)| some.is_empty() || some.split(';').any(|name| name == of.what));
    let full = std::env::var("RED_SOAK").is_ok_and(|soak| soak == "full");
    let seed = chosen("RED_SEED", SEED);
    let wanted = if full { u64::MAX } else { chosen("RED_CASES", CASES) };
    let count = usize::try_from(wanted).expect("64 bits").min(cells.len());
    let mut random = Random(seed);
    let mut wrong = Vec::new();
    for _ in 0..count {
        let (row, column) = cells.swap_remove(random.below(cells.len()));
        wrong.extend(matrix.cell(row, column).err());
    }
    assert!(wrong.is_empty(), "{} of {count} cells (seed {seed}):\n{}", wrong.len(), wrong.join("\n\n"));
}
