//! How old metadata are: what was seen of a repository before, so that an old copy under the same URL is noticed, and when
//! what is here was made.

use serde::{Deserialize, Serialize};

use super::Repo;
use super::metadata::{MetadataError, places_of, seconds};
use super::repomd::Index;
use crate::cache::Shelf;
use crate::rpm::validity::date;

/// Name of the note.
const SEEN: &str = "seen";

/// createrepo_c's revision is a time, in seconds since the epoch, unless somebody chose another: a larger number than this.
const YEAR_2000: u64 = 946_684_800;

/// Seconds that a clock may be ahead of the one here.
const AHEAD: u64 = 3 * 86400;

/// State of a repository at a time.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Its `<revision>`.
    #[serde(default)]
    revision: Option<String>,
    /// When the newest of its metadata was made, in seconds since the epoch.
    #[serde(default)]
    timestamp: Option<u64>,
}

/// What was noted of a repository.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Seen {
    /// Digest of its URLs: others are those of another repository.
    places: String,
    moment: Moment,
}

impl Moment {
    pub(super) fn of(index: &Index) -> Self {
        Self { revision: index.revision.clone(), timestamp: index.timestamp }
    }

    fn number(&self) -> Option<u64> {
        self.revision.as_ref()?.parse().ok()
    }

    /// Whether it came before another. Revisions that are no numbers cannot be compared. Where nobody signed them, times
    /// tell before counters: a counter can be anything, and its publisher would never reach it.
    fn is_before(&self, other: &Self, signed: bool) -> bool {
        let numbers = self.number().zip(other.number()).filter(|(own, others)| own != others);
        let by_number = numbers.map(|(own, others)| own < others);
        let tells = signed || numbers.is_some_and(|(own, others)| own.min(others) > YEAR_2000);
        match by_number {
            Some(before) if tells || self.timestamp == other.timestamp => before,
            _ => self.timestamp < other.timestamp,
        }
    }

    /// What is left of it without times that have not come yet: of those that nobody signed, anybody could make one up that
    /// its publisher does not reach for years.
    fn reached(self, now: u64) -> Self {
        let reached = |time: &u64| *time <= now.saturating_add(AHEAD);
        Self {
            revision: if self.number().is_none_or(|time| reached(&time)) { self.revision } else { None },
            timestamp: self.timestamp.filter(reached),
        }
    }

    fn words(&self) -> String {
        let revision = self.revision.as_ref().map(|revision| format!("revision {revision}"));
        let made = self.timestamp.map(|time| format!("made on {}", date(time)));
        let words: Vec<String> = revision.into_iter().chain(made).collect();
        if words.is_empty() { "without a revision".into() } else { words.join(", ") }
    }

    /// When it was made, in seconds since the epoch.
    pub(crate) fn made(&self) -> Option<u64> {
        self.timestamp.or(self.number().filter(|&time| time > YEAR_2000))
    }

    /// The day that it was made on, and how many days ago that is.
    pub(crate) fn age(&self, now: u64) -> Option<(String, u64)> {
        self.made().map(|made| (date(made), now.saturating_sub(made) / 86400))
    }
}

/// Refuses what is older than what was seen under the same URLs, unless the repository may go back.
pub(super) fn compare(shelf: &Shelf, repo: &Repo, now: &Moment) -> Result<(), MetadataError> {
    let seen: Option<Seen> = shelf.noted(SEEN).and_then(|text| serde_json::from_slice(&text).ok());
    let seen = seen.filter(|seen| seen.places == places_of(repo)).map(|seen| believed(repo, seen.moment));
    match seen.filter(|seen| now.is_before(seen, repo.repo_gpgcheck)) {
        Some(seen) if !repo.allow_older => {
            Err(MetadataError::Older { id: repo.id.clone(), now: now.words(), seen: seen.words() })
        }
        _ => Ok(()),
    }
}

/// What of a moment is compared with later ones.
fn believed(repo: &Repo, moment: Moment) -> Moment {
    if repo.repo_gpgcheck { moment } else { moment.reached(seconds()) }
}

/// Notes what was seen, once all of it was taken.
pub(super) fn note(shelf: &Shelf, repo: &Repo, moment: Moment) -> std::io::Result<()> {
    let believed = believed(repo, moment.clone());
    // What claims to be of the future does not replace what is known.
    if believed != moment && believed.timestamp.is_none() {
        return Ok(());
    }
    let seen = Seen { places: places_of(repo), moment: believed };
    shelf.note(SEEN, &serde_json::to_vec(&seen).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(revision: &str, timestamp: u64) -> Moment {
        Moment {
            revision: Some(revision.to_owned()).filter(|revision| !revision.is_empty()),
            timestamp: Some(timestamp).filter(|&time| time > 0),
        }
    }

    #[test]
    fn what_came_before_is_older() {
        let (t, u) = ("1700000100", "1700000200");
        for (now, seen, signed, unsigned) in [
            ((t, 0), (u, 0), true, true),
            ((u, 0), (u, 0), false, false),
            ((u, 0), (t, 0), false, false),
            (("100", 0), ("200", 0), true, true),
            (("201", 0), ("200", 0), false, false),
            // Digits are compared as a number.
            (("99", 0), ("100", 0), true, true),
            // A revision that is signed, or a time, is its publisher's word; with the same one, times tell.
            ((u, 5), (t, 9), false, false),
            ((t, 9), (u, 5), true, true),
            (("201", 5), ("200", 9), false, true),
            (("200", 9), ("201", 5), true, false),
            (("200", 5), ("200", 9), true, true),
            (("200", 9), ("200", 5), false, false),
            // Somebody made up a revision that no counter reaches.
            (("8", 9), ("900000000", 5), true, false),
            (("8", 9), (u, 5), true, false),
            (("8", 9), (u, 0), true, false),
            (("b", 5), ("a", 9), true, true),
            (("b", 9), ("z", 5), false, false),
            (("", 5), ("", 9), true, true),
            (("", 9), ("", 9), false, false),
            // What had a time has one.
            (("", 0), ("", 9), true, true),
            (("", 0), ("200", 9), true, true),
            (("", 0), ("", 0), false, false),
            (("200", 0), ("", 0), false, false),
        ] {
            for (is_signed, wanted) in [(true, signed), (false, unsigned)] {
                let said = moment(now.0, now.1).is_before(&moment(seen.0, seen.1), is_signed);
                assert_eq!(said, wanted, "{now:?} {seen:?} {is_signed}");
            }
        }
    }

    #[test]
    fn times_that_have_not_come_are_not_believed() {
        let now = 1_800_000_000;
        for (made, left) in [
            (("1800000000", now), ("1800000000", now)),
            (("7", now + AHEAD), ("7", now + AHEAD)),
            (("7", now + AHEAD + 1), ("7", 0)),
            (("1800259201", now), ("", now)),
            (("18446744073709551615", u64::MAX), ("", 0)),
            (("20270115120000", now), ("", now)),
            (("some-day", 0), ("some-day", 0)),
        ] {
            assert_eq!(moment(made.0, made.1).reached(now), moment(left.0, left.1), "{made:?}");
        }
    }

    #[test]
    fn an_age_is_told_in_days() {
        let now = 1_800_000_000;
        assert_eq!(moment("1", now - 86400 * 20).age(now), Some(("2026-12-26".into(), 20)));
        assert_eq!(moment("1799913599", 0).age(now), Some(("2027-01-14".into(), 1)));
        assert_eq!(moment("7", now + 9).age(now).map(|(_, days)| days), Some(0));
        assert_eq!(moment("7", 0).age(now), None);
        assert_eq!(moment("", 0).age(now), None);
    }
}
