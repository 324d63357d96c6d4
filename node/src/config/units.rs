//! Sizes and durations as people write them: `10MiB`, `24h`.

use std::time::Duration;

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("min", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
];

/// Whole number and unit, a space allowed between. Units are told apart by case, since `m` and `M` differ by much.
fn parse(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let text = text.trim();
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim_start();
    if digits.is_empty() {
        return Err(format!(
            "{text:?} does not begin with a whole number: write it as {example}"
        ));
    }
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{digits} is too large: write it as {example}"))?;
    if unit.is_empty() {
        return Err(format!(
            "{text:?} has no unit: append one of {}, as in {example}",
            names().join(", ")
        ));
    }
    let factor = units.iter().find(|(name, _)| *name == unit);
    let Some((_, factor)) = factor else {
        return Err(format!(
            "{unit:?} is no unit: use one of {}, as in {example}",
            names().join(", ")
        ));
    };
    number
        .checked_mul(*factor)
        .ok_or_else(|| format!("{text:?} is too large"))
}

/// A number of bytes: `512KiB`, `10MB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES, "\"10MiB\"")
}

/// A duration: `500ms`, `24h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &TIMES, "\"24h\"").map(Duration::from_millis)
}

/// The shortest text that [`parse_size`] reads back as the same number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// The shortest text that [`parse_duration`] reads back as the same duration (whole milliseconds).
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &TIMES,
    )
}

/// In the largest unit that divides it.
fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units
        .iter()
        .filter(|(_, factor)| value.is_multiple_of(*factor));
    match fits.max_by_key(|(_, factor)| *factor) {
        Some((name, factor)) if value > 0 => format!("{}{name}", value / factor),
        _ => format!("{value}{}", units.first().map_or("", |(name, _)| name)),
    }
}
