//! The rpm options that `red-rpm` accepts. rpm has more, and most of what it has changes the host: every
//! word is parsed here, and rpm is only ever given the options of this table, spelled in one way.

mod names;
mod refusal;

use std::collections::BTreeSet;
use std::path::Path;

pub(super) use refusal::WordsError;
use refusal::refuse;

/// A verb that changes packages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Install,
    Upgrade,
    Freshen,
    Erase,
}

/// What rpm is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Query,
    Verify,
    CheckSignatures,
    /// About rpm itself: `--version`, `--querytags`.
    About,
    Change(Change),
}

/// A parsed command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Words {
    pub(super) mode: Mode,
    /// Options without the mode, in the spelling of [`OPTIONS`], each with its argument.
    options: Vec<(&'static str, Option<String>)>,
    /// Packages, files, capabilities.
    pub(super) names: Vec<String>,
}

const Q: u8 = 1;
const V: u8 = 2;
const K: u8 = 4;
/// With a verb that changes packages.
const C: u8 = 8;

/// An option: its long name, its letter, the modes it goes with, whether it has an argument.
struct Known {
    long: &'static str,
    short: Option<char>,
    modes: u8,
    argument: bool,
}

const fn flag(long: &'static str, modes: u8) -> Known {
    Known { long, short: None, modes, argument: false }
}

const fn letter(long: &'static str, short: char, modes: u8) -> Known {
    Known { long, short: Some(short), modes, argument: false }
}

/// rpm(8): what looks and changes nothing, and what our own transactions know.
const OPTIONS: &[Known] = &[
    // Which packages.
    letter("all", 'a', Q | V),
    letter("file", 'f', Q | V),
    flag("path", Q | V),
    letter("group", 'g', Q | V),
    letter("package", 'p', Q | V),
    flag("pkgid", Q | V),
    flag("hdrid", Q | V),
    flag("tid", Q | V),
    flag("querybynumber", Q | V),
    flag("triggeredby", Q | V),
    flag("whatconflicts", Q | V),
    flag("whatrequires", Q | V),
    flag("whatobsoletes", Q | V),
    flag("whatprovides", Q | V),
    flag("whatrecommends", Q | V),
    flag("whatsuggests", Q | V),
    flag("whatsupplements", Q | V),
    flag("whatenhances", Q | V),
    flag("nomanifest", Q | V),
    // Which files.
    letter("configfiles", 'c', Q | V),
    letter("docfiles", 'd', Q | V),
    letter("licensefiles", 'L', Q | V),
    letter("artifactfiles", 'A', Q | V),
    flag("noghost", Q | V),
    flag("noconfig", Q | V),
    flag("noartifact", Q | V),
    // What to print.
    flag("dump", Q),
    letter("list", 'l', Q),
    letter("state", 's', Q),
    Known { long: "queryformat", short: None, modes: Q, argument: true },
    flag("info", Q),
    flag("changelog", Q),
    flag("changes", Q),
    flag("conflicts", Q),
    flag("enhances", Q),
    flag("dupes", Q),
    flag("filesbypkg", Q),
    flag("fileclass", Q),
    flag("filemime", Q),
    flag("filecolor", Q),
    flag("fileprovide", Q),
    flag("filerequire", Q),
    flag("filecaps", Q),
    flag("filetriggers", Q),
    flag("filetriggerscripts", Q),
    flag("last", Q),
    flag("obsoletes", Q),
    letter("provides", 'P', Q),
    flag("recommends", Q),
    letter("requires", 'R', Q),
    flag("scripts", Q),
    flag("suggests", Q),
    flag("supplements", Q),
    flag("triggers", Q),
    flag("triggerscripts", Q),
    flag("xml", Q),
    flag("json", Q),
    // What to verify.
    flag("nodeps", V),
    flag("nofiles", V),
    flag("nofiledigest", V),
    flag("nomd5", V),
    flag("nolinkto", V),
    flag("nosize", V),
    flag("nouser", V),
    flag("nogroup", V),
    flag("nomtime", V),
    flag("nomode", V),
    flag("nordev", V),
    flag("nocaps", V),
    flag("noscript", V),
    flag("noscripts", V | C),
    flag("nodigest", Q | V | K),
    flag("nosignature", Q | V | K),
    // How to talk.
    letter("verbose", 'v', Q | V | K | C),
    flag("quiet", Q | V | K | C),
    // Of our transactions.
    letter("hash", 'h', C),
    flag("percent", C),
    flag("test", C),
    flag("excludedocs", C),
    flag("replacepkgs", C),
    flag("oldpackage", C),
];

