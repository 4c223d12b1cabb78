//! What scriptlets of a transaction may take, by the settings of the node.

use super::TransactionError;
use crate::plan::{Action, Change};
use crate::repo::Settings;
use crate::rpm::{Limits, SCRIPTLET_SECONDS};

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
        packages: added.map(|change| change.size).fold(0, u64::saturating_add),
    })
}
