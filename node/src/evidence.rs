//! Proofs of equivocation outside the node that found them: a self-contained text that anybody can verify, with this library
//! and without a node.
//!
//! An author who signs two different messages with one sequence number shows different things to different nodes. The two
//! signed headers prove it to anyone who knows the network: nobody else can make the author's signature.

use std::fmt;

use crypto::{BadSignature, KeyCache, MessageId, NetworkId, PeerId, Signed, Verified};
use data_encoding::{BASE64, HEXLOWER};
use overlay::messages::NotEvidence;
use overlay::wire::MessageHeader;
use serde::{Deserialize, Serialize};

pub use overlay::messages::Evidence;

use crate::handle::EvidenceError;
use crate::store::StoredEvidence;

/// What the field `format` of an exported proof says.
pub const FORMAT: &str = "vouchsafe-equivocation-1";
/// Longest exported proof, bytes; one has about 1,000.
pub const MAX_EXPORT: usize = 16 * 1024;

/// A proof that a node keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvidence {
    /// When the node found it, milliseconds since the Unix epoch, by the node's clock.
    pub found_unix_ms: u64,
    /// The proof.
    pub evidence: Evidence,
}

impl KeptEvidence {
    /// Of a row of the store, which was verified when it was written.
    pub(crate) fn of(stored: StoredEvidence, network: &NetworkId) -> Result<Self, EvidenceError> {
        let damaged = |problem: &dyn fmt::Display| EvidenceError::Damaged(problem.to_string());
        let [a, b] = stored.messages;
        let a = Verified::trust_stored(a).map_err(|problem| damaged(&problem))?;
        let b = Verified::trust_stored(b).map_err(|problem| damaged(&problem))?;
        let evidence = Evidence::of(a, b, network).map_err(|problem| damaged(&problem))?;
        Ok(Self {
            found_unix_ms: stored.found_unix_ms,
            evidence,
        })
    }
}

/// A proof as JSON. What it says is worth nothing before [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// [`FORMAT`].
    pub format: String,
    /// Id of the network.
    pub network: String,
    /// The author of both messages.
    pub author: String,
    /// The sequence number of both messages.
    pub seq: u64,
    /// When the exporting node found it, milliseconds since the Unix epoch. The exporter's word, which nothing proves.
    pub found_unix_ms: u64,
    /// The two messages, ascending by id.
    pub messages: [ExportedHeader; 2],
}

/// One of the two headers: what the author signed beside its key and the sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedHeader {
    /// Id of the message; follows from the rest.
    pub id: String,
    /// The sequence number of the author's previous message.
    pub prev_seq: u64,
    /// The author's date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// The topic.
    pub topic: String,
    /// Number of entries.
    pub count: u16,
    /// Length of the body, bytes.
    pub body_len: u32,
    /// BLAKE3 of the body, hexadecimal.
    pub body_root: String,
    /// The author's signature.
    pub signature_base64: String,
}

/// Why a text proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadEvidence {
    /// It is too long.
    #[error("it has {0} bytes, a proof has at most {MAX_EXPORT}")]
    TooLong(usize),
    /// It is not the JSON of a proof.
    #[error("it is not a proof as `vouchsafe evidence export` writes it: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has another format.
    #[error("its format is {0:?}, this program knows \"{FORMAT}\"")]
    Format(String),
    /// It is about another network.
    #[error("it is about network {found}, not {expected}")]
    OtherNetwork {
        /// The network it names.
        found: String,
        /// The network asked about.
        expected: NetworkId,
    },
    /// A field cannot be read.
    #[error("field `{field}`: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A header is not what its id says.
    #[error("the id of message {which} does not follow from its fields: they were changed")]
    Id {
        /// 1 or 2.
        which: u8,
    },
    /// A signature does not verify.
    #[error("the signature of message {which} is not the author's: {problem}")]
    Signature {
        /// 1 or 2.
        which: u8,
        /// Why.
        problem: BadSignature,
    },
    /// Both signatures are good, but the headers prove nothing.
    #[error(transparent)]
    NotEvidence(#[from] NotEvidence),
}

/// Checks an exported proof: the text is whole, it is about `network`, both signatures are the author's by the strict rule, and the
/// messages differ. The answer names the author and the sequence number.
///
/// # Errors
/// What is wrong with it.
pub fn verify(exported: &[u8], network: &NetworkId) -> Result<Evidence, BadEvidence> {
    Exported::parse(exported)?.verify(network)
}

