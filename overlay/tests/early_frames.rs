//! Lanes are not ordered among themselves: what overtakes the accept on another lane is no fault of the peer.
#![expect(clippy::disallowed_methods, reason = "any origin of time will do")]

use std::time::{Duration, Instant};

use crypto::{Identity, NetworkId};
use overlay::action::Target;
use overlay::config::{AddressPreset, Seed};
use overlay::neighbors::Code;
use overlay::wire::{Fetch, Message, encode};
use overlay::{Action, Config, Input, Lane, LinkId, Now, Overlay, Restored};

/// A node that has dialled its seed and said hello; the accept is outstanding.
fn greeting() -> (Overlay, Now) {
    let seed = Identity::from_seed(&[2; 32]).id();
    let addr = "127.0.0.1:4100".parse().unwrap();
    let config = Config {
        addresses: AddressPreset::Local,
        seeds: vec![Seed {
            peer: seed,
            target: Target::Addr(addr),
        }],
        ..Config::default()
    };
    let mut now = Now {
        mono: Instant::now(),
        unix_ms: 1_767_225_600_000,
    };
    let network = NetworkId::from_name("test");
    let identity = Identity::from_seed(&[1; 32]);
    let mut node =
        Overlay::new(identity, network, config, [0; 32], now, Restored::default()).unwrap();
    let mut dialed = None;
    for _ in 0..100 {
        node.handle(now, Input::Timeout);
        while let Some(action) = node.poll_action() {
            if let Action::Dial { dial, peer, .. } = action {
                assert_eq!(peer, seed);
                dialed = Some(dial);
            }
        }
        if dialed.is_some() {
            break;
        }
        now.mono += Duration::from_millis(100);
        now.unix_ms += 100;
    }
    assert!(dialed.is_some(), "the seed is dialled");
    node.handle(
        now,
        Input::Connected {
            link: LinkId(1),
            peer: seed,
            addr,
            local: None,
            dialed,
            rtt: Duration::from_millis(1),
        },
    );
    while node.poll_action().is_some() {}
    (node, now)
}

/// Hands over a frame; returns the code that the link is closed with, if it is.
fn frame(node: &mut Overlay, now: Now, lane: Lane, message: &Message) -> Option<u32> {
    node.handle(
        now,
        Input::Frame {
            link: LinkId(1),
            lane,
            bytes: encode(message),
        },
    );
    let actions: Vec<Action> = std::iter::from_fn(|| node.poll_action()).collect();
    actions.into_iter().find_map(|action| match action {
        Action::Close { code, .. } => Some(code),
        _ => None,
    })
}

#[test]
fn what_overtakes_the_accept_is_dropped() {
    let (mut node, now) = greeting();
    let fetch = Message::Fetch(Fetch {
        ids: overlay::wire::Bounded::default(),
    });
    assert_eq!(frame(&mut node, now, Lane::Bulk, &fetch), None);
    assert_eq!(node.stats().wire.early, 1);
}

#[test]
fn what_comes_before_the_accept_on_its_own_lane_is_a_fault() {
    let (mut node, now) = greeting();
    let code = frame(&mut node, now, Lane::Control, &Message::Ping(1));
    assert_eq!(code, Some(u32::from(Code::Protocol.to_u16())));
}
