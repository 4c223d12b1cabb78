//! What of a node's own files decides for it: one list for launches, which keep containers from writing
//! there, and for the store, which keeps packages and their scriptlets from it.

use crate::node::family::{ADMIN_NAMES, CONFIG_NAMES, STATUS_NAME};

/// What a file of a node decides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Decides {
    /// Whether there is a node, what it may do, and which generation is current.
    Configuration,
    /// Where packages come from, and whose signatures count.
    Repositories,
    /// The package database.
    Packages,
    /// Policy and defaults of a host.
    Policy,
}

impl Decides {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Configuration => "status, configuration and generations of a node",
            Self::Repositories => "repositories and keys of a node",
            Self::Packages => "package database of a node",
            Self::Policy => "policy and defaults of a host",
        }
    }
}

/// A place below a node's directory that decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecidingPlace {
    /// Its path, relative to the node.
    pub path: &'static str,
    /// What it decides.
    pub decides: Decides,
    /// Whether everything below it decides too.
    pub tree: bool,
    /// Whether containers are kept from it under this name. The package database has its place from
    /// the configuration (`rpmdir`), and a host's policy stands on the host.
    pub exported: bool,
}

impl DecidingPlace {
    /// The part that packages are kept from: of `etc/pki` the keys. The rest are certificates, which
    /// programs of the node believe and the store does not.
    #[must_use]
    pub fn of_packages(&self) -> &'static str {
        if self.path == "etc/pki" { "etc/pki/rpm-gpg" } else { self.path }
    }
}

const fn place(path: &'static str, decides: Decides, tree: bool, exported: bool) -> DecidingPlace {
    DecidingPlace { path, decides, tree, exported }
}

/// The list.
pub const PLACES: [DecidingPlace; 17] = [
    place(STATUS_NAME, Decides::Configuration, true, true),
    place(".red", Decides::Configuration, true, true),
    place("etc", Decides::Configuration, false, true),
    place(CONFIG_NAMES[0], Decides::Configuration, true, true),
    place(CONFIG_NAMES[1], Decides::Configuration, true, true),
    place(ADMIN_NAMES[0], Decides::Configuration, true, true),
    place(ADMIN_NAMES[1], Decides::Configuration, true, true),
    place("etc/dnf", Decides::Repositories, true, true),
    place("etc/pki", Decides::Repositories, true, true),
    place("etc/rpm", Decides::Repositories, true, true),
    place("etc/yum", Decides::Repositories, true, true),
    place("etc/yum.repos.d", Decides::Repositories, true, true),
    place("etc/zypp", Decides::Repositories, true, true),
    place("etc/redpak", Decides::Policy, true, false),
    place("var/lib/rpm", Decides::Packages, true, false),
    place("usr/lib/sysimage/rpm", Decides::Packages, true, false),
    place("usr/share/rpm", Decides::Packages, true, false),
];

/// Characters that file systems without case leave out of comparisons (CVE-2014-9390).
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// A name as a file system without case (vfat, casefold) compares it, or a stricter way than that.
fn fold(name: &str) -> String {
    // Upwards first: some letters have one capital only (ſ, the Kelvin sign).
    name.chars()
        .filter(|c| !is_ignored(*c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// What a file decides when it stands at `path`, relative to the root of a node, in any spelling that
/// some file system takes for the same. Nodes may lie anywhere below. A directory decides only by
/// its name, whatever else is in it.
#[must_use]
pub fn decides(path: &str, directory: bool) -> Option<Decides> {
    let names: Vec<String> = path.split('/').filter(|name| !name.is_empty()).map(fold).collect();
    let whole = names.join("/");
    let below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let nodes = names.iter().any(|name| name == STATUS_NAME || name == ".red");
    let named = CONFIG_NAMES.iter().chain(&ADMIN_NAMES);
    let configures = named.clone().any(|name| format!("/{whole}/").contains(&format!("/{name}/")));
    if nodes || configures {
        return Some(Decides::Configuration);
    }
    if directory {
        return None;
    }
    let other = PLACES.iter().filter(|place| place.decides != Decides::Configuration);
    for place in other {
        let path = place.of_packages();
        // What is no directory and stands on the way leads it elsewhere.
        if below(&whole, path) || below(path, &whole) {
            return Some(place.decides);
        }
    }
    named.into_iter().any(|name| below(name, &whole)).then_some(Decides::Configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_decide_are_known_in_every_spelling() {
        use Decides::{Configuration, Packages, Policy, Repositories};
        for (path, wanted) in [
            ("/etc/redpak.yaml", Configuration),
            ("/etc/redpack.yaml", Configuration),
            ("//etc//redpak-admin.yaml", Configuration),
            ("/etc/redpack-admin.yaml", Configuration),
            ("/etc/RedPak.YAML", Configuration),
            ("/ETC/redpa\u{212a}.yaml", Configuration),
            ("/etc/red\u{200d}pak.yaml", Configuration),
            ("/.rednode.yaml", Configuration),
            ("/var/x/.rednode.yaml", Configuration),
            ("/var/x/.REDNODE.yaml", Configuration),
            ("/opt/y/etc/redpak.yaml", Configuration),
            ("/opt/y/etc/redpak.yaml/z", Configuration),
            ("/.red/gen/9/usr", Configuration),
            ("/opt/y/.red/current", Configuration),
            ("/etc", Configuration),
            ("/etc/yum.repos.d/evil.repo", Repositories),
            ("/etc/Yum.Repos.d/evil.repo", Repositories),
            ("/etc/yum.repos.d", Repositories),
            ("/etc/dnf/dnf.conf", Repositories),
            ("/etc/dnf/vars/basearch", Repositories),
            ("/etc/yum/vars/x", Repositories),
            ("/etc/pki", Repositories),
            ("/etc/pki/rpm-gpg/KEY", Repositories),
            ("/etc/rpm/macros", Repositories),
            ("/etc/redpak/main.yaml", Policy),
            ("/var/lib/rpm/rpmdb.sqlite", Packages),
            ("/var/lib/rpm/.rpm.lock", Packages),
            ("/var/lib", Packages),
            ("/usr/lib/sysimage/rpm/Packages", Packages),
        ] {
            let found = decides(path, false);
            assert!(found == Some(wanted) || path == "/etc" && found.is_some(), "{path}: {found:?}");
        }
        for path in [
            "/etc/redpak.yaml.example",
            "/usr/share/doc/redpak.yaml",
            "/usr/share/rednode.yaml",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/yum.repos.dx/a",
            "/var/lib/rpm-state/x",
            "/etc/dnfx",
            "/usr/bin/red",
            "/usr/lib/x",
        ] {
            assert_eq!(decides(path, false), None, "{path}");
        }
    }

    #[test]
    fn directories_decide_by_their_names() {
        for path in ["/etc", "/etc/yum.repos.d", "/etc/dnf/vars", "/var/lib/rpm", "/var", "/usr/lib"] {
            assert_eq!(decides(path, true), None, "{path}");
        }
        for path in ["/etc/redpak.yaml", "/opt/.rednode.yaml", "/.red", "/.red/gen"] {
            assert_eq!(decides(path, true), Some(Decides::Configuration), "{path}");
        }
    }

    #[test]
    fn every_place_of_the_list_is_found_by_its_path() {
        for place in PLACES {
            let file = if place.tree { format!("/{}/x", place.path) } else { format!("/{}", place.path) };
            let found = decides(&file, false);
            assert!(found.is_some() || place.path == "etc/pki", "{file}");
        }
    }
}
