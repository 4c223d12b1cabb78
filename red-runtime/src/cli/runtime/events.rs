//! `red-runtime events`

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::size::interval;
use super::{Exit, Global, Output, RunError};
use crate::launch::cgroup;
use crate::launch::container::Status;
use crate::launch::error::LaunchError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Once, and no more
    #[arg(long)]
    stats: bool,
    /// How often
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Name of the container
    id: String,
}

/// How soon an end, or processes that ran out of memory, are told.
const TICK: Duration = Duration::from_millis(200);

pub(super) fn run(global: &Global, args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let store = global.store();
    let record = store.read(&args.id)?;
    if record.status(&store) == Status::Stopped {
        return Err(LaunchError::NotRunning { id: record.id }.into());
    }
    let Some(cgroups) = &record.cgroups else {
        let what = format!("container `{}`", args.id);
        return Err(LaunchError::refused(what, "it has no cgroup that counts").into());
    };
    if args.stats {
        return tell(args, cgroups, out).map(|_read| Exit::Success);
    }
    let mut killed = cgroup::oom_kills(cgroups);
    let mut next = Instant::now();
    loop {
        // Before its end is looked for: running out of memory is what ends many.
        let ended = record.status(&store) == Status::Stopped;
        let now = cgroup::oom_kills(cgroups);
        if now > killed && !out.bytes(format!("{}\n", json!({"type": "oom", "id": args.id})).as_bytes())? {
            return Ok(Exit::Success);
        }
        killed = now.max(killed);
        if ended {
            return Ok(Exit::Success);
        }
        if Instant::now() >= next {
            // Its cgroups may have gone with it meanwhile.
            match tell(args, cgroups, out) {
                Ok(true) => {}
                Ok(false) => return Ok(Exit::Success),
                Err(_) if record.status(&store) == Status::Stopped => return Ok(Exit::Success),
                Err(error) => return Err(error),
            }
            next = Instant::now() + args.interval;
        }
        std::thread::sleep(TICK.min(next.saturating_duration_since(Instant::now())));
    }
}

/// Prints what the cgroups have counted. Whether anybody still reads.
fn tell(args: &Args, cgroups: &cgroup::Cgroups, out: &mut Output) -> Result<bool, RunError> {
    let event = json!({"type": "stats", "id": args.id, "data": data(&cgroup::stats(cgroups)?)});
    Ok(out.bytes(format!("{event}\n").as_bytes())?)
}

/// Statistics under the names engines know (runc, types/events.go).
fn data(stats: &libcgroups::stats::Stats) -> Value {
    let (cpu, memory, pids) = (&stats.cpu, &stats.memory, &stats.pids);
    let part = |part: &libcgroups::stats::MemoryData| json!({"limit": part.limit, "usage": part.usage, "max": part.max_usage, "failcnt": part.fail_count});
    json!({
        "cpu": {
            "usage": {
                "total": cpu.usage.usage_total,
                "percpu": cpu.usage.per_core_usage_total,
                "kernel": cpu.usage.usage_kernel,
                "user": cpu.usage.usage_user,
            },
            "throttling": {
                "periods": cpu.throttling.periods,
                "throttledPeriods": cpu.throttling.throttled_periods,
                "throttledTime": cpu.throttling.throttled_time,
            },
        },
        "memory": {
            "cache": memory.cache,
            "usage": part(&memory.memory),
            "swap": part(&memory.memswap),
            "kernel": part(&memory.kernel),
            "kernelTCP": part(&memory.kernel_tcp),
            "raw": memory.stats,
        },
        "pids": {"current": pids.current, "limit": pids.limit},
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    })
}
