use super::*;

fn of(text: &str) -> Result<Words, WordsError> {
    parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
}

fn for_rpm(text: &str) -> String {
    of(text).unwrap_or_else(|error| panic!("{text}: {error}")).for_rpm().unwrap().join(" ")
}

#[test]
fn queries_and_verification_reach_rpm_in_one_spelling() {
    for (given, wanted) in [
        ("-qa", "--query --all"),
        ("-q zz", "--query -- zz"),
        ("-qi zz", "--query --info -- zz"),
        ("-q -i zz", "--query --info -- zz"),
        ("-i -q zz", "--query --info -- zz"),
        ("-v -q -l zz", "--query --verbose --list -- zz"),
        ("--qf %{NAME} -q zz", "--query --queryformat %{NAME} -- zz"),
        ("-q --queryformat=-e zz", "--query --queryformat -e -- zz"),
        ("-qp --requires ./a.rpm", "--query --package --requires -- ./a.rpm"),
        ("-qf /usr/bin/x", "--query --file -- /usr/bin/x"),
        ("-Va --nodeps --noscripts", "--verify --all --nodeps --noscripts"),
        ("zz --verify", "--verify -- zz"),
        ("-Kv a.rpm", "--checksig --verbose -- a.rpm"),
        ("-q -- -e", "--query -- -e"),
        ("-q -", "--query -- -"),
        ("--version", "--version"),
        ("--querytags", "--querytags"),
    ] {
        assert_eq!(for_rpm(given), wanted, "{given}");
    }
    assert!(of("-V zz").unwrap().needs_view() && of("-v -qf /x").unwrap().needs_view());
    assert!(!of("-qa").unwrap().needs_view());
}

#[test]
fn what_changes_is_a_transaction_wherever_its_verb_stands() {
    use Change::{Erase, Freshen, Install, Upgrade};
    for (given, verb) in [
        ("-e zz", Erase),
        ("-v -e zz", Erase),
        ("-ve zz", Erase),
        ("-ev zz", Erase),
        ("zz -e", Erase),
        ("--noscripts -e zz", Erase),
        ("--quiet --erase zz", Erase),
        ("-i a.rpm", Install),
        ("-vi a.rpm", Install),
        ("-v -i a.rpm", Install),
        ("a.rpm --install", Install),
        ("-Uvh a.rpm", Upgrade),
        ("-v -h -U a.rpm", Upgrade),
        ("-vhU a.rpm", Upgrade),
        ("-v --upgrade a.rpm", Upgrade),
        ("-vF a.rpm", Freshen),
    ] {
        let words = of(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!((words.mode, words.for_rpm()), (Mode::Change(verb), None), "{given}");
        assert_eq!(words.names.len(), 1, "{given}");
    }
    assert!(of("-v --test --noscripts --excludedocs -U a").unwrap().has("test"));
}

#[test]
fn everything_else_is_refused_by_name() {
    for given in [
        "--nodeps -e zz",
        "-e --nodeps zz",
        "--allmatches --erase zz",
        "--force -i a.rpm",
        "--justdb -e zz",
        "--nodb -i a.rpm",
        "--setperms zz",
        "--setugids zz",
        "--setcaps zz",
        "--restore zz",
        "--reinstall a.rpm",
        "-q --setperms zz",
        "-qa --restore",
        "--import key",
        "-q --import key",
        "--rebuilddb",
        "--initdb",
        "-q --initdb",
        "--delete-key x",
        "--addsign a.rpm",
        "--resign a.rpm",
        "--delsign a.rpm",
        "--root=/ -qa",
        "-r / -qa",
        "-qa -r /",
        "-qar /",
        "--dbpath=/x -qa",
        "-qa --dbpath /x",
        "-qa --pipe id",
        "-qa --pipe=id",
        "-qa --define=x\u{a0}y",
        "-qaDx",
        "-D x -qa",
        "--undefine x -qa",
        "-E %(id)",
        "--eval %(id)",
        "-qE x",
        "--load=/x -qa",
        "--macros=/x -qa",
        "--rcfile=/x -qa",
        "--predefine=x -qa",
        "--noplugins -qa",
        "--target x -qa",
        "--specfile x -q",
        "--showrc",
        "-qe zz",
        "-q -e zz",
        "-Ve zz",
        "-Vi zz",
        "-qU a.rpm",
        "-qV zz",
        "-K -e zz",
        "-U -e zz",
        "-q --test zz",
        "-q --erase=zz",
        "--erase=zz",
        "-qh zz",
        "-q --queryformat",
        "--version -e zz",
        "--version --erase",
        "zz",
        "-v zz",
        "--eras zz",
        "-erase zz",
        "-q\u{e9}",
    ] {
        let refused = of(given).map(|words| words.for_rpm());
        let said = refused.expect_err(given).to_string();
        assert!(!said.is_empty());
    }
    assert!(of("--nodeps -e zz").unwrap_err().to_string().contains("`--nodeps`"));
    assert!(of("-qa --dbpath=/x").unwrap_err().to_string().contains("`--dbpath=/x`"));
}

#[test]
fn aliases_of_our_options_are_found() {
    for (text, found) in [
        ("rpm alias --query --erase\n", true),
        ("rpm alias -q --erase\n", false),
        ("rpm\texec --info sh\n", true),
        ("/usr/bin/rpm alias --list --erase", true),
        ("r?m alias --verify --erase", true),
        ("* alias --all --erase", true),
        ("rpm alias \\\n--verbose --erase", true),
        ("rpm alias --mine --qf x", false),
        ("# rpm alias --query --erase", false),
        ("rpmbuild alias --query --erase", false),
        ("rpm alias --dbpath --root", true),
    ] {
        // What is passed on is long options only, so a redefined letter has no effect.
        assert_eq!(redefined(text).is_some(), found, "{text}");
    }
    let etc = tempfile::tempdir().unwrap();
    assert_eq!(no_aliases(etc.path()), Ok(()));
    std::fs::create_dir(etc.path().join("popt.d")).unwrap();
    std::fs::write(etc.path().join("popt.d/x"), "rpm alias --query --erase").unwrap();
    assert!(no_aliases(etc.path()).is_err());
}

/// What rpm(8) and its aliases have that changes something, reads other configuration, or runs programs.
const HARMFUL: &[&str] = &[
    "-e",
    "-i",
    "-U",
    "-F",
    "-h",
    "--erase",
    "--install",
    "--upgrade",
    "--freshen",
    "--reinstall",
    "--restore",
    "--setperms",
    "--setugids",
    "--setcaps",
    "--justdb",
    "--nodb",
    "--force",
    "--import",
    "--initdb",
    "--rebuilddb",
    "--addsign",
    "--resign",
    "--delsign",
    "--delete-key",
    "--root",
    "-r",
    "--dbpath",
    "--pipe",
    "--define",
    "-D",
    "--undefine",
    "--predefine",
    "--eval",
    "-E",
    "--load",
    "--macros",
    "--rcfile",
    "--exportdb",
    "--importdb",
    "--verifydb",
    "--allmatches",
    "--replacefiles",
    "--relocate",
    "--prefix",
];

const HARMLESS: &[&str] = &[
    "-q",
    "-V",
    "-K",
    "-v",
    "-a",
    "-l",
    "-qi",
    "-ql",
    "-qf",
    "-qp",
    "--query",
    "--verify",
    "--checksig",
    "--quiet",
    "--qf",
    "--queryformat=x",
    "--info",
    "--last",
    "--noscripts",
    "--nodeps",
    "--test",
    "zz",
    "--",
    "/x",
    "--version",
    "--querytags",
];

proptest::proptest! {
    #[test]
    fn nothing_that_changes_reaches_rpm(
        picks in proptest::collection::vec((0..4_usize, 0..200_usize, "[a-zA-Z]{1,4}"), 0..7)
    ) {
        let words: Vec<String> = picks.into_iter().map(|(kind, at, letters)| match kind {
            0 => HARMFUL[at % HARMFUL.len()].to_owned(),
            1 => format!("{}=x", HARMFUL[at % HARMFUL.len()]),
            2 => HARMLESS[at % HARMLESS.len()].to_owned(),
            _ => format!("-{letters}"),
        }).collect();
        let Some(passed) = parse(&words).ok().and_then(|words| words.for_rpm()) else { return Ok(()) };
        let mut modes = 0;
        let mut rest = passed.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                break;
            }
            proptest::prop_assert!(word.starts_with("--"), "{words:?} -> {passed:?}");
            proptest::prop_assert!(!HARMFUL.contains(&word.as_str()), "{words:?} -> {passed:?}");
            modes += usize::from(
                ["--query", "--verify", "--checksig", "--version", "--querytags"].contains(&word.as_str()),
            );
            if word == "--queryformat" {
                rest.next();
            }
        }
        proptest::prop_assert_eq!(modes, 1, "{:?} -> {:?}", words, passed);
    }
}

