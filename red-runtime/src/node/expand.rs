//! Variables and commands in texts (REDPAK §3).
//!
//! Every expansion yields two texts. The *actual* one is what a launch uses. The *canonical* one
//! keeps what differs from launch to launch as it was written (`$UID`, `$(id -un)`), so that the
//! digest of a plan does not depend on who starts it, when, or from which shell.

mod leaf;
mod names;

use std::borrow::Cow;

pub use self::leaf::{FromLeaf, astray};
pub use self::names::BUILT_IN;
pub use super::launch::Launch;
use super::limits;
pub use super::text::Text;
use super::text::escape;

/// What a node gives to the texts of its own files, and the leaf to those of all.
#[derive(Clone, Debug, Default)]
pub struct NodeVars {
    /// `NODE_ALIAS`.
    pub alias: String,
    /// `NODE_NAME`.
    pub name: String,
    /// `NODE_PATH`.
    pub path: String,
    /// `NODE_INFO`.
    pub info: String,
    /// Name of the configuration file below the node (old or new spelling).
    pub config_file: &'static str,
    /// Name of the admin file below the node (old or new spelling).
    pub admin_file: &'static str,
}

/// Whose text is expanded, in which family and launch.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The node whose file the text stands in.
    pub node: &'a NodeVars,
    /// The terminal node.
    pub leaf: &'a NodeVars,
    /// The launch.
    pub launch: &'a Launch,
}

/// Runs the commands of `$(…)`.
pub trait Runner {
    /// What the command printed, without trailing newlines.
    ///
    /// # Errors
    /// A sentence that says why there is no output.
    fn run(&mut self, command: &str) -> Result<String, String>;
}

/// What `$(…)` means in a text.
pub enum Commands<'r> {
    /// An error.
    Forbidden,
    /// Kept as written: the text is shown, not used.
    Keep,
    /// Kept for the shell that will get the whole text, with variables expanded.
    ForShell,
    /// Text like any other.
    AsText,
    /// Run.
    Run(&'r mut dyn Runner),
}

/// Why a text does not expand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpandError {
    /// A value that leads back to itself, or nearly.
    #[error("`${name}` expands through more than {} others", limits::EXPANSION_DEPTH)]
    TooDeep {
        /// The variable at which it was given up.
        name: String,
    },
    /// Values that multiply.
    #[error("more than {} variables to look up", limits::EXPANSION_STEPS)]
    TooManySteps,
    /// Longer than any use of it.
    #[error("longer than {} bytes once expanded", limits::EXPANDED_BYTES)]
    TooLong,
    /// `$(` without `)`.
    #[error("`$(` without its `)`")]
    Unclosed,
    /// A command where none is run.
    #[error("`$({command})`: commands are not run here")]
    Forbidden {
        /// What stands between the parentheses.
        command: String,
    },
    /// A command that failed.
    #[error("`$({command})` {reason}")]
    Failed {
        /// What was run.
        command: String,
        /// What happened.
        reason: String,
    },
    /// Variables in a text for the shell, inside `$(…)` that never ends.
    #[error("a zero byte")]
    ZeroByte,
}

/// Expands a text.
///
/// `$NAME` and `${NAME}` are variables, `\$` is a dollar, and so is a `$` before anything that
/// cannot be a name. Values are expanded in turn but for paths of nodes, which are taken as they
/// are on disk; commands in values are never run.
///
/// # Errors
/// A bound was passed, or a command is not allowed, not closed or failed.
pub fn expand(text: &str, scope: Scope<'_>, commands: Commands<'_>) -> Result<Text, ExpandError> {
    Ok(expand_told(text, scope, commands)?.0)
}

/// The same, with the parts of it that the leaf chose.
///
/// # Errors
/// As [`expand`].
pub fn expand_told(
    text: &str,
    scope: Scope<'_>,
    commands: Commands<'_>,
) -> Result<(Text, Vec<FromLeaf>), ExpandError> {
    let mut expander = Expander::new(scope, 0);
    let mut commands = commands;
    expander.text(text, 0, &mut commands)?;
    if expander.out.actual.contains('\0') {
        return Err(ExpandError::ZeroByte);
    }
    if expander.out.actual != text {
        expander.out.written = Some(text.to_owned());
    }
    Ok((expander.out, expander.leaf))
}

struct Expander<'a> {
    scope: Scope<'a>,
    out: Text,
    steps: usize,
    /// How many variables that differ per launch are being expanded: inside them only the
    /// actual text grows.
    frozen: usize,
    /// What the leaf chose of it.
    leaf: Vec<FromLeaf>,
    /// Whether this is in a command that is kept.
    enclosed: bool,
}

