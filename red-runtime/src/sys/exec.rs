//! Becoming another program.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use rustix::io::Errno;

use super::clone::ChildToken;
use super::last;

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// A program with its arguments and environment, which it takes one system call to become.
pub(crate) struct Image<'a> {
    program: &'a CStr,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl<'a> Image<'a> {
    /// The program of that name.
    pub(crate) fn new(program: &'a CStr, args: &'a [CString], env: &'a [CString]) -> Self {
        Self { program, argv: pointers(args), envp: pointers(env) }
    }

    /// Becomes the program. Returns only when that fails.
    pub(crate) fn execute(&self) -> Errno {
        // SAFETY: all pointers are to null-terminated strings that are borrowed for as long as this lives,
        // and the lists end with a null pointer.
        unsafe { libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        last()
    }
}

/// Has a program that is to be started begin with every signal at its default, after `confine`.
pub(crate) fn begin_with(
    command: &mut std::process::Command,
    confine: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    let begin = move || {
        super::reset_signals();
        confine()
    };
    // SAFETY: what runs between fork and exec makes system calls only, as the callers see to.
    unsafe { command.pre_exec(begin) };
}

/// Becomes the program that a descriptor is of. Returns only when that fails.
pub(crate) fn execve_of(program: impl AsFd, args: &[CString], env: &[CString]) -> Errno {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: as in `execve`; an empty path with AT_EMPTY_PATH means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last()
}

/// Whether the program that a descriptor is of may be executed. A kernel before 6.14 does not know beforehand;
/// then it may, until it is tried.
pub(crate) fn may_execute(program: impl AsFd) -> bool {
    /// Everything but executing it (execveat(2), linux/fcntl.h).
    const AT_EXECVE_CHECK: libc::c_int = 0x10000;
    let (name, none) = (c"".as_ptr(), std::ptr::null::<c_char>());
    let (argv, envp) = ([name, none], [none]);
    // SAFETY: as in `execve_of`.
    let result = unsafe {
        let flags = libc::AT_EMPTY_PATH | AT_EXECVE_CHECK;
        let fd = program.as_fd().as_raw_fd();
        libc::syscall(libc::SYS_execveat, fd, name, argv.as_ptr(), envp.as_ptr(), flags)
    };
    result == 0 || last() == Errno::INVAL
}

/// Closes every descriptor of this process but the standard streams, those in `keep`, and `passed`
/// ones after the standard streams that the caller of this program left open for the command.
///
/// Of the passed range whatever closes on exec is closed too: this program opens everything with
/// CLOEXEC, so such a descriptor is its own, and lies there because fewer were passed than announced.
///
/// The token is what makes this sound: nothing that owns one of the closed descriptors runs again.
///
/// # Errors
/// close_range(2) fails, which it does only on kernels before 5.9.
pub(crate) fn close_all_but(_child: &ChildToken, passed: u32, keep: &[RawFd]) -> rustix::io::Result<()> {
    let first = 3_u32.saturating_add(passed);
    for number in (3..first).filter_map(|number| RawFd::try_from(number).ok()) {
        // SAFETY: F_GETFD reads a flag of a number; one that is not open fails.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC != 0 && !keep.contains(&number) {
            // SAFETY: the token says that its owner never runs again.
            unsafe { libc::close(number) };
        }
    }
    super::descriptors::close_from(first, keep)
}

/// Makes `fd` this process's descriptor `number`, which stays open over exec.
///
/// # Errors
/// What dup3(2) says.
pub(crate) fn place(fd: impl AsFd, number: RawFd) -> rustix::io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: plain numbers. What `number` was is a standard stream or a descriptor that nothing
    // in this process holds any more, as the callers see to.
    let result =
        unsafe { if fd == number { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, number) } };
    if result < 0 { Err(last()) } else { Ok(()) }
}

/// A descriptor that was handed to this process, by number.
///
/// # Errors
/// It is not open.
#[cfg(test)]
pub(crate) fn inherited(number: RawFd) -> rustix::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor and leaves the old one alone.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    // SAFETY: it is fresh, and nobody else owns it.
    if fd < 0 { Err(last()) } else { Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }) }
}

/// Ends this process at once: nothing of what was copied from its parent is run.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// Closes a descriptor of this process that nothing in it uses any more.
pub(crate) fn let_go(number: RawFd) {
    // SAFETY: the caller neither uses it afterwards nor opens anything that could take its number.
    unsafe { libc::close(number) };
}
