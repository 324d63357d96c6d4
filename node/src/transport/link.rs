//! One connection: a writer for each lane that is used, a reader for each lane the peer uses, and a supervisor that sees it
//! through to its end.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use overlay::input::Lost;
use overlay::neighbors::Code;
use overlay::{Lane, LinkId};
use quinn::{Connection, ConnectionError, RecvStream, VarInt};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::bandwidth::Bandwidth;
use super::framing::{Cutter, gather, lane_number, lane_of};
use super::inbox::Inbox;
use super::lanes::{Batch, LaneQueue};
use super::limiter::{DialSlot, Slot};
use super::tuning::OPEN_WINDOW;
use crate::snapshot::Counters;

/// How long a closing link may take to deliver what is queued.
const FLUSH: Duration = Duration::from_secs(1);
/// Pieces of received data taken from the transport at a time.
const CHUNKS: usize = 32;

/// What all links of a node share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) counters: Arc<Counters>,
    /// The node's ceilings.
    pub(crate) upload: Option<Arc<Bandwidth>>,
    pub(crate) download: Option<Arc<Bandwidth>>,
    /// Bytes per second taken from one peer.
    pub(crate) link_download: u64,
    /// All tasks of the node.
    pub(crate) tasks: TaskTracker,
}

/// The place that a connection takes up; freed when the connection is gone.
#[derive(Debug)]
pub(crate) enum Place {
    Inbound { _slot: Slot },
    Outbound { _slot: DialSlot },
}

/// The driver's end of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    connection: Connection,
    lanes: [OnceLock<Arc<LaneQueue>>; 4],
    writers: TaskTracker,
    close: Option<oneshot::Sender<u32>>,
    shared: Shared,
    wide: bool,
}

impl Link {
    /// Begins to read the connection. Must be called within the runtime, after the inbox has a place for `id`.
    pub(crate) fn start(id: LinkId, connection: Connection, place: Place, shared: Shared) -> Self {
        let (close, closing) = oneshot::channel();
        let writers = TaskTracker::new();
        let supervisor = Supervisor {
            id,
            connection: connection.clone(),
            readers: TaskTracker::new(),
            writers: writers.clone(),
            claimed: Arc::default(),
            pace: Arc::new(Bandwidth::new(shared.link_download)),
            shared: shared.clone(),
        };
        shared.tasks.spawn(async move {
            supervisor.run(closing).await;
            drop(place);
        });
        Self {
            id,
            connection,
            lanes: Default::default(),
            writers,
            close: Some(close),
            shared,
            wide: false,
        }
    }

    /// Queues a frame; returns whether the lane took it. Never waits.
    pub(crate) fn send(&self, lane: Lane, frame: Bytes) -> bool {
        let Some(slot) = lane_number(lane).map(|number| &self.lanes[usize::from(number) - 1])
        else {
            return self.send_datagram(frame);
        };
        let queue = slot.get_or_init(|| {
            let queue = Arc::new(LaneQueue::new(lane));
            let writer = Writer {
                id: self.id,
                connection: self.connection.clone(),
                queue: queue.clone(),
                shared: self.shared.clone(),
            };
            self.writers
                .spawn_on(writer.run(), &tokio::runtime::Handle::current());
            queue
        });
        queue.push(frame)
    }

    /// Sends a datagram now, or never. A peer that takes none, or a path too narrow, gets it as a control frame.
    fn send_datagram(&self, frame: Bytes) -> bool {
        let fits = |most: usize| most >= frame.len();
        if !self.connection.max_datagram_size().is_some_and(fits) {
            return self.send(Lane::Control, frame);
        }
        if let Some(upload) = &self.shared.upload {
            upload.charge(frame.len());
        }
        // It can only fail because the connection is gone, of which the core will hear.
        self.connection.send_datagram(frame).is_ok()
    }

