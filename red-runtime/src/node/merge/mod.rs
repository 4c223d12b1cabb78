//! A family → one configuration, every entry with where it came from and whom it overrode
//! (REDPAK §4). Nothing is read or written here; nothing is dropped in silence.

pub mod binds;
mod capabilities;
mod claims;
mod environ;
mod exports;
mod limits;
mod paths;
mod shares;
mod tags;
#[cfg(test)]
mod tests;

use super::diagnostic::{Code, Diagnostic, Report};
use super::expand::{self, BUILT_IN, Commands, ExpandError, FromLeaf, Launch, Runner, Scope, Text};
use super::family::{Family, Layer, Origin};
use super::source::{At, Located};
use super::value;

pub use capabilities::Capabilities;
pub use claims::{Claim, Names};
pub use environ::Variable;
pub use exports::{Export, Hidden, Source};
pub use limits::{Level, Tightest};
pub use paths::PathItem;
pub use shares::{Shares, Sharing};
pub use tags::{Identity, Packages, Tags};

/// An entry that another one took the place of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lost {
    /// Where it was written.
    pub origin: Origin,
    /// What it said.
    pub value: String,
    /// Why it does not hold.
    pub why: Why,
}

/// Why an entry does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// A younger node says otherwise, and may.
    Younger,
    /// An older node has said otherwise, and the oldest decides.
    Older,
    /// An admin file says otherwise.
    Admin,
    /// It is only the core OS's default.
    Default,
    /// It is private to a node that is not the leaf.
    Private,
}

impl Why {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Younger => "redefined by a younger node",
            Self::Older => "overloaded by an older node",
            Self::Admin => "overloaded by an admin file",
            Self::Default => "default of the core OS, replaced",
            Self::Private => "private to a node that is not the leaf",
        }
    }
}

/// A value, where it came from, and whom it overrode.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved<T> {
    /// What holds.
    pub value: T,
    /// Where it was written; `None` is the built-in default.
    pub origin: Option<Origin>,
    /// What does not hold.
    pub over: Vec<Lost>,
}

impl<T> Resolved<T> {
    /// A value nobody wrote.
    pub fn default(value: T) -> Self {
        Self { value, origin: None, over: Vec::new() }
    }
}

/// A family merged.
#[derive(Clone, Debug)]
pub struct Merged {
    /// Directories of programs, strongest first.
    pub path: Vec<PathItem>,
    /// Directories of libraries, strongest first.
    pub ldpath: Vec<PathItem>,
    /// Variables, by name.
    pub environ: Vec<Variable>,
    /// Exports, by mount point.
    pub exports: Vec<Export>,
    /// Exports private to nodes that are not the leaf.
    pub hidden: Vec<Hidden>,
    /// What the nodes above the leaf give away to be written to.
    pub claims: Vec<Claim>,
    /// Namespaces.
    pub shares: Shares,
    /// Capabilities that were named.
    pub capabilities: Capabilities,
    /// The tags of which there is one.
    pub tags: Tags,
    /// Package directories of each node, oldest first.
    pub packages: Vec<Packages>,
    /// Package directories that redmain names: the core OS's own.
    pub core_packages: Vec<Text>,
    /// Limits of each node, oldest first.
    pub levels: Vec<Level>,
    /// Limits where the whole family shares one cgroup.
    pub tightest: Tightest,
}

/// What becomes of `$(…)` while a family is merged.
pub enum CommandUse<'r> {
    /// Shown as written. Nothing is run.
    Keep,
    /// Run.
    Run(&'r mut dyn Runner),
}

