//! Settings of a configuration that are not applied, and so are refused: a limit or an isolation that was
//! asked for and is not there is worse than a container that does not start.

use oci_spec::runtime::{LinuxPersonalityDomain, Process, Spec};

use super::error::LaunchError;

/// Execution domains (linux/personality.h).
const PER_LINUX: u32 = 0;
const PER_LINUX32: u32 = 8;

/// Whether everything in a configuration is applied.
///
/// # Errors
/// Something is not.
pub(super) fn check(spec: &Spec) -> Result<(), LaunchError> {
    version(spec.version())?;
    spec.process().as_ref().map_or(Ok(()), check_process)?;
    let Some(linux) = spec.linux() else { return Ok(()) };
    let refused = |what: &str| Err(LaunchError::refused(what, "is not supported"));
    if linux.intel_rdt().is_some() {
        return refused("linux.intelRdt");
    }
    if linux.memory_policy().is_some() {
        return refused("linux.memoryPolicy");
    }
    Ok(())
}

/// Whether a process of a configuration, or one that joins it, asks only for what is applied.
///
/// # Errors
/// It asks for more.
pub(super) fn check_process(process: &Process) -> Result<(), LaunchError> {
    if process.exec_cpu_affinity().is_some() {
        return Err(LaunchError::refused("process.execCPUAffinity", "is not supported"));
    }
    // Which of two would count is nobody's guess (config.md, "rlimits").
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (index, limit) in limits.iter().enumerate() {
        if limits[..index].iter().any(|other| other.typ() == limit.typ()) {
            return Err(LaunchError::refused("process.rlimits", format!("duplicate limit {}", limit.typ())));
        }
    }
    Ok(())
}

/// The execution domain of a configuration (config-linux.md, "personality").
///
/// # Errors
/// It has flags, of which the specification knows none.
pub(super) fn personality(spec: &Spec) -> Result<Option<u32>, LaunchError> {
    let Some(said) = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(None);
    };
    if let Some(flag) = said.flags().iter().flatten().next() {
        return Err(LaunchError::refused("linux.personality", format!("unknown flag `{flag}`")));
    }
    Ok(Some(match said.domain() {
        LinuxPersonalityDomain::PerLinux => PER_LINUX,
        LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
    }))
}

/// Whether a configuration is of a version whose meaning is known: any of the first major version
/// (config.md, "Specification version").
fn version(said: &str) -> Result<(), LaunchError> {
    let refused = |why: String| Err(LaunchError::refused("ociVersion", why));
    let number = said.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = number.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() != 3 || !parts.iter().all(digits) {
        return refused(format!("`{said}` is not a version (MAJOR.MINOR.PATCH)"));
    }
    if parts[0] != "1" {
        return refused(format!("{said} is not supported; versions 1.x are"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_whose_meaning_is_known() {
        for good in ["1.0.0", "1.0.2-dev", "1.2.0", "1.3.0+dev", "1.1.0-rc.1+x"] {
            assert!(version(good).is_ok(), "{good}");
        }
        for wrong in ["", "2.0.0", "0.9.0", "banana", "1", "1.0", "1.0.x", "1.0.0.0", "-1.0.0"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_given_once() {
        let limits = |types: &[&str]| {
            let all: Vec<_> =
                types.iter().map(|typ| serde_json::json!({"type": typ, "soft": 1, "hard": 2})).collect();
            let user = serde_json::json!({"uid": 0, "gid": 0});
            let process = serde_json::json!({"user": user, "cwd": "/", "args": ["x"], "rlimits": all});
            check_process(&serde_json::from_value(process).unwrap())
        };
        assert!(limits(&["RLIMIT_NOFILE", "RLIMIT_CORE"]).is_ok());
        let said = limits(&["RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NOFILE"]).unwrap_err().to_string();
        assert!(said.contains("duplicate limit RLIMIT_NOFILE"), "{said}");
    }
}
