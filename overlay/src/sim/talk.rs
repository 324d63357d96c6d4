//! Speaking the wire without being a node: greetings, exchanges and closes for hostile nodes and for other algorithms.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crypto::{Identity, NetworkId, PeerId, Signed};

use crate::action::{Action, Target};
use crate::input::{DialId, Input, Lane, LinkId, Now};
use crate::neighbors::Code;
use crate::wire::{
    self, Accept, Bounded, ExchangeReply, ExchangeRequest, Hello, ListItem, Message, PeerRecord,
    Purpose, VERSION, WireAddr,
};

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Partner {
    peer: PeerId,
    pub(super) addr: SocketAddr,
    pub(super) ours: bool,
    pub(super) purpose: Purpose,
}

/// What came of an input.
#[derive(Debug)]
pub(super) enum Said {
    /// A greeting is done; the other end's record came with it.
    Opened {
        link: LinkId,
        peer: PeerId,
        record: Signed<PeerRecord>,
    },
    /// Somebody asks for an exchange.
    Asked {
        link: LinkId,
        request: Box<ExchangeRequest>,
    },
    /// An exchange of ours is answered.
    Answered {
        link: LinkId,
        reply: Box<ExchangeReply>,
    },
    /// A dial of ours came to nothing.
    Failed { peer: PeerId },
    /// A connection is gone.
    Closed { link: LinkId },
}

/// The connections of one who speaks, and what is to be sent.
#[derive(Debug)]
pub(super) struct Talk {
    identity: Identity,
    network: NetworkId,
    addr: SocketAddr,
    out: VecDeque<Action>,
    pub(super) partners: BTreeMap<LinkId, Partner>,
    calls: BTreeMap<DialId, (PeerId, Purpose)>,
    next_dial: u64,
    version: u64,
    record: Option<Signed<PeerRecord>>,
}

impl Talk {
    pub(super) fn new(identity: Identity, network: NetworkId, addr: SocketAddr) -> Self {
        Self {
            identity,
            network,
            addr,
            out: VecDeque::new(),
            partners: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_dial: 0,
            version: 0,
            record: None,
        }
    }

