//! What a vector is found by.

use sha2::{Digest, Sha256};

use crate::Fingerprint;

/// The fingerprint of the model, and the sha256 of the input. The version of the format is part of how it is
/// spelled on Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) input: [u8; 32],
}

impl Key {
    /// Of a text, and the text of the named prompt that is put before it: that is the user's to change, and not in
    /// the fingerprint.
    pub(crate) fn of_text(fingerprint: Fingerprint, prompt: Option<&str>, text: &str) -> Self {
        let mut hash = Sha256::new();
        // The kind and the length keep a prompt's bytes and a text's apart.
        hash.update(b"text");
        match prompt {
            Some(prompt) => {
                hash.update((prompt.len() as u64 + 1).to_le_bytes());
                hash.update(prompt);
            }
            None => hash.update(0_u64.to_le_bytes()),
        }
        hash.update(text);
        Key { fingerprint, input: hash.finalize().into() }
    }

    /// Of an image file by the sha256 of its bytes (in hexadecimal digits), wherever they came from.
    pub(crate) fn of_image(fingerprint: Fingerprint, sha256: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"image");
        hash.update(sha256);
        Key { fingerprint, input: hash.finalize().into() }
    }
}
