//! System call filters of a configuration (runtime specification, config-linux.md, "Seccomp").
//!
//! Compiling and loading are apart, so that a filter is loaded as the very last call but execve(2): a list
//! of what is allowed then need not name calls that only we make. Only a filter that asks an agent is loaded
//! before `create` returns, for the agent is told by then.

mod abi;
mod program;
mod table;

use std::os::fd::OwnedFd;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall, Spec,
};

use super::console::connect_to;
use super::error::{Doing, LaunchError};
use super::sync::send_descriptor;
use crate::sys::seccomp::{Filter, Instruction, flag};
use program::{Condition, Newer, Rule};

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
/// It says what the kernel has no way to do; nothing of it is left out.
pub(super) fn compile(seccomp: &LinuxSeccomp) -> Result<Compiled, LaunchError> {
    if seccomp.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(refused("defaultAction", "SCMP_ACT_NOTIFY for every call would ask for itself"));
    }
    let rules = seccomp.syscalls().as_deref().unwrap_or_default();
    let asking = rules.iter().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    let asks = asking.clone().next().is_some();
    // Nobody answers yet when the agent's descriptor is handed over, for which these are called.
    let needed = |name: &&String| ["write", "sendto", "sendmsg", "capset"].contains(&name.as_str());
    if let Some(name) = asking.flat_map(|rule| rule.names()).find(needed) {
        return Err(refused("syscalls", &format!("SCMP_ACT_NOTIFY cannot be asked for {name}")));
    }
    if asks && seccomp.listener_path().is_none() {
        return Err(refused("listenerPath", "is missing, and the filter asks whoever listens there"));
    }
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut all = Vec::new();
    for rule in rules {
        let action = action(rule.action(), rule.errno_ret())?;
        // What happens anyway is no rule of its own.
        if action != default {
            all.push((rule.names().as_slice(), alternatives(action, rule)?));
        }
    }
    let names = rules.iter().flat_map(|rule| rule.names()).map(String::as_str).collect();
    // A C library asks whether there is a call, and takes another one only where there is none.
    let missing = seccomp.default_action() == LinuxSeccompAction::ScmpActErrno;
    let missing = missing.then_some(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned());
    let newer = missing.map(|missing| Newer { names, missing });
    let archs = seccomp.architectures().as_deref().unwrap_or_default();
    let program = program::program(archs, &all, default, newer.as_ref())
        .ok_or_else(|| LaunchError::refused("linux.seccomp", "not supported on this architecture"))?;
    if program.len() > Filter::MOST {
        let why = format!(
            "its rules come to {} instructions, and the kernel takes {}; leave out rules about arguments, or architectures",
            program.len(),
            Filter::MOST
        );
        return Err(LaunchError::refused("linux.seccomp", why));
    }
    Ok(Compiled { program, flags: flags(seccomp, asks) })
}

/// A rule of a configuration. All its conditions have to hold; but where several are about one argument, each
/// is a rule by itself, as every runtime has it.
fn alternatives(action: u32, rule: &LinuxSyscall) -> Result<Vec<Rule>, LaunchError> {
    let all: Vec<Condition> = rule.args().iter().flatten().map(condition).collect::<Result<_, _>>()?;
    let mut indices: Vec<u32> = all.iter().map(|one| one.index).collect();
    indices.sort_unstable();
    indices.dedup();
    if indices.len() == all.len() {
        return Ok(vec![Rule { action, all }]);
    }
    Ok(all.into_iter().map(|one| Rule { action, all: vec![one] }).collect())
}

fn condition(condition: &LinuxSeccompArg) -> Result<Condition, LaunchError> {
    let index = u32::try_from(condition.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| refused("syscalls", "args.index: a call has six arguments, 0 to 5"))?;
    let second = condition.value_two().unwrap_or(0);
    Ok(Condition { index, op: condition.op(), value: condition.value(), second })
}

/// What an action is to the kernel (linux/seccomp.h).
fn action(action: LinuxSeccompAction, number: Option<u32>) -> Result<u32, LaunchError> {
    let number = number.unwrap_or(libc::EPERM.cast_unsigned());
    let data = || match number {
        // Else it would be another action.
        0..=libc::SECCOMP_RET_DATA => Ok(number),
        _ => Err(refused("errnoRet", "is more than 65535")),
    };
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            libc::SECCOMP_RET_KILL_THREAD
        }
        LinuxSeccompAction::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => libc::SECCOMP_RET_ERRNO | data()?,
        LinuxSeccompAction::ScmpActTrace => libc::SECCOMP_RET_TRACE | data()?,
        LinuxSeccompAction::ScmpActNotify => libc::SECCOMP_RET_USER_NOTIF,
        LinuxSeccompAction::ScmpActLog => libc::SECCOMP_RET_LOG,
        LinuxSeccompAction::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
    })
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
        // Without a listener the kernel takes it for a mistake (seccomp(2)).
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if asks => flag::WAIT_KILLABLE_RECV,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
    };
    let listener = if asks { flag::NEW_LISTENER } else { 0 };
    seccomp.flags().iter().flatten().map(one).fold(listener, std::ops::BitOr::bitor)
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
