//! Which charts a run has.

use overlay::sim::Scenario;
use overlay::sim::scenario::{Adversary, Happening};

use super::curve::{self, Around, Level, Moment};
use super::distribution;
use super::drawing::Drawing;
use crate::sim::curves::{Curve, Distribution};
use crate::sim::numbers;
use crate::sim::summary::Run;
use crate::sim::words;

/// A plot with its name, which becomes that of its files.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) name: String,
    /// What it shows, in words.
    pub(crate) meaning: String,
    pub(crate) drawing: Drawing,
}

/// All charts of a run: curves, then distributions, in the order of [`words::order`].
pub(crate) fn charts(run: &Run, curves: &[Curve], distributions: &[Distribution]) -> Vec<Chart> {
    let subtitle = format!("{}: {}", run.title(), run.set_up());
    let moments = moments(&run.scenario);
    let mut charts = Vec::new();
    let mut curves: Vec<&Curve> = curves.iter().collect();
    curves.sort_by_key(|curve| words::order(&curve.name));
    for curve in curves {
        let words = words::of(&curve.name);
        let levels = levels(&run.scenario, &curve.name);
        let around = |tail| Around {
            words: &words,
            subtitle: &subtitle,
            levels: &levels,
            moments: &moments,
            tail,
        };
        charts.push(Chart {
            name: file_name(&curve.name),
            meaning: words.meaning.to_owned(),
            drawing: curve::draw(curve, around(false)),
        });
        if curve::has_flat_tail(curve, &levels) {
            charts.push(Chart {
                name: format!("{}-second-half", file_name(&curve.name)),
                meaning: "The same, enlarged: the axis does not begin at zero.".to_owned(),
                drawing: curve::draw(curve, around(true)),
            });
        }
    }
    let mut distributions: Vec<&Distribution> = distributions.iter().collect();
    distributions.sort_by_key(|distribution| words::order(&distribution.name));
    for distribution in distributions {
        let words = words::of(&distribution.name);
        charts.push(Chart {
            name: format!("{}-distribution", file_name(&distribution.name)),
            meaning: words.meaning.to_owned(),
            drawing: distribution::draw(distribution, &words, &subtitle),
        });
    }
    charts
}

/// A figure's name as a file's: what a world calls its figures does not leave the directory.
fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// What a curve is compared with: the hostile nodes' share of the network, and the bars of the figure of its name.
fn levels(scenario: &Scenario, name: &str) -> Vec<Level> {
    let mut levels = Vec::new();
    if matches!(name, "share" | "out") && scenario.byzantine > 0.0 {
        levels.push(Level {
            value: scenario.byzantine,
            text: format!("{} of all nodes", numbers::figure(scenario.byzantine)),
            bar: false,
        });
    }
    for bar in scenario.bars.iter().filter(|bar| bar.metric == name) {
        let (least, most) = bar.limits(scenario.byzantine);
        for (limit, word) in [(least, "at least"), (most, "at most")] {
            levels.extend(limit.map(|value| Level {
                value,
                text: format!("{word} {}", numbers::figure(value)),
                bar: true,
            }));
        }
    }
    levels
}

/// What happens when.
fn moments(scenario: &Scenario) -> Vec<Moment> {
    let attack = (scenario.adversary == Adversary::Delayed).then(|| Moment {
        at_s: scenario.attack_at_s,
        text: "attack".to_owned(),
    });
    let events = scenario.events.iter().map(|event| Moment {
        at_s: event.at_s,
        text: match &event.what {
            Happening::Crash { fraction } | Happening::CrashInCommit { fraction } => {
                format!("{} % crash", numbers::figure(fraction * 100.0))
            }
            Happening::Leave { fraction } => {
                format!("{} % leave", numbers::figure(fraction * 100.0))
            }
            Happening::Restart => "restart".to_owned(),
            Happening::Stall { fraction, .. } => {
                format!("{} % stall", numbers::figure(fraction * 100.0))
            }
            Happening::Slow { fraction, .. } => {
                format!("{} % slow", numbers::figure(fraction * 100.0))
            }
            Happening::Lossy { fraction, .. } => {
                format!("{} % lossy", numbers::figure(fraction * 100.0))
            }
            Happening::SeedsDie => "seeds die".to_owned(),
            Happening::Clock { fraction, .. } => {
                format!("{} % clocks jump", numbers::figure(fraction * 100.0))
            }
            Happening::ClocksRight => "clocks put right".to_owned(),
            Happening::Move { fraction } => {
                format!("{} % move", numbers::figure(fraction * 100.0))
            }
            Happening::Outage { .. } => "outage".to_owned(),
            Happening::Partition { .. } => "partition".to_owned(),
            Happening::Heal => "partitions end".to_owned(),
            Happening::Join { nodes, .. } => format!("{} join", numbers::grouped(*nodes as f64)),
        },
    });
    attack.into_iter().chain(events).collect()
}

