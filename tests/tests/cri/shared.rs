//! A pod whose containers share their processes: the kernel ends nothing by itself there.

use red_tests::stage::eventually;

use crate::pod::Pod;
use crate::{assert_no_leftovers, setup};

#[test]
fn what_a_container_left_running_ends_with_it() {
    let Some((cri, _)) = setup() else { return };
    let pod = Pod::shared(&cri, "red", "shared");
    let side = pod.started(pod.plain("side", "exec sleep 1000"));
    let commands = || pod.sh(&side, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '");
    // The pause container's is the first process of all.
    assert_eq!(pod.sh(&side, "cat /proc/1/comm"), "pause\n");
    let script = "setsid sleep 4321 & trap 'exit 3' TERM; sleep 1000 & wait";
    for (name, config) in
        [("node", pod.node("app", &cri.stage.leaf, script)), ("plain", pod.plain("other", script))]
    {
        let id = pod.started(config);
        eventually("the other container sees it", || commands().contains("sleep 4321"));
        pod.stop(&id, 20);
        assert_eq!(pod.ended(&id).exit_code, 3, "{name}");
        eventually("what it left running has ended", || !commands().contains("sleep 4321"));
        pod.remove(&id);
    }
    assert!(commands().contains("sleep 1000"), "the other container is none the worse for it");
    pod.end();
    assert_no_leftovers(&cri);
}
