//! `containerd-shim-red-v2` under the containerd of this machine, with nodes and with plain roots.

mod alone;
mod events;
mod life;
mod many;
mod streams;
mod survive;
mod terminals;
mod wrong;

use red_tests::containerd::{Containerd, Root};
use red_tests::skip;
use red_tests::stage::Stage;

/// A stage, containerd, and both kinds of roots; `None` where containerd is not installed.
fn begin() -> Option<(Stage, Containerd)> {
    let stage = Stage::new();
    let Some(containerd) = Containerd::new(&stage) else {
        skip("containerd is not installed");
        return None;
    };
    Some((stage, containerd))
}

/// Nothing of the containers is on the machine.
fn nothing_left(containerd: &Containerd) {
    assert_eq!(containerd.left(), Vec::<String>::new(), "{}", containerd.log());
}

/// Does something with a node and with a plain root, with a name for each.
fn each(stage: &Stage, mut what: impl FnMut(&Root, &str)) {
    for root in Root::both(stage) {
        what(&root, &format!("{}-a", root.name));
    }
}
