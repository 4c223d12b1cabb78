//! cgroup v1 metrics (kernel, admin-guide/cgroup-v1).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use containerd_shim_protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, HugetlbStat, MemoryEntry, MemoryOomControl, MemoryStat,
    Metrics, PidsStat, Throttle,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{Counters, read_u64};

/// Length of a USER_HZ tick in nanoseconds, the unit of `cpuacct.stat`.
const TICK_NS: u64 = 10_000_000;

/// Metrics of the mounted controllers.
pub(super) fn metrics(controllers: &HashMap<String, PathBuf>) -> Metrics {
    let dir = |name: &str| controllers.get(name).map(PathBuf::as_path);
    Metrics {
        pids: dir("pids").map(pids).into(),
        cpu: dir("cpuacct").map(|acct| cpu(acct, dir("cpu"))).into(),
        memory: dir("memory").map(memory).into(),
        memory_oom_control: dir("memory").map(oom).into(),
        blkio: dir("blkio").map(blkio).into(),
        hugetlb: dir("hugetlb").map(hugetlb).unwrap_or_default(),
        ..Default::default()
    }
}

fn pids(dir: &Path) -> PidsStat {
    let limit = read_u64(&dir.join("pids.max"));
    PidsStat {
        current: read_u64(&dir.join("pids.current")),
        limit: if limit == u64::MAX { 0 } else { limit },
        ..Default::default()
    }
}

fn cpu(acct: &Path, cpu: Option<&Path>) -> CPUStat {
    let times = Counters::read(&acct.join("cpuacct.stat"));
    let per_cpu = std::fs::read_to_string(acct.join("cpuacct.usage_percpu")).unwrap_or_default();
    let usage = CPUUsage {
        total: read_u64(&acct.join("cpuacct.usage")),
        kernel: times.get("system") * TICK_NS,
        user: times.get("user") * TICK_NS,
        per_cpu: per_cpu.split_whitespace().filter_map(|time| time.parse().ok()).collect(),
        ..Default::default()
    };
    let throttling = cpu.map(|dir| {
        let stat = Counters::read(&dir.join("cpu.stat"));
        Throttle {
            periods: stat.get("nr_periods"),
            throttled_periods: stat.get("nr_throttled"),
            throttled_time: stat.get("throttled_time"),
            ..Default::default()
        }
    });
    CPUStat { usage: MessageField::some(usage), throttling: throttling.into(), ..Default::default() }
}

fn entry(dir: &Path, prefix: &str) -> MemoryEntry {
    let file = |name: &str| read_u64(&dir.join(format!("{prefix}.{name}")));
    MemoryEntry {
        limit: file("limit_in_bytes"),
        usage: file("usage_in_bytes"),
        max: file("max_usage_in_bytes"),
        failcnt: file("failcnt"),
        ..Default::default()
    }
}

fn memory(dir: &Path) -> MemoryStat {
    let stat = Counters::read(&dir.join("memory.stat"));
    MemoryStat {
        cache: stat.get("cache"),
        rss: stat.get("rss"),
        rss_huge: stat.get("rss_huge"),
        mapped_file: stat.get("mapped_file"),
        dirty: stat.get("dirty"),
        writeback: stat.get("writeback"),
        pg_pg_in: stat.get("pgpgin"),
        pg_pg_out: stat.get("pgpgout"),
        pg_fault: stat.get("pgfault"),
        pg_maj_fault: stat.get("pgmajfault"),
        inactive_anon: stat.get("inactive_anon"),
        active_anon: stat.get("active_anon"),
        inactive_file: stat.get("inactive_file"),
        active_file: stat.get("active_file"),
        unevictable: stat.get("unevictable"),
        hierarchical_memory_limit: stat.get("hierarchical_memory_limit"),
        hierarchical_swap_limit: stat.get("hierarchical_memsw_limit"),
        total_cache: stat.get("total_cache"),
        total_rss: stat.get("total_rss"),
        total_rss_huge: stat.get("total_rss_huge"),
        total_mapped_file: stat.get("total_mapped_file"),
        total_dirty: stat.get("total_dirty"),
        total_writeback: stat.get("total_writeback"),
        total_pg_pg_in: stat.get("total_pgpgin"),
        total_pg_pg_out: stat.get("total_pgpgout"),
        total_pg_fault: stat.get("total_pgfault"),
        total_pg_maj_fault: stat.get("total_pgmajfault"),
        total_inactive_anon: stat.get("total_inactive_anon"),
        total_active_anon: stat.get("total_active_anon"),
        total_inactive_file: stat.get("total_inactive_file"),
        total_active_file: stat.get("total_active_file"),
        total_unevictable: stat.get("total_unevictable"),
        usage: MessageField::some(entry(dir, "memory")),
        swap: MessageField::some(entry(dir, "memory.memsw")),
        kernel: MessageField::some(entry(dir, "memory.kmem")),
        kernel_tcp: MessageField::some(entry(dir, "memory.kmem.tcp")),
        ..Default::default()
    }
}

