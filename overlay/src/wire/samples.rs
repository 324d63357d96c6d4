//! Messages for tests: random valid ones, the largest of each type, and the fixed ones of `docs/PROTOCOL.md`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use crypto::{CHUNK_LEN, Identity, Manifest, MessageId, NetworkId, Signable, Signed, chunk_count};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::messages::{MAX_BODY, MAX_ENTRIES, MAX_INLINE, MAX_TOPIC, Topic};

/// Unsigned: the codec does not look at signatures.
fn unsigned<T: Signable>(value: T, signature: [u8; 64]) -> Signed<T> {
    Signed { value, signature }
}

fn header(seq: u64, prev_seq: u64, topic: Topic, entries: &[Bytes]) -> MessageHeader {
    let (body_len, body_root) = body_of(entries);
    MessageHeader {
        author: [0xee; 32],
        seq,
        prev_seq,
        published_unix_ms: 1_767_225_600_000,
        topic,
        count: u16::try_from(entries.len()).unwrap(),
        body_len,
        body_root,
    }
}

/// Gossip with these entries, unsigned.
pub(super) fn gossip(seq: u64, prev_seq: u64, entries: Vec<Bytes>) -> Gossip {
    let header = header(seq, prev_seq, "t".parse().unwrap(), &entries);
    Gossip {
        signed: unsigned(header, [0xaa; 64]),
        entries,
    }
}

fn any_record() -> impl Strategy<Value = Signed<PeerRecord>> {
    (
        any::<[u8; 32]>(),
        any::<u64>(),
        any::<u64>(),
        option::of(any::<(Ipv4Addr, u16)>()),
        option::of(any_ipv6()),
        any::<u32>(),
        signature(),
    )
        .prop_map(
            |(id, version, issued_unix_s, ipv4, ipv6, roles, signature)| {
                let record = PeerRecord {
                    id,
                    version,
                    issued_unix_s,
                    ipv4,
                    ipv6,
                    roles,
                };
                unsigned(record, signature)
            },
        )
}

fn any_ipv6() -> impl Strategy<Value = (Ipv6Addr, u16)> {
    any::<(u128, u16)>()
        .prop_map(|(bits, port)| (Ipv6Addr::from_bits(bits), port))
        .prop_filter("mapped", |(ip, _)| ip.to_ipv4_mapped().is_none())
}

fn any_addr() -> impl Strategy<Value = WireAddr> {
    prop_oneof![
        any::<(Ipv4Addr, u16)>().prop_map(|addr| WireAddr(addr.into())),
        any_ipv6().prop_map(|addr| WireAddr(addr.into())),
    ]
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    any::<[[u8; 32]; 2]>().prop_map(|halves| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&halves[0]);
        signature[32..].copy_from_slice(&halves[1]);
        signature
    })
}

fn any_purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![Just(Purpose::Visit), Just(Purpose::Neighbor)]
}

fn any_list() -> impl Strategy<Value = Bounded<ListItem, MAX_LIST>> {
    let item =
        (any_record(), 0u8..4, any::<(Ipv4Addr, u16)>()).prop_map(|(mut record, wanted, ipv4)| {
            if wanted == 0 {
                let record = without_address(record);
                return ListItem { record, proven: 0 };
            }
            let present = record.value.addrs().fold(0, |bits, (bit, _)| bits | bit);
            let mut proven = wanted & present;
            if proven == 0 {
                record.value.ipv4 = Some(ipv4);
                proven = 1;
            }
            ListItem { record, proven }
        });
    vec(item, 0..5).prop_map(Bounded::truncated)
}

fn any_point() -> impl Strategy<Value = Point> {
    any::<(u64, [u8; 32])>().prop_map(|(unix_ms, id)| Point { unix_ms, id })
}

fn any_ids() -> impl Strategy<Value = Bounded<[u8; 32], MAX_FETCH>> {
    vec(any::<[u8; 32]>(), 0..20).prop_map(Bounded::truncated)
}

