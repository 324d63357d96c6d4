use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::Identity;

use super::*;
use crate::action::{Action, Key, Row, Target};
use crate::input::{DialError, DialId, Lane, Token};

/// Somebody who does what he was told beforehand and remembers what he heard.
#[derive(Debug, Default)]
struct Probe {
    out: VecDeque<Action>,
    heard: Vec<(Now, Input)>,
    /// Done at the next input.
    plan: Vec<Action>,
    /// An input came before the last action was taken.
    broke_contract: bool,
}

impl Actor for Probe {
    fn handle(&mut self, now: Now, input: Input) {
        self.broke_contract |= !self.out.is_empty();
        self.heard.push((now, input));
        self.out.extend(std::mem::take(&mut self.plan));
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

/// A world of so many probes that have started.
fn probes(count: u8) -> World {
    let scenario = Scenario {
        jitter: 0.0,
        ..Scenario::default()
    };
    let mut world = World::new(&scenario, 1, 1);
    for n in 0..count {
        world.add(Who {
            identity: Identity::from_seed(&[n; 32]),
            addr: addr(n),
            hostile: false,
            undialable: false,
        });
        world.start(usize::from(n), Player::Other(Box::<Probe>::default()));
    }
    world
}

fn addr(n: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, n), 4100).into()
}

fn probe(world: &mut World, index: usize) -> &mut Probe {
    let Some(Player::Other(actor)) = world.player_mut(index) else {
        panic!("host {index} is down");
    };
    actor.as_any().downcast_mut().expect("a probe")
}

/// Lets a probe do something, now.
fn act(world: &mut World, index: usize, action: Action) {
    probe(world, index).plan.push(action);
    world.tell(index, Input::Timeout);
}

fn dial(world: &mut World, from: usize, to: usize) {
    let action = Action::Dial {
        dial: DialId(1),
        peer: world.host(to).id(),
        target: Target::Addr(world.host(to).who().addr),
    };
    act(world, from, action);
}

fn pass(world: &mut World, seconds: f64) {
    world.run_until(Time::from_seconds(world.time().seconds() + seconds));
}

fn send(world: &mut World, from: usize, link: LinkId, text: &'static str) {
    let bytes = Bytes::from_static(text.as_bytes());
    let lane = Lane::Control;
    act(world, from, Action::Send { link, lane, bytes });
}

