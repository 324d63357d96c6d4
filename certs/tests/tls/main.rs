//! Certificates byte by byte, and real handshakes, good and bad.

mod certificates;
mod common;
mod handshakes;
