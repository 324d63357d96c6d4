//! Peers that have left, by their own word: a record without an address, newer than the one that was known.
//!
//! Without it everybody who knows a peer that left dials it in vain once. Only who knew the peer takes the word in, and passes it on with
//! its exchanges: so it reaches those whom it concerns at a cost that does not grow with the network, and words about invented peers
//! go nowhere.

use std::collections::BTreeMap;

use crypto::{BadSignature, PeerId, Signed, Verified};
use rand::Rng;
use rand::seq::SliceRandom as _;

use super::Book;
use super::proven::is_stale;
use crate::cx::Cx;
use crate::wire::{ListItem, PeerRecord};

/// Most peers remembered as gone; the word that came first is forgotten first. As many as a memory has slots: where peers stay for an hour,
/// an hour's worth of those one knew.
pub(super) const MAX_DEPARTED: usize = 256;
/// How often a word is passed on. At 10,000 nodes one exchange in 40 meets somebody whom it concerns; a few dozen know it from the start,
/// and a few hundred are to hear. A guess.
const PASSED_ON: u32 = 40;
/// Most of them in the list of one exchange, and most taken from one.
pub const MAX_GONE: usize = 4;

#[derive(Debug)]
struct Word {
    record: Verified<PeerRecord>,
    passed_on: u32,
    turn: u64,
}

/// Who has left, of those whom this node knew.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// By raw key.
    words: BTreeMap<[u8; 32], Word>,
    turn: u64,
}

impl Departed {
    pub(super) fn version_of(&self, id: &[u8; 32]) -> Option<u64> {
        self.words.get(id).map(|word| word.record.version)
    }

