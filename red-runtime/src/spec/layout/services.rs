//! Exports of what is not files: file systems of the kernel's own making, and services that act with
//! root's rights for whoever can reach them.

use super::at;
use super::guard::Judge;
use super::kept;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::Node;
use crate::node::guard::{MountEntry, Service, Services};
use crate::spec::host::Probe;

/// Checks exports, and looks for services once there is an export that could be one's.
#[derive(Debug, Default)]
pub(super) struct Others {
    services: Option<Services>,
}

impl Others {
    /// Judges one export.
    pub(super) fn check(&mut self, judge: &mut Judge<'_, '_>, index: usize) {
        if !kernel(judge, index) {
            self.service(judge, index);
        }
    }

    fn service(&mut self, judge: &mut Judge<'_, '_>, index: usize) {
        let (real, dir, facts) = judge.source(index);
        let writable = judge.export(index).mode.bind() == Some(true);
        let file = facts.is_some_and(|facts| facts.is_file() || facts.is_device());
        let Some(place) = judge.places[index].clone().filter(|_| !file || writable) else { return };
        // What is mounted into a node is as good as elsewhere.
        let mut nodes = judge.finder.family.nodes.iter();
        let base = |node: &Node| kept::place(&judge.mounts, node.facts.mount, &node.vars.path);
        let in_node = nodes.any(|node| base(node).is_some_and(|base| base.contains(&place)));
        if in_node && judge.mounts.below(real).next().is_none() {
            return;
        }
        let uid = judge.finder.terms.uid;
        let services = self.services.get_or_insert_with(|| Services::of(&judge.mounts, uid));
        let host = &mut *judge.finder.host;
        let mut exists = |path: &str| !matches!(host.probe(path, None), Probe::Missing);
        // What is mounted below comes along.
        let below = judge.mounts.below(real).filter(|_| dir).map(MountEntry::location);
        let linked = facts.is_some_and(|facts| facts.is_socket() && facts.links > 1);
        let service = services
            .at(&place, dir, &mut exists)
            .or_else(|| below.into_iter().find_map(|place| services.at(&place, true, &mut exists)))
            .or_else(|| linked.then_some(Service::Of("a service under another name (hard link)")));
        let layer = judge.layer(index);
        match service {
            None => {}
            Some(Service::Session) => {
                judge.finder.layout.privileged.insert(index, "the user's session");
                let message =
                    format!("{real}: what runs can talk to the launching user's session bus and services");
                let note = Diagnostic::note(Code::ExportPrivileged, message).at(at(judge.export(index)));
                judge.push(note);
            }
            Some(Service::Of(whose)) => {
                judge.finder.layout.privileged.insert(index, whose);
                let named = judge.finder.terms.rules.allow(real);
                let message = format!("{} exports {real}, which gives access to {whose}", layer.name());
                let diagnostic = if named || layer.admin || layer.node.is_none() {
                    Diagnostic::warning(Code::ExportPrivileged, message)
                        .help("whoever can use it acts with its rights, usually root's")
                } else {
                    Diagnostic::error(Code::ExportPrivileged, message).help(format!(
                        "whoever can use it acts with its rights: `exports: {{allow: [{real}]}}` in /etc/redpak/policy.yaml, redmain or an admin file may name it"
                    ))
                };
                let diagnostic = diagnostic.at(at(judge.export(index)));
                judge.push(diagnostic);
            }
        }
    }
}

/// Refuses what belongs to the kernel. Says whether it does.
fn kernel(judge: &mut Judge<'_, '_>, index: usize) -> bool {
    let (real, dir, facts) = judge.source(index);
    let writable = judge.export(index).mode.bind() == Some(true);
    let Some(facts) = facts else { return false };
    let mounts = std::rc::Rc::clone(&judge.mounts);
    let on = mounts.mount_of(facts.mount, real);
    let found = on.into_iter().chain(mounts.below(real).filter(|_| dir)).find(|mount| mount.is_kernels());
    // A device node cannot be opened through an export, and a socket is no file of the kernel's.
    let harmless = (facts.is_device() && !writable) || facts.is_socket();
    let Some(mount) = found.filter(|_| !harmless) else { return false };
    let what = if mount.point == real || !dir || on.is_some_and(|on| on.id == mount.id) {
        format!("{real}, which is the kernel's ({})", mount.fstype)
    } else {
        format!("{real}, and with it {}, which is the kernel's ({})", mount.point, mount.fstype)
    };
    let exception = format!("`exports: {{allow: [{real}]}}` in /etc/redpak/policy.yaml allows it");
    let instead = match mount.fstype.as_str() {
        "proc" => {
            "mode Procfs mounts a proc of the node's own, `share_pid: Enabled` shows the host's processes in it"
        }
        "cgroup" | "cgroup2" => {
            "`share_cgroup` says what a node sees of cgroups, and limits are set under `cgroups`"
        }
        "devtmpfs" | "devpts" | "tmpfs" => "mode Devfs makes a minimal /dev",
        "mqueue" => "mode Mqueue mounts the message queues of the node's IPC namespace",
        "nsfs" => "`share_net: PATH` and the like join a namespace",
        _ => "export the files that are needed from elsewhere",
    };
    let help = if real == "/" { instead.to_owned() } else { format!("{instead}; {exception}") };
    let message = format!("{} exports {what}", judge.layer(index).name());
    let diagnostic = if judge.finder.terms.rules.allow(real) {
        Diagnostic::warning(Code::ExportKernel, message)
    } else {
        Diagnostic::error(Code::ExportKernel, message)
    };
    let diagnostic = diagnostic.at(at(judge.export(index))).help(help);
    judge.push(diagnostic);
    true
}
