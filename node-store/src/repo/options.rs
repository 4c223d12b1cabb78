//! The options of dnf.conf(5) that are known here, and what is done with those that are not: one that is
//! not in force is named, never passed over.

use super::settings::RepoError;

/// What a value has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Boolean,
    /// A number above zero.
    Count,
    Number,
    Seconds,
    Flags,
    Text,
}

use Kind::{Boolean, Count, Flags, Number, Seconds, Text};

/// Options of `[main]` that hold for every repository without a value of its own.
pub(super) const INHERITED: [&str; 5] =
    ["metadata_expire", "skip_if_unavailable", "proxy", "username", "password"];

const MAIN: &[(&str, Kind)] = &[
    ("allow_files", Text),
    ("allow_vendor_change", Boolean),
    ("best", Boolean),
    ("clean_requirements_on_remove", Boolean),
    ("exclude", Text),
    ("excludepkgs", Text),
    ("generations_keep", Count),
    ("gpgcheck", Boolean),
    ("includepkgs", Text),
    ("install_weak_deps", Boolean),
    ("installonlypkgs", Text),
    ("localpkg_gpgcheck", Boolean),
    ("max_parallel_downloads", Count),
    ("metadata_expire", Seconds),
    ("password", Text),
    ("proxy", Text),
    ("repo_gpgcheck", Boolean),
    ("scriptlet_memory", Number),
    ("scriptlet_reserve", Number),
    ("scriptlet_timeout", Number),
    ("skip_if_unavailable", Boolean),
    ("tsflags", Flags),
    ("username", Text),
];

const REPO: &[(&str, Kind)] = &[
    ("baseurl", Text),
    ("cost", Number),
    ("enabled", Boolean),
    ("exclude", Text),
    ("excludepkgs", Text),
    ("gpgcheck", Boolean),
    ("gpgkey", Text),
    ("includepkgs", Text),
    ("metadata_expire", Seconds),
    ("metalink", Text),
    ("mirrorlist", Text),
    ("name", Text),
    ("password", Text),
    ("priority", Number),
    ("proxy", Text),
    ("repo_gpgcheck", Boolean),
    ("skip_if_unavailable", Boolean),
    ("username", Text),
];

/// What dnf has for its own files, output and speed: a node is the same with any value.
const INDIFFERENT: &[&str] = &[
    "color",
    "countme",
    "debuglevel",
    "deltarpm",
    "deltarpm_percentage",
    "enablegroups",
    "errorlevel",
    "failovermethod",
    "fastestmirror",
    "keepcache",
    "logdir",
    "logfilelevel",
    "mediaid",
    "metadata_timer_sync",
    "module_hotfixes",
    "plugins",
    "pluginconfpath",
    "pluginpath",
    "rpmverbosity",
    "type",
    "zchunk",
];

/// Options that are always in force one way; the other way cannot be had.
const ALWAYS: &[(&str, bool)] =
    &[("obsoletes", true), ("sslverify", true), ("strict", true), ("module_hotfixes", true)];

/// Flags of `tsflags` that are known; `test` is dnf's as well.
const FLAGS: [&str; 3] = ["nodocs", "noscripts", "test"];

/// Where an option stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Where {
    Main,
    Repository,
}

/// An option that is not known here.
#[derive(Debug)]
pub(super) struct Unknown;

