//! What `--version` prints, line for line as runc and crun have it: engines show and some parse it.

/// Versions of the specification that configurations may name.
pub(super) const SPEC: (&str, &str) = ("1.0.0", "1.2.0");

/// The commit that was built, where the build says so (`RED_COMMIT`).
pub(super) fn commit() -> &'static str {
    option_env!("RED_COMMIT").unwrap_or("unknown")
}

/// The text behind the program's name.
pub(super) fn text() -> String {
    format!("version {}\ncommit: {}\nspec: {}", env!("CARGO_PKG_VERSION"), commit(), SPEC.1)
}
