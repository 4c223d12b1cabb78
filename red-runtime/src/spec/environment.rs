//! The environment of the command.

use std::collections::BTreeMap;

use crate::command::{self, Shell};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::expand::Launch;
use crate::node::family::Origin;
use crate::node::merge::{Merged, PathItem, Variable};
use crate::node::value::VarMode;

/// What programs are looked for in when nobody says so.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One variable as the command gets it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnvEntry {
    /// Its name.
    pub key: String,
    /// Its value; `None` while the command that gives it has not run.
    pub value: Option<String>,
    /// Where it was written; `None` is inherited or built in.
    pub origin: Option<Origin>,
}

/// Builds the environment, by name. Mistakes go to `report`.
pub fn build(
    merged: &Merged,
    launch: &Launch,
    shell: &mut Option<&mut dyn Shell>,
    report: &mut Report,
) -> Vec<EnvEntry> {
    let mut entries: BTreeMap<String, EnvEntry> = BTreeMap::new();
    let mut set = |key: &str, value: Option<String>, origin| {
        entries.insert(key.to_owned(), EnvEntry { key: key.to_owned(), value, origin });
    };
    if merged.tags.inherit_env.as_ref().is_some_and(|on| on.value) {
        for (key, value) in &launch.environment {
            set(key, Some(value.clone()), None);
        }
    }
    if !merged.environ.iter().any(|one| one.key == "PATH") && !launch_has_path(merged, launch) {
        set("PATH", Some(DEFAULT_PATH.to_owned()), None);
    }
    let mut removed = Vec::new();
    for variable in &merged.environ {
        let origin = Some(variable.origin);
        match variable.mode {
            VarMode::Default | VarMode::Static => {
                let value = (!variable.value.unresolved).then(|| variable.value.actual.clone());
                set(&variable.key, value, origin);
            }
            VarMode::Execfd => set(&variable.key, printed(variable, shell, report), origin),
            VarMode::Inherit => match launch.environment.get(&variable.key) {
                Some(value) => set(&variable.key, Some(value.clone()), origin),
                None => removed.push(variable.key.clone()),
            },
            VarMode::Remove => removed.push(variable.key.clone()),
        }
    }
    for (key, items) in [("PATH", &merged.path), ("LD_LIBRARY_PATH", &merged.ldpath)] {
        if let Some(first) = items.first() {
            set(key, Some(join(items)), Some(first.origin));
        }
    }
    for key in removed {
        if key != "PATH" || merged.path.is_empty() {
            entries.remove(&key);
        }
    }
    entries.into_values().collect()
}

fn launch_has_path(merged: &Merged, launch: &Launch) -> bool {
    merged.tags.inherit_env.as_ref().is_some_and(|on| on.value) && launch.environment.contains_key("PATH")
}

/// The value of a variable of mode Execfd. Without a shell nothing is run and there is none yet.
fn printed(variable: &Variable, shell: &mut Option<&mut dyn Shell>, report: &mut Report) -> Option<String> {
    let command = &variable.value.actual;
    match shell.as_mut()?.output(command).and_then(command::text) {
        Ok(value) => Some(value),
        Err(reason) => {
            let message = format!("variable `{}`: `{command}` {reason}", variable.key);
            report.push(
                Diagnostic::error(Code::Command, message)
                    .at(variable.origin.at)
                    .help("try the command by itself as the launching user"),
            );
            None
        }
    }
}

/// A search path as one value.
fn join(items: &[PathItem]) -> String {
    items.iter().map(|item| item.text.actual.as_str()).collect::<Vec<_>>().join(":")
}
