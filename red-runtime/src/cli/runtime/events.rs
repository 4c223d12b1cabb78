//! `red-runtime events`

use std::time::Duration;

use serde_json::{Value, json};

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

/// Reads a duration as Go writes it: `500ms`, `5s`, `1m`.
fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_number| format!("`{text}` is no time such as 5s"))?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        unit => return Err(format!("`{unit}` is no unit; use ms, s or m")),
    };
    match number.saturating_mul(unit) {
        0 => Err("the interval has to be more than nothing".to_owned()),
        millis => Ok(Duration::from_millis(millis)),
    }
}

pub(super) fn run(global: &Global, args: &Args, out: &mut Output) -> Result<Exit, RunError> {
    let store = global.store();
    loop {
        let record = match store.read(&args.id) {
            Err(LaunchError::Unknown { .. }) if !args.stats => return Ok(Exit::Success),
            record => record?,
        };
        let status = record.status(&store);
        if status == Status::Stopped {
            return if args.stats {
                Err(LaunchError::NotRunning { id: record.id }.into())
            } else {
                Ok(Exit::Success)
            };
        }
        let Some(cgroups) = &record.cgroups else {
            return Err(LaunchError::refused(
                format!("container `{}`", args.id),
                "it has no cgroup that counts",
            )
            .into());
        };
        let event = json!({"type": "stats", "id": args.id, "data": data(&cgroup::stats(cgroups)?)});
        out.data(&format!("{event}\n"))?;
        if args.stats {
            return Ok(Exit::Success);
        }
        std::thread::sleep(args.interval);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "5h", "0s", "-1s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
