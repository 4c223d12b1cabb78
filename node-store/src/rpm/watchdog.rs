//! How long a scriptlet may take, and how many processes it may have, as the process outside sees it:
//! inside, nobody is left who could be trusted to look at a clock.

use std::time::{Duration, Instant};

use super::job::Message;

/// Seconds that a scriptlet may take, unless a setting says otherwise. Those of kernels and policies
/// take minutes on slow machines.
pub(crate) const SECONDS: u64 = 600;
/// Processes that the view may have at once.
pub(super) const PROCESSES: usize = 2048;
/// Scriptlets that rpm runs for one package, triggers included, as far as the whole is concerned.
const EACH: u32 = 8;
/// What to do about it.
const HINT: &str = "nothing has changed (--setopt=scriptlet_timeout=SECONDS sets another limit)";

/// A scriptlet that runs.
struct Running {
    name: String,
    since: Instant,
}

/// Watches the clock.
pub(super) struct Watchdog {
    /// How long one scriptlet may take; none for ever.
    limit: Option<Duration>,
    /// When all of it must have ended, whatever is said.
    end: Option<Instant>,
    heard: Instant,
    running: Option<Running>,
}

impl Watchdog {
    /// For so many packages, with so many seconds for a scriptlet; 0 are no limit.
    pub(super) fn new(seconds: u64, packages: usize, now: Instant) -> Self {
        let limit = (seconds > 0).then(|| Duration::from_secs(seconds));
        let times = u32::try_from(packages).unwrap_or(u32::MAX).saturating_add(1).saturating_mul(EACH);
        let end = limit.and_then(|limit| now.checked_add(patience(limit).saturating_mul(times)));
        Self { limit, end, heard: now, running: None }
    }

    /// Takes note of what the process inside says.
    pub(super) fn hear(&mut self, message: &Message, now: Instant) {
        self.heard = now;
        match message {
            Message::Begins { nevra, tag } => {
                self.running = Some(Running { name: format!("{}({nevra})", phase(*tag)), since: now });
            }
            Message::Ends => self.running = None,
            _ => {}
        }
    }

    /// Why it must be stopped, when it must.
    pub(super) fn overdue(&self, now: Instant) -> Option<String> {
        let limit = self.limit?;
        let seconds = limit.as_secs();
        if let Some(running) = &self.running {
            let late = now.saturating_duration_since(running.since) >= limit;
            return late
                .then(|| format!("{}: timed out after {seconds} seconds, killed; {HINT}", running.name));
        }
        // Outside of scriptlets rpm works itself: a large package takes its time on a slow disk.
        let patience = patience(limit);
        let (seconds, silent) = (patience.as_secs(), now.saturating_duration_since(self.heard) >= patience);
        let over = self.end.is_some_and(|end| now >= end);
        (silent || over).then(|| format!("rpm: no progress for {seconds} seconds, killed; {HINT}"))
    }

    /// What runs, as packagers call it.
    pub(super) fn who(&self) -> &str {
        self.running.as_ref().map_or("rpm", |running| running.name.as_str())
    }

    /// Why too many processes are a reason to stop.
    pub(super) fn too_many(&self, processes: usize) -> Option<String> {
        (processes > PROCESSES).then(|| {
            let who = self.who();
            format!("{who}: more than {PROCESSES} processes at once, killed; nothing has changed")
        })
    }
}

fn patience(limit: Duration) -> Duration {
    limit.max(Duration::from_secs(SECONDS))
}

/// What packagers call a scriptlet (rpmtag.h).
fn phase(tag: u64) -> &'static str {
    match tag {
        1023 => "%pre",
        1024 => "%post",
        1025 => "%preun",
        1026 => "%postun",
        1151 => "%pretrans",
        1152 => "%posttrans",
        1079 => "%verifyscript",
        5104 => "%preuntrans",
        5105 => "%postuntrans",
        1171 => "%triggerprein",
        1100 => "%triggerin",
        1101 => "%triggerun",
        1102 => "%triggerpostun",
        1065 => "trigger",
        5063 => "%filetriggerin",
        5064 => "%filetriggerun",
        5065 => "%filetriggerpostun",
        5066 => "file trigger",
        5073 => "%transfiletriggerin",
        5074 => "%transfiletriggerun",
        5075 => "%transfiletriggerpostun",
        5076 => "transaction file trigger",
        _ => "scriptlet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins() -> Message {
        Message::Begins { nevra: "loop-1-1.noarch".into(), tag: 1151 }
    }

    #[test]
    fn a_scriptlet_is_named_when_its_time_is_over() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watchdog::new(10, 1, start);
        watch.hear(&begins(), after(5));
        assert_eq!(watch.overdue(after(14)), None);
        let why = watch.overdue(after(15)).unwrap();
        assert!(why.starts_with("%pretrans(loop-1-1.noarch): timed out after 10 seconds, killed"), "{why}");
        // What it says itself makes it no longer.
        watch.hear(&Message::Alive, after(15));
        assert!(watch.overdue(after(15)).is_some());
        watch.hear(&Message::Ends, after(15));
        assert_eq!(watch.overdue(after(614)), None);
        assert!(watch.overdue(after(615)).unwrap().starts_with("rpm: no progress for 600 seconds, killed"));
    }

    #[test]
    fn whoever_says_that_all_is_well_ends_all_the_same() {
        let start = Instant::now();
        let mut watch = Watchdog::new(10, 1, start);
        for second in (0..9600).step_by(100) {
            let now = start + Duration::from_secs(second);
            watch.hear(&Message::Alive, now);
            assert_eq!(watch.overdue(now), None, "{second}");
        }
        assert!(watch.overdue(start + Duration::from_secs(9600)).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_overdue_and_crowds_are_still_too_many() {
        let start = Instant::now();
        let mut watch = Watchdog::new(0, 1, start);
        watch.hear(&begins(), start);
        assert_eq!(watch.overdue(start + Duration::from_secs(1_000_000)), None);
        assert_eq!(watch.too_many(PROCESSES), None);
        let why = watch.too_many(PROCESSES + 1).unwrap();
        assert!(why.starts_with("%pretrans(loop-1-1.noarch): more than 2048 processes"), "{why}");
    }
}
