//! The only place with `unsafe`: system calls that no safe wrapper offers.
//!
//! Each block says which invariant makes it sound. Everything above this module sees owned
//! descriptors and plain values.

#![allow(unsafe_code, reason = "system calls without a safe wrapper; everything else goes through rustix")]

pub(crate) mod clone;
pub(crate) mod confined;
pub(crate) mod descriptors;
pub(crate) mod filter;
pub(crate) mod keyring;
#[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "a launch has flags of more kinds"))]
pub(crate) mod mount_attr;
pub(crate) mod seccomp;

#[cfg(feature = "launch")]
pub(crate) mod bpf;
#[cfg(feature = "launch")]
pub(crate) mod exec;
#[cfg(feature = "launch")]
pub(crate) mod heap;
#[cfg(feature = "launch")]
pub(crate) mod init;
#[cfg(feature = "launch")]
pub(crate) mod namespace;
#[cfg(feature = "launch")]
pub(crate) mod schedule;
#[cfg(feature = "launch")]
pub(crate) mod signal;

/// Gives every signal its default effect and blocks none. What is ignored or blocked stays so over exec
/// (signal(7)): by whoever started this program, by this program itself, and SIGPIPE by the runtime of its
/// language, whose programs get an error instead. Made of system calls alone, for a clone that shares memory.
pub(crate) fn reset_signals() {
    /// The largest number of a signal; the C library hides some of them.
    const LAST: libc::c_int = 64;
    // SAFETY: an all-zero kernel sigaction is SIG_DFL without flags and with an empty mask, and the set is
    // of the size the kernel knows (rt_sigaction(2)). It is larger than any architecture's structure. That
    // SIGKILL and SIGSTOP are refused changes nothing: nobody can ignore them.
    unsafe {
        let (default, none) = ([0_u64; 8], 0_u64);
        for signal in 1..=LAST {
            let old = std::ptr::null_mut::<libc::c_void>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of::<u64>());
        }
        let old = std::ptr::null_mut::<libc::c_void>();
        let none = &raw const none;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, none, old, size_of::<u64>());
    }
}

/// Sets SIGCHLD to its default. Of a caller that ignores it every child would be gone before it could
/// be waited for (waitpid(2), "ECHILD"), and what a program ignores stays ignored over exec.
pub(crate) fn keep_children() {
    // SAFETY: no handler is involved. It is called before there is a second thread or a child.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Has the limit on sizes of files be an error of write(2), which is reported, and no signal that ends this program
/// before it can say so (setrlimit(2), RLIMIT_FSIZE). Commands get every signal at its default.
pub(crate) fn report_file_sizes() {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// The limit of a resource that this process has (getrlimit(2)). A filter of system calls can deny that:
/// `SystemCallFilter=~@resources` of a unit does. Asked with 64 bits everywhere: the C library's type has 32 on some
/// architectures, where it makes "no limit" of larger ones.
///
/// # Errors
/// What prlimit(2) says.
#[cfg(feature = "launch")]
pub(crate) fn limit(of: rustix::process::Resource) -> rustix::io::Result<rustix::process::Rlimit> {
    /// `RLIM64_INFINITY` (linux/resource.h).
    const NONE: u64 = u64::MAX;
    /// A `struct rlimit64`: current and maximum.
    type Limits = [u64; 2];
    let mut now: Limits = [0; 2];
    let (own, keep) = (0, std::ptr::null::<Limits>());
    // SAFETY: the place for the answer is live and of the size that the kernel writes, nothing is set, and the
    // kernel's number of a resource is that of the enumeration.
    if unsafe { libc::syscall(libc::SYS_prlimit64, own, of as libc::c_long, keep, &raw mut now) } != 0 {
        return Err(last());
    }
    let [current, maximum] = now.map(|number| (number != NONE).then_some(number));
    Ok(rustix::process::Rlimit { current, maximum })
}

/// What the last system call of this thread failed with.
fn last() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

#[cfg(all(test, feature = "launch"))]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_that_the_kernel_shows() {
        use rustix::process::Resource::{Core, Fsize, Nofile};
        let shown = std::fs::read_to_string("/proc/self/limits").unwrap();
        for (kind, name) in
            [(Nofile, "Max open files"), (Fsize, "Max file size"), (Core, "Max core file size")]
        {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let mut words = line.split_whitespace().map(|word| word.parse::<u64>().ok());
            let found = limit(kind).unwrap();
            assert_eq!(
                (found.current, found.maximum),
                (words.next().unwrap(), words.next().unwrap()),
                "{name}"
            );
        }
    }
}
