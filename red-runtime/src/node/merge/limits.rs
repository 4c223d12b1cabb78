//! Limits: a chain of cgroups, one a node, so that an ancestor's limit holds for the sum of all
//! that runs below it; and the tightest of all, for where one cgroup has to do.

use super::{Lost, Merger, Resolved, Why};
use crate::node::config::Limits;
use crate::node::family::{Layer, Origin};
use crate::node::limit_values::{CpuMax, IoMax, IoRates, IoWeight, Limit, NumberSet};
use crate::node::source::Located;

/// Limits of one node.
#[derive(Clone, Debug)]
pub struct Level {
    /// Position in [`Family::nodes`](crate::node::family::Family::nodes).
    pub node: usize,
    /// Its limits; those of redmain are taken into the oldest node's.
    pub limits: Tightest,
}

/// Limits with where each came from.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is the one of config::Limits with the same name")]
pub struct Tightest {
    pub cpus: Option<Resolved<NumberSet>>,
    pub mems: Option<Resolved<NumberSet>>,
    pub cpus_partition: Option<Resolved<&'static str>>,
    pub memory_max: Option<Resolved<Limit>>,
    pub memory_high: Option<Resolved<Limit>>,
    pub memory_min: Option<Resolved<Limit>>,
    pub memory_low: Option<Resolved<Limit>>,
    pub oom_group: Option<Resolved<bool>>,
    pub swap_high: Option<Resolved<Limit>>,
    pub swap_max: Option<Resolved<Limit>>,
    pub cpu_weight: Option<Resolved<i64>>,
    pub cpu_weight_nice: Option<Resolved<i64>>,
    pub cpu_max: Option<Resolved<CpuMax>>,
    pub io_cost_qos: Option<Resolved<String>>,
    pub io_cost_model: Option<Resolved<String>>,
    pub io_weight: Option<Resolved<IoWeight>>,
    pub io_max: Option<Resolved<IoMax>>,
    pub pids_max: Option<Resolved<Limit>>,
}

impl Tightest {
    /// Every limit that is set: its name in a configuration, its value, where it came from and
    /// whom it overrode.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, String, Option<Origin>, &[Lost])> {
        let mut all = Vec::new();
        macro_rules! each {
            ($($field:ident => $name:literal),* $(,)?) => {$(
                if let Some(one) = &self.$field {
                    all.push(($name, one.value.to_string(), one.origin, one.over.as_slice()));
                }
            )*};
        }
        each! {
            cpus => "cpuset.cpus", mems => "cpuset.mems", cpus_partition => "cpuset.cpus_partition",
            memory_max => "mem.max", memory_high => "mem.high", memory_min => "mem.min",
            memory_low => "mem.low", oom_group => "mem.oom_group", swap_high => "mem.swap_high",
            swap_max => "mem.swap_max", cpu_weight => "cpu.weight",
            cpu_weight_nice => "cpu.weight_nice", cpu_max => "cpu.max",
            io_cost_qos => "io.cost_qos", io_cost_model => "io.cost_model",
            io_weight => "io.weight", io_max => "io.max", pids_max => "pids.max",
        }
        all
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown().is_empty()
    }
}

pub(super) fn merge(merger: &mut Merger<'_>) -> (Vec<Level>, Tightest) {
    let levels = (0..merger.family.nodes.len())
        .map(|node| {
            let here = |layer: &&Layer<'_>| layer.node == Some(node) || (node == 0 && layer.node.is_none());
            let layers: Vec<Layer<'_>> = merger.layers.iter().filter(here).copied().collect();
            Level { node, limits: tightest(&layers) }
        })
        .collect();
    (levels, tightest(&merger.layers))
}

/// Reads one limit out of a file.
type Read<T> = fn(&Limits) -> Option<&Located<T>>;

