//! Who may publish in a network.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crypto::PeerId;

use crate::wire::MessageHeader;

/// The application's own rule: author key and header (neither is verified yet) to yes or no.
pub type AuthorRule = Arc<dyn Fn(&[u8; 32], &MessageHeader) -> bool + Send + Sync>;

/// Who may publish: asked before the signature is checked, so a refused author costs next to nothing. A policy of the
/// network: nodes that disagree on it stop one another's messages.
#[derive(Clone, Default)]
pub enum AuthorPolicy {
    /// Everyone.
    #[default]
    Open,
    /// These keys.
    AllowList(BTreeSet<PeerId>),
    /// Whom the application admits. Must be quick and must not block: it runs for every new message.
    Callback(AuthorRule),
}

impl AuthorPolicy {
    /// Whether the header's author may publish it.
    #[must_use]
    pub fn admits(&self, header: &MessageHeader) -> bool {
        match self {
            Self::Open => true,
            Self::AllowList(keys) => keys.contains(&header.author),
            Self::Callback(rule) => rule(&header.author, header),
        }
    }
}

impl fmt::Debug for AuthorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::AllowList(keys) => f.debug_tuple("AllowList").field(keys).finish(),
            Self::Callback(_) => f.write_str("Callback"),
        }
    }
}
