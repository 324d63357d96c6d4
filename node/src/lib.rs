//! Vouchsafe as a library: a peer-sampling overlay node for open networks.
//!
//! A node is built with [`Node::builder`], runs on the caller's tokio runtime, and is used through its
//! [`Handle`]: publish, subscribe, sample, watch. Any number of nodes live in one process; nothing is global.

pub mod admin;
mod builder;
pub mod config;
pub mod data_dir;
mod driver;
pub mod evidence;
pub mod faults;
mod handle;
mod node;
mod sequence;
mod snapshot;
pub mod store;
mod subscription;
mod transport;

pub use builder::{Builder, Limits, SpawnError};
pub use handle::{
    EventStream, EvidenceError, Handle, IntoTopic, NodeEvent, PublishError, Published, Stopped,
};
pub use node::Node;
pub use sequence::{From, Order};
pub use snapshot::{NodeStats, PeerInfo, Status, TransportStats};
pub use subscription::{Item, SubscribeError, Subscription};
pub use transport::bind as bind_socket;

pub use crypto::{EntryId, Identity, MessageId, NetworkId, PeerId};
pub use overlay::action::Delivery;
pub use overlay::conduct::AuthorPolicy;
pub use overlay::config::AddressPreset;
pub use overlay::input::Verdict;
pub use overlay::messages::Topic;
pub use overlay::neighbors::{Code, Down};
pub use overlay::wire::MessageHeader;

/// The example of the README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