fn oom(dir: &Path) -> MemoryOomControl {
    let control = Counters::read(&dir.join("memory.oom_control"));
    MemoryOomControl {
        oom_kill_disable: control.get("oom_kill_disable"),
        under_oom: control.get("under_oom"),
        oom_kill: control.get("oom_kill"),
        ..Default::default()
    }
}

fn blkio(dir: &Path) -> BlkIOStat {
    // Without an I/O scheduler that accounts, the throttling policy does (blkio.throttle.*).
    let read = |name: &str| {
        let of =
            |prefix: &str| std::fs::read_to_string(dir.join(format!("{prefix}.{name}"))).unwrap_or_default();
        let found = entries(&of("blkio"));
        if found.is_empty() { entries(&of("blkio.throttle")) } else { found }
    };
    BlkIOStat {
        io_service_bytes_recursive: read("io_service_bytes_recursive"),
        io_serviced_recursive: read("io_serviced_recursive"),
        io_queued_recursive: read("io_queued_recursive"),
        io_service_time_recursive: read("io_service_time_recursive"),
        io_wait_time_recursive: read("io_wait_time_recursive"),
        io_merged_recursive: read("io_merged_recursive"),
        io_time_recursive: read("time_recursive"),
        sectors_recursive: read("sectors_recursive"),
        ..Default::default()
    }
}

/// Parses lines of device number, operation (may be missing) and value: `8:0 Read 4096`.
fn entries(text: &str) -> Vec<BlkIOEntry> {
    let parse_entry = |line: &str| {
        let mut fields = line.split_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let (first, second) = (fields.next()?, fields.next());
        let (op, value) = second.map_or(("", first), |value| (first, value));
        Some(BlkIOEntry {
            op: op.to_owned(),
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            value: value.parse().ok()?,
            ..Default::default()
        })
    };
    text.lines().filter_map(parse_entry).collect()
}

fn hugetlb(dir: &Path) -> Vec<HugetlbStat> {
    let sizes = std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("hugetlb.")?.strip_suffix(".usage_in_bytes")?.to_owned())
    });
    let parse_entry = |pagesize: String| HugetlbStat {
        usage: read_u64(&dir.join(format!("hugetlb.{pagesize}.usage_in_bytes"))),
        max: read_u64(&dir.join(format!("hugetlb.{pagesize}.max_usage_in_bytes"))),
        failcnt: read_u64(&dir.join(format!("hugetlb.{pagesize}.failcnt"))),
        pagesize,
        ..Default::default()
    };
    sizes.filter(|size| !size.ends_with(".rsvd")).map(parse_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkio_entries_are_parsed() {
        let found = entries("8:0 Read 4096\n8:0 Write 1\n8:16 77\nTotal 4097\n");
        let short: Vec<_> =
            found.iter().map(|entry| (entry.op.as_str(), entry.major, entry.minor, entry.value)).collect();
        assert_eq!(short, [("Read", 8, 0, 4096), ("Write", 8, 0, 1), ("", 8, 16, 77)]);
    }
}
