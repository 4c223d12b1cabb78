//! cgroup v2 metrics (kernel, admin-guide/cgroup-v2).

use std::path::Path;

use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, HugeTlbStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{Counters, read_u64};

/// Metrics of a cgroup directory.
pub(super) fn metrics(dir: &Path) -> Metrics {
    Metrics {
        pids: MessageField::some(PidsStat {
            current: read_u64(&dir.join("pids.current")),
            limit: pids_limit(read_u64(&dir.join("pids.max"))),
            ..Default::default()
        }),
        cpu: MessageField::some(cpu(&Counters::read(&dir.join("cpu.stat")))),
        memory: MessageField::some(memory(dir)),
        memory_events: MessageField::some(events(&Counters::read(&dir.join("memory.events")))),
        io: MessageField::some(io(&std::fs::read_to_string(dir.join("io.stat")).unwrap_or_default())),
        hugetlb: hugetlb(dir),
        ..Default::default()
    }
}

/// PID limit in containerd's encoding, where 0 means unlimited.
fn pids_limit(value: u64) -> u64 {
    if value == u64::MAX { 0 } else { value }
}

fn cpu(counters: &Counters) -> CPUStat {
    CPUStat {
        usage_usec: counters.get("usage_usec"),
        user_usec: counters.get("user_usec"),
        system_usec: counters.get("system_usec"),
        nr_periods: counters.get("nr_periods"),
        nr_throttled: counters.get("nr_throttled"),
        throttled_usec: counters.get("throttled_usec"),
        nr_bursts: counters.get("nr_bursts"),
        burst_usec: counters.get("burst_usec"),
        ..Default::default()
    }
}

fn memory(dir: &Path) -> MemoryStat {
    let counters = Counters::read(&dir.join("memory.stat"));
    let file = |name: &str| read_u64(&dir.join(name));
    MemoryStat {
        anon: counters.get("anon"),
        file: counters.get("file"),
        kernel_stack: counters.get("kernel_stack"),
        slab: counters.get("slab"),
        sock: counters.get("sock"),
        shmem: counters.get("shmem"),
        file_mapped: counters.get("file_mapped"),
        file_dirty: counters.get("file_dirty"),
        file_writeback: counters.get("file_writeback"),
        anon_thp: counters.get("anon_thp"),
        inactive_anon: counters.get("inactive_anon"),
        active_anon: counters.get("active_anon"),
        inactive_file: counters.get("inactive_file"),
        active_file: counters.get("active_file"),
        unevictable: counters.get("unevictable"),
        slab_reclaimable: counters.get("slab_reclaimable"),
        slab_unreclaimable: counters.get("slab_unreclaimable"),
        pgfault: counters.get("pgfault"),
        pgmajfault: counters.get("pgmajfault"),
        workingset_refault: counters.get("workingset_refault_anon") + counters.get("workingset_refault_file"),
        workingset_activate: counters.get("workingset_activate_anon")
            + counters.get("workingset_activate_file"),
        workingset_nodereclaim: counters.get("workingset_nodereclaim"),
        pgrefill: counters.get("pgrefill"),
        pgscan: counters.get("pgscan"),
        pgsteal: counters.get("pgsteal"),
        pgactivate: counters.get("pgactivate"),
        pgdeactivate: counters.get("pgdeactivate"),
        pglazyfree: counters.get("pglazyfree"),
        pglazyfreed: counters.get("pglazyfreed"),
        thp_fault_alloc: counters.get("thp_fault_alloc"),
        thp_collapse_alloc: counters.get("thp_collapse_alloc"),
        usage: file("memory.current"),
        usage_limit: file("memory.max"),
        swap_usage: file("memory.swap.current"),
        swap_limit: file("memory.swap.max"),
        max_usage: file("memory.peak"),
        swap_max_usage: file("memory.swap.peak"),
        ..Default::default()
    }
}

fn events(counters: &Counters) -> MemoryEvents {
    MemoryEvents {
        low: counters.get("low"),
        high: counters.get("high"),
        max: counters.get("max"),
        oom: counters.get("oom"),
        oom_kill: counters.get("oom_kill"),
        oom_group_kill: counters.get("oom_group_kill"),
        ..Default::default()
    }
}

/// Parses lines of device number and counters: `8:0 rbytes=1 wbytes=2 rios=3 wios=4`.
fn io(text: &str) -> IOStat {
    let entry = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let counters = Counters::parse(&rest.replace(' ', "\n").replace('=', " "));
        Some(IOEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            rbytes: counters.get("rbytes"),
            wbytes: counters.get("wbytes"),
            rios: counters.get("rios"),
            wios: counters.get("wios"),
            ..Default::default()
        })
    };
    IOStat { usage: text.lines().filter_map(entry).collect(), ..Default::default() }
}

/// Hugetlb counters by page size, from files like `hugetlb.2MB.current`.
fn hugetlb(dir: &Path) -> Vec<HugeTlbStat> {
    let sizes = std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("hugetlb.")?.strip_suffix(".current")?.to_owned())
    });
    let parse_entry = |pagesize: String| HugeTlbStat {
        current: read_u64(&dir.join(format!("hugetlb.{pagesize}.current"))),
        max: read_u64(&dir.join(format!("hugetlb.{pagesize}.max"))),
        failcnt: Counters::read(&dir.join(format!("hugetlb.{pagesize}.events"))).get("max"),
        pagesize,
        ..Default::default()
    };
    sizes.filter(|size| !size.ends_with(".rsvd")).map(parse_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_stat_is_parsed() {
        let stat = io("8:0 rbytes=90430464 wbytes=1 rios=6 wios=7 dbytes=0 dios=0\n259:1 \nodd\n");
        let first = &stat.usage[0];
        assert_eq!(
            (first.major, first.minor, first.rbytes, first.wbytes, first.rios, first.wios),
            (8, 0, 90_430_464, 1, 6, 7)
        );
        assert_eq!(stat.usage.len(), 2);
    }
}
