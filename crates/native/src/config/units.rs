//! Durations and sizes as people write them: `100ms`, `24h`, `256MiB`.

use std::time::Duration;

const DURATIONS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

const SIZES: [(&str, u128); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Whole numbers, each with its unit: `90s`, `1h30m`. No unit is guessed, but 0 needs none.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0_u128);
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit = &after[..after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len())];
        total = total.checked_add(number.checked_mul(factor(&DURATIONS, unit)?)?)?;
        rest = &after[unit.len()..];
    }
    let nanos = u64::try_from(total).ok()?;
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

/// In the largest unit that gives a whole number.
pub(super) fn show_duration(duration: Duration) -> String {
    show(&DURATIONS, duration.as_nanos(), "0")
}

/// A whole number of bytes, or of another unit: `1048576`, `1MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let factor = if unit.is_empty() { 1 } else { factor(&SIZES, unit)? };
    u64::try_from(number.checked_mul(factor)?).ok()
}

/// In the largest binary unit that gives a whole number.
pub(super) fn show_size(bytes: u64) -> String {
    let binary = [("", 1), SIZES[4], SIZES[5], SIZES[6]];
    show(&binary, bytes.into(), "0")
}

fn leading_number(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    // A space may stand before the unit.
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn factor(units: &[(&str, u128)], unit: &str) -> Option<u128> {
    let unit = unit.trim_end();
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

fn show(units: &[(&str, u128)], number: u128, zero: &str) -> String {
    let fits = |(_, factor): &&(&str, u128)| number > 0 && number.is_multiple_of(*factor);
    match units.iter().rev().find(fits) {
        Some((name, factor)) => format!("{}{name}", number / factor),
        None => zero.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let day = 86_400;
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("90s", 90),
            ("1h", 3600),
            ("24h", day),
            ("7d", 7 * day),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("2 m", 120),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(duration("50us"), Some(Duration::from_micros(50)));
        let huge = "9".repeat(50) + "s";
        for bad in [
            "", " ", "5", "h", "1.5h", "-1s", "1w", "1M", "1h30", "1 h h", "1s\u{e9}", "999999d",
            &huge,
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("10B", 10),
            ("1kB", 1000),
            ("256MiB", 256 << 20),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "1.5GiB", "-1", "1mib", "1M", "1 2", "99999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for (millis, text) in [
            (0, "0"),
            (50, "50ms"),
            (1500, "1500ms"),
            (5000, "5s"),
            (5_400_000, "90m"),
            (86_400_000, "1d"),
        ] {
            let read = Duration::from_millis(millis);
            assert_eq!((show_duration(read).as_str(), duration(text)), (text, Some(read)));
        }
        for (bytes, text) in [(0, "0"), (1000, "1000"), (1024, "1KiB"), (256 << 20, "256MiB")] {
            assert_eq!((show_size(bytes).as_str(), size(text)), (text, Some(bytes)));
        }
    }
}
