//! From an Ed25519 key to TLS and back.
//!
//! A node's certificate is a pure function of its key, and the key *is* the peer's id: there is no
//! authority, no host name and no date to check. Both sides show exactly one certificate; the
//! dialler refuses every key but the one it meant to reach. TLS 1.3 only; no tickets, no
//! resumption and no early data, since each of them goes around the verifier. Another network is
//! met with "no common ALPN protocol" before any certificate is sent.
//!
//! Every refusal has a name: see [`Refusal`] and [`refusal`].

mod certificate;
mod config;
mod refusal;
mod verifier;

pub use certificate::{BadCertificate, MAX_CERTIFICATE_LEN, certificate, peer_id_of};
pub use config::{ConfigError, alpn, client_config, server_config};
pub use refusal::{Refusal, alert_meaning, refusal};
pub use verifier::{peer_at_other_end, server_name};
