//! Limits: where an engine dictates the cgroup, the tighter of both. Devices: the node's.

use oci_spec::runtime::{Linux, LinuxCpu, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources, Spec};

use super::{block_io, refused};
use crate::node::diagnostic::Report;
use crate::spec::plan::Plan;

pub(super) fn combine(spec: &mut Spec, plan: &Plan, report: &mut Report) {
    let Some(mut linux) = spec.linux().clone() else { return };
    if let Some(device) = linux.devices().iter().flatten().next() {
        let demanded = match is_privileged(&linux) {
            true => format!(
                "a privileged container, with device {} and all others of the host",
                device.path().display()
            ),
            false => format!("device {}", device.path().display()),
        };
        let message = format!("the engine demands {demanded}, and a node has no devices but the usual ones");
        report.push(refused(message).help("start it without `--device` and `--privileged`"));
    }
    let own = plan.spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let theirs = linux.resources().clone().unwrap_or_default();
    linux.set_resources(Some(both(theirs, &own)));
    let paths = |mine: Option<Vec<String>>, own: Option<&Vec<String>>| {
        let mut all = mine.unwrap_or_default();
        all.extend(own.into_iter().flatten().filter(|path| !all.contains(path)).cloned().collect::<Vec<_>>());
        Some(all)
    };
    let own = plan.spec.linux().as_ref();
    linux.set_masked_paths(paths(
        linux.masked_paths().clone(),
        own.and_then(|own| own.masked_paths().as_ref()),
    ));
    linux.set_readonly_paths(paths(
        linux.readonly_paths().clone(),
        own.and_then(|own| own.readonly_paths().as_ref()),
    ));
    spec.set_linux(Some(linux));
}

/// Whether every device may be used, as engines and kubelets have it for privileged containers.
fn is_privileged(linux: &Linux) -> bool {
    let rules = linux.resources().as_ref().and_then(|resources| resources.devices().as_ref());
    rules.and_then(|rules| rules.last()).is_some_and(|last| {
        let all = last.typ().is_none_or(|typ| typ == LinuxDeviceType::A);
        last.allow() && all && last.major().is_none() && last.minor().is_none()
    })
}

/// The tighter of what an engine asks for and what the node has, limit by limit; devices are the node's.
pub(crate) fn both(mut theirs: LinuxResources, own: &LinuxResources) -> LinuxResources {
    theirs.set_devices(own.devices().clone());
    if let Some(own) = own.memory() {
        let mut memory: LinuxMemory = (*theirs.memory()).unwrap_or_default();
        memory.set_limit(tighter(memory.limit(), own.limit()));
        memory.set_swap(tighter(memory.swap(), own.swap()));
        memory.set_reservation(tighter(memory.reservation(), own.reservation()));
        theirs.set_memory(Some(memory));
    }
    if let Some(own) = own.pids() {
        let limit = theirs.pids().as_ref().map(LinuxPids::limit);
        let mut pids = (*theirs.pids()).unwrap_or_default();
        pids.set_limit(tighter(limit, Some(own.limit())).unwrap_or(-1));
        theirs.set_pids(Some(pids));
    }
    if let Some(own) = own.cpu() {
        let cpu = theirs.cpu().clone().unwrap_or_default();
        theirs.set_cpu(Some(processor(cpu, own)));
    }
    let weighed = own.unified().as_ref().is_some_and(|files| files.contains_key("io.weight"));
    let block_io = theirs.block_io().clone();
    let block_io = if weighed { block_io.map(block_io::unweighed) } else { block_io };
    theirs.set_block_io(block_io::tighter(block_io, own.block_io().as_ref()));
    let mut unified = own.unified().clone().unwrap_or_default();
    // The engine's own files of version 2 come from whoever may talk to it, and only add to ours. They
    // are written last, so one of a controller that the node limits could lift that limit.
    for (file, value) in theirs.unified().iter().flatten() {
        if !limited(own, file) && !promotes(file, value) {
            unified.entry(file.clone()).or_insert_with(|| value.clone());
        }
    }
    theirs.set_unified((!unified.is_empty()).then_some(unified));
    theirs
}

