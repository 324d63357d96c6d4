//! Proofs of equivocation, kept for longer than the log: the pairs themselves, and where those of an author are.
//!
//! A pair costs its author two signatures, and anybody can make keys, so both tables are capped. One pair convicts an author, so
//! its first ones are kept and further ones dropped; over all authors the latest are kept. A pair leaves when the log's low edge has
//! been above the time it was found at for [`KEPT_MS`].

use crypto::Signed;
use overlay::messages::Evidence;
use overlay::wire::MessageHeader;
use redb::{ReadTransaction, ReadableTable as _, Table, WriteTransaction};

use super::error::Fault;
use super::rows;
use super::schema::{EVIDENCE, EVIDENCE_INDEX, Id, Sealed, bad};

/// Most pairs kept, about 600 bytes each. A guess.
pub const MAX_EVIDENCE: u64 = 1024;
/// Most pairs kept of one author. A guess: one is enough, a few show how it goes about it.
pub const MAX_EVIDENCE_PER_AUTHOR: usize = 4;
/// How long a pair is kept beyond the log's retention, milliseconds (30 days). A guess: time for an operator to look.
pub const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Most pairs that leave by age in one transaction.
pub(super) const SWEEP: usize = 256;

/// A pair as the store has it. It was verified when it was written; see [`Evidence`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// When this node found it, milliseconds since the Unix epoch.
    pub found_unix_ms: u64,
    /// The two headers with their signatures, ascending by id.
    pub messages: [Signed<MessageHeader>; 2],
}

/// The open tables of one transaction.
pub(super) struct EvidenceTables<'t> {
    pairs: Table<'t, u64, Sealed>,
    index: Table<'t, (Id, u64), u64>,
}

impl<'t> EvidenceTables<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            pairs: write.open_table(EVIDENCE)?,
            index: write.open_table(EVIDENCE_INDEX)?,
        })
    }

    /// Keeps a pair unless its author has its share already; the oldest makes room. Returns how many there are.
    pub(super) fn keep(&mut self, found_unix_ms: u64, evidence: &Evidence) -> Result<u64, Fault> {
        let author = evidence.author().to_bytes();
        let of_author = self
            .index
            .range((&author, 0)..=(&author, u64::MAX))?
            .take(MAX_EVIDENCE_PER_AUTHOR)
            .count();
        let known = self.index.get((&author, evidence.seq()))?.is_some();
        if known || of_author >= MAX_EVIDENCE_PER_AUTHOR {
            return self.len();
        }
        while self.len()? >= MAX_EVIDENCE {
            self.remove_oldest()?;
        }
        let last = self.pairs.last()?.map(|(number, _)| number.value());
        let number = last.map_or(0, |last| last.saturating_add(1));
        let [a, b] = evidence.messages();
        let row = rows::encode_evidence(found_unix_ms, [a.signed(), b.signed()]);
        self.pairs.insert(number, row.as_slice())?;
        self.index.insert((&author, evidence.seq()), number)?;
        self.len()
    }

    /// Takes out what was found too long before the low edge, some at a time. Returns how many are left.
    pub(super) fn expire(&mut self, low_edge_ms: u64) -> Result<u64, Fault> {
        for _ in 0..SWEEP {
            let found = match self.pairs.first()? {
                Some((_, row)) => {
                    rows::decode_evidence(row.value())
                        .map_err(bad("evidence"))?
                        .found_unix_ms
                }
                None => break,
            };
            if found.saturating_add(KEPT_MS) >= low_edge_ms {
                break;
            }
            self.remove_oldest()?;
        }
        self.len()
    }

    fn len(&self) -> Result<u64, Fault> {
        use redb::ReadableTableMetadata as _;
        Ok(self.pairs.len()?)
    }

    fn remove_oldest(&mut self) -> Result<(), Fault> {
        let oldest = match self.pairs.pop_first()? {
            Some((_, row)) => rows::decode_evidence(row.value()).map_err(bad("evidence"))?,
            None => return Ok(()),
        };
        let header = &oldest.messages[0].value;
        self.index.remove((&header.author, header.seq))?;
        Ok(())
    }
}

/// Every pair, in the order they were found in.
pub(super) fn read(read: &ReadTransaction) -> Result<Vec<StoredEvidence>, Fault> {
    read.open_table(EVIDENCE)?
        .iter()?
        .map(|item| {
            let (_, row) = item?;
            rows::decode_evidence(row.value()).map_err(bad("evidence"))
        })
        .collect()
}