/// Options of rpm 4.18 and 6.1; the product's tests hold the list against the rpm of the machine.
const OF_RPM: &str = include_str!("../../../../../tests/src/rpm-options.txt");

#[test]
fn every_option_of_rpm_is_known() {
    let lines = OF_RPM.lines().filter(|line| !line.starts_with('#'));
    let all: BTreeSet<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    assert!(all.len() > 190);
    for option in &all {
        let with_value = if option.starts_with("--") { format!("{option}=y") } else { (*option).to_owned() };
        for words in ["", "-q x", "-V x", "-K x.rpm", "-U x.rpm", "-e x"] {
            let places = [(*option, words), (with_value.as_str(), words), (words, *option)];
            for text in places.map(|(one, other)| format!("{one} {other}")) {
                match of(&text) {
                    // It is rpm's to do, and harmless, or ours.
                    Ok(words) => {
                        let passed = words.for_rpm().unwrap_or_default();
                        let passed = passed.iter().take_while(|word| *word != "--");
                        for word in passed {
                            assert!(!HARMFUL.contains(&word.as_str()), "{text} -> {word}");
                        }
                    }
                    Err(refused) => {
                        let said = refused.to_string();
                        assert!(!matches!(refused, WordsError::Unknown(_)), "{text}: {said}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_refused_names_what_does_it() {
    for (words, wanted) in [
        ("--reinstall a.rpm", "red-dnf red-reinstall"),
        ("--restore zz", "red-dnf red-check --files"),
        ("--setperms zz", "red-dnf red-reinstall"),
        ("--rebuilddb", "red-dnf red-check"),
        ("--nopost -U a.rpm", "--noscripts"),
        ("--notriggers -e zz", "--noscripts"),
        ("--noverify -U a.rpm", "--excludedocs"),
        ("--addsign a.rpm", "rpmsign"),
        ("--showrc", "rpmspec of the host"),
        ("--import key", "gpgkey"),
    ] {
        let said = of(words).unwrap_err().to_string();
        assert!(said.contains(wanted), "{words}: {said}");
    }
    assert!(matches!(of("--frobnicate zz"), Err(WordsError::Unknown(_))));
}