/// Other spellings of the same.
const SYNONYMS: &[(&str, &str)] = &[("qf", "queryformat"), ("nodocs", "excludedocs")];

const MODES: &[(&str, char, Mode)] = &[
    ("query", 'q', Mode::Query),
    ("verify", 'V', Mode::Verify),
    ("checksig", 'K', Mode::CheckSignatures),
    ("install", 'i', Mode::Change(Change::Install)),
    ("upgrade", 'U', Mode::Change(Change::Upgrade)),
    ("freshen", 'F', Mode::Change(Change::Freshen)),
    ("erase", 'e', Mode::Change(Change::Erase)),
];

const ABOUT: [&str; 2] = ["version", "querytags"];

impl Mode {
    fn bit(self) -> u8 {
        match self {
            Self::Query => Q,
            Self::Verify => V,
            Self::CheckSignatures => K,
            Self::Change(_) => C,
            Self::About => 0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Query => "a query",
            Self::Verify => "a verification",
            Self::CheckSignatures => "-K",
            Self::Change(_) => "a transaction",
            Self::About => "--version or --querytags",
        }
    }
}

/// What a letter or a long name means, before the mode is known.
enum Found {
    Mode(Mode),
    /// `-i`: `--info` of a query, else `--install`.
    InfoOrInstall,
    Option(&'static Known),
}

/// A word, what it means, its argument.
type Given = (String, Found, Option<String>);

fn long(word: &str, name: &str) -> Result<Found, WordsError> {
    let name = SYNONYMS.iter().find(|(other, _)| *other == name).map_or(name, |(_, known)| known);
    if let Some((_, _, mode)) = MODES.iter().find(|(known, _, _)| *known == name) {
        return Ok(Found::Mode(*mode));
    }
    let known = OPTIONS.iter().find(|known| known.long == name);
    known.map(Found::Option).ok_or_else(|| refuse(word, name))
}

fn short(word: &str, letter: char) -> Result<Found, WordsError> {
    if letter == 'i' {
        return Ok(Found::InfoOrInstall);
    }
    if let Some((_, _, mode)) = MODES.iter().find(|(_, known, _)| *known == letter) {
        return Ok(Found::Mode(*mode));
    }
    let known = OPTIONS.iter().find(|known| known.short == Some(letter));
    known.map(Found::Option).ok_or_else(|| refuse(word, &letter.to_string()))
}

/// Parses rpm's words. Nothing that is not in the table is let through, wherever it stands.
pub(super) fn parse(words: &[String]) -> Result<Words, WordsError> {
    let mut found: Vec<Given> = Vec::new();
    let mut names = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            names.extend(rest.by_ref().cloned());
        } else if let Some(name) = word.strip_prefix("--") {
            if ABOUT.contains(&name) && words.len() == 1 {
                let option = ABOUT.into_iter().find(|about| *about == name).unwrap_or("version");
                return Ok(Words { mode: Mode::About, options: vec![(option, None)], names });
            }
            let (name, given) =
                name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
            let what = long(word, name)?;
            let wants = matches!(what, Found::Option(known) if known.argument);
            let argument = match (wants, given) {
                (false, Some(_)) => return Err(WordsError::Argument(format!("--{name}"))),
                (true, None) => {
                    Some(rest.next().cloned().ok_or_else(|| WordsError::NoArgument(word.clone()))?)
                }
                (_, given) => given.map(str::to_owned),
            };
            // popt(3) would put another word in the place of this one.
            if argument.as_deref().is_some_and(|argument| argument.contains("!#:+")) {
                return Err(WordsError::Argument(format!("--{name}={}", argument.unwrap_or_default())));
            }
            found.push((word.clone(), what, argument));
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for letter in letters.chars() {
                found.push((format!("-{letter}"), short(word, letter)?, None));
            }
        } else {
            names.push(word.clone());
        }
    }
    settle(found, names)
}

