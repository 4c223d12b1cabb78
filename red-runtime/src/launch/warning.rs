//! Warnings: what went wrong and changes nothing.

/// Writes a warning to stderr, as one line. `--log` is for errors only: engines take what stands there for
/// the reason of a failure.
pub(crate) fn warn(text: &str) {
    let line = format!("red-runtime: warning: {}\n", crate::node::render::visible(text));
    // When stderr is gone there is nobody left to tell.
    super::error::tried(rustix::io::write(rustix::stdio::stderr(), line.as_bytes()));
}
