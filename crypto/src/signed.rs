//! Values with a signature: unchecked (`Signed`) and checked (`Verified`).

use std::ops::Deref;
use std::sync::Arc;

use crate::{BadKey, BadSignature, Context, Identity, KeyCache, NetworkId, PeerId, SignError};

/// A value that a peer signs.
pub trait Signable: Clone + PartialEq + Send + Sync + 'static {
    /// What the signature is for.
    const CONTEXT: Context;

    /// The raw key the value names as its signer.
    fn signer(&self) -> &[u8; 32];

    /// The bytes that are signed after tag and network id: an explicit fixed layout that two
    /// different values never share.
    fn body(&self, network: &NetworkId) -> Vec<u8>;
}

/// A value and a signature that nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// The value.
    pub value: T,
    /// The Ed25519 signature that came with it.
    pub signature: [u8; 64],
}

impl<T: Signable> Signed<T> {
    /// Signs `value`, which must name `identity` as its signer.
    pub fn sign(
        value: T,
        identity: &Identity,
        network: &NetworkId,
    ) -> Result<Verified<T>, SignError> {
        let signer = identity.id();
        if value.signer() != signer.as_bytes() {
            return Err(SignError::NotTheSigner);
        }
        let signature = identity.sign(T::CONTEXT, network, &value.body(network))?;
        Ok(Verified {
            signed: Arc::new(Self { value, signature }),
        })
    }

    /// Checks the signature: the only way from what a peer sent to a [`Verified`] value.
    pub fn verify(
        self,
        network: &NetworkId,
        keys: &mut KeyCache,
    ) -> Result<Verified<T>, BadSignature> {
        let body = self.value.body(network);
        keys.verify(
            self.value.signer(),
            T::CONTEXT,
            network,
            &body,
            &self.signature,
        )?;
        Ok(Verified {
            signed: keys.keep(self),
        })
    }
}

/// A value whose signature this node has made or checked itself. Copies share it.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified<T> {
    signed: Arc<Signed<T>>,
}

impl<T> Clone for Verified<T> {
    fn clone(&self) -> Self {
        Self {
            signed: self.signed.clone(),
        }
    }
}

impl<T> Verified<T> {
    /// The value with its signature, to pass on.
    pub fn signed(&self) -> &Signed<T> {
        &self.signed
    }
}

impl<T: Clone> Verified<T> {
    /// The value with its signature, by value.
    pub fn into_signed(self) -> Signed<T> {
        Arc::unwrap_or_clone(self.signed)
    }
}

impl<T: Signable> Verified<T> {
    /// Who signed it.
    pub fn signer(&self) -> PeerId {
        // Checked when this value was made, and nothing changes it after.
        PeerId::of_checked_bytes(self.signed.value.signer())
    }

    /// Takes back a row of the node's own store, which held a verified value when it was written.
    /// The signature is *not* checked again; never call this with anything a peer sent. The key
    /// is, at about 30 us; see [`trust_stored_with`](Self::trust_stored_with) for many rows.
    pub fn trust_stored(signed: Signed<T>) -> Result<Self, BadKey> {
        PeerId::from_bytes(signed.value.signer())?;
        Ok(Self {
            signed: Arc::new(signed),
        })
    }

    /// As [`trust_stored`](Self::trust_stored), remembering keys in `keys`.
    pub fn trust_stored_with(signed: Signed<T>, keys: &mut KeyCache) -> Result<Self, BadKey> {
        keys.check(signed.value.signer())?;
        Ok(Self {
            signed: Arc::new(signed),
        })
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.signed.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Note {
        author: [u8; 32],
        text: &'static str,
    }

    impl Signable for Note {
        const CONTEXT: Context = Context::Message;

        fn signer(&self) -> &[u8; 32] {
            &self.author
        }

        fn body(&self, _: &NetworkId) -> Vec<u8> {
            self.text.as_bytes().to_vec()
        }
    }

    fn note(identity: &Identity) -> Note {
        Note {
            author: identity.id().to_bytes(),
            text: "hello",
        }
    }

    #[test]
    fn what_is_signed_verifies_and_only_in_its_network() {
        let (here, there) = (NetworkId::from_name("here"), NetworkId::from_name("there"));
        let identity = Identity::from_seed(&[7; 32]);
        let mut keys = KeyCache::new(16);
        let made = Signed::sign(note(&identity), &identity, &here).unwrap();
        assert_eq!(made.signer(), identity.id());
        assert_eq!(made.text, "hello");
        let sent = made.clone().into_signed();
        assert_eq!(sent.clone().verify(&here, &mut keys), Ok(made));
        assert_eq!(
            sent.clone().verify(&there, &mut keys),
            Err(BadSignature::Signature)
        );
        let mut changed = sent;
        changed.value.text = "hullo";
        assert_eq!(
            changed.verify(&here, &mut keys),
            Err(BadSignature::Signature)
        );
    }

    #[test]
    fn nobody_signs_in_anothers_name() {
        let here = NetworkId::from_name("here");
        let (a, b) = (Identity::from_seed(&[1; 32]), Identity::from_seed(&[2; 32]));
        assert_eq!(
            Signed::sign(note(&a), &b, &here),
            Err(SignError::NotTheSigner)
        );
        // Nor does a good signature of one pass under the name of another.
        let mut sent = Signed::sign(note(&a), &a, &here).unwrap().into_signed();
        sent.value.author = b.id().to_bytes();
        let verdict = sent.verify(&here, &mut KeyCache::new(8));
        assert_eq!(verdict, Err(BadSignature::Signature));
    }

    #[test]
    fn a_weak_author_is_refused_even_from_the_store() {
        let here = NetworkId::from_name("here");
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let value = Note {
            author: weak,
            text: "anything",
        };
        let forged = Signed { value, signature };
        let mut keys = KeyCache::new(8);
        assert_eq!(
            forged.clone().verify(&here, &mut keys),
            Err(BadSignature::Key(BadKey::SmallOrder))
        );
        assert_eq!(
            Verified::trust_stored(forged.clone()),
            Err(BadKey::SmallOrder)
        );
        assert_eq!(
            Verified::trust_stored_with(forged, &mut keys),
            Err(BadKey::SmallOrder)
        );
    }

    #[test]
    fn a_stored_row_comes_back_as_it_was() {
        let here = NetworkId::from_name("here");
        let identity = Identity::from_seed(&[7; 32]);
        let made = Signed::sign(note(&identity), &identity, &here).unwrap();
        let row = made.signed().clone();
        assert_eq!(Verified::trust_stored(row.clone()), Ok(made.clone()));
        assert_eq!(
            Verified::trust_stored_with(row, &mut KeyCache::new(8)),
            Ok(made)
        );
    }
}
