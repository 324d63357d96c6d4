//! The simulator's prices (`overlay::sim::world::cost`) against what quinn really sends with this node's settings.

use std::time::Duration;

use overlay::sim::world::cost::{CLOSE, HANDSHAKE, SILENT_DIAL, datagram, lone_frame};

use super::path::{ACCEPTOR, DIALLER, Path, Sent};

/// Long enough for every acknowledgement.
const QUIET: Duration = Duration::from_secs(3);

/// Both ends' bytes within 10 % of what the simulator charges.
fn assert_near(what: &str, real: (usize, usize), charged: (usize, usize)) {
    println!("{what}: {real:?} on the wire, {charged:?} charged");
    for (real, charged) in [(real.0, charged.0), (real.1, charged.1)] {
        let off = real.abs_diff(charged);
        assert!(
            off * 10 <= real,
            "{what}: {real} bytes on the wire, {charged} charged in overlay::sim::world::cost"
        );
    }
}

/// What each end sends while `act` happens and until all is quiet, bytes: the dialler's, the acceptor's.
fn spent(path: &mut Path, act: impl FnOnce(&mut Path)) -> (usize, usize) {
    let before = path.sent();
    act(path);
    path.pass(QUIET);
    let of = |side: usize| path.sent()[side].bytes - before[side].bytes;
    (of(DIALLER), of(ACCEPTOR))
}

fn connected() -> Path {
    let mut path = Path::dial();
    path.until("connected", |path| {
        path.connected(DIALLER) && path.connected(ACCEPTOR)
    });
    path.pass(QUIET);
    path
}

#[test]
fn a_handshake() {
    let path = connected();
    let [dialler, acceptor] = path.sent();
    println!("{dialler:?} {acceptor:?}");
    assert_near("a handshake", (dialler.bytes, acceptor.bytes), HANDSHAKE);
}

#[test]
fn frames() {
    let mut path = connected();
    // The first one opens the lane.
    path.frame(DIALLER, 10);
    path.pass(QUIET);
    for len in [40, 300, 1000, 1500, 5000, 10_000] {
        let real = spent(&mut path, |path| path.frame(DIALLER, len));
        assert_near(&format!("a frame of {len} bytes"), real, lone_frame(len));
    }
}

#[test]
fn a_probe_and_its_answer() {
    let mut path = connected();
    for len in [4, 5] {
        let real = spent(&mut path, |path| {
            path.datagram(DIALLER, len);
            let mut probed = false;
            while !probed {
                path.pass(Duration::from_millis(1));
                probed = path.probed(ACCEPTOR);
            }
            path.datagram(ACCEPTOR, len);
        });
        let (question, answer) = (datagram(len, true), datagram(len, false));
        let charged = (question.0 + answer.1, answer.0 + question.1);
        assert_near("a probe and its answer", real, charged);
    }
}

#[test]
fn nothing_is_sent_to_keep_a_connection_alive() {
    let mut path = connected();
    let real = spent(&mut path, |path| path.pass(Duration::from_secs(10)));
    assert_eq!(real, (0, 0));
}

#[test]
fn a_close() {
    let mut path = connected();
    let real = spent(&mut path, |path| path.close(DIALLER));
    assert_near("a close", real, CLOSE);
}

#[test]
fn a_dial_that_nothing_answers() {
    let mut path = Path::dial();
    path.dead = true;
    // The node gives a handshake up, and closing it says nothing more to somebody who never answered.
    path.pass(super::super::tuning::HANDSHAKE_TIMEOUT - Duration::from_millis(1));
    let [Sent { bytes, datagrams }, _] = path.sent();
    println!("{bytes} in {datagrams} datagrams");
    assert_near("a dial that nothing answers", (bytes, 0), (SILENT_DIAL, 0));
}

/// A visit from its dial to its close: greeting, an exchange of lists, some seconds of idleness.
#[test]
fn a_visit() {
    // Hello, accept, a request that pushes 8 records, a reply with 32: about what they are.
    let (hello, accept, request, reply) = (230, 200, 1_150, 4_300);
    let mut path = Path::dial();
    path.until("the dialler is connected", |path| path.connected(DIALLER));
    path.frame(DIALLER, hello);
    path.until("hello", |path| path.received(ACCEPTOR) > hello);
    path.frame(ACCEPTOR, accept);
    path.widen(ACCEPTOR);
    path.until("accept", |path| path.received(DIALLER) > accept);
    path.widen(DIALLER);
    path.frame(DIALLER, request);
    path.until("request", |path| path.received(ACCEPTOR) > hello + request);
    path.frame(ACCEPTOR, reply);
    path.pass(QUIET);
    path.close(DIALLER);
    path.pass(QUIET);
    let [dialler, acceptor] = path.sent();
    println!("{dialler:?} {acceptor:?}");
    let mut charged = (HANDSHAKE.0 + CLOSE.0, HANDSHAKE.1 + CLOSE.1);
    for (len, by_dialler) in [
        (hello, true),
        (accept, false),
        (request, true),
        (reply, false),
    ] {
        let (out, back) = lone_frame(len);
        let (of_dialler, of_acceptor) = if by_dialler { (out, back) } else { (back, out) };
        charged.0 += of_dialler;
        charged.1 += of_acceptor;
    }
    assert_near("a visit", (dialler.bytes, acceptor.bytes), charged);
}
