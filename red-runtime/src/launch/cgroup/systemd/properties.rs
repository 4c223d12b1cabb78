//! What systemd is told of a scope's limits: what stands in the files of its cgroup.

use std::path::Path;

use zbus::Variant;

use super::Scope;
use crate::launch::cgroup::write;
use crate::launch::error::LaunchError;

/// Microseconds of a second.
const SECOND: u64 = 1_000_000;

/// systemd counts processors in hundredths, and rounds down (core/dbus-cgroup.c, `CPUQuotaPerSecUSec`).
const HUNDREDTH: u64 = SECOND / 100;

/// Tells systemd the limits that a cgroup has. It then has them still.
///
/// # Errors
/// systemd does not answer, or refuses.
pub(in crate::launch::cgroup) fn tell(scope: &Scope, directory: &Path) -> Result<(), LaunchError> {
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let properties = of(&read);
    if properties.is_empty() {
        return Ok(());
    }
    let quota = read("cpu.max");
    scope.set(properties)?;
    // systemd writes what it was told, and a quota in whole hundredths only.
    match quota {
        Some(quota) if read("cpu.max").as_ref() != Some(&quota) => {
            write(&directory.join("cpu.max"), quota.trim())
        }
        _ => Ok(()),
    }
}

/// Properties for what the files of a cgroup of version 2 say (systemd.resource-control(5)). What is as in every new
/// cgroup is left out.
fn of(read: &dyn Fn(&str) -> Option<String>) -> Vec<(&'static str, Variant<'static>)> {
    let mut all: Vec<(&'static str, Variant<'static>)> = Vec::new();
    let mut number = |property: &'static str, file: &str, new: &str| {
        let text = read(file).unwrap_or_default();
        // Of weights the first line is that of all devices without one of their own.
        let text = text.lines().next().unwrap_or_default();
        if text != new
            && let Some(value) = limit(text)
        {
            all.push((property, value.into()));
        }
    };
    number("MemoryMax", "memory.max", "max");
    number("MemoryHigh", "memory.high", "max");
    number("MemoryLow", "memory.low", "0");
    number("MemoryMin", "memory.min", "0");
    number("MemorySwapMax", "memory.swap.max", "max");
    number("TasksMax", "pids.max", "max");
    number("CPUWeight", "cpu.weight", "100");
    number("IOWeight", "io.weight", "default 100");
    for (property, file) in [("AllowedCPUs", "cpuset.cpus"), ("AllowedMemoryNodes", "cpuset.mems")] {
        let text = read(file).unwrap_or_default();
        if !text.trim().is_empty()
            && let Some(bits) = bitmap(text.trim())
        {
            all.push((property, bits.into()));
        }
    }
    let quota = read("cpu.max").unwrap_or_default();
    if let Some((quota, period)) = quota.trim().split_once(' ')
        && let (Ok(quota), Ok(period)) = (quota.parse::<u64>(), period.parse::<u64>())
        && period > 0
    {
        let second = quota.saturating_mul(SECOND).div_ceil(period).next_multiple_of(HUNDREDTH);
        all.push(("CPUQuotaPerSecUSec", second.into()));
        all.push(("CPUQuotaPeriodUSec", period.into()));
    }
    all
}

/// A number, or no limit, as systemd has it.
fn limit(text: &str) -> Option<u64> {
    match text.strip_prefix("default ").unwrap_or(text) {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Bits of a list of numbers and ranges (cpuset(7), "List format"), the first one the lowest of the first byte.
fn bitmap(list: &str) -> Option<Vec<u8>> {
    /// More than any kernel has.
    const MOST: usize = 1 << 16;
    let mut bits: Vec<u8> = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= MOST {
            return None;
        }
        for bit in first..=last {
            if bits.len() <= bit / 8 {
                bits.resize(bit / 8 + 1, 0);
            }
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_properties() {
        let files = [
            ("memory.max", "67108864\n"),
            ("memory.swap.max", "0\n"),
            ("memory.high", "max\n"),
            ("pids.max", "50\n"),
            ("cpu.weight", "100\n"),
            ("io.weight", "default 2930\n8:0 50\n"),
            ("cpu.max", "33000 100000\n"),
            ("cpuset.cpus", "0,2-3,9\n"),
            ("cpuset.mems", "\n"),
        ];
        let read =
            |file: &str| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
        let shown: Vec<String> = of(&read).iter().map(|(name, value)| format!("{name} {value}")).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn quotas_are_told_without_being_cut() {
        let quota = |text: &'static str| {
            let read = move |file: &str| (file == "cpu.max").then(|| text.to_owned());
            of(&read).first().map(|(_, value)| value.to_string())
        };
        assert_eq!(quota("max 100000"), None);
        assert_eq!(quota("33333 100000").as_deref(), Some("uint64 340000"));
    }

    #[test]
    fn lists_become_bits() {
        assert_eq!(bitmap("0"), Some(vec![1]));
        assert_eq!(bitmap("0,2-3,9"), Some(vec![0b1101, 0b10]));
        assert_eq!(bitmap("x"), None);
        assert_eq!(bitmap("0-99999999999"), None);
    }
}
