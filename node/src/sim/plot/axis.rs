//! Axes: from figures to places, and round numbers along them.

use super::super::numbers;

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    /// Places of `low` and `high`.
    from: f32,
    to: f32,
    /// Round values and how they are written.
    pub(super) ticks: Vec<(f64, String)>,
    /// The unit, for axes of time.
    pub(super) unit: &'static str,
}

impl Axis {
    /// An axis over values, at zero or rounded outward, with about `ticks` ticks.
    pub(super) fn over(
        (low, high): (f64, f64),
        from_zero: bool,
        ticks: usize,
        (from, to): (f32, f32),
    ) -> Self {
        let low = if from_zero { low.min(0.0) } else { low };
        // Finer than this, neighboring numbers are hard to tell from each other.
        let extent = (high - low).max(low.abs() * 1e-9);
        let high = low + if extent > 0.0 { extent } else { 1.0 };
        let step = round_step((high - low) / ticks as f64);
        let first = (low / step + 1e-9).floor() as i64;
        let last = (high / step - 1e-9).ceil() as i64;
        let values: Vec<f64> = (first..=last).map(|n| n as f64 * step).collect();
        Self {
            low: first as f64 * step,
            high: last as f64 * step,
            from,
            to,
            ticks: values
                .into_iter()
                .map(|value| (value, numbers::short(value)))
                .collect(),
            unit: "",
        }
    }

    /// An axis from the one value to the other, without ticks.
    pub(super) fn exact((low, high): (f64, f64), (from, to): (f32, f32)) -> Self {
        Self {
            low,
            high,
            from,
            to,
            ticks: Vec::new(),
            unit: "",
        }
    }

    /// An axis over simulated seconds, in seconds, minutes, hours or days, that ends where the data end.
    pub(super) fn time((low, high): (f64, f64), (from, to): (f32, f32)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let (unit, seconds, steps): (_, f64, &[f64]) = match high {
            t if t <= 180.0 => ("s", 1.0, &[]),
            t if t <= 3.0 * 3600.0 => ("min", 60.0, &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0]),
            t if t <= 3.0 * 86_400.0 => ("h", 3600.0, &[1.0, 2.0, 3.0, 6.0, 12.0]),
            _ => ("days", 86_400.0, &[]),
        };
        let wanted = (high - low) / seconds / 7.0;
        let step = steps
            .iter()
            .copied()
            .find(|step| *step >= wanted)
            .unwrap_or_else(|| round_step(wanted));
        let first = (low / seconds / step - 1e-9).ceil() as i64;
        let last = (high / seconds / step + 1e-9).floor() as i64;
        Self {
            low,
            high,
            from,
            to,
            ticks: (first..=last)
                .map(|n| n as f64 * step)
                .map(|value| (value * seconds, numbers::short(value)))
                .collect(),
            unit,
        }
    }

    /// The place of a value; values beyond the axis are at its end.
    pub(super) fn place(&self, value: f64) -> f32 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * part as f32
    }

    /// Whether a value lies on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        let axis = Axis::over((0.12, 0.87), true, 5, (0.0, 100.0));
        assert_eq!(labels(&axis), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        let axis = Axis::over((0.301, 0.317), false, 5, (0.0, 100.0));
        assert_eq!(labels(&axis), ["0.3", "0.305", "0.31", "0.315", "0.32"]);
        assert_eq!((axis.place(0.3), axis.place(0.32)), (0.0, 100.0));
        assert!(axis.holds(0.31) && !axis.holds(0.33));
        let axis = Axis::over((-5.0, 12.0), true, 4, (0.0, 1.0));
        assert_eq!(labels(&axis), ["-5", "0", "5", "10", "15"]);
    }

    #[test]
    fn data_without_extent_have_an_axis() {
        let axis = Axis::over((0.0, 0.0), true, 5, (100.0, 0.0));
        assert_eq!(labels(&axis), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(axis.place(0.0), 100.0);
        for value in [7.0, 4.6e18, -1e300] {
            let axis = Axis::over((value, value), false, 5, (100.0, 0.0));
            assert!(axis.holds(value) && axis.place(value).is_finite());
        }
        assert!(Axis::time((5.0, 5.0), (0.0, 1.0)).holds(5.0));
    }

    #[test]
    fn time_is_told_as_people_do() {
        let axis = Axis::time((0.0, 3600.0), (0.0, 60.0));
        assert_eq!(
            (axis.unit, labels(&axis)),
            ("min", vec!["0", "10", "20", "30", "40", "50", "60"])
        );
        assert_eq!(axis.place(1800.0), 30.0);
        let axis = Axis::time((0.0, 90.0), (0.0, 60.0));
        assert_eq!(
            (axis.unit, labels(&axis)),
            ("s", vec!["0", "20", "40", "60", "80"])
        );
        let axis = Axis::time((0.0, 86_400.0), (0.0, 60.0));
        assert_eq!(
            (axis.unit, labels(&axis)),
            ("h", vec!["0", "6", "12", "18", "24"])
        );
        let axis = Axis::time((1800.0, 3600.0), (0.0, 60.0));
        assert_eq!(labels(&axis)[0], "30");
    }

    #[test]
    fn places_stay_within_the_plot() {
        let axis = Axis::over((0.0, 1.0), true, 5, (200.0, 20.0));
        assert_eq!(axis.place(0.5), 110.0);
        assert_eq!(axis.place(9.0), 20.0);
        assert_eq!(axis.place(-9.0), 200.0);
    }
}
