//! Scopes that systemd makes (org.freedesktop.systemd1(5), systemd.scope(5)).
//!
//! systemd makes the cgroup, delegates it, and puts the first process into it; what is in it is ours. Limits are
//! written to its files, as everywhere; then systemd is told what they are, for it writes its own idea of them again
//! whenever it is reloaded.

mod bus;
mod patient;
mod properties;

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::Pid;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use self::bus::{Bus, BusError, Interface};
pub(super) use self::properties::tell;
use crate::launch::error::LaunchError;
use crate::launch::record::is_machines_root;

/// systemd.
const MANAGER: Interface = Interface {
    destination: "org.freedesktop.systemd1",
    object: "/org/freedesktop/systemd1",
    name: "org.freedesktop.systemd1.Manager",
};

/// A scope, as engines name it: `slice:prefix:name` (runc, docs/systemd.md).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Scope {
    slice: String,
    /// Name of the unit.
    pub(super) unit: String,
}

impl Scope {
    /// Parses a name.
    ///
    /// # Errors
    /// It has another form, or systemd would not take it.
    pub(super) fn parse(text: &str) -> Result<Self, LaunchError> {
        let refused = |why: &str| LaunchError::refused(format!("linux.cgroupsPath `{text}`"), why);
        let [slice, prefix, name] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(refused("with --systemd-cgroup it is `slice:prefix:name`"));
        };
        let slice = match slice {
            "" if is_machines_root() => "system.slice",
            "" => "user.slice",
            slice => slice,
        };
        if !slice.ends_with(".slice") {
            return Err(refused("its first part has to be the name of a slice, `NAME.slice`"));
        }
        if name.is_empty() || name.ends_with(".slice") {
            return Err(refused("its last part has to be the name of the container"));
        }
        let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        // Anything else would be another unit, or a path (systemd.unit(5)).
        let valid = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
        for part in [slice, unit.as_str()] {
            if part.len() > 255 || !part.chars().all(valid) {
                return Err(refused(
                    "unit names have letters, digits and `:-_.\\@`, and at most 255 of them",
                ));
            }
        }
        Ok(Self { slice: slice.to_owned(), unit })
    }

    /// Has systemd make the scope with a process in it, and waits until it is there. It ends when the unit ends that
    /// it is bound to.
    ///
    /// # Errors
    /// systemd does not answer, or refuses.
    pub(super) fn start(&self, pid: Pid, description: &str, bound: Option<&str>) -> Result<(), LaunchError> {
        let failed = |why: &dyn std::fmt::Display| self.failed("cannot be started", why);
        let no_bus =
            |error: BusError| failed(&format!("{error}; in a unit with `Delegate=yes` no scope is needed"));
        let mut bus = connect().map_err(no_bus)?;
        bus.watch_jobs().map_err(|error| failed(&error))?;
        let pids = vec![u32::try_from(pid.as_raw_nonzero().get()).unwrap_or_default()];
        let mut properties: Vec<(&str, Variant<'_>)> = vec![
            ("Description", description.into()),
            ("Slice", self.slice.as_str().into()),
            ("Delegate", true.into()),
            ("DefaultDependencies", false.into()),
            ("CPUAccounting", true.into()),
            ("IOAccounting", true.into()),
            ("MemoryAccounting", true.into()),
            ("TasksAccounting", true.into()),
            ("PIDs", pids.into()),
        ];
        for dependency in bound.map(|_| ["BindsTo", "After"]).into_iter().flatten() {
            properties.push((dependency, bound.into_iter().collect::<Vec<_>>().into()));
        }
        let none: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
        let arguments = (self.unit.as_str(), "replace", properties, none);
        let mut start = || bus.call::<OwnedObjectPath>(MANAGER.method("StartTransientUnit"), &arguments);
        let job = match start() {
            // One of this name that has failed is kept until somebody has looked.
            Err(error) if error.is("UnitExists") => {
                let forgotten = connect().and_then(|mut bus| reset(&mut bus, &self.unit));
                forgotten.map_err(|error| failed(&error))?;
                start()
            }
            other => other,
        };
        let result = job.and_then(|job| bus.wait_job(job.as_str())).map_err(|error| failed(&error))?;
        match result.as_str() {
            "done" => Ok(()),
            other => Err(failed(&format!("systemd's job ended with `{other}`"))),
        }
    }

    /// Ends the scope with all that is in it, and waits until it is gone.
    ///
    /// # Errors
    /// systemd does not answer, or refuses.
    pub(super) fn stop(&self) -> Result<(), LaunchError> {
        let failed = |error: BusError| self.failed("cannot be stopped", &error);
        let mut bus = connect().map_err(failed)?;
        bus.watch_jobs().map_err(failed)?;
        let job = bus.call::<OwnedObjectPath>(MANAGER.method("StopUnit"), &(self.unit.as_str(), "replace"));
        match job.and_then(|job| bus.wait_job(job.as_str())) {
            Ok(_) => {}
            Err(error) if error.is("NoSuchUnit") => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        reset(&mut bus, &self.unit).map_err(failed)
    }

    /// Sets properties of the running unit.
    fn set(&self, properties: Vec<(&str, Variant<'_>)>) -> Result<(), LaunchError> {
        let failed = |error: BusError| self.failed("does not take its limits", &error);
        let mut bus = connect().map_err(failed)?;
        // Only until it ends.
        let runtime = true;
        bus.call::<()>(MANAGER.method("SetUnitProperties"), &(self.unit.as_str(), runtime, properties))
            .map_err(failed)
    }

    fn failed(&self, what: &str, why: &dyn std::fmt::Display) -> LaunchError {
        LaunchError::refused(format!("systemd unit {}", self.unit), format!("{what}: {why}"))
    }
}

/// A cgroup in a scope that the caller may not put a process into: it is in the session of a user, and the scope is below
/// the user's manager (cgroup-v2.rst, "Delegation Containment").
#[derive(Debug)]
pub(crate) struct Attach {
    scope: Scope,
    /// Path in the scope.
    below: String,
}

impl Attach {
    /// That of a container's cgroup, if systemd has made it and this process cannot reach it.
    ///
    /// # Errors
    /// The record's name of the scope is none.
    pub(crate) fn needed(systemd: Option<&str>, path: &str) -> Result<Option<Self>, LaunchError> {
        let Some(systemd) = systemd else { return Ok(None) };
        let own = super::own_path();
        let both = Path::new(path).ancestors().find(|above| Path::new(&own).starts_with(above));
        let both = both.and_then(|both| both.strip_prefix("/").ok()).unwrap_or(Path::new(""));
        let members = Path::new(super::MOUNT).join(both).join("cgroup.procs");
        if accessat(CWD, &members, Access::WRITE_OK, AtFlags::EACCESS).is_ok() {
            return Ok(None);
        }
        let scope = Scope::parse(systemd)?;
        let below = path.split_once(&format!("/{}", scope.unit)).map(|(_, below)| below.to_owned());
        Ok(Some(Self { scope, below: below.unwrap_or_default() }))
    }

    /// Has systemd put a process there.
    ///
    /// # Errors
    /// systemd does not answer, or refuses.
    pub(crate) fn put(&self, pid: Pid) -> Result<(), LaunchError> {
        let pids = vec![u32::try_from(pid.as_raw_nonzero().get()).unwrap_or_default()];
        let arguments = (self.scope.unit.as_str(), self.below.as_str(), pids);
        let attached =
            connect().and_then(|mut bus| bus.call::<()>(MANAGER.method("AttachProcessesToUnit"), &arguments));
        attached.map_err(|error| self.scope.failed("does not take the process", &error))
    }
}

/// Whether the manager of this user's units answers.
///
/// # Errors
/// It does not, or there is none.
pub(crate) fn manager() -> Result<(), String> {
    let mut bus = connect().map_err(|error| error.to_string())?;
    // Starts none that is not there.
    let running: Result<bool, BusError> = bus.call(bus::BUS.method("NameHasOwner"), &(MANAGER.destination,));
    match running {
        Ok(true) => Ok(()),
        Ok(false) => Err("nobody manages units on this bus".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the manager of this user's units says that a unit's cgroup is delegated. Where nobody answers it is not.
pub(super) fn delegates(unit: &str) -> bool {
    let kind = if unit.ends_with(".scope") { "Scope" } else { "Service" };
    let ask = || -> Result<bool, BusError> {
        let mut bus = connect()?;
        let object: OwnedObjectPath = bus.call(MANAGER.method("GetUnit"), &(unit,))?;
        let get = [MANAGER.destination, object.as_str(), "org.freedesktop.DBus.Properties", "Get"];
        let value: OwnedVariant = bus.call(get, &(format!("org.freedesktop.systemd1.{kind}"), "Delegate"))?;
        Ok(bool::try_from(value).unwrap_or(false))
    };
    ask().unwrap_or(false)
}

/// The manager of this user's units.
fn connect() -> Result<Bus, BusError> {
    if is_machines_root() { Bus::system() } else { Bus::user() }
}

/// Forgets that a unit has failed. Most have not, and are gone.
fn reset(bus: &mut Bus, unit: &str) -> Result<(), BusError> {
    match bus.call::<()>(MANAGER.method("ResetFailedUnit"), &(unit,)) {
        Err(error) if error.is("NoSuchUnit") => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_engines_become_units() {
        let unit = |text: &str| Scope::parse(text).map(|scope| scope.unit).map_err(|error| error.to_string());
        assert_eq!(unit("machine.slice:libpod:1f").as_deref(), Ok("libpod-1f.scope"));
        assert_eq!(unit("user.slice::x").as_deref(), Ok("x.scope"));
        assert_eq!(Scope::parse(":a:b").map(|scope| scope.slice).ok().as_deref(), Some("system.slice"));
        for wrong in
            ["/a/b", "a:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:", "a.slice:b:c/d", "a.slice:b:c.slice"]
        {
            assert!(unit(wrong).is_err(), "{wrong}");
        }
    }
}
