//! A shell command in a box: own process, mount, network, IPC and UTS namespaces (and a user
//! namespace for an unprivileged caller), every mount read-only, no capabilities, no way to gain
//! any, no descriptors but its own three, an empty environment.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::clone::{Cloned, clone3};

/// What is run.
pub(crate) struct Command {
    /// Absolute path of the program.
    pub(crate) program: CString,
    /// Its arguments, the name included.
    pub(crate) args: Vec<CString>,
    /// User and group of the caller.
    pub(crate) ids: (u32, u32),
}

/// A command that runs.
pub(crate) struct Child {
    /// The process, as a descriptor.
    pub(crate) pidfd: OwnedFd,
    /// What it prints.
    pub(crate) stdout: OwnedFd,
    /// What it complains.
    pub(crate) stderr: OwnedFd,
    /// Where it says which step of its confinement failed, before it becomes the command.
    pub(crate) trouble: OwnedFd,
}

/// The steps between clone and exec, for messages.
pub(crate) const STEPS: [&str; 9] = [
    "mapping its user",
    "standard streams",
    "a private mount tree",
    "its own /proc",
    "read-only mounts",
    "limits",
    "dropping capabilities",
    "closing descriptors",
    "starting the shell",
];

/// Everything the child needs, made beforehand: between clone and exec nothing may allocate.
struct Prepared<'a> {
    program: *const c_char,
    argv: Vec<*const c_char>,
    envp: [*const c_char; 1],
    maps: Option<[(&'a std::ffi::CStr, &'a [u8]); 3]>,
    streams: [RawFd; 3],
    trouble: RawFd,
}

/// Starts a command.
///
/// # Errors
/// Pipes or processes ran out, or namespaces are not allowed.
pub(crate) fn spawn(command: &Command) -> io::Result<Child> {
    let (stdout, child_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, child_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let (trouble, child_trouble) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = std::fs::File::open("/dev/null")?;
    let root = rustix::process::geteuid().is_root();
    let (uid, gid) = command.ids;
    let uid_map = format!("{uid} {uid} 1");
    let gid_map = format!("{gid} {gid} 1");
    let maps: [(&std::ffi::CStr, &[u8]); 3] = [
        (c"/proc/self/setgroups", b"deny"),
        (c"/proc/self/uid_map", uid_map.as_bytes()),
        (c"/proc/self/gid_map", gid_map.as_bytes()),
    ];
    let mut argv: Vec<*const c_char> = command.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let prepared = Prepared {
        program: command.program.as_ptr(),
        argv,
        envp: [std::ptr::null()],
        maps: (!root).then_some(maps),
        streams: [null.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()],
        trouble: child_trouble.as_raw_fd(),
    };
    let user = if root { 0 } else { libc::CLONE_NEWUSER };
    let namespaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | user;
    // What the child does is limited to system calls on memory prepared before.
    match clone3(u64::try_from(namespaces).unwrap_or(0), None)? {
        Cloned::Child(_) => become_command(&prepared),
        Cloned::Parent { pidfd, .. } => Ok(Child { pidfd, stdout, stderr, trouble }),
    }
}

/// The child: confine, then exec.
fn become_command(prepared: &Prepared<'_>) -> ! {
    let step = confine(prepared).err().unwrap_or(STEPS.len() - 1);
    if step == STEPS.len() - 1 {
        // SAFETY: program, argv and envp are null-terminated and outlive the call (the parent's
        // copies are this process's own since clone).
        unsafe { libc::execve(prepared.program, prepared.argv.as_ptr(), prepared.envp.as_ptr()) };
    }
    // SAFETY: errno is read before anything can change it.
    let errno = unsafe { *libc::__errno_location() };
    let message = [u8::try_from(step).unwrap_or(0), errno.to_ne_bytes()[0]];
    // SAFETY: writes two bytes of a live array; there is nobody to tell if that fails. `_exit`
    // runs nothing of the parent's that was copied here.
    unsafe {
        libc::write(prepared.trouble, message.as_ptr().cast(), message.len());
        libc::_exit(127)
    }
}

/// Takes everything away. Says at which step it failed; errno is then that step's.
fn confine(prepared: &Prepared<'_>) -> Result<(), usize> {
    let checked = |step: usize, result: c_int| if result < 0 { Err(step) } else { Ok(()) };
    for (path, text) in prepared.maps.iter().flatten() {
        checked(0, write_whole(path, text))?;
    }
    for (target, fd) in (0..).zip(prepared.streams) {
        // SAFETY: plain numbers; both descriptors are this process's copies.
        checked(1, unsafe { libc::dup2(fd, target) })?;
    }
    let root = c"/".as_ptr();
    let none = std::ptr::null();
    // SAFETY: pointers are to literals or null, as mount(2) allows for these calls. The mount
    // namespace is this process's own.
    unsafe {
        checked(2, libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()))?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let proc = c"proc".as_ptr();
        checked(3, libc::mount(proc, c"/proc".as_ptr(), proc, flags, std::ptr::null()))?;
    }
    checked(4, read_only())?;
    checked(5, limit())?;
    checked(6, drop_capabilities())?;
    // Descriptor 3 and above are the parent's; the trouble pipe closes by itself at exec.
    // SAFETY: plain numbers.
    checked(7, unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int) })
}

fn write_whole(path: &std::ffi::CStr, text: &[u8]) -> c_int {
    // SAFETY: a null-terminated path and a live slice; the descriptor is closed again.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return -1;
        }
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        if usize::try_from(written) == Ok(text.len()) { 0 } else { -1 }
    }
}

/// Makes every mount read-only and deaf to set-user-id, whatever the owner of its files is.
fn read_only() -> c_int {
    // SAFETY: an all-zero mount_attr is valid; it is passed with its size, as mount_setattr(2) wants.
    unsafe {
        let mut attr: libc::mount_attr = std::mem::zeroed();
        attr.attr_set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;
        let result = libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            std::ptr::from_mut(&mut attr),
            size_of::<libc::mount_attr>(),
        );
        c_int::try_from(result).unwrap_or(-1)
    }
}

/// Bytes of address space of a command.
const MEMORY: libc::rlim_t = 1 << 30;

fn limit() -> c_int {
    let limits = [(libc::RLIMIT_AS, MEMORY), (libc::RLIMIT_CORE, 0), (libc::RLIMIT_CPU, 4)];
    for (resource, most) in limits {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `now` is live for both calls. A hard limit is only ever lowered.
        let result = unsafe {
            libc::getrlimit(resource, &raw mut now);
            let most = most.min(now.rlim_max);
            let new = libc::rlimit { rlim_cur: most, rlim_max: most };
            libc::setrlimit(resource, &raw const new)
        };
        if result < 0 {
            return -1;
        }
    }
    0
}

fn drop_capabilities() -> c_int {
    // SAFETY: prctl(2) with plain numbers; capset(2) with a header and two data words as version 3
    // has them, all live.
    unsafe {
        for capability in 0..64_u64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                // The first number the kernel does not know ends the list.
                if *libc::__errno_location() == libc::EINVAL {
                    break;
                }
                return -1;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) < 0
        {
            return -1;
        }
        let header: [u32; 2] = [0x2008_0522, 0];
        let data = [0_u32; 6];
        c_int::try_from(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr())).unwrap_or(-1)
    }
}
