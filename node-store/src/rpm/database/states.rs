//! How each file of a package is in a node, as rpm counts it (`rpmfileState_e`): what is there, what was left out, what
//! another package replaced. rpm removes and verifies no others than those that it counts as there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::header::Header;

/// Tags with what is needed of a file: how it is, its mode, its flags, and the colour of a program.
const STATES: u32 = 1029;
const MODES: u32 = 1030;
const FLAGS: u32 = 1037;
const COLOURS: u32 = 1140;

/// What a mode says of directories (`S_IFMT`, `S_IFDIR`).
const KIND: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;

/// The flag of documentation (`RPMFILE_DOC`).
const DOCUMENTATION: u32 = 1 << 1;

const NORMAL: u8 = 0;
const REPLACED: u8 = 1;
const NOT_INSTALLED: u8 = 2;
const OTHER_COLOUR: u8 = 4;

/// How a file is, and what a transaction may leave out for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct FileState {
    state: u8,
    documentation: bool,
    /// It is for some architectures only.
    coloured: bool,
    directory: bool,
}

impl Header<'_> {
    /// How its files are, in their order.
    pub(super) fn states(&self) -> Vec<FileState> {
        let flags = self.numbers(FLAGS).unwrap_or_default();
        let colours = self.numbers(COLOURS).unwrap_or_default();
        let modes = self.whole(MODES).unwrap_or_default();
        let of = |(at, state): (usize, &u8)| {
            let documentation = flags.get(at).is_some_and(|flags| flags & DOCUMENTATION != 0);
            let coloured = colours.get(at).is_some_and(|colour| *colour != 0);
            let mode = modes.chunks_exact(2).nth(at).map(|mode| u16::from_be_bytes([mode[0], mode[1]]));
            let directory = mode.is_some_and(|mode| mode & KIND == DIRECTORY);
            FileState { state: *state, documentation, coloured, directory }
        };
        self.whole(STATES).unwrap_or_default().iter().enumerate().map(of).collect()
    }
}

/// Whether the files of a package are as rpm leaves those that it has just installed, with or without documentation.
pub(crate) fn are_new(states: &[FileState], files: &[String], documentation: bool) -> bool {
    // One whose list of files is of an older form has it in both (`compressFilelist`).
    let (first, again) = files.split_at(files.len() / 2);
    if states.len() != files.len() && (states.len() != first.len() || first != again) {
        return false;
    }
    // Of each directory, whether something is there that the package has right in it.
    let mut filled: BTreeMap<&str, bool> = BTreeMap::new();
    for (file, state) in files.iter().zip(states) {
        if let Some((above, _)) = file.rsplit_once('/') {
            *filled.entry(above).or_default() |= state.state == NORMAL;
        }
    }
    let fits = |(file, state): (&String, &FileState)| {
        // rpm leaves a directory out when it leaves out all that is in it (`skipInstallFiles`).
        let emptied = || state.directory && filled.get(file.as_str()) == Some(&false);
        match state.state {
            NORMAL => true,
            NOT_INSTALLED => state.documentation && !documentation || emptied(),
            OTHER_COLOUR => state.coloured,
            _ => false,
        }
    };
    files.iter().zip(states).all(fits)
}

/// Whether the files of a package are as they were, but for those that new packages have `brought` too.
pub(crate) fn are_kept(
    (before, now): (&[FileState], &[FileState]),
    files: &[String],
    brought: &BTreeSet<&str>,
) -> bool {
    let replaced = |at: usize| files.get(at).is_some_and(|file| brought.contains(file.as_str()));
    let fits = |(at, (old, new)): (usize, (&FileState, &FileState))| {
        old == new || matches!(new.state, REPLACED | OTHER_COLOUR) && replaced(at)
    };
    before.len() == now.len() && before.iter().zip(now).enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(state: u8, documentation: bool, coloured: bool, directory: bool) -> FileState {
        FileState { state, documentation, coloured, directory }
    }

    #[test]
    fn files_are_as_rpm_leaves_them() {
        let files = ["/a".to_owned(), "/b".to_owned()];
        for (state, documentation, coloured, with, without) in [
            (NORMAL, false, false, true, true),
            (REPLACED, false, false, false, false),
            (NOT_INSTALLED, false, false, false, false),
            (NOT_INSTALLED, true, false, false, true),
            (NOT_INSTALLED, false, true, false, false),
            (3, true, true, false, false),
            (OTHER_COLOUR, false, false, false, false),
            (OTHER_COLOUR, true, false, false, false),
            (OTHER_COLOUR, false, true, true, true),
            (255, true, true, false, false),
        ] {
            let one = [made(state, documentation, coloured, false)];
            let said = [true, false].map(|documentation| are_new(&one, &files[..1], documentation));
            assert_eq!(said, [with, without], "{one:?}");
        }
        assert!(!are_new(&[], &files[..1], true) && are_new(&[], &[], true));
        let one = [made(NORMAL, false, false, false)];
        assert!(are_new(&one, &["/a".into(), "/a".into()], true) && !are_new(&one, &files, true));
    }

    #[test]
    fn directories_are_left_out_with_all_that_is_in_them() {
        let files = ["/d", "/d/e", "/d/e/doc", "/d/e/more"].map(str::to_owned);
        let (out, there) = (made(NOT_INSTALLED, false, false, true), made(0, false, false, true));
        let doc = made(NOT_INSTALLED, true, false, false);
        let (file, lost) = (made(NORMAL, false, false, false), made(2, false, false, false));
        for (states, without) in [
            (&[out, out, doc, doc][..], true),
            (&[there, out, doc, doc], true),
            (&[out, there, doc, doc], false),
            (&[there, out, doc, file], false),
            (&[there, there, doc, file], true),
            (&[there, out, doc, lost], false),
            (&[lost, out, doc, doc], false),
            // Nothing is in it that was left out.
            (&[there, out], false),
        ] {
            assert_eq!(are_new(states, &files[..states.len()], false), without, "{states:?}");
            let with = without && states.iter().all(|state| state.state == NORMAL);
            assert_eq!(are_new(states, &files[..states.len()], true), with, "{states:?}");
        }
        let other = made(OTHER_COLOUR, false, true, false);
        assert!(are_new(&[there, out, other], &files[..3], true));
    }

    #[test]
    fn files_that_stay_are_as_they_were() {
        let files = ["/a".to_owned(), "/b".to_owned()];
        let state = |state| made(state, false, false, false);
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
