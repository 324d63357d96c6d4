//! What peers and subscribers can make a node allocate, in bytes as the allocator counts them.
//!
//! The count is of the whole process, so the tests of this file take turns.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{Identity, NetworkId, Signed};
use overlay::wire::{
    self, Announce, Bounded, Gossip, Hello, MAX_ANNOUNCE, Message, MessageHeader, PeerRecord,
    Purpose, WireAddr, body_of,
};
use overlay::{Action, Config, Input, Lane, LinkId, Now, Overlay, Restored};
use peak_alloc::PeakAlloc;
use vouchsafe::{AddressPreset, From, Node};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

static TURN: Mutex<()> = Mutex::new(());

const START_MS: u64 = 1_790_000_000_000;
const LINK: LinkId = LinkId(1);
const MIB: usize = 1024 * 1024;

/// One test at a time.
fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn network() -> NetworkId {
    NetworkId::from_name("memory")
}

/// A core with one neighbor, which says whatever the test wants. The disk takes everything at once and keeps nothing.
struct Core {
    core: Overlay,
    now: Now,
}

impl Core {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let now = Now {
            mono: Instant::now(),
            unix_ms: START_MS,
        };
        let mut config = Config {
            addresses: AddressPreset::Local,
            ..Config::default()
        };
        change(&mut config);
        let me = Identity::from_seed(&[1; 32]);
        let core = Overlay::new(me, network(), config, [7; 32], now, Restored::default());
        let mut core = Self {
            core: core.expect("a valid configuration"),
            now,
        };
        let peer = Identity::from_seed(&[2; 32]);
        let addr: SocketAddr = "127.0.0.1:4000".parse().expect("an address");
        core.input(Input::Connected {
            link: LINK,
            peer: peer.id(),
            addr,
            local: None,
            dialed: None,
            rtt: Duration::from_millis(10),
        });
        let record = PeerRecord {
            id: peer.id().to_bytes(),
            version: START_MS,
            issued_unix_s: START_MS / 1000,
            ipv4: None,
            ipv6: None,
            roles: 0,
        };
        let record = Signed::sign(record, &peer, &network()).expect("its own record");
        core.frame(
            Lane::Control,
            &Message::Hello(Box::new(Hello {
                min_version: wire::VERSION,
                max_version: wire::VERSION,
                features: 0,
                network: *network().as_bytes(),
                purpose: Purpose::Neighbor,
                record: record.into_signed(),
                unix_ms: START_MS,
                observed: WireAddr(addr),
                announce_key: [1; 16],
            })),
        );
        assert_eq!(core.core.status().neighbors_inbound, 1);
        core
    }

    fn frame(&mut self, lane: Lane, message: &Message) {
        self.input(Input::Frame {
            link: LINK,
            lane,
            bytes: wire::encode(message),
        });
    }

    /// Feeds the core; every lane stays empty and every row is durable at once.
    fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        let mut stored = None;
        loop {
            while let Some(action) = self.core.poll_action() {
                match action {
                    Action::Persist { token, .. } => stored = Some(token),
                    Action::Close { link, code } => panic!("{link:?} was closed: {code}"),
                    _ => {}
                }
            }
            let Some(token) = stored.take() else { break };
            self.core.handle(self.now, Input::Persisted { token });
        }
        for lane in [Lane::Control, Lane::Own, Lane::Forwarded, Lane::Bulk] {
            let free_bytes = lane.capacity();
            let room = Input::Lane {
                link: LINK,
                lane,
                free_bytes,
            };
            self.core.handle(self.now, room);
            while self.core.poll_action().is_some() {}
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).expect("a short time");
    }
}

/// Ids that no message has: 100,000 of them from one neighbor.
#[test]
fn invented_announcements_take_at_most_four_mebibytes() {
    let _turn = turn();
    let mut core = Core::new(|_| {});
    let before = ALLOCATOR.current_usage();
    let (mut most, mut next) = (0, 0u64);
    while next < 100_000 {
        let ids = (next..next + MAX_ANNOUNCE as u64).map(|n| {
            let hash = crypto::body_root(&n.to_le_bytes());
            <[u8; 8]>::try_from(&hash[..8]).expect("eight bytes")
        });
        let ids = Bounded::truncated(ids.collect());
        core.frame(Lane::Control, &Message::Announce(Announce { ids }));
        core.pass(Duration::from_millis(20));
        next += MAX_ANNOUNCE as u64;
        most = most.max(ALLOCATOR.current_usage().saturating_sub(before));
    }
    let counters = &core.core.stats().broadcast;
    println!(
        "{most} bytes at most; {} ids found no room",
        counters.missing_full
    );
    assert!(counters.missing_full > 0, "the cap was not reached");
    assert!((100_000..4 * MIB).contains(&most), "{most} bytes");
}

