//! Values of the `cgroups` section, in the kernel's own notation (cgroup-v2.rst).

use std::collections::BTreeMap;
use std::fmt;

use super::value::Wrong;

/// A number or the kernel's `max`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Limit {
    /// At most (or at least) this many, in bytes or pieces.
    Value(u64),
    /// No limit. Orders above every value.
    Max,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Reads a size: a number with an optional suffix `K M G T P E` (powers of 1024, as the kernel's
/// memparse() has them), or `max`.
///
/// # Errors
/// Anything else, and what does not fit 63 bits (runtimes carry sizes as signed).
pub fn size(text: &str) -> Result<Limit, Wrong> {
    let wrong = || Wrong::new("a size").help("a number with an optional suffix, such as `512M`, or `max`");
    if text.eq_ignore_ascii_case("max") {
        return Ok(Limit::Max);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let power = match suffix.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << power));
    match bytes {
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(Limit::Value(bytes)),
        _ => Err(wrong()),
    }
}

/// Reads a count or `max`.
///
/// # Errors
/// Anything else.
pub fn count(text: &str) -> Result<Limit, Wrong> {
    if text.eq_ignore_ascii_case("max") {
        return Ok(Limit::Max);
    }
    match text.parse::<u64>() {
        Ok(n) if i64::try_from(n).is_ok() => Ok(Limit::Value(n)),
        _ => Err(Wrong::new("a whole number or `max`")),
    }
}

/// A bandwidth of processor time: at most `quota` microseconds in each `period`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CpuMax {
    /// Microseconds, or no limit.
    pub quota: Limit,
    /// Microseconds. The kernel's default is 100,000.
    pub period: u64,
}

impl fmt::Display for CpuMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.quota, self.period)
    }
}

impl CpuMax {
    /// Whether it allows less than the other.
    #[must_use]
    pub fn is_tighter(self, other: Self) -> bool {
        match (self.quota, other.quota) {
            (Limit::Max, _) => false,
            (Limit::Value(_), Limit::Max) => true,
            (Limit::Value(a), Limit::Value(b)) => {
                u128::from(a) * u128::from(other.period) < u128::from(b) * u128::from(self.period)
            }
        }
    }
}

/// Reads `QUOTA [PERIOD]`, the notation of `cpu.max`.
///
/// # Errors
/// Anything else. The kernel takes quotas from 1,000 and periods from 1,000 to 1,000,000.
pub fn cpu_max(text: &str) -> Result<CpuMax, Wrong> {
    let wrong = || {
        Wrong::new("a processor bandwidth")
            .help("`QUOTA [PERIOD]` in microseconds, such as `50000 100000` for half a processor, or `max`")
    };
    let mut words = text.split_ascii_whitespace();
    let quota = count(words.next().ok_or_else(wrong)?).map_err(|_number| wrong())?;
    let period = match words.next() {
        None => 100_000,
        Some(word) => word.parse::<u64>().map_err(|_number| wrong())?,
    };
    let small = matches!(quota, Limit::Value(quota) if quota < 1_000);
    if words.next().is_some() || small || !(1_000..=1_000_000).contains(&period) {
        return Err(wrong());
    }
    Ok(CpuMax { quota, period })
}

/// A set of processor or memory node numbers, in the kernel's list format.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NumberSet {
    numbers: std::collections::BTreeSet<u32>,
}

impl NumberSet {
    /// What both have. Empty when they share nothing.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { numbers: self.numbers.intersection(&other.numbers).copied().collect() }
    }

    /// Whether every number of this set is in the other.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.numbers.is_subset(&other.numbers)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut rest = self.numbers.iter().copied().peekable();
        while let Some(start) = rest.next() {
            let mut end = start;
            while rest.peek() == Some(&(end + 1)) {
                end += 1;
                rest.next();
            }
            if !first {
                f.write_str(",")?;
            }
            first = false;
            if start == end { write!(f, "{start}")? } else { write!(f, "{start}-{end}")? }
        }
        Ok(())
    }
}

