//! What a pod's security context asks for, with a node and with a plain image: it holds, or the container does not
//! start.

use k8s_cri::v1::security_profile::ProfileType;
use k8s_cri::v1::{Capability, Int64Value, LinuxContainerSecurityContext, SecurityProfile};

use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};

/// A field, by what it does to a security context.
type Change = fn(&mut LinuxContainerSecurityContext);

/// What is asked for, a script that tells whether it holds, and what it prints; without a script it is refused, for
/// nodes, in these words.
const TABLE: [(&str, Change, Option<&str>, &str); 8] = [
    ("nothing", |_| {}, Some("grep -E '^Seccomp:' /proc/self/status"), "Seccomp:\t2\n"),
    (
        "runAsUser",
        |context| {
            context.run_as_user = Some(Int64Value { value: 1000 });
            context.run_as_group = Some(Int64Value { value: 1001 });
            context.supplemental_groups = vec![1002];
        },
        Some("id -u; id -g; id -G"),
        "1000\n1001\n1001 1002\n",
    ),
    (
        "drop",
        |context| {
            let drop_capabilities = vec!["ALL".into()];
            context.capabilities = Some(Capability { drop_capabilities, ..Capability::default() });
        },
        Some("grep -E '^Cap(Eff|Bnd):' /proc/self/status"),
        "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n",
    ),
    (
        "unconfined",
        |context| {
            let profile_type = ProfileType::Unconfined.into();
            context.seccomp = Some(SecurityProfile { profile_type, localhost_ref: String::new() });
        },
        Some("grep -E '^Seccomp:' /proc/self/status"),
        "Seccomp:\t0\n",
    ),
    (
        "readOnlyRootFilesystem",
        |context| context.readonly_rootfs = true,
        Some("touch /x 2>/dev/null || echo no"),
        "no\n",
    ),
    (
        "noNewPrivileges",
        |context| context.no_new_privs = true,
        Some("grep NoNewPrivs /proc/self/status"),
        "NoNewPrivs:\t1\n",
    ),
    (
        "masked",
        |context| context.masked_paths = vec!["/proc/meminfo".into()],
        Some("wc -c </proc/meminfo"),
        "0\n",
    ),
    ("privileged", |context| context.privileged = true, None, "/dev/"),
];

#[test]
fn security_contexts_hold() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::privileged(&cri, "red", "security");
    let mut faults = Vec::new();
    for (name, change, script, message) in TABLE {
        for node in [true, false] {
            let (full, wait) = (format!("{name}-{node}"), "exec sleep 1000");
            let mut config =
                if node { pod.node(&full, &cri.stage.leaf, wait) } else { pod.plain(&full, wait) };
            let linux = config.linux.as_mut().expect("sent by a kubelet");
            change(linux.security_context.as_mut().expect("sent by a kubelet"));
            if script.is_none() && !node {
                continue;
            }
            let made = pod.create(config).and_then(|id| pod.start(&id).map(|()| id));
            match (made, script) {
                (Ok(id), Some(script)) => {
                    let output = pod.sh(&id, script);
                    // A node has a filter of its own beside that of the engine.
                    let message =
                        if node { message.replace("Seccomp:\t0", "Seccomp:\t2") } else { message.to_owned() };
                    if output != message {
                        faults.push(format!("{name}, node {node}: {output}"));
                    }
                    pod.stop(&id, 0);
                }
                (Err(status), None) if status.message().contains(message) => {}
                (made, _) => faults.push(format!("{name}, node {node}: {made:?}")),
            }
        }
    }
    pod.end();
    assert_eq!(faults, Vec::<String>::new());
    assert_no_leftovers(&cri);
}
