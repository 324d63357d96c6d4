//! `config.toml` into values, with the line of each; and what is wrong with its keys.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{SECTIONS, SETTINGS, Setting, Value};
use super::{Origin, Problem};

/// Longest file that is read, bytes; a real one has a few thousand.
const MAX_LEN: usize = 1 << 20;

/// A value of the file.
pub(super) struct Found {
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
    pub(super) line: usize,
}

/// All known settings in the file and everything wrong with its form.
pub(super) fn read(path: &Path, text: &[u8]) -> (Vec<Found>, Vec<Problem>) {
    let whole = |line, what: String| Problem {
        origin: Origin::file(path, line),
        key: String::new(),
        what,
    };
    if text.len() > MAX_LEN {
        let what = format!(
            "the file is longer than 1 MiB ({} bytes): is it the right one?",
            text.len()
        );
        return (Vec::new(), vec![whole(0, what)]);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let line = line_at(text, error.valid_up_to());
            let what = "the file is not UTF-8 text: remove the character".to_owned();
            return (Vec::new(), vec![whole(line, what)]);
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // After a mistake of form the rest may be misread, so it is not looked at.
        let problems = errors.iter().map(|error| {
            let line = error
                .span()
                .map_or(0, |span| line_at(text.as_bytes(), span.start));
            whole(line, format!("this is not TOML: {}", error.message()))
        });
        return (Vec::new(), problems.collect());
    }
    let mut walk = Walk {
        path,
        text,
        found: Vec::new(),
        problems: Vec::new(),
    };
    walk.table("", table.get_ref());
    (walk.found, walk.problems)
}

/// The line, from 1, of a byte position.
fn line_at(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    found: Vec<Found>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let line = line_at(self.text.as_bytes(), key.span().start);
            let name: &str = key.get_ref();
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.section == section && setting.name == name);
            if let Some(setting) = setting {
                self.found.push(Found {
                    setting,
                    value: value_of(value),
                    line,
                });
                continue;
            }
            let known_section =
                section.is_empty() && SECTIONS.iter().any(|(known, _)| *known == name);
            match value.get_ref() {
                DeValue::Table(inner) if known_section => self.table(name, inner),
                _ => self.unknown(section, name, known_section, line),
            }
        }
    }

    fn unknown(&mut self, section: &str, name: &str, known_section: bool, line: usize) {
        let what = if known_section {
            format!("it is a section: write `[{name}]` and its keys below")
        } else {
            unknown(section, name)
        };
        let key = match section {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        };
        self.problems.push(Problem {
            origin: Origin::file(self.path, line),
            key,
            what,
        });
    }
}

/// What to say about a key that does not exist: what was probably meant, else what there is.
fn unknown(section: &str, name: &str) -> String {
    let moved = SETTINGS
        .iter()
        .find(|setting| setting.name == name && setting.section != section);
    if let Some(setting) = moved {
        let place = match setting.section {
            "" => "the top of the file, before the first `[section]`".to_owned(),
            section => format!("the section `[{section}]`"),
        };
        return format!("unknown key here: it belongs in {place}");
    }
    let mut names: Vec<&str> = SETTINGS
        .iter()
        .filter(|setting| setting.section == section)
        .map(|setting| setting.name)
        .collect();
    if section.is_empty() {
        names.extend(
            SECTIONS
                .iter()
                .map(|(section, _)| *section)
                .filter(|s| !s.is_empty()),
        );
    }
    let near = names
        .iter()
        .map(|known| (distance(known, name), *known))
        .min();
    match near {
        Some((far, known)) if far * 3 <= known.len() || (far <= 2 && far * 2 <= known.len()) => {
            format!("unknown key: did you mean `{known}`?")
        }
        _ => format!("unknown key: there are {}", names.join(", ")),
    }
}

/// Levenshtein distance: how many characters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn value_of(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number that is too large"), Value::Number),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().map_or(
                Value::Other("a list with something else in it"),
                Value::List,
            )
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(_) => Value::Other("a truth value"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a section"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, far) in [
            ("", "", 0),
            ("seeds", "seeds", 0),
            ("seeds", "seed", 1),
            ("seeds", "sedes", 2),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
            assert_eq!(distance(b, a), far, "{b} {a}");
        }
    }
}
