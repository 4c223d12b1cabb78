//! What whole-product tests share: families on disk, calls of the built binaries, and brooms.

pub mod broom;
pub mod call;
pub mod containerd;
pub mod daemon;
pub mod engine;
pub mod killer;
pub mod logged;
pub mod packages;
pub mod pages;
pub mod places;
pub mod podman;
pub mod pool;
pub mod random;
pub mod signer;
pub mod stage;
pub mod store;
pub mod terminal;
pub mod variants;

/// Whether everything must work: set in CI. There a missing tool is a failure, for a person it is
/// a reason to skip.
#[must_use]
pub fn must_work() -> bool {
    std::env::var_os("RED_MUST_WORK").is_some_and(|value| value == "1")
}

/// Whether this is the guest machine of `tests/guest`: a stock Debian with systemd and cgroup v2.
#[must_use]
pub fn in_guest() -> bool {
    std::env::var_os("RED_GUEST").is_some_and(|value| value == "1")
}

/// How long to wait for something that needs a moment: so many seconds, times `RED_PATIENCE`, which `tests/guest` sets
/// because its machine is slow.
#[must_use]
pub fn patience(seconds: u64) -> std::time::Duration {
    let factor = std::env::var("RED_PATIENCE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    std::time::Duration::from_secs(seconds.saturating_mul(factor))
}

/// Says which part of a test was left out, for a reason that is no fault of the machine's.
pub fn remark(reason: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("left out: {reason}\n").as_bytes()));
}

/// Says how far a long test is.
pub fn progress(text: &str) {
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()));
}

/// Says that a test needs something this machine does not have.
///
/// # Panics
/// When everything must work.
pub fn skip(reason: &str) {
    assert!(!must_work(), "RED_MUST_WORK=1, but: {reason}");
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {reason}\n").as_bytes()));
}
