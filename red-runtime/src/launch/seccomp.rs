//! System call filters of a configuration (runtime specification, config-linux.md, "Seccomp"): compiled by
//! libseccomp, loaded by ourselves.
//!
//! Compiling and loading are apart, so that a filter is loaded as the very last call but execve(2): a list
//! of what is allowed then need not name calls that only we make. Only a filter that asks an agent is loaded
//! before `create` returns, for the agent is told by then.

use std::io::{Read, Seek};
use std::os::fd::OwnedFd;

use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall, Spec,
};
use rustix::fs::MemfdFlags;

use super::console::connect_to;
use super::error::{Doing, LaunchError};
use super::process::chain;
use super::sync::send_descriptor;
use crate::sys::seccomp::{Filter, Instruction, flag};

/// A connection to whoever answers for the filter of a configuration.
///
/// # Errors
/// Nobody listens there.
pub(super) fn listener(seccomp: Option<&LinuxSeccomp>) -> Result<Option<OwnedFd>, LaunchError> {
    let path = seccomp.and_then(|seccomp| seccomp.listener_path().clone());
    path.map(|path| connect_to(&path)).transpose()
}

/// A filter that only has to be loaded.
#[derive(Debug)]
pub(super) struct Compiled {
    program: Vec<Instruction>,
    flags: u64,
}

/// Compiles a filter.
///
/// # Errors
/// It says what the kernel or libseccomp has no way to do; nothing of it is left out.
pub(super) fn compile(seccomp: &LinuxSeccomp) -> Result<Compiled, LaunchError> {
    if seccomp.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(refused("defaultAction", "SCMP_ACT_NOTIFY for every call would ask for itself"));
    }
    let context = context(seccomp).map_err(|error| match error {
        Failed::Refused(error) => error,
        Failed::Library(error) => LaunchError::refused("linux.seccomp", chain(&error)),
    })?;
    let asks = seccomp.syscalls().iter().flatten().any(asks);
    if asks && seccomp.listener_path().is_none() {
        return Err(refused("listenerPath", "is missing, and the filter asks whoever listens there"));
    }
    Ok(Compiled { program: exported(&context)?, flags: flags(seccomp, asks) })
}

impl Compiled {
    /// Whether it asks an agent.
    pub(super) fn asks(&self) -> bool {
        self.flags & flag::NEW_LISTENER != 0
    }

    /// Loads it. The caller has no_new_privs, or CAP_SYS_ADMIN. Nothing is allocated. Returns the descriptor
    /// that an agent answers at, when it asks one.
    ///
    /// # Errors
    /// seccomp(2) fails.
    pub(super) fn load(&self) -> rustix::io::Result<Option<OwnedFd>> {
        Filter::new(&self.program).load_with(self.flags)
    }
}

/// Whether a rule asks an agent.
fn asks(rule: &LinuxSyscall) -> bool {
    rule.action() == LinuxSeccompAction::ScmpActNotify
}

fn refused(entry: &str, why: &str) -> LaunchError {
    LaunchError::refused(format!("linux.seccomp.{entry}"), why)
}

/// Flags of seccomp(2). There is one thread, so all of them get the filter anyway; and the kernel refuses
/// the flag that says so beside that of a listener.
fn flags(seccomp: &LinuxSeccomp, asks: bool) -> u64 {
    let one = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => flag::LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flag::SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => flag::WAIT_KILLABLE_RECV,
    };
    let listener = if asks { flag::NEW_LISTENER } else { 0 };
    seccomp.flags().iter().flatten().map(one).fold(listener, std::ops::BitOr::bitor)
}

/// Why a filter is not compiled.
enum Failed {
    /// Of ourselves.
    Refused(LaunchError),
    /// Of libseccomp.
    Library(libseccomp::error::SeccompError),
}

impl From<libseccomp::error::SeccompError> for Failed {
    fn from(error: libseccomp::error::SeccompError) -> Self {
        Self::Library(error)
    }
}

fn context(seccomp: &LinuxSeccomp) -> Result<ScmpFilterContext, Failed> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret()).map_err(Failed::Refused)?;
    let mut context = ScmpFilterContext::new(default)?;
    for one in seccomp.architectures().iter().flatten() {
        context.add_arch(architecture(*one))?;
    }
    for rule in seccomp.syscalls().iter().flatten() {
        if asks(rule) && rule.names().iter().any(|name| name == "write") {
            return Err(Failed::Refused(refused("syscalls", "SCMP_ACT_NOTIFY cannot be asked for write")));
        }
        let action = action(rule.action(), rule.errno_ret()).map_err(Failed::Refused)?;
        // That is what happens anyway, and libseccomp refuses to be told so.
        if action == default {
            continue;
        }
        // A name that this machine does not know is of another architecture, or of a newer kernel.
        for call in rule.names().iter().filter_map(|name| ScmpSyscall::from_name(name).ok()) {
            add(&mut context, action, call, rule.args().as_deref().unwrap_or_default())?;
        }
    }
    Ok(context)
}

/// Adds a rule for a call. All conditions have to hold; but where several are about one argument, each is a
/// rule by itself, as every runtime has it.
fn add(
    context: &mut ScmpFilterContext,
    action: ScmpAction,
    call: ScmpSyscall,
    conditions: &[LinuxSeccompArg],
) -> Result<(), Failed> {
    let all: Vec<ScmpArgCompare> = conditions.iter().map(condition).collect::<Result<_, _>>()?;
    let mut indices: Vec<usize> = conditions.iter().map(LinuxSeccompArg::index).collect();
    indices.sort_unstable();
    indices.dedup();
    if indices.len() == all.len() {
        context.add_rule_conditional(action, call, &all)?;
        return Ok(());
    }
    for one in all {
        context.add_rule_conditional(action, call, &[one])?;
    }
    Ok(())
}

