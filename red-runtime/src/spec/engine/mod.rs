//! An engine's configuration and a node's plan → one configuration (docs/src/engines.md).
//!
//! The root is the node's. API file systems and the engine's own files come from the engine, the
//! node's exports next, the user's volumes last, and a volume that would cover an export is
//! refused. Of namespaces, capabilities and limits the stricter holds; where the node forbids what
//! the engine demands, nothing starts.

mod block_io;
mod facts;
mod identity;
pub(crate) mod limits;
pub(crate) mod mounts;
mod namespaces;
pub(crate) mod process;
pub mod room;
#[cfg(test)]
mod tests;

use oci_spec::runtime::{Mount, Spec};

pub use facts::{
    BindSource, EngineFacts, EngineFile, KernelFs, NamedNamespace, Owner, freeze, is_bind, is_frozen,
    is_read_only,
};

pub use namespaces::joined;

use super::plan::Plan;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::node::guard::Opened;

/// One mount of what runs.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a list of one launch, made once and read once")]
pub enum Placed {
    /// The plan's, by its position in the layout.
    Node(usize),
    /// The engine's.
    Engine {
        /// The mount, its destination behind the plan's own links.
        mount: Mount,
        /// Who wants it.
        need: Need,
        /// The source of a bind, as it was opened.
        source: Option<Opened>,
    },
}

/// Who wants a mount of an engine's configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// The user of the engine.
    User,
    /// The engine, or a kubelet, for this container.
    Engine,
    /// The engine, for whoever has a use for it: it is left out where there is nothing to mount it on.
    Optional,
}

/// What runs.
#[derive(Clone, Debug)]
pub struct Combined {
    /// The configuration, but for its mounts.
    pub spec: Spec,
    /// The mounts, in the order they are made.
    pub mounts: Vec<Placed>,
    /// Whether the root is read-only in the end.
    pub readonly: bool,
}

/// Combines. `None` when the report has errors, each of which names the node's line and the
/// engine's entry.
#[must_use]
pub fn combine(
    engine: &Spec,
    facts: &EngineFacts,
    plan: &Plan,
    family: &Family,
) -> (Option<Combined>, Report) {
    let mut report = Report::default();
    let mut spec = engine.clone();
    namespaces::combine(&mut spec, facts, plan, &mut report);
    process::combine(&mut spec, facts, plan, &mut report);
    limits::combine(&mut spec, plan, &mut report);
    let mounts = mounts::combine(engine, facts, plan, family, &mut report);
    spec.set_mounts(None);
    let mut annotations = spec.annotations().clone().unwrap_or_default();
    for (key, value) in plan.spec.annotations().iter().flatten() {
        annotations.insert(key.clone(), value.clone());
    }
    spec.set_annotations(Some(annotations));
    let readonly = engine.root().as_ref().is_some_and(|root| root.readonly().unwrap_or(false));
    (!report.has_errors())
        .then_some(Combined { spec, mounts, readonly })
        .map_or((None, report.clone()), |combined| (Some(combined), report))
}

/// A refusal.
fn refused(message: String) -> Diagnostic {
    Diagnostic::error(Code::EngineConflict, message)
}
