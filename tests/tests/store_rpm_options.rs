//! Every option of rpm, of 4.18 and of 6.1, in every spelling, before and after every verb: asked of rpm, done by a
//! transaction of the node, or refused with words on what does it, and never anything on the host.
//!
//! `rpm-options.txt` has all of them, also those that rpm does not tell of; what the rpm of this machine has and the list
//! has not fails. The gate runs a share of the spellings, which `RED_SEED` and `RED_CASES` choose; `RED_SOAK=full` runs all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use red_tests::call::{Said, run};
use red_tests::packages::Small;
use red_tests::random::{Random, chosen};
use red_tests::store::{Ground, Served, fingerprint};

/// Spellings that the gate runs.
const CASES: u64 = 500;
const SEED: u64 = 20_261_201;

/// Options and what becomes of them: letters of the verbs that they go with (`Q` query, `V` verification, `K` signatures,
/// `C` transaction), `verb`, `alone`, or `refused`. `=` stands behind those that have an argument here.
const OPTIONS: &str = include_str!("../src/rpm-options.txt");

/// Verbs, the letter of their options, and what follows.
const VERBS: [(&str, char); 6] = [("-q", 'Q'), ("-V", 'V'), ("-K", 'K'), ("-U", 'C'), ("-e", 'C'), ("", ' ')];

/// The list.
fn listed() -> BTreeMap<&'static str, &'static str> {
    let lines = OPTIONS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("an option and a class")).collect()
}

/// Words that begin with a dash, as far as they are options.
fn options_in(text: &str) -> BTreeSet<String> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '?';
    let words = text.split(ends).map(|word| word.trim_end_matches('-'));
    let is_long = |word: &str| {
        word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    words.filter(|word| is_long(word)).map(str::to_owned).collect()
}

/// Options of the rpm of this machine: its help, its page of the manual, its aliases.
fn of_this_rpm() -> BTreeSet<String> {
    let help = run(Command::new("rpm").arg("--help").env("LANG", "C.UTF-8")).good().out;
    let mut found = options_in(&help);
    let letters = help.lines().filter_map(|line| line.trim_start().strip_prefix('-')?.split_once(','));
    found.extend(letters.filter(|(letter, _)| letter.len() == 1).map(|(letter, _)| format!("-{letter}")));
    assert!(found.len() > 80, "{found:?}");
    // Pages of the manual are not everywhere.
    let page = run(Command::new("zcat").arg("/usr/share/man/man8/rpm.8.gz")).out.replace("\\-", "-");
    found.extend(options_in(
        &["\\fB", "\\fI", "\\fR"].iter().fold(page, |page, font| page.replace(font, " ")),
    ));
    for file in fs::read_dir("/usr/lib/rpm").into_iter().flatten().flatten() {
        if file.file_name().to_string_lossy().starts_with("rpmpopt") {
            let text = fs::read_to_string(file.path()).expect("a text");
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let aliases = lines.filter(|words| matches!(words.as_slice(), ["rpm", "alias" | "exec", ..]));
            found.extend(aliases.map(|words| words[2].to_owned()));
        }
    }
    found
}

#[test]
fn every_option_of_rpm_has_a_class() {
    assert_eq!(options_in("[--test], --all=x ---- a--b -v\n --qf").len(), 3);
    let (listed, own) = (listed(), of_this_rpm());
    assert!(listed.len() > 190);
    let without: Vec<&String> = own.iter().filter(|option| !listed.contains_key(option.as_str())).collect();
    assert!(without.is_empty(), "options of rpm that the list has not: {without:?}");
}

/// What of the host could be changed.
struct Host {
    /// A directory with what the package of the node has too.
    files: PathBuf,
    /// A home with a database where rpm of the host believes the package to be installed.
    home: PathBuf,
    /// Where the command stands.
    cwd: PathBuf,
    /// The database of rpm, and its configuration.
    others: Vec<PathBuf>,
}

impl Host {
    fn new(ground: &Ground, package: &Path, files: PathBuf) -> Self {
        let (home, cwd) = (ground.pool.mkdir("home"), ground.pool.mkdir("cwd %(id>ran)"));
        fs::write(cwd.join("zz"), "a file named as the package is").expect("it is ours");
        let eval = |home: Option<&Path>| {
            let mut eval = Command::new("rpm");
            eval.args(["--eval", "%_dbpath"]).envs(home.map(|home| ("HOME", home)));
            PathBuf::from(run(&mut eval).good().out.trim())
        };
        let others = vec![eval(None), "/var/lib/rpm".into(), "/etc/rpm".into(), "/etc/pki".into()];
        // Debian's rpm has its database in the home directory.
        if eval(Some(&home)).starts_with(&home) {
            let mut install = Command::new("rpm");
            install.env("HOME", &home).args(["-i", "--justdb", "--nodeps"]).arg(package);
            run(&mut install).good();
        }
        Self { files, home, cwd, others }
    }

