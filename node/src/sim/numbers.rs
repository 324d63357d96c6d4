//! Numbers as people read them.

/// About four digits: `0.3142`, `12.34`, `1,234`; without zeros that say nothing.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    if size >= 999.95 {
        return grouped(value.round());
    }
    let decimals = match size {
        s if s >= 99.995 => 1,
        s if s >= 9.9995 => 2,
        s if s >= 0.99995 => 3,
        s if s >= 0.001 => 4,
        _ => return format!("{value:.1e}"),
    };
    trimmed(&format!("{value:.decimals$}"))
}

/// A whole number in groups of three: `10,000`.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" {
        text.insert(0, '-');
    }
    text
}

/// For an axis: `0.05`, `250`, `1.5 k`, `2 M`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let (unit, suffix) = match size {
        s if s >= 1e9 => (1e9, " G"),
        s if s >= 1e6 => (1e6, " M"),
        s if s >= 1e4 => (1e3, " k"),
        s if s >= 1e3 => return grouped(value),
        _ => (1.0, ""),
    };
    // Ticks are round numbers, so that no digit of theirs is lost; the sum of steps may be off in the last bit.
    let decimals = if size > 0.0 && size < 0.01 { 6 } else { 3 };
    format!(
        "{}{suffix}",
        trimmed(&format!("{:.decimals$}", value / unit))
    )
}

/// A time span: `45 s`, `12 min`, `1 h 30 min`.
pub(crate) fn span(seconds: f64) -> String {
    if !(seconds.is_finite() && seconds >= 0.0) {
        return "-".to_owned();
    }
    if seconds < 120.0 {
        return format!("{} s", figure(seconds));
    }
    let minutes = (seconds / 60.0).round();
    if minutes < 120.0 && minutes != 60.0 {
        return format!("{minutes} min");
    }
    let (hours, rest) = ((minutes / 60.0).floor(), minutes % 60.0);
    if rest == 0.0 {
        return format!("{} h", grouped(hours));
    }
    format!("{} h {rest} min", grouped(hours))
}

/// `1 seed`, `20 seeds`.
pub(crate) fn count(n: usize, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(n as f64))
}

fn trimmed(text: &str) -> String {
    if !text.contains('.') {
        return text.to_owned();
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_about_four_digits() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.314_159, "0.3142"),
            (0.32, "0.32"),
            (0.000_12, "1.2e-4"),
            (1.0, "1"),
            (1.23456, "1.235"),
            (9.99999, "10"),
            (12.3456, "12.35"),
            (99.999, "100"),
            (123.456, "123.5"),
            (999.96, "1,000"),
            (1234.5, "1,235"),
            (-1_234_567.0, "-1,234,567"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ] {
            assert_eq!(figure(value), want, "{value}");
        }
    }

    #[test]
    fn ticks_are_short() {
        for (value, want) in [
            (0.0, "0"),
            (0.30000000000000004, "0.3"),
            (0.002, "0.002"),
            (250.0, "250"),
            (2000.0, "2,000"),
            (15_000.0, "15 k"),
            (2_500_000.0, "2.5 M"),
            (-0.05, "-0.05"),
        ] {
            assert_eq!(short(value), want, "{value}");
        }
    }

    #[test]
    fn spans_and_counts() {
        for (seconds, want) in [
            (0.0, "0 s"),
            (1.5, "1.5 s"),
            (60.0, "60 s"),
            (600.0, "10 min"),
            (3600.0, "1 h"),
            (5400.0, "90 min"),
            (7200.0, "2 h"),
            (9000.0, "2 h 30 min"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(span(seconds), want, "{seconds}");
        }
        assert_eq!(count(1, "seed"), "1 seed");
        assert_eq!(count(1200, "node"), "1,200 nodes");
    }
}