/// Decides for a mode, and holds every option against it.
fn settle(found: Vec<Given>, names: Vec<String>) -> Result<Words, WordsError> {
    let said = |(_, found, _): &Given| match found {
        Found::Mode(mode) => Some(*mode),
        _ => None,
    };
    let mut modes: Vec<Mode> = found.iter().filter_map(said).collect();
    let letter_i = found.iter().any(|(_, found, _)| matches!(found, Found::InfoOrInstall));
    if letter_i && !modes.contains(&Mode::Query) {
        modes.push(Mode::Change(Change::Install));
    }
    modes.dedup();
    let mode = match modes.as_slice() {
        [] => return Err(WordsError::NoMode),
        [mode] => *mode,
        _ => return Err(WordsError::TwoModes),
    };
    let mut options = Vec::new();
    for (word, what, argument) in found {
        match what {
            Found::Option(known) if known.modes & mode.bit() != 0 => options.push((known.long, argument)),
            Found::Option(known) if known.long == "nodeps" => return Err(refuse(&word, known.long)),
            Found::Option(_) => return Err(WordsError::WrongMode(word, mode.name())),
            Found::InfoOrInstall if mode == Mode::Query => options.push(("info", None)),
            Found::InfoOrInstall | Found::Mode(_) => {}
        }
    }
    Ok(Words { mode, options, names })
}

impl Words {
    /// Whether an option is given.
    pub(super) fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == long)
    }

    /// Whether rpm must see the node's files at their ordinary paths.
    pub(super) fn needs_view(&self) -> bool {
        self.mode == Mode::Verify || self.mode == Mode::Query && self.has("file")
    }

    /// The words for rpm: one mode that looks and changes nothing, options of the table, names. `None`
    /// for what is a transaction of ours.
    pub(super) fn for_rpm(&self) -> Option<Vec<String>> {
        let mut words = match self.mode {
            Mode::Query => vec!["--query".to_owned()],
            Mode::Verify => vec!["--verify".to_owned()],
            Mode::CheckSignatures => vec!["--checksig".to_owned()],
            Mode::About => Vec::new(),
            Mode::Change(_) => return None,
        };
        for (long, argument) in &self.options {
            words.push(format!("--{long}"));
            words.extend(argument.clone());
        }
        if !self.names.is_empty() {
            words.push("--".to_owned());
            words.extend(self.names.iter().cloned());
        }
        Some(words)
    }
}

/// Refuses popt's configuration of this machine when it gives an option of the table another meaning:
/// popt looks for aliases before it looks for options, so `-q` can be made `-e` there. The caller's own
/// `~/.popt` is not read by the rpm that red-rpm starts.
pub(super) fn no_aliases(etc: &Path) -> Result<(), WordsError> {
    let mut files = vec![etc.join("popt")];
    let below = std::fs::read_dir(etc.join("popt.d")).into_iter().flatten().flatten();
    files.extend(below.map(|entry| entry.path()));
    for file in files {
        // What cannot be read here cannot be read by rpm either.
        let Ok(text) = std::fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Some(option) = redefined(&text) {
            return Err(WordsError::Alias(file, option));
        }
    }
    Ok(())
}

/// The first option that rpm is given by us and a text of popt's configuration redefines (popt(3)).
fn redefined(text: &str) -> Option<String> {
    let ours: BTreeSet<&str> = OPTIONS
        .iter()
        .map(|known| known.long)
        .chain(MODES.iter().map(|(long, _, _)| *long))
        .chain(ABOUT)
        .chain(["dbpath"])
        .collect();
    let text = text.replace("\\\n", " ");
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [program, "alias" | "exec", option, ..] = words.as_slice() else { continue };
        // popt matches the program by fnmatch(3), with and without its directory.
        let other = program.rsplit('/').next() != Some("rpm") && !program.contains(['*', '?', '[']);
        let name = option.trim_start_matches('-');
        if !other && ours.contains(name) && !program.starts_with('#') {
            return Some((*option).to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests;
