//! A UDP socket that counts what it sends.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// What one node's sockets sent: UDP payload, without the 28 bytes (IPv4) of headers a datagram.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: AtomicU64,
    pub(super) datagrams: AtomicU64,
}

struct Counting {
    socket: Arc<dyn AsyncUdpSocket>,
    sent: Arc<Sent>,
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// Binds a socket as a node itself would.
pub(super) fn counting(addr: SocketAddr, sent: &Arc<Sent>) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let socket = vouchsafe::bind_socket(addr)?;
    Ok(Arc::new(Counting {
        socket,
        sent: sent.clone(),
    }))
}

impl AsyncUdpSocket for Counting {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        let (bytes, segment) = (
            transmit.contents.len(),
            transmit.segment_size.unwrap_or(usize::MAX),
        );
        self.sent.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent
            .datagrams
            .fetch_add(bytes.div_ceil(segment.max(1)) as u64, Ordering::Relaxed);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_leaves_is_counted() {
        let sent = Arc::new(Sent::default());
        let socket = counting("127.0.0.1:0".parse().unwrap(), &sent).unwrap();
        let destination = socket.local_addr().unwrap();
        let mut poller = socket.clone().create_io_poller();
        std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx))
            .await
            .unwrap();
        let send = |contents: &[u8], segment_size| {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents,
                segment_size,
                src_ip: None,
            };
            socket.try_send(&transmit).unwrap();
        };
        send(&[0; 100], None);
        if socket.max_transmit_segments() > 1 {
            send(&[0; 250], Some(100));
            assert_eq!(sent.bytes.load(Ordering::Relaxed), 350);
            assert_eq!(sent.datagrams.load(Ordering::Relaxed), 4);
        } else {
            assert_eq!(sent.bytes.load(Ordering::Relaxed), 100);
        }
    }
}