    /// How much room a lane has, to be told to the core.
    pub(crate) fn room(&self, lane: Lane) -> usize {
        let slot = lane_number(lane).map(|number| &self.lanes[usize::from(number) - 1]);
        slot.and_then(OnceLock::get)
            .map_or_else(|| lane.capacity(), |queue| queue.report())
    }

    /// The greeting is done: the peer may send more at a time.
    pub(crate) fn widen(&mut self) {
        if !std::mem::replace(&mut self.wide, true) {
            self.connection
                .set_receive_window(VarInt::from_u32(OPEN_WINDOW));
        }
    }

    /// Delivers what is queued, within a second, and closes with this application code.
    pub(crate) fn close(&mut self, code: u32) {
        self.close_lanes();
        if let Some(close) = self.close.take() {
            let _ = close.send(code); // an error means that the connection is gone already
        }
    }

    fn close_lanes(&self) {
        for queue in self.lanes.iter().filter_map(OnceLock::get) {
            queue.close();
        }
    }

    /// UDP payload bytes received and sent.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        (stats.udp_rx.bytes, stats.udp_tx.bytes)
    }
}

/// However a connection has ended: a writer that waits for frames would wait for ever, and hold on to all of it.
impl Drop for Link {
    fn drop(&mut self) {
        self.close_lanes();
    }
}

struct Supervisor {
    id: LinkId,
    connection: Connection,
    readers: TaskTracker,
    writers: TaskTracker,
    /// Lanes that the peer has opened, one bit each.
    claimed: Arc<AtomicU8>,
    pace: Arc<Bandwidth>,
    shared: Shared,
}

impl Supervisor {
    async fn run(self, mut closing: oneshot::Receiver<u32>) {
        let reason = loop {
            tokio::select! {
                biased;
                reason = self.connection.closed() => break lost(&reason),
                code = &mut closing => {
                    // The driver's end is gone when the node stops without a goodbye.
                    let code = code.unwrap_or_else(|_| u32::from(Code::Leaving.to_u16()));
                    self.writers.close();
                    tokio::select! {
                        biased;
                        reason = self.connection.closed() => break lost(&reason),
                        _ = timeout(FLUSH, self.writers.wait()) => {}
                    }
                    self.connection.close(VarInt::from_u32(code), b"");
                    break Lost::ClosedByUs;
                }
                datagram = self.connection.read_datagram() => if let Ok(frame) = datagram {
                    if let Some(download) = &self.shared.download {
                        download.charge(frame.len());
                    }
                    self.shared.inbox.datagram(self.id, frame);
                },
                stream = self.connection.accept_uni() => if let Ok(stream) = stream {
                    let reader = Reader {
                        id: self.id,
                        connection: self.connection.clone(),
                        claimed: self.claimed.clone(),
                        pace: self.pace.clone(),
                        shared: self.shared.clone(),
                    };
                    self.readers.spawn(reader.run(stream));
                }
            }
        };
        // What arrived before the end is still read, so that the last word of a peer is heard.
        self.shared.inbox.ended(self.id);
        self.readers.close();
        self.readers.wait().await;
        self.shared.inbox.gone(self.id, reason);
    }
}

fn close(connection: &Connection, code: Code) {
    connection.close(VarInt::from_u32(u32::from(code.to_u16())), b"");
}

/// Why a connection ended. The peer's reason bytes are dropped.
fn lost(error: &ConnectionError) -> Lost {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            Lost::ClosedByPeer(u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX))
        }
        ConnectionError::LocallyClosed => Lost::ClosedByUs,
        ConnectionError::TimedOut => Lost::TimedOut,
        ConnectionError::Reset => Lost::Reset,
        _ => Lost::Transport,
    }
}

struct Writer {
    id: LinkId,
    connection: Connection,
    queue: Arc<LaneQueue>,
    shared: Shared,
}

