//! UDP sockets: made with large buffers, and counted.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
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

/// A socket that counts what crosses it.
pub(crate) struct Counted {
    inner: Arc<dyn AsyncUdpSocket>,
    counters: Arc<Counters>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>, counters: Arc<Counters>) -> Self {
        Self { inner, counters }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// How many datagrams `len` bytes in steps of `segment` are.
fn datagrams(len: usize, segment: usize) -> u64 {
    len.div_ceil(segment.max(1)) as u64
}

impl AsyncUdpSocket for Counted {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
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
        let received = self.inner.poll_recv(cx, bufs, meta);
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
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
