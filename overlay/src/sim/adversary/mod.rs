//! The adversary: hostile nodes that speak the real codec, know what they have been told, and read no honest state.
//!
//! What they know in common, the [`Clique`], is their own records and the honest addresses any of them has heard of; it is brought
//! together every few seconds of simulated time. A [`Puppet`] is one hostile node; its [`Plan`] says what it does.
//! A [`Taker`] is one that attacks the spreading of messages, an [`Accuser`] one that lies about who is alive, a [`Feigner`] one that plays dead.

mod accuser;
mod clique;
mod feigner;
mod puppet;
mod taker;

pub use accuser::Accuser;
pub use clique::Clique;
pub use feigner::Feigner;
pub use puppet::{KEPT, Plan, Puppet};
pub use taker::Taker;
