//! What identifies a vector space: two vectors may be compared exactly if their fingerprints match.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::HashedBytes;
use crate::manifest::{ModelSpec, hex};

/// The sha256 over a model's file hashes and every setting that changes a vector.
///
/// It belongs into every cache key and every index: vectors of two fingerprints are of two spaces,
/// even if they have as many dimensions. A prompt is not part of it, since a model's prompts are
/// made to be compared with each other; it is part of the input.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a text model of these files and settings.
    pub(crate) fn of_text(
        spec: &ModelSpec,
        output: &str,
        model: &HashedBytes<'_>,
        tokenizer: &HashedBytes<'_>,
        max_tokens: usize,
        dims: usize,
    ) -> Self {
        let mut hash = Sha256::new();
        // Each field has a name and a length, so that no two settings can spell the same bytes.
        let mut field = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        };
        field("isovec fingerprint", b"1");
        field("kind", b"text");
        field("model", model.sha256().as_bytes());
        field("tokenizer", tokenizer.sha256().as_bytes());
        field("output", output.as_bytes());
        field("pooling", format!("{:?}", spec.pooling).as_bytes());
        field("normalize", &[u8::from(spec.normalize)]);
        field("max_tokens", &(max_tokens as u64).to_le_bytes());
        field("dims", &(dims as u64).to_le_bytes());
        Fingerprint(hash.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
