//! What people see when a file is wrong: every mistake with its place, its line and a way out.

use super::diagnostic::{Report, Severity};
use super::source::Sources;
use super::{decode, render};

/// A wrong text by name. The file is a configuration unless the name begins with `status`.
const MISTAKES: [(&str, &str); 50] = [
    ("unknown_key", "headers: {alias: a}\nexport: []\n"),
    ("unknown_key_in_config", "headers: {alias: a}\nconfig:\n  hostnam: x\n"),
    ("unknown_key_without_a_near_one", "headers: {alias: a}\nconfig:\n  zzzzzzzzzz: x\n"),
    ("unknown_key_with_other_dashes", "headers: {alias: a}\nconfig:\n  share-net: Enabled\n  set_user: me\n"),
    ("no_headers", "config: {umask: 022}\n"),
    ("no_alias", "headers:\n  name: x\n"),
    ("empty_alias", "headers:\n  alias:\n"),
    ("empty_file", "# nothing\n"),
    ("alias_with_a_slash", "headers: {alias: ../x}\n"),
    ("alias_with_a_space", "headers: {alias: my app}\n"),
    ("duplicate_key", "headers: {alias: a}\nconfig:\n  umask: 022\n  Umask: 027\n"),
    ("mode_misspelled", "headers: {alias: a}\nexports:\n  - {mode: Restrictd, mount: /usr}\n"),
    ("mode_unknown", "headers: {alias: a}\nexports:\n  - {mode: Volatile, mount: /usr}\n"),
    ("export_without_mode", "headers: {alias: a}\nexports:\n  - mount: /usr\n"),
    ("export_without_mount", "headers: {alias: a}\nexports:\n  - mode: Public\n"),
    ("symlink_without_path", "headers: {alias: a}\nexports:\n  - {mode: Symlink, mount: /a}\n"),
    ("execfd_without_path", "headers: {alias: a}\nexports:\n  - {mode: Execfd, mount: /a}\n"),
    ("internal_without_path", "headers: {alias: a}\nexports:\n  - {mode: Internal, mount: /a}\n"),
    ("tmpfs_with_path", "headers: {alias: a}\nexports:\n  - {mode: Tmpfs, mount: /a, path: /b}\n"),
    ("exports_no_list", "headers: {alias: a}\nexports: {mode: Public, mount: /a}\n"),
    ("export_no_map", "headers: {alias: a}\nexports:\n  - /usr\n"),
    ("config_a_list", "headers: {alias: a}\nconfig:\n  - umask\n"),
    ("value_a_list", "headers: {alias: a}\nconfig:\n  hostname: [a, b]\n"),
    ("file_a_list", "- headers\n"),
    ("umask_not_octal", "headers: {alias: a}\nconfig: {umask: 9z}\n"),
    ("umask_too_large", "headers: {alias: a}\nconfig: {umask: 7777}\n"),
    ("boolean", "headers: {alias: a}\nconfig: {gpgcheck: maybe}\n"),
    ("switch", "headers: {alias: a}\nconfig: {die-with-parent: Enable}\n"),
    ("share", "headers: {alias: a}\nconfig: {share_net: host}\n"),
    ("verbose", "headers: {alias: a}\nconfig: {verbose: loud}\n"),
    (
        "capability_misspelled",
        "headers: {alias: a}\nconfig:\n  capabilities:\n    - {cap: CAP_NET_ROW, add: 1}\n",
    ),
    ("capability_unknown", "headers: {alias: a}\nconfig:\n  capabilities:\n    - {cap: CAP_SHOWN, add: 1}\n"),
    ("capability_without_add", "headers: {alias: a}\nconfig:\n  capabilities:\n    - {cap: NET_RAW}\n"),
    (
        "capability_both",
        "headers: {alias: a}\nconfig:\n  capabilities:\n    - {cap: NET_RAW, add: 1}\n    - {cap: cap_net_raw, add: 0}\n",
    ),
    ("size", "headers: {alias: a}\nconfig: {cgroups: {mem: {max: 12 apples}}}\n"),
    ("size_too_large", "headers: {alias: a}\nconfig: {cgroups: {mem: {max: 99999999999G}}}\n"),
    ("cpu_max", "headers: {alias: a}\nconfig: {cgroups: {cpu: {max: 50%}}}\n"),
    ("cpu_weight", "headers: {alias: a}\nconfig: {cgroups: {cpu: {weight: 0}}}\n"),
    ("cpus", "headers: {alias: a}\nconfig: {cgroups: {cpuset: {cpus: 3-1}}}\n"),
    ("io_max", "headers: {alias: a}\nconfig: {cgroups: {io: {max: 'sda rbps=1'}}}\n"),
    ("variable_mode", "headers: {alias: a}\nenviron:\n  - {key: A, value: b, mode: Statik}\n"),
    ("variable_without_value", "headers: {alias: a}\nenviron:\n  - {key: A}\n"),
    ("variable_removed_with_value", "headers: {alias: a}\nenviron:\n  - {key: A, mode: Remove, value: x}\n"),
    ("variable_name", "headers: {alias: a}\nenviron:\n  - {key: A=B, value: x}\n"),
    ("tab", "headers:\n\talias: a\n"),
    ("open_quote", "headers: {alias: a}\nconfig: {hostname: \"x}\n"),
    ("two_documents", "headers: {alias: a}\n---\nheaders: {alias: b}\n"),
    ("tag", "headers: {alias: !secret a}\n"),
    (
        "several_at_once",
        "headers: {alias: a b}\nconfig:\n  umask: 9z\n  colour: red\nexports:\n  - {mode: Publik, mount: /a}\n  - {mount: /b}\n",
    ),
    ("status_state", "realpath: /a\ntimestamp: soon\nstate: Enabled\n"),
];

