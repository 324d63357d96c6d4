use super::*;

/// Whether a text is well-formed XML as far as this project writes it: tags nest, attributes are quoted, nothing is unescaped.
pub(crate) fn well_formed(xml: &str) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        text_is_fit(&rest[..start])?;
        let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let top = open
                .pop()
                .ok_or_else(|| format!("</{name}> closes nothing"))?;
            if top != name {
                return Err(format!("<{top}> is closed by </{name}>"));
            }
            continue;
        }
        let (body, empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |body| (body, true));
        let (name, attributes) = body.split_once(' ').unwrap_or((body, ""));
        attributes_are_fit(attributes)?;
        if !empty {
            open.push(name.to_owned());
        }
        if name == "style" {
            // Style sheets may hold what text may not, but no tag.
            let end = rest.find("</style>").ok_or("a style without an end")?;
            rest = &rest[end..];
        }
    }
    if open.is_empty() && rest.trim().is_empty() {
        Ok(())
    } else {
        Err(format!("left open: {open:?}, left over: {rest:?}"))
    }
}

fn text_is_fit(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|entity| text[at..].starts_with(entity)) {
            return Err(format!("a bare ampersand in {text:?}"));
        }
    }
    Ok(())
}

fn attributes_are_fit(mut rest: &str) -> Result<(), String> {
    let mut seen = Vec::new();
    while !rest.trim().is_empty() {
        let (name, after) = rest
            .split_once("=\"")
            .ok_or_else(|| format!("attribute {rest:?}"))?;
        let (value, after) = after
            .split_once('"')
            .ok_or_else(|| format!("value {after:?}"))?;
        let name = name.trim();
        if name.contains(' ') || seen.contains(&name) {
            return Err(format!("attribute {name:?}"));
        }
        seen.push(name);
        text_is_fit(value)?;
        rest = after;
    }
    Ok(())
}

fn drawing() -> Drawing {
    let mut drawing = Drawing {
        width: 100.0,
        height: 50.0,
        title: "a < b & \"c\"".to_owned(),
        description: "d > 'e'\u{1b}[2J".to_owned(),
        marks: Vec::new(),
    };
    drawing.line(
        vec![(0.0, 0.0), (10.006, -0.001)],
        Ink::First,
        1.5,
        Dash::Dashed,
    );
    drawing.rect((1.0, 2.0), (3.0, 4.0), Ink::Second, 0.25);
    drawing.text((1.0, 2.0), "<script>", 12.0, Anchor::End, Ink::Text);
    drawing.marks.push(Mark::Dot {
        at: (1.0, 1.0),
        radius: 2.0,
        ink: Ink::Third,
    });
    drawing.marks.push(Mark::Hint {
        at: (1.0, 1.0),
        size: (2.0, 3.0),
        text: "x & y".to_owned(),
    });
    drawing
}

#[test]
fn what_is_written_is_well_formed() {
    for setting in [Setting::File, Setting::Page] {
        let text = svg(&drawing(), setting);
        assert_eq!(well_formed(&text), Ok(()), "{text}");
        assert!(text.contains("&lt;script&gt;") && !text.contains('\u{1b}'));
        assert!(text.contains("M0 0L10.01 0\""), "{text}");
        assert_eq!(text.contains("<style>"), setting == Setting::File);
        assert_eq!(text.matches("<title>").count(), 2);
    }
}

#[test]
fn what_is_not_well_formed_is_noticed() {
    for text in [
        "<svg>",
        "</svg>",
        "<svg><g></svg></g>",
        "<svg a=b></svg>",
        "<svg a=\"1\" a=\"2\"/>",
        "<svg>a & b</svg>",
        "<svg a=\"&x\"/>",
        "<svg/>left",
    ] {
        assert!(well_formed(text).is_err(), "{text}");
    }
    assert_eq!(well_formed("<svg a=\"1\"><g/>a &amp; b</svg>\n"), Ok(()));
}

#[test]
fn a_file_brings_both_color_schemes() {
    let text = svg(&drawing(), Setting::File);
    assert!(text.contains("--first:#0060a0") && text.contains("prefers-color-scheme:dark"));
    assert!(text.contains("--first:#63b3ed"));
}
