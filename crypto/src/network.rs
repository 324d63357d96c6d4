//! Which network a node belongs to.

use crate::text::{self, text_form};

/// Bytes of the id that the short form shows: 80 bits, 16 characters without a remainder.
const SHORT_BYTES: usize = 10;

/// A network's id: BLAKE3 of its name or of its genesis bytes.
///
/// It is part of everything signed, so nothing signed for one network is valid in another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId([u8; 32]);

impl NetworkId {
    /// The id of a network known by name: BLAKE3 of the name's UTF-8 bytes, exactly as written.
    pub fn from_name(name: &str) -> Self {
        Self::from_genesis(name.as_bytes())
    }

    /// The id of a network known by its genesis bytes (a block, a document): BLAKE3 of them.
    pub fn from_genesis(genesis: &[u8]) -> Self {
        Self(*blake3::hash(genesis).as_bytes())
    }

    /// The first 16 characters (80 bits) of the text form, as carried in the ALPN.
    pub fn short(&self) -> String {
        text::encode(&self.0[..SHORT_BYTES])
    }
}

text_form!(NetworkId, "the network id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_exactly() {
        let id = NetworkId::from_name("main");
        assert_ne!(id, NetworkId::from_name("Main"));
        assert_ne!(id, NetworkId::from_name("main "));
        assert_eq!(id, NetworkId::from_genesis(b"main"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), id.to_string()[..16]);
        assert_eq!(format!("{id:?}"), format!("NetworkId({})", id.short()));
    }
}
