//! What `red-init` does, from its first moment to its last, in system calls alone.
//!
//! Compiled twice: into a program of its own (`main.rs`), which the C library is no part of, and into this
//! crate, for machines where that program cannot be had. Failures are reported to the launcher as a
//! step and an error number; the messages are the launcher's.

use core::convert::Infallible;
use core::ffi::c_char;

use super::kernel::{self, signal};

/// Words of the command line before the command: its name and six numbers.
const OWN_WORDS: usize = 7;

/// Exit status when the command could not be started.
const NOT_STARTED: i32 = 125;

/// Exit status when nothing is known of the command's end.
const UNKNOWN: i32 = 255;

/// First byte of a message about a failure; what follows is a [`Step`], the error number as two bytes with the
/// lower one first, and the path of the program.
pub(super) const FAILED: u8 = b'x';

/// The message that everything is done but to start the command.
const READY: &[u8] = b"r";

/// The step at which something failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Closing what is not the command's.
    Descriptors,
    /// Talking to the launcher.
    Launcher,
    /// The launcher ended before it sent GO.
    Unrecorded,
    /// Waiting for that.
    Waiting,
    /// Asking to end with the launcher.
    DeathSignal,
    /// The launcher had ended before that was asked.
    Orphaned,
    /// Holding back signals.
    Signals,
    /// Making the command's process.
    Process,
    /// Executing the command.
    Command,
    /// Keeping others from looking into this process.
    Hiding,
}

/// Why the command does not run: the step and its error number, zero where there is none.
struct Failure(Step, i32);

/// Adds the step to the error of a system call.
trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T> At<T> for kernel::Result<T> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| Failure(step, errno))
    }
}

/// Arguments of red-init.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Arguments {
    /// Descriptor of the socket to the launcher.
    socket: i32,
    /// The command is its child.
    reap: bool,
    /// Be killed when the launcher ends.
    die_with_parent: bool,
    /// Number of descriptors after the standard streams that the command gets.
    preserve: u32,
    /// Wait for GO before the command is started.
    waits: bool,
    /// Descriptor that the exit status is written to, as one byte; zero where it is not.
    ended: i32,
}

impl Arguments {
    /// Reads the words after the name.
    fn read<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut next = || number(words.next()?);
        Some(Self {
            socket: i32::try_from(next()?).ok()?,
            reap: next()? != 0,
            die_with_parent: next()? != 0,
            preserve: next()?,
            waits: next()? != 0,
            ended: i32::try_from(next()?).ok()?,
        })
    }
}

/// A decimal number.
fn number(word: &[u8]) -> Option<u32> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// The command: its path, its arguments and its environment, as execve(2) takes them.
#[derive(Clone, Copy)]
struct Command {
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
}

/// Starts the command and, where it reaps, waits for it. Never returns.
///
/// # Safety
/// `argv` points to `argc` pointers to strings and a null pointer after them, `envp` to pointers to strings
/// that a null pointer ends; nothing changes them any more.
pub(super) unsafe fn run(argc: usize, argv: *const *const c_char, envp: *const *const c_char) -> ! {
    // The path of the program and at least its name.
    if argc < OWN_WORDS + 2 {
        kernel::exit(NOT_STARTED);
    }
    // SAFETY: there are more pointers than `OWN_WORDS`, and all point to strings, as the caller says.
    let words = (1..OWN_WORDS).map(|at| unsafe { bytes(*argv.add(at)) });
    let Some(arguments) = Arguments::read(words) else { kernel::exit(NOT_STARTED) };
    // SAFETY: as above; the null pointer ends the command's arguments too.
    let command = unsafe { Command { program: *argv.add(OWN_WORDS), argv: argv.add(OWN_WORDS + 1), envp } };
    // SAFETY: the caller says that they are such lists, and stay so.
    let Err(Failure(step, errno)) = unsafe { begin(arguments, command) };
    let [low, high, ..] = errno.to_le_bytes();
    // SAFETY: it points to a string, as the caller says.
    let program = unsafe { bytes(command.program) };
    // Of a launcher that is gone nobody is left to tell.
    kernel::send(arguments.socket, &[FAILED, step as u8, low, high], program).unwrap_or(());
    kernel::exit(NOT_STARTED)
}

/// A string without the NUL byte that ends it.
///
/// # Safety
/// It points to a string that nothing changes while it is borrowed.
unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: no byte after the one that ends the string is looked at.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text.cast(), length)
    }
}