impl Exported {
    /// Of a proof.
    #[must_use]
    pub fn of(kept: &KeptEvidence, network: &NetworkId) -> Self {
        let header = |header: &Verified<MessageHeader>| ExportedHeader {
            id: header.id(network).to_string(),
            prev_seq: header.prev_seq,
            published_unix_ms: header.published_unix_ms,
            topic: header.topic.to_string(),
            count: header.count,
            body_len: header.body_len,
            body_root: HEXLOWER.encode(&header.body_root),
            signature_base64: BASE64.encode(&header.signed().signature),
        };
        let [a, b] = kept.evidence.messages();
        Self {
            format: FORMAT.to_owned(),
            network: network.to_string(),
            author: kept.evidence.author().to_string(),
            seq: kept.evidence.seq(),
            found_unix_ms: kept.found_unix_ms,
            messages: [header(a), header(b)],
        }
    }

    /// Reads the JSON of one proof; nothing is checked but its form.
    ///
    /// # Errors
    /// It is too long, or of another form.
    pub fn parse(text: &[u8]) -> Result<Self, BadEvidence> {
        if text.len() > MAX_EXPORT {
            return Err(BadEvidence::TooLong(text.len()));
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The network it says it is about. A signature is good in one network only, so a false name makes a bad proof.
    ///
    /// # Errors
    /// It is no network id.
    pub fn named_network(&self) -> Result<NetworkId, BadEvidence> {
        self.network
            .parse()
            .map_err(|problem| field("network", &problem))
    }

    /// See [`verify`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, network: &NetworkId) -> Result<Evidence, BadEvidence> {
        if self.format != FORMAT {
            return Err(BadEvidence::Format(self.format.clone()));
        }
        if self.named_network()? != *network {
            return Err(BadEvidence::OtherNetwork {
                found: self.network.clone(),
                expected: *network,
            });
        }
        let author: PeerId = self
            .author
            .parse()
            .map_err(|problem| field("author", &problem))?;
        let mut keys = KeyCache::new(1);
        let [a, b] = &self.messages;
        let a = self.header(a, 1, &author, network, &mut keys)?;
        let b = self.header(b, 2, &author, network, &mut keys)?;
        Ok(Evidence::of(a, b, network)?)
    }

    fn header(
        &self,
        exported: &ExportedHeader,
        which: u8,
        author: &PeerId,
        network: &NetworkId,
        keys: &mut KeyCache,
    ) -> Result<Verified<MessageHeader>, BadEvidence> {
        let value = MessageHeader {
            author: author.to_bytes(),
            seq: self.seq,
            prev_seq: exported.prev_seq,
            published_unix_ms: exported.published_unix_ms,
            topic: exported
                .topic
                .parse()
                .map_err(|problem| field("topic", &problem))?,
            count: exported.count,
            body_len: exported.body_len,
            body_root: HEXLOWER
                .decode(exported.body_root.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| field("body_root", &"it is not 64 hexadecimal digits"))?,
        };
        let id: MessageId = exported
            .id
            .parse()
            .map_err(|problem| field("id", &problem))?;
        if value.id(network) != id {
            return Err(BadEvidence::Id { which });
        }
        let signature = BASE64
            .decode(exported.signature_base64.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| field("signature_base64", &"it is not 64 bytes in base64"))?;
        Signed { value, signature }
            .verify(network, keys)
            .map_err(|problem| BadEvidence::Signature { which, problem })
    }
}

fn field(field: &'static str, problem: &dyn fmt::Display) -> BadEvidence {
    BadEvidence::Field {
        field,
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crypto::Identity;

    use super::*;

    fn network() -> NetworkId {
        NetworkId::from_name("test")
    }

    fn header(seq: u64, root: u8) -> Verified<MessageHeader> {
        let identity = Identity::from_seed(&[3; 32]);
        let header = MessageHeader {
            author: identity.id().to_bytes(),
            seq,
            prev_seq: seq - 1,
            published_unix_ms: 1_790_000_000_000,
            topic: "a/b".parse().unwrap(),
            count: 1,
            body_len: 9,
            body_root: [root; 32],
        };
        Signed::sign(header, &identity, &network()).unwrap()
    }

    fn kept() -> KeptEvidence {
        KeptEvidence {
            found_unix_ms: 77,
            evidence: Evidence::of(header(9, 1), header(9, 2), &network()).unwrap(),
        }
    }

    fn exported() -> String {
        serde_json::to_string_pretty(&Exported::of(&kept(), &network())).unwrap()
    }

    #[test]
    fn what_is_exported_is_verified_by_anybody() {
        let text = exported();
        assert!(text.len() < MAX_EXPORT);
        let evidence = verify(text.as_bytes(), &network()).unwrap();
        assert_eq!(evidence, kept().evidence);
        assert_eq!(evidence.author(), Identity::from_seed(&[3; 32]).id());
        assert_eq!(evidence.seq(), 9);
    }

    /// Every digit and letter of the text, one at a time, but for the time it was found at, which nobody signed.
    #[test]
    fn a_changed_character_anywhere_is_noticed() {
        let text = exported();
        let free = text.find("77").unwrap();
        let mut tried = 0;
        for (at, old) in text.char_indices().filter(|(at, _)| *at / 2 != free / 2) {
            let new = match old {
                '0'..='8' | 'a'..='y' | 'A'..='Y' => char::from(old as u8 + 1),
                '9' => '8',
                'z' => 'a',
                'Z' => 'A',
                _ => continue,
            };
            if at == free || at == free + 1 {
                continue;
            }
            let mut changed = text.clone().into_bytes();
            changed[at] = new as u8;
            assert!(
                verify(&changed, &network()).is_err(),
                "{old} to {new} at {at}"
            );
            tried += 1;
        }
        assert!(tried > 600, "{tried}");
    }

    #[test]
    fn what_proves_nothing_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut Exported)| {
            let mut exported = Exported::of(&kept(), &network());
            change(&mut exported);
            let text = serde_json::to_vec(&exported).unwrap();
            verify(&text, &network()).unwrap_err().to_string()
        };
        // The headers say another thing than what was signed, with a fitting id.
        let text = refused(&|it| {
            let mut other = MessageHeader::clone(&header(9, 1));
            other.topic = "a/c".parse().unwrap();
            it.messages[1].topic = "a/c".to_owned();
            it.messages[1].body_root = HEXLOWER.encode(&[1; 32]);
            it.messages[1].id = other.id(&network()).to_string();
        });
        assert!(text.contains("the signature of message 2"), "{text}");
        let text = refused(&|it| it.messages[0].topic = "a/c".to_owned());
        assert!(text.contains("the id of message 1"), "{text}");
        let text = refused(&|it| it.seq = 10);
        assert!(text.contains("the id of message 1"), "{text}");
        // One message twice: anybody can do that.
        let text = refused(&|it| it.messages[1] = it.messages[0].clone());
        assert!(text.contains("both are one message"), "{text}");
        let text = refused(&|it| it.format = "vouchsafe-equivocation-2".to_owned());
        assert!(text.contains("vouchsafe-equivocation-1"), "{text}");
        let text = refused(&|it| it.author = "nobody".to_owned());
        assert!(text.contains("`author`"), "{text}");
        let text = refused(&|it| it.messages[1].signature_base64.truncate(40));
        assert!(text.contains("`signature_base64`"), "{text}");
        let text = refused(&|it| it.messages[1].body_root.truncate(40));
        assert!(text.contains("`body_root`"), "{text}");
        let other = NetworkId::from_name("other");
        let text = verify(exported().as_bytes(), &other).unwrap_err();
        assert!(text.to_string().contains("it is about network"), "{text}");
        // Renamed, it is about a network whose signatures these are not.
        let mut renamed = Exported::of(&kept(), &other);
        let text = renamed.verify(&other).unwrap_err().to_string();
        assert!(text.contains("the signature of message 1"), "{text}");
        renamed.network = "x".to_owned();
        assert!(renamed.named_network().is_err());
        let long = vec![b' '; MAX_EXPORT + 1];
        let text = verify(&long, &network()).unwrap_err().to_string();
        assert!(text.contains("16385 bytes"), "{text}");
        let text = verify(b"{}", &network()).unwrap_err().to_string();
        assert!(text.contains("vouchsafe evidence export"), "{text}");
    }
}
