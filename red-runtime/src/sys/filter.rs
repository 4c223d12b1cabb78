//! The standard system call filters: of our own launches, of nodes that engines launch, and of scriptlets in
//! the install view. They deny what nothing there needs and what has led out of containers, and allow all
//! else. An engine brings a filter of its own for the rest.
//!
//! A program of the classic BPF (seccomp(2)), written out per architecture, because a launch has no
//! time for compiling one. The kernel remembers which calls it allows whatever their arguments, so
//! a running command pays for ioctl(2), open(2) and chmod(2) only.

mod abi;

use libc::sock_filter;

use abi::{ABIS, Abi, Moding, mode_of};

use super::seccomp::Test::{AnyOf, AtLeast, Equal};
use super::seccomp::{self, ARCHITECTURE, Filter, NUMBER, argument, fail, finish, when};

/// What a denied call returns: `EPERM`, as without the privilege; `ENOSYS`, as in a kernel without
/// the call, so that programs fall back to what they did before it existed.
const PERM: u32 = fail(libc::EPERM);
const NOSYS: u32 = fail(libc::ENOSYS);

/// Requests that put characters into the input of a terminal (TIOCSTI: CVE-2017-5226, TIOCLINUX:
/// CVE-2023-28100). The kernel looks at the lower half of the argument only, and so does the filter
/// (CVE-2019-10063).
const TERMINAL_INPUT: [u32; 2] = [0x5412, 0x541c];

/// Calls of the generic table, the same number everywhere: io_uring_setup, io_uring_enter,
/// io_uring_register.
const IO_URING: [u32; 3] = [425, 426, 427];

/// mount(2) by descriptors and what came with it, from the generic table: open_tree, move_mount,
/// fsopen, fsconfig, fsmount, fspick, mount_setattr; and pidfd_getfd.
const GENERIC: [u32; 8] = [428, 429, 430, 431, 432, 433, 442, 438];

/// clone3(2), from the generic table.
const CLONE3: u32 = 435;

/// fchmodat2(2), from the generic table.
const FCHMODAT2: u32 = 452;

/// openat2(2), from the generic table. The mode is in memory, where a filter cannot look.
const OPENAT2: u32 = 437;

/// Flags of open(2) with which the mode counts: O_CREAT, and that of O_TMPFILE which is not O_DIRECTORY. They are
/// the same in all ABIs of the table (asm-generic/fcntl.h).
const MAKES: u32 = 0o100 | 0o20_000_000;

/// Set-user-ID and set-group-ID (inode(7)). A directory with the latter is harmless, but a filter cannot
/// see what a mode is for.
const SET_ID: u32 = 0o6000;

/// Every namespace flag of clone(2). That of time namespaces lies in the bits of the exit signal there.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Kinds of sockets that scriptlets may have: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, all of which end
/// at the view's network namespace. AF_VSOCK (vsock(7)) reaches the hypervisor from every namespace,
/// and AF_ALG and the rarer ones are kernel code that no scriptlet needs.
const FAMILIES: [u32; 4] = [1, 2, 10, 16];

/// Whom a filter is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// The command of a launch.
    #[cfg(feature = "launch")]
    Command,
    /// The command of a node that an engine launches, beside the engine's own filter. It only keeps files of
    /// writable exports from being made set-user-ID or set-group-ID: nobody inside gains by one (`nosuid`,
    /// `no_new_privs`), but users of the host do who reach it by the path of the export (CVE-2021-41091 was
    /// that of another store). That goes for new files too: the bits end with the first byte that a node writes, but
    /// not with those that the host's root appends, and set-group-ID stays where the group may not execute, which
    /// an access control list changes later. As with systemd's `RestrictSUIDSGID=`, openat2(2) and io_uring are
    /// absent for it.
    #[cfg(feature = "launch")]
    Node,
    /// Scriptlets, and rpm that runs them, once the install view stands: nobody there makes namespaces
    /// or mounts, or looks into other processes.
    Scriptlets,
}

impl Who {
    /// Whether it is more than an addition to another filter.
    fn is_whole(self) -> bool {
        #[cfg(feature = "launch")]
        let whole = self != Self::Node;
        #[cfg(not(feature = "launch"))]
        let whole = true;
        whole
    }
}

/// Whether this architecture has a filter.
pub(crate) const AVAILABLE: bool = !ABIS.is_empty();

/// Loads the filter. The caller has no_new_privs, or CAP_SYS_ADMIN.
///
/// # Errors
/// The architecture has no filter yet (EOPNOTSUPP), or seccomp(2) fails.
pub(crate) fn load(who: Who) -> rustix::io::Result<()> {
    if !AVAILABLE {
        return Err(rustix::io::Errno::OPNOTSUPP);
    }
    Filter::new(&program(who)).load()
}