/// Does everything up to the command's end.
///
/// # Safety
/// The command is one of [`run`]'s.
unsafe fn begin(arguments: Arguments, command: Command) -> Result<Infallible, Failure> {
    let socket = arguments.socket;
    // Only the conversation and the locks are open beside what is passed. The locks are this process's
    // own, not its child's; where it becomes the command itself they stay with it.
    if arguments.reap {
        // The command has the same user: it would take the conversation, or have this process forget its orders.
        kernel::hide().at(Step::Hiding)?;
        kernel::close_from_on_exec(3_u32.saturating_add(arguments.preserve)).at(Step::Descriptors)?;
    }
    // It may lie in the range that is passed, where fewer were passed than announced.
    kernel::close_on_exec(socket).at(Step::Launcher)?;
    let ready = || kernel::send(socket, READY, &[]).at(Step::Launcher);
    if arguments.waits {
        ready()?;
        // Of a launcher that was killed before it wrote the record nothing is left.
        wait_go(socket)?;
    }
    let death = if arguments.die_with_parent { signal::KILL } else { 0 };
    kernel::set_parent_death_signal(death).at(Step::DeathSignal)?;
    // It may have ended before that was said; its end of the conversation is closed then.
    if arguments.die_with_parent && kernel::is_left(socket).at(Step::Launcher)? {
        return Err(Failure(Step::Orphaned, 0));
    }
    if !arguments.waits {
        ready()?;
    }
    let Command { program, argv, envp } = command;
    if !arguments.reap {
        kernel::reset_signals();
        // SAFETY: the caller says that these are what execve(2) takes.
        return Err(Failure(Step::Command, unsafe { kernel::execve(program, argv, envp) }));
    }
    // A launcher's caller may have ignored it; then there would be nothing to wait for (wait(2), "ECHILD").
    kernel::reset_signal(signal::CHLD);
    // What the terminal or the launcher sends is for the command.
    kernel::block(&signal::OF_THE_COMMAND).at(Step::Signals)?;
    // SAFETY: as above.
    let command = unsafe { kernel::spawn(program, argv, envp) }.at(Step::Process)?;
    let command = command.at(Step::Command)?;
    reap(arguments, command)
}

/// Blocks until the launcher sends GO.
fn wait_go(socket: i32) -> Result<(), Failure> {
    let mut message = [0];
    match kernel::receive(socket, &mut message).at(Step::Waiting)? {
        1.. if message == *b"g" => Ok(()),
        _ => Err(Failure(Step::Unrecorded, 0)),
    }
}

/// Reaps whatever ends until the command has, and ends as it did. The kernel then ends the rest.
fn reap(Arguments { socket, preserve, ended, .. }: Arguments, command: i32) -> ! {
    kernel::set_name(c"red-init");
    // The launcher learns from the end of the conversation that the command runs; the streams and what was passed
    // are the command's, and whoever reads what it writes is not kept waiting by us.
    kernel::close(socket);
    kernel::close_up_to(3_u32.saturating_add(preserve) - 1);
    loop {
        match kernel::wait() {
            Ok((pid, status)) if pid == command => {
                let code = code(status);
                if ended != 0 {
                    kernel::write(ended, code as u8);
                }
                kernel::exit(code)
            }
            Ok(_) => {}
            Err(_) => kernel::exit(UNKNOWN),
        }
    }
}

/// The exit status that tells how a process ended (wait(2), "status").
fn code(status: i32) -> i32 {
    match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_arguments_are_six_numbers() {
        let read = |words: &str| Arguments::read(words.split(' ').map(str::as_bytes));
        let (reap, die_with_parent, preserve, waits) = (true, false, 4_294_967_295, true);
        let arguments = Arguments { socket: 4, reap, die_with_parent, preserve, waits, ended: 7 };
        assert_eq!(read("4 1 0 4294967295 1 7"), Some(arguments));
        for wrong in
            ["", "4 1 0 2 1", "4 1 0 4294967296 1 0", "-4 1 0 2 1 0", "4  0 2 1 0", "4294967295 1 0 0 1 0"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_exit_status_is_that_of_a_shell() {
        for (status, told) in [(0, 0), (0x0300, 3), (0xff00, 255), (9, 137), (11 | 0x80, 139)] {
            assert_eq!(code(status), told, "{status:#x}");
        }
    }
}
