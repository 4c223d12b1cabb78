//! Variables and commands in texts: the first line is expanded, the others are values of
//! variables `V0`, `V1`, … of the environment.

#![no_main]

use libfuzzer_sys::fuzz_target;
use red_runtime::node::expand::{Commands, ExpandError, Launch, NodeVars, Runner, Scope, expand};
use red_runtime::node::limits;

/// Commands that print a text with everything in it that must not be taken for anything.
struct Echo;

impl Runner for Echo {
    fn run(&mut self, command: &str) -> Result<String, String> {
        if command.len() > 100 { Err("is long".to_owned()) } else { Ok(format!("$UID $(x) \\$ {command}")) }
    }
}

fuzz_target!(|data: &str| {
    let mut lines = data.split('\n');
    let text = lines.next().unwrap_or_default();
    let environment = lines.enumerate().map(|(n, value)| (format!("V{n}"), value.to_owned())).collect();
    let launch = Launch { uid: 1000, gid: 100, pid: 7, environment, ..Launch::default() };
    let node =
        NodeVars { alias: "n".into(), name: "$NODE_INFO".into(), info: "$V0".into(), ..NodeVars::default() };
    let scope = Scope { node: &node, leaf: &node, launch: &launch };
    for commands in [Commands::Forbidden, Commands::Keep, Commands::AsText, Commands::Run(&mut Echo)] {
        let runs = matches!(commands, Commands::Run(_));
        match expand(text, scope, commands) {
            Ok(expanded) => {
                assert!(expanded.actual.len() <= limits::EXPANDED_BYTES);
                assert!(!expanded.actual.contains('\0'));
                assert_eq!(expanded.written(), text);
                // The canonical text is about the node, not about this launch: expanded where
                // nothing is known, it stays what it is.
                if !runs && !expanded.is_volatile() {
                    let again = expand(&expanded.canonical(), scope, Commands::AsText);
                    assert_eq!(again.map(|text| text.actual).as_deref(), Ok(expanded.actual.as_str()));
                }
            }
            Err(ExpandError::Forbidden { .. }) => assert!(!runs),
            Err(_) => {}
        }
    }
});
