//! Who may try to connect: limits by address and by group of addresses, asked before a handshake begins.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use overlay::collections::TokenBucket;
use overlay::config::AddressPreset;

/// What one place (an address or a group) is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Connections at a time, handshakes included.
    live: usize,
    /// Handshakes at a time.
    handshakes: usize,
    /// New connections at once after a pause.
    burst: u64,
    /// New connections per 10 seconds, in the long run.
    per_10_s: u64,
}

/// All limits of a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// An IPv4 address or an IPv6 /56, which is what one customer gets.
    site: Share,
    /// An IPv4 /24.
    group_v4: Share,
    /// An IPv6 /48.
    group_v6: Share,
    /// Handshakes in flight, all together.
    handshakes: usize,
    /// Above so many in flight, unproven source addresses are sent back with a retry token.
    retry_above: usize,
}

impl Shares {
    /// go-libp2p's limits for the open internet (`conn_limiter.go`, `conn_rate_limiter.go`: 8 per address or /56, 64 per /48;
    /// 0.2/s with a burst of 16, per /48 0.5/s with 80); the numbers for a /24 and for the other presets are guesses. No preset
    /// turns a limit off.
    pub(crate) fn of(preset: AddressPreset) -> Self {
        let share = |live, handshakes, burst, per_10_s| Share {
            live,
            handshakes,
            burst,
            per_10_s,
        };
        match preset {
            AddressPreset::Wan => Self {
                site: share(8, 4, 16, 2),
                group_v4: share(16, 8, 32, 4),
                group_v6: share(64, 16, 80, 5),
                handshakes: 64,
                retry_above: 16,
            },
            AddressPreset::Lan => Self {
                site: share(64, 16, 64, 40),
                group_v4: share(256, 64, 256, 160),
                group_v6: share(256, 64, 256, 160),
                handshakes: 64,
                retry_above: 16,
            },
            AddressPreset::Local => Self {
                site: share(256, 256, 1024, 2560),
                group_v4: share(1024, 256, 4096, 10_240),
                group_v6: share(1024, 256, 4096, 10_240),
                handshakes: 256,
                retry_above: 16,
            },
        }
    }
}

/// Places that are remembered. When full, the eighth of them that was idle longest is forgotten, and with it how much of
/// its rate it had used.
const MAX_PLACES: usize = 4096;

/// An address or a group of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    V4([u8; 4]),
    V4Group([u8; 3]),
    V6Site([u8; 7]),
    V6Group([u8; 6]),
}

/// Site and group of an address, which must be canonical.
fn places(ip: IpAddr) -> [Place; 2] {
    match ip {
        IpAddr::V4(ip) => {
            let o = ip.octets();
            [Place::V4(o), Place::V4Group([o[0], o[1], o[2]])]
        }
        IpAddr::V6(ip) => {
            let o = ip.octets();
            [
                Place::V6Site([o[0], o[1], o[2], o[3], o[4], o[5], o[6]]),
                Place::V6Group([o[0], o[1], o[2], o[3], o[4], o[5]]),
            ]
        }
    }
}

#[derive(Debug)]
struct Entry {
    live: usize,
    handshakes: usize,
    rate: TokenBucket,
    used: Instant,
}

/// What to do with an attempt.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Go on with the handshake; the slot is held for as long as the connection lives.
    Accept(Slot),
    /// Let the sender prove its address first.
    Retry,
    /// Its address or group has enough connections.
    OverShare,
    /// Its address or group comes too often.
    OverRate,
    /// The node has enough handshakes in flight, or connections.
    Full,
}

#[derive(Debug)]
struct State {
    shares: Shares,
    max_links: usize,
    places: BTreeMap<Place, Entry>,
    handshakes: usize,
    live: usize,
}

/// Counts connections and attempts; shared by the endpoints of a node.
#[derive(Clone, Debug)]
pub(crate) struct Limiter(Arc<Mutex<State>>);

