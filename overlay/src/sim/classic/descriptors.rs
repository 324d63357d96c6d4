//! What stands behind the entries of a shuffling protocol on the wire: signed records, which others cannot make younger.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crypto::{KeyCache, NetworkId, PeerId, Signed, VerdictMemo};

use super::Entry;
use crate::input::Now;
use crate::sim::world::Known;
use crate::wire::{ListItem, PeerRecord};

/// Somebody whom a node knows.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    /// `None` for a first contact who has not been met.
    pub(super) record: Option<Signed<PeerRecord>>,
}

impl Held {
    /// A first contact.
    pub(super) const fn contact(peer: PeerId, addr: SocketAddr) -> Self {
        let record = None;
        Self { peer, addr, record }
    }

    /// What a record says, if its signature is good and it has an address. Its date is not judged: the classics know ages only.
    pub(super) fn of(
        record: Signed<PeerRecord>,
        network: &NetworkId,
        keys: &mut KeyCache,
    ) -> Option<Self> {
        let (_, addr) = record.value.addrs().next()?;
        let record = record.verify(network, keys).ok()?;
        Some(Self {
            peer: record.signer(),
            addr,
            record: Some(record.into_signed()),
        })
    }

    pub(super) fn item(&self) -> Option<ListItem> {
        let record = self.record.clone()?;
        let proven = record.value.addrs().next().map_or(0, |(bit, _)| bit);
        Some(ListItem { record, proven })
    }

    pub(super) fn known(&self, slots: usize) -> Known {
        Known {
            peer: self.peer,
            addr: self.addr,
            slots,
            issued_unix_s: self.record.as_ref().map(|r| r.value.issued_unix_s),
        }
    }

    fn version(&self) -> u64 {
        self.record
            .as_ref()
            .map_or(0, |record| record.value.version)
    }
}

/// The records behind the entries of one node, which are numbers. It holds what its owner last said to [`keep`](Self::keep), and what came
/// since.
#[derive(Debug)]
pub(super) struct Descriptors {
    network: NetworkId,
    keys: KeyCache,
    period: Duration,
    numbers: BTreeMap<PeerId, u32>,
    held: BTreeMap<u32, Held>,
    next: u32,
}

impl Descriptors {
    /// The number of the node itself.
    pub(super) const ME: u32 = 0;

    /// Nobody but `me`. A round is a `period`.
    pub(super) fn new(
        me: PeerId,
        network: NetworkId,
        memo: Arc<VerdictMemo>,
        period: Duration,
    ) -> Self {
        Self {
            network,
            keys: KeyCache::shared(memo),
            period,
            numbers: BTreeMap::from([(me, Self::ME)]),
            held: BTreeMap::new(),
            next: Self::ME + 1,
        }
    }

    /// The number of a first contact.
    pub(super) fn meet(&mut self, peer: PeerId, addr: SocketAddr) -> u32 {
        let number = self.number(peer);
        if number != Self::ME {
            self.held
                .entry(number)
                .or_insert_with(|| Held::contact(peer, addr));
        }
        number
    }

    fn number(&mut self, peer: PeerId) -> u32 {
        *self.numbers.entry(peer).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The entry that a record makes: its age is the rounds since its owner signed it. Of two records of one peer the newer is kept. `None`
    /// if its signature is bad or it has no address.
    pub(super) fn take(&mut self, record: Signed<PeerRecord>, now: Now) -> Option<Entry> {
        let made_ms = record.value.version;
        let held = Held::of(record, &self.network, &mut self.keys)?;
        let id = self.number(held.peer);
        if id != Self::ME {
            let kept = self.held.entry(id).or_insert_with(|| held.clone());
            if held.version() > kept.version() {
                *kept = held;
            }
        }
        let rounds = now.unix_ms.saturating_sub(made_ms) / (self.period.as_millis() as u64).max(1);
        let age = u32::try_from(rounds).unwrap_or(u32::MAX);
        Some(Entry { id, age })
    }

    /// The entries that a list makes.
    pub(super) fn take_all(
        &mut self,
        records: impl IntoIterator<Item = Signed<PeerRecord>>,
        now: Now,
    ) -> Vec<Entry> {
        let records = records.into_iter();
        records
            .filter_map(|record| self.take(record, now))
            .collect()
    }

    /// Who a number is; `None` for the node itself.
    pub(super) fn get(&self, number: u32) -> Option<&Held> {
        self.held.get(&number)
    }

    /// The records of entries that are handed on; the node's own travels beside the list.
    pub(super) fn items(&self, entries: &[Entry]) -> Vec<ListItem> {
        let held = entries.iter().filter_map(|entry| self.get(entry.id));
        held.filter_map(Held::item).collect()
    }

    /// Forgets all whom `used` does not name.
    pub(super) fn keep(&mut self, used: impl Fn(u32) -> bool) {
        self.held.retain(|number, _| used(*number));
        let held = &self.held;
        self.numbers
            .retain(|_, number| *number == Self::ME || held.contains_key(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::talk::record_of;
    use crypto::Identity;

    fn now(unix_ms: u64) -> Now {
        #[expect(clippy::disallowed_methods, reason = "only handed on")]
        let mono = std::time::Instant::now();
        Now { mono, unix_ms }
    }

    #[test]
    fn records_are_checked_numbered_and_aged() {
        let network = NetworkId::from_name("x");
        let me = Identity::from_seed(&[1; 32]);
        let other = Identity::from_seed(&[2; 32]);
        let addr: SocketAddr = "10.0.0.2:4100".parse().unwrap();
        let moved: SocketAddr = "10.0.0.3:4100".parse().unwrap();
        let period = Duration::from_secs(10);
        let mut book = Descriptors::new(me.id(), network, Arc::default(), period);
        let record = |identity: &Identity, addr, unix_ms| {
            record_of(identity, &network, addr, unix_ms, unix_ms)
        };
        let entry = book.take(record(&other, addr, 70_000), now(105_000));
        assert_eq!(entry, Some(Entry { id: 1, age: 3 }));
        let mine = book.take(record(&me, addr, 100_000), now(105_000));
        assert_eq!(mine, Some(Entry { id: 0, age: 0 }));
        assert!(book.get(Descriptors::ME).is_none());

        let older = book.take(record(&other, moved, 60_000), now(105_000));
        assert_eq!(older, Some(Entry { id: 1, age: 4 }));
        assert_eq!(book.get(1).unwrap().addr, addr, "the newer record stays");
        book.take(record(&other, moved, 90_000), now(105_000));
        assert_eq!(book.get(1).unwrap().addr, moved);

        let mut forged = record(&other, addr, 99_000);
        forged.value.version += 1;
        assert_eq!(book.take(forged, now(105_000)), None);

        let contact = book.meet(Identity::from_seed(&[3; 32]).id(), addr);
        let entries = [1, contact].map(|id| Entry { id, age: 0 });
        assert_eq!(book.items(&entries).len(), 1, "a contact has no record yet");
        book.keep(|number| number == contact);
        assert!(book.get(1).is_none() && book.get(contact).is_some());
        assert_eq!((book.held.len(), book.numbers.len()), (1, 2));
    }
}
