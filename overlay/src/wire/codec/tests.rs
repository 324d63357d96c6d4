use proptest::prelude::*;

use super::*;
use crate::input::Lane;
use crate::messages::{MAX_BODY, MAX_ENTRIES, MAX_INLINE};
use crate::wire::samples::{alice_head, any_message, examples, gossip, largest};
use crate::wire::{
    Bounded, Cancel, Chunk, Gossip, Head, ListItem, MAX_ANNOUNCE, MAX_CHUNKS, MAX_FETCH, MAX_FRAME,
    MAX_LIST, MAX_RANGES, Point, Range, Want, head_for, lane_allowed,
};

fn frame_of(tag: u8, body: &[&[u8]]) -> Bytes {
    let mut bytes = vec![VERSION, tag];
    for part in body {
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

/// 2^60 as a variable-length number.
const HUGE: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

/// Decodes, and checks that what is accepted is spelled the one right way.
fn decodes(bytes: &[u8]) -> Result<Message, DecodeError> {
    let frame = Bytes::copy_from_slice(bytes);
    let result = decode(&frame);
    if let Ok(message) = &result {
        assert_eq!(encode(message), frame, "accepted, but not canonical");
        assert!(frame.len() <= max_len(frame[1]));
    }
    result
}

fn example(name: &str) -> Message {
    let found = examples().into_iter().find(|(each, _)| *each == name);
    found.unwrap().1
}

proptest! {
    #[test]
    fn every_message_round_trips(message in any_message()) {
        let frame = encode(&message);
        prop_assert!(frame.len() <= max_len(frame[1]));
        prop_assert_eq!(tag_of(&frame), Some(frame[1]));
        prop_assert_eq!(decode(&frame), Ok(message));
    }

    #[test]
    fn two_messages_never_share_an_encoding(one in any_message(), other in any_message()) {
        prop_assert_eq!(one == other, encode(&one) == encode(&other));
    }

    #[test]
    fn random_bytes_never_panic(tag in 0usize..32, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decodes(&bytes);
        let tag = tag::ALL.get(tag).copied().unwrap_or(200);
        let _ = decodes(&frame_of(tag, &[&bytes]));
    }

    #[test]
    fn few_distinct_bytes_never_panic(
        tag in prop::sample::select(&tag::ALL[..]),
        bytes in prop::collection::vec(prop::sample::select(&[0u8, 1, 2, 3, 0x7f, 0x80, 0xff][..]), 0..400),
    ) {
        let _ = decodes(&frame_of(tag, &[&bytes]));
    }

    #[test]
    fn mutated_messages_never_panic_nor_get_a_second_spelling(
        message in any_message(),
        other in any_message(),
        mutations in prop::collection::vec((0u8..7, any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let valid = encode(&message);
        let mut bytes = valid.to_vec();
        for (kind, at, byte) in mutations {
            let at = at.index(bytes.len().max(1));
            match kind {
                0 => if let Some(hit) = bytes.get_mut(at) { *hit ^= 1 << (byte % 8) },
                1 => bytes.truncate(at),
                2 => bytes.extend(std::iter::repeat_n(byte, usize::from(byte))),
                3 => if let Some(hit) = bytes.get_mut(1) { *hit = tag::ALL[usize::from(byte) % tag::ALL.len()] },
                4 => bytes.insert(at, byte),
                5 => if at < bytes.len() { bytes.remove(at); },
                // A number with a needless 0 on top, wherever one may be.
                _ => if let Some(hit) = bytes.get_mut(at) { *hit |= 0x80; bytes.insert(at + 1, 0) },
            }
        }
        if decodes(&bytes).as_ref() == Ok(&message) {
            prop_assert_eq!(&bytes[..], &valid[..]);
        }
        let foreign = encode(&other);
        let cut = bytes.len().min(foreign.len()) / 2;
        let _ = decodes(&[&bytes[..cut], &foreign[cut..]].concat());
    }
}

#[test]
fn every_prefix_of_a_message_is_refused_and_so_is_anything_after_it() {
    for (name, message) in examples() {
        let frame = encode(&message);
        for len in 0..frame.len() {
            assert!(decodes(&frame[..len]).is_err(), "{name} cut to {len}");
        }
        let longer = [&frame[..], &[0]].concat();
        assert!(
            matches!(
                decodes(&longer),
                Err(DecodeError::Trailing(1) | DecodeError::TooLong { .. })
            ),
            "{name}"
        );
    }
}

#[test]
fn the_largest_messages_fit_exactly() {
    let mut tags = Vec::new();
    for message in largest() {
        let frame = encode(&message);
        let tag = tag_of(&frame).unwrap();
        assert_eq!(decode(&frame), Ok(message), "tag {tag}");
        let limit = max_len(tag);
        match tag {
            tag::GOSSIP => assert!((limit - 600..=limit).contains(&frame.len())),
            tag::HEAD => assert!((limit - 8..=limit).contains(&frame.len())),
            tag::RECONCILE => assert!((limit - 50..=limit).contains(&frame.len())),
            _ => assert_eq!(frame.len(), limit, "tag {tag}"),
        }
        let mut longer = frame.to_vec();
        longer.resize(limit + 1, 0);
        let len = limit + 1;
        assert_eq!(
            decodes(&longer),
            Err(DecodeError::TooLong {
                tag,
                len,
                max: limit
            })
        );
        tags.push(tag);
    }
    assert_eq!(tags, tag::ALL);
}

#[test]
fn a_table_of_malformed_frames() {
    use DecodeError::*;
    let invalid = |result: Result<Message, DecodeError>| matches!(result, Err(Invalid(_)));
    let hello = encode(&example("hello"));
    let with = |frame: &Bytes, at: usize, bytes: &[u8]| {
        let mut changed = frame.to_vec();
        changed.splice(at..at + bytes.len(), bytes.iter().copied());
        changed
    };
    // Version and tag.
    assert_eq!(decodes(&[]), Err(Short(0)));
    assert_eq!(decodes(&[VERSION]), Err(Short(1)));
    assert_eq!(decodes(&[0, tag::PING, 1]), Err(Version(0)));
    assert_eq!(decodes(&[2, tag::PING, 1]), Err(Version(2)));
    for unknown in [0, 15, 30, 255] {
        assert_eq!(decodes(&[VERSION, unknown, 1]), Err(UnknownTag(unknown)));
    }
    // Numbers.
    assert_eq!(
        decodes(&frame_of(tag::PING, &[&[0x80, 0]])),
        Err(NotCanonical)
    );
    assert_eq!(
        decodes(&frame_of(tag::PING, &[&[0xff, 0xff, 0]])),
        Err(NotCanonical)
    );
    assert_eq!(decodes(&frame_of(tag::PING, &[&[0x80; 10]])), Err(Body));
    assert_eq!(
        decodes(&frame_of(tag::PING, &[&[0xff; 9], &[2]])),
        Err(Body),
        "2^64 and more"
    );
    assert_eq!(
        decodes(&frame_of(tag::REFUSE, &[&[0xff, 0xff, 4, 0]])),
        Err(Body),
        "2^16 and more"
    );
    assert_eq!(decodes(&frame_of(tag::PING, &[&[1, 1]])), Err(Trailing(1)));
    assert!(matches!(
        decodes(&frame_of(tag::NEIGHBOR_REQUEST, &[&[0]])),
        Err(TooLong { max: 2, .. })
    ));
    // Choices.
    for bad in [2, 0x80] {
        assert_eq!(
            decodes(&frame_of(tag::NEIGHBOR_REPLY, &[&[bad, 0]])),
            Err(Body),
            "neither none nor some"
        );
        assert_eq!(
            decodes(&frame_of(tag::GRAFT, &[&[0, 0, bad]])),
            Err(Body),
            "neither true nor false"
        );
    }
    assert_eq!(decodes(&frame_of(tag::PRUNE, &[&[3]])), Err(Body));
    assert_eq!(
        decodes(&frame_of(tag::PRUNE, &[&[0x80, 0]])),
        Err(NotCanonical)
    );
    // Hello.
    assert!(invalid(decodes(&with(&hello, 2, &[0, 1]))), "version 0");
    assert!(invalid(decodes(&with(&hello, 2, &[2, 1]))), "2 to 1");
    // From the end: announce key, port, IPv4 address, kind of address.
    let observed = hello.len() - 16 - (1 + 4 + 2);
    assert_eq!(hello[observed], 0, "IPv4");
    let mapped = [
        &hello[..observed],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &hello[observed + 1..],
    ]
    .concat();
    assert_eq!(decodes(&mapped), Err(NotCanonical), "IPv4 as IPv6");
    assert_eq!(decodes(&with(&hello, observed, &[2])), Err(Body));
    // Counts.
    for (tag, before) in [
        (tag::ANNOUNCE, &[][..]),
        (tag::GRAFT, &[0]),
        (tag::FETCH, &[]),
        (tag::FETCH_MISSING, &[]),
    ] {
        let frame = frame_of(tag, &[before, HUGE, &[0; 2000]]);
        assert_eq!(decodes(&frame), Err(Body), "2^60 items of tag {tag}");
        // One item more than allowed, all of them there.
        let size = if tag == tag::ANNOUNCE || tag == tag::GRAFT {
            8
        } else {
            32
        };
        let frame = frame_of(tag, &[before, &[0x81, 2], &vec![0; 257 * size], &[0]]);
        assert!(decodes(&frame).is_err(), "257 items of tag {tag}");
    }
}

#[test]
fn rules_that_span_fields_are_checked() {
    let refused = |message: Message| {
        assert!(
            matches!(decode(&encode(&message)), Err(DecodeError::Invalid(_))),
            "{:.500}",
            format!("{message:?}")
        );
    };
    // Sequence numbers.
    for (seq, prev_seq) in [
        (0, 0),
        (5, 5),
        (5, 6),
        (0, u64::MAX),
        (u64::MAX - 1, u64::MAX),
    ] {
        refused(Message::Gossip(Box::new(gossip(
            seq,
            prev_seq,
            vec![Bytes::new()],
        ))));
    }
    // Entries.
    refused(Message::Gossip(Box::new(gossip(1, 0, vec![]))));
    let large = |len: usize| Bytes::from(vec![0; len]);
    refused(Message::Gossip(Box::new(gossip(
        1,
        0,
        vec![large(MAX_INLINE - 3)],
    ))));
    refused(Message::Gossip(Box::new(gossip(
        1,
        0,
        vec![large(MAX_INLINE / 2), large(MAX_INLINE / 2 - 7)],
    ))));
    let fits = Message::Gossip(Box::new(gossip(
        1,
        0,
        vec![large(MAX_INLINE / 2), large(MAX_INLINE / 2 - 8)],
    )));
    assert_eq!(decode(&encode(&fits)), Ok(fits));
    let many = Message::Gossip(Box::new(gossip(1, 0, vec![Bytes::new(); MAX_ENTRIES + 1])));
    assert_eq!(decode(&encode(&many)), Err(DecodeError::Body));
    // Addresses and proofs.
    let Message::ExchangeReply(reply) = example("exchange-reply") else {
        panic!("another type");
    };
    let item = &reply.list[0];
    let with = |proven: u8, change: fn(&mut ListItem)| {
        let mut item = ListItem {
            proven,
            ..item.clone()
        };
        change(&mut item);
        let mut reply = reply.clone();
        reply.list = Bounded::truncated(vec![item]);
        Message::ExchangeReply(reply)
    };
    for proven in [0, 4, 5, 0x83] {
        refused(with(proven, |_| {}));
    }
    refused(with(1, |item| item.record.value.ipv4 = None));
    let left = with(0, |item| {
        (item.record.value.ipv4, item.record.value.ipv6) = (None, None);
    });
    assert_eq!(decode(&encode(&left)), Ok(left), "a peer that has left");
    let mut stays = item.record.clone();
    stays.value.version = 1; // else it is too long as well
    stays.value.ipv6 = None;
    refused(Message::Leave(Box::new(stays)));
    refused(with(3, |item| item.record.value.ipv6 = None));
    refused(with(1, |item| {
        item.record.value.ipv6 = Some(("::ffff:192.0.2.1".parse().unwrap(), 1));
    }));
    // Ranges.
    let Message::Reconcile(reconcile) = example("reconcile") else {
        panic!("another type");
    };
    let point = |unix_ms: u64| Point {
        unix_ms,
        id: [0; 32],
    };
    let skip = |end| Range {
        end: point(end),
        content: RangeContent::Skip,
    };
    let listing = |end, ids: Vec<Point>| Range {
        end: point(end),
        content: RangeContent::Ids {
            ids: Bounded::truncated(ids),
            answer: false,
        },
    };
    let ids = |from: u64, n: u64| (from..from + n).map(point).collect::<Vec<_>>();
    let with = |ranges: Vec<Range>| {
        let mut reconcile = reconcile.clone();
        reconcile.start = point(10);
        reconcile.ranges = Bounded::truncated(ranges);
        Message::Reconcile(reconcile)
    };
    for ranges in [
        vec![skip(10)],
        vec![skip(9)],
        vec![skip(20), skip(20)],
        vec![skip(20), skip(15)],
        vec![listing(20, vec![point(9)])],
        vec![listing(20, vec![point(20)])],
        vec![listing(20, vec![point(12), point(12)])],
        vec![listing(20, vec![point(13), point(12)])],
        vec![skip(20), listing(30, vec![point(19)])],
        vec![
            listing(500, ids(10, 200)),
            listing(9000, ids(500, MAX_RANGE_IDS as u64 - 199)),
        ],
    ] {
        refused(with(ranges));
    }
    for ranges in [
        vec![],
        vec![listing(20, vec![point(10), point(19)]), skip(21)],
        vec![
            listing(500, ids(10, 200)),
            listing(9000, ids(500, MAX_RANGE_IDS as u64 - 200)),
        ],
    ] {
        let message = with(ranges);
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

#[test]
fn heads_and_chunks_have_the_lengths_of_bodies() {
    let refused = |message: Message| {
        let found = decode(&encode(&message));
        assert!(matches!(found, Err(DecodeError::Invalid(_))), "{found:?}");
    };
    let with = |change: fn(&mut Head)| {
        let mut head = alice_head();
        change(&mut head);
        Message::Head(Box::new(head))
    };
    assert!(decode(&encode(&with(|head| head.hops = 255))).is_ok());
    refused(with(|head| head.signed.value.prev_seq = 8));
    refused(with(|head| head.signed.value.count = 0));
    refused(with(|head| head.signed.value.count = 257));
    // Two hashes are those of 32 to 64 KiB.
    for len in [0, 3, 32_768, 65_537, MAX_BODY as u32 + 1, u32::MAX] {
        let mut head = alice_head();
        head.signed.value.body_len = len;
        refused(Message::Head(Box::new(head)));
    }
    refused(with(|head| {
        head.signed.value.count = 256;
        head.signed.value.body_len = 1023;
    }));
    for len in [0, crypto::CHUNK_LEN + 1] {
        let bytes = vec![0; len].into();
        let frame = encode(&Message::Chunk(Chunk {
            id: [1; 32],
            index: 0,
            bytes,
        }));
        assert!(decode(&frame).is_err());
    }
    for (from, to) in [(0, 0), (5, 5), (6, 5), (u16::MAX, 0)] {
        refused(Message::Want(Want {
            id: [1; 32],
            from,
            to,
        }));
        refused(Message::Cancel(Cancel {
            id: [1; 32],
            from,
            to,
        }));
    }
}

#[test]
fn a_head_is_passed_on_as_it_came_but_for_its_last_two_bytes() {
    let head = alice_head();
    let frame = encode(&Message::Head(Box::new(head.clone())));
    assert_eq!(
        head_for(&frame, head.hops, head.follows).as_ptr(),
        frame.as_ptr()
    );
    for (hops, follows) in [(0, false), (1, false), (2, true), (255, true)] {
        let expected = Head {
            hops,
            follows,
            ..head.clone()
        };
        assert_eq!(
            decode(&head_for(&frame, hops, follows)),
            Ok(Message::Head(Box::new(expected)))
        );
    }
}

#[test]
fn gossip_topics_are_topics() {
    let valid = encode(&Message::Gossip(Box::new(gossip(
        1,
        0,
        vec![Bytes::from_static(b"x")],
    ))));
    // Version, tag, author, seq, back, date (6 bytes), then length and text of the topic.
    let at = 2 + 32 + 1 + 1 + 6;
    assert_eq!(&valid[at..at + 2], &[1, b't']);
    for topic in ["", " ", "ä", "a b", "\u{0}", &"t".repeat(65)] {
        let mut bytes = valid.to_vec();
        let encoded = [&[u8::try_from(topic.len()).unwrap()], topic.as_bytes()].concat();
        bytes.splice(at..at + 2, encoded);
        assert_eq!(
            decodes(&bytes),
            Err(DecodeError::Invalid("not a topic")),
            "{topic:?}"
        );
    }
    let mut bytes = valid.to_vec();
    bytes[at + 1] = 0xff;
    assert_eq!(decodes(&bytes), Err(DecodeError::Invalid("not a topic")));
}

#[test]
fn claimed_counts_cost_nothing() {
    use serde::Deserialize;
    use std::cell::Cell;
    thread_local!(static MADE: Cell<usize> = const { Cell::new(0) });
    #[derive(Debug)]
    struct Item;
    impl<'de> Deserialize<'de> for Item {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            MADE.set(MADE.get() + 1);
            u8::deserialize(deserializer).map(|_| Self)
        }
    }
    let made = |bytes: &[u8]| {
        MADE.set(0);
        let result = postcard::from_bytes::<Bounded<Item, 4>>(bytes);
        (result.map(|items| items.len()).ok(), MADE.get())
    };
    assert_eq!(made(&[HUGE, &[0; 1000]].concat()), (None, 5));
    assert_eq!(made(&[&[100][..], &[0; 1000]].concat()), (None, 0));
    assert_eq!(made(&[100]), (None, 1));
    assert_eq!(made(&[5, 0, 0, 0, 0, 0]), (None, 0));
    assert_eq!(made(&[4, 0, 0, 0, 0]), (Some(4), 4));
    let items = postcard::from_bytes::<Bounded<u8, 1000>>(&[2, 7, 7]).unwrap();
    assert!(items.into_vec().capacity() <= 8);
}

/// What the worst frame of each type may take in memory once decoded: a small multiple of its length.
#[test]
fn decoded_messages_are_not_much_larger_than_their_frames() {
    let ranges = MAX_RANGES * size_of::<Range>() + MAX_RANGE_IDS * size_of::<Point>();
    for (tag, size) in [
        (tag::EXCHANGE_REPLY, MAX_LIST * size_of::<ListItem>()),
        (tag::ANNOUNCE, MAX_ANNOUNCE * 8),
        (tag::FETCH, MAX_FETCH * 32),
        (tag::GOSSIP, MAX_ENTRIES * (size_of::<Bytes>() + 16)),
        (tag::HEAD, MAX_CHUNKS * 32),
        (tag::RECONCILE, ranges),
    ] {
        assert!(size <= 2 * max_len(tag), "tag {tag}: {size}");
    }
}

#[test]
fn one_byte_over_and_over() {
    for byte in 0..=u8::MAX {
        assert!(decodes(&vec![byte; MAX_FRAME]).is_err(), "{byte:#x}");
        for tag in (0..=30).chain([255]) {
            let body = vec![byte; max_len(tag) - 2];
            let result = decodes(&frame_of(tag, &[&body]));
            let known = tag::ALL.contains(&tag);
            assert_eq!(result == Err(DecodeError::UnknownTag(tag)), !known);
        }
    }
}

#[test]
fn gossip_shares_the_memory_of_its_frame() {
    let sent = Message::Gossip(Box::new(gossip(
        7,
        5,
        vec![Bytes::from_static(b"one"), Bytes::new()],
    )));
    let frame = encode(&sent);
    let Ok(Message::Gossip(decoded)) = decode(&frame) else {
        panic!("another type");
    };
    let Gossip { entries, .. } = *decoded;
    assert!(frame.as_ptr_range().contains(&entries[0].as_ptr()));
}

#[test]
fn each_tag_has_its_lanes() {
    use Lane::*;
    for tag in tag::ALL {
        let lanes: Vec<Lane> = [Datagram, Control, Own, Forwarded, Bulk]
            .into_iter()
            .filter(|lane| lane_allowed(tag, *lane))
            .collect();
        let expected = match tag {
            tag::GOSSIP | tag::HEAD => vec![Own, Forwarded, Bulk],
            tag::RECONCILE | tag::FETCH | tag::FETCH_MISSING | tag::CHUNK => vec![Bulk],
            tag::PROBE..=tag::SEEN => vec![Datagram, Control],
            _ => vec![Control],
        };
        assert_eq!(lanes, expected, "tag {tag}");
    }
    assert!(lane_allowed(200, Control) && lane_allowed(200, Datagram));
}
