//! Reading server-sent events from the bytes of a response.

use overlay::messages::MAX_PAYLOAD;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Its kind; empty = the usual one.
    pub(super) event: String,
    /// Its lines of data, joined.
    pub(super) data: String,
}

/// Cuts a stream of bytes into events. The peer is our own node; still, a line may not grow without end.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    line: Vec<u8>,
    event: SseEvent,
    filled: bool,
}

/// Longest line taken, bytes: the longest payload there can be, in base64, and what goes with it.
const MAX_LINE: usize = MAX_PAYLOAD / 3 * 4 + 64 * 1024;

impl SseReader {
    /// Takes bytes in and gives each event they complete to `each`; stops at its first error.
    pub(super) fn read<E: From<LineTooLong>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(SseEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() == MAX_LINE {
                    return Err(LineTooLong.into());
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            if line.is_empty() {
                if std::mem::take(&mut self.filled) {
                    each(std::mem::take(&mut self.event))?;
                }
                self.event = SseEvent::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if self.filled {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                    self.filled = true;
                }
                "event" => value.clone_into(&mut self.event.event),
                _ => {} // comments that keep the connection alive, ids (they are in the data too)
            }
        }
        Ok(())
    }
}

/// The node sent a line longer than any event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node sent a line longer than {MAX_LINE} bytes")]
pub(super) struct LineTooLong;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&str]) -> Result<Vec<(String, String)>, LineTooLong> {
        let (mut reader, mut events) = (SseReader::default(), Vec::new());
        for chunk in chunks {
            reader.read(chunk.as_bytes(), |event| {
                events.push((event.event, event.data));
                Ok::<_, LineTooLong>(())
            })?;
        }
        Ok(events)
    }

    #[test]
    fn events_come_out_however_the_bytes_are_cut() {
        let text = ": hi\n\nid: 7\ndata: {\"a\":1}\n\nevent: lagged\r\ndata:x\r\ndata: y\r\n\r\ndata: unfinished";
        let want = vec![
            (String::new(), "{\"a\":1}".to_owned()),
            ("lagged".to_owned(), "x\ny".to_owned()),
        ];
        assert_eq!(all(&[text]).unwrap(), want);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(
            all(&bytes.iter().map(String::as_str).collect::<Vec<_>>()).unwrap(),
            want
        );
    }

    #[test]
    fn a_line_does_not_grow_without_end() {
        assert!(all(&["data: ", &"x".repeat(MAX_LINE - 6)]).is_ok());
        assert_eq!(
            all(&["data: ", &"x".repeat(MAX_LINE - 5)]),
            Err(LineTooLong)
        );
    }
}
