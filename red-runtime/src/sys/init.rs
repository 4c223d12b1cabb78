//! `red-init`: the program of its own that red-runtime carries, and the same in this program.

use std::ffi::{CString, c_char};

mod kernel;
mod life;
#[path = "init/host.rs"]
mod raw;

pub(crate) use life::Step;

/// The program, where there is one for the architecture (`build.rs`).
#[cfg(red_init)]
pub(crate) const PROGRAM: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/red-init")));
/// The program, where there is one for the architecture (`build.rs`).
#[cfg(not(red_init))]
pub(crate) const PROGRAM: Option<&[u8]> = None;

/// A failure that red-init reports: why the command does not run.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct FailureReport<'a> {
    /// The step that failed.
    pub(crate) step: Step,
    /// Error number of the system call, zero when none failed.
    pub(crate) errno: i32,
    /// Path of the command.
    pub(crate) program: &'a [u8],
}

/// The first byte of such a message.
pub(crate) const FAILED: u8 = life::FAILED;

/// Parses what follows that byte.
pub(crate) fn parse_failure(message: &[u8]) -> Option<FailureReport<'_>> {
    let [step, low, high, program @ ..] = message else { return None };
    let step = STEPS.into_iter().find(|one| *one as u8 == *step)?;
    Some(FailureReport { step, errno: i32::from(u16::from_le_bytes([*low, *high])), program })
}

const STEPS: [Step; 10] = [
    Step::Descriptors,
    Step::Launcher,
    Step::Unrecorded,
    Step::Waiting,
    Step::DeathSignal,
    Step::Orphaned,
    Step::Signals,
    Step::Process,
    Step::Command,
    Step::Hiding,
];

unsafe extern "C" {
    /// The environment of this process (environ(7)).
    static environ: *const *const c_char;
}

/// Runs red-init in this program. Never returns.
pub(crate) fn run(args: &[CString]) -> ! {
    let argv: Vec<*const c_char> = args.iter().map(|arg| arg.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: both are lists of pointers to strings that end with a null pointer; this process has one thread,
    // and nothing in it changes its environment.
    unsafe { life::run(args.len(), argv.as_ptr(), environ) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_program_of_one_page() {
        if cfg!(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64",
            target_arch = "arm"
        )) {
            let program = PROGRAM.expect("`build.rs` warns where there is none");
            assert!(program.starts_with(b"\x7fELF") && program.len() <= 4096, "{} bytes", program.len());
        }
    }

    #[test]
    fn a_failure_is_parsed_as_it_was_sent() {
        let missing = FailureReport { step: Step::Command, errno: 2, program: b"/bin/x" };
        assert_eq!(
            parse_failure(&[Step::Command as u8, 2, 0, b'/', b'b', b'i', b'n', b'/', b'x']),
            Some(missing)
        );
        for step in STEPS {
            assert_eq!(
                parse_failure(&[step as u8, 1, 1]),
                Some(FailureReport { step, errno: 257, program: b"" })
            );
        }
        assert_eq!((parse_failure(&[99, 0, 0]), parse_failure(&[0, 0])), (None, None));
    }
}