/// Merges a family for one launch.
///
/// The report holds what was found: with errors in it the result is for showing only.
pub fn merge<'a>(family: &'a Family, launch: &'a Launch, commands: CommandUse<'a>) -> (Merged, Report) {
    let mut merger = Merger::new(family, launch, commands);
    let tags = tags::merge(&mut merger);
    let shares = shares::merge(&mut merger);
    let capabilities = capabilities::merge(&mut merger);
    let (exports, hidden) = exports::merge(&mut merger);
    let claims = claims::all(&merger);
    let environ = environ::merge(&mut merger);
    let path = paths::merge(&mut merger, |config| config.tags.path.as_ref());
    let ldpath = paths::merge(&mut merger, |config| config.tags.ldpath.as_ref());
    let packages = tags::packages(&mut merger);
    let core_packages = tags::core_packages(&mut merger);
    let (levels, tightest) = limits::merge(&mut merger);
    let merged = Merged {
        path,
        ldpath,
        environ,
        exports,
        hidden,
        claims,
        shares,
        capabilities,
        tags,
        packages,
        core_packages,
        levels,
        tightest,
    };
    (merged, merger.report)
}

/// Who the command runs as, needed before anything that names `$UID` expands.
///
/// The report holds what was found.
pub fn identity(family: &Family, launch: &Launch) -> (Identity, Report) {
    let mut merger = Merger::new(family, launch, CommandUse::Keep);
    let identity = tags::identity(&mut merger);
    (identity, merger.report)
}

/// What every part of the merge needs.
struct Merger<'a> {
    family: &'a Family,
    layers: Vec<Layer<'a>>,
    launch: &'a Launch,
    commands: CommandUse<'a>,
    report: Report,
}

/// Whether commands have a meaning in a text.
#[derive(Clone, Copy, PartialEq)]
enum Shell {
    /// `$(…)` is an error.
    Never,
    /// `$(…)` is run.
    Substitution,
    /// The same, in a text that is no path.
    Value,
    /// The whole text goes to a shell.
    Whole,
}

impl<'a> Merger<'a> {
    fn new(family: &'a Family, launch: &'a Launch, commands: CommandUse<'a>) -> Self {
        let layers = family.layers();
        Self { family, layers, launch, commands, report: Report::default() }
    }

    /// Layers whose admin bit is `admin`, oldest first, redmain included.
    fn layers(&self, admin: bool) -> impl DoubleEndedIterator<Item = Layer<'a>> + use<'a> {
        let layers: Vec<Layer<'a>> =
            self.layers.iter().filter(|layer| layer.admin == admin).copied().collect();
        layers.into_iter()
    }

