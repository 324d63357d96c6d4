//! What the operating system asks of the process.

use std::io;
use std::time::{Duration, Instant};

/// The same signal once more within this time is no second request: `timeout`, and shells and supervisors like it, send it to
/// the process and then to the process's group. A guess, far below what a person means by twice.
const ECHO: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM: stop.
    Terminate,
    /// SIGINT: stop.
    Interrupt,
    /// SIGHUP.
    Reload,
}

#[cfg(unix)]
mod system {
    use super::{Signal, io};
    use tokio::signal::unix::{Signal as Source, SignalKind, signal};

    #[derive(Debug)]
    pub(in super::super) struct Signals {
        terminate: Source,
        interrupt: Source,
        hangup: Source,
    }

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
            })
        }

        pub(in super::super) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.hangup.recv() => Signal::Reload,
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Signal, io};

    #[derive(Debug)]
    pub(in super::super) struct Signals;

    impl Signals {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in super::super) async fn next(&mut self) -> Signal {
            let _ = tokio::signal::ctrl_c().await;
            Signal::Interrupt
        }
    }
}

pub(super) use system::Signals;

impl Signals {
    /// A request to stop after the one that was heard `first`, if any.
    pub(super) async fn again(&mut self, first: Option<Signal>) {
        let since = Instant::now();
        loop {
            let signal = self.next().await;
            let echo = first == Some(signal) && since.elapsed() < ECHO;
            if signal != Signal::Reload && !echo {
                return;
            }
        }
    }
}