    fn state(&self) -> Vec<Vec<String>> {
        let all = [&self.files, &self.home, &self.cwd].into_iter().chain(&self.others);
        // What readers share changes when somebody reads.
        all.map(|dir| {
            let mut lines = fingerprint(dir);
            lines.retain(|line| !line.split(' ').next().is_some_and(|path| path.ends_with("-shm")));
            lines
        })
        .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.files));
    }
}

/// A command line, and whether its option is accepted; `None` where only the host matters.
struct Spelling {
    words: Vec<String>,
    verb: char,
    accepted: Option<bool>,
}

/// Every spelling of an option with every verb.
fn spellings(option: &str, class: &str, package: &str, values: &[String]) -> Vec<Spelling> {
    let mut all = Vec::new();
    let (class, has_argument) = (class.trim_end_matches('='), class.ends_with('='));
    for (verb, letter) in VERBS {
        let name = if matches!(verb, "-K" | "-U") { package } else { "zz" };
        let mut add = |words: &[&str], accepted| {
            let words = words.iter().filter(|word| !word.is_empty()).map(|word| (*word).to_owned()).collect();
            all.push(Spelling { words, verb: letter, accepted });
        };
        // Whether it goes with the verb; a verb beside another one does only when it is the same.
        let goes = match class {
            "verb" | "alone" => None,
            _ => Some(class.contains(letter)),
        };
        let known = goes.filter(|_| !verb.is_empty());
        // A package that is there is replaced.
        let again = if verb == "-U" { "--replacepkgs" } else { "" };
        if has_argument {
            add(&[verb, option, "%{NAME}", name], known);
            add(&[&format!("{option}=%{{NAME}}"), verb, name], known);
        } else {
            add(&[verb, again, option, name], known);
            add(&[option, verb, again, name], known);
            add(&[verb, again, name, option], known);
            if goes.is_some() && option.starts_with("--") {
                add(&[verb, &format!("{option}=x"), name], Some(false));
            }
        }
        for value in values {
            add(&[verb, &format!("{option}={value}"), name], None);
            add(&[option, value, verb, name], None);
            add(&[verb, name, option, value], None);
        }
        if let (Some(short), Some(of_verb)) = (option.strip_prefix('-'), verb.strip_prefix('-'))
            && short.len() == 1
        {
            add(&[&format!("-{of_verb}{short}"), again, name], known);
            add(&[&format!("-{short}{of_verb}"), again, name], known);
            add(&[&format!("-v{short}{of_verb}h"), name], None);
            add(&[&format!("-{of_verb}{short}={}", values[0]), name], None);
            add(&[&format!("-{of_verb}{short}{}", values[0]), name], None);
        } else if let Some(long) = option.strip_prefix("--") {
            add(&[verb, &format!("-{long}"), name], None);
            add(&[verb, &option[..option.len() - 1], name], None);
        }
    }
    all
}

