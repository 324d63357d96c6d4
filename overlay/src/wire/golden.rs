//! The vectors of `docs/PROTOCOL.md` against the code. A change of any of these bytes is a change of the protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use crypto::{Context, EntryId, Signable as _};

use super::samples::*;
use super::{Message, decode, encode, short_id, tag, tag_of};

const PROTOCOL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md"));

/// The blocks "```vector NAME", hex digits, "```" of the document.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let mut vectors = BTreeMap::new();
    for block in PROTOCOL.split("\n```vector ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (hex, _) = rest.split_once("```").unwrap();
        let digits: Vec<u8> = hex
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).unwrap())
            .collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        assert!(vectors.insert(name.trim(), bytes).is_none(), "{name} twice");
    }
    vectors
}

/// The bytes of one block.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    vectors()
        .remove(name)
        .unwrap_or_else(|| panic!("no vector {name}"))
}

/// A block as it belongs into the document.
fn block(name: &str, bytes: &[u8]) -> String {
    let mut text = format!("```vector {name}");
    for line in bytes.chunks(32) {
        text.push('\n');
        for byte in line {
            text.push_str(&format!("{byte:02x}"));
        }
    }
    text + "\n```\n"
}

/// Everything the document has a vector of, in its order.
fn expected() -> Vec<(&'static str, Vec<u8>)> {
    let (network, gossip) = (network(), alice_message());
    let (header, record) = (&gossip.signed.value, alice_record());
    let id = header.id(&network);
    let mut all = vec![
        ("network-id", network.to_bytes().to_vec()),
        ("alice-id", alice().id().to_bytes().to_vec()),
        ("bob-id", bob().id().to_bytes().to_vec()),
        ("record-body", record.value.body(&network)),
        (
            "record-signed",
            Context::PeerRecord.signed_bytes(&network, &record.value.body(&network)),
        ),
        ("record-signature", record.signature.to_vec()),
        ("message-header", header.to_bytes()),
        ("message-id", id.to_bytes().to_vec()),
        (
            "message-signed",
            Context::Message.signed_bytes(&network, &header.body(&network)),
        ),
        ("message-signature", gossip.signed.signature.to_vec()),
        ("entry-id-0", EntryId::of(&id, 0).to_bytes().to_vec()),
        ("entry-id-1", EntryId::of(&id, 1).to_bytes().to_vec()),
        ("short-id", short_id(b"bob's announce k", &id).to_vec()),
        ("large-root", alice_head().signed.value.body_root.to_vec()),
        (
            "large-id",
            alice_head().signed.value.id(&network).to_bytes().to_vec(),
        ),
    ];
    all.extend(
        examples()
            .into_iter()
            .map(|(name, message)| (name, encode(&message).to_vec())),
    );
    all
}

#[test]
fn the_document_and_the_code_agree_on_every_byte() {
    let (mut vectors, mut wrong) = (vectors(), String::new());
    vectors.retain(|name, _| !name.starts_with("fingerprint-")); // `repair` compares these
    for (name, bytes) in expected() {
        if vectors.remove(name).as_deref() != Some(&bytes[..]) {
            wrong.push_str(&block(name, &bytes));
        }
    }
    assert!(
        vectors.is_empty(),
        "nothing encodes to {:?}",
        vectors.keys()
    );
    assert!(
        wrong.is_empty(),
        "docs/PROTOCOL.md differs from the code, which has:\n{wrong}"
    );
}

#[test]
fn the_document_decodes_to_the_examples() {
    let vectors = vectors();
    let mut tags = std::collections::BTreeSet::new();
    for (name, message) in examples() {
        let frame = Bytes::from(vectors[name].clone());
        assert_eq!(decode(&frame), Ok(message), "{name}");
        tags.extend(tag_of(&frame));
    }
    assert_eq!(tags, tag::ALL.into(), "every message type has a vector");
}

#[test]
fn the_signatures_in_the_document_verify() {
    let mut keys = crypto::KeyCache::new(8);
    let network = network();
    for frame in ["hello", "accept", "exchange-request", "exchange-reply"] {
        let record = match decode(&Bytes::from(vector(frame))).unwrap() {
            Message::Hello(hello) => hello.record,
            Message::Accept(accept) => accept.record,
            Message::ExchangeRequest(request) => request.record,
            Message::ExchangeReply(reply) => reply.list[0].record.clone(),
            other => panic!("{other:?}"),
        };
        assert!(record.verify(&network, &mut keys).is_ok(), "{frame}");
    }
    let Ok(Message::Gossip(gossip)) = decode(&Bytes::from(vector("gossip"))) else {
        panic!("no gossip");
    };
    assert!(gossip.signed.verify(&network, &mut keys).is_ok());
    let Ok(Message::Head(head)) = decode(&Bytes::from(vector("head"))) else {
        panic!("no head");
    };
    assert!(head.signed.verify(&network, &mut keys).is_ok());
    let Ok(Message::Chunk(chunk)) = decode(&Bytes::from(vector("chunk"))) else {
        panic!("no chunk");
    };
    assert!(head.manifest.check(usize::from(chunk.index), &chunk.bytes));
    assert_eq!(head.manifest.root(), crypto::body_root(&alice_body()));
}

#[test]
fn the_document_states_the_limits_of_the_code() {
    let (_, table) = PROTOCOL.split_once("## Messages by tag").unwrap();
    for tag in tag::ALL {
        let row = format!("| {tag} |");
        let line = table
            .lines()
            .find(|line| line.starts_with(&row))
            .unwrap_or_else(|| panic!("no row for tag {tag}"));
        let limit = line.split('|').nth(4).unwrap().trim().replace(',', "");
        assert_eq!(limit, super::max_len(tag).to_string(), "tag {tag}");
    }
}

#[test]
fn the_document_names_every_close_code() {
    for number in 0..=u16::from(u8::MAX) {
        let code = crate::neighbors::Code::from_u16(number);
        if !matches!(code, crate::neighbors::Code::Unknown(_)) {
            let row = format!("| {number} | {code:?} |");
            assert!(PROTOCOL.contains(&row), "no row {row}");
        }
    }
}

#[test]
fn the_document_shows_the_alpn_of_its_network() {
    let alpn = format!("`vouchsafe/1/{}`", network().short());
    assert!(PROTOCOL.contains(&alpn), "no {alpn}");
}
