//! Names of red-runtime's annotations, in configurations of containers, in images and in units.

/// Prefix of all of them.
pub const PREFIX: &str = "bzh.redpesk.redpak";

/// Names the node of a container.
pub const REDPATH: &str = "redpath";
/// Starts the node in admin mode.
pub const ADMIN: &str = "admin";
/// Makes what is missing an error.
pub const STRICT: &str = "strict";
/// The digest that the node's plan must have.
pub const PLAN_DIGEST: &str = "plan-digest";

/// Annotations that name a node and say how to start it. In a pod each may end in `.` and the name of a
/// container.
pub const KEYS: [&str; 4] = [REDPATH, ADMIN, STRICT, PLAN_DIGEST];

/// Those of [`KEYS`] that decide what a container may do: an annotation of a stranger must not have them.
pub const UNSAFE: [&str; 3] = [REDPATH, ADMIN, STRICT];

/// The node that a configuration was made from. It asks for nothing.
pub const ORIGIN_REDPATH: &str = "origin.redpath";
/// The digest of the plan that a configuration was made from. It asks for nothing.
pub const ORIGIN_DIGEST: &str = "origin.digest";

/// An annotation's whole name.
#[must_use]
pub fn full(name: &str) -> String {
    format!("{PREFIX}.{name}")
}