/// A condition. Of a masked comparison `value` is the mask, and `valueTwo` what has to be left.
fn condition(condition: &LinuxSeccompArg) -> Result<ScmpArgCompare, Failed> {
    let index = u32::try_from(condition.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| {
        Failed::Refused(refused("syscalls", "args.index: a call has six arguments, 0 to 5"))
    })?;
    let (value, second) = (condition.value(), condition.value_two().unwrap_or(0));
    Ok(match condition.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(value), second)
        }
        LinuxSeccompOperator::ScmpCmpNe => ScmpArgCompare::new(index, ScmpCompareOp::NotEqual, value),
        LinuxSeccompOperator::ScmpCmpLt => ScmpArgCompare::new(index, ScmpCompareOp::Less, value),
        LinuxSeccompOperator::ScmpCmpLe => ScmpArgCompare::new(index, ScmpCompareOp::LessOrEqual, value),
        LinuxSeccompOperator::ScmpCmpEq => ScmpArgCompare::new(index, ScmpCompareOp::Equal, value),
        LinuxSeccompOperator::ScmpCmpGe => ScmpArgCompare::new(index, ScmpCompareOp::GreaterEqual, value),
        LinuxSeccompOperator::ScmpCmpGt => ScmpArgCompare::new(index, ScmpCompareOp::Greater, value),
    })
}

fn action(action: LinuxSeccompAction, number: Option<u32>) -> Result<ScmpAction, LaunchError> {
    // The kernel has 16 bits for it (seccomp(2), SECCOMP_RET_DATA).
    let number = number.unwrap_or(libc::EPERM.cast_unsigned());
    let short = u16::try_from(number).map_err(|_large| refused("errnoRet", "is more than 65535"));
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(i32::from(short?)),
        LinuxSeccompAction::ScmpActTrace => ScmpAction::Trace(short?),
        LinuxSeccompAction::ScmpActNotify => ScmpAction::Notify,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
    })
}

fn architecture(arch: Arch) -> ScmpArch {
    match arch {
        Arch::ScmpArchNative => ScmpArch::Native,
        Arch::ScmpArchX86 => ScmpArch::X86,
        Arch::ScmpArchX86_64 => ScmpArch::X8664,
        Arch::ScmpArchX32 => ScmpArch::X32,
        Arch::ScmpArchArm => ScmpArch::Arm,
        Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
        Arch::ScmpArchMips => ScmpArch::Mips,
        Arch::ScmpArchMips64 => ScmpArch::Mips64,
        Arch::ScmpArchMips64n32 => ScmpArch::Mips64N32,
        Arch::ScmpArchMipsel => ScmpArch::Mipsel,
        Arch::ScmpArchMipsel64 => ScmpArch::Mipsel64,
        Arch::ScmpArchMipsel64n32 => ScmpArch::Mipsel64N32,
        Arch::ScmpArchPpc => ScmpArch::Ppc,
        Arch::ScmpArchPpc64 => ScmpArch::Ppc64,
        Arch::ScmpArchPpc64le => ScmpArch::Ppc64Le,
        Arch::ScmpArchS390 => ScmpArch::S390,
        Arch::ScmpArchS390x => ScmpArch::S390X,
        Arch::ScmpArchRiscv64 => ScmpArch::Riscv64,
        Arch::ScmpArchParisc => ScmpArch::Parisc,
        Arch::ScmpArchParisc64 => ScmpArch::Parisc64,
        Arch::ScmpArchLoongarch64 => ScmpArch::Loongarch64,
        Arch::ScmpArchM68k => ScmpArch::M68k,
        Arch::ScmpArchSh => ScmpArch::Sh,
        Arch::ScmpArchSheb => ScmpArch::Sheb,
    }
}

/// The instructions of a filter, as libseccomp writes them (seccomp_export_bpf(3)).
fn exported(context: &ScmpFilterContext) -> Result<Vec<Instruction>, LaunchError> {
    let what = || "the system call filter";
    let memory = rustix::fs::memfd_create("filter", MemfdFlags::CLOEXEC).doing(what)?;
    let mut file = std::fs::File::from(memory);
    context.export_bpf(&file).map_err(|error| LaunchError::refused("linux.seccomp", chain(&error)))?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).doing(what)?;
    let (all, rest) = bytes.as_chunks::<8>();
    if all.len() > Filter::MOST || !rest.is_empty() {
        return Err(LaunchError::refused(
            "linux.seccomp",
            format!("the filter has {} instructions; the kernel takes {}", all.len(), Filter::MOST),
        ));
    }
    Ok(all.iter().map(crate::sys::seccomp::instruction).collect())
}

/// Hands the descriptor of a filter to the agent that answers for it. `pid` is of the process that has the
/// filter, `state` that of its container.
///
/// # Errors
/// The agent is gone.
pub(super) fn hand_over(
    spec: &Spec,
    (pid, state): (i32, &str),
    listener: &OwnedFd,
    notify: &OwnedFd,
) -> Result<(), LaunchError> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone()).unwrap_or_default();
    let state: serde_json::Value = serde_json::from_str(state).unwrap_or_default();
    let message = serde_json::json!({
        "ociVersion": spec.version(),
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": state,
    });
    send_descriptor(listener, message.to_string().as_bytes(), notify).doing(|| "the seccomp listener")
}

#[cfg(test)]
mod tests;
