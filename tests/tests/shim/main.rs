//! `containerd-shim-red-v2` under the containerd of this machine, with nodes and with plain roots.

mod alone;
mod chaos;
mod cleanup;
mod client;
mod events;
mod exhausted;
mod life;
mod limits;
mod many;
mod output;
mod races;
mod streams;
mod survive;
mod terminals;
mod wire;
mod wrong;

use red_tests::containerd::{Containerd, Rootfs};
use red_tests::skip;
use red_tests::stage::Stage;

/// A stage, containerd, and both kinds of roots; `None` where containerd is not installed.
fn setup() -> Option<(Stage, Containerd)> {
    let stage = Stage::new();
    let Some(containerd) = Containerd::new(&stage) else {
        skip("containerd is not installed");
        return None;
    };
    Some((stage, containerd))
}

/// Nothing of the containers is on the machine.
fn assert_no_leftovers(containerd: &Containerd) {
    assert_eq!(containerd.leftovers(), Vec::<String>::new(), "{}", containerd.log());
}

/// Does something with a node and with a plain root, with a name for each.
fn for_each_rootfs(stage: &Stage, mut what: impl FnMut(&Rootfs, &str)) {
    for root in Rootfs::both(stage) {
        what(&root, &format!("{}-a", root.name));
    }
}
