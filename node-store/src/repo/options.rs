//! The options of dnf.conf(5) that are known here, and what is done with those that are not: one that is not in force is
//! named, what may be a known one or one of signatures, misspelt, is refused, none is passed over.

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
    /// What `gpgcheck` asks for.
    Policy,
    Text,
}

use Kind::{Boolean, Count, Flags, Number, Policy, Seconds, Text};

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
    ("gpgcheck_policy", Policy),
    ("includepkgs", Text),
    ("install_weak_deps", Boolean),
    ("installonlypkgs", Text),
    ("localpkg_gpgcheck", Boolean),
    ("max_parallel_downloads", Count),
    ("metadata_expire", Seconds),
    ("password", Text),
    ("pkg_gpgcheck", Boolean),
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
    ("allow_older", Boolean),
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
    ("pkg_gpgcheck", Boolean),
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

/// Other options of dnf.conf(5), of dnf5, tdnf, yum, zypper and vendors. They are not in force here.
const FOREIGN: &[&str] = &[
    "allow_downgrade",
    "alwaysprompt",
    "arch",
    "assumeno",
    "assumeyes",
    "async",
    "autocheck_running_kernel",
    "autorefresh",
    "bandwidth",
    "basearch",
    "bugtracker_url",
    "build_cache",
    "cachedir",
    "cacheonly",
    "check_config_file_age",
    "comment",
    "config_file_path",
    "debug_solver",
    "defaultyes",
    "destdir",
    "disable_excludes",
    "diskspacecheck",
    "distroverpkg",
    "enabled_metadata",
    "exactarch",
    "exclude_from_weak",
    "exclude_from_weak_autodetect",
    "exit_on_lock",
    "gpgcakey",
    "gpgkey_dns_verification",
    "group_package_types",
    "history_list_view",
    "history_record",
    "history_record_packages",
    "http_caching",
    "ignorearch",
    "install_root",
    "installonly_limit",
    "installroot",
    "ip_resolve",
    "keepalive",
    "keeppackages",
    "local",
    "max_downloads_per_mirror",
    "mddownloadpolicy",
    "mdpolicy",
    "metadata_expire_filter",
    "minrate",
    "mirrorlist_expire",
    "module_obsoletes",
    "module_platform_id",
    "module_stream_switch",
    "multilib_policy",
    "optional_metadata_types",
    "path",
    "persistdir",
    "protect",
    "protect_running_kernel",
    "protected_packages",
    "proxy_auth_method",
    "proxy_password",
    "proxy_sslcacert",
    "proxy_sslclientcert",
    "proxy_sslclientkey",
    "proxy_sslverify",
    "proxy_username",
    "recent",
    "releasever",
    "report_instanceid",
    "reposdir",
    "reset_nice",
    "retries",
    "service",
    "showdupesfromrepos",
    "skip_broken",
    "skip_md_filelists",
    "skip_unavailable",
    "ssl_check_cert_permissions",
    "sslcacert",
    "sslcacertdir",
    "sslclientcert",
    "sslclientkey",
    "sslverifystatus",
    "system_cachedir",
    "system_state_dir",
    "throttle",
    "timeout",
    "tolerant",
    "transaction_history_dir",
    "ui_repoid_vars",
    "upgrade_group_objects_upgrade",
    "use_host_config",
    "user_agent",
    "varsdir",
];

/// Options with two names. Where one of both asks for signatures, they are asked for.
const SPELLINGS: &[(&str, &str)] = &[("exclude", "excludepkgs"), ("gpgcheck", "pkg_gpgcheck")];

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

/// An option that is not in force here.
#[derive(Debug)]
pub(super) struct Unknown;

/// What is in the names of options that decide whose word counts.
const DECIDING: [&str; 4] = ["gpg", "sign", "ssl", "verify"];

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
    let (digits, unit) =
        value.split_at(value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    // Part of a second is none; what is too large stays so.
    let exact = digits.parse::<u64>().map(|whole| whole.saturating_mul(factor));
    exact.ok().or_else(|| Some((digits.parse::<f64>().ok()? * factor as f64) as u64)).map(Some)
}

/// Parts of a list.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The other name of an option.
pub(super) fn other_spelling(key: &str) -> Option<&'static str> {
    let mut pairs = SPELLINGS.iter().flat_map(|&(one, other)| [(one, other), (other, one)]);
    pairs.find(|(one, _)| *one == key).map(|(_, other)| other)
}

/// Whether some package manager has an option of that name.
pub(super) fn is_known(key: &str) -> bool {
    MAIN.iter().chain(REPO).any(|(known, _)| *known == key)
        || ALWAYS.iter().any(|(known, _)| *known == key)
        || INDIFFERENT.contains(&key)
        || FOREIGN.contains(&key)
        || key.starts_with("color_")
        || key.starts_with("log_")
}

/// Whether an option of that name would decide whose word counts.
pub(super) fn decides(key: &str) -> bool {
    DECIDING.iter().any(|word| key.contains(word))
}

/// The option that is meant by one that nobody knows, if it is nearly one.
fn near_miss(place: Where, typed: &str) -> Option<&'static str> {
    let most = if typed.len() < 6 { 1 } else { 2 };
    let table = if place == Where::Main { MAIN } else { REPO };
    let names = table.iter().map(|(known, _)| *known).chain(ALWAYS.iter().map(|(known, _)| *known));
    let best = names.map(|known| (strsim::damerau_levenshtein(typed, known), known)).min();
    best.filter(|(distance, _)| *distance <= most).map(|(_, known)| known)
}

/// Refuses an option that nobody knows where it may be a known one, or one of signatures, that is misspelt. Vendors have
/// options of their own for their package managers.
fn unknown(place: Where, key: &str) -> Result<Unknown, String> {
    let typed = key.to_ascii_lowercase();
    match near_miss(place, &typed) {
        Some(known) => Err(format!("unsupported option `{key}`: did you mean `{known}`?")),
        None if typed.is_empty() || decides(&typed) => {
            Err(format!("unsupported option `{key}`: dnf.conf(5) has none of that name"))
        }
        None => Ok(Unknown),
    }
}

/// Checks an option and its value. The outer error says what is wrong with it.
pub(super) fn check(place: Where, key: &str, value: &str) -> Result<Result<(), Unknown>, String> {
    let table = if place == Where::Main { MAIN } else { REPO };
    let Some((_, kind)) = table.iter().find(|(known, _)| *known == key) else {
        let indifferent = INDIFFERENT.contains(&key) || key.starts_with("color_") || key.starts_with("log_");
        let always = ALWAYS.iter().any(|(known, on)| *known == key && boolean(value) == Some(*on));
        if !is_known(key) {
            return unknown(place, key).map(Err);
        }
        return Ok(if indifferent || always { Ok(()) } else { Err(Unknown) });
    };
    let good = match kind {
        Boolean => boolean(value).is_some(),
        Count => value.parse::<usize>().is_ok_and(|count| count > 0),
        // Negated for libsolv.
        Number => value.parse::<i32>().is_ok_and(|number| number > i32::MIN),
        Seconds => seconds(value).is_some(),
        Flags => list(value).iter().all(|flag| FLAGS.contains(&flag.as_str())),
        Policy => matches!(value, "legacy" | "full" | "all"),
        Text => true,
    };
    let wanted = match kind {
        Boolean => "expected 1, yes, true, on, 0, no, false or off",
        Count => "expected a number above 0",
        Number => "expected a number",
        Seconds => "expected seconds, a number with m, h or d, or never",
        Flags => "supported are nodocs, noscripts and test",
        Policy => "expected legacy, full or all",
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
mod tests;
