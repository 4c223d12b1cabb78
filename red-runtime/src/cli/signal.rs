//! Signals by name or number.

/// Names and numbers (signal(7)).
const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The largest number of a signal (signal(7), SIGRTMAX).
const LAST: i32 = 64;

/// Reads a signal.
///
/// # Errors
/// It is none.
pub(super) fn parse(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=LAST).contains(&number) { Ok(number) } else { Err(format!("{number} is no signal")) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let real_time = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let from_first = name.strip_prefix("RTMIN").and_then(real_time).map(|by| 34 + by);
    let from_last = name.strip_prefix("RTMAX").and_then(real_time).map(|by| LAST + by);
    let number = from_first.or(from_last).filter(|number| (34..=LAST).contains(number));
    number.ok_or_else(|| format!("`{text}` is no signal; `kill -l` lists them"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["", "SIG", "65", "-1", "RTMIN+99", "NOPE"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
