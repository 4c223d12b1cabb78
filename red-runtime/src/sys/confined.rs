//! A shell command in a box: namespaces of its own (user, mount, process, network, IPC, UTS), a root
//! of its own that holds programs and configuration of the host and nothing that listens, a user that
//! is nobody, a filter of system calls, no capabilities, no descriptors but its three streams, an empty
//! environment.
//!
//! There is one box for every caller. What cannot be made of it is an error, never a weaker box.

mod filter;

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::clone::{Cloned, clone3};
use super::seccomp::Filter;

/// User and group of a command, as it sees them itself.
pub(crate) const NOBODY: u32 = 65_534;

/// What is run.
pub(crate) struct Command {
    /// Absolute path of the program.
    pub(crate) program: CString,
    /// Its arguments, the name included.
    pub(crate) args: Vec<CString>,
    /// Whom the command is to the rest of the machine.
    pub(crate) outside: Outside,
    /// What the host's top directory has besides `/usr` and `/etc`.
    pub(crate) tops: Vec<Top>,
}

/// Ids that [`NOBODY`] is mapped to, in the caller's user namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outside {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Whether the kernel lets the caller drop additional groups (user_namespaces(7), "setgroups").
    pub(crate) drops_groups: bool,
}

/// A directory of programs or libraries in the host's top directory, `/bin` or the like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Top {
    /// A symbolic link: its name, without a slash, and its target.
    Link(CString, CString),
    /// A directory of its own: its path, and its name.
    Directory(CString, CString),
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

/// A box that could not be made.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Which step failed.
    pub(crate) step: &'static str,
    /// The kernel's reason.
    pub(crate) errno: Errno,
}

/// The steps between clone and exec, for messages.
pub(crate) const STEPS: [&str; 9] = [
    "user nobody",
    "private mount namespace",
    "read-only mounts of the host's programs",
    "root of its own",
    "changing the root",
    "standard streams",
    "resource limits",
    "dropping privileges",
    "starting the shell",
];

/// A mount of the box: where from, where to below the new root, whether it is a directory, flags.
struct Tree<'a> {
    source: &'a CStr,
    target: &'a CStr,
    directory: bool,
    flags: u64,
}

/// Most mounts that a box has.
const TREES: usize = 16;

/// Flags of everything that is the host's: nothing is written, nobody gains anything.
const SEALED: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;

/// Everything the child needs, made beforehand: between clone and exec nothing may allocate.
struct Prepared<'a> {
    program: *const c_char,
    argv: Vec<*const c_char>,
    envp: [*const c_char; 1],
    drops_groups: bool,
    trees: Vec<Tree<'a>>,
    links: Vec<(&'a CStr, &'a CStr)>,
    filter: Filter<'a>,
    outputs: [RawFd; 2],
    go: RawFd,
    trouble: RawFd,
}

/// Starts a command.
///
/// # Errors
/// Pipes or processes ran out, namespaces are not allowed, or ids cannot be mapped.
pub(crate) fn spawn(command: &Command) -> Result<Child, Refused> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Refused { step: "pipes", errno });
    let (stdout, child_stdout) = pipe()?;
    let (stderr, child_stderr) = pipe()?;
    let (trouble, child_trouble) = pipe()?;
    let (child_go, go) = pipe()?;
    let filter = filter::program().ok_or(Refused { step: "system call filter", errno: Errno::OPNOTSUPP })?;
    let mut argv: Vec<*const c_char> = command.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let (trees, links) = contents(&command.tops);
    let prepared = Prepared {
        program: command.program.as_ptr(),
        argv,
        envp: [std::ptr::null()],
        drops_groups: command.outside.drops_groups,
        trees,
        links,
        filter: Filter::new(&filter),
        outputs: [child_stdout.as_raw_fd(), child_stderr.as_raw_fd()],
        go: child_go.as_raw_fd(),
        trouble: child_trouble.as_raw_fd(),
    };
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS;
    // What the child does is limited to system calls on memory prepared before.
    let cloned = clone3(u64::try_from(namespaces).unwrap_or(0), None);
    let refused = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    match cloned.map_err(|error| Refused { step: NAMESPACES, errno: refused(error) })? {
        Cloned::Child(_) => {
            // The child's copy of the other end would keep it from seeing that the caller is gone.
            drop_raw(go.as_raw_fd());
            become_command(&prepared)
        }
        Cloned::Parent { pid, pidfd } => {
            if let Err(error) = map(pid, command.outside).and_then(|()| release(go.as_fd())) {
                abandon(&pidfd);
                return Err(Refused { step: "mapping nobody", errno: refused(error) });
            }
            Ok(Child { pidfd, stdout, stderr, trouble })
        }
    }
}

/// The step that fails where namespaces are not allowed.
pub(crate) const NAMESPACES: &str = "namespaces";