    /// The layer an origin is in.
    fn layer(&self, origin: Origin) -> Option<Layer<'a>> {
        self.layers.iter().find(|layer| layer.id == origin.layer).copied()
    }

    /// How people call the layer of an origin.
    fn name(&self, origin: Origin) -> String {
        self.layer(origin).map_or_else(|| "?".to_owned(), |layer| layer.name())
    }

    /// Expands a text of a layer; `None` after reporting why it does not expand. In paths and names,
    /// which is all that is neither a [`Shell::Value`] nor a [`Shell::Whole`] text, what a leaf calls
    /// itself is one name.
    fn expand(&mut self, layer: &Layer<'a>, text: &Located<String>, shell: Shell) -> Option<Text> {
        let (expanded, from) = self.expand_told(layer, text, shell)?;
        let path = matches!(shell, Shell::Never | Shell::Substitution);
        if let Some((part, why)) = expand::astray(&expanded.actual, &from).filter(|_| path) {
            self.astray(text.at, part, why);
            return None;
        }
        Some(expanded)
    }

    /// Refuses what a leaf calls itself where a path takes one name.
    fn astray(&mut self, at: At, part: &FromLeaf, why: &str) {
        let (variable, value) = (part.variable, super::fields::shorten(&part.value));
        let alias = &self.family.leaf().vars.alias;
        let message =
            format!("`${variable}` is `{value}` in node `{alias}`, and a path takes one name there: {why}");
        let diagnostic = Diagnostic::error(Code::BadPath, message)
            .at(at)
            .related(self.said_by_leaf(part.variable), "the leaf calls itself so here")
            .help("use `$LEAF_ALIAS`, which is always one name, or change what the leaf calls itself");
        self.report.push(diagnostic);
    }

    /// Where the leaf says what it is called.
    fn said_by_leaf(&self, variable: &str) -> At {
        let headers = &self.family.leaf().config.headers;
        let said = match variable {
            "LEAF_NAME" => headers.name.as_ref().map(|name| name.at),
            "LEAF_INFO" => headers.info.as_ref().map(|info| info.at),
            _ => None,
        };
        said.unwrap_or(headers.alias.at)
    }

    /// Expands a text of a layer, and says what the leaf chose of it.
    fn expand_told(
        &mut self,
        layer: &Layer<'a>,
        text: &Located<String>,
        shell: Shell,
    ) -> Option<(Text, Vec<FromLeaf>)> {
        // Most texts have nothing to expand.
        if !text.value.contains('$') {
            return Some((Text::literal(text.value.clone()), Vec::new()));
        }
        let leaf = &self.family.leaf().vars;
        let scope = Scope { node: layer.vars, leaf, launch: self.launch };
        let commands = match (shell, &mut self.commands) {
            (Shell::Never, _) => Commands::Forbidden,
            (Shell::Whole, _) => Commands::ForShell,
            (_, CommandUse::Keep) => Commands::Keep,
            (_, CommandUse::Run(runner)) => Commands::Run(*runner),
        };
        match expand::expand_told(&text.value, scope, commands) {
            Ok((expanded, from)) => {
                for name in &expanded.unknown {
                    self.unknown(name, text.at);
                }
                Some((expanded, from))
            }
            Err(error) => {
                self.report.push(expansion(&error).at(text.at));
                None
            }
        }
    }

    fn unknown(&mut self, name: &str, at: At) {
        let near = value::nearest(name, BUILT_IN);
        self.report.push(
            Diagnostic::warning(
                Code::UnknownVariable,
                format!("`${name}` is neither built in nor in the environment: it stands for nothing"),
            )
            .at(at)
            .maybe_help(near.map(|near| format!("did you mean `${near}`? `\\$` is a plain dollar"))),
        );
    }

    /// The one layer that decides a tag by the seed's rule (oldest ancestor; redmain is only the
    /// default; admin before normal), with what the others said.
    fn oldest<T>(
        &mut self,
        tag: &str,
        read: impl Fn(&Layer<'a>) -> Option<&'a Located<T>>,
        show: impl Fn(&T) -> String,
    ) -> Option<(Layer<'a>, &'a Located<T>, Vec<Lost>)>
    where
        T: PartialEq,
    {
        let rank = |layer: &Layer<'_>| (!layer.admin, layer.node.is_none(), layer.age());
        let mut said: Vec<(Layer<'a>, &'a Located<T>)> =
            self.layers.iter().filter_map(|layer| Some((*layer, read(layer)?))).collect();
        said.sort_by_key(|(layer, _)| rank(layer));
        let mut said = said.into_iter();
        let (winner, value) = said.next()?;
        let mut over = Vec::new();
        for (layer, other) in said.filter(|(_, other)| other.value != value.value) {
            let why = match (layer.admin, layer.node) {
                (false, _) if winner.admin => Why::Admin,
                (_, None) => Why::Default,
                _ => Why::Older,
            };
            if why == Why::Older {
                self.report.push(
                    Diagnostic::note(
                        Code::Overloaded,
                        format!("`{tag}` of {} is overloaded by {}", layer.name(), winner.name()),
                    )
                    .at(other.at)
                    .related(value.at, "the oldest node decides"),
                );
            }
            over.push(Lost { origin: layer.origin(other.at), value: show(&other.value), why });
        }
        Some((winner, value, over))
    }
}

/// The mistake that an expansion error is.
fn expansion(error: &ExpandError) -> Diagnostic {
    let help = match error {
        ExpandError::Forbidden { .. } => {
            "commands run only in `mount` and `path` of exports and in values of mode Default"
        }
        ExpandError::Unclosed => "close it, or write `\\$(` for the text itself",
        ExpandError::TooDeep { .. } | ExpandError::TooManySteps => {
            "look for a variable whose value leads back to itself"
        }
        ExpandError::TooLong => "look for variables that repeat each other",
        ExpandError::Failed { .. } => "try the command by itself as the launching user",
        ExpandError::ZeroByte => "remove it",
    };
    Diagnostic::error(Code::Expansion, error.to_string()).help(help)
}
