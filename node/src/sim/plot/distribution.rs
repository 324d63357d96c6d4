//! How many nodes have which value: bars with their interval, and for an in-degree what fair draws would give.

use super::axis::Axis;
use super::drawing::{Anchor, Dash, Drawing, Ink, Mark};
use super::frame::{self, Room, Sample};
use crate::sim::curves::{Bin, Distribution};
use crate::sim::numbers;
use crate::sim::words::{Unit, Words};

/// Draws a distribution with at least one bin.
pub(super) fn draw(distribution: &Distribution, words: &Words, subtitle: &str) -> Drawing {
    let room = Room::beside(&[]);
    let bins = &distribution.bins;
    let width = distribution.width as f64;
    let first = bins.first().map_or(0.0, |bin| bin.from as f64);
    let last = bins.last().map_or(0.0, |bin| bin.from as f64) + width;
    // Bars of single values stand over their value, wider ones reach from their first value to the next bar's.
    let shift = if distribution.width == 1 { 0.5 } else { 0.0 };
    let x = values_axis(first - shift, last - shift, room);
    let top = bins
        .iter()
        .flat_map(|bin| [bin.fraction.high, bin.binomial.unwrap_or(0.0)])
        .fold(0.0, f64::max);
    let y = Axis::over((0.0, top), true, 5, (room.bottom, room.top));
    let description = format!(
        "Distribution of {}: from {} to {}, {} on average.",
        words.title.to_lowercase(),
        first,
        last - 1.0,
        numbers::figure(distribution.mean)
    );
    let mut drawing = frame::begin(&words.title, subtitle, description);
    let fair = bins.iter().any(|bin| bin.binomial.is_some());
    let many = distribution.seeds > 1;
    let mean = format!("mean of {}", numbers::count(distribution.seeds, "seed"));
    let mut legend = vec![(
        Sample::Bar(Ink::First),
        if many { &mean } else { "one seed" },
    )];
    if many {
        legend.push((Sample::Line(Ink::Text, Dash::Solid), "95 % interval"));
    }
    if fair {
        legend.push((
            Sample::Dotted(Ink::Second),
            "binomial: independent fair draws",
        ));
    }
    frame::legend(&mut drawing, &legend);
    let of_what = match words.unit {
        Unit::Milliseconds => "fraction of the deliveries",
        _ => "fraction of the nodes",
    };
    frame::axes(
        &mut drawing,
        room,
        (&x, &words.title.to_lowercase()),
        (&y, of_what),
    );
    for bin in bins {
        bar(&mut drawing, bin, width, shift, many, &x, &y);
    }
    if fair {
        binomial(&mut drawing, bins, width / 2.0 - shift, &x, &y);
    }
    average(&mut drawing, room, distribution.mean, &x);
    for bin in bins {
        hint(&mut drawing, room, bin, distribution.width, shift, &x);
    }
    drawing
}

/// An axis that ends where the bars end, with ticks at whole values.
fn values_axis(low: f64, high: f64, room: Room) -> Axis {
    let ticks = if high - low < 10.0 {
        (high - low).max(1.0) as usize
    } else {
        8
    };
    let mut axis = Axis::over((low, high), false, ticks, (room.left, room.right));
    axis.ticks.retain(|(value, _)| value.fract() == 0.0);
    axis
}

fn bar(
    drawing: &mut Drawing,
    bin: &Bin,
    width: f64,
    shift: f64,
    interval: bool,
    x: &Axis,
    y: &Axis,
) {
    let left = x.place(bin.from as f64 - shift);
    let right = x.place(bin.from as f64 + width - shift);
    // A gap between bars, but never more than a third of one.
    let gap = ((right - left) / 3.0).min(2.0);
    let top = y.place(bin.fraction.mean);
    drawing.rect(
        (left + gap / 2.0, top),
        (right - left - gap, y.place(0.0) - top),
        Ink::First,
        frame::BAR,
    );
    if interval && bin.fraction.high > bin.fraction.low {
        let middle = f32::midpoint(left, right);
        drawing.line(
            vec![
                (middle, y.place(bin.fraction.low)),
                (middle, y.place(bin.fraction.high)),
            ],
            Ink::Text,
            1.25,
            Dash::Solid,
        );
    }
}

fn binomial(drawing: &mut Drawing, bins: &[Bin], middle: f64, x: &Axis, y: &Axis) {
    let points: Vec<(f32, f32)> = bins
        .iter()
        .filter_map(|bin| Some((x.place(bin.from as f64 + middle), y.place(bin.binomial?))))
        .collect();
    for at in &points {
        drawing.marks.push(Mark::Dot {
            at: *at,
            radius: 2.5,
            ink: Ink::Second,
        });
    }
    drawing.line(points, Ink::Second, 1.5, Dash::Solid);
}

fn average(drawing: &mut Drawing, room: Room, mean: f64, x: &Axis) {
    let at = x.place(mean);
    drawing.line(
        vec![(at, room.top), (at, room.bottom)],
        Ink::Muted,
        1.0,
        Dash::Dotted,
    );
    let (anchor, shift) = if at < f32::midpoint(room.left, room.right) {
        (Anchor::Start, 5.0)
    } else {
        (Anchor::End, -5.0)
    };
    let text = format!("mean {}", numbers::figure(mean));
    drawing.text(
        (at + shift, room.top - 6.0),
        &text,
        frame::SMALL,
        anchor,
        Ink::Muted,
    );
}

fn hint(drawing: &mut Drawing, room: Room, bin: &Bin, width: u64, shift: f64, x: &Axis) {
    let values = if width == 1 {
        bin.from.to_string()
    } else {
        format!("{} to {}", bin.from, bin.from + (width - 1))
    };
    let fair = bin.binomial.map_or_else(String::new, |binomial| {
        format!(", binomial {}", numbers::figure(binomial))
    });
    let left = x.place(bin.from as f64 - shift);
    let right = x.place(bin.from as f64 + width as f64 - shift);
    drawing.marks.push(Mark::Hint {
        at: (left, room.top),
        size: (right - left, room.bottom - room.top),
        text: format!(
            "{values}: {} of the nodes ({} to {}){fair}",
            numbers::figure(bin.fraction.mean),
            numbers::figure(bin.fraction.low),
            numbers::figure(bin.fraction.high)
        ),
    });
}
