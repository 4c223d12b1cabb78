//! How old metadata are: what was seen of a repository before, so that an old copy under the same URL is noticed, and when
//! what is here was made.

use serde::{Deserialize, Serialize};

use super::Repo;
use super::metadata::MetadataError;
use super::repomd::Index;
use crate::cache::Shelf;
use crate::rpm::validity::date;

/// Name of the note.
const SEEN: &str = "seen";

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

    /// Whether it came before another. Revisions that are no numbers cannot be compared.
    fn is_before(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(own), Some(others)) if own != others => own < others,
            _ => self.timestamp < other.timestamp,
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
        // createrepo_c's revision is a time, unless somebody chose another.
        const YEAR_2000: u64 = 946_684_800;
        self.timestamp.or(self.number().filter(|&time| time > YEAR_2000))
    }

    /// The day that it was made on, and how many days ago that is.
    pub(crate) fn age(&self, now: u64) -> Option<(String, u64)> {
        self.made().map(|made| (date(made), now.saturating_sub(made) / 86400))
    }
}

/// Refuses what is older than what was seen under the same URLs, unless the repository may go back.
pub(super) fn compare(shelf: &Shelf, repo: &Repo, places: &str, now: &Moment) -> Result<(), MetadataError> {
    let seen: Option<Seen> = shelf.noted(SEEN).and_then(|text| serde_json::from_slice(&text).ok());
    match seen.filter(|seen| seen.places == places && now.is_before(&seen.moment)) {
        Some(seen) if !repo.allow_older => {
            Err(MetadataError::Older { id: repo.id.clone(), now: now.words(), seen: seen.moment.words() })
        }
        _ => Ok(()),
    }
}

/// Notes what was seen.
pub(super) fn note(shelf: &Shelf, places: String, moment: Moment) -> std::io::Result<()> {
    shelf.note(SEEN, &serde_json::to_vec(&Seen { places, moment }).unwrap_or_default())
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
        for (now, seen, older) in [
            (("100", 0), ("200", 0), true),
            (("200", 0), ("200", 0), false),
            (("201", 0), ("200", 0), false),
            // Digits are compared as a number.
            (("99", 0), ("100", 0), true),
            // The revision is its publisher's word; with the same one, times tell.
            (("201", 5), ("200", 9), false),
            (("200", 5), ("200", 9), true),
            (("200", 9), ("200", 5), false),
            (("b", 5), ("a", 9), true),
            (("b", 9), ("z", 5), false),
            (("", 5), ("", 9), true),
            (("", 9), ("", 9), false),
            // What had a time has one.
            (("", 0), ("", 9), true),
            (("", 0), ("200", 9), true),
            (("", 0), ("", 0), false),
            (("200", 0), ("", 0), false),
        ] {
            let said = moment(now.0, now.1).is_before(&moment(seen.0, seen.1));
            assert_eq!(said, older, "{now:?} {seen:?}");
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
