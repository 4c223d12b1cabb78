//! Why words are refused, and what does what they ask for.

use std::path::PathBuf;

/// Why a command line is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::cli::rpm) enum WordsError {
    #[error(
        "unsupported option `{0}`: red-rpm queries and verifies (-q, -V, -K), and changes a node with -i, -U, -F, -e"
    )]
    Unknown(String),
    #[error(
        "`{0}`: the packages of a node are always consistent with those of its family, so this option is refused"
    )]
    Inconsistent(String),
    #[error(
        "`{0}`: keys come from the `gpgkey` of the node's repositories, see red-dnf red-manager --add-repo"
    )]
    Key(String),
    #[error("`{0}` reads or writes outside of the node")]
    Outside(String),
    #[error(
        "`{0}`: `red-dnf red-reinstall` installs packages of a repository again, `red-rpm -U --replacepkgs` files of packages"
    )]
    Again(String),
    #[error(
        "`{0}`: the store makes the files and the database of a node; `red-dnf red-check --files` finds what differs, \
         `red-dnf red-reinstall` makes it as it was"
    )]
    Restored(String),
    #[error(
        "`{0}` leaves out a part of the scriptlets, and a node has all or none of them: `--noscripts` is for none"
    )]
    Scriptlets(String),
    #[error(
        "`{0}`: packages are verified and installed whole, but for documentation, which `--excludedocs` leaves out"
    )]
    Whole(String),
    #[error("`{0}` needs no node: rpm, rpmsign or rpmspec of the host does that")]
    NoNode(String),
    #[error("`{0}` stands alone")]
    Alone(String),
    #[error("`{0}` is for debugging rpm; -v prints more")]
    Debug(String),
    #[error("`{0}` does not go with {1}")]
    WrongMode(String, &'static str),
    #[error("more than one of -q, -V, -K, -i, -U, -F, -e is given")]
    TwoModes,
    #[error("one of -q, -V, -K, -i, -U, -F, -e, or whence PATH, is needed")]
    NoMode,
    #[error("`{0}` takes no argument")]
    Argument(String),
    #[error(
        "`{0}` has characters that curl(1), which rpm fetches it with, would take for options: fetch it first"
    )]
    Url(String),
    #[error("`{0}` needs an argument")]
    NoArgument(String),
    #[error(
        "{0} redefines rpm's option `{1}` as an alias: remove it, or red-rpm does not know what rpm would do"
    )]
    Alias(PathBuf, String),
}

/// What rpm(8), rpm-common(8) and the aliases of rpm have besides what is accepted, up to rpm 6.1.
pub(super) fn refuse(word: &str, name: &str) -> WordsError {
    let word = word.to_owned();
    match name {
        "nodeps" | "force" | "replacefiles" | "allmatches" | "justdb" | "nodb" | "ignorearch"
        | "ignoreos" | "ignoresize" | "noorder" | "badreloc" | "relocate" | "prefix" | "excludepath"
        | "allfiles" => WordsError::Inconsistent(word),
        "import" | "delete-key" => WordsError::Key(word),
        "root" | "r" | "dbpath" | "pipe" | "define" | "D" | "undefine" | "predefine" | "eval" | "E"
        | "load" | "macros" | "rcfile" | "i18ndomains" => WordsError::Outside(word),
        "reinstall" => WordsError::Again(word),
        "restore" | "setperms" | "setugids" | "setcaps" | "initdb" | "rebuilddb" | "verifydb"
        | "exportdb" | "importdb" => WordsError::Restored(word),
        "nopre" | "nopost" | "nopreun" | "nopostun" | "nopretrans" | "noposttrans" | "nopreuntrans"
        | "nopostuntrans" | "notriggers" | "notriggerin" | "notriggerun" | "notriggerprein"
        | "notriggerpostun" | "noplugins" | "nosysusers" => WordsError::Scriptlets(word),
        "noverify" | "includedocs" | "excludeartifacts" | "excludeconfigs" | "noconfigs" | "nocontexts"
        | "ignorepayload" | "ignoresignature" | "nohdrchk" | "noglob" => WordsError::Whole(word),
        "addsign" | "resign" | "delsign" | "signfiles" | "delfilesign" | "specfile" | "showrc" | "target"
        | "httpproxy" | "httpport" | "ftpproxy" | "ftpport" | "sign" | "key-id" | "digest-algo" => {
            WordsError::NoNode(word)
        }
        "trace" | "stats" | "debug" | "fsmdebug" | "rpmiodebug" | "rpmfcdebug" | "deploops" | "color"
        | "usage" | "help" | "?" | "force-debian" | "nouserns" | "prtpkts" => WordsError::Debug(word),
        "version" | "querytags" => WordsError::Alone(word),
        _ => WordsError::Unknown(word),
    }
}
