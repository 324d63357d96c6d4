//! Writing what a command was asked for to stdout.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

/// Nobody reads stdout any more: the command ends in peace.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub(super) struct ReaderGone;

/// Writes lines at once.
pub(super) fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    bytes(text.as_bytes())
}

/// Writes one line.
pub(super) fn line(text: impl AsRef<str>) -> Result<()> {
    lines([text])
}

/// Writes bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => result.context("cannot write to stdout"),
    }
}

/// Text with its control characters escaped: what others sent must not move the cursor, or start a new line.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // The direction overrides reorder what stands beside them.
        if (c.is_control() && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(printable("a\tb ü"), "a\tb ü");
        assert_eq!(printable("a\nb"), "a\\u{a}b");
        assert_eq!(printable("\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(printable("\u{9b}2J\u{202e}x"), "\\u{9b}2J\\u{202e}x");
    }
}