/// Whether a file of version 2 puts what a container reads and writes before everybody else's
/// (cgroup-v2.rst, "IO Priority"). None of the node's limits is of that.
fn promotes(file: &str, value: &str) -> bool {
    file == "io.prio.class" && value.trim().ends_with("-rt")
}

/// Whether a file of version 2 could set a limit anew that the node has set already: every file of that
/// controller, but for those that limit nothing.
fn limited(own: &LinuxResources, file: &str) -> bool {
    const HARMLESS: [&str; 10] = [
        "cpu.uclamp.max",
        "cpu.uclamp.min",
        "io.latency",
        "io.prio.class",
        "memory.low",
        "memory.min",
        "memory.oom.group",
        "memory.swap.high",
        "memory.zswap.max",
        "memory.zswap.writeback",
    ];
    let controller = file.split('.').next().unwrap_or(file);
    let files = own.unified().iter().flatten();
    let held = files.map(|(own, _)| own.split('.').next().unwrap_or(own)).any(|own| own == controller);
    let held = held
        || match controller {
            "memory" => own.memory().is_some(),
            "pids" => own.pids().is_some(),
            "cpu" | "cpuset" => own.cpu().is_some(),
            "io" => own.block_io().is_some(),
            _ => false,
        };
    held && !HARMLESS.contains(&file)
}

/// The smaller of an engine's limit and the node's. A negative one is none, and an engine's 0 is none
/// either: libcgroups and runc leave such a file alone, or write `max` to it.
fn tighter(theirs: Option<i64>, own: Option<i64>) -> Option<i64> {
    match (theirs.filter(|limit| *limit > 0), own.filter(|limit| *limit >= 0)) {
        (Some(theirs), Some(own)) => Some(theirs.min(own)),
        (limit, None) | (None, limit) => limit.or(own).or(theirs),
    }
}

fn processor(mut cpu: LinuxCpu, own: &LinuxCpu) -> LinuxCpu {
    const PERIOD: u64 = 100_000;
    let share = |cpu: &LinuxCpu| {
        let quota = cpu.quota().filter(|quota| *quota > 0)?;
        let period = i64::try_from(cpu.period().filter(|period| *period > 0).unwrap_or(PERIOD)).ok()?;
        // Millionths of a processor compare without fractions.
        quota.checked_mul(1_000_000)?.checked_div(period)
    };
    if share(own).is_some_and(|own| share(&cpu).is_none_or(|theirs| own < theirs)) {
        cpu.set_quota(own.quota());
        cpu.set_period(own.period());
    }
    if share(own).is_some() {
        // A quota without its period would be of the one that is set already.
        cpu.set_period(cpu.period().filter(|period| *period > 0).or(Some(PERIOD)));
        // A burst is more than the quota for a while.
        cpu.set_burst(own.burst());
    }
    if let Some(shares) = own.shares() {
        let theirs = cpu.shares().filter(|theirs| *theirs > 0);
        cpu.set_shares(Some(theirs.map_or(shares, |theirs| theirs.min(shares))));
    }
    // A set of the node's holds; the engine's is kept where the node has none.
    if own.cpus().is_some() {
        cpu.set_cpus(narrower(cpu.cpus().as_deref(), own.cpus().as_deref()));
    }
    if own.mems().is_some() {
        cpu.set_mems(narrower(cpu.mems().as_deref(), own.mems().as_deref()));
    }
    cpu
}

fn narrower(theirs: Option<&str>, own: Option<&str>) -> Option<String> {
    use crate::node::limit_values::number_set;
    let parse = |text: &str| number_set(text).ok();
    match (theirs.and_then(parse), own.and_then(parse)) {
        (Some(theirs), Some(own)) => {
            let both = own.intersection(&theirs);
            Some(if both.is_empty() { own.to_string() } else { both.to_string() })
        }
        _ => own.or(theirs).map(str::to_owned),
    }
}