fn any_short_ids() -> impl Strategy<Value = Bounded<ShortId, MAX_ANNOUNCE>> {
    vec(any::<ShortId>(), 0..=MAX_ANNOUNCE).prop_map(Bounded::truncated)
}

fn any_branch() -> impl Strategy<Value = Branch> {
    prop_oneof![
        Just(Branch::Default),
        any::<[u8; 32]>().prop_map(Branch::Author),
        any::<[u8; 32]>().prop_map(Branch::Bulk)
    ]
}

fn any_reconcile() -> impl Strategy<Value = Reconcile> {
    let points = proptest::collection::btree_set(any_point(), 1..60);
    let kinds = vec((0u8..5, any::<u32>(), any::<[u8; 16]>(), any::<bool>()), 20);
    let head = any::<(u64, [u8; 16], bool, u64)>();
    (head, points, kinds).prop_map(|((session, key, initiator, low_edge_ms), points, kinds)| {
        let mut points = points.into_iter().peekable();
        let start = points.next().unwrap();
        let mut ranges = Vec::new();
        for (kind, count, fingerprint, answer) in kinds {
            let listed = points.by_ref().take(usize::from(kind)).collect();
            let Some(end) = points.next() else { break };
            let content = match kind {
                0 => RangeContent::Skip,
                1 => RangeContent::Fingerprint { count, fingerprint },
                2 => RangeContent::Ids {
                    ids: Bounded::truncated(listed),
                    answer,
                },
                3 => RangeContent::Found {
                    ids: Bounded::truncated(listed),
                    wanted: Bounded::truncated(vec![[fingerprint[0]; 8]]),
                },
                _ => RangeContent::Sketch {
                    cells: Bounded::truncated(vec![
                        Cell {
                            count,
                            sum: [fingerprint[0]; 8],
                            check: [fingerprint[1]; 4],
                        };
                        72
                    ]),
                },
            };
            ranges.push(Range { end, content });
        }
        Reconcile {
            session,
            key,
            start,
            initiator,
            ranges: Bounded::truncated(ranges),
            low_edge_ms,
        }
    })
}

fn any_gossip() -> impl Strategy<Value = Gossip> {
    let numbers = (1..=u64::MAX).prop_flat_map(|seq| (Just(seq), 0..seq));
    let payload = prop_oneof![4 => vec(any::<u8>(), 0..300), 1 => vec(any::<u8>(), 9_000..9_600)];
    (
        any::<[u8; 32]>(),
        numbers,
        any::<u64>(),
        "[A-Za-z0-9._/-]{1,64}",
        signature(),
        prop_oneof![
            vec(payload, 1..5),
            vec(vec(any::<u8>(), 0..3), 1..=MAX_ENTRIES)
        ],
    )
        .prop_map(
            |(author, (seq, prev_seq), date, topic, signature, entries)| {
                let entries: Vec<Bytes> = entries.into_iter().map(Bytes::from).collect();
                let header = MessageHeader {
                    author,
                    published_unix_ms: date,
                    ..header(seq, prev_seq, topic.parse().unwrap(), &entries)
                };
                Gossip {
                    signed: unsigned(header, signature),
                    entries,
                }
            },
        )
}

/// A head of a body that nobody has; the codec does not look at signatures.
pub(super) fn head(seq: u64, prev_seq: u64, count: u16, len: usize, hashes: Vec<[u8; 32]>) -> Head {
    let manifest = Manifest::new(len, hashes).unwrap();
    let header = MessageHeader {
        count,
        body_len: u32::try_from(len).unwrap(),
        body_root: manifest.root(),
        ..header(seq, prev_seq, "t".parse().unwrap(), &[])
    };
    Head {
        signed: unsigned(header, [0xaa; 64]),
        manifest,
        hops: 0,
        follows: false,
    }
}