fn report(name: &str, text: &str) -> (Report, Sources) {
    let mut sources = Sources::default();
    let mut report = Report::default();
    let file = sources.add("etc/redpak.yaml", text);
    if name.starts_with("status") {
        decode::status(file, text, &mut report);
    } else {
        decode::config(file, text, &mut report);
    }
    (report, sources)
}

#[test]
fn every_mistake_has_its_place_and_a_hint() {
    for (name, text) in MISTAKES {
        let (report, sources) = report(name, text);
        assert!(!report.diagnostics().is_empty(), "{name} is found");
        for one in report.diagnostics() {
            assert!(one.at.is_some(), "{name}: {} has a place", one.message);
        }
        let shown = render::text(&report, &sources, Severity::Note, false);
        insta::assert_snapshot!(name, format!("{text}\n{}\n{shown}", "-".repeat(60)));
    }
}

#[test]
fn machines_get_the_same_as_json() {
    let (_, text) = MISTAKES.iter().find(|(name, _)| *name == "several_at_once").expect("it is there");
    let (report, sources) = report("several_at_once", text);
    let json = render::json(&report, &sources).expect("a report is always writable");
    insta::assert_snapshot!("several_at_once_json", format!("{json:#}"));
}

#[test]
fn old_files_load_with_a_note() {
    let text = "headers: {alias: a}\nconfig: {maxage: 7, inherit: true}\n";
    let (report, _) = report("old", text);
    assert!(!report.has_errors());
    assert_eq!(report.count(Severity::Note), 2);
}

#[test]
fn keys_and_words_are_read_whatever_their_case() {
    let text = "HEADERS: {Alias: a}\nConfig: {GPGCHECK: Yes, Share_Net: ENABLED}\nExports: [{MODE: restrictedfile, Mount: /a}]\n";
    let (report, sources) = report("case", text);
    assert_eq!(render::text(&report, &sources, Severity::Note, false), "");
}

#[test]
fn a_thousand_mistakes_are_counted_but_not_all_shown() {
    let mut text = String::from("headers: {alias: a}\nexports:\n");
    (0..1_000).for_each(|_| text.push_str("  - {mode: Publik, mount: /a}\n"));
    let (report, _) = report("many", &text);
    assert_eq!(report.diagnostics().len(), super::limits::MISTAKES);
    assert_eq!(report.dropped(), 900);
}

/// Hostile texts, and how they are refused.
fn hostile() -> Vec<(&'static str, String, &'static str)> {
    let bomb: String = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let refs = format!("*a{}, ", n - 1).repeat(9);
        format!("{text}a{n}: &a{n} [{refs}]\n")
    });
    let long = "x".repeat(700_000);
    vec![
        ("alias bomb", bomb, "too-large"),
        ("deep flow", "[".repeat(500_000), "yaml-syntax"),
        ("deep block", (0..2_000).map(|n| format!("{}-\n", " ".repeat(n))).collect(), "too-deep"),
        ("deep on one line", "- ".repeat(400_000), "too-deep"),
        ("an anchor in itself", "headers: &a {alias: *a}\n".to_owned(), "yaml-syntax"),
        ("a long scalar", format!("headers: {{alias: {long}}}\n"), "too-large"),
        ("a long key", format!("{long}: 1\n"), "too-large"),
        ("many keys", (0..60_000).map(|n| format!("k{n}: 1\n")).collect(), "too-large"),
        (
            "many entries",
            format!("headers: {{alias: a}}\nexports:\n{}", "  - {}\n".repeat(20_000)),
            "too-large",
        ),
        ("an open quote", format!("headers: \"{long}"), "yaml-syntax"),
        ("many question marks", "? ".repeat(300_000), "too-deep"),
        ("many anchors", (0..60_000).map(|n| format!("- &a{n} x\n")).collect(), "too-large"),
    ]
}

#[test]
fn hostile_texts_are_refused() {
    for (name, text, code) in hostile() {
        let (report, _) = report("hostile", &text);
        assert!(report.has_errors(), "{name}");
        let codes: Vec<&str> = report.diagnostics().iter().map(|one| one.code.name()).collect();
        assert!(codes.contains(&code), "{name}: {codes:?}");
    }
}
