//! The driver: one task that owns the protocol's state machine, feeds it and carries out what it asks for.

mod ports;
mod publish;
mod validate;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crypto::NetworkId;
use overlay::neighbors::Code;
use overlay::{Command, Input, Now, Overlay};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::builder::UnixClock;
use crate::data_dir::DataDirLock;
use crate::handle::{NodeEvent, Request};
use crate::snapshot::{Counters, NodeStats, PeerInfo, Status};
use crate::store::{StoreEvent, StoreTask};
use crate::transport::inbox::{Event, Work};
use crate::transport::link::Link;
pub(crate) use ports::Ports;
pub(crate) use publish::Publisher;
pub(crate) use validate::Validators;

/// Inputs handled before other tasks get their turn. At 40 us each this is 10 ms.
const TURN: usize = 256;
/// Messages published in one turn.
const PUBLISHES: usize = 16;
/// Questions answered in one turn.
const REQUESTS: usize = 32;
/// How often it is tried again whether payloads may be published.
const HELD_BACK: Duration = Duration::from_millis(100);
/// How long leaving may take before what is left is cut off.
const LEAVE: Duration = Duration::from_secs(2);
/// How long the closes of the sockets may take after that.
const CLOSE: Duration = Duration::from_secs(1);

/// One node's driver.
pub(crate) struct Driver {
    pub(crate) overlay: Overlay,
    pub(crate) network: NetworkId,
    pub(crate) ports: Ports,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) store_task: StoreTask,
    pub(crate) unix_clock: UnixClock,
    pub(crate) started: Instant,
    /// Cancelled to begin leaving.
    pub(crate) stop: CancellationToken,
    /// Cancelled when nothing new may begin: dials, handshakes.
    pub(crate) halt: CancellationToken,
    /// Cancelled when all is done.
    pub(crate) stopped: CancellationToken,
    pub(crate) failure: Arc<OnceLock<String>>,
    /// Held until the store is closed.
    pub(crate) lock: Option<DataDirLock>,
    /// Kept from turn to turn for its memory.
    pub(crate) work: Vec<Work>,
}

impl Driver {
    /// Runs the node until it is told to stop or its store fails, then leaves gracefully.
    pub(crate) async fn run(mut self) {
        self.step(Input::Timeout);
        while !self.stop.is_cancelled() && self.failure.get().is_none() {
            if !self.turn() {
                self.wait(None).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        self.leave().await;
    }

    fn now(&self) -> Now {
        Now {
            mono: Instant::now().into_std(),
            unix_ms: (self.unix_clock)(),
        }
    }

    /// Feeds the core one input, carries out what follows, and whatever that leads to.
    fn step(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            self.overlay.handle(self.now(), input);
            while let Some(action) = self.overlay.poll_action() {
                self.ports.execute(action);
            }
            next = self.ports.feedback.pop_front();
        }
    }

    /// A bounded amount of work; returns whether there was any.
    fn turn(&mut self) -> bool {
        let mut busy = self.answer_requests();
        if self
            .overlay
            .next_timeout()
            .is_some_and(|due| due <= Instant::now().into_std())
        {
            self.step(Input::Timeout);
        }
        let mut work = std::mem::take(&mut self.work);
        // While too much waits for the disk, nothing more is taken in that would have to be written.
        let urgent_only = self.ports.store.is_full();
        self.ports
            .transport
            .shared
            .inbox
            .take(TURN, urgent_only, &mut work);
        busy |= !work.is_empty();
        for piece in work.drain(..) {
            self.handle(piece);
        }
        self.work = work;
        for _ in 0..PUBLISHES {
            if !self.may_publish() {
                break;
            }
            let Some(command) = self.ports.publisher.next() else {
                break;
            };
            busy = true;
            self.step(Input::Command(command));
        }
        busy
    }

    fn may_publish(&mut self) -> bool {
        let now = self.now();
        self.overlay.ready_to_publish(now) && !self.ports.store.is_full()
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, until: Option<Instant>) {
        let inbox = self.ports.transport.shared.inbox.clone();
        let deadline = self.overlay.next_timeout().map(Instant::from_std);
        let deadline = [deadline, until].into_iter().flatten().min();
        let may_publish = self.may_publish();
        // The core counts a lane as stalled by the clock alone, so payloads that are held back look again by themselves.
        let again = (!may_publish).then(|| Instant::now() + HELD_BACK);
        let deadline = [deadline, again].into_iter().flatten().min();
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if until.is_none() => {}
            () = inbox.changed() => {}
            request = self.requests.recv(), if !self.requests.is_closed() => {
                if let Some(request) = request {
                    self.answer(request);
                }
            }
            () = self.ports.publisher.ready(), if may_publish => {}
            () = async { sleep_until(deadline.unwrap_or_else(Instant::now)).await }, if deadline.is_some() => {}
        }
    }

