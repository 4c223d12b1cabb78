//! Limits of block devices: the tighter of both, device by device.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice, LinuxWeightDeviceBuilder};

/// The engine's limits where the node has none, else the smaller of each rate and weight.
pub(super) fn tighter(theirs: Option<LinuxBlockIo>, own: Option<&LinuxBlockIo>) -> Option<LinuxBlockIo> {
    let (Some(own), Some(mut both)) = (own, theirs.clone()) else { return theirs.or_else(|| own.cloned()) };
    both.set_weight(smaller(both.weight(), own.weight()));
    both.set_leaf_weight(smaller(both.leaf_weight(), own.leaf_weight()));
    both.set_weight_device(weights(both.weight_device(), own));
    both.set_throttle_read_bps_device(rates(both.throttle_read_bps_device(), own.throttle_read_bps_device()));
    both.set_throttle_write_bps_device(rates(
        both.throttle_write_bps_device(),
        own.throttle_write_bps_device(),
    ));
    both.set_throttle_read_iops_device(rates(
        both.throttle_read_iops_device(),
        own.throttle_read_iops_device(),
    ));
    both.set_throttle_write_iops_device(rates(
        both.throttle_write_iops_device(),
        own.throttle_write_iops_device(),
    ));
    Some(both)
}

/// Without weights: the node's is a file of version 2, and an engine's would go to another one of the same
/// meaning (`io.bfq.weight`).
pub(super) fn unweighed(mut theirs: LinuxBlockIo) -> LinuxBlockIo {
    theirs.set_weight(None);
    theirs.set_weight_device(None);
    theirs
}

/// The smaller of two weights, of which 0 is none: libcgroups and runc write no such one.
fn smaller(theirs: Option<u16>, own: Option<u16>) -> Option<u16> {
    match (theirs.filter(|weight| *weight > 0), own) {
        (Some(theirs), Some(own)) => Some(theirs.min(own)),
        (theirs, own) => theirs.or(own),
    }
}

type Rates = Option<Vec<LinuxThrottleDevice>>;

/// The rates of both; of a device that is in both the smaller, of which 0 is none (blkio-controller.rst).
fn rates(theirs: &Rates, own: &Rates) -> Rates {
    let mut all: Vec<LinuxThrottleDevice> = own.clone().unwrap_or_default();
    for one in theirs.iter().flatten() {
        let same = all.iter_mut().find(|held| (held.major(), held.minor()) == (one.major(), one.minor()));
        match same {
            None => all.push(*one),
            Some(held) if one.rate() != 0 && (held.rate() == 0 || one.rate() < held.rate()) => *held = *one,
            Some(_) => {}
        }
    }
    (!all.is_empty()).then_some(all)
}

type Weights = Option<Vec<LinuxWeightDevice>>;

/// The weights of both, device by device. Of a device that the node does not name, its weight of all holds.
fn weights(theirs: &Weights, own: &LinuxBlockIo) -> Weights {
    let mut all: Vec<LinuxWeightDevice> = own.weight_device().clone().unwrap_or_default();
    for one in theirs.iter().flatten() {
        let held = all.iter().position(|held| (held.major(), held.minor()) == (one.major(), one.minor()));
        let (weight, leaf) = match held {
            Some(held) => (all[held].weight(), all[held].leaf_weight()),
            None => (own.weight(), own.leaf_weight()),
        };
        let mut both = LinuxWeightDeviceBuilder::default().major(one.major()).minor(one.minor());
        if let Some(weight) = smaller(one.weight(), weight) {
            both = both.weight(weight);
        }
        if let Some(weight) = smaller(one.leaf_weight(), leaf) {
            both = both.leaf_weight(weight);
        }
        // Complete: a device and what it weighs. Without, the node's own stands.
        match (both.build(), held) {
            (Ok(both), Some(held)) => all[held] = both,
            (Ok(both), None) => all.push(both),
            (Err(_), _) => {}
        }
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(value: serde_json::Value) -> Option<LinuxBlockIo> {
        Some(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn an_engine_lowers_limits_and_never_lifts_them() {
        let own = io(serde_json::json!({
            "weight": 100,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 50}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}, {"major": 8, "minor": 16, "rate": 5}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}],
        }));
        let theirs = io(serde_json::json!({
            "weight": 500,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 900}, {"major": 9, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 400}, {"major": 8, "minor": 16, "rate": 0}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}],
            "throttleReadIOPSDevice": [{"major": 1, "minor": 0, "rate": 3}],
        }));
        let both = serde_json::to_value(tighter(theirs.clone(), own.as_ref()).unwrap()).unwrap();
        assert_eq!(both["weight"], 100);
        assert_eq!(both["weightDevice"][0]["weight"], 50);
        assert_eq!(both["weightDevice"][1]["weight"], 10);
        assert_eq!(both["throttleReadBpsDevice"][0]["rate"], 400);
        assert_eq!(both["throttleReadBpsDevice"][1]["rate"], 5, "0 would be no limit");
        assert_eq!(both["throttleWriteIOPSDevice"][0]["rate"], 7);
        assert_eq!(both["throttleReadIOPSDevice"][0]["rate"], 3);
        let none = io(serde_json::json!({
            "weight": 0,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 0}, {"major": 9, "minor": 1, "weight": 900}],
        }));
        let both = serde_json::to_value(tighter(none, own.as_ref()).unwrap()).unwrap();
        assert_eq!(both["weight"], 100, "0 is no weight");
        assert_eq!(both["weightDevice"][0]["weight"], 50);
        assert_eq!(both["weightDevice"][1]["weight"], 100, "of a device that only the engine names");
        assert_eq!(tighter(theirs.clone(), None), theirs);
        assert_eq!(tighter(None, own.as_ref()), own);
    }
}
