//! Sysctls of a configuration: only those of namespaces that the container does not share with the
//! host (sysctl(8), namespaces(7)). Everything else is one value for the whole machine.

use oci_spec::runtime::Spec;

use super::error::{Doing, LaunchError};

/// Which namespaces the container does not share with the launcher: made for it, or joined and not
/// the launcher's own by inode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Separate {
    /// Network.
    pub(crate) net: bool,
    /// System V IPC and POSIX message queues.
    pub(crate) ipc: bool,
    /// Host and domain name.
    pub(crate) uts: bool,
}

/// One sysctl to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sysctl {
    /// Name as the configuration has it.
    pub(crate) name: String,
    /// Path below `/proc/sys`.
    pub(crate) path: String,
    /// Value.
    pub(crate) value: String,
}

/// The parameters of System V IPC, which each IPC namespace has its own of (ipc_namespaces(7)).
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// The sysctls of a configuration, each checked against the namespaces. Sorted by path, so that a
/// launch does the same every time.
///
/// # Errors
/// A name that is not one, that two entries share, or whose value would be the host's.
pub(crate) fn check(spec: &Spec, separate: Separate) -> Result<Vec<Sysctl>, LaunchError> {
    let said = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut all = Vec::new();
    for (name, value) in said.into_iter().flatten() {
        let refused = |why: String| LaunchError::refused(format!("linux.sysctl `{name}`"), why);
        let path = path(name).ok_or_else(|| refused("invalid name of a sysctl".to_owned()))?;
        allowed(&path, spec.hostname().is_some(), separate).map_err(|why| refused(why.to_owned()))?;
        all.push(Sysctl { name: name.clone(), path, value: value.clone() });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(pair) = all.windows(2).find(|pair| pair[0].path == pair[1].path) {
        let why = format!("`{}` is the same one", pair[1].name);
        return Err(LaunchError::refused(format!("linux.sysctl `{}`", pair[0].name), why));
    }
    Ok(all)
}

/// Writes sysctls. In the container's own namespaces, while the host's `/proc` is still in reach:
/// the kernel shows each process the parameters of its own namespaces there.
///
/// # Errors
/// open(2) or write(2) failed: there is no such sysctl, or its value is invalid.
pub(crate) fn apply(all: &[Sysctl]) -> Result<(), LaunchError> {
    for one in all {
        let what = || format!("linux.sysctl `{}` = `{}`", one.name, one.value);
        // Not created: a name that does not exist is an error.
        let file = std::fs::OpenOptions::new().write(true).open(format!("/proc/sys/{}", one.path));
        let mut file = file.doing(what)?;
        std::io::Write::write_all(&mut file, one.value.as_bytes()).doing(what)?;
    }
    Ok(())
}

/// The path of a name. The separator is whichever of `.` and `/` comes first, and the other one
/// then stands for it within a component (sysctl.d(5)).
fn path(name: &str) -> Option<String> {
    let separator = name.chars().find(|one| matches!(one, '.' | '/'))?;
    let path: String = match separator {
        '/' => name.to_owned(),
        _ => name
            .chars()
            .map(|one| match one {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let valid = !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    valid.then_some(path)
}

/// Whether a path is a parameter of a namespace that the container has to itself; else the reason
/// why not, in the words that runc has.
fn allowed(path: &str, has_hostname: bool, separate: Separate) -> Result<(), &'static str> {
    let of_ipc = path.strip_prefix("kernel/").is_some_and(|name| IPC.contains(&name));
    let (own, why) = match path {
        _ if of_ipc || path.starts_with("fs/mqueue/") => {
            (separate.ipc, "is not allowed in the host's IPC namespace")
        }
        _ if path.starts_with("net/") => (separate.net, "is not allowed in the host's network namespace"),
        "kernel/domainname" => (separate.uts, "is not allowed in the host's UTS namespace"),
        "kernel/hostname" if has_hostname => (false, "is not allowed as it conflicts with `hostname`"),
        "kernel/hostname" => (separate.uts, "is not allowed in the host's UTS namespace"),
        _ => (false, "is not in a separate kernel namespace"),
    };
    if own { Ok(()) } else { Err(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Separate = Separate { net: true, ipc: true, uts: true };

    fn checked(names: &[&str], hostname: bool, separate: Separate) -> Result<Vec<String>, String> {
        let sysctl: serde_json::Map<String, serde_json::Value> =
            names.iter().map(|&name| (name.to_owned(), "1".into())).collect();
        let mut spec = serde_json::json!({"ociVersion": "1.0.2", "linux": {"sysctl": sysctl}});
        if hostname {
            spec["hostname"] = "x".into();
        }
        let spec: Spec = serde_json::from_value(spec).unwrap();
        check(&spec, separate)
            .map(|all| all.into_iter().map(|one| one.path).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_namespace_has_its_own() {
        let net = ["net.ipv4.ip_forward", "net/core/somaxconn", "net.ipv4.conf.eth0/1.rp_filter"];
        let ipc = ["kernel.msgmax", "kernel/shm_rmid_forced", "kernel.sem", "fs.mqueue.msg_max"];
        let uts = ["kernel.domainname", "kernel.hostname"];
        for (names, own) in [
            (&net[..], Separate { net: true, ..Separate::default() }),
            (&ipc[..], Separate { ipc: true, ..Separate::default() }),
            (&uts[..], Separate { uts: true, ..Separate::default() }),
        ] {
            for name in names {
                assert!(checked(&[name], false, own).is_ok(), "{name}");
                let without = Separate { net: !own.net, ipc: !own.ipc, uts: !own.uts };
                let error = checked(&[name], false, without).unwrap_err();
                assert!(error.contains(name) && error.contains("is not allowed in the host's"), "{error}");
            }
        }
        assert_eq!(checked(&net[2..], false, ALL), Ok(vec!["net/ipv4/conf/eth0.1/rp_filter".to_owned()]));
    }

    #[test]
    fn what_is_the_machines_is_refused_whatever_is_separate() {
        for name in [
            "vm.swappiness",
            "kernel.core_pattern",
            "kernel/core_pattern",
            "fs.file-max",
            "fs.mqueue",
            "user.max_user_namespaces",
            "kernel.msgmaxx",
            "kernel.shm",
            "kernel.panic",
            "netx.ipv4.ip_forward",
            "dev.tty.legacy_tiocsti",
        ] {
            let error = checked(&[name], false, ALL).unwrap_err();
            assert!(error.contains("is not in a separate kernel namespace"), "{name}: {error}");
        }
        assert!(checked(&["kernel.hostname"], true, ALL).unwrap_err().contains("conflicts with `hostname`"));
        assert!(checked(&["kernel.domainname"], true, ALL).is_ok());
    }

    #[test]
    fn names_stay_below_proc_sys() {
        for name in [
            "net/../vm/swappiness",
            "net/ipv4/../../kernel/core_pattern",
            "net//ipv4/ip_forward",
            "net/./ipv4",
            "net",
            "",
            ".",
            "/net/ipv4/ip_forward",
            "net.ipv4.",
            "net..ipv4",
            "net.//.kernel",
            "net/ipv4/x\0",
        ] {
            let error = checked(&[name], false, ALL);
            // `..` within a name of dots is a component of one dot, or an empty one.
            assert!(error.is_err(), "{name}: {error:?}");
        }
        let both = checked(&["net.ipv4.ip_forward", "net/ipv4/ip_forward"], false, ALL).unwrap_err();
        assert!(both.contains("the same one"), "{both}");
    }
}
