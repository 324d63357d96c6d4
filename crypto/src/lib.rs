//! Keys, ids, hashes and signatures of Vouchsafe. No sockets, no async, no clock.
//!
//! Three rules hold everywhere in this crate:
//!
//! * **One signature rule.** Every signature, a TLS handshake's included, is judged by the strict
//!   rule behind [`verify_raw`]. There is no batch verification and no second implementation: their
//!   verdicts differ on hostile keys.
//! * **A [`PeerId`] is a checked key.** Whoever holds one holds a canonical Ed25519 key of prime
//!   order. Small-order, mixed-order and non-canonical keys are refused where an id enters.
//! * **Nothing is signed without a context.** What is signed is `tag | network id | body` with the
//!   tags listed in [`Context`]; no function here signs bytes of the caller's choosing.

mod chunks;
mod context;
mod hash;
mod id;
mod identity;
mod key_file;
mod keys;
#[cfg(feature = "sim")]
mod memo;
mod network;
mod signed;
mod text;

pub use chunks::{CHUNK_LEN, Manifest, chunk_count};
pub use context::{Context, HashContext};
pub use hash::{EntryId, MessageId, body_root};
pub use id::{BadKey, ParsePeerIdError, PeerId};
pub use identity::{Identity, SignError};
pub use key_file::KeyFileError;
pub use keys::{BadSignature, KeyCache, verify_raw};
#[cfg(feature = "sim")]
pub use memo::VerdictMemo;
pub use network::NetworkId;
pub use signed::{Signable, Signed, Verified};
pub use text::ParseIdError;
