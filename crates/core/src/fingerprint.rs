//! What identifies a vector space: two vectors may be compared exactly if their fingerprints match.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::manifest::{ModelSpec, hex};

/// The sha256 over a model's file hashes and every setting that changes a vector.
///
/// It belongs into every cache key and every index: vectors of two fingerprints are of two spaces,
/// even if they have as many dimensions. The default prompt is part of it; a prompt that a caller names
/// is part of the input, since a model's prompts are made to be compared with each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a text model of these files and settings.
    pub(crate) fn of_text(
        spec: &ModelSpec,
        output: &str,
        model_sha256: &str,
        tokenizer_sha256: &str,
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
        field("model", model_sha256.as_bytes());
        field("tokenizer", tokenizer_sha256.as_bytes());
        field("output", output.as_bytes());
        field("pooling", format!("{:?}", spec.pooling).as_bytes());
        let prompt = spec.default_prompt.as_ref().and_then(|name| spec.prompts.get(name));
        field("default prompt", prompt.map_or("", String::as_str).as_bytes());
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