/// dnf's booleans, in any case.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A time in seconds, `None` for ever: `90`, `15m`, `6h`, `2d`, `never`.
pub(super) fn seconds(value: &str) -> Option<Option<u64>> {
    if matches!(value, "never" | "-1") {
        return Some(None);
    }
    let (digits, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    Some(Some(digits.parse::<u64>().ok()?.saturating_mul(factor)))
}

/// Parts of a list.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Checks an option and its value. The outer error says what is wrong with the value.
pub(super) fn check(place: Where, key: &str, value: &str) -> Result<Result<(), Unknown>, String> {
    let table = if place == Where::Main { MAIN } else { REPO };
    let Some((_, kind)) = table.iter().find(|(known, _)| *known == key) else {
        let indifferent = INDIFFERENT.contains(&key) || key.starts_with("color_") || key.starts_with("log_");
        let always = ALWAYS.iter().any(|(known, on)| *known == key && boolean(value) == Some(*on));
        return Ok(if indifferent || always { Ok(()) } else { Err(Unknown) });
    };
    let good = match kind {
        Boolean => boolean(value).is_some(),
        Count => value.parse::<usize>().is_ok_and(|count| count > 0),
        // Negated for libsolv.
        Number => value.parse::<i32>().is_ok_and(|number| number > i32::MIN),
        Seconds => seconds(value).is_some(),
        Flags => list(value).iter().all(|flag| FLAGS.contains(&flag.as_str())),
        Text => true,
    };
    let wanted = match kind {
        Boolean => "expected 1, yes, true, on, 0, no, false or off",
        Count => "expected a number above 0",
        Number => "expected a number",
        Seconds => "expected seconds, a number with m, h or d, or never",
        Flags => "supported are nodocs, noscripts and test",
        Text => "",
    };
    if good { Ok(Ok(())) } else { Err(format!("invalid value `{key}={value}`: {wanted}")) }
}

/// Checks an option of the command line, where one that is not in force is an error.
pub(super) fn check_given(place: Where, given: &str, key: &str, value: &str) -> Result<(), RepoError> {
    let refused = |reason| RepoError::Option { given: format!("{given}={value}"), reason };
    match check(place, key, value) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Unknown)) => Err(refused(format!("unsupported option `{key}`"))),
        Err(reason) => Err(refused(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_dnfs() {
        for on in ["1", "yes", "true", "on", "True", "TRUE", "Yes", "YES", "On", "oN"] {
            assert_eq!(boolean(on), Some(true), "{on}");
        }
        for off in ["0", "no", "false", "off", "False", "NO", "Off"] {
            assert_eq!(boolean(off), Some(false), "{off}");
        }
        for neither in ["", "2", "y", "t", "enabled", "1 ; comment", "tru", "\"1\"", "01"] {
            assert_eq!(boolean(neither), None, "{neither}");
            let tables = MAIN
                .iter()
                .map(|one| (Where::Main, one))
                .chain(REPO.iter().map(|one| (Where::Repository, one)));
            for (place, (key, _)) in tables.filter(|(_, (_, kind))| *kind == Boolean) {
                assert!(check(place, key, neither).is_err(), "{key}={neither}");
            }
        }
    }

    #[test]
    fn values_are_what_they_have_to_be() {
        for (place, key, value, good) in [
            (Where::Main, "generations_keep", "3", true),
            (Where::Main, "generations_keep", "0", false),
            (Where::Main, "generations_keep", "many", false),
            (Where::Main, "max_parallel_downloads", "-1", false),
            (Where::Main, "metadata_expire", "6h", true),
            (Where::Repository, "metadata_expire", "6 weeks", false),
            (Where::Repository, "metadata_expire", "never", true),
            (Where::Repository, "metadata_expire", "2D", true),
            (Where::Repository, "priority", "-2147483648", false),
            (Where::Repository, "cost", "1e3", false),
            (Where::Main, "tsflags", "nodocs,noscripts", true),
            (Where::Main, "tsflags", "justdb", false),
        ] {
            assert_eq!(check(place, key, value).is_ok(), good, "{key}={value}");
        }
    }

    #[test]
    fn what_is_not_in_force_is_unknown() {
        for (place, key, value, known) in [
            (Where::Main, "gpgchek", "1", false),
            (Where::Main, "protected_packages", "a", false),
            (Where::Main, "installonly_limit", "3", false),
            (Where::Main, "enabled", "1", false),
            (Where::Repository, "best", "1", false),
            (Where::Repository, "sslverify", "0", false),
            (Where::Repository, "sslverify", "True", true),
            (Where::Repository, "sslcacert", "/x", false),
            (Where::Main, "keepcache", "0", true),
            (Where::Repository, "type", "rpm-md", true),
        ] {
            assert_eq!(check(place, key, value).unwrap().is_ok(), known, "{key}={value}");
        }
        let refused = check_given(Where::Repository, "u.gpgchek", "gpgchek", "1").unwrap_err().to_string();
        assert_eq!(refused, "--setopt=u.gpgchek=1: unsupported option `gpgchek`");
    }
}