fn any_head() -> impl Strategy<Value = Head> {
    let len = prop_oneof![4usize..3000, 4usize..20 * CHUNK_LEN];
    let hashes = vec(any::<[u8; 32]>(), 20);
    let rest = (any::<[u8; 32]>(), any::<u8>(), any::<bool>(), signature());
    (any_gossip(), len, hashes, rest, any::<u16>()).prop_map(
        |(gossip, len, mut hashes, (author, hops, follows, signature), count)| {
            hashes.truncate(chunk_count(len));
            let count = 1 + count % u16::try_from((len / 4).min(MAX_ENTRIES)).unwrap();
            let base = head(1, 0, count, len, hashes);
            let from = gossip.signed.value;
            let header = MessageHeader {
                author,
                seq: from.seq,
                prev_seq: from.prev_seq,
                published_unix_ms: from.published_unix_ms,
                topic: from.topic,
                ..base.signed.value
            };
            Head {
                signed: unsigned(header, signature),
                hops,
                follows,
                ..base
            }
        },
    )
}

fn any_chunk() -> impl Strategy<Value = Chunk> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 1..400),
        vec(any::<u8>(), CHUNK_LEN..=CHUNK_LEN)
    ];
    (any::<[u8; 32]>(), any::<u16>(), bytes).prop_map(|(id, index, bytes)| Chunk {
        id,
        index,
        bytes: bytes.into(),
    })
}

fn any_span() -> impl Strategy<Value = ([u8; 32], u16, u16)> {
    (any::<[u8; 32]>(), any::<u16>(), any::<u16>()).prop_map(|(id, a, b)| {
        let from = a.min(b).min(u16::MAX - 1);
        (id, from, a.max(b).max(from + 1))
    })
}

/// Any valid message, each type as often as the others.
pub(super) fn any_message() -> impl Strategy<Value = Message> {
    let hello = (
        (1u8.., any::<u8>(), any::<u64>(), any::<[u8; 32]>()),
        (any_purpose(), any_record(), any::<u64>(), any_addr()),
        any::<[u8; 16]>(),
    )
        .prop_map(|((min, more, features, network), rest, announce_key)| {
            let (purpose, record, unix_ms, observed) = rest;
            Message::Hello(Box::new(Hello {
                min_version: min,
                max_version: min.saturating_add(more),
                features,
                network,
                purpose,
                record,
                unix_ms,
                observed,
                announce_key,
            }))
        });
    let accept = (
        any::<(u8, u64, u64, [u8; 16])>(),
        (any_purpose(), any_record(), any_addr()),
    )
        .prop_map(|((version, features, unix_ms, announce_key), rest)| {
            let (purpose, record, observed) = rest;
            Message::Accept(Box::new(Accept {
                version,
                features,
                purpose,
                record,
                unix_ms,
                observed,
                announce_key,
            }))
        });
    let tree = prop_oneof![
        any_short_ids().prop_map(|ids| Message::Announce(Announce { ids })),
        (option::of(any_branch()), any_short_ids(), any::<bool>())
            .prop_map(|(branch, ids, once)| Message::Graft(Graft { branch, ids, once })),
        any_branch().prop_map(|branch| Message::Prune(Prune { branch })),
    ];
    let bodies = prop_oneof![
        any_head().prop_map(|head| Message::Head(Box::new(head))),
        any_chunk().prop_map(Message::Chunk),
        any_short_ids().prop_map(|ids| Message::Have(Have { ids })),
        any_span().prop_map(|(id, from, to)| Message::Want(Want { id, from, to })),
        any_span().prop_map(|(id, from, to)| Message::Cancel(Cancel { id, from, to })),
        any_short_ids().prop_map(|ids| Message::Part(Part { ids })),
        any::<[u8; 32]>().prop_map(|id| Message::Busy(Busy { id })),
    ];
    prop_oneof![
        hello,
        accept,
        any::<(u16, u16)>().prop_map(|(code, seconds)| Message::Refuse(Refuse {
            code,
            retry_after: RetryAfter::from_secs(seconds)
        })),
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        Just(Message::NeighborRequest),
        any::<Option<u16>>().prop_map(Message::NeighborReply),
        any::<u16>().prop_map(Message::Probe),
        any::<u16>().prop_map(Message::ProbeAck),
        any::<u16>().prop_map(Message::Seen),
        any_record().prop_map(|record| Message::Leave(Box::new(without_address(record)))),
        (any::<u16>(), any::<[u8; 32]>())
            .prop_map(|(number, target)| Message::Look(Look { number, target })),
        (any_record(), any::<u8>(), any_list()).prop_map(|(record, want, list)| {
            Message::ExchangeRequest(Box::new(ExchangeRequest { record, want, list }))
        }),
        (any_record(), any_list()).prop_map(|(record, list)| Message::ExchangeReply(Box::new(
            ExchangeReply { record, list }
        ))),
        any_gossip().prop_map(|gossip| Message::Gossip(Box::new(gossip))),
        tree,
        bodies,
        any_reconcile().prop_map(|reconcile| Message::Reconcile(Box::new(reconcile))),
        any_ids().prop_map(|ids| Message::Fetch(Fetch { ids })),
        any_ids().prop_map(|ids| Message::FetchMissing(FetchMissing { ids })),
    ]
}

