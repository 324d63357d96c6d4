//! Fair shares: who is charged for what is in the log and the seen set, and who is pruned first.
//!
//! An established author has an account of its own. Fresh ones share the account of the peer that brought them, so that a
//! thousand new keys behind one link weigh as much as one. When the log is full, the account with most bytes loses its oldest
//! messages first: a flood shortens its own retention, and while nobody else publishes, nobody is throttled.

use std::collections::{BTreeMap, BinaryHeap};

use crypto::PeerId;

use super::authors::Authors;
use super::decided::Decided;
use crate::wire::Point;

/// What somebody takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes in the log.
    pub(super) bytes: u64,
    /// Decided ids in the window.
    pub(super) ids: u64,
}

/// Who is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Account {
    Author(u64),
    Entry(PeerId),
}

impl Authors {
    pub(super) fn discharge(&mut self, peer: PeerId, usage: Usage) {
        if let Some(sum) = self.entries.get_mut(&peer) {
            sum.bytes = sum.bytes.saturating_sub(usage.bytes);
            sum.ids = sum.ids.saturating_sub(usage.ids);
            if *sum == Usage::default() {
                self.entries.remove(&peer);
            }
        }
    }

    pub(super) fn charge(&mut self, number: u64, bytes: i64, ids: i64) {
        let Some(author) = self.authors.get_mut(&number) else {
            return;
        };
        let add = |usage: &mut Usage| {
            usage.bytes = usage.bytes.saturating_add_signed(bytes);
            usage.ids = usage.ids.saturating_add_signed(ids);
        };
        add(&mut author.usage);
        if let Some(peer) = author.entry {
            let sum = self.entries.entry(peer).or_default();
            add(sum);
            if *sum == Usage::default() {
                self.entries.remove(&peer);
            }
        }
    }

    /// What the account of an author takes (its own when established, else that of the link that brings it), and how
    /// many accounts there are.
    pub(super) fn account(&self, key: &[u8; 32], from: Option<PeerId>) -> (Usage, usize) {
        let accounts = self.established + self.entries.len();
        let author = self
            .number(key)
            .and_then(|number| self.authors.get(&number));
        let usage = match (author, from) {
            (Some(author), _) if author.entry.is_none() => author.usage,
            (author, from) => author
                .and_then(|author| author.entry)
                .or(from)
                .and_then(|peer| self.entries.get(&peer).copied())
                .unwrap_or_default(),
        };
        (usage, accounts.max(1))
    }

    /// Which messages to prune so that `excess` bytes and `count` messages leave the log, at most `most`: always the oldest
    /// (by sequence number) of the author with most bytes in the account with most bytes.
    pub(super) fn prune(
        &mut self,
        mut excess: u64,
        mut count: usize,
        most: usize,
        decided: &mut Decided,
    ) -> Vec<Point> {
        let mut accounts: BTreeMap<Account, (u64, BinaryHeap<(u64, u64)>)> = BTreeMap::new();
        for (number, author) in &self.authors {
            let account = author
                .entry
                .map_or(Account::Author(*number), Account::Entry);
            let (sum, authors) = accounts.entry(account).or_default();
            *sum += author.usage.bytes;
            authors.push((author.usage.bytes, *number));
        }
        let mut heap: BinaryHeap<(u64, Account)> = accounts
            .iter()
            .map(|(account, (sum, _))| (*sum, *account))
            .collect();
        let mut pruned = Vec::new();
        while (excess > 0 || count > 0) && pruned.len() < most {
            let Some((sum, account)) = heap.pop() else {
                break;
            };
            let Some((_, authors)) = accounts.get_mut(&account) else {
                continue;
            };
            let Some((bytes, number)) = authors.pop() else {
                continue;
            };
            let Some((point, size)) = self.oldest(number, decided) else {
                if !authors.is_empty() {
                    heap.push((sum, account));
                }
                continue;
            };
            self.charge(number, -i64::from(size), 0);
            pruned.push(point);
            excess = excess.saturating_sub(u64::from(size));
            count = count.saturating_sub(1);
            authors.push((bytes.saturating_sub(u64::from(size)), number));
            heap.push((sum.saturating_sub(u64::from(size)), account));
        }
        pruned
    }

    /// Takes messages of evicted authors out of the log, at most `most`.
    pub(super) fn prune_doomed(&mut self, most: usize, decided: &mut Decided) -> Vec<Point> {
        let mut pruned = Vec::new();
        let mut from = 0;
        while pruned.len() < most
            && let Some(number) = self.doomed.front()
        {
            if let Some((seq, point)) = decided.oldest_logged(*number, from) {
                from = seq;
                decided.unlog(&point);
                pruned.push(point);
            } else {
                from = 0;
                self.doomed.pop_front();
            }
        }
        pruned
    }

    /// Takes the logged message of least sequence number out of the log.
    fn oldest(&mut self, number: u64, decided: &mut Decided) -> Option<(Point, u32)> {
        let author = self.authors.get_mut(&number)?;
        let Some((seq, point)) = decided.oldest_logged(number, author.prune_from) else {
            author.prune_from = u64::MAX;
            return None;
        };
        author.prune_from = seq;
        Some((point, decided.unlog(&point)))
    }
}
