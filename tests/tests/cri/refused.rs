//! Nodes that may not start: what a person sees in `kubectl describe`.

use k8s_cri::v1::{ContainerConfig, ContainerState};
use red_tests::call::conf;

use crate::pod::{Pod, REDPATH};
use crate::{assert_no_leftovers, setup};

const DIGEST: &str = "bzh.redpesk.redpak.plan-digest";

#[test]
fn what_may_not_start_is_told() {
    let Some((cri, _)) = setup() else { return };
    let pool = &cri.stage.pool;
    let leaf = cri.stage.leaf.display().to_string();
    pool.node("core/mid/off", "");
    pool.status("core/mid/off", "Disable");
    pool.node("elsewhere", "");
    pool.node("core/mid/private", "config: {share_net: Disabled}");
    let path = |below: &str| pool.join(below).display().to_string();
    let digest = |digest: &str| vec![(REDPATH, leaf.clone()), (DIGEST, digest.to_owned())];
    let rows = [
        ("missing", vec![(REDPATH, path("core/mid/none"))], "core/mid/none: missing (ENOENT)"),
        ("disabled", vec![(REDPATH, path("core/mid/off"))], "node `off` is not enabled (Disable)"),
        ("foreign", vec![(REDPATH, path("elsewhere"))], "is in no pool"),
        ("changed", digest(&format!("sha256:{}", "0".repeat(64))), "plan digest mismatch"),
        ("no-digest", digest("sha256:0"), "plan-digest"),
        ("mistyped", vec![("bzh.redpesk.redpak.redpth", leaf.clone())], "redpath"),
        ("not-absolute", vec![(REDPATH, "core/mid/app".to_owned())], "absolute"),
        ("network", vec![(REDPATH, path("core/mid/private"))], "share_net: Disabled"),
    ];
    for handler in ["red", "stock"] {
        let pod = Pod::run(&cri, handler, "refused");
        for (name, annotations, message) in &rows {
            let mut config = pod.node(name, &cri.stage.leaf, "echo started; sleep 1000");
            config.annotations.remove(REDPATH);
            let all = annotations.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
            config.annotations.extend(all);
            refused(&pod, name, config, message);
        }
        // The pod is none the worse for it, and the right digest is believed.
        let plan = conf(["plan", "--digest", &leaf]).good().out;
        let mut config = pod.node("right", &cri.stage.leaf, "sleep 1000");
        config.annotations.insert(DIGEST.into(), plan.trim().into());
        let id = pod.started(config);
        assert_eq!(pod.sh(&id, "echo $WHO"), "app\n");
        pod.stop(&id, 0);
        pod.remove(&id);
        pod.end();
        assert_no_leftovers(&cri);
    }
}

/// A container that does not start: its message has the words, and CRI's status has the message.
fn refused(pod: &Pod, name: &str, config: ContainerConfig, expected: &str) {
    let id = pod.create(config).unwrap_or_else(|status| panic!("{name}: {status}"));
    let Err(status) = pod.start(&id) else { panic!("{name} has started") };
    let message = status.message();
    assert!(message.contains(expected), "{name}: {message}");
    assert!(message.contains("OCI runtime create failed: "), "{name}: {message}");
    let status = pod.status(&id);
    assert_eq!(status.state, i32::from(ContainerState::ContainerExited), "{name}: {status:?}");
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"), "{name}: {status:?}");
    assert!(status.message.contains(expected), "{name}: {status:?}");
    assert_eq!(pod.log(name, "stdout"), "");
    pod.remove(&id);
}