/// A valid message of each type, as long as its type can get.
pub(super) fn largest() -> Vec<Message> {
    let record = unsigned(
        PeerRecord {
            id: [0xff; 32],
            version: u64::MAX,
            issued_unix_s: u64::MAX,
            ipv4: Some((Ipv4Addr::BROADCAST, u16::MAX)),
            ipv6: Some((Ipv6Addr::from_bits(u128::MAX), u16::MAX)),
            roles: u32::MAX,
        },
        [0xff; 64],
    );
    let observed = WireAddr((Ipv6Addr::from_bits(u128::MAX), u16::MAX).into());
    let item = ListItem {
        record: record.clone(),
        proven: 3,
    };
    let list: Bounded<_, MAX_LIST> = Bounded::truncated(vec![item; MAX_LIST]);
    let short_ids: Bounded<_, MAX_ANNOUNCE> = Bounded::truncated(vec![[0xff; 8]; MAX_ANNOUNCE]);
    let ids: Bounded<_, MAX_FETCH> = Bounded::truncated(vec![[0xff; 32]; MAX_FETCH]);
    let branch = Branch::Author([0xff; 32]);
    let point = |n: usize| {
        let mut id = [0xff; 32];
        id[..4].copy_from_slice(&u32::try_from(n).unwrap().to_be_bytes());
        Point {
            unix_ms: u64::MAX,
            id,
        }
    };
    let mut ranges: Vec<_> = (1..MAX_RANGES)
        .map(|n| Range {
            end: point(n),
            content: RangeContent::Fingerprint {
                count: u32::MAX,
                fingerprint: [0xff; 16],
            },
        })
        .collect();
    ranges.push(Range {
        end: point(MAX_RANGES + MAX_RANGE_IDS),
        content: RangeContent::Ids {
            ids: Bounded::truncated((0..MAX_RANGE_IDS).map(|n| point(MAX_RANGES + n)).collect()),
            answer: true,
        },
    });
    let body = MAX_INLINE - MAX_ENTRIES * 4;
    let mut entries = vec![Bytes::from(vec![0xff; body / MAX_ENTRIES]); MAX_ENTRIES];
    entries[0] = Bytes::from(vec![0xff; body - (MAX_ENTRIES - 1) * (body / MAX_ENTRIES)]);
    let topic = "t".repeat(MAX_TOPIC).parse().unwrap();
    let header = MessageHeader {
        published_unix_ms: u64::MAX,
        ..header(u64::MAX, 0, topic, &entries)
    };
    let mut head = head(1, 0, 256, MAX_BODY, vec![[0xff; 32]; MAX_CHUNKS]);
    head.signed.value = MessageHeader {
        count: 256,
        body_len: head.signed.value.body_len,
        body_root: head.signed.value.body_root,
        ..header.clone()
    };
    (head.hops, head.follows) = (u8::MAX, true);
    let (id, from, to) = ([0xff; 32], u16::MAX - 1, u16::MAX);
    vec![
        Message::Hello(Box::new(Hello {
            min_version: u8::MAX,
            max_version: u8::MAX,
            features: u64::MAX,
            network: [0xff; 32],
            purpose: Purpose::Neighbor,
            record: record.clone(),
            unix_ms: u64::MAX,
            observed,
            announce_key: [0xff; 16],
        })),
        Message::Accept(Box::new(Accept {
            version: u8::MAX,
            features: u64::MAX,
            purpose: Purpose::Neighbor,
            record: record.clone(),
            unix_ms: u64::MAX,
            observed,
            announce_key: [0xff; 16],
        })),
        Message::Refuse(Refuse {
            code: u16::MAX,
            retry_after: RetryAfter::from_secs(u16::MAX),
        }),
        Message::Ping(u64::MAX),
        Message::Pong(u64::MAX),
        Message::NeighborRequest,
        Message::NeighborReply(Some(u16::MAX)),
        Message::ExchangeRequest(Box::new(ExchangeRequest {
            record: record.clone(),
            want: u8::MAX,
            list: list.clone(),
        })),
        Message::ExchangeReply(Box::new(ExchangeReply {
            record: record.clone(),
            list,
        })),
        Message::Probe(u16::MAX),
        Message::ProbeAck(u16::MAX),
        Message::Look(Look {
            number: u16::MAX,
            target: [0xff; 32],
        }),
        Message::Seen(u16::MAX),
        Message::Leave(Box::new(without_address(record))),
        Message::Gossip(Box::new(Gossip {
            signed: unsigned(header, [0xff; 64]),
            entries,
        })),
        Message::Announce(Announce {
            ids: short_ids.clone(),
        }),
        Message::Graft(Graft {
            branch: Some(branch),
            ids: short_ids.clone(),
            once: true,
        }),
        Message::Prune(Prune { branch }),
        Message::Head(Box::new(head)),
        Message::Have(Have {
            ids: short_ids.clone(),
        }),
        Message::Want(Want { id, from, to }),
        Message::Cancel(Cancel { id, from, to }),
        Message::Reconcile(Box::new(Reconcile {
            session: u64::MAX,
            key: [0xff; 16],
            start: point(0),
            initiator: true,
            ranges: Bounded::truncated(ranges),
            low_edge_ms: u64::MAX,
        })),
        Message::Fetch(Fetch { ids: ids.clone() }),
        Message::FetchMissing(FetchMissing { ids }),
        Message::Chunk(Chunk {
            id,
            index: u16::MAX,
            bytes: vec![0xff; CHUNK_LEN].into(),
        }),
        Message::Part(Part { ids: short_ids }),
        Message::Busy(Busy { id }),
    ]
}

