//! Any bytes as a frame that carries something signed: no signature is ever valid here, since no secret is known, and checking
//! it never panics.
#![no_main]

use std::cell::RefCell;

use bytes::Bytes;
use crypto::{KeyCache, NetworkId, PeerId};
use libfuzzer_sys::fuzz_target;
use overlay::wire::{Message, decode};

thread_local!(static KEYS: RefCell<KeyCache> = RefCell::new(KeyCache::new(1024)));

fuzz_target!(|data: &[u8]| {
    let Ok(message) = decode(&Bytes::copy_from_slice(data)) else {
        return;
    };
    let network = NetworkId::from_name("a network that signs nothing");
    let mut records = Vec::new();
    match message {
        Message::Hello(hello) => records.push(hello.record),
        Message::Accept(accept) => records.push(accept.record),
        Message::ExchangeRequest(request) => {
            records.push(request.record);
            records.extend(request.list.into_vec().into_iter().map(|item| item.record));
        }
        Message::ExchangeReply(reply) => {
            records.push(reply.record);
            records.extend(reply.list.into_vec().into_iter().map(|item| item.record));
        }
        Message::Gossip(gossip) => KEYS.with_borrow_mut(|keys| {
            let author = gossip.signed.value.author;
            assert_eq!(keys.check(&author), PeerId::from_bytes(&author));
            assert!(gossip.signed.verify(&network, keys).is_err());
        }),
        Message::Head(head) => KEYS.with_borrow_mut(|keys| {
            assert!(head.signed.verify(&network, keys).is_err());
        }),
        _ => {}
    }
    KEYS.with_borrow_mut(|keys| {
        for record in records {
            assert_eq!(
                keys.check(&record.value.id),
                PeerId::from_bytes(&record.value.id)
            );
            assert!(record.verify(&network, keys).is_err());
        }
    });
});
