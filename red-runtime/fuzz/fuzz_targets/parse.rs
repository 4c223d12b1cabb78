//! Every YAML file we read, from bytes. The first byte chooses which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use red_runtime::node::diagnostic::{Report, Severity};
use red_runtime::node::source::Sources;
use red_runtime::node::{decode, limits, normalize, render};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut sources = Sources::default();
    let file = sources.add("fuzz.yaml", text);
    let mut report = Report::default();
    let read = match choice % 4 {
        0 => decode::config(file, text, &mut report).is_some(),
        1 => decode::admin_config(file, text, &mut report).is_some(),
        2 => decode::status(file, text, &mut report).is_some(),
        _ => decode::policy(file, text, &mut report).is_some(),
    };
    assert!(read || report.has_errors(), "nothing was read, and nobody says why");
    assert!(report.diagnostics().len() <= limits::MISTAKES + 1, "{} mistakes", report.diagnostics().len());
    let shown = render::text(&report, &sources, Severity::Note, false);
    let foreign = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!shown.contains(foreign), "a control character reaches the terminal: {shown:?}");
    render::json(&report, &sources).expect("a report is always JSON");

    // What is shown of a configuration reads back as the same configuration.
    if choice % 4 == 0 && read && !report.has_errors() {
        let tree = normalize::normalize(file, text).json();
        let again = serde_json::to_string(&tree).expect("it is a value");
        let mut second = Report::default();
        let file = sources.add("again.yaml", again.as_str());
        let back = decode::config(file, &again, &mut second);
        assert!(back.is_some() && !second.has_errors(), "{again} does not read: {second:?}");
        assert_eq!(normalize::normalize(file, &again).json(), tree);
    }
});