impl Limiter {
    pub(crate) fn new(shares: Shares, max_links: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            shares,
            max_links,
            places: BTreeMap::new(),
            handshakes: 0,
            live: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges an attempt from `addr`; `validated` = the sender has proved that it receives there.
    pub(crate) fn admit(&self, addr: SocketAddr, validated: bool, now: Instant) -> Admission {
        let mut state = self.lock();
        let shares = state.shares;
        if state.handshakes >= shares.handshakes || state.live >= state.max_links {
            return Admission::Full;
        }
        if !validated && state.handshakes >= shares.retry_above {
            return Admission::Retry;
        }
        let places = places(addr.ip().to_canonical());
        state.make_room();
        for place in places {
            let share = shares.of_place(place);
            let entry = state.entry(place, now);
            if entry.live >= share.live || entry.handshakes >= share.handshakes {
                return Admission::OverShare;
            }
            let left = entry.rate.available(now);
            if left == 0 {
                return Admission::OverRate;
            }
            // Whoever forges source addresses can use up half of a stranger's rate; the other half is for those who prove
            // that the address is theirs.
            if !validated && left <= share.burst / 2 {
                return Admission::Retry;
            }
        }
        for place in places {
            let entry = state.entry(place, now);
            entry.rate.take(1, now);
            entry.live += 1;
            entry.handshakes += 1;
        }
        state.handshakes += 1;
        state.live += 1;
        Admission::Accept(Slot {
            limiter: self.clone(),
            places,
            handshake: true,
        })
    }

    /// Counts a dial of our own as a connection; `None` = there are enough.
    pub(crate) fn dialled(&self) -> Option<DialSlot> {
        let mut state = self.lock();
        if state.live >= state.max_links {
            return None;
        }
        state.live += 1;
        Some(DialSlot(self.clone()))
    }
}

impl Shares {
    fn of_place(&self, place: Place) -> Share {
        match place {
            Place::V4(_) | Place::V6Site(_) => self.site,
            Place::V4Group(_) => self.group_v4,
            Place::V6Group(_) => self.group_v6,
        }
    }
}

impl State {
    fn entry(&mut self, place: Place, now: Instant) -> &mut Entry {
        let share = self.shares.of_place(place);
        let entry = self.places.entry(place).or_insert_with(|| Entry {
            live: 0,
            handshakes: 0,
            rate: TokenBucket::per(share.burst, share.per_10_s, Duration::from_secs(10), now),
            used: now,
        });
        entry.used = now;
        entry
    }

    /// Makes room for two places. Those with a live connection stay; there are fewer of them than `max_links`.
    fn make_room(&mut self) {
        if self.places.len() + 2 <= MAX_PLACES {
            return;
        }
        let mut idle: Vec<(Instant, Place)> = self
            .places
            .iter()
            .filter(|(_, entry)| entry.live == 0)
            .map(|(place, entry)| (entry.used, *place))
            .collect();
        idle.sort_unstable();
        for (_, place) in idle.into_iter().take(MAX_PLACES / 8) {
            self.places.remove(&place);
        }
    }

    fn release(&mut self, places: [Place; 2], handshake: bool) {
        for place in places {
            if let Some(entry) = self.places.get_mut(&place) {
                entry.live = entry.live.saturating_sub(1);
                if handshake {
                    entry.handshakes = entry.handshakes.saturating_sub(1);
                }
            }
        }
        self.live = self.live.saturating_sub(1);
        if handshake {
            self.handshakes = self.handshakes.saturating_sub(1);
        }
    }
}

/// The place of one inbound connection; freed on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    limiter: Limiter,
    places: [Place; 2],
    handshake: bool,
}