    fn note(&mut self, record: Verified<PeerRecord>) {
        self.turn += 1;
        let word = Word {
            record,
            passed_on: 0,
            turn: self.turn,
        };
        self.words.insert(word.record.id, word);
        if self.words.len() > MAX_DEPARTED {
            let oldest = self.words.iter().min_by_key(|(_, word)| word.turn);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.words.remove(&id);
            }
        }
    }

    /// The peer is back.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.words.remove(peer.as_bytes());
    }

    pub(super) fn expire(&mut self, unix_ms: u64) {
        self.words
            .retain(|_, word| !is_stale(&word.record, unix_ms));
    }

    /// Words to pass on, those first that were passed on least.
    fn next(&mut self, most: usize, rng: &mut impl Rng) -> Vec<ListItem> {
        let mut waiting: Vec<&mut Word> = self
            .words
            .values_mut()
            .filter(|word| word.passed_on < PASSED_ON)
            .collect();
        waiting.shuffle(rng);
        waiting.sort_by_key(|word| word.passed_on);
        waiting.truncate(most);
        let items = waiting.into_iter().map(|word| {
            word.passed_on += 1;
            ListItem {
                record: word.record.signed().clone(),
                proven: 0,
            }
        });
        items.collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

impl Book {
    /// Somebody says that it is gone, over its link or in a list. Of whom we never heard nothing is checked.
    ///
    /// # Errors
    /// The signature is wrong.
    pub fn hear_left(
        &mut self,
        record: &Signed<PeerRecord>,
        cx: &mut Cx<'_>,
    ) -> Result<(), BadSignature> {
        if self.version_of(&record.value.id).is_some()
            && let Some(record) = self.check(record, cx)?
        {
            self.left(record, cx);
        }
        Ok(())
    }

    /// A peer says that it is gone; nobody else can say so. If it was known, it is forgotten, and its word is kept to be passed on. Whether
    /// that was news.
    fn left(&mut self, record: Verified<PeerRecord>, cx: &mut Cx<'_>) -> bool {
        let peer = record.signer();
        let known = self.version_of(peer.as_bytes());
        if record.addrs().next().is_some()
            || known.is_none_or(|version| version >= record.version)
            || is_stale(&record, cx.now.unix_ms)
        {
            return false;
        }
        cx.stats.peers.left += 1;
        self.drop_proven(&peer);
        self.candidates.remove(&peer);
        self.departed.note(record);
        true
    }

    /// Words of peers that have left, for an exchange; each is passed on a limited number of times.
    pub fn gone(&mut self, most: usize, cx: &mut Cx<'_>) -> Vec<ListItem> {
        let items = self.departed.next(most.min(MAX_GONE), cx.rng);
        cx.stats.peers.left_passed_on += items.len() as u64;
        items
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::AddressPreset;
    use crate::peers::{Heard, Source};
    use crate::restored::Restored;
    use crate::testing::{Bench, START_UNIX_MS, identity, peer};
    use crate::wire::RECORD_VALID_S;

    fn addr(n: u32) -> SocketAddr {
        let [_, a, b, c] = n.to_be_bytes();
        SocketAddr::from(([23, a, b, c], 4000))
    }

    fn record(n: u32, version: u64, there: bool) -> Verified<PeerRecord> {
        let ipv4 = match addr(n) {
            SocketAddr::V4(addr) if there => Some((*addr.ip(), addr.port())),
            _ => None,
        };
        let record = PeerRecord {
            id: peer(n).to_bytes(),
            version,
            issued_unix_s: START_UNIX_MS / 1000,
            ipv4,
            ipv6: None,
            roles: 0,
        };
        let network = crypto::NetworkId::from_name("test");
        Signed::sign(record, &identity(n), &network).expect("signs")
    }

    fn book() -> (Bench, Book) {
        let mut bench = Bench::new(0);
        bench.config.addresses = AddressPreset::Local;
        let book = Book::new(&Restored::default(), &mut bench.cx());
        (bench, book)
    }

    fn proven(n: u32, book: &mut Book, bench: &mut Bench) {
        book.proven(peer(n), addr(n), record(n, 1, true), &mut bench.cx());
        assert!(book.is_proven(&peer(n)));
    }

    #[test]
    fn who_left_is_forgotten_and_nobody_elses_older_word_brings_it_back() {
        let (mut bench, mut book) = book();
        proven(1, &mut book, &mut bench);
        assert!(book.left(record(1, 2, false), &mut bench.cx()));
        assert!(!book.is_proven(&peer(1)));
        assert!(book.take_touched().contains(&peer(1)), "the memory hears");
        let from = Source::List {
            from: peer(9),
            wins: true,
        };
        let heard = book.heard(record(1, 1, true), 1, from, &mut bench.cx());
        assert_eq!(heard, Heard::Known, "an older record");
        assert!(!book.left(record(1, 2, false), &mut bench.cx()), "no news");
        // It comes back, and says so itself.
        let heard = book.heard(record(1, 3, true), 1, from, &mut bench.cx());
        assert_eq!(heard, Heard::New);
        assert!(book.gone(4, &mut bench.cx()).is_empty());
        // Gone again, as a mere candidate: nobody is dialled.
        assert!(book.left(record(1, 4, false), &mut bench.cx()));
        assert_eq!(book.heard_len(), 0);
    }

    #[test]
    fn only_who_is_known_can_leave_and_only_with_a_newer_record_without_address() {
        let (mut bench, mut book) = book();
        assert!(!book.left(record(1, 2, false), &mut bench.cx()), "unknown");
        proven(1, &mut book, &mut bench);
        assert!(
            !book.left(record(1, 1, false), &mut bench.cx()),
            "not newer"
        );
        assert!(!book.left(record(1, 2, true), &mut bench.cx()), "not gone");
        bench.advance(Duration::from_secs(RECORD_VALID_S + 1));
        assert!(!book.left(record(1, 2, false), &mut bench.cx()), "too old");
        assert!(book.gone(4, &mut bench.cx()).is_empty());
    }

    #[test]
    fn words_are_passed_on_in_turn_and_not_for_ever() {
        let (mut bench, mut book) = book();
        for n in 1..=6 {
            proven(n, &mut book, &mut bench);
            assert!(book.left(record(n, 2, false), &mut bench.cx()));
        }
        let mut times = BTreeMap::new();
        for _ in 0..1000 {
            let items = book.gone(100, &mut bench.cx());
            assert!(items.len() <= MAX_GONE);
            for item in items {
                assert_eq!(item.proven, 0);
                *times.entry(item.record.value.id).or_insert(0) += 1;
            }
            let most = times.values().max().copied().unwrap_or(0);
            let least = times.values().min().copied().unwrap_or(0);
            assert!(most - least <= 1 || times.len() < 6, "{most} and {least}");
        }
        assert_eq!(times.len(), 6);
        assert!(times.values().all(|times| *times == PASSED_ON));
        assert_eq!(bench.stats.peers.left, 6);
        assert_eq!(bench.stats.peers.left_passed_on, 6 * u64::from(PASSED_ON));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ends_with_its_record() {
        let (mut bench, mut book) = book();
        for n in 1..=MAX_DEPARTED as u32 + 50 {
            proven(n, &mut book, &mut bench);
            assert!(book.left(record(n, 2, false), &mut bench.cx()));
            assert!(book.departed.len() <= MAX_DEPARTED);
        }
        assert_eq!(book.version_of(peer(1).as_bytes()), None, "the oldest");
        bench.advance(Duration::from_secs(RECORD_VALID_S + 61));
        book.expire(&mut bench.cx());
        assert_eq!(book.departed.len(), 0);
    }

    #[test]
    fn a_dial_that_is_answered_says_more_than_a_word() {
        let (mut bench, mut book) = book();
        proven(1, &mut book, &mut bench);
        book.left(record(1, 2, false), &mut bench.cx());
        book.proven(peer(1), addr(1), record(1, 3, true), &mut bench.cx());
        assert!(book.is_proven(&peer(1)));
        assert!(book.gone(4, &mut bench.cx()).is_empty());
    }
}