impl Writer {
    async fn run(self) {
        let lane = self.queue.lane;
        let Some(mut first) = lane_number(lane) else {
            return;
        };
        let Ok(mut stream) = self.connection.open_uni().await else {
            return;
        };
        let _ = stream.set_priority(-i32::from(first));
        while let Some(Batch { frames, report }) = self.queue.batch().await {
            if report {
                self.shared.inbox.room(self.id, lane);
            }
            let mut chunks = gather(
                (first != 0).then(|| std::mem::replace(&mut first, 0)),
                &frames,
            );
            drop(frames);
            if let Some(upload) = &self.shared.upload {
                let bytes = chunks.iter().map(Bytes::len).sum();
                if lane == Lane::Control {
                    upload.charge(bytes); // probes and tree control are few and must not queue behind bulk
                } else {
                    upload.take(bytes).await;
                }
            }
            match stream.write_all_chunks(&mut chunks).await {
                Ok(()) => {}
                Err(quinn::WriteError::Stopped(_)) => {
                    // No node of ours refuses a lane and keeps the link.
                    Counters::hit(&self.shared.counters.bad_streams);
                    close(&self.connection, Code::Protocol);
                    return;
                }
                Err(_) => return,
            }
        }
        // Closing: the peer should have it all before it sees the close.
        if stream.finish().is_ok() {
            let _ = stream.stopped().await;
        }
    }
}

/// What a peer did wrong on a stream.
enum Fault {
    Stream,
    Length,
}

struct Reader {
    id: LinkId,
    connection: Connection,
    claimed: Arc<AtomicU8>,
    pace: Arc<Bandwidth>,
    shared: Shared,
}

impl Reader {
    async fn run(self, stream: RecvStream) {
        let Err(fault) = self.read(stream).await else {
            return;
        };
        let (counter, code) = match fault {
            Fault::Stream => (&self.shared.counters.bad_streams, Code::Protocol),
            Fault::Length => (&self.shared.counters.oversized_frames, Code::Malformed),
        };
        Counters::hit(counter);
        close(&self.connection, code);
    }

    /// Reads until the stream or the connection ends.
    async fn read(&self, mut stream: RecvStream) -> Result<(), Fault> {
        let mut chunks: [Bytes; CHUNKS] = std::array::from_fn(|_| Bytes::new());
        let mut frames = Vec::new();
        let mut lane = None;
        let mut cutter = Cutter::default();
        loop {
            let count = match stream.read_chunks(&mut chunks).await {
                Ok(Some(count)) => count,
                Err(quinn::ReadError::ConnectionLost(_)) => return Ok(()),
                // A stream that ends without naming its lane could be opened for ever.
                Ok(None) | Err(_) => return lane.map(|_| ()).ok_or(Fault::Stream),
            };
            let mut bytes = 0;
            for chunk in &mut chunks[..count] {
                let mut chunk = std::mem::take(chunk);
                bytes += chunk.len();
                if lane.is_none() && !chunk.is_empty() {
                    lane = Some(self.claim(chunk[0])?);
                    chunk = chunk.slice(1..);
                }
                cutter
                    .feed(&chunk, &mut frames)
                    .map_err(|_| Fault::Length)?;
            }
            if let (Some(lane), false) = (lane, frames.is_empty()) {
                self.shared.inbox.frames(self.id, lane, &mut frames).await;
            }
            // Nobody is read faster than this; what waits stays with the sender.
            self.pace.take(bytes).await;
            if let Some(download) = &self.shared.download {
                if lane == Some(Lane::Control) {
                    download.charge(bytes);
                } else {
                    download.take(bytes).await;
                }
            }
        }
    }

    /// Each lane has one stream for as long as the connection lives.
    fn claim(&self, number: u8) -> Result<Lane, Fault> {
        let lane = lane_of(number).ok_or(Fault::Stream)?;
        let bit = 1 << number;
        if self.claimed.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return Err(Fault::Stream);
        }
        Ok(lane)
    }
}
