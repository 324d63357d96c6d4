//! A running node.

use std::net::SocketAddr;

use crypto::PeerId;

use crate::builder::Builder;
use crate::handle::Handle;

/// A running node. Dropping it begins the same graceful stop as [`shutdown`](Self::shutdown), without waiting for it.
#[derive(Debug)]
pub struct Node {
    pub(crate) handle: Handle,
}

impl Node {
    /// Starts the description of a node.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A handle to use from any task.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.handle.id()
    }

    /// The addresses it listens on, with the ports that were picked.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.handle.local_addrs()
    }

    /// Leaves gracefully; see [`Handle::shutdown`].
    pub async fn shutdown(self) {
        self.handle.shutdown().await;
    }

    /// Returns when the node has stopped, for whatever reason; see [`Handle::failure`].
    pub async fn stopped(&self) {
        self.handle.0.stopped.cancelled().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.0.stop.cancel();
    }
}
