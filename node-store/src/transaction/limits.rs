//! What scriptlets of a transaction may take, by the settings of the node.

use std::path::Path;

use super::TransactionError;
use crate::plan::{Action, Change};
use crate::repo::Settings;
use crate::rpm::{Limits, PACKAGE_BYTES, SCRIPTLET_SECONDS};

/// Limits for changes.
pub(super) fn limits(settings: &Settings, changes: &[Change]) -> Result<Limits, TransactionError> {
    let number = |option: &'static str| -> Result<Option<u64>, TransactionError> {
        let Some(text) = settings.get(option) else { return Ok(None) };
        text.parse().map(Some).map_err(|_error| TransactionError::Limit { option, value: text.to_owned() })
    };
    let added = changes.iter().filter(|change| change.action != Action::Remove);
    Ok(Limits {
        seconds: number("scriptlet_timeout")?.unwrap_or(SCRIPTLET_SECONDS),
        memory: number("scriptlet_memory")?,
        reserve: number("scriptlet_reserve")?,
        packages: added
            .map(|change| unpacked(change.size, change.file.as_deref()))
            .fold(0, u64::saturating_add),
    })
}

/// How much larger than its file a package is taken to be at most. Compressors reach more, but not with what
/// packages have.
const RATIO: u64 = 1024;

/// What a package unpacks to. It says so itself, and whoever says too much would have no limit.
fn unpacked(size: u64, file: Option<&Path>) -> u64 {
    let file = file.and_then(|file| std::fs::metadata(file).ok());
    let may = file.map_or(0, |facts| facts.len().saturating_mul(RATIO));
    size.min(may).min(PACKAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_claims_no_more_than_it_can_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let claimed = |size, length| {
            file.as_file().set_len(length).unwrap();
            unpacked(size, Some(file.path()))
        };
        assert_eq!(claimed(3 << 20, 1 << 20), 3 << 20);
        assert_eq!(claimed(1 << 60, 1 << 10), 1 << 20);
        assert_eq!(claimed(u64::MAX, 1 << 40), PACKAGE_BYTES);
        assert_eq!(unpacked(1 << 60, None), 0);
    }
}
