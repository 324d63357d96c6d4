//! Any bytes as a frame: no panic, and what is accepted is the one encoding of its value.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use overlay::wire::{decode, encode, max_len, tag_of};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    if let Ok(message) = decode(&frame) {
        assert_eq!(encode(&message), frame);
        assert!(tag_of(&frame).is_some_and(|tag| frame.len() <= max_len(tag)));
    }
});