fn frames(world: &mut World, index: usize) -> Vec<String> {
    let text = |(_, input): &(Now, Input)| match input {
        Input::Frame { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    probe(world, index).heard.iter().filter_map(text).collect()
}

/// Seconds after which a dial failed, if it did.
fn failed(world: &mut World, index: usize) -> Option<(f64, DialError)> {
    let start = world.ground.start;
    let failed = |(now, input): &(Now, Input)| match input {
        Input::DialFailed { reason, .. } => {
            Some(((now.mono - start).as_secs_f64(), reason.clone()))
        }
        _ => None,
    };
    probe(world, index).heard.iter().find_map(failed)
}

/// The connection that a probe was told of.
fn link(world: &mut World, index: usize) -> Option<LinkId> {
    let link = |(_, input): &(Now, Input)| match input {
        Input::Connected { link, .. } => Some(*link),
        _ => None,
    };
    probe(world, index).heard.iter().find_map(link)
}

fn lost(world: &mut World, index: usize) -> Option<Lost> {
    let lost = |(_, input): &(Now, Input)| match input {
        Input::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    probe(world, index).heard.iter().find_map(lost)
}

#[test]
fn a_close_is_heard_of_after_the_last_action_of_its_step() {
    let mut world = probes(2);
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    let link = link(&mut world, 0).expect("connected");
    let bytes = Bytes::from_static(b"before");
    let lane = Lane::Control;
    probe(&mut world, 0).plan.extend([
        Action::Send { link, lane, bytes },
        Action::Close { link, code: 7 },
        Action::Send {
            link,
            lane,
            bytes: Bytes::from_static(b"after"),
        },
        Action::Persist {
            token: Token(1),
            row: Row::RecordVersion { version: 1 },
        },
    ]);
    world.tell(0, Input::Timeout);
    pass(&mut world, 1.0);
    assert!(!probe(&mut world, 0).broke_contract);
    assert_eq!(lost(&mut world, 0), Some(Lost::ClosedByUs));
    assert_eq!(lost(&mut world, 1), Some(Lost::ClosedByPeer(7)));
    assert_eq!(
        frames(&mut world, 1),
        ["before"],
        "what was sent before, and no more"
    );
}

#[test]
fn a_dial_to_a_host_that_stands_still_fails_as_any_other() {
    let mut world = probes(3);
    world.stall(1, Duration::from_secs(60));
    dial(&mut world, 0, 1);
    pass(&mut world, 10.0);
    let (at, reason) = failed(&mut world, 0).expect("it failed");
    assert_eq!(reason, DialError::Unreachable);
    assert!((5.0..6.0).contains(&at), "{at}");
    assert_eq!(world.host(0).traffic().out, cost::SILENT_DIAL as u64);
    // One that moves again in time answers, and one that dies instead does not leave the dial unanswered.
    world.stall(2, Duration::from_secs(2));
    dial(&mut world, 0, 2);
    pass(&mut world, 3.0);
    assert!(link(&mut world, 0).is_some());

    let mut world = probes(2);
    world.stall(1, Duration::from_secs(2));
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    world.crash(1);
    pass(&mut world, 10.0);
    assert!(failed(&mut world, 0).is_some());
}

#[test]
fn what_reaches_a_host_that_stands_still_waits_and_the_longer_stall_counts() {
    let mut world = probes(2);
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    let link = link(&mut world, 0).expect("connected");
    world.stall(1, Duration::from_secs(10));
    world.stall(1, Duration::from_secs(3));
    send(&mut world, 0, link, "hello");
    world.tell(1, Input::Command(crate::Command::Leave));
    pass(&mut world, 9.0);
    assert!(frames(&mut world, 1).is_empty());
    pass(&mut world, 2.0);
    assert_eq!(frames(&mut world, 1), ["hello"]);
    let asked = |(_, input): &(Now, Input)| matches!(input, Input::Command(_));
    assert!(probe(&mut world, 1).heard.iter().any(asked));
    assert_eq!(lost(&mut world, 0), None, "shorter than the idle timeout");

    world.stall(1, Duration::from_secs(30));
    pass(&mut world, 31.0);
    assert_eq!(lost(&mut world, 0), Some(Lost::TimedOut));
    assert_eq!(lost(&mut world, 1), Some(Lost::TimedOut));
}

#[test]
fn what_waits_for_a_split_goes_out_when_another_one_takes_its_place() {
    let mut world = probes(3);
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    let link = link(&mut world, 0).expect("connected");
    world.split(vec![0, 1, 1], false);
    send(&mut world, 0, link, "one");
    pass(&mut world, 1.0);
    assert!(frames(&mut world, 1).is_empty());
    world.split(vec![0, 0, 1], false);
    send(&mut world, 0, link, "two");
    pass(&mut world, 1.0);
    assert_eq!(frames(&mut world, 1), ["one", "two"]);
    pass(&mut world, 30.0);
    assert_eq!(lost(&mut world, 0), None);
}

#[test]
fn one_way_nothing_passes_from_the_first_group() {
    let mut world = probes(2);
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    let (near, far) = (link(&mut world, 0), link(&mut world, 1));
    world.split(vec![0, 1], true);
    send(&mut world, 0, near.expect("connected"), "there");
    send(&mut world, 1, far.expect("connected"), "back");
    pass(&mut world, 1.0);
    assert_eq!(frames(&mut world, 0), ["back"]);
    assert!(frames(&mut world, 1).is_empty());
    pass(&mut world, 20.0);
    assert_eq!(lost(&mut world, 0), Some(Lost::TimedOut));
    assert_eq!(lost(&mut world, 1), Some(Lost::TimedOut));
}

#[test]
fn a_doomed_host_dies_between_persist_and_persisted() {
    for (doom, kept) in [(Doom::Before, 0), (Doom::After, 7)] {
        let mut world = probes(2);
        dial(&mut world, 0, 1);
        pass(&mut world, 1.0);
        world.doom(1, Some(doom));
        pass(&mut world, 1.0);
        assert!(world.host(1).player().is_some(), "nothing was on its way");
        let row = Row::RecordVersion { version: 7 };
        let token = Token(1);
        act(&mut world, 1, Action::Persist { token, row });
        pass(&mut world, 1.0);
        assert!(world.host(1).player().is_none(), "{doom:?}");
        assert_eq!(world.restored(1).record_version, kept, "{doom:?}");
        pass(&mut world, 20.0);
        assert_eq!(lost(&mut world, 0), Some(Lost::TimedOut));
        world.start(1, Player::Other(Box::<Probe>::default()));
        let row = Row::RecordVersion { version: 8 };
        act(&mut world, 1, Action::Persist { token, row });
        pass(&mut world, 1.0);
        assert!(world.host(1).player().is_some(), "one death each");
    }
}

#[test]
fn a_row_that_is_not_there_is_answered_too() {
    let mut world = probes(1);
    let key = Key::Message(crypto::MessageId::from_bytes([1; 32]));
    let token = Token(3);
    act(&mut world, 0, Action::Load { token, key });
    pass(&mut world, 1.0);
    let answer = |(_, input): &(Now, Input)| {
        matches!(
            input,
            Input::Loaded {
                row: None,
                token: Token(3)
            }
        )
    };
    assert!(probe(&mut world, 0).heard.iter().any(answer));
}

/// A core's account of a lane only falls: it must hear of the room again though the lane is never half full.
#[test]
fn a_trickle_through_a_narrow_uplink_is_reported() {
    let mut world = probes(2);
    world.ground.paths.uplink = 1_000_000;
    dial(&mut world, 0, 1);
    pass(&mut world, 1.0);
    let to = link(&mut world, 0).expect("a connection");
    let lane = Lane::Bulk;
    let frame = Bytes::from(vec![7; 30_000]);
    let room = |world: &mut World| {
        let room = |(_, input): &(Now, Input)| match input {
            Input::Lane { free_bytes, .. } => Some(*free_bytes),
            _ => None,
        };
        let heard = &probe(world, 0).heard;
        heard.iter().filter_map(room).collect::<Vec<_>>()
    };
    for _ in 0..9 {
        let (link, bytes) = (to, frame.clone());
        act(&mut world, 0, Action::Send { link, lane, bytes });
        pass(&mut world, 0.1);
    }
    assert_eq!(room(&mut world), [lane.capacity(); 3], "each 64 KiB");
}