/// Bytes that a node of small limits holds after each of `parts` equal parts of `messages` messages of 200 authors.
fn after_messages(messages: u64, parts: u64) -> Vec<usize> {
    let mut core = Core::new(|config| {
        let limits = &mut config.messages;
        limits.max_messages = 2000;
        limits.max_bytes = 2 * MIB as u64;
        limits.max_decided = 4000;
        limits.recent_bytes = MIB;
    });
    let before = ALLOCATOR.current_usage();
    let authors: Vec<Identity> = (0..200).map(|n| Identity::from_seed(&[n; 32])).collect();
    let mut held = Vec::new();
    for n in 0..messages {
        let author = &authors[n as usize % authors.len()];
        let seq = n / authors.len() as u64 + 1;
        let entries = vec![Bytes::from(vec![0; 256])];
        let (body_len, body_root) = body_of(&entries);
        let header = MessageHeader {
            author: author.id().to_bytes(),
            seq,
            prev_seq: seq - 1,
            published_unix_ms: core.now.unix_ms,
            topic: "news".parse().expect("a topic"),
            count: 1,
            body_len,
            body_root,
        };
        let signed = Signed::sign(header, author, &network()).expect("its own message");
        let gossip = Gossip {
            signed: signed.into_signed(),
            entries,
        };
        core.frame(Lane::Forwarded, &Message::Gossip(Box::new(gossip)));
        // 20 a second: the shortest window, three minutes, holds 3,600.
        core.pass(Duration::from_millis(50));
        if (n + 1) % (messages / parts) == 0 {
            held.push(ALLOCATOR.current_usage().saturating_sub(before));
        }
    }
    let counters = &core.core.stats().messages;
    assert_eq!(counters.appended, messages);
    assert!(counters.pruned > 0 && counters.squeezed > 0);
    held
}

fn assert_level(held: &[usize]) {
    println!("{held:?} bytes");
    let (first, most) = (held[0], held.iter().max().copied().unwrap_or_default());
    assert!(most <= 8 * MIB, "{held:?}");
    assert!(most <= first + first / 4, "it grows: {held:?}");
}

#[test]
fn messages_that_pass_through_leave_nothing_behind() {
    let _turn = turn();
    assert_level(&after_messages(30_000, 3));
}

/// Some minutes.
#[test]
#[ignore = "a soak: cargo test -p vouchsafe-integration-tests --test memory --release -- --ignored"]
fn a_million_messages_that_pass_through_leave_nothing_behind() {
    let _turn = turn();
    assert_level(&after_messages(1_000_000, 20));
}

/// What publishing 24 MB takes at most, with a subscriber that never reads or without one. The store is a file.
fn peak_of_publishing(subscribed: bool) -> usize {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let node = Node::builder()
            .network("memory")
            .data_dir(dir.path())
            .preset(AddressPreset::Local)
            .spawn()
            .await
            .expect("it starts");
        let handle = node.handle();
        let silent = if subscribed {
            Some(handle.subscribe("news", From::Now).await.expect("it runs"))
        } else {
            None
        };
        for _ in 0..3 {
            publish(&handle, 1000).await;
        }
        let held = ALLOCATOR.current_usage();
        let lagged = handle.stats().await.expect("it runs").transport;
        assert_eq!(lagged.subscriber_lagged > 0, subscribed);
        drop(silent);
        node.shutdown().await;
        held
    })
}

async fn publish(node: &vouchsafe::Handle, count: usize) {
    for _ in 0..count / 100 {
        // Payloads of their own, as from a network.
        let payloads = (0..100).map(|_| Bytes::from(vec![7; 8000]));
        for result in node.publish_many("news", payloads.collect()).await {
            result.expect("a valid publish");
        }
    }
}

#[test]
fn a_subscriber_that_never_reads_takes_at_most_its_eight_mebibytes() {
    let _turn = turn();
    let _warm = peak_of_publishing(true);
    let without = peak_of_publishing(false);
    let with = peak_of_publishing(true);
    let cost = with.saturating_sub(without);
    println!("{without} bytes without it, {with} with it");
    assert!((MIB..9 * MIB).contains(&cost), "{cost} bytes");
}
