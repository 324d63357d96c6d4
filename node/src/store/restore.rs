//! Reading back what a node knew when it stopped.

use crypto::{BadKey, KeyCache, MessageId, PeerId};
use overlay::peers::ArchiveEntry;
use overlay::{Restored, RestoredMessage};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::error::Fault;
use super::file::Totals;
use super::rows::{self, BadRow, Head};
use super::schema::{self, ANCHORS, ARCHIVE, BANS, DECIDED, EVIDENCE, HEADS, bad, name};

/// Authors whose keys are remembered while reading; beyond that a key is merely checked again (30 us).
const KEYS: usize = 16_384;

fn bad_key(_: BadKey) -> BadRow {
    BadRow("it names a key that is not acceptable")
}

/// Everything, without the payloads; rows below the low edge that are not yet swept out are left out.
pub(super) fn restore(db: &Database) -> Result<(Restored, Totals), Fault> {
    let read = db.begin_read()?;
    let number =
        |name| -> Result<u64, Fault> { Ok(schema::number(&read, name)?.unwrap_or_default()) };
    let mut restored = Restored {
        next_cursor: number(name::NEXT_CURSOR)?,
        next_seq: number(name::NEXT_SEQ)?,
        record_version: number(name::RECORD_VERSION)?,
        low_edge_ms: number(name::LOW_EDGE)?,
        ..Restored::default()
    };
    let mut keys = KeyCache::new(KEYS);
    let mut totals = Totals {
        low_edge_ms: restored.low_edge_ms,
        swept: true,
        evidence: read.open_table(EVIDENCE)?.len()?,
        ..Totals::default()
    };
    for item in read.open_table(HEADS)?.iter()? {
        let (cursor, row) = item?;
        let head = Head::decode(row.value()).map_err(bad("heads"))?;
        totals.messages += 1;
        totals.bytes += u64::from(head.bytes);
        totals.log_end = cursor.value().saturating_add(u64::from(head.entries));
        if head.published_unix_ms < restored.low_edge_ms {
            totals.swept = false;
            continue;
        }
        restored.messages.push(RestoredMessage {
            id: MessageId::from_bytes(head.id),
            author: keys
                .check(&head.author)
                .map_err(bad_key)
                .map_err(bad("heads"))?,
            seq: head.seq,
            published_unix_ms: head.published_unix_ms,
            bytes: head.bytes,
            first_cursor: cursor.value(),
            entries: head.entries,
            equivocation: head.equivocation,
        });
    }
    // A cursor in use is never given out again, whatever the reservation says.
    restored.next_cursor = restored.next_cursor.max(totals.log_end);
    for item in read.open_table(DECIDED)?.iter()? {
        let key = item?.0;
        let (date, id) = key.value();
        if date < restored.low_edge_ms {
            totals.swept = false;
        } else {
            restored.decided.push((MessageId::from_bytes(*id), date));
        }
    }
    let peer = |bytes: &[u8; 32], table| {
        PeerId::from_bytes(bytes)
            .map_err(bad_key)
            .map_err(bad(table))
    };
    for item in read.open_table(ARCHIVE)?.iter()? {
        let (key, row) = item?;
        let (addr, proven_unix_ms) = rows::decode_place(row.value()).map_err(bad("archive"))?;
        restored.archive.push(ArchiveEntry {
            peer: peer(key.value(), "archive")?,
            addr,
            proven_unix_ms,
        });
    }
    for item in read.open_table(ANCHORS)?.iter()? {
        let row = item?.1;
        let (id, addr) = rows::decode_anchor(row.value()).map_err(bad("anchors"))?;
        restored.anchors.push((peer(&id, "anchors")?, addr));
    }
    for item in read.open_table(BANS)?.iter()? {
        let (key, row) = item?;
        let until = rows::decode_number(row.value()).map_err(bad("bans"))?;
        restored.bans.push((peer(key.value(), "bans")?, until));
    }
    Ok((restored, totals))
}
