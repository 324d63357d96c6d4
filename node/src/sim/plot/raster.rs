//! A drawing as pixels, on a light page.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash,
    Transform,
};

use super::drawing::{Anchor, Dash, Drawing, Ink, Mark};
use super::face;

/// Pixels in rows from the top, three bytes each: red, green, blue.
#[derive(Debug)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rgb: Vec<u8>,
}

/// Paints a drawing with `scale` pixels to a point; `None` when it has no size.
pub(super) fn paint(drawing: &Drawing, scale: f32) -> Option<Pixels> {
    let size = |points: f32| (points * scale).round() as u32;
    let (width, height) = (size(drawing.width), size(drawing.height));
    let mut canvas = Canvas {
        pixmap: Pixmap::new(width, height)?,
        transform: Transform::from_scale(scale, scale),
    };
    canvas.pixmap.fill(color(Ink::Ground, 1.0));
    for mark in &drawing.marks {
        canvas.mark(mark);
    }
    // The ground is opaque, and so is everything on it.
    let mut rgb = Vec::with_capacity(canvas.pixmap.data().len() / 4 * 3);
    for pixel in canvas.pixmap.data().chunks_exact(4) {
        rgb.extend_from_slice(&pixel[..3]);
    }
    Some(Pixels { width, height, rgb })
}

struct Canvas {
    pixmap: Pixmap,
    transform: Transform,
}

impl Canvas {
    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Line {
                points,
                ink,
                width,
                dash,
            } => self.line(points, *ink, *width, *dash),
            Mark::Area {
                points,
                ink,
                opacity,
            } => self.fill(path(points, true), *ink, *opacity),
            Mark::Dot { at, radius, ink } => {
                self.fill(PathBuilder::from_circle(at.0, at.1, *radius), *ink, 1.0);
            }
            Mark::Text {
                at: (x, y),
                text,
                size,
                bold,
                anchor,
                ink,
            } => {
                let width = face::width(text, *size, *bold);
                let x = match anchor {
                    Anchor::Start => *x,
                    Anchor::Middle => x - width / 2.0,
                    Anchor::End => x - width,
                };
                self.fill(face::outline(text, *size, *bold, (x, *y)), *ink, 1.0);
            }
            Mark::Hint { .. } => {}
        }
    }

    fn fill(&mut self, path: Option<Path>, ink: Ink, opacity: f32) {
        if let Some(path) = path {
            let paint = paint_of(ink, opacity);
            self.pixmap
                .fill_path(&path, &paint, FillRule::Winding, self.transform, None);
        }
    }

    fn line(&mut self, points: &[(f32, f32)], ink: Ink, width: f32, dash: Dash) {
        let Some(path) = path(points, false) else {
            return;
        };
        let stroke = Stroke {
            width,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: dash
                .pattern()
                .and_then(|(on, off)| StrokeDash::new(vec![on, off], 0.0)),
            ..Stroke::default()
        };
        self.pixmap
            .stroke_path(&path, &paint_of(ink, 1.0), &stroke, self.transform, None);
    }
}

fn path(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (n, (x, y)) in points.iter().enumerate() {
        if n == 0 {
            builder.move_to(*x, *y);
        } else {
            builder.line_to(*x, *y);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn paint_of(ink: Ink, opacity: f32) -> Paint<'static> {
    let mut paint = Paint {
        anti_alias: true,
        ..Paint::default()
    };
    paint.set_color(color(ink, opacity));
    paint
}

fn color(ink: Ink, opacity: f32) -> Color {
    let [_, red, green, blue] = ink.colors().1.to_be_bytes();
    let mut color = Color::from_rgba8(red, green, blue, 255);
    color.set_alpha(opacity);
    color
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pixels: &Pixels, x: u32, y: u32) -> u32 {
        let start = ((y * pixels.width + x) * 3) as usize;
        pixels.rgb[start..start + 3]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }

    #[test]
    fn marks_are_where_they_should_be() {
        let mut drawing = Drawing {
            width: 40.0,
            height: 20.0,
            title: String::new(),
            description: String::new(),
            marks: Vec::new(),
        };
        drawing.rect((0.0, 0.0), (10.0, 20.0), Ink::First, 1.0);
        drawing.line(
            vec![(20.0, 10.0), (40.0, 10.0)],
            Ink::Second,
            4.0,
            Dash::Solid,
        );
        let pixels = paint(&drawing, 2.0).unwrap();
        assert_eq!((pixels.width, pixels.height), (80, 40));
        assert_eq!(pixels.rgb.len(), 80 * 40 * 3);
        assert_eq!(at(&pixels, 10, 10), Ink::First.colors().1);
        assert_eq!(at(&pixels, 60, 20), Ink::Second.colors().1);
        assert_eq!(at(&pixels, 30, 20), Ink::Ground.colors().1);
        assert_eq!(at(&pixels, 60, 35), Ink::Ground.colors().1);
    }

    #[test]
    fn nothing_cannot_be_painted() {
        let drawing = Drawing {
            width: 0.0,
            height: 20.0,
            title: String::new(),
            description: String::new(),
            marks: Vec::new(),
        };
        assert!(paint(&drawing, 2.0).is_none());
    }
}
