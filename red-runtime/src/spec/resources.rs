//! Limits → OCI resources.
//!
//! Where OCI has a field that says exactly what the configuration says, it is used, so that every
//! runtime and both versions of cgroups understand it. What only version 2 has goes to `unified`,
//! and is left out with a warning on a machine with version 1.

use std::collections::HashMap;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
    LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder,
};

use super::host::CgroupMode;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::limit_values::{IoMax, IoRates, Limit};
use crate::node::merge::{Resolved, Tightest};

/// Translates limits. What the machine cannot hold is warned of in `report`.
///
/// # Errors
/// None in practice: every builder gets what it needs.
pub fn resources(
    limits: &Tightest,
    mode: CgroupMode,
    report: &mut Report,
) -> Result<LinuxResources, OciSpecError> {
    let mut builder = LinuxResourcesBuilder::default().devices(devices()?);
    if let Some(memory) = memory(limits) {
        builder = builder.memory(memory.build()?);
    }
    if let Some(cpu) = cpu(limits, mode) {
        builder = builder.cpu(cpu.build()?);
    }
    if let Some(block_io) = block_io(limits, mode)? {
        builder = builder.block_io(block_io);
    }
    if let Some(pids) = &limits.pids_max {
        builder = builder.pids(LinuxPidsBuilder::default().limit(limit(pids.value)).build()?);
    }
    for (name, at) in
        [("io.cost_qos", place(&limits.io_cost_qos)), ("io.cost_model", place(&limits.io_cost_model))]
    {
        if let Some(at) = at {
            report.push(
                Diagnostic::warning(
                    Code::NotApplied,
                    format!("`{name}` is not applied: the kernel has it for the root cgroup only"),
                )
                .at(at)
                .help("set it once on the machine, in /sys/fs/cgroup"),
            );
        }
    }
    let unified = unified(limits);
    match mode {
        CgroupMode::V2 if !unified.is_empty() => {
            let unified = unified.into_iter().map(|(file, value, _)| (file.to_owned(), value));
            builder = builder.unified(unified.collect::<HashMap<_, _>>());
        }
        CgroupMode::V2 => {}
        CgroupMode::V1 => {
            for (file, value, at) in unified.iter().filter(|(file, ..)| !V1_HAS.contains(file)) {
                let mut diagnostic = Diagnostic::warning(
                    Code::NotApplied,
                    format!(
                        "`{file} = {value}` is not applied: this machine has cgroups of version 1, which lack it"
                    ),
                );
                if let Some(at) = at {
                    diagnostic = diagnostic.at(*at);
                }
                report.push(diagnostic);
            }
        }
    }
    builder.build()
}

/// Files of version 2 whose meaning an OCI field carries to version 1.
const V1_HAS: [&str; 2] = ["cpu.weight", "io.weight"];

type At = crate::node::source::At;

fn place<T>(limit: &Option<Resolved<T>>) -> Option<At> {
    limit.as_ref()?.origin.map(|origin| origin.at)
}

fn signed(limit: Limit) -> i64 {
    match limit {
        Limit::Max => -1,
        Limit::Value(value) => i64::try_from(value).unwrap_or(i64::MAX),
    }
}

/// A limit for a field in which runtimes take 0 for none: the smallest one then.
fn limit(limit: Limit) -> i64 {
    match signed(limit) {
        0 => 1,
        limit => limit,
    }
}

fn memory(limits: &Tightest) -> Option<LinuxMemoryBuilder> {
    let mut builder = LinuxMemoryBuilder::default();
    let mut any = false;
    if let Some(max) = &limits.memory_max {
        builder = builder.limit(limit(max.value));
        any = true;
        // OCI counts memory and swap together; without the memory there is no sum, and the value
        // goes to `unified` alone.
        if let (Some(swap), Limit::Value(max)) = (&limits.swap_max, max.value) {
            let sum = match swap.value {
                Limit::Max => Limit::Max,
                Limit::Value(swap) => Limit::Value(max.saturating_add(swap)),
            };
            builder = builder.swap(limit(sum));
        }
    }
    if let Some(low) = &limits.memory_low {
        builder = builder.reservation(signed(low.value));
        any = true;
    }
    any.then_some(builder)
}

fn cpu(limits: &Tightest, mode: CgroupMode) -> Option<LinuxCpuBuilder> {
    let mut builder = LinuxCpuBuilder::default();
    let mut any = false;
    if let Some(max) = &limits.cpu_max {
        builder = builder.quota(signed(max.value.quota)).period(max.value.period);
        any = true;
    }
    if let Some(cpus) = &limits.cpus {
        builder = builder.cpus(cpus.value.to_string());
        any = true;
    }
    if let Some(mems) = &limits.mems {
        builder = builder.mems(mems.value.to_string());
        any = true;
    }
    // Runtimes convert shares to a weight each in its own way, so version 2 gets the weight itself.
    if let (Some(weight), CgroupMode::V1) = (&limits.cpu_weight, mode) {
        builder = builder.shares(shares_of(weight.value));
        any = true;
    }
    any.then_some(builder)
}

