//! Runs in virtual time: tokio's clock, paused, jumps to the next timer whenever nothing else is
//! left to do.

use std::future::Future;

use tokio::time::Instant;

/// The Unix time at which virtual runs begin, in milliseconds: 2026-01-01 00:00 UTC.
pub const UNIX_START_MS: u64 = 1_767_225_600_000;

/// Runs `future` to its end on a runtime of its own: one thread, a paused clock, and no driver for
/// the operating system's sockets, so that anything which would wait for the real world fails.
///
/// # Panics
/// When no runtime can be made, or inside another one.
pub fn in_virtual_time<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the system")
        .block_on(future)
}

/// A wall clock that begins now, at [`UNIX_START_MS`], and follows the virtual one.
///
/// Read it inside the runtime.
pub fn unix_clock() -> impl Fn() -> u64 + Clone + Send + Sync + 'static {
    let start = Instant::now();
    move || {
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        UNIX_START_MS.saturating_add(elapsed)
    }
}
