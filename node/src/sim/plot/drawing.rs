//! What is drawn, before anybody knows on what.

/// What something is drawn in: a role, whose color depends on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Ground,
    Text,
    Muted,
    Grid,
    /// The figure itself.
    First,
    /// What it is compared with.
    Second,
    /// A third voice: moments when something happens.
    Third,
}

impl Ink {
    /// All of them, for style sheets.
    pub(crate) const ALL: [Self; 7] = [
        Self::Ground,
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::First,
        Self::Second,
        Self::Third,
    ];

    /// Name, color on a light page, color on a dark page. Blue, vermilion and green differ in lightness too, so that who confuses
    /// colors tells them apart.
    pub(crate) const fn colors(self) -> (&'static str, u32, u32) {
        match self {
            Self::Ground => ("ground", 0xff_ff_ff, 0x15_19_20),
            Self::Text => ("text", 0x1b_20_2b, 0xe9_ec_f1),
            Self::Muted => ("muted", 0x5a_64_73, 0xa0_aa_b9),
            Self::Grid => ("grid", 0xe3_e7_ec, 0x2c_33_3e),
            Self::First => ("first", 0x00_60_a0, 0x63_b3_ed),
            Self::Second => ("second", 0xc0_4a_00, 0xf2_94_50),
            Self::Third => ("third", 0x00_76_5a, 0x45_c4_9d),
        }
    }
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
}

impl Dash {
    /// Lengths of dash and gap; `None` = unbroken.
    pub(crate) fn pattern(self) -> Option<(f32, f32)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((6.0, 4.0)),
            Self::Dotted => Some((1.5, 3.5)),
        }
    }
}

/// Which end of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One thing on a drawing. Lengths are in points of the drawing, y grows downward.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    Line {
        points: Vec<(f32, f32)>,
        ink: Ink,
        width: f32,
        dash: Dash,
    },
    /// A closed, filled area.
    Area {
        points: Vec<(f32, f32)>,
        ink: Ink,
        opacity: f32,
    },
    Dot {
        at: (f32, f32),
        radius: f32,
        ink: Ink,
    },
    Text {
        /// The base line.
        at: (f32, f32),
        text: String,
        size: f32,
        bold: bool,
        anchor: Anchor,
        ink: Ink,
    },
    /// An area that shows nothing but says something to whoever points at it, where that is possible.
    Hint {
        at: (f32, f32),
        size: (f32, f32),
        text: String,
    },
}

/// A drawing with its size, and what it shows in a sentence for those who cannot see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) marks: Vec<Mark>,
}

impl Drawing {
    pub(crate) fn line(&mut self, points: Vec<(f32, f32)>, ink: Ink, width: f32, dash: Dash) {
        if points.len() > 1 {
            self.marks.push(Mark::Line {
                points,
                ink,
                width,
                dash,
            });
        }
    }

    pub(crate) fn rect(&mut self, (x, y): (f32, f32), (w, h): (f32, f32), ink: Ink, opacity: f32) {
        self.marks.push(Mark::Area {
            points: vec![(x, y), (x + w, y), (x + w, y + h), (x, y + h)],
            ink,
            opacity,
        });
    }

    pub(crate) fn text(&mut self, at: (f32, f32), text: &str, size: f32, anchor: Anchor, ink: Ink) {
        self.marks.push(Mark::Text {
            at,
            text: text.to_owned(),
            size,
            bold: false,
            anchor,
            ink,
        });
    }
}
