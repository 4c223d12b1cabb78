//! Configurations that are wrong in one entry.
//!
//! A comparison that agrees with any of them for what another configuration brought about would
//! not notice a runtime that got that entry wrong.

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// A configuration, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was changed.
    pub change: String,
    /// The configuration.
    pub spec: Spec,
}

/// Every mutant of a configuration. `controllers` says whether limits can be seen.
///
/// # Errors
/// The configuration cannot be read back after the change.
pub fn mutants(spec: &Spec, controllers: bool) -> serde_json::Result<Vec<Mutant>> {
    let original = serde_json::to_value(spec)?;
    let mut changes: Vec<(String, Value)> = Vec::new();
    let mut add = |change: String, value: Value| changes.push((change, value));
    mounts(&original, &mut add);
    process(&original, &mut add);
    linux(&original, &mut add);
    if controllers {
        limits(&original, &mut add);
    }
    changes
        .into_iter()
        .filter(|(_, value)| *value != original)
        .map(|(change, value)| Ok(Mutant { change, spec: serde_json::from_value(value)? }))
        .collect()
}

type Add<'a> = &'a mut dyn FnMut(String, Value);

fn changed(original: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut copy = original.clone();
    change(&mut copy);
    copy
}

fn toggle(list: &mut Value, word: &str) {
    if let Some(list) = list.as_array_mut() {
        match list.iter().position(|one| one == word) {
            Some(index) => drop(list.remove(index)),
            None => list.push(word.into()),
        }
    }
}

fn mounts(original: &Value, add: Add<'_>) {
    let count = original["mounts"].as_array().map_or(0, Vec::len);
    for index in 0..count {
        let mount = &original["mounts"][index];
        let name = mount["destination"].as_str().unwrap_or("?").to_owned();
        let mut one = |what: &str, change: &dyn Fn(&mut Value)| {
            add(
                format!("mount {name}: {what}"),
                changed(original, |spec| change(&mut spec["mounts"][index])),
            );
        };
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            one(&format!("{flag} toggled"), &|mount| toggle(&mut mount["options"], flag));
        }
        one("elsewhere", &|mount| mount["destination"] = format!("{name}-elsewhere").into());
        if mount["type"] == "bind" {
            one("another source", &|mount| mount["source"] = "/proc/self/mountinfo".into());
        } else {
            one("another type", &|mount| mount["type"] = "sysfs".into());
        }
        let spec = changed(original, |spec| {
            if let Some(mounts) = spec["mounts"].as_array_mut() {
                mounts.remove(index);
            }
        });
        add(format!("mount {name}: left out"), spec);
    }
    let invented = json!({"destination": "/invented", "type": "tmpfs", "source": "tmpfs", "options": []});
    let spec = changed(original, |spec| {
        if let Some(mounts) = spec["mounts"].as_array_mut() {
            mounts.push(invented);
        }
    });
    add("a mount that was never made".to_owned(), spec);
    let toggled = !original["root"]["readonly"].as_bool().unwrap_or(false);
    add(
        "root readonly toggled".to_owned(),
        changed(original, |spec| spec["root"]["readonly"] = toggled.into()),
    );
}

fn process(original: &Value, add: Add<'_>) {
    let process = &original["process"];
    let mut set = |what: &str, path: &str, value: Value| {
        let spec = changed(original, |spec| {
            if let Some(place) = spec.pointer_mut(path) {
                *place = value;
            }
        });
        add(format!("process: {what}"), spec);
    };
    let number = |value: &Value| value.as_u64().unwrap_or(0) + 1;
    set("uid", "/process/user/uid", number(&process["user"]["uid"]).into());
    set("gid", "/process/user/gid", number(&process["user"]["gid"]).into());
    set("umask", "/process/user/umask", (number(&process["user"]["umask"]) % 0o777).into());
    set("cwd", "/process/cwd", "/elsewhere".into());
    set("hostname", "/hostname", "elsewhere".into());
    let nnp = !process["noNewPrivileges"].as_bool().unwrap_or(false);
    set("noNewPrivileges", "/process/noNewPrivileges", nnp.into());
    for name in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        let mut list = process["capabilities"][name].clone();
        toggle(&mut list, "CAP_SYS_PTRACE");
        set(&format!("one capability {name}"), &format!("/process/capabilities/{name}"), list);
    }
    let env = process["env"].as_array().cloned().unwrap_or_default();
    for index in 0..env.len() {
        let key = env[index].as_str().and_then(|entry| entry.split('=').next()).unwrap_or("?").to_owned();
        set(&format!("env {key} changed"), &format!("/process/env/{index}"), format!("{key}=wrong").into());
        let mut without = env.clone();
        without.remove(index);
        // Runtimes add a HOME by themselves, so its absence asks for nothing.
        if key != "HOME" {
            set(&format!("env {key} left out"), "/process/env", without.into());
        }
    }
    let with: Vec<Value> = env.into_iter().chain(["INVENTED=1".into()]).collect();
    set("env invented", "/process/env", with.into());
}

fn linux(original: &Value, add: Add<'_>) {
    let all = ["mount", "uts", "ipc", "user", "pid", "network", "cgroup"];
    let list = original["linux"]["namespaces"].as_array().cloned().unwrap_or_default();
    for typ in all {
        let mut other: Vec<Value> = list.iter().filter(|one| one["type"] != typ).cloned().collect();
        if other.len() == list.len() {
            other.push(json!({"type": typ}));
        }
        let spec = changed(original, |spec| spec["linux"]["namespaces"] = other.into());
        add(format!("namespace {typ} toggled"), spec);
    }
    for kind in ["uidMappings", "gidMappings"] {
        let spec = changed(original, |spec| {
            if let Some(size) = spec.pointer_mut(&format!("/linux/{kind}/0/size")) {
                *size = 7.into();
            }
        });
        add(format!("{kind}: size"), spec);
    }
    for (kind, path) in [("maskedPaths", "/proc/uptime"), ("readonlyPaths", "/proc/driver")] {
        let spec = changed(original, |spec| {
            if let Some(list) = spec["linux"][kind].as_array_mut() {
                list.push(path.into());
            }
        });
        add(format!("{kind}: one more"), spec);
        let spec = changed(original, |spec| spec["linux"][kind] = json!([]));
        add(format!("{kind}: none"), spec);
    }
}

fn limits(original: &Value, add: Add<'_>) {
    for path in ["memory/limit", "memory/reservation", "cpu/quota", "cpu/period", "cpu/shares", "pids/limit"]
    {
        let pointer = format!("/linux/resources/{path}");
        if let Some(now) = original.pointer(&pointer).and_then(Value::as_i64) {
            let spec = changed(original, |spec| {
                if let Some(place) = spec.pointer_mut(&pointer) {
                    *place = (now + 4096).into();
                }
            });
            add(format!("limit {path}"), spec);
        }
    }
}
