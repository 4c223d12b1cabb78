//! Commands of a configuration: `$(…)`, Execfd exports and Execfd variables.
//!
//! They are a packager's words and run on the host, so they run in a box (see
//! `sys::confined`), for two seconds and 64 KiB at most. What most files
//! ask for (a line of passwd or group, a value of os-release) needs no command at all.

pub(crate) mod accounts;
mod builtin;
mod host;
mod run;

use std::collections::HashMap;

use crate::node::expand::Runner;
use crate::node::limits;

pub use run::CommandError;

/// Runs the commands of a plan.
pub trait Shell: Runner {
    /// What the command printed, byte for byte.
    ///
    /// # Errors
    /// A sentence that says why there is no output.
    fn output(&mut self, command: &str) -> Result<Vec<u8>, String>;
}

/// Whether commands may run for this launch, and if not, why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Permission {
    /// They may.
    Granted,
    /// They may not, but for what needs no command.
    Denied {
        /// Why, as the end of a sentence.
        reason: String,
    },
}

/// The host's shell.
#[derive(Debug)]
pub struct HostShell {
    permission: Permission,
    caller: (u32, u32),
    done: HashMap<(Restriction, String), Result<Vec<u8>, String>>,
}

/// Whether the shell is restricted (bash(1), RESTRICTED SHELL).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Restriction {
    Restricted,
    Plain,
}

impl HostShell {
    /// A shell for a launch by this user and group.
    #[must_use]
    pub fn new(permission: Permission, caller: (u32, u32)) -> Self {
        Self { permission, caller, done: HashMap::new() }
    }

    fn get(&mut self, restriction: Restriction, command: &str) -> Result<Vec<u8>, String> {
        let key = (restriction, command.to_owned());
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        let output = self.fresh(restriction, command);
        self.done.insert(key, output.clone());
        output
    }

    fn fresh(&self, restriction: Restriction, command: &str) -> Result<Vec<u8>, String> {
        if let Some(output) = builtin::answer(command, self.caller) {
            return Ok(output);
        }
        if let Permission::Denied { reason } = &self.permission {
            return Err(format!("may not run: {reason}"));
        }
        if self.done.len() >= limits::COMMANDS {
            return Err(format!("is more than the {} commands a plan may run", limits::COMMANDS));
        }
        if let Some(output) = builtin::asked(command, self.caller) {
            return Ok(output);
        }
        match run::run(restriction == Restriction::Restricted, command) {
            Ok(output) => Ok(output),
            // getent(1) ends with 2 when some of the keys do not exist. Whoever asks for a line of
            // passwd for the user and for nobody gets those that there are.
            Err(CommandError::Status { status: 2, output, .. })
                if builtin::asks_for_accounts(command) && !output.is_empty() =>
            {
                Ok(output)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Runner for HostShell {
    fn run(&mut self, command: &str) -> Result<String, String> {
        let output = self.get(Restriction::Restricted, command)?;
        text(output)
    }
}

impl Shell for HostShell {
    fn output(&mut self, command: &str) -> Result<Vec<u8>, String> {
        self.get(Restriction::Plain, command)
    }
}

/// Output as a value: text without its closing newlines, as a shell would substitute it.
///
/// # Errors
/// It is no text.
pub fn text(output: Vec<u8>) -> Result<String, String> {
    let text = String::from_utf8(output).map_err(|_bytes| "prints something that is not UTF-8".to_owned())?;
    if text.contains('\0') {
        return Err("prints a NUL byte".to_owned());
    }
    Ok(text.trim_end_matches('\n').to_owned())
}
