//! Rows into tables: one batch within one transaction.

use crypto::MessageId;
use overlay::Row;
use overlay::messages::StoredMessage;
use overlay::peers::PeerRow;
use redb::{ReadableTable as _, Table, WriteTransaction};

use super::error::Fault;
use super::evidence::EvidenceTables;
use super::file::Totals;
use super::rows::{self, Head};
use super::schema::{
    ANCHORS, ARCHIVE, BANS, DATES, DECIDED, HEADS, INDEX, Id, LOG, META, Sealed, bad, name,
};

/// The open tables of one transaction and the totals as they will be after it.
pub(super) struct Batch<'t> {
    log: Table<'t, u64, Sealed>,
    heads: Table<'t, u64, Sealed>,
    index: Table<'t, Id, u64>,
    dates: Table<'t, (u64, u64), ()>,
    decided: Table<'t, (u64, Id), ()>,
    evidence: EvidenceTables<'t>,
    meta: Table<'t, &'static str, Sealed>,
    archive: Table<'t, Id, Sealed>,
    anchors: Table<'t, u8, Sealed>,
    bans: Table<'t, Id, Sealed>,
    totals: Totals,
}

impl<'t> Batch<'t> {
    pub(super) fn open(write: &'t WriteTransaction, totals: Totals) -> Result<Self, Fault> {
        Ok(Self {
            log: write.open_table(LOG)?,
            heads: write.open_table(HEADS)?,
            index: write.open_table(INDEX)?,
            dates: write.open_table(DATES)?,
            decided: write.open_table(DECIDED)?,
            evidence: EvidenceTables::open(write)?,
            meta: write.open_table(META)?,
            archive: write.open_table(ARCHIVE)?,
            anchors: write.open_table(ANCHORS)?,
            bans: write.open_table(BANS)?,
            totals,
        })
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn apply(&mut self, row: &Row) -> Result<(), Fault> {
        match row {
            Row::Message(message) => self.append(message),
            Row::Decided {
                id,
                published_unix_ms,
            } => self.decide(id, *published_unix_ms),
            Row::Evidence {
                found_unix_ms,
                evidence,
            } => {
                self.totals.evidence = self.evidence.keep(*found_unix_ms, evidence)?;
                Ok(())
            }
            Row::Forget {
                low_edge_ms,
                pruned,
            } => {
                self.totals.low_edge_ms = self.raise(name::LOW_EDGE, *low_edge_ms)?;
                self.totals.swept = false;
                self.totals.evidence = self.evidence.expire(self.totals.low_edge_ms)?;
                pruned.iter().try_for_each(|id| self.prune(id))
            }
            Row::ReserveCursors { cursor } => self.raise(name::NEXT_CURSOR, *cursor).map(drop),
            Row::ReserveSeqs { seq } => self.raise(name::NEXT_SEQ, *seq).map(drop),
            Row::RecordVersion { version } => self.raise(name::RECORD_VERSION, *version).map(drop),
            Row::Peer(row) => self.peer(row),
        }
    }

    /// Sets a number that only rises; returns what it is now.
    fn raise(&mut self, name: &'static str, value: u64) -> Result<u64, Fault> {
        let old = match self.meta.get(name)? {
            Some(row) => Some(rows::decode_number(row.value()).map_err(bad("meta"))?),
            None => None,
        };
        if old.is_some_and(|old| old >= value) {
            return Ok(old.unwrap_or(value));
        }
        self.meta
            .insert(name, rows::encode_number(value).as_slice())?;
        Ok(value)
    }

    /// Appends a message. The same message at the same cursor again replaces its row (its marks may have changed); below
    /// the low edge nothing is kept.
    fn append(&mut self, message: &StoredMessage) -> Result<(), Fault> {
        let date = message.signed.value.published_unix_ms;
        if date < self.totals.low_edge_ms {
            return Ok(());
        }
        let cursor = message.first_cursor;
        let row = rows::encode_message(message);
        let head = Head::of(message, &row);
        let end = cursor.saturating_add(u64::from(head.entries));
        if cursor < self.totals.log_end {
            self.make_room(message.id.as_bytes(), cursor, end)?;
        }
        let at = self.index.get(message.id.as_bytes())?.map(|at| at.value());
        if let Some(at) = at {
            self.remove(at)?;
        }
        self.decided.remove((date, message.id.as_bytes()))?;
        self.log.insert(cursor, row.as_slice())?;
        self.heads.insert(cursor, head.encode().as_slice())?;
        self.index.insert(message.id.as_bytes(), cursor)?;
        self.dates.insert((date, cursor), ())?;
        self.totals.messages += 1;
        self.totals.bytes += u64::from(head.bytes);
        self.totals.log_end = self.totals.log_end.max(end);
        Ok(())
    }

    /// Refuses cursors `from..end` when another message than `id` has one of them.
    fn make_room(&self, id: &[u8; 32], from: u64, end: u64) -> Result<(), Fault> {
        for item in self.heads.range(..end.max(from + 1))?.rev() {
            let (at, row) = item?;
            let head = Head::decode(row.value()).map_err(bad("heads"))?;
            if head.id == *id {
                continue;
            }
            if at.value().saturating_add(u64::from(head.entries)) > from {
                return Err(Fault::CursorTaken(from.max(at.value())));
            }
            break;
        }
        Ok(())
    }

    fn decide(&mut self, id: &MessageId, date: u64) -> Result<(), Fault> {
        if date >= self.totals.low_edge_ms && self.index.get(id.as_bytes())?.is_none() {
            self.decided.insert((date, id.as_bytes()), ())?;
        }
        Ok(())
    }

    fn prune(&mut self, id: &MessageId) -> Result<(), Fault> {
        let at = self.index.get(id.as_bytes())?.map(|at| at.value());
        let Some(at) = at else {
            return Ok(());
        };
        let date = self.remove(at)?;
        if date >= self.totals.low_edge_ms {
            self.decided.insert((date, id.as_bytes()), ())?;
        }
        Ok(())
    }

    /// Takes the message at `cursor` out of every table; returns its date.
    fn remove(&mut self, cursor: u64) -> Result<u64, Fault> {
        let head = {
            let row = self.heads.remove(cursor)?.ok_or_else(|| {
                Fault::Row(format!("tables `index` and `heads` disagree at {cursor}"))
            })?;
            Head::decode(row.value()).map_err(bad("heads"))?
        };
        self.log.remove(cursor)?;
        self.index.remove(&head.id)?;
        self.dates.remove((head.published_unix_ms, cursor))?;
        self.totals.messages = self.totals.messages.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(u64::from(head.bytes));
        Ok(head.published_unix_ms)
    }

    /// Takes out at most `max` messages and `max` decided ids below the low edge.
    pub(super) fn sweep(&mut self, max: usize) -> Result<(), Fault> {
        let edge = self.totals.low_edge_ms;
        let messages = {
            let range = self.dates.range(..(edge, 0))?.take(max);
            let keys = range.map(|item| Ok(item?.0.value().1));
            keys.collect::<Result<Vec<u64>, Fault>>()?
        };
        for cursor in &messages {
            self.remove(*cursor)?;
        }
        let decided = {
            let range = self.decided.range(..(edge, &[0; 32]))?.take(max);
            let keys = range.map(|item| {
                let key = item?.0;
                let (date, id) = key.value();
                Ok((date, *id))
            });
            keys.collect::<Result<Vec<(u64, [u8; 32])>, Fault>>()?
        };
        for (date, id) in &decided {
            self.decided.remove((*date, id))?;
        }
        self.totals.swept = messages.len() < max && decided.len() < max;
        Ok(())
    }

    fn peer(&mut self, row: &PeerRow) -> Result<(), Fault> {
        match row {
            PeerRow::Archived(entry) => {
                let place = rows::encode_place(&entry.addr, entry.proven_unix_ms);
                self.archive
                    .insert(entry.peer.as_bytes(), place.as_slice())?;
            }
            PeerRow::Unarchived(peer) => {
                self.archive.remove(peer.as_bytes())?;
            }
            PeerRow::Anchors(anchors) => {
                self.anchors.retain(|_, _| false)?;
                for (rank, (peer, addr)) in (0u8..=u8::MAX).zip(anchors) {
                    let anchor = rows::encode_anchor(peer.as_bytes(), addr);
                    self.anchors.insert(rank, anchor.as_slice())?;
                }
            }
            PeerRow::Banned {
                peer,
                until_unix_ms,
            } => {
                let until = rows::encode_number(*until_unix_ms);
                self.bans.insert(peer.as_bytes(), until.as_slice())?;
            }
            PeerRow::Unbanned(peer) => {
                self.bans.remove(peer.as_bytes())?;
            }
        }
        Ok(())
    }
}
