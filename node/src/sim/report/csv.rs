//! Tables for spreadsheets (RFC 4180): one row a value, every seed apart.

use std::fmt::Write as _;

use overlay::sim::Outcome;

use crate::sim::curves::Curve;

/// `metric,seed,value`
pub(super) fn metrics(outcomes: &[Outcome]) -> String {
    let mut csv = String::from("metric,seed,value\n");
    for outcome in outcomes {
        for (name, value) in &outcome.metrics {
            let _ = writeln!(csv, "{},{},{value}", field(name), outcome.seed);
        }
    }
    csv
}

/// `counter,seed,mean_of_honest_nodes`
pub(super) fn counters(outcomes: &[Outcome]) -> String {
    let mut csv = String::from("counter,seed,mean_of_honest_nodes\n");
    for outcome in outcomes {
        for (name, value) in &outcome.counters {
            let _ = writeln!(csv, "{},{},{value}", field(name), outcome.seed);
        }
    }
    csv
}

/// `series,seed,simulated_seconds,value`
pub(super) fn series(outcomes: &[Outcome]) -> String {
    let mut csv = String::from("series,seed,simulated_seconds,value\n");
    for outcome in outcomes {
        for (name, points) in &outcome.series {
            for (time, value) in points {
                let _ = writeln!(csv, "{},{},{time},{value}", field(name), outcome.seed);
            }
        }
    }
    csv
}

/// `series,simulated_seconds,mean,low,high`
pub(super) fn intervals(curves: &[Curve]) -> String {
    let mut csv = String::from("series,simulated_seconds,mean,low,high\n");
    for curve in curves {
        for (time, estimate) in &curve.points {
            let _ = writeln!(
                csv,
                "{},{time},{},{},{}",
                field(&curve.name),
                estimate.mean,
                estimate.low,
                estimate.high
            );
        }
    }
    csv
}

/// `histogram,seed,value,nodes`
pub(super) fn histograms(outcomes: &[Outcome]) -> String {
    let mut csv = String::from("histogram,seed,value,nodes\n");
    for outcome in outcomes {
        for (name, counts) in &outcome.histograms {
            for (value, nodes) in counts {
                let _ = writeln!(csv, "{},{},{value},{nodes}", field(name), outcome.seed);
            }
        }
    }
    csv
}

/// A text that may hold a comma or a quote.
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_a_value() {
        let mut outcome = Outcome {
            seed: 7,
            ..Outcome::default()
        };
        outcome.metrics.insert("a,\"b\"".to_owned(), 0.5);
        outcome
            .series
            .insert("s".to_owned(), vec![(0.0, 1.0), (60.0, 1.5)]);
        outcome
            .histograms
            .insert("h".to_owned(), [(3, 4)].into_iter().collect());
        outcome.counters.insert("room.c".to_owned(), 2.5);
        let outcomes = [outcome];
        assert_eq!(
            metrics(&outcomes),
            "metric,seed,value\n\"a,\"\"b\"\"\",7,0.5\n"
        );
        assert_eq!(
            counters(&outcomes),
            "counter,seed,mean_of_honest_nodes\nroom.c,7,2.5\n"
        );
        assert_eq!(
            series(&outcomes),
            "series,seed,simulated_seconds,value\ns,7,0,1\ns,7,60,1.5\n"
        );
        assert_eq!(
            histograms(&outcomes),
            "histogram,seed,value,nodes\nh,7,3,4\n"
        );
        assert_eq!(
            intervals(&crate::sim::curves::curves(&outcomes)),
            "series,simulated_seconds,mean,low,high\ns,0,1,1,1\ns,60,1.5,1.5,1.5\n"
        );
    }
}
