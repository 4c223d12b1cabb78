//! A configuration against what was seen.
//!
//! Every entry of the configuration is looked for, and everything that was seen must come from an
//! entry or from what the specification lets a runtime add.

mod mounts;
mod process;

use oci_spec::runtime::Spec;

use crate::container::Observed;

/// One entry that came out otherwise.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Disagreement {
    /// Which entry.
    pub entry: String,
    /// What was asked for.
    pub wanted: String,
    /// What was seen.
    pub seen: String,
}

/// Collects disagreements.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    all: Vec<Disagreement>,
}

impl Findings {
    pub(crate) fn differ(&mut self, entry: impl Into<String>, wanted: impl ToString, seen: impl ToString) {
        let (entry, wanted, seen) = (entry.into(), wanted.to_string(), seen.to_string());
        self.all.push(Disagreement { entry, wanted, seen });
    }

    pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        entry: impl Into<String>,
        wanted: &T,
        seen: &T,
    ) {
        if wanted != seen {
            self.differ(entry, format!("{wanted:?}"), format!("{seen:?}"));
        }
    }
}

/// What a runtime was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The configuration.
    pub spec: Spec,
    /// Whether limits can have an effect where it ran.
    pub controllers: bool,
}

/// Sets a configuration against what was seen; empty when they agree.
#[must_use]
pub fn compare(given: &Given, observed: &Observed) -> Vec<Disagreement> {
    let mut findings = Findings::default();
    mounts::compare(&given.spec, observed, &mut findings);
    process::compare(given, observed, &mut findings);
    let mut all = findings.all;
    all.sort();
    all.dedup();
    all
}
