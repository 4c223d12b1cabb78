//! Exports of what is not files: file systems of the kernel's own making, and services that act with
//! root's rights for whoever can reach them.

use super::at;
use super::guard::Judge;
use super::kept;
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::family::Node;
use crate::node::guard::{Location, MountEntry, Service, Services};
use crate::node::merge::Sharing;
use crate::spec::host::Probe;
use crate::spec::shm::{self, HostShm};

/// Checks exports, and looks for services once there is an export that could be one's.
#[derive(Debug, Default)]
pub(super) struct Others {
    services: Option<Services>,
    /// The places of the nodes' directories.
    nodes: Option<Vec<Location>>,
    memory: Option<HostShm>,
}

impl Others {
    /// Refuses the host's shared memory where the family does not share the host's IPC. Says whether it does.
    fn shared_memory(&mut self, judge: &mut Judge<'_, '_>, index: usize) -> bool {
        let (real, dir, facts) = judge.source(index);
        let shared = judge.merged.shares.get(Namespace::Ipc).value == Sharing::Host;
        if shared || facts.is_none() {
            return false;
        }
        let memory = self.memory.get_or_insert_with(|| {
            let found = match judge.finder.host.probe(shm::PATH, None) {
                Probe::Dir { real, .. } => Some(real),
                _ => None,
            };
            HostShm::at(&judge.mounts, found.as_deref())
        });
        let here = judge.places[index].as_ref().is_some_and(|place| memory.touches(place));
        let brought = judge.mounts.below(real).any(|mount| dir && memory.holds(&mount.location()));
        if !here && !brought {
            return false;
        }
        let tag = Namespace::Ipc.tag();
        let layer = judge.layer(index).name();
        let message =
            format!("{layer} exports {real}, which shows the host's shared memory: `{tag}: Disabled`");
        let help = format!(
            "mode Devfs makes a /dev with a /dev/shm of the node's own; `{tag}: Enabled` shares the host's"
        );
        shows(judge, index, message, help);
        true
    }

    /// Judges one export.
    pub(super) fn check(&mut self, judge: &mut Judge<'_, '_>, index: usize) {
        if !kernel(judge, index) && !self.shared_memory(judge, index) {
            self.service(judge, index);
        }
    }

    fn service(&mut self, judge: &mut Judge<'_, '_>, index: usize) {
        let (real, dir, facts) = judge.source(index);
        let writable = judge.export(index).mode.bind() == Some(true);
        let file = facts.is_some_and(|facts| facts.is_file() || facts.is_device());
        let Some(place) = judge.places[index].clone().filter(|_| !file || writable) else { return };
        // What is mounted into a node is as good as elsewhere.
        let nodes = self.nodes.get_or_insert_with(|| {
            let base = |node: &Node| kept::place(&judge.mounts, node.facts.mount, &node.vars.path);
            judge.finder.family.nodes.iter().filter_map(base).collect()
        });
        if nodes.iter().any(|base| base.contains(&place)) && judge.mounts.below(real).next().is_none() {
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
        // Whoever talks to root's own service manager is root; nobody but root launches as root.
        let service = match service {
            Some(Service::Session) if uid == 0 => Some(Service::Of("root's session and its service manager")),
            service => service,
        };
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
    shows(judge, index, message, help);
    true
}

/// Says what of the kernel an export shows: an error, unless the policy names the place.
fn shows(judge: &mut Judge<'_, '_>, index: usize, message: String, help: String) {
    let (real, ..) = judge.source(index);
    let diagnostic = if judge.finder.terms.rules.allow(real) {
        Diagnostic::warning(Code::ExportKernel, message)
    } else {
        Diagnostic::error(Code::ExportKernel, message)
    };
    let diagnostic = diagnostic.at(at(judge.export(index))).help(help);
    judge.push(diagnostic);
}

#[cfg(test)]
mod tests {
    use crate::spec::identity::Caller;
    use crate::spec::plan::{Plan, Request, plan};
    use crate::testing::{FakeHost, Maker, launch};

    const MOUNTS: &str = "7 1 0:8 / /run rw - tmpfs tmpfs rw
8 1 0:8 /user/0 /alias rw - tmpfs tmpfs rw
9 1 0:9 / /dev/shm rw - tmpfs tmpfs rw
10 1 0:9 /x /memory rw - tmpfs tmpfs rw
";

    fn planned(maker: Maker, uid: u32) -> Result<Plan, String> {
        let mut host = FakeHost { mounts: MOUNTS.into(), ..FakeHost::default() };
        let request = Request::new(Caller { uid, gid: uid });
        let planned = plan(&maker.family(), &request, launch(), &mut host, None);
        let said = planned.report.diagnostics().iter().map(|one| one.message.clone());
        let said = said.collect::<Vec<_>>().join("; ");
        planned.plan.ok_or(said)
    }

    fn export(path: &str) -> String {
        format!("exports: [{{mode: Public, mount: /s, path: {path}}}]")
    }

    #[test]
    fn roots_session_is_for_who_may_name_services() {
        let there = |plan: &Plan| plan.layout.mounts.iter().any(|mount| mount.destination == "/s");
        for path in ["/run/user/0", "/run/user/0/bus"] {
            let plan = planned(Maker::new().node(&export(path)), 0).unwrap();
            assert!(!there(&plan) && plan.layout.skipped[0].reason.contains("root's session"), "{path}");
            let plan = planned(Maker::new().main(&export(path)).node(""), 0).unwrap();
            assert!(
                there(&plan) && plan.layout.privileged.values().any(|whose| whose.contains("root's session"))
            );
        }
        // By another name it is no template's.
        let said = planned(Maker::new().node(&export("/alias")), 0).unwrap_err();
        assert!(said.contains("gives access to root's session"), "{said}");
        let plan = planned(Maker::new().node(&export("/run/user/7")), 7).unwrap();
        assert!(there(&plan), "a user's own");
    }

    #[test]
    fn shared_memory_comes_with_the_hosts_ipc() {
        for path in ["/dev/shm", "/dev/shm/x", "/memory"] {
            let said = planned(Maker::new().node(&export(path)), 0).unwrap_err();
            assert!(said.contains("shows the host's shared memory"), "{path}: {said}");
            let shared = format!("config: {{share_ipc: Enabled}}\n{}", export(path));
            assert!(planned(Maker::new().node(&shared), 0).is_ok(), "{path}");
        }
    }
}
