//! The program in memory, as the launcher sees it.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::*;
use crate::launch::sync::Message;
use crate::testing::remark;

const REAPS: Orders = Orders { reap: true, die_with_parent: false, preserve: 0, waits: true, ended: None };

/// Starts it with a command, and returns it with the launcher's end of the conversation.
fn start(orders: Orders, command: &[&str]) -> (Child, Sync) {
    let sealed = Sealed::in_memory(sys::init::PROGRAM.unwrap()).unwrap();
    let (ours, theirs) = Sync::pair().unwrap();
    let words = words(orders, &theirs);
    let mut init = Command::new(format!("/proc/self/fd/{}", sealed.file().as_raw_fd()));
    init.arg0(&words[0]).args(&words[1..]).arg(command[0]).args(command).stdout(Stdio::piped());
    sys::exec::begin_with(&mut init, move || {
        // As a launcher's caller may have left it.
        sys::signal::SignalSet::of(&[libc::SIGUSR1, libc::SIGTERM]).block()?;
        Ok(theirs.keep_over_exec()?)
    });
    (init.spawn().unwrap(), ours)
}

/// Lets it start its command, and returns what it says then, how it ends, and what the command prints.
fn run(orders: Orders, command: &[&str]) -> (Option<Message>, ExitStatus, String) {
    let (init, sync) = start(orders, command);
    assert!(matches!(sync.hear(), Ok(Some(Message::Ready))));
    if orders.waits {
        sync.say(&Message::Go).unwrap();
    }
    let said = sync.hear().unwrap();
    let output = init.wait_with_output().unwrap();
    (said, output.status, String::from_utf8(output.stdout).unwrap())
}

fn failed(command: &[&str]) -> LaunchError {
    match run(REAPS, command) {
        (Some(Message::Failed(error)), status, _) if status.code() == Some(125) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_ends_as_its_command_does() {
    for (script, code) in
        [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("(sleep 0.1 &) ; exit 3", 3)]
    {
        for orders in [REAPS, Orders { waits: false, die_with_parent: true, ..REAPS }] {
            let (said, status, _) = run(orders, &["/bin/sh", "-c", script]);
            assert!(said.is_none() && status.code() == Some(code), "{script}: {said:?} {status}");
        }
    }
}

#[test]
fn a_command_that_does_not_run_is_told_as_the_stages_tell_it() {
    let told = |program: &str| (failed(&[program]).to_string(), failed(&[program]).fault());
    let same = |program: &str, errno| {
        let error = refused(program.to_owned(), errno);
        (error.to_string(), error.fault())
    };
    assert_eq!(told("/no/such/command"), same("/no/such/command", Errno::NOENT));
    assert_eq!(told("/etc/passwd"), same("/etc/passwd", Errno::ACCESS));
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(told(&long), same(&long, Errno::NAMETOOLONG));
}

#[test]
fn of_a_launcher_that_is_gone_nothing_starts() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ran").display().to_string();
    let (init, sync) = start(REAPS, &["/usr/bin/touch", &file]);
    assert!(matches!(sync.hear(), Ok(Some(Message::Ready))));
    drop(sync);
    assert_eq!(init.wait_with_output().unwrap().status.code(), Some(125));
    assert!(!place.path().join("ran").exists());
}

#[test]
fn the_command_begins_with_signals_at_their_default() {
    let command = ["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    for reap in [true, false] {
        let (_, _, said) = run(Orders { reap, ..REAPS }, &command);
        let none = "0".repeat(16);
        assert_eq!(said, format!("SigBlk:\t{none}\nSigIgn:\t{none}\n"), "{reap}");
    }
}

#[test]
fn without_a_process_of_its_own_it_becomes_the_command() {
    let (init, sync) = start(Orders { reap: false, ..REAPS }, &["/bin/sh", "-c", "echo $$; exit 4"]);
    let pid = init.id();
    assert!(matches!(sync.hear(), Ok(Some(Message::Ready))));
    sync.say(&Message::Go).unwrap();
    assert!(sync.hear().unwrap().is_none());
    let output = init.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(4), format!("{pid}\n").into_bytes()));
}

#[test]
fn nothing_but_its_own_command_line_makes_it_start_anything() {
    let sealed = Sealed::in_memory(sys::init::PROGRAM.unwrap()).unwrap();
    let program = format!("/proc/self/fd/{}", sealed.file().as_raw_fd());
    for words in [
        &[][..],
        &["1"],
        &["1", "1", "0", "0", "0", "/bin/true"],
        &["x", "1", "0", "0", "0", "/bin/true", "true"],
    ] {
        assert_eq!(Command::new(&program).args(words).status().unwrap().code(), Some(125), "{words:?}");
    }
}

#[test]
fn nobody_writes_to_it() {
    let sealed = Sealed::in_memory(sys::init::PROGRAM.unwrap()).unwrap();
    let path = format!("/proc/self/fd/{}", sealed.file().as_raw_fd());
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!(file.write(b"owned").unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), sys::init::PROGRAM.unwrap());
}

#[test]
fn memory_that_may_not_be_executed_is_not_taken() {
    use rustix::fs::{MemfdFlags, memfd_create};
    // Before 6.3 there is none such.
    let Ok(memory) = memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) else {
        return remark("this kernel has no memory that may not be executed");
    };
    let mut file = std::fs::File::from(memory);
    file.write_all(sys::init::PROGRAM.unwrap()).unwrap();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(6), Some(14)) {
        assert!(!sys::exec::may_execute(&file));
    } else {
        remark("this kernel does not say beforehand what may be executed");
    }
    assert!(sys::exec::may_execute(std::fs::File::open("/proc/self/exe").unwrap()));
}

#[test]
fn whatever_is_told_is_an_error_and_nothing_worse() {
    for step in 0..=u8::MAX {
        for errno in [0_u16, 1, 2, 4095, 4096, 61_441, u16::MAX] {
            let [low, high] = errno.to_le_bytes();
            assert!(!failure(&[step, low, high, b'/', b'x']).to_string().is_empty(), "{step} {errno}");
        }
    }
    // What is too short for a step and a number is told as it is.
    for message in [&[][..], &[8], &[8, 2]] {
        let told = failure(message);
        assert!(matches!(&told, LaunchError::Inside(text) if text.contains("said nothing")), "{told:?}");
    }
}
