//! What all charts have: a head that says what is shown, a legend, axes with their units, room for words at the right.

use super::axis::Axis;
use super::drawing::{Anchor, Dash, Drawing, Ink, Mark};
use super::face;

pub(super) const WIDTH: f32 = 680.0;
pub(super) const HEIGHT: f32 = 420.0;
const LEFT: f32 = 68.0;
const TOP: f32 = 126.0;
const BOTTOM: f32 = HEIGHT - 60.0;
pub(super) const SMALL: f32 = 14.0;
/// Distance of the base lines of words one below the other.
const LEADING: f32 = 17.0;

/// Opacity of the bars of a distribution.
pub(super) const BAR: f32 = 0.45;

/// What a legend shows a sample of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    Line(Ink, Dash),
    /// A line with a dot on it.
    Dotted(Ink),
    Band(Ink),
    Bar(Ink),
}

/// Words at the right edge of the plot, at the height of what they name.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) text: String,
    pub(super) y: f32,
    pub(super) ink: Ink,
    pub(super) bold: bool,
}

/// The parts of the plot that the frame leaves to the chart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) left: f32,
    pub(super) right: f32,
    pub(super) top: f32,
    pub(super) bottom: f32,
}

impl Room {
    /// With room for the widest of the words at the right.
    pub(super) fn beside(labels: &[(&str, bool)]) -> Self {
        let widest = labels
            .iter()
            .map(|(text, bold)| face::width(text, SMALL, *bold))
            .fold(0.0, f32::max);
        // The face of a page may be wider than ours.
        let margin = if widest > 0.0 {
            widest * 1.1 + 14.0
        } else {
            20.0
        };
        Self {
            left: LEFT,
            right: WIDTH - margin.clamp(20.0, 240.0),
            top: TOP,
            bottom: BOTTOM,
        }
    }
}

/// An empty drawing with its head.
pub(super) fn begin(title: &str, subtitle: &str, description: String) -> Drawing {
    let mut drawing = Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: title.to_owned(),
        description,
        marks: Vec::new(),
    };
    drawing.marks.push(Mark::Text {
        at: (20.0, 32.0),
        text: title.to_owned(),
        size: 18.0,
        bold: true,
        anchor: Anchor::Start,
        ink: Ink::Text,
    });
    let subtitle = fitted(subtitle, WIDTH - 40.0);
    drawing.text((20.0, 54.0), &subtitle, SMALL, Anchor::Start, Ink::Muted);
    drawing
}

/// As much of a text as has room, with a mark that some is missing.
fn fitted(text: &str, room: f32) -> String {
    if face::width(text, SMALL, false) <= room {
        return text.to_owned();
    }
    let mut shown = text.to_owned();
    while !shown.is_empty() && face::width(&shown, SMALL, false) > room - SMALL {
        shown.pop();
    }
    format!("{}\u{2026}", shown.trim_end())
}

/// The legend, in a row below the head.
pub(super) fn legend(drawing: &mut Drawing, entries: &[(Sample, &str)]) {
    let (mut x, y) = (20.0, 79.0);
    for (sample, text) in entries {
        let middle = y - 5.0;
        match sample {
            Sample::Line(ink, dash) => {
                drawing.line(vec![(x, middle), (x + 22.0, middle)], *ink, 2.0, *dash);
            }
            Sample::Dotted(ink) => {
                drawing.line(
                    vec![(x, middle), (x + 22.0, middle)],
                    *ink,
                    1.5,
                    Dash::Solid,
                );
                drawing.marks.push(Mark::Dot {
                    at: (x + 11.0, middle),
                    radius: 3.0,
                    ink: *ink,
                });
            }
            Sample::Band(ink) => drawing.rect((x, y - 10.0), (22.0, 12.0), *ink, 0.25),
            Sample::Bar(ink) => drawing.rect((x, y - 10.0), (22.0, 12.0), *ink, BAR),
        }
        drawing.text((x + 28.0, y), text, SMALL, Anchor::Start, Ink::Text);
        x += 28.0 + face::width(text, SMALL, false) * 1.06 + 22.0;
    }
}

