//! Settings, each spelling in each place.

/// What a tool verifies by a setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asks {
    Nothing,
    Packages,
    Metadata,
    Both,
    /// It does nothing at all.
    Refuses,
}

/// What is installed, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// By name, from a repository of a file.
    Repo,
    /// By name, from `--repofrompath`.
    FromPath,
    /// A file, whose keys are known.
    Local,
    /// By name, where rpm itself is configured to demand signatures.
    Policy,
}

/// Settings, and what they ask for.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) kind: Kind,
    /// `dnf.conf`.
    pub(crate) conf: String,
    /// The file of the repository.
    pub(crate) repo: String,
    /// Other files.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Options of the command.
    pub(crate) args: Vec<String>,
    /// The node is below another one.
    pub(crate) is_below: bool,
    /// That one has `gpgcheck: true`.
    pub(crate) is_demanded: bool,
    /// That one has the repository, and this `dnf.conf`.
    pub(crate) above: Option<String>,
    /// What red-dnf verifies.
    pub(crate) red: Asks,
    /// What dnf verifies.
    pub(crate) dnf: Asks,
    /// Why red-dnf verifies more.
    pub(crate) why: &'static str,
}

const REPO: &str = "[a]\nname=a\nbaseurl=file://{dir}\n{key}";

use Asks::{Both, Metadata, Nothing, Packages, Refuses};

/// Reasons that red-dnf verifies more than dnf.
const INVALID: &str = "dnf ignores an invalid value, red-dnf refuses it";
const UNKNOWN: &str = "dnf 4 does not know this option";
const MISSPELT: &str =
    "dnf ignores an option that it does not know, red-dnf refuses one that is nearly known";
const MAIN: &str = "`[main]` demands for all repositories, whatever one of them says";
const PLACE: &str = "dnf 4 does not read this file";
const FORM: &str = "dnf ignores what it does not understand, red-dnf refuses it";
const ANCESTOR: &str = "dnf knows no ancestors";
const VARIABLE: &str = "red-dnf has variables in texts, and none in switches";
const BLANKS: &str = "dnf refuses such blanks, red-dnf verifies what they are around";
const TWICE: &str = "what either of two files demands is demanded, whichever dnf reads first";
const UNKNOWN_FLAG: &str = "red-dnf has no such flag";
const QUOTED: &str = "dnf takes off quotes in files, red-dnf refuses them";
const LIFTED: &str = "`--nogpgcheck` lifts `gpgcheck` and not `repo_gpgcheck`";

fn row(what: impl Into<String>, red: Asks, dnf: Asks, why: &'static str) -> Row {
    Row {
        what: what.into(),
        kind: Kind::Repo,
        conf: String::new(),
        repo: REPO.into(),
        files: Vec::new(),
        args: Vec::new(),
        is_below: false,
        is_demanded: false,
        above: None,
        red,
        dnf,
        why,
    }
}

impl Row {
    fn conf(mut self, text: impl AsRef<str>) -> Self {
        self.conf = format!("[main]\n{}\n", text.as_ref());
        self
    }

    fn repo(mut self, text: impl AsRef<str>) -> Self {
        self.repo = format!("{REPO}{}\n", text.as_ref());
        self
    }

    fn args(mut self, words: &[&str]) -> Self {
        self.args.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    fn file(mut self, path: &'static str, text: impl Into<String>) -> Self {
        self.files.push((path, text.into()));
        self
    }

    fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        if kind == Kind::FromPath {
            self.repo = String::new();
        }
        self
    }
}

/// A value as it is written after `=`, and whether it is on, off or nothing.
const VALUES: [(&str, Option<bool>); 26] = [
    ("1", Some(true)),
    ("yes", Some(true)),
    ("true", Some(true)),
    ("on", Some(true)),
    ("TRUE", Some(true)),
    ("True", Some(true)),
    ("yEs", Some(true)),
    ("ON", Some(true)),
    ("0", Some(false)),
    ("no", Some(false)),
    ("false", Some(false)),
    ("off", Some(false)),
    ("False", Some(false)),
    ("NO", Some(false)),
    ("\"1\"", None),
    ("'true'", None),
    ("2", None),
    ("-1", None),
    ("01", None),
    ("y", None),
    ("enabled", None),
    ("None", None),
    ("1 # on", None),
    ("1;", None),
    ("1,0", None),
    ("$on", None),
];