impl<'a> Expander<'a> {
    fn new(scope: Scope<'a>, steps: usize) -> Self {
        Self { scope, out: Text::default(), steps, frozen: 0, leaf: Vec::new(), enclosed: false }
    }

    fn text(&mut self, text: &str, depth: usize, commands: &mut Commands<'_>) -> Result<(), ExpandError> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('\\') {
                self.push(before)?;
                self.push("$")?;
                rest = &from[1..];
                continue;
            }
            self.push(before)?;
            rest = self.dollar(&from[1..], depth, commands)?;
        }
        self.push(rest)
    }

    /// Handles what follows a `$` and returns what follows that.
    fn dollar<'t>(
        &mut self,
        after: &'t str,
        depth: usize,
        commands: &mut Commands<'_>,
    ) -> Result<&'t str, ExpandError> {
        if let (Some(inner), false) = (after.strip_prefix('('), matches!(commands, Commands::AsText)) {
            let end = closing(inner).ok_or(ExpandError::Unclosed)?;
            self.command(&inner[..end], depth, commands)?;
            return Ok(&inner[end + 1..]);
        }
        let braced = after.strip_prefix('{').and_then(|inner| {
            let end = inner.find('}')?;
            is_name(&inner[..end]).then_some((&inner[..end], &inner[end + 1..]))
        });
        let length = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, rest) = braced.unwrap_or(after.split_at(length));
        if name.is_empty() {
            self.push("$")?;
        } else {
            self.variable(name, depth)?;
        }
        Ok(rest)
    }

    fn variable(&mut self, name: &str, depth: usize) -> Result<(), ExpandError> {
        self.steps += 1;
        if self.steps > limits::EXPANSION_STEPS {
            return Err(ExpandError::TooManySteps);
        }
        if depth >= limits::EXPANSION_DEPTH {
            return Err(ExpandError::TooDeep { name: name.to_owned() });
        }
        let found = lookup(name, self.scope);
        if found.volatile {
            self.freeze(&format!("${{{name}}}"))?;
        }
        let from = self.out.actual.len();
        let result = match found.value {
            None => {
                if self.out.unknown.iter().all(|one| one != name) {
                    self.out.unknown.push(name.to_owned());
                }
                Ok(())
            }
            Some(value) if found.literal => self.push(&value),
            // `$(…)` in a value is text: only what the node's author wrote is ever run.
            Some(value) => self.text(&value, depth + 1, &mut Commands::AsText),
        };
        if found.volatile {
            self.frozen -= 1;
        }
        if let Some(variable) = leaf::chosen(name) {
            let value = self.out.actual[from..].to_owned();
            self.leaf.push(FromLeaf { variable, value, at: (!self.enclosed).then_some(from) });
        }
        result
    }

    fn command(&mut self, inner: &str, depth: usize, commands: &mut Commands<'_>) -> Result<(), ExpandError> {
        match commands {
            Commands::Forbidden => Err(ExpandError::Forbidden { command: inner.to_owned() }),
            Commands::AsText | Commands::ForShell => self.enclosed(inner, depth),
            Commands::Keep => {
                self.out.unresolved = true;
                self.enclosed(inner, depth)
            }
            Commands::Run(runner) => {
                let mut command = Expander::new(self.scope, self.steps);
                command.text(inner, depth + 1, &mut Commands::ForShell)?;
                self.steps = command.steps;
                self.leaf.extend(command.leaf.into_iter().map(|part| FromLeaf { at: None, ..part }));
                let output = runner
                    .run(&command.out.actual)
                    .map_err(|reason| ExpandError::Failed { command: command.out.actual.clone(), reason })?;
                self.out.unknown.append(&mut command.out.unknown);
                self.freeze(&format!("$({})", command.out.canonical()))?;
                let pushed = self.push(&output);
                self.frozen -= 1;
                pushed
            }
        }
    }

    /// `$(…)` kept, with its variables expanded.
    fn enclosed(&mut self, inner: &str, depth: usize) -> Result<(), ExpandError> {
        let outer = std::mem::replace(&mut self.enclosed, true);
        self.raw("$(")?;
        self.text(inner, depth, &mut Commands::ForShell)?;
        self.enclosed = outer;
        self.raw(")")
    }

    /// Adds to both texts.
    fn push(&mut self, text: &str) -> Result<(), ExpandError> {
        if let (Some(symbolic), 0) = (&mut self.out.symbolic, self.frozen) {
            symbolic.push_str(&escape(text));
        }
        self.out.actual.push_str(text);
        self.check()
    }

    /// Adds to both texts without escaping dollars, for a command that is kept.
    fn raw(&mut self, text: &str) -> Result<(), ExpandError> {
        self.split();
        if let (Some(symbolic), 0) = (&mut self.out.symbolic, self.frozen) {
            symbolic.push_str(text);
        }
        self.out.actual.push_str(text);
        self.check()
    }

    /// Adds to the canonical text only, and keeps it from growing until `frozen` is counted down.
    fn freeze(&mut self, symbol: &str) -> Result<(), ExpandError> {
        self.split();
        if let (Some(symbolic), 0) = (&mut self.out.symbolic, self.frozen) {
            symbolic.push_str(symbol);
        }
        self.frozen += 1;
        self.check()
    }

    /// From here on the two texts differ.
    fn split(&mut self) {
        if self.out.symbolic.is_none() {
            self.out.symbolic = Some(escape(&self.out.actual).into_owned());
        }
    }

    fn check(&self) -> Result<(), ExpandError> {
        let symbolic = self.out.symbolic.as_ref().map_or(0, String::len);
        if self.out.actual.len().max(symbolic) > limits::EXPANDED_BYTES {
            return Err(ExpandError::TooLong);
        }
        Ok(())
    }
}