/// Grid, ticks and names of both axes.
pub(super) fn axes(drawing: &mut Drawing, room: Room, x: (&Axis, &str), y: (&Axis, &str)) {
    for (value, text) in &y.0.ticks {
        let at = y.0.place(*value);
        let (ink, width) = if *value == 0.0 {
            (Ink::Muted, 1.0)
        } else {
            (Ink::Grid, 1.0)
        };
        drawing.line(
            vec![(room.left, at), (room.right, at)],
            ink,
            width,
            Dash::Solid,
        );
        drawing.text(
            (room.left - 8.0, at + 5.0),
            text,
            SMALL,
            Anchor::End,
            Ink::Muted,
        );
    }
    for (value, text) in &x.0.ticks {
        let at = x.0.place(*value);
        drawing.line(
            vec![(at, room.bottom), (at, room.bottom + 5.0)],
            Ink::Muted,
            1.0,
            Dash::Solid,
        );
        drawing.text(
            (at, room.bottom + 22.0),
            text,
            SMALL,
            Anchor::Middle,
            Ink::Muted,
        );
    }
    let middle = f32::midpoint(room.left, room.right);
    drawing.text(
        (middle, room.bottom + 46.0),
        x.1,
        SMALL,
        Anchor::Middle,
        Ink::Text,
    );
    drawing.text(
        (20.0, room.top - 22.0),
        y.1,
        SMALL,
        Anchor::Start,
        Ink::Text,
    );
}

/// Words at the right, moved apart where they would lie on each other.
pub(super) fn labels(drawing: &mut Drawing, room: Room, mut labels: Vec<Label>) {
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut places: Vec<f32> = labels.iter().map(|label| label.y).collect();
    for n in 1..places.len() {
        places[n] = places[n].max(places[n - 1] + LEADING);
    }
    // What was pushed below the plot pushes back upward.
    let mut limit = room.bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - LEADING;
    }
    for (label, y) in labels.into_iter().zip(places) {
        drawing.marks.push(Mark::Text {
            at: (room.right + 8.0, y + 5.0),
            text: label.text,
            size: SMALL,
            bold: label.bold,
            anchor: Anchor::Start,
            ink: label.ink,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_at_the_right_never_lie_on_each_other() {
        let room = Room::beside(&[("words", false)]);
        let label = |y| Label {
            text: "words".to_owned(),
            y,
            ink: Ink::Text,
            bold: false,
        };
        let mut drawing = begin("t", "s", String::new());
        let before = drawing.marks.len();
        let bottom = room.bottom;
        labels(
            &mut drawing,
            room,
            vec![
                label(bottom),
                label(bottom),
                label(bottom - 2.0),
                label(150.0),
            ],
        );
        let mut heights: Vec<f32> = drawing.marks[before..]
            .iter()
            .map(|mark| match mark {
                Mark::Text { at, .. } => at.1,
                _ => panic!("only words"),
            })
            .collect();
        heights.sort_by(f32::total_cmp);
        assert_eq!(heights[0], 155.0);
        assert!(
            heights
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= LEADING - 0.01)
        );
        assert!(heights[3] <= bottom + 5.01);
    }

    #[test]
    fn a_long_head_is_cut() {
        let long = "many words ".repeat(40);
        let cut = fitted(&long, 200.0);
        assert!(
            cut.starts_with("many words") && cut.ends_with('\u{2026}'),
            "{cut}"
        );
        assert!(face::width(&cut, SMALL, false) <= 200.0);
        assert_eq!(fitted("short", 200.0), "short");
    }

    #[test]
    fn words_find_room() {
        let narrow = Room::beside(&[]);
        let wide = Room::beside(&[("at most 0.32", false)]);
        assert!(wide.right < narrow.right);
        let words = face::width("at most 0.32", SMALL, false);
        assert!(wide.right + 8.0 + words < WIDTH);
    }
}
