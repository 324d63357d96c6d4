//! Any text as an id or a topic: no panic, and one text for each value.
#![no_main]

use crypto::{MessageId, NetworkId, PeerId};
use libfuzzer_sys::fuzz_target;
use overlay::messages::Topic;

fuzz_target!(|text: &str| {
    if let Ok(peer) = text.parse::<PeerId>() {
        assert_eq!(peer.to_string(), text);
    }
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(network) = text.parse::<NetworkId>() {
        assert_eq!(network.to_string(), text);
    }
    if let Ok(topic) = text.parse::<Topic>() {
        assert_eq!(topic.as_str(), text);
    }
});