/// What a name stands for.
struct Found<'a> {
    value: Option<Cow<'a, str>>,
    /// Differs from launch to launch.
    volatile: bool,
    /// Is not expanded in turn.
    literal: bool,
}

fn lookup<'a>(name: &str, scope: Scope<'a>) -> Found<'a> {
    let stable = |value: Cow<'a, str>| Found { value: Some(value), volatile: false, literal: false };
    let path = |value: Cow<'a, str>| Found { value: Some(value), volatile: false, literal: true };
    let fresh = |value: Cow<'a, str>| Found { value: Some(value), volatile: true, literal: true };
    let environment = &scope.launch.environment;
    let set = |name: &str, default: &'static str| {
        Cow::Borrowed(environment.get(name).map_or(default, String::as_str))
    };
    let below = |file: &str| path(Cow::Owned(format!("{}/{file}", scope.node.path)));
    match name {
        "NODE_ALIAS" => stable(Cow::Borrowed(&scope.node.alias)),
        "NODE_NAME" => stable(Cow::Borrowed(&scope.node.name)),
        "NODE_INFO" => stable(Cow::Borrowed(&scope.node.info)),
        "NODE_PATH" => path(Cow::Borrowed(&scope.node.path)),
        "LEAF_ALIAS" => stable(Cow::Borrowed(&scope.leaf.alias)),
        "LEAF_NAME" => stable(Cow::Borrowed(&scope.leaf.name)),
        "LEAF_INFO" => stable(Cow::Borrowed(&scope.leaf.info)),
        "LEAF_PATH" => path(Cow::Borrowed(&scope.leaf.path)),
        "UID" => fresh(Cow::Owned(scope.launch.uid.to_string())),
        "GID" => fresh(Cow::Owned(scope.launch.gid.to_string())),
        "PID" => fresh(Cow::Owned(scope.launch.pid.to_string())),
        "TODAY" => fresh(Cow::Borrowed(scope.launch.today())),
        "UUID" => fresh(Cow::Borrowed(scope.launch.uuid())),
        "USER" | "LOGNAME" => Found { value: Some(set(name, "Unknown")), volatile: true, literal: false },
        "HOSTNAME" => Found { value: Some(set(name, "localhost")), volatile: true, literal: false },
        "NODE_PREFIX" => stable(set(name, "")),
        "REDPESK_VERSION" => stable(set(name, "agl-redpesk9")),
        "redpak_MAIN" => stable(set(name, "$NODE_PREFIX/etc/redpak/main.yaml")),
        "redpak_TMPL" => stable(set(name, "$NODE_PREFIX/etc/redpak/templates.d")),
        "CGROUPS_MOUNT_POINT" => stable(set(name, "/sys/fs/cgroup")),
        "REDNODE_CONF" => below(scope.node.config_file),
        "REDNODE_ADMIN" => below(scope.node.admin_file),
        "REDNODE_STATUS" => below(".rednode.yaml"),
        "REDNODE_VARDIR" => below("var/lib/rpm"),
        "REDNODE_REPODIR" => below("etc/yum.repos.d"),
        "REDNODE_LOCK" => below(".rpm.lock"),
        _ => Found {
            value: environment.get(name).map(|value| Cow::Borrowed(value.as_str())),
            volatile: true,
            literal: false,
        },
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Position of the parenthesis that closes a command whose opening one is already passed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests;
