//! The admin API: HTTP/1.1, JSON and server-sent events for the operator of this machine.
//!
//! It listens on loopback only and answers nobody without the bearer token. A browser is no way around that: the `Host`
//! header must name this machine (so a rebound DNS name gets nowhere), and a foreign `Origin` is refused.

mod events;
mod guard;
mod metrics;
mod publish;
mod routes;
mod subscribe;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use overlay::messages::MAX_PAYLOAD;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use view::{DownView, EntryView, LaggedView, PeerView, PublishedView, StatusView};

use crate::Handle;
use crate::data_dir::AdminToken;

/// Connections served at once; more wait in the kernel's queue. A guess: an operator, a scraper and some subscribers.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send the body of a request.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Largest body of a request, bytes: the longest payload there can be, in base64.
pub const MAX_REQUEST_BODY: usize = MAX_PAYLOAD / 3 * 4 + 64 * 1024;

/// Why the admin API does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Everybody on the network could have reached it.
    #[error(
        "the admin address {addr} is not on loopback: use 127.0.0.1:PORT or [::1]:PORT, and a tunnel to reach it from elsewhere"
    )]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The port is taken, or may not be used.
    #[error(
        "cannot listen on the admin address {addr}: {source}; free the port or choose another (0 picks a free one)"
    )]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The running admin API of one node. Dropping it stops it.
#[derive(Debug)]
pub struct Admin {
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Admin {
    /// Serves the API of the node behind `handle` on `addr` (port 0 picks a free one) to whoever holds `token`.
    ///
    /// # Errors
    /// The address is not on loopback, or cannot be listened on.
    pub async fn start(
        addr: SocketAddr,
        token: AdminToken,
        handle: Handle,
    ) -> Result<Self, AdminError> {
        if !addr.ip().to_canonical().is_loopback() {
            return Err(AdminError::NotLoopback { addr });
        }
        let bind = |source| AdminError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let api = routes::Api {
            handle,
            stop: stop.clone(),
        };
        let router = routes::router(api).layer(axum::middleware::from_fn_with_state(
            Arc::new(guard::Guard::new(addr, token)),
            guard::check,
        ));
        tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
        Ok(Self { addr, stop, tasks })
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more requests, ends the subscriptions, and waits up to a second for answers under way.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    router: axum::Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move {
                    serve(stream, router, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await; // out of file descriptors: do not spin
            }
        }
    }
}

async fn serve(stream: TcpStream, router: axum::Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = &mut connection => {
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended badly");
            }
            return;
        }
        () = stop.cancelled() => {}
    }
    // Answers under way get a moment; subscriptions end by the same token.
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(Duration::from_millis(500), connection).await;
}

#[cfg(test)]
mod tests;