/// What the box is made of: mounts, and symbolic links with their targets.
fn contents(tops: &[Top]) -> (Vec<Tree<'_>>, Vec<(&CStr, &CStr)>) {
    let code = SEALED | libc::MOUNT_ATTR_NODEV;
    let data = code | libc::MOUNT_ATTR_NOEXEC;
    let device = SEALED | libc::MOUNT_ATTR_NOEXEC;
    let tree = |source, target, directory, flags| Tree { source, target, directory, flags };
    let mut trees = vec![
        tree(c"/usr", c"usr", true, code),
        tree(c"/etc", c"etc", true, data),
        tree(c"/dev/null", c"dev/null", false, device),
        tree(c"/dev/zero", c"dev/zero", false, device),
        tree(c"/dev/urandom", c"dev/urandom", false, device),
    ];
    let mut links = vec![
        (c"dev/fd", c"/proc/self/fd"),
        (c"dev/stdin", c"/proc/self/fd/0"),
        (c"dev/stdout", c"/proc/self/fd/1"),
        (c"dev/stderr", c"/proc/self/fd/2"),
    ];
    for top in tops {
        match top {
            Top::Link(name, target) => links.push((name, target)),
            Top::Directory(path, name) => trees.push(tree(path, name, true, code)),
        }
    }
    trees.truncate(TREES);
    (trees, links)
}

/// Maps [`NOBODY`] of the child's user namespace (user_namespaces(7)).
fn map(pid: Pid, outside: Outside) -> io::Result<()> {
    let file = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
    if !outside.drops_groups {
        std::fs::write(file("setgroups"), "deny")?;
    }
    std::fs::write(file("uid_map"), format!("{NOBODY} {} 1", outside.uid))?;
    std::fs::write(file("gid_map"), format!("{NOBODY} {} 1", outside.gid))
}

/// Lets the child go on.
fn release(go: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::io::write(go, b"g")).map(drop).map_err(io::Error::from)
}

/// Ends a child that will not become a command. The error that led here is the one that is told.
fn abandon(pidfd: &OwnedFd) {
    if pidfd_send_signal(pidfd, Signal::KILL).is_ok() {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(_) | Err(_) => {}
        }
    }
}

fn drop_raw(fd: RawFd) {
    // SAFETY: called in the child only, whose copy of the owner of this descriptor is never dropped:
    // the child either becomes another program or ends by `_exit`.
    unsafe { libc::close(fd) };
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

fn checked(step: usize, result: c_int) -> Result<c_int, usize> {
    if result < 0 { Err(step) } else { Ok(result) }
}

/// Takes everything away. Says at which step it failed; errno is then that step's.
fn confine(prepared: &Prepared<'_>) -> Result<(), usize> {
    let mut byte = 0_u8;
    super::reset_signals();
    // SAFETY: reads one byte into a live variable; plain numbers otherwise. Nobody who waits for this
    // process is left when the pipe ends without that byte.
    unsafe {
        if libc::read(prepared.go, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(127);
        }
        checked(0, libc::setsid())?;
    }
    // First of all: a tmpfs takes files only of ids that are mapped.
    checked(0, become_nobody(prepared.drops_groups))?;
    // SAFETY: pointers are to literals or null, as mount(2) allows for this call. The mount namespace
    // is this process's own.
    unsafe {
        let none = std::ptr::null();
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        checked(1, libc::mount(none, c"/".as_ptr(), none, flags, std::ptr::null()))?;
    }
    let trees = detach(&prepared.trees)?;
    checked(3, build(prepared, &trees))?;
    checked(4, change_root())?;
    checked(5, streams(prepared.outputs))?;
    checked(6, limit())?;
    checked(7, drop_capabilities())?;
    // Why is in errno, as after the other steps.
    prepared.filter.load().or(Err(7))
}

fn become_nobody(drops_groups: bool) -> c_int {
    // SAFETY: plain numbers, and a null pointer to no groups at all. The calls are made directly:
    // the C library's wrappers would look for threads to change as well.
    unsafe {
        let id = NOBODY;
        if drops_groups && libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) < 0
            || libc::syscall(libc::SYS_setresgid, id, id, id) < 0
            || libc::syscall(libc::SYS_setresuid, id, id, id) < 0
        {
            return -1;
        }
    }
    0
}

