//! Mounts: source, type, flags, propagation, and what is mounted below them; masked and read-only
//! paths; the root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::Findings;
use crate::container::Observed;
use crate::report::{self, Report};

pub(super) fn compare(spec: &Spec, observed: &Observed, findings: &mut Findings) {
    let report = &observed.report;
    let mounts = spec.mounts().clone().unwrap_or_default();
    for mount in &mounts {
        one(mount, report, findings);
    }
    root(spec, report, findings);
    covered_paths(spec, report, findings);
    uninvited(spec, &mounts, report, findings);
}

/// The mount that is seen at a place: the last one there.
fn at<'r>(report: &'r Report, destination: &str) -> Option<&'r report::Mount> {
    report.mounts.iter().rev().find(|mount| mount.destination == destination)
}

fn one(mount: &Mount, report: &Report, findings: &mut Findings) {
    let destination = mount.destination().display().to_string();
    let entry = |what: &str| format!("mount {destination}: {what}");
    let Some(seen) = at(report, &destination) else {
        findings.differ(entry("there"), "mounted", "not mounted");
        return;
    };
    let options: Vec<String> = mount.options().clone().unwrap_or_default();
    let asked = |option: &str| options.iter().any(|one| one == option);
    let bind = asked("bind") || asked("rbind");
    if bind {
        let source = mount.source().clone().unwrap_or_default();
        let wanted = std::fs::metadata(&source).ok().map(|meta| (meta.dev(), meta.ino()));
        let found = report.paths.get(&destination).and_then(|path| path.id);
        if wanted.is_none() || wanted != found {
            findings.differ(
                entry("source"),
                format!("{} {wanted:?}", source.display()),
                format!("{found:?}"),
            );
        }
    } else {
        findings.same(entry("type"), &mount.typ().clone().unwrap_or_default(), &seen.fstype);
    }
    flags(&entry, &asked, seen, findings);
    if bind && !seen.propagation.is_empty() {
        findings.differ(entry("propagation"), "private", seen.propagation.join(" "));
    }
    for (option, wanted) in [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev")] {
        for below in report.mounts.iter().filter(|_| asked(option)) {
            let copied = inside(&below.destination, &destination) && comes_with(below, seen, report);
            if copied && !below.options.iter().any(|one| one == wanted) {
                findings.differ(
                    entry(option),
                    format!("{wanted} at {}", below.destination),
                    below.options.join(","),
                );
            }
        }
    }
    if !bind {
        made(&entry, &options, report.paths.get(&destination), seen, findings);
    }
}

fn inside(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a mount came along with the bind above it: it stands right on it, and no entry of the
/// configuration put it there (those are compared by themselves).
fn comes_with(below: &report::Mount, bind: &report::Mount, report: &Report) -> bool {
    let own = report.mounts.iter().rev().find(|one| one.destination == below.destination);
    below.parent == bind.id && own.is_some_and(|own| own.id == below.id)
}

fn flags(
    entry: &impl Fn(&str) -> String,
    asked: &impl Fn(&str) -> bool,
    seen: &report::Mount,
    findings: &mut Findings,
) {
    let has = |flag: &str| seen.options.iter().any(|one| one == flag);
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        findings.same(entry(flag), &asked(flag), &has(flag));
    }
}

/// What a file system was made with: options its `mode`, `uid`, `gid` and size show.
fn made(
    entry: &impl Fn(&str) -> String,
    options: &[String],
    path: Option<&report::Path>,
    seen: &report::Mount,
    findings: &mut Findings,
) {
    let Some(path) = path else { return };
    for option in options {
        let Some((key, value)) = option.split_once('=') else { continue };
        match key {
            "mode" if seen.fstype == "tmpfs" => {
                let wanted = u32::from_str_radix(value, 8).unwrap_or(u32::MAX);
                findings.same(entry("mode"), &format!("{wanted:o}"), &format!("{:o}", path.mode));
            }
            "uid" => findings.same(entry("uid"), &value.to_owned(), &path.owner.0.to_string()),
            "gid" if seen.fstype == "tmpfs" => {
                findings.same(entry("gid"), &value.to_owned(), &path.owner.1.to_string());
            }
            "size" | "ptmxmode" | "gid" => {
                let wanted = format!("{key}={}", value.trim_start_matches('0'));
                if !seen.super_options.contains(&wanted) {
                    findings.differ(entry(key), wanted, seen.super_options.join(","));
                }
            }
            _ => {}
        }
    }
}

fn root(spec: &Spec, report: &Report, findings: &mut Findings) {
    let wanted = spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly).unwrap_or(false);
    let seen = at(report, "/").is_some_and(|root| root.options.iter().any(|one| one == "ro"));
    findings.same("root: readonly", &wanted, &seen);
    let write = report.paths.get("/").map_or("", |root| root.write.as_str());
    if wanted && write != "read-only" {
        findings.differ("root: a write", "read-only", write);
    }
    // A read-only mount refuses writes; the flag alone would not prove it.
    for mount in spec.mounts().iter().flatten() {
        let destination = mount.destination().display().to_string();
        let read_only = mount.options().iter().flatten().any(|one| one == "ro");
        let write = report.paths.get(&destination).map_or("", |path| path.write.as_str());
        if read_only && write == "written" {
            findings.differ(format!("mount {destination}: a write"), "read-only", write);
        }
    }
}

fn covered_paths(spec: &Spec, report: &Report, findings: &mut Findings) {
    let Some(linux) = spec.linux() else { return };
    for path in linux.masked_paths().iter().flatten() {
        // Masked files are empty devices, masked directories empty file systems (config-linux.md).
        let present = report.paths.get(path).is_some_and(|seen| seen.kind != "missing");
        let masked = at(report, path).is_some_and(|mount| mount.fstype == "tmpfs" || mount.root == "/null");
        if present && !masked {
            findings.differ(format!("masked {path}"), "covered", "visible");
        }
    }
    for path in linux.readonly_paths().iter().flatten() {
        let present = report.paths.get(path).is_some_and(|seen| seen.kind != "missing");
        let read_only = at(report, path).is_some_and(|mount| mount.options.iter().any(|one| one == "ro"));
        if present && !read_only {
            findings.differ(format!("read-only {path}"), "ro", "writable");
        }
    }
}

/// Mounts that nobody asked for. A runtime may add device nodes as binds where it cannot make them.
fn uninvited(spec: &Spec, mounts: &[Mount], report: &Report, findings: &mut Findings) {
    let linux = spec.linux().as_ref();
    let covered: Vec<String> = linux
        .map(|linux| linux.masked_paths().iter().chain(linux.readonly_paths()).flatten().cloned().collect())
        .unwrap_or_default();
    let devices: Vec<String> = linux
        .and_then(|linux| linux.devices().clone())
        .unwrap_or_default()
        .iter()
        .map(|device| device.path().display().to_string())
        .collect();
    for seen in &report.mounts {
        let at = seen.destination.as_str();
        let asked = mounts.iter().any(|mount| mount.destination() == Path::new(at));
        let below_bind = mounts.iter().any(|mount| {
            let recursive = mount.options().iter().flatten().any(|one| one == "rbind");
            recursive && inside(at, &mount.destination().display().to_string())
        });
        let device = DEVICES.contains(&at) || devices.iter().any(|device| device == at);
        if !(at == "/" || asked || below_bind || device || covered.iter().any(|path| path == at)) {
            findings.differ(format!("mount {at}"), "not there", format!("{} {}", seen.fstype, seen.root));
        }
    }
}

/// Devices that every container has (config-linux.md, "Default Devices").
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console"];
