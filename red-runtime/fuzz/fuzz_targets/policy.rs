//! A policy and the paths it decides on. Lines before `---` are the policy, lines after it paths.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use red_runtime::command::Permission;
use red_runtime::node::diagnostic::Report;
use red_runtime::node::source::Sources;
use red_runtime::policy::{Policy, Starter};

fuzz_target!(|data: &str| {
    let (text, paths) = data.split_once("\n---\n").unwrap_or((data, ""));
    let mut sources = Sources::default();
    let file = sources.add("policy.yaml", text);
    let mut report = Report::default();
    let Some(policy) = Policy::read(file, text, &mut report) else {
        assert!(report.has_errors(), "no policy, and nobody says why");
        return;
    };
    for path in paths.split('\n') {
        decide(&policy, text, path);
    }
});

fn decide(policy: &Policy, text: &str, path: &str) {
    let names = |path: &str| -> Vec<String> {
        path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect()
    };
    let absolute = path.starts_with('/');
    if let Some(pool) = policy.pool_of(Path::new(path)) {
        let pool = pool.path.to_str().expect("it came from text");
        assert!(absolute && !names(pool).contains(&"..".to_owned()));
        assert!(names(path).starts_with(&names(pool)), "{path:?} is not in {pool:?}");
    }
    let granted =
        |starter, trusted| matches!(policy.commands(starter, Path::new(path), trusted), Permission::Granted);
    assert!(!granted(Starter::Engine, false) && !granted(Starter::Direct { uid: 0 }, false));
    if granted(Starter::Engine, true) {
        assert!(absolute, "{path:?} is relative");
        assert!(text.to_ascii_lowercase().contains("execfd"), "{path:?} was never named");
    }
}
