//! A drawing as SVG, alone in a file or inside a page.

use std::fmt::Write as _;

use super::drawing::{Anchor, Dash, Drawing, Ink, Mark};

/// Where the SVG stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// A file of its own, with its colors.
    File,
    /// Inside a page that has [`style`] and [`colors`].
    Page,
}

/// What the classes of a drawing look like; the variables are those of [`colors`].
pub(crate) fn style() -> String {
    let mut css = String::from(
        ".plot text{font-family:\"Noto Sans\",\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}\
         .plot .b{font-weight:600}.plot .l{fill:none;stroke-linejoin:round}.plot .h{fill:transparent}\
         .plot .h:hover{fill:var(--text);fill-opacity:.07}",
    );
    for ink in Ink::ALL {
        let name = ink.colors().0;
        let _ = write!(
            css,
            ".plot .f-{name}{{fill:var(--{name})}}.plot .s-{name}{{stroke:var(--{name})}}"
        );
    }
    css
}

/// The colors of a light page or of a dark one as CSS variables.
pub(crate) fn colors(dark: bool) -> String {
    let mut css = String::new();
    for ink in Ink::ALL {
        let (name, on_light, on_dark) = ink.colors();
        let color = if dark { on_dark } else { on_light };
        let _ = write!(css, "--{name}:#{color:06x};");
    }
    css
}

/// The text of an SVG element.
pub(crate) fn svg(drawing: &Drawing, setting: Setting) -> String {
    let mut out = String::new();
    let (width, height) = (number(drawing.width), number(drawing.height));
    let size = match setting {
        Setting::File => format!(" width=\"{width}\" height=\"{height}\""),
        Setting::Page => String::new(),
    };
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {width} {height}\"{size} role=\"img\">\n\
         <title>{}</title>\n<desc>{}</desc>\n",
        escape(&drawing.title),
        escape(&drawing.description)
    );
    if setting == Setting::File {
        let _ = write!(
            out,
            "<style>svg{{{}}}@media(prefers-color-scheme:dark){{svg{{{}}}}}{}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" {}/>\n",
            colors(false),
            colors(true),
            style(),
            fill(Ink::Ground, "")
        );
    }
    for mark in &drawing.marks {
        write_mark(&mut out, mark);
    }
    out.push_str("</svg>\n");
    out
}

fn write_mark(out: &mut String, mark: &Mark) {
    // Writing into a string does not fail.
    let _ = match mark {
        Mark::Line {
            points,
            ink,
            width,
            dash,
        } => writeln!(
            out,
            "<path d=\"{}\" {} stroke-width=\"{}\"{}/>",
            path(points),
            stroke(*ink),
            number(*width),
            dashes(*dash)
        ),
        Mark::Area {
            points,
            ink,
            opacity,
        } => writeln!(
            out,
            "<path d=\"{}Z\" {}{}/>",
            path(points),
            fill(*ink, ""),
            if *opacity < 1.0 {
                format!(" fill-opacity=\"{}\"", number(*opacity))
            } else {
                String::new()
            }
        ),
        Mark::Dot { at, radius, ink } => writeln!(
            out,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}/>",
            number(at.0),
            number(at.1),
            number(*radius),
            fill(*ink, "")
        ),
        Mark::Text {
            at,
            text,
            size,
            bold,
            anchor,
            ink,
        } => writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{} {}>{}</text>",
            number(at.0),
            number(at.1),
            number(*size),
            match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            },
            fill(*ink, if *bold { " b" } else { "" }),
            escape(text)
        ),
        Mark::Hint { at, size, text } => writeln!(
            out,
            "<rect class=\"h\" fill-opacity=\"0\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            number(at.0),
            number(at.1),
            number(size.0),
            number(size.1),
            escape(text)
        ),
    };
}

/// The class sets the color of the page; the attribute is for viewers that know no variables.
fn fill(ink: Ink, more: &str) -> String {
    let (name, light, _) = ink.colors();
    format!("class=\"f-{name}{more}\" fill=\"#{light:06x}\"")
}

fn stroke(ink: Ink) -> String {
    let (name, light, _) = ink.colors();
    format!("class=\"l s-{name}\" fill=\"none\" stroke=\"#{light:06x}\"")
}

fn dashes(dash: Dash) -> String {
    dash.pattern().map_or_else(String::new, |(on, off)| {
        format!(" stroke-dasharray=\"{} {}\"", number(on), number(off))
    })
}

fn path(points: &[(f32, f32)]) -> String {
    let mut text = String::new();
    for (n, (x, y)) in points.iter().enumerate() {
        text.push(if n == 0 { 'M' } else { 'L' });
        let _ = write!(text, "{} {}", number(*x), number(*y));
    }
    text
}

/// A coordinate: two decimals are finer than any screen.
fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// Text for XML and HTML, inside an element or a quoted attribute. Control characters have no place in either.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
pub(crate) mod tests;
