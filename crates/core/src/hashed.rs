//! Bytes that carry their own sha256.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, Result};

/// The bytes of a file together with their sha256, computed once.
///
/// A caller that has to verify a file against its pinned hash anyway makes one of these, compares
/// [`sha256`](Self::sha256) and hands it on: a 90 MB model is then hashed once, not twice. A plain
/// `&[u8]` converts into it, and so does a `Vec<u8>`, which it then owns.
///
/// ```
/// let file = isovec_core::HashedBytes::from(b"abc".as_slice());
/// assert!(file.sha256().starts_with("ba7816bf8f01cfea"));
/// ```
#[derive(Clone, Debug)]
pub struct HashedBytes<'a> {
    bytes: Cow<'a, [u8]>,
    sha256: String,
}

impl HashedBytes<'static> {
    /// Bytes whose sha256 the platform has computed, for where it does that faster, as a browser does
    /// beside WebAssembly. The hash is believed; one of other bytes gives the model a fingerprint that
    /// is not its own.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) unless `sha256` has 64 lower-case hexadecimal digits.
    pub fn with_sha256(bytes: Vec<u8>, sha256: String) -> Result<Self> {
        check_sha256(&sha256)?;
        Ok(HashedBytes { bytes: Cow::Owned(bytes), sha256 })
    }
}

impl<'a> HashedBytes<'a> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their sha256, in 64 lower-case hexadecimal digits, as manifests write it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn into_parts(self) -> (Cow<'a, [u8]>, String) {
        (self.bytes, self.sha256)
    }
}

impl<'a> From<&'a [u8]> for HashedBytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        HashedBytes { sha256: hex(&Sha256::digest(bytes)), bytes: Cow::Borrowed(bytes) }
    }
}

impl<'a> From<&'a Vec<u8>> for HashedBytes<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        HashedBytes::from(bytes.as_slice())
    }
}

impl<'a> From<&'a HashedBytes<'_>> for HashedBytes<'a> {
    fn from(other: &'a HashedBytes<'_>) -> Self {
        HashedBytes { bytes: Cow::Borrowed(&other.bytes), sha256: other.sha256.clone() }
    }
}

impl From<Vec<u8>> for HashedBytes<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        HashedBytes { sha256: hex(&Sha256::digest(&bytes)), bytes: Cow::Owned(bytes) }
    }
}

pub(crate) fn check_sha256(sha256: &str) -> Result<()> {
    if is_sha256(sha256) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("sha256: {sha256:?} must be 64 lower-case hexadecimal digits"),
    ))
}

/// Whether `text` is a sha256 as manifests write it.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