/// Processor shares (2 to 262,144) for a weight (1 to 10,000), the inverse of what runc and crun
/// use the other way round, rounded so that the weight comes back.
fn shares_of(weight: i64) -> u64 {
    let weight = u64::try_from(weight).unwrap_or(1).clamp(1, 10_000);
    2 + ((weight - 1) * 262_142).div_ceil(9_999)
}

fn block_io(limits: &Tightest, mode: CgroupMode) -> Result<Option<LinuxBlockIo>, OciSpecError> {
    let mut io = LinuxBlockIo::default();
    if let (Some(weight), CgroupMode::V1) = (&limits.io_weight, mode) {
        io.set_weight(weight.value.default.map(v1_weight));
        let devices: Result<Vec<_>, _> = weight
            .value
            .devices
            .iter()
            .map(|((major, minor), weight)| {
                let device = LinuxWeightDeviceBuilder::default().major(i64::from(*major));
                device.minor(i64::from(*minor)).weight(v1_weight(*weight)).build()
            })
            .collect();
        io.set_weight_device(some(devices?));
    }
    if let Some(max) = &limits.io_max {
        io.set_throttle_read_bps_device(some(throttles(&max.value, |rates| rates.rbps)?));
        io.set_throttle_write_bps_device(some(throttles(&max.value, |rates| rates.wbps)?));
        io.set_throttle_read_iops_device(some(throttles(&max.value, |rates| rates.riops)?));
        io.set_throttle_write_iops_device(some(throttles(&max.value, |rates| rates.wiops)?));
    }
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

/// A list, or nothing instead of an empty one.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Version 1 has weights from 10 to 1,000 where version 2 has 1 to 10,000.
fn v1_weight(weight: u16) -> u16 {
    weight.clamp(10, 1_000)
}

fn throttles(
    max: &IoMax,
    pick: fn(&IoRates) -> Option<Limit>,
) -> Result<Vec<LinuxThrottleDevice>, OciSpecError> {
    let mut devices = Vec::new();
    for ((major, minor), rates) in &max.devices {
        if let Some(Limit::Value(rate)) = pick(rates) {
            let device = LinuxThrottleDeviceBuilder::default().major(i64::from(*major));
            devices.push(device.minor(i64::from(*minor)).rate(rate).build()?);
        }
    }
    Ok(devices)
}

/// What goes to files of version 2 by name, with its place.
fn unified(limits: &Tightest) -> Vec<(&'static str, String, Option<At>)> {
    let mut all: Vec<(&'static str, String, Option<At>)> = Vec::new();
    macro_rules! each {
        ($($file:literal => $limit:expr),* $(,)?) => {$(
            if let Some(one) = $limit {
                all.push(($file, one.value.to_string(), one.origin.map(|origin| origin.at)));
            }
        )*};
    }
    // A swap limit without a memory limit has no OCI field.
    let has_sum = limits.memory_max.as_ref().is_some_and(|max| max.value != Limit::Max);
    let swap_max = limits.swap_max.as_ref().filter(|_| !has_sum);
    each! {
        "cpuset.cpus.partition" => &limits.cpus_partition,
        "memory.high" => &limits.memory_high,
        "memory.min" => &limits.memory_min,
        "memory.swap.high" => &limits.swap_high,
        "memory.swap.max" => swap_max,
        "cpu.weight" => &limits.cpu_weight,
        "cpu.weight.nice" => &limits.cpu_weight_nice,
        "io.weight" => &limits.io_weight,
    }
    if let Some(group) = &limits.oom_group {
        let value = u8::from(group.value).to_string();
        all.push(("memory.oom.group", value, group.origin.map(|origin| origin.at)));
    }
    all
}

/// The device filter: nothing, then what every container has (OCI runtime specification,
/// config-linux.md, "Default Devices").
fn devices() -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let deny = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?;
    let mut rules = vec![deny];
    let nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
    for (major, minor) in nodes.map(|(major, minor)| (major, Some(minor))).into_iter().chain([(136, None)]) {
        let mut rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(major)
            .access("rwm");
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rules.push(rule.build()?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::shares_of;

    /// The conversion that runc 1.1 and crun 1.8 apply.
    fn weight_of(shares: u64) -> u64 {
        1 + ((shares - 2) * 9_999) / 262_142
    }

    #[test]
    fn every_weight_comes_back() {
        for weight in 1..=10_000 {
            assert_eq!(weight_of(shares_of(weight)), u64::try_from(weight).unwrap());
        }
    }
}