/// The program: a block for each ABI; a call of any other ABI is absent.
fn program(who: Who) -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(ARCHITECTURE)];
    for abi in &ABIS {
        let block = block(abi, who);
        // Past a block that is not this architecture's. Blocks are far shorter than a jump reaches.
        all.push(when(Equal, abi.arch, u8::try_from(block.len()).unwrap_or(u8::MAX)));
        all.extend(block);
    }
    all.push(finish(NOSYS));
    all
}

/// What becomes of one call.
#[derive(Clone, Copy)]
enum Verdict {
    /// It fails with this action.
    Fail(u32),
    /// The request decides.
    Ioctl,
    /// It makes no namespaces.
    Clone,
    /// The family decides.
    Socket,
    /// The mode decides.
    Mode(Moding),
}

impl Verdict {
    /// What is done once the call is known.
    fn instructions(self) -> Vec<sock_filter> {
        let one_of = |allowed: bool, argument_index: u32, numbers: &[u32], otherwise: u32| {
            let mut all = vec![seccomp::load(argument(argument_index))];
            let (hit, miss) = if allowed {
                (libc::SECCOMP_RET_ALLOW, otherwise)
            } else {
                (otherwise, libc::SECCOMP_RET_ALLOW)
            };
            all.extend(numbers.iter().flat_map(|number| [when(Equal, *number, 1), finish(hit)]));
            all.push(finish(miss));
            all
        };
        match self {
            Self::Fail(action) => vec![finish(action)],
            Self::Ioctl => one_of(false, 1, &TERMINAL_INPUT, PERM),
            Self::Socket => one_of(true, 0, &FAMILIES, fail(libc::EAFNOSUPPORT)),
            Self::Mode(Moding { mode, flags, .. }) => {
                let mut all = vec![seccomp::load(argument(mode))];
                if let Some(flags) = flags {
                    // Past the flags, and what is done for them.
                    all.extend([when(AnyOf, SET_ID, 3), seccomp::load(argument(flags))]);
                    all.extend([when(AnyOf, MAKES, 1), finish(PERM)]);
                } else {
                    all.extend([when(AnyOf, SET_ID, 1), finish(PERM)]);
                }
                all.push(finish(libc::SECCOMP_RET_ALLOW));
                all
            }
            Self::Clone => {
                let none = [when(AnyOf, NAMESPACES, 1), finish(PERM), finish(libc::SECCOMP_RET_ALLOW)];
                std::iter::once(seccomp::load(argument(0))).chain(none).collect()
            }
        }
    }
}

fn block(abi: &Abi, who: Who) -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(NUMBER)];
    if let Some(bit) = abi.second {
        all.extend([when(AtLeast, bit, 1), finish(NOSYS)]);
    }
    let mut calls: Vec<(u32, Verdict)> = Vec::new();
    if who.is_whole() {
        calls.extend(abi.denied.iter().map(|call| (*call, Verdict::Fail(PERM))));
        calls.extend(abi.absent.iter().map(|call| (*call, Verdict::Fail(NOSYS))));
        calls.push((abi.ioctl, Verdict::Ioctl));
    } else {
        calls.extend(IO_URING.map(|call| (call, Verdict::Fail(NOSYS))));
    }
    if who == Who::Scriptlets {
        calls.extend(abi.inner.iter().chain(&GENERIC).map(|call| (*call, Verdict::Fail(PERM))));
        calls.extend([(abi.clone, Verdict::Clone), (abi.socket, Verdict::Socket)]);
        // Its flags are in memory, where a filter cannot look; the C library goes on with clone(2), and
        // instead of socketcall(2) with socket(2).
        calls.extend(abi.socketcall.iter().chain([&CLONE3]).map(|call| (*call, Verdict::Fail(NOSYS))));
    } else {
        // rpm gives files of packages their modes; the store looks at what is left of them afterwards.
        let modes = abi.modes.iter().copied().chain([mode_of(FCHMODAT2, 2)]);
        calls.extend(modes.map(|one| (one.call, Verdict::Mode(one))));
        calls.push((OPENAT2, Verdict::Fail(NOSYS)));
    }
    calls.sort_unstable_by_key(|(call, _)| *call);
    tree(&calls, &mut all);
    all
}

/// A search tree over the calls: loading a filter, the kernel runs it once for every call that there is.
fn tree(calls: &[(u32, Verdict)], all: &mut Vec<sock_filter>) {
    if calls.len() > 2 {
        let (below, above) = calls.split_at(calls.len() / 2);
        let mut upper = Vec::new();
        tree(above, &mut upper);
        all.push(when(AtLeast, above[0].0, u8::try_from(upper.len()).unwrap_or(u8::MAX)));
        all.extend(upper);
        return tree(below, all);
    }
    for (call, verdict) in calls {
        let then = verdict.instructions();
        all.push(when(Equal, *call, u8::try_from(then.len()).unwrap_or(u8::MAX)));
        all.extend(then);
    }
    all.push(finish(libc::SECCOMP_RET_ALLOW));
}

#[cfg(test)]
mod tests;