impl Slot {
    /// The handshake is done.
    pub(crate) fn established(&mut self) {
        if std::mem::take(&mut self.handshake) {
            let mut state = self.limiter.lock();
            state.handshakes = state.handshakes.saturating_sub(1);
            for place in self.places {
                if let Some(entry) = state.places.get_mut(&place) {
                    entry.handshakes = entry.handshakes.saturating_sub(1);
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limiter.lock().release(self.places, self.handshake);
    }
}

/// The place of one connection that we dialled; freed on drop.
#[derive(Debug)]
pub(crate) struct DialSlot(Limiter);

impl Drop for DialSlot {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.live = state.live.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wan(max_links: usize) -> Limiter {
        Limiter::new(Shares::of(AddressPreset::Wan), max_links)
    }

    fn addr(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 4100)
    }

    /// Tries `n` times and keeps what is accepted, with the handshake done.
    fn fill(limiter: &Limiter, ips: &[&str], n: usize, now: Instant) -> Vec<Slot> {
        let mut slots = Vec::new();
        for i in 0..n {
            if let Admission::Accept(mut slot) = limiter.admit(addr(ips[i % ips.len()]), true, now)
            {
                slot.established();
                slots.push(slot);
            }
        }
        slots
    }

    #[test]
    fn an_address_holds_eight_and_a_group_sixteen_and_others_still_get_in() {
        let (limiter, now) = (wan(128), Instant::now());
        assert_eq!(fill(&limiter, &["198.51.100.1"], 100, now).len(), 8);
        let ips: Vec<String> = (0..32).map(|i| format!("203.0.113.{i}")).collect();
        let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
        let held = fill(&limiter, &ips, 32, now);
        assert_eq!(held.len(), 16);
        assert!(matches!(
            limiter.admit(addr("203.0.113.77"), true, now),
            Admission::OverShare
        ));
        assert!(matches!(
            limiter.admit(addr("192.0.2.1"), true, now),
            Admission::Accept(_)
        ));
    }

    #[test]
    fn v6_counts_by_56_and_48_and_mapped_v4_as_v4() {
        let (limiter, now) = (wan(1000), Instant::now());
        let site = ["2001:db8:1:100::1", "2001:db8:1:1ff::2"];
        assert_eq!(fill(&limiter, &site, 100, now).len(), 8, "one /56");
        let limiter = wan(1000);
        let sites: Vec<String> = (0..255)
            .map(|i| format!("2001:db8:1:{i:02x}00::1"))
            .collect();
        let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
        assert_eq!(fill(&limiter, &sites, 255, now).len(), 64, "one /48");
        let limiter = wan(1000);
        let same = ["198.51.100.1", "::ffff:198.51.100.1"];
        assert_eq!(fill(&limiter, &same, 100, now).len(), 8);
    }

    #[test]
    fn coming_again_and_again_is_limited_by_rate() {
        let (limiter, start) = (wan(128), Instant::now());
        let accepted = |seconds: u64, tries: usize| {
            let now = start + Duration::from_secs(seconds);
            (0..tries)
                .filter(|_| {
                    matches!(
                        limiter.admit(addr("198.51.100.1"), true, now),
                        Admission::Accept(_)
                    )
                })
                .count()
        };
        assert_eq!(accepted(0, 100), 16, "the burst");
        assert_eq!(accepted(0, 100), 0);
        assert_eq!(accepted(50, 100), 10, "0.2 a second");
    }

    #[test]
    fn handshakes_in_flight_are_few_for_one_address_and_bounded_for_all() {
        let (limiter, now) = (wan(1000), Instant::now());
        let mut held = Vec::new();
        for _ in 0..10 {
            if let Admission::Accept(slot) = limiter.admit(addr("198.51.100.1"), true, now) {
                held.push(slot);
            }
        }
        assert_eq!(held.len(), 4);
        held[0].established();
        let again = limiter.admit(addr("198.51.100.1"), true, now);
        assert!(matches!(again, Admission::Accept(_)));
        for i in 0..200 {
            let from = addr(&format!("10.{i}.0.1"));
            if let Admission::Accept(slot) = limiter.admit(from, true, now) {
                held.push(slot);
            }
        }
        assert_eq!(held.iter().filter(|slot| slot.handshake).count(), 63);
        drop(again);
        held.clear();
        assert_eq!(limiter.lock().handshakes, 0);
        assert_eq!(limiter.lock().live, 0);
    }

    #[test]
    fn strangers_prove_their_address_when_many_come() {
        let (limiter, now) = (wan(1000), Instant::now());
        let mut held = Vec::new();
        for i in 0..16 {
            match limiter.admit(addr(&format!("10.{i}.0.1")), false, now) {
                Admission::Accept(slot) => held.push(slot),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            limiter.admit(addr("10.99.0.1"), false, now),
            Admission::Retry
        ));
        assert!(matches!(
            limiter.admit(addr("10.99.0.1"), true, now),
            Admission::Accept(_)
        ));
    }

    #[test]
    fn forged_attempts_leave_half_the_rate_to_the_true_owner() {
        let (limiter, now) = (wan(1000), Instant::now());
        let victim = addr("198.51.100.1");
        let forged = (0..1000)
            .filter(|_| matches!(limiter.admit(victim, false, now), Admission::Accept(_)))
            .count();
        assert_eq!(forged, 8);
        let owner = (0..1000)
            .filter(|_| matches!(limiter.admit(victim, true, now), Admission::Accept(_)))
            .count();
        assert_eq!(owner, 8);
    }

    #[test]
    fn max_links_counts_dials_too() {
        let (limiter, now) = (wan(3), Instant::now());
        let dialled = limiter.dialled().unwrap();
        let held = fill(&limiter, &["198.51.100.1"], 10, now);
        assert_eq!(held.len(), 2);
        assert!(limiter.dialled().is_none());
        assert!(matches!(
            limiter.admit(addr("192.0.2.1"), true, now),
            Admission::Full
        ));
        drop(dialled);
        assert!(limiter.dialled().is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_live_places_stay() {
        let (limiter, start) = (wan(1000), Instant::now());
        let held = fill(&limiter, &["198.51.100.1"], 8, start);
        for i in 0..20_000u32 {
            let ip = IpAddr::from((0x0b00_0000 + (i << 8)).to_be_bytes());
            let now = start + Duration::from_millis(u64::from(i));
            drop(limiter.admit(SocketAddr::new(ip, 1), true, now));
        }
        assert!(limiter.lock().places.len() <= MAX_PLACES);
        let later = start + Duration::from_secs(3600);
        assert!(matches!(
            limiter.admit(addr("198.51.100.1"), true, later),
            Admission::OverShare
        ));
        drop(held);
    }

    #[test]
    fn no_preset_turns_a_limit_off() {
        for preset in [AddressPreset::Local, AddressPreset::Lan, AddressPreset::Wan] {
            let shares = Shares::of(preset);
            for share in [shares.site, shares.group_v4, shares.group_v6] {
                assert!(share.live <= 1024 && share.handshakes <= 256);
                assert!(share.burst <= 4096 && share.per_10_s <= 10_240);
            }
            assert!(shares.handshakes <= 256 && shares.retry_above == 16);
        }
    }
}