/// The nodes of the fixed examples: Alice has the secret seed `01` x 32, Bob `02` x 32.
pub(super) fn alice() -> Identity {
    Identity::from_seed(&[1; 32])
}

/// See [`alice`].
pub(super) fn bob() -> Identity {
    Identity::from_seed(&[2; 32])
}

/// The network of the fixed examples.
pub(super) fn network() -> NetworkId {
    NetworkId::from_name("example")
}

/// Alice's record of the fixed examples.
pub(super) fn alice_record() -> Signed<PeerRecord> {
    let record = PeerRecord {
        id: alice().id().to_bytes(),
        version: 1_767_225_600_000,
        issued_unix_s: 1_767_225_600,
        ipv4: Some((Ipv4Addr::new(192, 0, 2, 1), 4100)),
        ipv6: None,
        roles: 0,
    };
    let signed = Signed::sign(record, &alice(), &network());
    signed.unwrap().into_signed()
}

/// Bob's record of the fixed examples.
pub(super) fn bob_record() -> Signed<PeerRecord> {
    let record = PeerRecord {
        id: bob().id().to_bytes(),
        version: 1_767_225_600_001,
        issued_unix_s: 1_767_225_600,
        ipv4: Some((Ipv4Addr::new(198, 51, 100, 2), 4200)),
        ipv6: Some(("2001:db8::2".parse().unwrap(), 4200)),
        roles: 0,
    };
    let signed = Signed::sign(record, &bob(), &network());
    signed.unwrap().into_signed()
}

