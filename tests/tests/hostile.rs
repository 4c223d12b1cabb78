//! Input that is meant to hurt is refused within bounds.

use std::fmt::Write as _;
use std::process::Command;

use red_tests::call::{Said, built, run};
use red_tests::pool::Pool;

/// `red-conf check` that may use 64 MiB of data and one second of a processor, and no more.
fn bounded(path: &std::path::Path) -> Said {
    let mut command = Command::new("prlimit");
    command.args(["--data=67108864", "--cpu=1", "--core=0", "bash", "-c", "exec -a red-conf \"$@\"", "bash"]);
    command.arg(built("red-runtime")).arg("check").arg(path).env_clear().env("PATH", "/usr/bin:/bin");
    run(&mut command)
}

fn refused(name: &str, text: &str) {
    let pool = Pool::new();
    pool.status("a", "Enable");
    pool.write("a/etc/redpak.yaml", text);
    let said = bounded(&pool.join("a"));
    assert_eq!(said.code, 1, "{name}: {}", said.err.chars().take(500).collect::<String>());
    assert!(said.err.starts_with("error"), "{name}: {}", said.err.chars().take(500).collect::<String>());
    assert!(said.err.len() < 200_000, "{name}: {} bytes of complaint", said.err.len());
}

#[test]
fn bombs_depth_and_size() {
    let bomb: String = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))
    });
    refused("alias bomb", &bomb);
    let text = "x".repeat(60_000);
    let copies: String = format!("a: &a \"{text}\\t\"\nb: [{}]\n", "*a, ".repeat(2_000));
    refused("many copies of a long text", &copies);
    refused("deep flow", &"[".repeat(1_000_000));
    refused("deep maps", &"{a: ".repeat(250_000));
    refused(
        "deep block",
        &(0..1_400).fold(String::new(), |mut text, n| {
            let _unused = writeln!(text, "{}-", " ".repeat(n));
            text
        }),
    );
    refused("an open quote", &format!("a: \"{}", "\\n".repeat(500_000)));
    refused("one long line", &format!("headers: {{alias: {}}}", "a".repeat(1_000_000)));
    refused(
        "many keys",
        &(0..100_000).fold(String::new(), |mut text, n| {
            let _unused = writeln!(text, "k{n}:");
            text
        }),
    );
    refused(
        "many unknown keys in a list",
        &format!("headers: {{alias: a}}\nexports:\n{}", "  - {x: 1}\n".repeat(4_000)),
    );
    refused(
        "many anchors",
        &(0..60_000).fold(String::new(), |mut text, n| {
            let _unused = writeln!(text, "- &a{n} x");
            text
        }),
    );
    refused("colons", &": ".repeat(500_000));
    refused("tabs", &"\t".repeat(1_000_000));
    refused("bars", &"- |\n".repeat(200_000));
}

#[test]
fn a_file_of_64_mib_is_not_even_read() {
    let pool = Pool::new();
    pool.status("a", "Enable");
    let path = pool.write("a/etc/redpak.yaml", "");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is ours");
    file.set_len(64 << 20).expect("there is room");
    let said = bounded(&pool.join("a"));
    assert!(said.code == 1 && said.err.contains("67108864 bytes, more than 1048576"), "{}", said.err);
}

#[test]
fn expansion_and_family_have_bounds() {
    let pool = Pool::new();
    let node = pool.node("a", "environ: [{key: A, value: $V0}]");
    let mut command = red_tests::call::red_conf();
    (0..20).for_each(|n| {
        command.env(format!("V{n}"), format!("${{V{0}}}${{V{0}}}", n + 1));
    });
    let said = run(command.arg("check").arg(&node));
    assert!(
        said.code == 1 && said.err.contains("`$V16` expands through more than 16 others"),
        "{}",
        said.err
    );
    let deep: Vec<String> = (0..70).map(|n| format!("n{n}")).collect();
    (1..=70).for_each(|count| {
        pool.node(&deep[..count].join("/"), "");
    });
    let said = bounded(&pool.join(deep.join("/")));
    assert!(said.code == 1 && said.err.contains("more than 64 nodes"), "{}", said.err);
}

#[test]
fn texts_of_files_do_not_reach_the_terminal_raw() {
    let pool = Pool::new();
    let good = pool.node(
        "good",
        "environ: [{key: A, value: \"\\e[31mred\\a \\x9b31m\"}, {key: B, value: \u{202e}x\u{9b}}]",
    );
    let bad = pool.node(
        "bad",
        "environ: [{key: \u{9b}31m}]
exports: [{mode: Tmpfs, mount: \"/x\\e]0;title\\a\"}, {mode: Tmpfs\u{85}, mount: /\u{202e}}]",
    );
    for (node, code) in [(good, 0), (bad, 1)] {
        for args in [
            vec!["check"],
            vec!["mergeconfig"],
            vec!["mergeconfig", "--expand"],
            vec!["mergeconfig", "--yaml"],
            vec!["plan"],
            vec!["plan", "--json"],
            vec!["check", "--json"],
            vec!["config"],
        ] {
            let said = run(red_tests::call::red_conf().args(&args).arg(&node));
            assert_eq!(said.code, code, "{args:?}: {}", said.err);
            let steers = ['\u{1b}', '\u{7}', '\u{9b}', '\u{85}', '\u{202e}'];
            assert!(!said.out.contains(steers), "{args:?}: {:?}", said.out);
            assert!(!said.err.contains(steers), "{args:?}: {:?}", said.err);
        }
    }
}
