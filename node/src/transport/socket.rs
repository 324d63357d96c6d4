//! UDP sockets: made with large buffers, and counted.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};

use crate::snapshot::Counters;

/// Send and receive buffers asked for, bytes. With the usual 208 KiB bursts lose packets in the receiving kernel.
const BUFFER: usize = 4 * 1024 * 1024;

/// Binds a UDP socket as a node does by itself: for applications that put something around it in
/// [`Builder::sockets`](crate::Builder::sockets). Buffers of 4 MiB are asked for. IPv6 sockets take IPv6 only, so that both
/// families can use one port. Needs a current tokio runtime.
///
/// # Errors
/// The address is taken, or not one of this machine.
pub fn bind(addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    let socket = UdpSocket::from(socket);
    ask_for_buffers(&socket, addr);
    TokioRuntime.wrap_udp_socket(socket)
}

/// The system may grant less; that costs throughput and nothing else, so it is said once for each socket.
fn ask_for_buffers(socket: &UdpSocket, addr: SocketAddr) {
    let granted = || {
        let state = UdpSocketState::new(socket.into())?;
        state.set_recv_buffer_size(socket.into(), BUFFER)?;
        state.set_send_buffer_size(socket.into(), BUFFER)?;
        Ok::<_, io::Error>((
            state.recv_buffer_size(socket.into())?,
            state.send_buffer_size(socket.into())?,
        ))
    };
    match granted() {
        Ok((receive, send)) if receive >= BUFFER && send >= BUFFER => {}
        Ok((receive, send)) => tracing::info!(
            %addr, receive, send, wanted = BUFFER,
            "the system grants smaller socket buffers than asked for; raise net.core.rmem_max and net.core.wmem_max for high rates"
        ),
        Err(error) => tracing::info!(%addr, %error, "the socket's buffers cannot be set"),
    }
}

/// A socket that counts what crosses it, and that can be let go of while connections still hold it: quinn keeps its sockets
/// until the last connection has drained, long after the node has said that it stopped.
pub(crate) struct Counted {
    inner: RwLock<Option<Arc<dyn AsyncUdpSocket>>>,
    addr: SocketAddr,
    max_transmit_segments: usize,
    max_receive_segments: usize,
    may_fragment: bool,
    counters: Arc<Counters>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>, counters: Arc<Counters>) -> io::Result<Self> {
        Ok(Self {
            addr: inner.local_addr()?,
            max_transmit_segments: inner.max_transmit_segments(),
            max_receive_segments: inner.max_receive_segments(),
            may_fragment: inner.may_fragment(),
            inner: RwLock::new(Some(inner)),
            counters,
        })
    }

    /// Closes the socket: its port is free, nothing is received any more, and what is still sent goes nowhere.
    pub(crate) fn close(&self) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn inner(&self) -> RwLockReadGuard<'_, Option<Arc<dyn AsyncUdpSocket>>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// How many datagrams `len` bytes in steps of `segment` are.
fn datagrams(len: usize, segment: usize) -> u64 {
    len.div_ceil(segment.max(1)) as u64
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(inner) = &*self.inner() else {
            return Ok(());
        };
        inner.try_send(transmit)?;
        let len = transmit.contents.len();
        let segment = transmit.segment_size.unwrap_or(len);
        Counters::add(&self.counters.udp_datagrams_out, datagrams(len, segment));
        Counters::add(&self.counters.udp_bytes_out, len as u64);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some(inner) = &*self.inner() else {
            return Poll::Pending; // for good; the connections' own timers end them
        };
        let received = inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &received {
            for meta in &meta[..*count] {
                let count = datagrams(meta.len, meta.stride);
                Counters::add(&self.counters.udp_datagrams_in, count);
                Counters::add(&self.counters.udp_bytes_in, meta.len as u64);
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn max_transmit_segments(&self) -> usize {
        self.max_transmit_segments
    }

    fn max_receive_segments(&self) -> usize {
        self.max_receive_segments
    }

    fn may_fragment(&self) -> bool {
        self.may_fragment
    }
}

/// Waits until the socket can send, holding on to it only while it waits.
struct Poller {
    socket: Arc<Counted>,
    waiting: Option<Pin<Box<dyn UdpPoller>>>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poller").field(&self.socket).finish()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(inner) = self.socket.inner().clone() else {
            self.waiting = None;
            return Poll::Ready(Ok(()));
        };
        let waiting = self.waiting.get_or_insert_with(|| inner.create_io_poller());
        let ready = waiting.as_mut().poll_writable(cx);
        if ready.is_ready() {
            self.waiting = None;
        }
        ready
    }
}