#[test]
fn no_spelling_of_rpms_options_changes_the_host() {
    let ground = Ground::new();
    let files = PathBuf::from(format!("/opt/red-test-options-{}", std::process::id()));
    fs::create_dir_all(&files).expect("root may write there");
    let shown = files.join("f").to_string_lossy().into_owned();
    let small = Small { name: "zz", version: "1", files: &[(&shown, "the node's")], ..Small::default() };
    ground.publish("a", &[small]);
    let package = ground.repo("a").join("zz-1-1.noarch.rpm");
    let host = Host::new(&ground, &package, files.clone());
    let package = package.to_string_lossy().into_owned();
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "zz"]).good();
    fs::write(files.join("f"), "the host's").expect("it is ours");
    let mark = ground.pool.join("mark");
    // Without a blank, which ends a word in files of macros and lists of packages.
    let program = format!("id>{}", mark.display());
    let lists = ["macros", "list"].map(|name| ground.pool.join(name).to_string_lossy().into_owned());
    let [macros, list] = &lists;
    fs::write(macros, format!("%red %({program})\n%_query_all_fmt %({program})\n")).expect("it is ours");
    fs::write(list, format!("%({program})\n")).expect("it is ours");
    let mut values = vec![format!("x %({program})"), format!("%({program})"), program, "/".into()];
    values.extend(lists);
    let ask = |words: &[String]| {
        let mut tool = ground.tool("red-rpm");
        tool.env("HOME", &host.home).current_dir(&host.cwd);
        run(tool.arg("--redpath").arg(ground.node("n")).args(words))
    };
    let mut all: Vec<Spelling> = listed()
        .into_iter()
        .flat_map(|(option, class)| spellings(option, class, &package, &values))
        .collect();
    let full = std::env::var("RED_SOAK").is_ok_and(|soak| soak == "full");
    let (seed, total) = (chosen("RED_SEED", SEED), all.len());
    let count =
        if full { total } else { usize::try_from(chosen("RED_CASES", CASES)).expect("small").min(total) };
    let (before, mut random, mut wrong) = (host.state(), Random(seed), Vec::new());
    let node = || fingerprint(&ground.node("n").join(".red"));
    let mut of_node = node();
    for _ in 0..count {
        let Spelling { words, verb, accepted } = all.swap_remove(random.below(all.len()));
        let shown = words.join(" ");
        let said = ask(&words);
        assert!(host.state() == before, "{shown}: the host is another: {} {}", said.out, said.err);
        assert!(!mark.exists(), "{shown}: ran a program: {} {}", said.out, said.err);
        wrong.extend(judge(&said, verb, accepted).map(|why| format!("{shown}: {why}: {}", said.err)));
        let now = node();
        if now != of_node {
            if verb == 'C' || verb == ' ' {
                // It was a transaction, which may have erased it.
                if ground.rpm_says("n").is_empty() {
                    ground.rpm("n", &["-U", &package]).good();
                }
                of_node = node();
            } else {
                wrong.push(format!("{shown}: the node is another"));
                of_node = now;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} (seed {seed}):\n{}", wrong.len(), wrong.join("\n"));
    is_seen(&host, &before);
}

/// rpm expands macros in names of files, of the directory it stands in, and in lists of packages.
#[test]
fn names_run_no_programs() {
    let ground = Ground::new();
    let named = Small { name: "zz", version: "1", ..Small::default() };
    ground.publish("a", &[named]);
    ground.create("n", Some("a"));
    ground.dnf("n", &["-y", "install", "zz"]).good();
    let cwd = ground.pool.mkdir("cwd %(id>ran)");
    fs::copy(ground.repo("a").join("zz-1-1.noarch.rpm"), cwd.join("%(id>ran).rpm")).expect("it is ours");
    fs::write(cwd.join("list"), "%(id>ran)\n").expect("it is ours");
    let url = format!("http://127.0.0.1:1/x --output {}/ran", ground.pool.path().display());
    fs::copy(ground.repo("a").join("zz-1-1.noarch.rpm"), cwd.join("it's \\here.rpm")).expect("it is ours");
    // rpm's own way with quotes, and a server that answers: what is fetched is written where an option says.
    let served = Served::start(&ground.pool.join("repos"));
    let fetched = format!("{}/a/zz-1-1.noarch.rpm", served.url);
    let twice = format!("{fetched} {fetched} -o{}/ran", ground.pool.path().display());
    let quoted = [format!("'{twice}'"), format!("\"{twice}\""), format!("\\{}", twice.replace(' ', "\\ "))];
    let before = fingerprint(&cwd);
    for (words, code, wanted) in [
        (&["-qp", "%(id>ran).rpm"][..], 0, "zz-1-1.noarch"),
        (&["-qp", "%(id>ran)"], 1, ""),
        // Files of the host are not where the node is verified.
        (&["-Vp", "%(id>ran).rpm"], 1, ""),
        (&["-K", "%(id>ran).rpm"], 0, "digests OK"),
        (&["-qp", "list"], 1, ""),
        (&["-Vp", "list"], 1, ""),
        (&["-qf", "x"], 1, ""),
        (&["-q", "--path", "x"], 1, ""),
        (&["-qp", &url], 1, ""),
        (&["-K", &url], 1, ""),
        (&["-qp", "file:///%(id>ran)"], 1, ""),
        (&["-qp", &quoted[0]], 1, ""),
        (&["-qp", &quoted[1]], 1, ""),
        (&["-qp", &quoted[2]], 1, ""),
        (&["-Vp", &quoted[0]], 1, ""),
        (&["-K", &quoted[0]], 1, ""),
        (&["-K", &quoted[2]], 1, ""),
        (&["-qp", "it's \\here.rpm"], 0, "zz-1-1.noarch"),
        (&["-qp", &fetched], 0, "zz-1-1.noarch"),
    ] {
        let mut tool = ground.tool("red-rpm");
        let said = run(tool.current_dir(&cwd).arg("--redpath").arg(ground.node("n")).args(words));
        assert!(!ground.pool.join("ran").exists() && fingerprint(&cwd) == before, "{words:?} ran a program");
        assert_eq!(said.code == 0, code == 0, "{words:?}: {} {}", said.out, said.err);
        assert!(said.out.contains(wanted), "{words:?}: {} {}", said.out, said.err);
    }
}

/// What is wrong with an answer, if anything is.
fn judge(said: &Said, verb: char, accepted: Option<bool>) -> Option<&'static str> {
    let refused = said.err.lines().any(|line| line.starts_with("red-rpm: "));
    match accepted {
        Some(true) if verb == 'C' => (said.code != 0).then_some("the transaction failed"),
        Some(true) => refused.then_some("is refused, the list says that it is asked of rpm"),
        Some(false) if !refused || said.code == 0 => Some("is accepted, the list says that it is refused"),
        Some(false) => said.err.contains("unsupported option").then_some("is refused without a word on why"),
        None => None,
    }
}

/// The host would look different if rpm itself had done it.
fn is_seen(host: &Host, before: &[Vec<String>]) {
    if !host.home.join(".rpmdb").exists() {
        return;
    }
    run(Command::new("rpm").env("HOME", &host.home).args(["-e", "zz"])).good();
    let after = host.state();
    assert!(after[0] != before[0] && after[1] != before[1], "a file that rpm erases is not seen");
}
