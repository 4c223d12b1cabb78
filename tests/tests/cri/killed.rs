//! What is left when a pod's shim is killed, and what a kubelet sees.

use k8s_cri::v1::ContainerState;
use red_tests::stage::eventually;

use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};
use red_tests::daemon::kill;

const WAITS: &str = "sleep 1000 & sleep 1000";

#[test]
fn nothing_outlives_a_shim() {
    let Some((cri, other)) = setup() else { return };
    for waited in [true, false] {
        let pod = Pod::run(&cri, "red", "killed");
        let containers = [
            pod.started(pod.node("app", &cri.stage.leaf, WAITS)),
            pod.started(pod.node("other", &other, WAITS)),
            pod.started(pod.plain("side", WAITS)),
        ];
        // One that runs on beside the first process of its container.
        pod.sh(&containers[0], "setsid sleep 1000 >/dev/null 2>&1 &");
        let [shim] = cri.shim_pids()[..] else { panic!("{:?}", cri.shim_pids()) };
        kill(shim);
        if waited {
            let exited = i32::from(ContainerState::ContainerExited);
            for id in &containers {
                eventually("containerd has seen it", || pod.status(id).state == exited);
                // 137, or 255 where CRI was told of the lost connection first.
                assert_ne!(pod.status(id).exit_code, 0);
            }
        }
        pod.end_at_last();
        assert_no_leftovers(&cri);
    }
}

#[test]
fn pods_outlive_containerd() {
    let Some((mut cri, other)) = setup() else { return };
    let (pod, containers) = {
        let pod = Pod::run(&cri, "red", "stays");
        let talks = "trap 'exit 3' TERM; n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done";
        let containers = [
            pod.started(pod.node("app", &cri.stage.leaf, talks)),
            pod.started(pod.node("other", &other, talks)),
        ];
        (pod.leave(), containers)
    };
    let shims = cri.shim_pids();
    cri.restart();
    let pod = Pod::again(&cri, pod);
    for (name, id) in ["app", "other"].iter().zip(&containers) {
        assert_eq!(pod.status(id).state, i32::from(ContainerState::ContainerRunning));
        assert_eq!(pod.sh(id, "echo $WHO"), format!("{name}\n"));
        let lines = pod.log(name, "stdout").len();
        eventually("its log goes on", || pod.log(name, "stdout").len() > lines);
        is_gapless(&pod.log(name, "stdout"));
    }
    assert_eq!(cri.shim_pids(), shims);
    pod.stop(&containers[0], 20);
    assert_eq!(pod.ended(&containers[0]).exit_code, 3);
    is_gapless(&pod.log("app", "stdout"));
    pod.end();
    assert_no_leftovers(&cri);
}

/// No line is lost, doubled or out of order.
fn is_gapless(log: &str) {
    let expected: String = (1..=log.lines().count()).map(|number| format!("{number}\n")).collect();
    assert_eq!(log, expected);
}
