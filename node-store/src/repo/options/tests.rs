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
        let tables =
            MAIN.iter().map(|one| (Where::Main, one)).chain(REPO.iter().map(|one| (Where::Repository, one)));
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
    assert_eq!(refused, "--setopt=u.gpgchek=1: unsupported option `gpgchek`: did you mean `gpgcheck`?");
}

#[test]
fn options_of_vendors_are_not_in_force() {
    for key in [
        "report_instanceid",
        "skip_md_filelists",
        "mddownloadpolicy",
        "protect",
        "allow_downgrade",
        "showdupesfromrepos",
        "ui_vendor_colour",
        "nosuch",
    ] {
        for place in [Where::Main, Where::Repository] {
            assert!(check(place, key, "yes").is_ok_and(|said| said.is_err()), "{key}");
            // Whoever types an option wants it in force.
            assert!(check_given(place, key, key, "yes").is_err(), "{key}");
        }
    }
}

#[test]
fn what_may_be_misspelt_is_an_error() {
    for (place, key, wanted) in [
        (Where::Main, "gpgchek", "did you mean `gpgcheck`?"),
        (Where::Repository, "gpg_check", "did you mean `gpgcheck`?"),
        (Where::Main, "repo_gpgchek", "did you mean `repo_gpgcheck`?"),
        (Where::Repository, "repogpgcheck", "did you mean `repo_gpgcheck`?"),
        (Where::Main, "localpkg_gpgchek", "did you mean `localpkg_gpgcheck`?"),
        (Where::Main, "pkg_gpgchekc", "did you mean `pkg_gpgcheck`?"),
        (Where::Repository, "gpgkeys", "did you mean `gpgkey`?"),
        (Where::Repository, "exlcude", "did you mean `exclude`?"),
        (Where::Main, "GPGCHECK", "did you mean `gpgcheck`?"),
        (Where::Main, "signatures", "dnf.conf(5) has none of that name"),
        (Where::Repository, "gpg_verification", "dnf.conf(5) has none of that name"),
        (Where::Repository, "repo_signed", "dnf.conf(5) has none of that name"),
        (Where::Main, "sslverfy", "did you mean `sslverify`?"),
        (Where::Repository, "ssl_certificates", "dnf.conf(5) has none of that name"),
        (Where::Main, "", "dnf.conf(5) has none of that name"),
    ] {
        let said = check(place, key, "1");
        assert!(said.as_ref().is_err_and(|words| words.contains(wanted)), "{key}: {said:?}");
    }
    let lists = MAIN.iter().chain(REPO).map(|(known, _)| known).chain(INDIFFERENT).chain(FOREIGN);
    for known in lists {
        let said = check(Where::Main, known, "1").err();
        assert!(said.is_none_or(|words| words.starts_with("invalid value")), "{known}");
    }
}