fn is_quoted(value: &str) -> bool {
    value.starts_with(['"', '\''])
}

/// Every value of an option in every place; `on` is what it asks for.
fn values(rows: &mut Vec<Row>, option: &str, on: Asks) {
    for (value, means) in VALUES {
        let (red, why) = match means {
            Some(true) => (on, ""),
            Some(false) => (Nothing, ""),
            None => (Refuses, INVALID),
        };
        let dnf = if means == Some(true) { on } else { Nothing };
        let text = format!("{option}={value}");
        let (in_file, why_file) = if is_quoted(value) { (on, QUOTED) } else { (dnf, why) };
        rows.push(row(format!("dnf.conf `{text}`"), red, in_file, why_file).conf(&text));
        rows.push(row(format!(".repo `{text}`"), red, in_file, why_file).repo(&text));
        // On the command line dnf refuses what is invalid.
        let (dnf, why) = if means.is_none() { (Refuses, "") } else { (dnf, "") };
        for place in [String::new(), "a.".into(), "*.".into()] {
            let word = format!("--setopt={place}{text}");
            rows.push(row(format!("`{word}`"), red, dnf, why).args(&[&word]));
        }
        for place in ["", "a."] {
            let word = format!("--setopt={place}{text}");
            rows.push(
                row(format!("--repofrompath `{word}`"), red, dnf, why).of(Kind::FromPath).args(&[&word]),
            );
        }
    }
}

/// Ways to write one line.
fn forms(rows: &mut Vec<Row>, option: &str, on: Asks) {
    let upper = option.to_uppercase();
    for (text, red, dnf, why) in [
        (format!("{option} = 1"), on, on, ""),
        (format!("{option}=  yes\t "), on, on, ""),
        (format!("{option}\t=\t1"), on, on, ""),
        (format!("{option}=1\r"), on, on, ""),
        (format!("{option}="), Refuses, Nothing, INVALID),
        (format!("{upper}=1"), Refuses, Nothing, MISSPELT),
        (format!("{option}s=1"), Refuses, Nothing, MISSPELT),
        (format!("{option}:1"), Refuses, Refuses, ""),
        (option.to_owned(), Refuses, Refuses, ""),
        (format!("{option}=1\n{option}=0"), Nothing, Nothing, ""),
        (format!("{option}=0\n{option}=1"), on, on, ""),
        (format!("{option}=0\n 1"), Refuses, Nothing, INVALID),
        (format!("#{option}=1"), Nothing, Nothing, ""),
        (format!("; {option}=1"), Nothing, Nothing, ""),
    ] {
        let shown = text.escape_debug().to_string();
        rows.push(row(format!("dnf.conf `{shown}`"), red, dnf, why).conf(&text));
        rows.push(row(format!(".repo `{shown}`"), red, dnf, why).repo(&text));
    }
    let text = format!("{option}=$on");
    rows.push(
        row(format!("dnf.conf `{text}`, a variable"), Refuses, Nothing, VARIABLE)
            .conf(&text)
            .file("etc/dnf/vars/on", "1\n"),
    );
    rows.push(
        row(format!(".repo `{text}`, a variable"), Refuses, on, VARIABLE)
            .repo(&text)
            .file("etc/dnf/vars/on", "1\n"),
    );
    // Sections.
    for (text, red, dnf, why) in [
        (format!("[Main]\n{option}=1\n"), Refuses, Refuses, ""),
        (format!("[ main ]\n{option}=1\n"), on, Nothing, FORM),
        (format!("\u{feff}[main]\n{option}=1\n"), on, on, ""),
        (format!("[main]\n[main]\n{option}=1\n"), on, on, ""),
        (format!("[main]\n{option}=1\n[main]\n"), on, on, ""),
        (format!("[main]\n{option}=0\n[main]\n{option}=1\n"), on, on, ""),
        (format!("[main] # settings\n{option}=1\n"), on, on, ""),
        (format!("{option}=1\n[main]\n"), Refuses, Refuses, ""),
        (format!("[main]\nkeepcache=0\n {option}=1\n"), Refuses, Nothing, FORM),
        (format!("[main]\n {option}=1\n"), on, Refuses, BLANKS),
        (format!("[main]\r\n{option}=1\r\n"), on, on, ""),
        (format!("[a]\n{option}=1\n"), Refuses, Refuses, ""),
    ] {
        let mut added = row(format!("dnf.conf `{}`", text.escape_debug()), red, dnf, why);
        added.conf = text;
        rows.push(added);
    }
    // dnf 4 leaves `.repo` out of the order of files, dnf5 does not.
    for other in ["etc/yum.repos.d/b.repo", "etc/yum.repos.d/a-b.repo"] {
        for (first, second, dnf, why) in [("1", "0", on, ""), ("0", "1", Nothing, TWICE)] {
            let what =
                format!("repository in `a.repo` with `{option}={first}`, in `{other}` with `{second}`");
            let text = |value| format!("{REPO}{option}={value}\n");
            rows.push(row(what, on, dnf, why).repo(format!("{option}={first}")).file(other, text(second)));
        }
    }
    for (what, text, red, dnf, why) in [
        ("in two sections", format!("{REPO}{option}=0\n[a]\n{option}=1\n"), on, on, ""),
        (
            "with a comment behind its section",
            format!("[a] # x\nname=a\nbaseurl=file://{{dir}}\n{{key}}{option}=1\n"),
            on,
            on,
            "",
        ),
        (
            "with blanks in its section",
            format!("[ a ]\nname=a\nbaseurl=file://{{dir}}\n{{key}}{option}=1\n"),
            on,
            Refuses,
            BLANKS,
        ),
        ("beside `[main]`", format!("{REPO}[main]\n{option}=1\n"), Refuses, Nothing, FORM),
    ] {
        let mut added = row(format!("repository {what}, `{option}`"), red, dnf, why);
        added.repo = text;
        rows.push(added);
    }
}

