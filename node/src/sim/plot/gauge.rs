//! A small drawing beside a number: where it lies, how sure it is, and what is allowed.

use super::axis::Axis;
use super::drawing::{Anchor, Dash, Drawing, Ink, Mark};
use crate::sim::numbers;
use crate::sim::summary::Verdict;

const WIDTH: f32 = 300.0;
const HEIGHT: f32 = 58.0;
const EDGE: f32 = 24.0;
const LINE: f32 = 30.0;

/// Draws a verdict; `None` when nothing was measured.
pub(crate) fn gauge(verdict: &Verdict) -> Option<Drawing> {
    let figure = verdict.figure?;
    let estimate = figure.estimate;
    let limits = [verdict.least, verdict.most];
    let values = limits
        .into_iter()
        .flatten()
        .chain([estimate.low, estimate.high]);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    // Room around, so that what is at a limit is not at the edge.
    let around = (high - low).max(high.abs() * 0.1) * 0.35;
    let low = if low >= 0.0 {
        (low - around).max(0.0)
    } else {
        low - around
    };
    let high = high + if around > 0.0 { around } else { 1.0 };
    let x = Axis::exact((low, high), (EDGE, WIDTH - EDGE));
    let mut drawing = Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: format!("{} {}", verdict.metric, numbers::figure(estimate.mean)),
        description: format!("must reach: {}", verdict.must()),
        marks: Vec::new(),
    };
    let allowed = (
        x.place(verdict.least.unwrap_or(f64::NEG_INFINITY)),
        x.place(verdict.most.unwrap_or(f64::INFINITY)),
    );
    drawing.rect(
        (EDGE, LINE - 5.0),
        (WIDTH - 2.0 * EDGE, 10.0),
        Ink::Grid,
        1.0,
    );
    drawing.rect(
        (allowed.0, LINE - 5.0),
        ((allowed.1 - allowed.0).max(2.0), 10.0),
        Ink::Third,
        0.3,
    );
    for limit in limits.into_iter().flatten() {
        let at = x.place(limit);
        drawing.line(
            vec![(at, LINE - 10.0), (at, LINE + 10.0)],
            Ink::Third,
            2.0,
            Dash::Solid,
        );
        drawing.text(
            (at, LINE + 24.0),
            &numbers::figure(limit),
            11.0,
            Anchor::Middle,
            Ink::Third,
        );
    }
    let (left, right) = (x.place(estimate.low), x.place(estimate.high));
    drawing.line(
        vec![(left, LINE), (right, LINE)],
        Ink::First,
        3.0,
        Dash::Solid,
    );
    let at = x.place(estimate.mean);
    drawing.marks.push(Mark::Dot {
        at: (at, LINE),
        radius: 5.0,
        ink: Ink::First,
    });
    drawing.marks.push(Mark::Text {
        at: (at, LINE - 13.0),
        text: numbers::figure(estimate.mean),
        size: 11.0,
        bold: true,
        anchor: Anchor::Middle,
        ink: Ink::First,
    });
    Some(drawing)
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::well_formed;
    use super::super::{Setting, svg};
    use super::*;
    use crate::sim::summary::Figure;

    #[test]
    fn a_gauge_shows_the_figure_and_its_limits() {
        for (limits, values) in [
            ((None, Some(0.32)), vec![0.30, 0.31]),
            ((Some(0.9), Some(1.1)), vec![1.0]),
            ((None, Some(0.0)), vec![0.0, 0.0]),
            ((Some(8.0), None), vec![5.0]),
            ((None, Some(2000.0)), vec![1e7, 2e7]),
        ] {
            let verdict = Verdict::new("share", limits, Figure::of(values));
            let text = svg(&gauge(&verdict).unwrap(), Setting::Page);
            assert_eq!(well_formed(&text), Ok(()));
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            for limit in [limits.0, limits.1].into_iter().flatten() {
                assert!(
                    text.contains(&format!(">{}<", numbers::figure(limit))),
                    "{text}"
                );
            }
        }
        assert!(gauge(&Verdict::new("share", (None, Some(0.1)), None)).is_none());
    }
}
