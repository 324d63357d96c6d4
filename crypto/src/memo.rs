//! Verdicts that many simulated nodes share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::{BadKey, BadSignature, PeerId};

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
pub struct VerdictMemo {
    parts: Vec<Mutex<Part>>,
}

impl VerdictMemo {
    /// An empty memo.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
        }
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