/// Two places at once.
fn pairs(rows: &mut Vec<Row>, option: &str, on: Asks) {
    let (yes, no) = (format!("{option}=1"), format!("{option}=0"));
    let (all_yes, all_no) = (format!("--setopt={yes}"), format!("--setopt={no}"));
    let (one_yes, one_no) = (format!("--setopt=a.{yes}"), format!("--setopt=a.{no}"));
    rows.extend([
        row(format!("dnf.conf `{yes}`, .repo `{no}`"), on, Nothing, MAIN).conf(&yes).repo(&no),
        row(format!("dnf.conf `{no}`, .repo `{yes}`"), on, on, "").conf(&no).repo(&yes),
        row(format!("dnf.conf `{yes}`, `{all_no}`"), Nothing, Nothing, "").conf(&yes).args(&[&all_no]),
        row(format!("dnf.conf `{yes}`, `{one_no}`"), on, Nothing, MAIN).conf(&yes).args(&[&one_no]),
        row(format!("dnf.conf `{no}`, `{all_yes}`"), on, on, "").conf(&no).args(&[&all_yes]),
        row(format!("dnf.conf `{no}`, `{one_yes}`"), on, on, "").conf(&no).args(&[&one_yes]),
        row(format!(".repo `{yes}`, `{all_no}`"), on, on, "").repo(&yes).args(&[&all_no]),
        row(format!(".repo `{yes}`, `{one_no}`"), Nothing, Nothing, "").repo(&yes).args(&[&one_no]),
        row(format!(".repo `{no}`, `{all_yes}`"), on, Nothing, MAIN).repo(&no).args(&[&all_yes]),
        row(format!(".repo `{no}`, `{one_yes}`"), on, on, "").repo(&no).args(&[&one_yes]),
        row(format!("`{all_yes} {all_no}`"), Nothing, Nothing, "").args(&[&all_yes, &all_no]),
        row(format!("`{all_no} {all_yes}`"), on, on, "").args(&[&all_no, &all_yes]),
        row(format!("`{one_yes} {one_no}`"), Nothing, Nothing, "").args(&[&one_yes, &one_no]),
        row(format!("`{one_yes} --setopt=*.{no}`"), Nothing, Nothing, "")
            .args(&[&one_yes, &format!("--setopt=*.{no}")]),
        row(format!("`--setopt {yes}`"), on, on, "").args(&["--setopt", &yes]),
        row(format!("`--setopt {yes} `"), on, Refuses, BLANKS).args(&["--setopt", &format!("{yes} ")]),
        row(format!("`--setopt {option} =1`"), on, Nothing, FORM)
            .args(&["--setopt", &format!("{option} =1")]),
        row(format!("`{all_yes}=0`"), Refuses, Nothing, FORM).args(&[&format!("{all_yes}=0")]),
        row(format!("`--setopt=b.{yes}`"), Refuses, Nothing, FORM).args(&[&format!("--setopt=b.{yes}")]),
        row(format!("`--setopt=main.{yes}`"), Refuses, Nothing, FORM)
            .args(&[&format!("--setopt=main.{yes}")]),
        row(format!("`--setopt={option}`"), Refuses, Nothing, FORM).args(&[&format!("--setopt={option}")]),
        row(
            format!("dnf.conf `{yes}`, --nogpgcheck"),
            if on == Packages { Nothing } else { on },
            Nothing,
            if on == Packages { "" } else { LIFTED },
        )
        .conf(&yes)
        .args(&["--nogpgcheck"]),
        row(
            format!(".repo `{yes}`, --nogpgcheck"),
            if on == Packages { Nothing } else { on },
            Nothing,
            if on == Packages { "" } else { LIFTED },
        )
        .repo(&yes)
        .args(&["--nogpgcheck"]),
        row(format!("--repofrompath, dnf.conf `{yes}`"), on, on, "").of(Kind::FromPath).conf(&yes),
        row(format!("--repofrompath, dnf.conf `{no}`"), Nothing, Nothing, "").of(Kind::FromPath).conf(&no),
    ]);
    // Files that dnf5 has and dnf 4 has not.
    for (path, section) in [
        ("etc/dnf/libdnf5.conf.d/20-site.conf", "[main]"),
        ("usr/share/dnf5/libdnf.conf.d/20-site.conf", "[main]"),
        ("etc/dnf/repos.override.d/99-config_manager.repo", "[a]"),
        ("etc/dnf/repos.override.d/99-config_manager.repo", "[*]"),
        ("usr/share/dnf5/repos.override.d/20-site.repo", "[a]"),
    ] {
        let text = format!("{section}\n{yes}\n");
        rows.push(row(format!("{path} `{section} {yes}`"), on, Nothing, PLACE).file(path, text));
    }
    // Ancestors with the repository.
    let mut added = row(format!("ancestor's dnf.conf `{yes}`"), on, Nothing, ANCESTOR);
    (added.is_below, added.above) = (true, Some(format!("[main]\n{yes}\n")));
    rows.push(added);
    let mut added =
        row(format!("ancestor's dnf.conf `{yes}`, `{one_no}`"), on, Nothing, ANCESTOR).args(&[&one_no]);
    (added.is_below, added.above) = (true, Some(format!("[main]\n{yes}\n")));
    rows.push(added);
    let mut added = row(format!("ancestor's dnf.conf `{yes}`, --nogpgcheck"), on, Nothing, ANCESTOR)
        .args(&["--nogpgcheck"]);
    (added.is_below, added.above) = (true, Some(format!("[main]\n{yes}\n")));
    rows.push(added);
}

