//! A figure over simulated time: its mean over the seeds, the interval as a band, what it must reach, and what happened when.

use super::axis::Axis;
use super::drawing::{Dash, Drawing, Ink, Mark};
use super::frame::{self, Label, Room, Sample};
use crate::sim::curves::Curve;
use crate::sim::numbers;
use crate::sim::stats::Estimate;
use crate::sim::words::Words;

/// Hints for more points than this would be too narrow to hit.
const MAX_HINTS: usize = 120;

/// A level that the curve is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) value: f64,
    pub(super) text: String,
    /// What must be reached, not only something to compare with.
    pub(super) bar: bool,
}

/// A moment at which something happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) at_s: f64,
    pub(super) text: String,
}

/// What stands around the curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) words: &'a Words,
    pub(super) subtitle: &'a str,
    pub(super) levels: &'a [Level],
    pub(super) moments: &'a [Moment],
    /// Only the second half, enlarged.
    pub(super) tail: bool,
}

/// The end of a curve is worth a chart of its own: it is compared with something, and varies so little that the whole does not show
/// it.
pub(super) fn has_flat_tail(curve: &Curve, levels: &[Level]) -> bool {
    let tail = second_half(&curve.points);
    if levels.is_empty() || curve.points.len() < 8 || tail.len() < 4 {
        return false;
    }
    let whole = extent(&curve.points, levels);
    let end = extent(tail, levels);
    let moves = end.1 > end.0;
    moves && (end.1 - end.0) < 0.25 * (whole.1 - whole.0.min(0.0))
}

fn second_half(points: &[(f64, Estimate)]) -> &[(f64, Estimate)] {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
        return points;
    };
    let middle = f64::midpoint(*first, *last);
    &points[points.partition_point(|(time, _)| *time < middle)..]
}

/// Least and most of what is drawn.
fn extent(points: &[(f64, Estimate)], levels: &[Level]) -> (f64, f64) {
    let ends = points.iter().flat_map(|(_, e)| [e.low, e.high]);
    let all = ends.chain(levels.iter().map(|level| level.value));
    all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// Draws a curve with at least one point.
pub(super) fn draw(curve: &Curve, around: Around<'_>) -> Drawing {
    let points = if around.tail {
        second_half(&curve.points)
    } else {
        &curve.points
    };
    let end = points
        .last()
        .map_or(f64::NAN, |(_, estimate)| estimate.mean);
    let title = if around.tail {
        format!("{}, second half", around.words.title)
    } else {
        around.words.title.clone()
    };
    let shown = around.words.unit.show(end);
    let mut right: Vec<(&str, bool)> = vec![(&shown, true)];
    right.extend(
        around
            .levels
            .iter()
            .map(|level| (level.text.as_str(), false)),
    );
    let room = Room::beside(&right);
    let times = (
        points.first().map_or(0.0, |(time, _)| *time),
        points.last().map_or(1.0, |(time, _)| *time),
    );
    let x = Axis::time(times, (room.left, room.right));
    let y = Axis::over(
        extent(points, around.levels),
        !around.tail,
        5,
        (room.bottom, room.top),
    );
    let description = format!(
        "{title} over simulated time: {} at the start, {shown} at the end ({}).",
        around
            .words
            .unit
            .show(points.first().map_or(f64::NAN, |(_, e)| e.mean)),
        numbers::count(curve.seeds, "seed")
    );
    let mut drawing = frame::begin(&title, around.subtitle, description);
    let mean = if curve.seeds > 1 {
        format!("mean of {}", numbers::count(curve.seeds, "seed"))
    } else {
        "one seed".to_owned()
    };
    let mut legend = vec![(Sample::Line(Ink::First, Dash::Solid), mean.as_str())];
    if curve.seeds > 1 {
        legend.push((Sample::Band(Ink::First), "95 % interval of the mean"));
    }
    if around.levels.iter().any(|level| level.bar) {
        legend.push((Sample::Line(Ink::Second, Dash::Dashed), "must reach"));
    }
    frame::legend(&mut drawing, &legend);
    let name = format!("simulated time ({})", x.unit);
    frame::axes(
        &mut drawing,
        room,
        (&x, &name),
        (&y, around.words.unit.axis()),
    );
    moments(&mut drawing, room, &x, around.moments);
    let mut labels = vec![Label {
        text: shown,
        y: y.place(end),
        ink: Ink::First,
        bold: true,
    }];
    for level in around.levels {
        let at = y.place(level.value);
        let (ink, dash) = if level.bar {
            (Ink::Second, Dash::Dashed)
        } else {
            (Ink::Muted, Dash::Dotted)
        };
        drawing.line(vec![(room.left, at), (room.right, at)], ink, 1.5, dash);
        labels.push(Label {
            text: level.text.clone(),
            y: at,
            ink,
            bold: false,
        });
    }
    figure(&mut drawing, points, curve.seeds, &x, &y);
    frame::labels(&mut drawing, room, labels);
    hints(&mut drawing, room, points, &x, around);
    drawing
}

fn figure(drawing: &mut Drawing, points: &[(f64, Estimate)], seeds: usize, x: &Axis, y: &Axis) {
    if seeds > 1 {
        let upper = points.iter().map(|(t, e)| (x.place(*t), y.place(e.high)));
        let lower = points.iter().map(|(t, e)| (x.place(*t), y.place(e.low)));
        drawing.marks.push(Mark::Area {
            points: upper.chain(lower.rev()).collect(),
            ink: Ink::First,
            opacity: 0.25,
        });
    }
    let line: Vec<(f32, f32)> = points
        .iter()
        .map(|(t, e)| (x.place(*t), y.place(e.mean)))
        .collect();
    if let Some(last) = line.last() {
        drawing.marks.push(Mark::Dot {
            at: *last,
            radius: 3.5,
            ink: Ink::First,
        });
    }
    drawing.line(line, Ink::First, 2.0, Dash::Solid);
}

fn moments(drawing: &mut Drawing, room: Room, x: &Axis, moments: &[Moment]) {
    for moment in moments.iter().filter(|moment| x.holds(moment.at_s)) {
        let at = x.place(moment.at_s);
        drawing.line(
            vec![(at, room.top), (at, room.bottom)],
            Ink::Third,
            1.0,
            Dash::Dashed,
        );
        // To the side where there is room.
        let (anchor, shift) = if at < f32::midpoint(room.left, room.right) {
            (super::drawing::Anchor::Start, 5.0)
        } else {
            (super::drawing::Anchor::End, -5.0)
        };
        drawing.text(
            (at + shift, room.top - 6.0),
            &moment.text,
            frame::SMALL,
            anchor,
            Ink::Third,
        );
    }
}

fn hints(
    drawing: &mut Drawing,
    room: Room,
    points: &[(f64, Estimate)],
    x: &Axis,
    around: Around<'_>,
) {
    let every = points.len().div_ceil(MAX_HINTS).max(1);
    let shown: Vec<_> = points.iter().step_by(every).collect();
    let width = (room.right - room.left) / shown.len().max(1) as f32;
    for (time, estimate) in shown {
        let unit = around.words.unit;
        let left = (x.place(*time) - width / 2.0).clamp(room.left, room.right);
        let right = (x.place(*time) + width / 2.0).clamp(room.left, room.right);
        drawing.marks.push(Mark::Hint {
            at: (left, room.top),
            size: (right - left, room.bottom - room.top),
            text: format!(
                "{}: {} ({} to {})",
                numbers::span(*time),
                unit.show(estimate.mean),
                numbers::figure(estimate.low),
                numbers::figure(estimate.high)
            ),
        });
    }
}
