//! The network's sockets, as quinn wants them.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::Hub;

/// One bound socket. Dropping it frees the address.
pub(super) struct HubSocket {
    pub(super) hub: Hub,
    pub(super) addr: SocketAddr,
    pub(super) binding: u64,
}

impl fmt::Debug for HubSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSocket")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for HubSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut net = self.hub.0.net();
        if net.port(self.addr, self.binding).is_none() {
            return Ok(()); // unplugged: the process is dead, and nobody hears it
        }
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        let mut earlier = false;
        for contents in transmit.contents.chunks(segment.max(1)) {
            earlier |= net.send(self.addr, transmit.destination, transmit.ecn, contents);
        }
        drop(net);
        if earlier {
            self.hub.0.earlier.notify_one();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut net = self.hub.0.net();
        let Some(port) = net.port(self.addr, self.binding) else {
            return Poll::Pending; // unplugged for good: there is nothing to wait for
        };
        let mut received = 0;
        if !port.stalled {
            for (buf, meta) in bufs.iter_mut().zip(metas.iter_mut()) {
                let Some(flight) = port.queue.pop_front() else {
                    break;
                };
                // As the kernel does, what does not fit is cut off.
                let len = flight.contents.len().min(buf.len());
                buf[..len].copy_from_slice(&flight.contents[..len]);
                *meta = RecvMeta {
                    addr: flight.from,
                    len,
                    stride: len,
                    ecn: flight.ecn,
                    dst_ip: Some(self.addr.ip()),
                };
                received += 1;
            }
        }
        if received == 0 {
            port.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// Nothing is ever fragmented, so path MTU discovery runs as on a real socket.
    fn may_fragment(&self) -> bool {
        false
    }
}

impl Drop for HubSocket {
    fn drop(&mut self) {
        let mut net = self.hub.0.net();
        if net.port(self.addr, self.binding).is_some() {
            net.ports.remove(&self.addr);
        }
    }
}

/// What is sent leaves at once.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::hub::Conditions;
    use crate::virtual_time::in_virtual_time;

    #[test]
    fn segments_travel_as_datagrams_of_their_own() {
        in_virtual_time(async {
            let hub = Hub::new(1, Conditions::calm(Duration::from_millis(10)));
            let socket = hub.bind(Hub::addr(1)).expect("a free address");
            socket
                .try_send(&Transmit {
                    destination: Hub::addr(2),
                    ecn: None,
                    contents: &[0; 2_500],
                    segment_size: Some(1_000),
                    src_ip: None,
                })
                .expect("a socket that is always writable");
            sleep(Duration::from_millis(20)).await;
            let lengths: Vec<usize> = hub.trace().packets().iter().map(|p| p.len).collect();
            assert_eq!(lengths, [1_000, 1_000, 500]);
            assert_eq!(hub.counts().no_socket, 3);
        });
    }
}