/// Reads a list such as `0-2,5`. The kernel knows no more than 8,192 processors.
///
/// # Errors
/// Anything else.
pub fn number_set(text: &str) -> Result<NumberSet, Wrong> {
    let wrong = || Wrong::new("a list of numbers").help("numbers and ranges such as `0-2,5`");
    let number = |word: &str| match word.trim().parse::<u32>() {
        Ok(n) if n < 8_192 => Ok(n),
        _ => Err(wrong()),
    };
    let mut set = NumberSet::default();
    for part in text.split(',') {
        match part.split_once('-') {
            None => {
                set.numbers.insert(number(part)?);
            }
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(wrong());
                }
                set.numbers.extend(from..=to);
            }
        }
    }
    Ok(set)
}

/// A block device, `major:minor`.
pub type Device = (u32, u32);

fn device(word: &str) -> Option<Device> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Weights of block devices, the notation of `io.weight`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IoWeight {
    /// For all devices not named.
    pub default: Option<u16>,
    /// For single devices.
    pub devices: BTreeMap<Device, u16>,
}

impl fmt::Display for IoWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.map(|weight| format!("default {weight}"));
        let devices = self.devices.iter().map(|((a, b), weight)| format!("{a}:{b} {weight}"));
        f.write_str(&default.into_iter().chain(devices).collect::<Vec<_>>().join("\n"))
    }
}

/// Reads `[default] N` and `MAJOR:MINOR N`, one a line.
///
/// # Errors
/// Anything else; weights go from 1 to 10,000.
pub fn io_weight(text: &str) -> Result<IoWeight, Wrong> {
    let wrong = || {
        Wrong::new("an io weight")
            .help("`N`, `default N` or `MAJOR:MINOR N` with N from 1 to 10000, one a line")
    };
    let mut weights = IoWeight::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, weight) = match words.as_slice() {
            [weight] => ("default", *weight),
            [name, weight] => (*name, *weight),
            _ => return Err(wrong()),
        };
        let weight = weight.parse().ok().filter(|w| (1..=10_000).contains(w)).ok_or_else(wrong)?;
        if name == "default" {
            weights.default = Some(weight);
        } else {
            weights.devices.insert(device(name).ok_or_else(wrong)?, weight);
        }
    }
    Ok(weights)
}

/// Bandwidth of one block device. Bytes and operations a second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IoRates {
    /// Bytes read.
    pub rbps: Option<Limit>,
    /// Bytes written.
    pub wbps: Option<Limit>,
    /// Read operations.
    pub riops: Option<Limit>,
    /// Write operations.
    pub wiops: Option<Limit>,
}

impl IoRates {
    /// Its four parts with the kernel's names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, Option<Limit>); 4] {
        [("rbps", self.rbps), ("wbps", self.wbps), ("riops", self.riops), ("wiops", self.wiops)]
    }
}

/// Bandwidth of block devices, the notation of `io.max`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IoMax {
    /// By device.
    pub devices: BTreeMap<Device, IoRates>,
}

impl fmt::Display for IoMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for ((major, minor), rates) in &self.devices {
            let mut line = format!("{major}:{minor}");
            for (name, rate) in rates.parts() {
                if let Some(rate) = rate {
                    line.push_str(&format!(" {name}={rate}"));
                }
            }
            lines.push(line);
        }
        f.write_str(&lines.join("\n"))
    }
}

/// Reads `MAJOR:MINOR rbps=N wbps=N riops=N wiops=N`, one device a line.
///
/// # Errors
/// Anything else.
pub fn io_max(text: &str) -> Result<IoMax, Wrong> {
    let wrong = || {
        Wrong::new("an io limit")
            .help("`MAJOR:MINOR` and any of `rbps= wbps= riops= wiops=`, such as `8:0 rbps=2097152`")
    };
    let mut max = IoMax::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(device).ok_or_else(wrong)?;
        let rates = max.devices.entry(device).or_default();
        for word in words {
            let (name, rate) = word.split_once('=').ok_or_else(wrong)?;
            let rate = Some(size(rate).map_err(|_size| wrong())?);
            match name.to_ascii_lowercase().as_str() {
                "rbps" => rates.rbps = rate,
                "wbps" => rates.wbps = rate,
                "riops" => rates.riops = rate,
                "wiops" => rates.wiops = rate,
                _ => return Err(wrong()),
            }
        }
    }
    Ok(max)
}

/// How a cpuset takes part in scheduling, `cpuset.cpus.partition`.
pub const PARTITIONS: [(&str, &str); 3] = [("member", "member"), ("root", "root"), ("isolated", "isolated")];
