//! Pods through containerd's CRI plugin, asked as a kubelet asks, with nodes and without.

mod client;
mod configuration;
mod daemon;
mod documented;
mod fields;
mod images;
mod installer;
mod killed;
mod life;
mod manifest;
mod many;
mod memory;
mod mounts;
mod network;
mod pod;
mod refused;
mod security;
mod selection;
mod shared;
mod streaming;

use std::path::PathBuf;

use red_tests::stage::Stage;

use crate::daemon::Cri;

/// A daemon, and a family whose leaves `app` and `other` may share the network with their pod.
fn setup() -> Option<(Cri, PathBuf)> {
    let stage = Stage::with(", share_net: Enabled", "");
    stage.pool.mkdir("core/mid/other/private");
    let other = stage.pool.node(
        "core/mid/other",
        "environ: [{key: WHO, value: $LEAF_ALIAS}]\nexports:\n  - {mode: Private, mount: /nodes/other/private, path: $NODE_PATH/private}",
    );
    Some((Cri::start(stage)?, other))
}

/// Nothing of any pod is on the machine.
fn assert_no_leftovers(cri: &Cri) {
    assert_eq!(cri.leftovers(), Vec::<String>::new(), "{}", cri.log());
}
