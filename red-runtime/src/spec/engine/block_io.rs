//! Limits of block devices: the tighter of both, device by device.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice, LinuxWeightDeviceBuilder};

/// The engine's limits where the node has none, else the smaller of each rate and weight.
pub(super) fn tighter(theirs: Option<LinuxBlockIo>, own: Option<&LinuxBlockIo>) -> Option<LinuxBlockIo> {
    let (Some(own), Some(mut both)) = (own, theirs.clone()) else { return theirs.or_else(|| own.cloned()) };
    both.set_weight(smaller(both.weight(), own.weight()));
    both.set_leaf_weight(smaller(both.leaf_weight(), own.leaf_weight()));
    both.set_weight_device(weights(both.weight_device(), own.weight_device()));
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

fn smaller(a: Option<u16>, b: Option<u16>) -> Option<u16> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
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

fn weights(theirs: &Weights, own: &Weights) -> Weights {
    let mut all: Vec<LinuxWeightDevice> = own.clone().unwrap_or_default();
    for one in theirs.iter().flatten() {
        let same = all.iter_mut().find(|held| (held.major(), held.minor()) == (one.major(), one.minor()));
        match same {
            None => all.push(*one),
            Some(held) => {
                let mut both = LinuxWeightDeviceBuilder::default().major(one.major()).minor(one.minor());
                if let Some(weight) = smaller(held.weight(), one.weight()) {
                    both = both.weight(weight);
                }
                if let Some(weight) = smaller(held.leaf_weight(), one.leaf_weight()) {
                    both = both.leaf_weight(weight);
                }
                // Complete: a device and what it weighs. Without, the node's own stands.
                if let Ok(both) = both.build() {
                    *held = both;
                }
            }
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
        assert_eq!(tighter(theirs.clone(), None), theirs);
        assert_eq!(tighter(None, own.as_ref()), own);
    }
}
