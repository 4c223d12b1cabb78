//! Sizes and times as runc's users write them.

use std::time::Duration;

/// Reads a number of bytes: `67108864`, `64M`, `64MiB`, `1.5g`; `-1` for no limit. Units are powers of 1024.
///
/// # Errors
/// It is none.
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    let bad =
        || format!("invalid size: `{text}`; expected a number of bytes such as 67108864, 64M or 1.5G, or -1");
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| c.is_ascii_alphabetic() || c == ' ').unwrap_or(trimmed.len());
    let (number, unit) = (trimmed[..end].trim(), trimmed[end..].trim().to_ascii_lowercase());
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(bad()),
    };
    if let Ok(whole) = number.parse::<i64>() {
        return match whole {
            -1 if shift == 0 => Ok(-1),
            whole if whole < 0 => Err(bad()),
            whole => whole.checked_mul(1 << shift).ok_or_else(bad),
        };
    }
    let (whole, part) = number.split_once('.').ok_or_else(bad)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return Err(bad());
    }
    let whole: i64 = whole.parse().map_err(|_large| bad())?;
    let tenths: i64 = part.parse().map_err(|_large| bad())?;
    let scale = 10_i64.pow(u32::try_from(part.len()).unwrap_or(9));
    let rest = i64::try_from((i128::from(tenths) << shift) / i128::from(scale)).map_err(|_large| bad())?;
    whole.checked_mul(1 << shift).and_then(|whole| whole.checked_add(rest)).ok_or_else(bad)
}

/// Reads a duration as Go writes it: `500ms`, `5s`, `1m30s`, `1.5h`.
///
/// # Errors
/// It is none, or no time at all.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time such as 500ms, 5s or 1m30s");
    let mut rest = text;
    let mut all = Duration::ZERO;
    // What engines and earlier versions write without a unit is in seconds.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        all = Duration::from_secs(text.parse().map_err(|_large| bad())?);
        rest = "";
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_number| bad())?;
        let unit =
            rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len() - digits);
        let seconds = match &rest[digits..digits + unit] {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        all += Duration::try_from_secs_f64(number * seconds).map_err(|_long| bad())?;
        rest = &rest[digits + unit..];
    }
    if all.is_zero() { Err(bad()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, wanted) in [
            ("0", 0),
            ("-1", -1),
            ("67108864", 67_108_864),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1k", 1024),
            ("1b", 1),
            ("1.5g", 3 << 29),
            ("0.5G", 1 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "M",
            "-2",
            "-1M",
            "64X",
            "64MM",
            "1.",
            ".5",
            "1.5.5",
            "9999999999G",
            "0x10",
            "1e3",
            "6 4",
            "NaN",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals() {
        for (text, millis) in [
            ("5s", 5_000),
            ("5", 5_000),
            ("250ms", 250),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("1000000ns", 1),
            ("1000us", 1),
        ] {
            assert_eq!(interval(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "5d", "0s", "-1s", "1m 30s", "..s", "1s5"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