#[cfg(test)]
mod tests {
    use overlay::sim::scenario::Event;

    use super::super::svg::tests::well_formed;
    use super::super::{Setting, png, svg};
    use super::*;
    use crate::sim::curves;
    use crate::sim::summary::tests::a_run;

    fn charts_of(run: &Run) -> Vec<Chart> {
        charts(
            run,
            &curves::curves(&run.outcomes),
            &curves::distributions(&run.outcomes),
        )
    }

    #[test]
    fn every_series_and_every_histogram_has_its_chart() {
        let charts = charts_of(&a_run(&[1, 2, 3]));
        let names: Vec<&str> = charts.iter().map(|chart| chart.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "share",
                "share-second-half",
                "out",
                "out-second-half",
                "isolated",
                "bytes-per-node-per-sec",
                "bytes-per-node-per-sec-second-half",
                "neighbors-distribution",
                "memory-indegree-distribution"
            ]
        );
        for chart in &charts {
            for setting in [Setting::File, Setting::Page] {
                let text = svg(&chart.drawing, setting);
                assert_eq!(well_formed(&text), Ok(()), "{}", chart.name);
                assert!(text.contains("3 seeds"), "{}", chart.name);
                assert!(
                    !text.contains("NaN") && !text.contains("inf"),
                    "{}",
                    chart.name
                );
            }
        }
        assert!(png(&charts[0].drawing).len() > 5000);
        let share = svg(&charts[0].drawing, Setting::Page);
        for word in [
            "at most 0.32",
            "0.3 of all nodes",
            "simulated time (min)",
            "fraction",
        ] {
            assert!(share.contains(word), "{word} is not in {share}");
        }
        let in_degree = svg(&charts.last().unwrap().drawing, Setting::Page);
        assert!(in_degree.contains("binomial") && in_degree.contains("fraction of the nodes"));
    }

    #[test]
    fn one_seed_has_no_band() {
        let charts = charts_of(&a_run(&[1]));
        let share = svg(&charts[0].drawing, Setting::Page);
        assert!(share.contains("one seed") && !share.contains("95 % interval"));
    }

    #[test]
    fn what_happens_is_marked() {
        let mut run = a_run(&[1]);
        run.scenario.events = vec![Event {
            at_s: 600.0,
            what: Happening::Crash { fraction: 0.8 },
        }];
        let share = svg(&charts_of(&run)[0].drawing, Setting::Page);
        assert!(share.contains("80 % crash"));
    }

    /// Whatever a world calls its figures and whatever it measures, charts come out whole.
    #[test]
    fn odd_measurements_are_drawn() {
        let mut run = a_run(&[1, 2]);
        for outcome in &mut run.outcomes {
            outcome.series.clear();
            outcome.histograms.clear();
            for (name, points) in [
                ("../../a&b", vec![(0.0, 0.0), (1.0, 0.0)]),
                ("one", vec![(5.0, 3.0)]),
                ("nan", vec![(0.0, f64::NAN), (1.0, f64::INFINITY)]),
                ("negative", vec![(0.0, -5.0), (1.0, -1e9)]),
                ("tiny", vec![(0.0, 1e-300), (1e9, 2e-300)]),
            ] {
                outcome.series.insert(name.to_owned(), points);
            }
            for (name, value) in [("zero", 0), ("far", u64::MAX / 4)] {
                let counts = [(value, 3)].into_iter().collect();
                outcome.histograms.insert(name.to_owned(), counts);
            }
        }
        let charts = charts_of(&run);
        assert!(
            charts.iter().any(|chart| chart.name == "------a-b"),
            "{charts:#?}"
        );
        assert!(charts.iter().all(|chart| chart.name != "nan"));
        for chart in charts {
            let text = svg(&chart.drawing, Setting::File);
            assert_eq!(well_formed(&text), Ok(()), "{}", chart.name);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