    fn handle(&mut self, work: Work) {
        match work {
            Work::Frame(link, lane, frame) => {
                self.ports.received(link, lane, &frame);
                self.step(Input::Frame {
                    link,
                    lane,
                    bytes: frame,
                });
            }
            Work::Room(link, lane) => {
                if let Some(input) = self.ports.room(link, lane) {
                    self.step(input);
                }
            }
            Work::Gone(link, reason) => {
                self.ports.links.remove(&link);
                self.step(Input::Disconnected { link, reason });
            }
            Work::Event(Event::Arrived(arrived)) => {
                let input = self.ports.arrived(*arrived);
                self.step(input);
            }
            Work::Event(Event::DialFailed(dial, reason)) => {
                self.step(Input::DialFailed { dial, reason });
            }
            Work::Event(Event::Verdict(token, verdict)) => {
                self.step(Input::Verdict { token, verdict });
            }
            Work::Event(Event::Store(event)) => self.store(*event),
        }
    }

    fn store(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Persisted { token } => {
                self.ports.persisted(token);
                self.step(Input::Persisted { token });
            }
            StoreEvent::Loaded { token, row } => self.step(Input::Loaded { token, row }),
            StoreEvent::Failed(error) => {
                let problem = error.to_string();
                Counters::hit(&self.ports.transport.shared.counters.store_failures);
                self.ports.announce(NodeEvent::StoreFailed {
                    problem: problem.clone(),
                });
                self.ports.publisher.close(Some(&problem));
                let _ = self.failure.set(problem); // the first one counts
            }
        }
    }

    fn answer_requests(&mut self) -> bool {
        for i in 0..REQUESTS {
            match self.requests.try_recv() {
                Ok(request) => self.answer(request),
                Err(_) => return i > 0,
            }
        }
        true
    }

    /// Answers a question. Whoever asked may have gone away.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Status(answer) => {
                let _ = answer.send(self.status());
            }
            Request::Peers(answer) => {
                let _ = answer.send(self.peers());
            }
            Request::Stats(answer) => {
                let _ = answer.send(NodeStats {
                    core: self.overlay.stats().clone(),
                    transport: self.ports.transport.shared.counters.read(),
                });
            }
            Request::Sample(n, answer) => {
                let sample = self.overlay.sample(n);
                let _ = answer.send(sample);
            }
            Request::Ban(peer, duration, answer) => {
                self.step(Input::Command(Command::Ban { peer, duration }));
                let _ = answer.send(());
            }
            Request::Unban(peer, answer) => {
                self.step(Input::Command(Command::Unban { peer }));
                let _ = answer.send(());
            }
        }
    }

    fn status(&self) -> Status {
        let core = self.overlay.status();
        Status {
            id: self.overlay.id(),
            network: self.network,
            version: env!("CARGO_PKG_VERSION"),
            listen: self.ports.transport.local_addrs().to_vec(),
            advertised: core.advertised,
            uptime: self.started.elapsed(),
            links: core.links,
            neighbors_outbound: core.neighbors_outbound,
            neighbors_inbound: core.neighbors_inbound,
            known_peers: core.heard + core.proven,
            memory_peers: core.view,
            archived_peers: core.archived,
            seed_failures: self.overlay.stats().neighbors.seed_failures,
            network_size: core.network_size,
            fast_start: core.young,
            log_messages: core.messages,
            log_bytes: core.message_bytes,
            first_cursor: 0, // the handle asks the store
            last_cursor: self.ports.subscribers.durable_cursor(),
            low_edge_ms: core.low_edge_ms,
            clock_offset_ms: core.clock_offset_ms,
            cloned: core.cloned,
            evidence: self.ports.store.store().evidence(),
            subscribers: self.ports.subscribers.count(),
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.overlay
            .peers(self.now())
            .into_iter()
            .map(|core| {
                let link = self.ports.links.get(&core.link);
                let (bytes_in, bytes_out) = link.map(Link::traffic).unwrap_or_default();
                PeerInfo {
                    peer: core.peer,
                    addr: core.addr,
                    outbound: core.outbound,
                    neighbor: core.neighbor,
                    age: core.age,
                    rtt: core.rtt,
                    silent: core.silent,
                    suspected: core.suspected,
                    score: core.first_deliveries,
                    last_ending: core.last_ending,
                    clock_offset_ms: core.clock_offset_ms,
                    bytes_in,
                    bytes_out,
                }
            })
            .collect()
    }

    /// Says goodbye, writes what is to be written, closes the sockets; bounded in time.
    async fn leave(mut self) {
        let failure = self.failure.get().cloned();
        let end = Instant::now() + LEAVE;
        self.halt.cancel();
        self.ports.publisher.close(failure.as_deref());
        self.step(Input::Command(Command::Leave));
        // Links close once their frames are out; publishes are answered once they are durable.
        while Instant::now() < end
            && !(self.ports.links.is_empty() && self.ports.publisher.is_idle())
        {
            if self.turn() {
                tokio::task::yield_now().await;
            } else {
                self.wait(Some(end)).await;
            }
        }
        self.requests.close();
        self.ports
            .transport
            .close(u32::from(Code::Goodbye.to_u16()), CLOSE)
            .await;
        self.ports.transport.shared.inbox.close();
        if let Err(error) = self.store_task.stop().await
            && failure.is_none()
        {
            tracing::error!(%error, "the store did not close cleanly");
            let _ = self.failure.set(error.to_string());
        }
        self.ports.subscribers.close();
        let tasks = self.ports.transport.shared.tasks.clone();
        drop(self.ports);
        tasks.close();
        let _ = timeout(CLOSE, tasks.wait()).await;
        drop(self.lock);
        self.stopped.cancel();
    }
}
