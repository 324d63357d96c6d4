//! Any bytes as a peer's certificate: no panic, and whoever it names has a checked key.
#![no_main]

use certs::peer_id_of;
use crypto::PeerId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(peer) = peer_id_of(&data.into()) {
        assert_eq!(PeerId::from_bytes(peer.as_bytes()), Ok(peer));
    }
});
