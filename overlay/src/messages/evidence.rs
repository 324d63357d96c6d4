//! Proof, for anybody, that an author signed two messages with one sequence number.

use crypto::{NetworkId, PeerId, Verified};

use crate::wire::MessageHeader;

/// Two verified headers of one author with one sequence number and different contents, in ascending order of their ids.
/// Nobody but the holder of the author's key can bring one about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pair: [Verified<MessageHeader>; 2],
}

/// Why two headers prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEvidence {
    /// Each author numbers for itself.
    #[error("the two messages are of two authors")]
    TwoAuthors,
    /// An author may sign any number of messages, each with its own number.
    #[error("the two messages have different sequence numbers")]
    TwoNumbers,
    /// A message may be seen any number of times.
    #[error("both are one message")]
    OneMessage,
}

impl Evidence {
    /// Of two headers whose signatures have been checked, in whatever order.
    ///
    /// # Errors
    /// They prove nothing.
    pub fn of(
        a: Verified<MessageHeader>,
        b: Verified<MessageHeader>,
        network: &NetworkId,
    ) -> Result<Self, NotEvidence> {
        if a.author != b.author {
            return Err(NotEvidence::TwoAuthors);
        }
        if a.seq != b.seq {
            return Err(NotEvidence::TwoNumbers);
        }
        let (first, second) = (a.id(network), b.id(network));
        if first == second {
            return Err(NotEvidence::OneMessage);
        }
        let pair = if first < second { [a, b] } else { [b, a] };
        Ok(Self { pair })
    }

    /// Who signed both.
    #[must_use]
    pub fn author(&self) -> PeerId {
        self.pair[0].signer()
    }

    /// The number that both have.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.pair[0].seq
    }

    /// The two headers, ascending by id.
    #[must_use]
    pub fn messages(&self) -> &[Verified<MessageHeader>; 2] {
        &self.pair
    }
}

#[cfg(test)]
mod tests {
    use crypto::{Identity, Signed};

    use super::*;

    fn network() -> NetworkId {
        NetworkId::from_name("test")
    }

    fn header(author: u8, seq: u64, root: u8) -> Verified<MessageHeader> {
        let identity = Identity::from_seed(&[author; 32]);
        let header = MessageHeader {
            author: identity.id().to_bytes(),
            seq,
            prev_seq: 0,
            published_unix_ms: 1000,
            topic: "news".parse().unwrap(),
            count: 1,
            body_len: 7,
            body_root: [root; 32],
        };
        Signed::sign(header, &identity, &network()).unwrap()
    }

    #[test]
    fn two_contents_under_one_number_are_evidence_in_either_order() {
        let (a, b) = (header(1, 5, 1), header(1, 5, 2));
        let evidence = Evidence::of(a.clone(), b.clone(), &network()).unwrap();
        assert_eq!(Evidence::of(b, a, &network()).unwrap(), evidence);
        assert_eq!(
            (evidence.author(), evidence.seq()),
            (Identity::from_seed(&[1; 32]).id(), 5)
        );
        let [first, second] = evidence.messages();
        assert!(first.id(&network()) < second.id(&network()));
    }

    #[test]
    fn what_an_honest_author_signs_is_none() {
        let of = |a, b| Evidence::of(a, b, &network()).unwrap_err();
        let a = header(1, 5, 1);
        assert_eq!(of(a.clone(), header(1, 6, 2)), NotEvidence::TwoNumbers);
        assert_eq!(of(a.clone(), header(2, 5, 2)), NotEvidence::TwoAuthors);
        assert_eq!(of(a.clone(), a), NotEvidence::OneMessage);
    }
}
