//! Verdicts that many simulated nodes share.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{BadKey, BadSignature, PeerId, Signable, Signed};

/// Parts of the memo, each behind a lock of its own.
const PARTS: usize = 64;
/// Verdicts in one part of one generation.
const HALF: usize = 32_768;

type Verdict = Result<PeerId, BadSignature>;
/// Two generations, the younger first.
type Part = [HashMap<[u8; 32], Verdict>; 2];

/// What signature checks came to, keyed by everything that goes into one: key, context, network, bytes and signature. A verdict gets
/// in only by a real check, so sharing the memo among the nodes of a simulation changes what they cost and nothing they do.
///
/// Holds at most about 4 million verdicts (64 bytes each) in two generations; what is forgotten is checked again.
/// It also keeps one copy of each checked value that nodes still hold, for all of them: in a network of thousands every record is in
/// hundreds of memories.
pub struct VerdictMemo {
    parts: Vec<Mutex<Part>>,
    /// By signature. Those that nobody holds are swept out as a part grows.
    values: Vec<Mutex<Values>>,
}

/// Values that are shared while somebody holds them.
#[derive(Default)]
struct Values {
    held: HashMap<[u8; 32], Weak<dyn Any + Send + Sync>>,
    /// Values at which the next sweep is due.
    sweep_at: usize,
}

impl VerdictMemo {
    /// An empty memo.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            values: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The copy of this value that all share; this one, if it is the first. Equal in all it says, signature included.
    pub(crate) fn keep<T: Signable>(&self, value: Signed<T>) -> Arc<Signed<T>> {
        let mut name = [0; 32];
        name.copy_from_slice(&value.signature[..32]);
        let part = &self.values[usize::from(name[0]) % PARTS];
        let mut values = part.lock().unwrap_or_else(PoisonError::into_inner);
        let known = values.held.get(&name).and_then(Weak::upgrade);
        if let Some(known) = known.and_then(|known| known.downcast::<Signed<T>>().ok())
            && *known == value
        {
            return known;
        }
        if values.held.len() >= values.sweep_at {
            values.held.retain(|_, held| held.strong_count() > 0);
            values.sweep_at = 2 * values.held.len() + 64;
        }
        let value = Arc::new(value);
        let held: Arc<dyn Any + Send + Sync> = value.clone();
        values.held.insert(name, Arc::downgrade(&held));
        value
    }

    /// The verdict for this question, by `check` if it was never asked.
    pub(crate) fn signature(&self, question: &[&[u8]], check: impl FnOnce() -> Verdict) -> Verdict {
        let mut hasher = blake3::Hasher::new();
        for part in question {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let name = *hasher.finalize().as_bytes();
        let part = &self.parts[usize::from(name[0]) % PARTS];
        let mut guard = part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = guard[0].get(&name).or_else(|| guard[1].get(&name)) {
            return *verdict;
        }
        drop(guard);
        let verdict = check();
        guard = part.lock().unwrap_or_else(PoisonError::into_inner);
        if guard[0].len() >= HALF {
            guard.swap(0, 1);
            guard[0].clear();
        }
        guard[0].insert(name, verdict);
        verdict
    }

    /// The verdict on a key alone.
    pub(crate) fn key(
        &self,
        bytes: &[u8; 32],
        check: impl FnOnce() -> Result<PeerId, BadKey>,
    ) -> Result<PeerId, BadKey> {
        let verdict = self.signature(&[b"key", bytes], || check().map_err(BadSignature::Key));
        verdict.map_err(|error| match error {
            BadSignature::Key(error) => error,
            // Nothing else is ever put in under this name.
            BadSignature::Signature => BadKey::NotOnCurve,
        })
    }
}

impl Default for VerdictMemo {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for VerdictMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerdictMemo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Identity, KeyCache, NetworkId, Verified};

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Note([u8; 32], u8);

    impl Signable for Note {
        const CONTEXT: Context = Context::Message;

        fn signer(&self) -> &[u8; 32] {
            &self.0
        }

        fn body(&self, _: &NetworkId) -> Vec<u8> {
            vec![self.1]
        }
    }

    #[test]
    fn nodes_share_equal_values_while_somebody_holds_them() {
        let network = NetworkId::from_name("here");
        let identity = Identity::from_seed(&[3; 32]);
        let memo = Arc::new(VerdictMemo::new());
        let mut nodes = [
            KeyCache::shared(memo.clone()),
            KeyCache::shared(memo.clone()),
        ];
        let note = |text| {
            let note = Note(identity.id().to_bytes(), text);
            Signed::sign(note, &identity, &network).map(Verified::into_signed)
        };
        let (one, other) = (note(1).unwrap(), note(2).unwrap());
        let mut checked = nodes
            .each_mut()
            .map(|keys| one.clone().verify(&network, keys).unwrap());
        assert!(std::ptr::eq(checked[0].signed(), checked[1].signed()));
        // What only looks alike is another value.
        let alike = Signed {
            value: other.value.clone(),
            signature: one.signature,
        };
        assert_eq!(*memo.keep(alike.clone()), alike);
        checked[1] = other.verify(&network, &mut nodes[1]).unwrap();
        assert_eq!(*checked[0].signed(), one);
        drop(checked);
        let held = |memo: &VerdictMemo| -> usize {
            let parts = memo.values.iter();
            parts
                .map(|part| {
                    part.lock()
                        .unwrap()
                        .held
                        .values()
                        .filter(|it| it.strong_count() > 0)
                        .count()
                })
                .sum()
        };
        assert_eq!(held(&memo), 0);
        for text in 0..=255 {
            for _ in 0..3 {
                memo.keep(note(text).unwrap());
            }
        }
        let names: usize = memo
            .values
            .iter()
            .map(|part| part.lock().unwrap().held.len())
            .sum();
        assert!(names <= 64 * PARTS, "{names}");
    }
}
