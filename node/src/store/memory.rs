//! The store of a node without a data directory: the log and the proofs of equivocation, for as long as the node runs.
//!
//! Payloads are kept as they came, shared with whoever else has them. Nobody starts from this store again, so what is only
//! read at a start (decided ids, reservations, what is known about peers) is not kept at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use crypto::MessageId;
use overlay::messages::{Evidence, StoredMessage};
use overlay::{Key, Row};

use super::evidence::{KEPT_MS, MAX_EVIDENCE, MAX_EVIDENCE_PER_AUTHOR, SWEEP, StoredEvidence};
use super::{StoreError, lock, rows};

/// What stands where a file has its path.
pub(super) const PATH: &str = "(in memory)";

#[derive(Default)]
pub(super) struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    /// By first cursor.
    log: BTreeMap<u64, StoredMessage>,
    index: HashMap<MessageId, u64>,
    /// Signed date and first cursor of what is in the log.
    dates: BTreeSet<(u64, u64)>,
    bytes: u64,
    low_edge_ms: u64,
    evidence: VecDeque<StoredEvidence>,
}

impl MemoryStore {
    /// What comes before a row that is refused stays: whoever is told of it stops, and this store ends with it.
    pub(super) fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let mut state = self.state();
        for row in rows {
            match row {
                Row::Message(message) => state.append(message)?,
                Row::Evidence {
                    found_unix_ms,
                    evidence,
                } => state.keep(*found_unix_ms, evidence),
                Row::Forget {
                    low_edge_ms,
                    pruned,
                } => state.forget(*low_edge_ms, pruned),
                Row::Decided { .. }
                | Row::ReserveCursors { .. }
                | Row::ReserveSeqs { .. }
                | Row::RecordVersion { .. }
                | Row::Peer(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn load(&self, key: &Key) -> Option<Row> {
        let Key::Message(id) = key;
        let state = self.state();
        let message = state.log.get(state.index.get(id)?)?;
        Some(Row::Message(message.clone()))
    }

    pub(super) fn read_log(
        &self,
        from_cursor: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> Vec<StoredMessage> {
        let state = self.state();
        // The message that contains `from_cursor` may begin below it.
        let before = state.log.range(..from_cursor).next_back();
        let (mut found, mut bytes) = (Vec::new(), 0usize);
        for (_, message) in before.into_iter().chain(state.log.range(from_cursor..)) {
            if end(message) <= from_cursor {
                continue;
            }
            bytes = bytes.saturating_add(rows::message_len(message));
            if found.len() >= max_messages || (bytes > max_bytes && !found.is_empty()) {
                break;
            }
            found.push(message.clone());
        }
        found
    }

    pub(super) fn first_cursor(&self) -> Option<u64> {
        Some(*self.state().log.first_key_value()?.0)
    }

    pub(super) fn last_cursor(&self) -> Option<u64> {
        Some(end(self.state().log.last_key_value()?.1).saturating_sub(1))
    }

    pub(super) fn messages(&self) -> u64 {
        self.state().log.len() as u64
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.state().bytes
    }

    pub(super) fn read_evidence(&self) -> Vec<StoredEvidence> {
        self.state().evidence.iter().cloned().collect()
    }

    pub(super) fn evidence(&self) -> u64 {
        self.state().evidence.len() as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    /// As in the file: the same message again replaces itself, below the low edge nothing is kept, and no cursor is given to
    /// two entries.
    fn append(&mut self, message: &StoredMessage) -> Result<(), StoreError> {
        let date = message.signed.value.published_unix_ms;
        if date < self.low_edge_ms {
            return Ok(());
        }
        let (cursor, end_of_it) = (message.first_cursor, end(message));
        let room = end_of_it.max(cursor.saturating_add(1));
        let mut others = self.log.range(..room).map(|(_, it)| it).rev();
        if let Some(other) = others.find(|other| other.id != message.id)
            && end(other) > cursor
        {
            return Err(StoreError::CursorTaken {
                path: PathBuf::from(PATH),
                cursor: cursor.max(other.first_cursor),
            });
        }
        if let Some(at) = self.index.get(&message.id).copied() {
            self.remove(at);
        }
        self.bytes += rows::message_len(message) as u64;
        self.index.insert(message.id, cursor);
        self.dates.insert((date, cursor));
        self.log.insert(cursor, message.clone());
        Ok(())
    }

    fn remove(&mut self, cursor: u64) {
        let Some(message) = self.log.remove(&cursor) else {
            return;
        };
        self.bytes -= rows::message_len(&message) as u64;
        self.index.remove(&message.id);
        let date = message.signed.value.published_unix_ms;
        self.dates.remove(&(date, cursor));
    }

    fn forget(&mut self, low_edge_ms: u64, pruned: &[MessageId]) {
        self.low_edge_ms = self.low_edge_ms.max(low_edge_ms);
        while let Some((date, cursor)) = self.dates.first().copied()
            && date < self.low_edge_ms
        {
            self.remove(cursor);
        }
        for id in pruned {
            if let Some(at) = self.index.get(id).copied() {
                self.remove(at);
            }
        }
        let too_old =
            |one: &StoredEvidence| one.found_unix_ms.saturating_add(KEPT_MS) < self.low_edge_ms;
        for _ in 0..SWEEP {
            if !self.evidence.front().is_some_and(too_old) {
                break;
            }
            self.evidence.pop_front();
        }
    }

    /// One pair convicts an author, so its first ones are kept; over all authors the latest are.
    fn keep(&mut self, found_unix_ms: u64, evidence: &Evidence) {
        let author = evidence.author().to_bytes();
        let of_author = |one: &&StoredEvidence| one.messages[0].value.author == author;
        let theirs = || self.evidence.iter().filter(of_author);
        let known = theirs().any(|one| one.messages[0].value.seq == evidence.seq());
        if known || theirs().count() >= MAX_EVIDENCE_PER_AUTHOR {
            return;
        }
        if self.evidence.len() as u64 >= MAX_EVIDENCE {
            self.evidence.pop_front();
        }
        self.evidence.push_back(StoredEvidence {
            found_unix_ms,
            messages: evidence
                .messages()
                .each_ref()
                .map(|one| one.signed().clone()),
        });
    }
}

/// The first cursor above a message.
fn end(message: &StoredMessage) -> u64 {
    let entries = message.entries.len() as u64;
    message.first_cursor.saturating_add(entries)
}
