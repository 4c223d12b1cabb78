//! A container that takes more memory than it may.

use k8s_cri::v1::{ContainerConfig, ContainerState};
use red_tests::remark;

use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};
use red_tests::daemon::has_controller;

const LIMIT: i64 = 48 << 20;

fn limited(mut config: ContainerConfig) -> ContainerConfig {
    let linux = config.linux.as_mut().and_then(|linux| linux.resources.as_mut()).expect("sent by a kubelet");
    linux.memory_limit_in_bytes = LIMIT;
    linux.memory_swap_limit_in_bytes = LIMIT;
    config
}

#[test]
fn out_of_memory_is_the_reason() {
    if !has_controller("memory") {
        return remark("there is no memory controller");
    }
    let Some((cri, _)) = setup() else { return };
    // The first process itself, and one that it has started.
    for (name, script) in [("itself", "exec tail /dev/zero"), ("child", "tail /dev/zero; exit 7")] {
        let pod = Pod::run(&cri, "red", name);
        for config in [pod.node("app", &cri.stage.leaf, script), pod.plain("side", script)] {
            let id = pod.started(limited(config));
            let status = pod.ended(&id);
            let code = if name == "itself" { 137 } else { 7 };
            assert_eq!((status.exit_code, status.reason.as_str()), (code, "OOMKilled"), "{status:?}");
            assert_eq!(status.state, i32::from(ContainerState::ContainerExited));
        }
        pod.end();
        assert_no_leftovers(&cri);
    }
}