/// What Bob says when he leaves.
fn bob_left() -> Signed<PeerRecord> {
    let record = PeerRecord {
        version: 1_767_225_700_000,
        issued_unix_s: 1_767_225_700,
        ..without_address(bob_record()).value
    };
    let signed = Signed::sign(record, &bob(), &network());
    signed.unwrap().into_signed()
}

fn without_address(mut record: Signed<PeerRecord>) -> Signed<PeerRecord> {
    (record.value.ipv4, record.value.ipv6) = (None, None);
    record
}

/// Alice's message of the fixed examples.
pub(super) fn alice_message() -> Gossip {
    let entries = vec![Bytes::from_static(b"hello"), Bytes::from_static(b"world")];
    let header = MessageHeader {
        author: alice().id().to_bytes(),
        ..header(7, 5, "chat/general".parse().unwrap(), &entries)
    };
    let signed = Signed::sign(header, &alice(), &network());
    Gossip {
        signed: signed.unwrap().into_signed(),
        entries,
    }
}

/// The body of Alice's large message of the fixed examples: one entry of 32,796 bytes, each the lowest byte of its index.
pub(super) fn alice_body() -> Bytes {
    let entry: Vec<u8> = (0..32_796u32).map(|n| n.to_le_bytes()[0]).collect();
    body_bytes(&[entry.into()]).into()
}

/// Alice's large message of the fixed examples.
pub(super) fn alice_head() -> Head {
    let manifest = Manifest::of(&alice_body()).unwrap();
    let header = MessageHeader {
        author: alice().id().to_bytes(),
        count: 1,
        body_len: 32_800,
        body_root: manifest.root(),
        ..header(8, 7, "chat/general".parse().unwrap(), &[])
    };
    let signed = Signed::sign(header, &alice(), &network());
    Head {
        signed: signed.unwrap().into_signed(),
        manifest,
        hops: 1,
        follows: true,
    }
}

