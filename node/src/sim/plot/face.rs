//! The type face of drawings: how wide words are, and the outlines of their letters.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

fn face(bold: bool) -> Option<&'static Face<'static>> {
    static FACES: OnceLock<[Option<Face<'static>>; 2]> = OnceLock::new();
    let faces = FACES.get_or_init(|| {
        [ttf_noto_sans::REGULAR, ttf_noto_sans::BOLD].map(|bytes| Face::parse(bytes, 0).ok())
    });
    faces[usize::from(bold)].as_ref()
}

/// Where each letter of a text begins, and where the text ends.
fn places(face: &Face<'_>, text: &str, size: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let scale = size / f32::from(face.units_per_em());
    let mut at = 0.0;
    let letters = text
        .chars()
        .map(|c| {
            let glyph = face.glyph_index(c).unwrap_or(GlyphId(0));
            let place = (glyph, at);
            at += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
            place
        })
        .collect();
    (letters, at)
}

/// The width of a text.
pub(super) fn width(text: &str, size: f32, bold: bool) -> f32 {
    // Without the face, letters of an average width.
    face(bold).map_or_else(
        || text.chars().count() as f32 * size * 0.55,
        |face| places(face, text, size).1,
    )
}

/// The outlines of a text that begins at `at` on its base line.
pub(super) fn outline(
    text: &str,
    size: f32,
    bold: bool,
    at: (f32, f32),
) -> Option<tiny_skia::Path> {
    let face = face(bold)?;
    let mut pen = Pen {
        path: tiny_skia::PathBuilder::new(),
        scale: size / f32::from(face.units_per_em()),
        origin: at,
    };
    for (glyph, x) in places(face, text, size).0 {
        pen.origin.0 = at.0 + x;
        face.outline_glyph(glyph, &mut pen);
    }
    pen.path.finish()
}

struct Pen {
    path: tiny_skia::PathBuilder,
    scale: f32,
    origin: (f32, f32),
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (
            self.origin.0 + x * self.scale,
            self.origin.1 - y * self.scale,
        )
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_words_are_wider_and_bold_ones_more() {
        assert!(face(false).is_some() && face(true).is_some());
        assert!(width("share", 12.0, false) > width("out", 12.0, false));
        assert!(width("share", 12.0, true) > width("share", 12.0, false));
        assert!((width("nn", 20.0, false) - 2.0 * width("n", 20.0, false)).abs() < 1e-3);
        assert_eq!(width("", 12.0, false), 0.0);
    }

    #[test]
    fn letters_stand_on_their_base_line() {
        let path = outline("H", 100.0, false, (10.0, 200.0)).unwrap();
        let bounds = path.bounds();
        assert!((bounds.bottom() - 200.0).abs() < 0.5, "{bounds:?}");
        assert!((60.0..80.0).contains(&bounds.height()), "{bounds:?}");
        assert!(bounds.left() > 10.0 && bounds.right() < 10.0 + width("H", 100.0, false));
        assert!(outline(" ", 100.0, false, (0.0, 0.0)).is_none());
    }
}