    pub(super) fn me(&self) -> PeerId {
        self.identity.id()
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// Signs a record anew.
    pub(super) fn issue(&mut self, now: Now) -> Signed<PeerRecord> {
        self.version = now.unix_ms.max(self.version + 1);
        let record = record_of(
            &self.identity,
            &self.network,
            self.addr,
            self.version,
            now.unix_ms,
        );
        self.record = Some(record.clone());
        record
    }

    /// The own record, not older than half an hour.
    pub(super) fn record(&mut self, now: Now) -> Signed<PeerRecord> {
        match &self.record {
            Some(record)
                if record.value.issued_unix_s + wire::RECORD_REISSUE_S > now.unix_ms / 1000 =>
            {
                record.clone()
            }
            _ => self.issue(now),
        }
    }

    /// Dials, unless a dial to this peer is under way; whether it did.
    pub(super) fn dial(&mut self, peer: PeerId, addr: SocketAddr, purpose: Purpose) -> bool {
        if peer == self.me() || self.calls.values().any(|(other, _)| *other == peer) {
            return false;
        }
        self.next_dial += 1;
        let dial = DialId(self.next_dial);
        self.calls.insert(dial, (peer, purpose));
        self.out.push_back(Action::Dial {
            dial,
            peer,
            target: Target::Addr(addr),
        });
        true
    }

    /// Whether we dialled this connection.
    pub(super) fn is_ours(&self, link: LinkId) -> bool {
        self.partners.get(&link).is_some_and(|partner| partner.ours)
    }

    /// Number of dials under way.
    pub(super) fn dialing(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn send(&mut self, link: LinkId, message: &Message) {
        self.out.push_back(Action::Send {
            link,
            lane: Lane::Control,
            bytes: wire::encode(message),
        });
    }

    pub(super) fn close(&mut self, link: LinkId, code: Code) {
        self.out.push_back(Action::Close {
            link,
            code: u32::from(code.to_u16()),
        });
    }

    /// Asks for a list.
    pub(super) fn ask(&mut self, link: LinkId, want: u8, list: Vec<ListItem>, now: Now) {
        let request = ExchangeRequest {
            record: self.record(now),
            want,
            list: Bounded::truncated(list),
        };
        self.send(link, &Message::ExchangeRequest(Box::new(request)));
    }

    /// Answers with a list.
    pub(super) fn answer(&mut self, link: LinkId, list: Vec<ListItem>, now: Now) {
        let reply = ExchangeReply {
            record: self.record(now),
            list: Bounded::truncated(list),
        };
        self.send(link, &Message::ExchangeReply(Box::new(reply)));
    }

    /// Takes an input: greets, answers pings, grants what is asked, and tells what is left for the speaker.
    pub(super) fn handle(&mut self, now: Now, input: Input) -> Option<Said> {
        match input {
            Input::Connected {
                link,
                peer,
                addr,
                dialed,
                ..
            } => self.connected(link, peer, addr, dialed, now),
            Input::Disconnected { link, .. } => {
                self.partners.remove(&link)?;
                Some(Said::Closed { link })
            }
            Input::DialFailed { dial, .. } => {
                let (peer, _) = self.calls.remove(&dial)?;
                Some(Said::Failed { peer })
            }
            Input::Frame { link, bytes, .. } => {
                let message = wire::decode(&bytes).ok()?;
                self.message(link, message, now)
            }
            _ => None,
        }
    }

    fn connected(
        &mut self,
        link: LinkId,
        peer: PeerId,
        addr: SocketAddr,
        dialed: Option<DialId>,
        now: Now,
    ) -> Option<Said> {
        let purpose = dialed
            .and_then(|dial| self.calls.remove(&dial))
            .map_or(Purpose::Visit, |(_, purpose)| purpose);
        self.partners.insert(
            link,
            Partner {
                peer,
                addr,
                ours: dialed.is_some(),
                purpose,
            },
        );
        if dialed.is_some() {
            let hello = Hello {
                min_version: VERSION,
                max_version: VERSION,
                features: 0,
                network: *self.network.as_bytes(),
                purpose,
                record: self.record(now),
                unix_ms: now.unix_ms,
                observed: WireAddr(addr),
                announce_key: [0; 16],
            };
            self.send(link, &Message::Hello(Box::new(hello)));
        }
        None
    }

    fn message(&mut self, link: LinkId, message: Message, now: Now) -> Option<Said> {
        let partner = self.partners.get_mut(&link)?;
        let peer = partner.peer;
        match message {
            Message::Hello(hello) => {
                partner.purpose = hello.purpose;
                let (observed, purpose) = (WireAddr(partner.addr), partner.purpose);
                let accept = Accept {
                    version: VERSION,
                    features: 0,
                    purpose,
                    record: self.record(now),
                    unix_ms: now.unix_ms,
                    observed,
                    announce_key: [0; 16],
                };
                self.send(link, &Message::Accept(Box::new(accept)));
                Some(Said::Opened {
                    link,
                    peer,
                    record: hello.record,
                })
            }
            Message::Accept(accept) => {
                partner.purpose = accept.purpose;
                Some(Said::Opened {
                    link,
                    peer,
                    record: accept.record,
                })
            }
            Message::Probe(number) => {
                self.send(link, &Message::ProbeAck(number));
                None
            }
            Message::Ping(nonce) => {
                self.send(link, &Message::Pong(nonce));
                None
            }
            Message::NeighborRequest => {
                partner.purpose = Purpose::Neighbor;
                self.send(link, &Message::NeighborReply(None));
                None
            }
            Message::ExchangeRequest(request) => Some(Said::Asked { link, request }),
            Message::ExchangeReply(reply) => Some(Said::Answered { link, reply }),
            _ => None,
        }
    }
}

/// A record, to be signed.
pub(super) fn unsigned_record(
    identity: &Identity,
    addr: SocketAddr,
    version: u64,
    unix_ms: u64,
) -> PeerRecord {
    let (ipv4, ipv6) = match addr {
        SocketAddr::V4(addr) => (Some((*addr.ip(), addr.port())), None),
        SocketAddr::V6(addr) => (None, Some((*addr.ip(), addr.port()))),
    };
    PeerRecord {
        id: identity.id().to_bytes(),
        version,
        issued_unix_s: unix_ms / 1000,
        ipv4,
        ipv6,
        roles: 0,
    }
}

/// A signed record.
pub(super) fn record_of(
    identity: &Identity,
    network: &NetworkId,
    addr: SocketAddr,
    version: u64,
    unix_ms: u64,
) -> Signed<PeerRecord> {
    let record = unsigned_record(identity, addr, version, unix_ms);
    match Signed::sign(record.clone(), identity, network) {
        Ok(signed) => signed.into_signed(),
        // A key in memory always signs for itself; whoever gets this refuses it.
        Err(_) => Signed {
            value: record,
            signature: [0; 64],
        },
    }
}