/// One message of each type, by the name of its vector in `docs/PROTOCOL.md`.
pub(super) fn examples() -> Vec<(&'static str, Message)> {
    let addr = |text: &str| WireAddr(text.parse::<SocketAddr>().unwrap());
    let id: MessageId = alice_message().signed.value.id(&network());
    let announce_key = *b"bob's announce k";
    let short_ids: Bounded<_, MAX_ANNOUNCE> =
        Bounded::truncated(vec![short_id(&announce_key, &id)]);
    let ids: Bounded<_, MAX_FETCH> = Bounded::truncated(vec![id.to_bytes()]);
    let head = alice_head();
    let large = head.signed.value.id(&network());
    let large_short = Bounded::truncated(vec![short_id(&announce_key, &large)]);
    let large = large.to_bytes();
    let point = |unix_ms, byte| Point {
        unix_ms,
        id: [byte; 32],
    };
    let ranges = vec![
        Range {
            end: point(1_767_225_000_000, 0),
            content: RangeContent::Skip,
        },
        Range {
            end: point(1_767_225_300_000, 0),
            content: RangeContent::Fingerprint {
                count: 300,
                fingerprint: *b"fingerprint of 3",
            },
        },
        Range {
            end: point(u64::MAX, 0xff),
            content: RangeContent::Ids {
                ids: Bounded::truncated(vec![Point {
                    unix_ms: 1_767_225_600_000,
                    id: id.to_bytes(),
                }]),
                answer: true,
            },
        },
    ];
    let item = ListItem {
        record: bob_record(),
        proven: 1,
    };
    vec![
        (
            "hello",
            Message::Hello(Box::new(Hello {
                min_version: 1,
                max_version: 1,
                features: 0,
                network: network().to_bytes(),
                purpose: Purpose::Neighbor,
                record: alice_record(),
                unix_ms: 1_767_225_600_123,
                observed: addr("198.51.100.2:4200"),
                announce_key: *b"alice's announce",
            })),
        ),
        (
            "accept",
            Message::Accept(Box::new(Accept {
                version: 1,
                features: 0,
                purpose: Purpose::Neighbor,
                record: bob_record(),
                unix_ms: 1_767_225_600_150,
                observed: addr("[2001:db8::1]:50000"),
                announce_key,
            })),
        ),
        (
            "refuse",
            Message::Refuse(Refuse {
                code: 4,
                retry_after: RetryAfter::from_secs(300),
            }),
        ),
        ("ping", Message::Ping(300)),
        ("pong", Message::Pong(300)),
        ("neighbor-request", Message::NeighborRequest),
        ("neighbor-reply-yes", Message::NeighborReply(None)),
        ("neighbor-reply-no", Message::NeighborReply(Some(4))),
        (
            "exchange-request",
            Message::ExchangeRequest(Box::new(ExchangeRequest {
                record: alice_record(),
                want: 32,
                list: Bounded::default(),
            })),
        ),
        (
            "exchange-reply",
            Message::ExchangeReply(Box::new(ExchangeReply {
                record: bob_record(),
                list: Bounded::truncated(vec![item]),
            })),
        ),
        ("probe", Message::Probe(300)),
        ("probe-ack", Message::ProbeAck(300)),
        (
            "look",
            Message::Look(Look {
                number: 300,
                target: alice().id().to_bytes(),
            }),
        ),
        ("seen", Message::Seen(300)),
        ("leave", Message::Leave(Box::new(bob_left()))),
        ("gossip", Message::Gossip(Box::new(alice_message()))),
        (
            "announce",
            Message::Announce(Announce {
                ids: short_ids.clone(),
            }),
        ),
        (
            "graft",
            Message::Graft(Graft {
                branch: Some(Branch::Author(alice().id().to_bytes())),
                ids: short_ids,
                once: false,
            }),
        ),
        (
            "prune",
            Message::Prune(Prune {
                branch: Branch::Default,
            }),
        ),
        ("head", Message::Head(Box::new(head))),
        (
            "have",
            Message::Have(Have {
                ids: large_short.clone(),
            }),
        ),
        (
            "want",
            Message::Want(Want {
                id: large,
                from: 0,
                to: 2,
            }),
        ),
        (
            "cancel",
            Message::Cancel(Cancel {
                id: large,
                from: 1,
                to: 2,
            }),
        ),
        ("part", Message::Part(Part { ids: large_short })),
        ("busy", Message::Busy(Busy { id: large })),
        (
            "graft-bulk",
            Message::Graft(Graft {
                branch: Some(Branch::Bulk(alice().id().to_bytes())),
                ids: Bounded::default(),
                once: false,
            }),
        ),
        (
            "reconcile",
            Message::Reconcile(Box::new(Reconcile {
                session: 1,
                key: *b"the session key!",
                start: point(0, 0),
                initiator: true,
                ranges: Bounded::truncated(ranges),
                low_edge_ms: 1_767_139_200_000,
            })),
        ),
        (
            "reconcile-sketch",
            Message::Reconcile(Box::new(Reconcile {
                session: 1,
                key: *b"the session key!",
                start: point(0, 0),
                initiator: false,
                ranges: Bounded::truncated(vec![
                    Range {
                        end: point(1_767_225_300_000, 0),
                        content: RangeContent::Sketch {
                            cells: Bounded::truncated(vec![Cell {
                                count: 300,
                                sum: *b"the sum.",
                                check: *b"chek",
                            }]),
                        },
                    },
                    Range {
                        end: point(u64::MAX, 0xff),
                        content: RangeContent::Found {
                            ids: Bounded::truncated(vec![Point {
                                unix_ms: 1_767_225_600_000,
                                id: id.to_bytes(),
                            }]),
                            wanted: Bounded::truncated(vec![*b"short id"]),
                        },
                    },
                ]),
                low_edge_ms: 1_767_139_200_000,
            })),
        ),
        ("fetch", Message::Fetch(Fetch { ids: ids.clone() })),
        ("fetch-missing", Message::FetchMissing(FetchMissing { ids })),
        (
            "chunk",
            Message::Chunk(Chunk {
                id: large,
                index: 1,
                bytes: alice_body().slice(CHUNK_LEN..),
            }),
        ),
    ]
}