/// All of them.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = vec![row("nothing", Nothing, Nothing, "")];
    for (option, on) in [("gpgcheck", Packages), ("repo_gpgcheck", Metadata)] {
        values(&mut rows, option, on);
        forms(&mut rows, option, on);
        pairs(&mut rows, option, on);
    }
    // Both.
    rows.push(
        row("dnf.conf `gpgcheck=1 repo_gpgcheck=1`", Both, Both, "").conf("gpgcheck=1\nrepo_gpgcheck=1"),
    );
    rows.push(row(".repo `gpgcheck=1 repo_gpgcheck=1`", Both, Both, "").repo("gpgcheck=1\nrepo_gpgcheck=1"));
    for (text, red, dnf, why) in [
        ("repo_gpgcheck=1\nskip_if_unavailable=1", Metadata, Metadata, ""),
        ("gpgcheck=1\nskip_if_unavailable=1", Packages, Packages, ""),
        ("gpgcheck=1\ntsflags=nocrypto", Refuses, Packages, UNKNOWN_FLAG),
        ("gpgcheck=1\nrepo_gpgcheck=0", Packages, Packages, ""),
    ] {
        let shown = text.replace('\n', " ");
        rows.push(row(format!("dnf.conf `{shown}`"), red, dnf, why).conf(text));
    }
    // Names of dnf5.
    for (text, asks) in [
        ("pkg_gpgcheck=1", Packages),
        ("pkg_gpgcheck=TRUE", Packages),
        ("pkg_gpgcheck=0", Nothing),
        ("pkg_gpgcheck=maybe", Refuses),
    ] {
        let why = if asks == Nothing { "" } else { UNKNOWN };
        rows.push(row(format!("dnf.conf `{text}`"), asks, Nothing, why).conf(text));
        rows.push(row(format!(".repo `{text}`"), asks, Nothing, why).repo(text));
        for place in ["", "a."] {
            let word = format!("--setopt={place}{text}");
            rows.push(row(format!("`{word}`"), asks, Nothing, why).args(&[&word]));
        }
    }
    for (policy, asks) in [("legacy", Packages), ("full", Both), ("all", Both), ("fulll", Refuses)] {
        let why = if asks == Packages { "" } else { UNKNOWN };
        let text = format!("gpgcheck=1\ngpgcheck_policy={policy}");
        rows.push(
            row(format!("dnf.conf `gpgcheck=1 gpgcheck_policy={policy}`"), asks, Packages, why).conf(&text),
        );
    }
    // Files of packages.
    for (value, means) in VALUES {
        let text = format!("localpkg_gpgcheck={value}");
        let (red, why) = match means {
            Some(true) => (Packages, ""),
            Some(false) => (Nothing, ""),
            None => (Refuses, INVALID),
        };
        let dnf = if means == Some(true) { Packages } else { Nothing };
        let (in_file, why_file) = if is_quoted(value) { (Packages, QUOTED) } else { (dnf, why) };
        rows.push(
            row(format!("file, dnf.conf `{text}`"), red, in_file, why_file).of(Kind::Local).conf(&text),
        );
        let word = format!("--setopt={text}");
        let (dnf, why) = if means.is_none() { (Refuses, "") } else { (dnf, "") };
        rows.push(row(format!("file, `{word}`"), red, dnf, why).of(Kind::Local).args(&[&word]));
    }
    let local = "localpkg_gpgcheck=1";
    rows.extend([
        row("file, nothing", Nothing, Nothing, "").of(Kind::Local),
        row("file, dnf.conf `gpgcheck=1`", Nothing, Nothing, "").of(Kind::Local).conf("gpgcheck=1"),
        row("file, --nogpgcheck", Nothing, Nothing, "").of(Kind::Local).conf(local).args(&["--nogpgcheck"]),
        row("file, dnf.conf `localpkg_gpgcheck=1`, off by --setopt", Nothing, Nothing, "")
            .of(Kind::Local)
            .conf(local)
            .args(&["--setopt=localpkg_gpgcheck=0"]),
        row("file, `gpgcheck=1 gpgcheck_policy=all`", Packages, Nothing, UNKNOWN)
            .of(Kind::Local)
            .conf("gpgcheck=1\ngpgcheck_policy=all"),
        row("localpkg_gpgcheck in .repo", Nothing, Nothing, "").repo(local),
        row("localpkg_gpgcheck of a repository", Refuses, Nothing, FORM)
            .args(&["--setopt=a.localpkg_gpgcheck=1"]),
    ]);
    // Ancestors that demand.
    for (what, args) in [
        ("", &[][..]),
        (", `--setopt=gpgcheck=0`", &["--setopt=gpgcheck=0"]),
        (", `--setopt=a.gpgcheck=0`", &["--setopt=a.gpgcheck=0"]),
    ] {
        let mut added =
            row(format!("ancestor's `gpgcheck: true`{what}"), Packages, Nothing, ANCESTOR).args(args);
        (added.is_below, added.is_demanded) = (true, true);
        rows.push(added);
    }
    let mut added =
        row("ancestor's `gpgcheck: true`, --nogpgcheck", Refuses, Nothing, ANCESTOR).args(&["--nogpgcheck"]);
    (added.is_below, added.is_demanded) = (true, true);
    rows.push(added);
    let mut added = row("ancestor's `gpgcheck: true`, file", Packages, Nothing, ANCESTOR).of(Kind::Local);
    (added.is_below, added.is_demanded) = (true, true);
    rows.push(added);
    // What rpm of this machine demands.
    for (what, args) in [
        ("", &[][..]),
        (", `--setopt=gpgcheck=0`", &["--setopt=gpgcheck=0"]),
        (", `--setopt=a.gpgcheck=0`", &["--setopt=a.gpgcheck=0"]),
        (", --nogpgcheck", &["--nogpgcheck"]),
    ] {
        rows.push(
            row(format!("rpm's %_pkgverify_level{what}"), Packages, Packages, "").of(Kind::Policy).args(args),
        );
    }
    rows
}