fn tightest(layers: &[Layer<'_>]) -> Tightest {
    Tightest {
        cpus: fold(layers, |l| l.cpus.as_ref(), narrow),
        mems: fold(layers, |l| l.mems.as_ref(), narrow),
        // The youngest: a partition is about the cgroup itself, not about what is below it.
        cpus_partition: fold(layers, |l| l.cpus_partition.as_ref(), |_, b| *b),
        memory_max: fold(layers, |l| l.memory_max.as_ref(), |a, b| *a.min(b)),
        memory_high: fold(layers, |l| l.memory_high.as_ref(), |a, b| *a.min(b)),
        memory_min: fold(layers, |l| l.memory_min.as_ref(), |a, b| *a.max(b)),
        memory_low: fold(layers, |l| l.memory_low.as_ref(), |a, b| *a.max(b)),
        oom_group: fold(layers, |l| l.oom_group.as_ref(), |a, b| *a || *b),
        swap_high: fold(layers, |l| l.swap_high.as_ref(), |a, b| *a.min(b)),
        swap_max: fold(layers, |l| l.swap_max.as_ref(), |a, b| *a.min(b)),
        cpu_weight: fold(layers, |l| l.cpu_weight.as_ref(), |a, b| *a.min(b)),
        // The nicer, the less it gets.
        cpu_weight_nice: fold(layers, |l| l.cpu_weight_nice.as_ref(), |a, b| *a.max(b)),
        cpu_max: fold(layers, |l| l.cpu_max.as_ref(), |a, b| if b.is_tighter(*a) { *b } else { *a }),
        io_cost_qos: fold(layers, |l| l.io_cost_qos.as_ref(), |a, _| a.clone()),
        io_cost_model: fold(layers, |l| l.io_cost_model.as_ref(), |a, _| a.clone()),
        io_weight: fold(layers, |l| l.io_weight.as_ref(), weights),
        io_max: fold(layers, |l| l.io_max.as_ref(), rates),
        pids_max: fold(layers, |l| l.pids_max.as_ref(), |a, b| *a.min(b)),
    }
}

/// Folds one limit over the layers. An admin file's beats every normal one's; of the rest the
/// origin is the file whose value is the result.
fn fold<T: Clone + PartialEq + std::fmt::Display>(
    layers: &[Layer<'_>],
    read: Read<T>,
    tighter: impl Fn(&T, &T) -> T,
) -> Option<Resolved<T>> {
    let said: Vec<(Layer<'_>, &Located<T>)> =
        layers.iter().filter_map(|layer| Some((*layer, read(&layer.config.tags.cgroups)?))).collect();
    let by_admin = said.iter().any(|(layer, _)| layer.admin);
    let mut result: Option<(T, Origin)> = None;
    for (layer, value) in said.iter().filter(|(layer, _)| layer.admin == by_admin) {
        let origin = layer.origin(value.at);
        result = Some(match result {
            None => (value.value.clone(), origin),
            Some((held, from)) => {
                let next = tighter(&held, &value.value);
                let from = if next == held { from } else { origin };
                (next, from)
            }
        });
    }
    let (value, origin) = result?;
    let over = said
        .iter()
        .filter(|(_, other)| other.value != value)
        .map(|(layer, other)| Lost {
            origin: layer.origin(other.at),
            value: other.value.to_string(),
            why: match (layer.admin != by_admin, layer.origin(other.at) < origin) {
                (true, _) => Why::Admin,
                (false, true) => Why::Younger,
                (false, false) => Why::Older,
            },
        })
        .collect();
    Some(Resolved { value, origin: Some(origin), over })
}

/// What both allow. Where they share nothing the elder's stands: an empty set would mean all.
fn narrow(elder: &NumberSet, younger: &NumberSet) -> NumberSet {
    let both = elder.intersection(younger);
    if both.is_empty() { elder.clone() } else { both }
}

fn weights(a: &IoWeight, b: &IoWeight) -> IoWeight {
    let mut both = a.clone();
    both.default = least(a.default, b.default);
    for (device, weight) in &b.devices {
        both.devices.entry(*device).and_modify(|held| *held = (*held).min(*weight)).or_insert(*weight);
    }
    both
}

fn rates(a: &IoMax, b: &IoMax) -> IoMax {
    let mut both = a.clone();
    for (device, rates) in &b.devices {
        let held: &mut IoRates = both.devices.entry(*device).or_default();
        held.rbps = least(held.rbps, rates.rbps);
        held.wbps = least(held.wbps, rates.wbps);
        held.riops = least(held.riops, rates.riops);
        held.wiops = least(held.wiops, rates.wiops);
    }
    both
}

fn least<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
