//! How each file of a package is in a node, as rpm counts it (`rpmfileState_e`): what is there, what was left out, what
//! another package replaced. rpm removes and verifies no others than those that it counts as there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::header::Header;

/// Tags with what is needed of a file: how it is, its flags, languages, and the colour of a program.
const STATES: u32 = 1029;
const FLAGS: u32 = 1037;
const LANGUAGES: u32 = 1097;
const COLOURS: u32 = 1140;

/// The flag of documentation (`RPMFILE_DOC`).
const DOCUMENTATION: u32 = 1 << 1;

const NORMAL: u8 = 0;
const REPLACED: u8 = 1;
const NOT_INSTALLED: u8 = 2;
const OTHER_COLOUR: u8 = 4;

/// How a file is, whether it is documentation, and whether it is for some languages or architectures only.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct FileState(u8, bool, bool);

impl Header<'_> {
    /// How its files are, in their order.
    pub(super) fn states(&self) -> Vec<FileState> {
        let flags = self.numbers(FLAGS).unwrap_or_default();
        let languages = self.bytes(LANGUAGES).unwrap_or_default();
        let colours = self.numbers(COLOURS).unwrap_or_default();
        let of = |(at, state): (usize, &u8)| {
            let documentation = flags.get(at).is_some_and(|flags| flags & DOCUMENTATION != 0);
            let some = languages.get(at).is_some_and(|languages| !languages.is_empty())
                || colours.get(at).is_some_and(|colour| *colour != 0);
            FileState(*state, documentation, some)
        };
        self.whole(STATES).unwrap_or_default().iter().enumerate().map(of).collect()
    }
}

/// Whether the files of a package are as rpm leaves those that it has just installed, with or without documentation.
pub(crate) fn are_new(states: &[FileState], files: &[String], documentation: bool) -> bool {
    let fits = |FileState(state, of_documentation, some): &FileState| match *state {
        NORMAL => true,
        NOT_INSTALLED => *some || *of_documentation && !documentation,
        OTHER_COLOUR => *some,
        _ => false,
    };
    // One whose list of files is of an older form has it in both (`compressFilelist`).
    let (first, again) = files.split_at(files.len() / 2);
    let counted = states.len() == files.len() || states.len() == first.len() && first == again;
    counted && states.iter().all(fits)
}

/// Whether the files of a package are as they were, but for those that new packages have `brought` too.
pub(crate) fn are_kept(
    (before, now): (&[FileState], &[FileState]),
    files: &[String],
    brought: &BTreeSet<&str>,
) -> bool {
    let replaced = |at: usize| files.get(at).is_some_and(|file| brought.contains(file.as_str()));
    let fits = |(at, (old, new)): (usize, (&FileState, &FileState))| {
        old == new || matches!(new.0, REPLACED | OTHER_COLOUR) && replaced(at)
    };
    before.len() == now.len() && before.iter().zip(now).enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_rpm_leaves_them() {
        let files = ["/a".to_owned(), "/b".to_owned()];
        for (state, documentation, some, with, without) in [
            (NORMAL, false, false, true, true),
            (REPLACED, false, false, false, false),
            (NOT_INSTALLED, false, false, false, false),
            (NOT_INSTALLED, true, false, false, true),
            (NOT_INSTALLED, false, true, true, true),
            (3, true, true, false, false),
            (OTHER_COLOUR, false, false, false, false),
            (OTHER_COLOUR, false, true, true, true),
            (255, true, true, false, false),
        ] {
            let one = [FileState(state, documentation, some)];
            let said = [true, false].map(|documentation| are_new(&one, &files[..1], documentation));
            assert_eq!(said, [with, without], "{one:?}");
        }
        assert!(!are_new(&[], &files[..1], true) && are_new(&[], &[], true));
        let one = [FileState(NORMAL, false, false)];
        assert!(are_new(&one, &["/a".into(), "/a".into()], true) && !are_new(&one, &files, true));
        let state = |state| FileState(state, false, false);
        let brought = BTreeSet::from(["/b"]);
        for (before, now, kept) in [
            ([0, 0], &[0, 0][..], true),
            ([2, 3], &[2, 3], true),
            ([0, 0], &[0, 1], true),
            ([0, 0], &[1, 0], false),
            ([0, 0], &[0, 2], false),
            ([2, 0], &[0, 0], false),
            ([0, 0], &[0], false),
        ] {
            let (old, new) = (before.map(state), now.iter().copied().map(state).collect::<Vec<_>>());
            assert_eq!(are_kept((&old, &new), &files, &brought), kept, "{before:?} {now:?}");
        }
    }
}
