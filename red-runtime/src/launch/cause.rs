//! What is behind an error: the settings of the machine, the session or the unit that most often lead to it.
//! `red-runtime doctor` knows the same; whoever meets the error need not know of `doctor`. Nothing is looked
//! at before something has failed.

/// What is known of the surroundings.
trait Surroundings {
    /// The text of a file, trimmed.
    fn read(&self, path: &str) -> Option<String>;
}

struct Here;

impl Surroundings for Here {
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }
}

/// An error's text with what is known of its cause.
pub(crate) fn with_cause(text: &str) -> String {
    match of(text) {
        Some(cause) => format!("{text} ({cause})"),
        None => text.to_owned(),
    }
}

/// What is known of the cause of an error, by its text.
pub(crate) fn of(text: &str) -> Option<String> {
    cause(text, &Here)
}

fn is(here: &dyn Surroundings, path: &str, wanted: &str) -> bool {
    here.read(path).as_deref() == Some(wanted)
}

/// Whether a system call filter is on this process (proc_pid_status(5), "Seccomp").
fn filtered(here: &dyn Surroundings) -> bool {
    has_status(here, "Seccomp:", "2")
}

fn has_status(here: &dyn Surroundings, key: &str, value: &str) -> bool {
    let status = here.read("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim() == value))
}

/// Limits of the kernel on namespaces (namespaces(7), "/proc/sys/user").
const KINDS: [&str; 8] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

// One a line, in the order in which they are told apart.
fn cause(text: &str, here: &dyn Surroundings) -> Option<String> {
    let says = |words: &str| text.contains(words);
    let namespaces = says("namespace") || says("user_namespaces");
    if says("(os error 38)") {
        return filtered(here).then(|| {
            "a system call filter denies it: RestrictSUIDSGID= of a unit, which DynamicUser= sets, and \
             RestrictNamespaces= do, a SystemCallFilter= without `@mount @privileged`, and that of a node, which \
             `config: {seccomp: Disabled}` does without; openat2(2) and clone3(2) are needed"
                .to_owned()
        });
    }
    if says("Read-only file system")
        && (says("state directory") || says("lock of container") || says("state ."))
    {
        return Some(
            "ProtectSystem= of a unit makes it so; add RuntimeDirectory=red-runtime and \
             RuntimeDirectoryPreserve=yes to the unit, or use --root"
                .to_owned(),
        );
    }
    if (says("state directory") || says("lock of container")) && says("/run/user/") && says("(EACCES)") {
        return Some(
            "XDG_RUNTIME_DIR is of another user, as after `su`; log in as this user, or unset it".to_owned(),
        );
    }
    if says("Too many open files") {
        return Some("the limit on open files is reached: ulimit -n, LimitNOFILE= of a unit".to_owned());
    }
    if says("SIGSYS") {
        let told = says("SystemCallFilter=");
        return (!told).then(|| "SystemCallFilter= of a unit has to allow `@mount @privileged`".to_owned());
    }
    if says("File too large") {
        return Some("the limit on sizes of files is reached: ulimit -f, LimitFSIZE= of a unit".to_owned());
    }
    if (says("newuidmap") || says("newgidmap")) && !says("(ENOENT)") && has_status(here, "NoNewPrivs:", "1") {
        return Some(
            "NoNewPrivileges= of a unit keeps set-user-id programs from working, and where a unit has no root \
             LockPersonality=, RestrictRealtime=, SystemCallArchitectures= and the like set it"
                .to_owned(),
        );
    }
    if namespaces && (says("(os error 28)") || says("(os error 87)")) {
        let none = |kind: &&&str| is(here, &format!("/proc/sys/user/max_{kind}_namespaces"), "0");
        return Some(match KINDS.iter().find(none) {
            Some(kind) => format!(
                "user.max_{kind}_namespaces is 0: none may be made; `sysctl user.max_{kind}_namespaces=15000`"
            ),
            None => "a limit in /proc/sys/user is reached, or namespaces are nested too deeply".to_owned(),
        });
    }
    if namespaces && says("(EPERM)") {
        return denied(here);
    }
    if namespaces && says("(os error 11)") {
        return Some("the limit on processes is reached: ulimit -u, or pids.max of a cgroup".to_owned());
    }
    if namespaces && says("(os error 95)") {
        return Some(
            "the cgroup that it would be made in is threaded, or has processes of its own".to_owned(),
        );
    }
    if says("host name") && says("(EPERM)") {
        return if filtered(here) {
            Some(
                "ProtectHostname= of a unit refuses it, or a SystemCallFilter= without `@mount @privileged`"
                    .to_owned(),
            )
        } else {
            denied(here)
        };
    }
    (says("(EPERM)") && filtered(here)).then(|| {
        "a system call filter is on this process, of a unit (SystemCallFilter= has to allow `@mount @privileged`) or of \
         a container"
            .to_owned()
    })
}

fn denied(here: &dyn Surroundings) -> Option<String> {
    if is(here, "/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some("`sysctl kernel.unprivileged_userns_clone=1` allows it to ordinary users".to_owned());
    }
    if is(here, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for red-runtime, allows it"
                .to_owned(),
        );
    }
    filtered(here).then(|| {
        "a system call filter refuses it: RestrictNamespaces= of a unit, or a container's".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Made(&'static [(&'static str, &'static str)]);

    impl Surroundings for Made {
        fn read(&self, path: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == path).map(|(_, text)| (*text).to_owned())
        }
    }

    #[test]
    fn causes_are_named() {
        let filter = Made(&[("/proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1")]);
        let limit =
            Made(&[("/proc/sys/user/max_user_namespaces", "0"), ("/proc/sys/user/max_mnt_namespaces", "9")]);
        let old = Made(&[("/proc/sys/kernel/unprivileged_userns_clone", "0")]);
        let profile = Made(&[("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")]);
        let privileges = Made(&[("/proc/self/status", "NoNewPrivs:\t1\nSeccomp:\t0")]);
        let plain = Made(&[]);
        let cases: [(&str, &Made, &str); 16] = [
            ("new namespaces: Function not implemented (os error 38)", &filter, "RestrictNamespaces="),
            (
                "state directory /run/red-runtime: Read-only file system (os error 30)",
                &plain,
                "RuntimeDirectory=",
            ),
            ("lock of container `x`: Read-only file system (os error 30)", &plain, "RuntimeDirectory="),
            ("state directory /run/user/0/red-runtime: access denied (EACCES)", &plain, "XDG_RUNTIME_DIR"),
            (
                "new namespaces: No space left on device (os error 28)",
                &limit,
                "user.max_user_namespaces is 0",
            ),
            ("new namespaces: No space left on device (os error 28)", &plain, "/proc/sys/user"),
            ("new namespaces: not allowed (EPERM)", &old, "unprivileged_userns_clone=1"),
            ("new namespaces: not allowed (EPERM)", &profile, "apparmor_restrict"),
            ("new namespaces: not allowed (EPERM)", &filter, "filter"),
            ("new namespaces: Resource temporarily unavailable (os error 11)", &plain, "ulimit -u"),
            ("new namespaces: Operation not supported (os error 95)", &plain, "threaded"),
            ("newgidmap (package uidmap): Too many open files (os error 24)", &plain, "ulimit -n"),
            ("file /etc/passwd: File too large (os error 27)", &plain, "ulimit -f"),
            ("newgidmap: newgidmap: write to gid_map failed", &privileges, "NoNewPrivileges="),
            ("host name `core`: not allowed (EPERM)", &filter, "ProtectHostname="),
            ("host name: not allowed (EPERM)", &profile, "apparmor_restrict"),
        ];
        for (text, here, wanted) in cases {
            let cause = cause(text, here).unwrap_or_default();
            assert!(cause.contains(wanted), "{text}: {cause}");
            // podman would read another status from these words.
            let lower = cause.to_lowercase();
            for word in ["no such file", "permission denied", "not permitted", "executable file"] {
                assert!(!lower.contains(word), "{cause}");
            }
        }
        for text in [
            "new namespaces: Function not implemented (os error 38)",
            "memory.max: No space left on device (os error 28)",
        ] {
            assert_eq!(cause(text, &plain), None, "{text}");
        }
    }
}