/// Copies of the host's mounts, attached nowhere, with their flags.
fn detach(trees: &[Tree<'_>]) -> Result<[RawFd; TREES], usize> {
    let mut detached = [-1; TREES];
    for (place, tree) in detached.iter_mut().zip(trees) {
        let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
        if tree.directory {
            flags |= libc::AT_RECURSIVE as c_uint;
        }
        // SAFETY: a null-terminated path and plain numbers.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, tree.source.as_ptr(), flags) };
        *place = checked(2, c_int::try_from(fd).unwrap_or(-1))?;
        checked(2, set_flags(*place, c"", tree.directory, tree.flags))?;
    }
    Ok(detached)
}

/// Sets flags of the mount at `path`, which is below the directory `fd`, or `fd` itself when empty.
fn set_flags(fd: RawFd, path: &CStr, recursive: bool, flags: u64) -> c_int {
    let at = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an all-zero mount_attr is valid; it is passed with its size, as mount_setattr(2) wants.
    unsafe {
        let mut attr: libc::mount_attr = std::mem::zeroed();
        attr.attr_set = flags;
        let size = size_of::<libc::mount_attr>();
        let attr = std::ptr::from_mut(&mut attr);
        let result = libc::syscall(libc::SYS_mount_setattr, fd, path.as_ptr(), at, attr, size);
        c_int::try_from(result).unwrap_or(-1)
    }
}

/// The new root, over the host's `/proc`: everybody has that directory, and nothing below it is needed.
fn build(prepared: &Prepared<'_>, trees: &[RawFd; TREES]) -> c_int {
    // SAFETY: all paths and options are null-terminated and outlive the calls; the rest is plain
    // numbers. Mounts are made in a namespace of this process's own.
    unsafe {
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        let (tmpfs, options) = (c"tmpfs".as_ptr(), c"mode=755,size=64k,nr_inodes=64".as_ptr());
        if libc::mount(tmpfs, c"/proc".as_ptr(), tmpfs, flags, options.cast()) < 0
            || libc::chdir(c"/proc".as_ptr()) < 0
        {
            return -1;
        }
        for name in [c"dev", c"proc", c"tmp"] {
            if libc::mkdir(name.as_ptr(), 0o755) < 0 {
                return -1;
            }
        }
        for (name, target) in &prepared.links {
            if libc::symlink(target.as_ptr(), name.as_ptr()) < 0 {
                return -1;
            }
        }
        for (tree, fd) in prepared.trees.iter().zip(trees) {
            let target = tree.target.as_ptr();
            let made = if tree.directory {
                libc::mkdir(target, 0o755)
            } else {
                libc::mknod(target, libc::S_IFREG | 0o444, 0)
            };
            let (empty, at) = (c"".as_ptr(), libc::AT_FDCWD);
            let moves = libc::MOVE_MOUNT_F_EMPTY_PATH;
            if made < 0 || libc::syscall(libc::SYS_move_mount, *fd, empty, at, target, moves) < 0 {
                return -1;
            }
        }
        let proc = c"proc".as_ptr();
        libc::mount(proc, proc, proc, flags | libc::MS_RDONLY, std::ptr::null())
    }
}

/// Makes the current directory the root, and lets go of the old one (pivot_root(2), "pivot_root(\".\",
/// \".\")").
fn change_root() -> c_int {
    // SAFETY: null-terminated paths and plain numbers.
    unsafe {
        let here = c".".as_ptr();
        if libc::syscall(libc::SYS_pivot_root, here, here) < 0
            || libc::umount2(here, libc::MNT_DETACH) < 0
            || libc::chdir(c"/".as_ptr()) < 0
        {
            return -1;
        }
    }
    set_flags(libc::AT_FDCWD, c"/", false, libc::MOUNT_ATTR_RDONLY)
}

/// Standard streams: nothing to read, two pipes. All other descriptors close at exec.
fn streams(outputs: [RawFd; 2]) -> c_int {
    // SAFETY: a null-terminated path and plain numbers; all descriptors are this process's copies.
    // What had the numbers 0 to 2 is the parent's streams, which this process does not use.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if null < 0 {
            return -1;
        }
        // Rust's runtime sees to it that 0 to 2 are open when a program starts, so none of these is one
        // of them.
        for (target, fd) in (0..).zip([null, outputs[0], outputs[1]]) {
            if libc::dup2(fd, target) < 0 {
                return -1;
            }
        }
        // Not every C library has a function for it.
        libc::syscall(libc::SYS_close_range, 3 as c_uint, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as c_uint)
            as c_int
    }
}

/// Limits of each process of a command; of processes themselves, and of what they may hold.
const LIMITS: [(c_uint, libc::rlim_t); 8] = [
    (libc::RLIMIT_AS as c_uint, 1 << 30),
    (libc::RLIMIT_CORE as c_uint, 0),
    (libc::RLIMIT_CPU as c_uint, 4),
    // Counted for the user of this user namespace (since Linux 5.14), so for this command alone.
    (libc::RLIMIT_NPROC as c_uint, 64),
    (libc::RLIMIT_NOFILE as c_uint, 256),
    (libc::RLIMIT_FSIZE as c_uint, 0),
    (libc::RLIMIT_MEMLOCK as c_uint, 64 << 10),
    (libc::RLIMIT_MSGQUEUE as c_uint, 0),
];

fn limit() -> c_int {
    for (resource, most) in LIMITS {
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `now` is live for both calls. A hard limit is only ever lowered.
        let result = unsafe {
            libc::getrlimit(resource as _, &raw mut now);
            let most = most.min(now.rlim_max);
            let new = libc::rlimit { rlim_cur: most, rlim_max: most };
            libc::setrlimit(resource as _, &raw const new)
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
