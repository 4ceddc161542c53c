//! What identifies a vector space: two vectors may be compared exactly if their fingerprints match.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::hashed::hex;
use crate::image::Preprocessing;
use crate::manifest::ModelSpec;
use crate::{Error, ErrorKind, Precision, Result};

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
        precision: Precision,
    ) -> Self {
        let mut fields = Fields::new();
        fields.add("kind", spec.kind.as_str().as_bytes());
        fields.add("model", model_sha256.as_bytes());
        fields.add("tokenizer", tokenizer_sha256.as_bytes());
        fields.add("output", output.as_bytes());
        fields.add("pooling", format!("{:?}", spec.pooling).as_bytes());
        let prompt = spec.default_prompt.as_ref().and_then(|name| spec.prompts.get(name));
        fields.add("default prompt", prompt.map_or("", String::as_str).as_bytes());
        fields.add("normalize", &[u8::from(spec.normalize)]);
        fields.add("max_tokens", &(max_tokens as u64).to_le_bytes());
        fields.add("dims", &(dims as u64).to_le_bytes());
        fields.add_precision(precision);
        fields.finish()
    }

    /// The fingerprint of an image model of this file and these settings.
    pub(crate) fn of_image(
        spec: &ModelSpec,
        output: &str,
        model_sha256: &str,
        preprocessing: &Preprocessing,
        dims: usize,
        precision: Precision,
    ) -> Result<Self> {
        let preprocessing = serde_json::to_vec(preprocessing).map_err(|e| {
            Error::new(ErrorKind::InvalidConfig, "preprocessing: cannot be written").with_source(e)
        })?;
        let mut fields = Fields::new();
        fields.add("kind", spec.kind.as_str().as_bytes());
        fields.add("model", model_sha256.as_bytes());
        fields.add("output", output.as_bytes());
        fields.add("pooling", format!("{:?}", spec.pooling).as_bytes());
        fields.add("preprocessing", &preprocessing);
        fields.add("normalize", &[u8::from(spec.normalize)]);
        fields.add("dims", &(dims as u64).to_le_bytes());
        fields.add_precision(precision);
        Ok(fields.finish())
    }

    /// The fingerprint of a fusion with these settings.
    pub(crate) fn of_fusion<'a>(settings: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut fields = Fields::new();
        fields.add("kind", b"fusion");
        for (name, value) in settings {
            fields.add(name, value);
        }
        fields.finish()
    }

    /// The fingerprint of a stand-in that answers for a model and whose vectors mean nothing, made for
    /// the tests of programs: it starts with [`MOCK`](Self::MOCK), as no sha256 that was ever seen does.
    ///
    /// Such vectors are of no model's space, so a cache and an index keep them apart from real ones.
    ///
    /// ```
    /// use isovec_core::Fingerprint;
    ///
    /// let fingerprint = Fingerprint::mock("all-MiniLM-L6-v2", 384);
    /// assert!(fingerprint.is_mock());
    /// // "isovec mock 0001" in ASCII.
    /// assert!(fingerprint.to_string().starts_with("69736f766563206d6f636b2030303031"));
    /// ```
    pub fn mock(name: &str, dims: usize) -> Self {
        let mut fields = Fields::new();
        fields.add("kind", b"mock");
        fields.add("name", name.as_bytes());
        fields.add("dims", &(dims as u64).to_le_bytes());
        let mut fingerprint = fields.finish();
        fingerprint.0[..Self::MOCK.len()].copy_from_slice(Self::MOCK);
        fingerprint
    }

    /// What the fingerprints of stand-ins start with.
    pub const MOCK: &[u8; 16] = b"isovec mock 0001";

    /// Whether this is the fingerprint of a stand-in.
    pub fn is_mock(&self) -> bool {
        self.0.starts_with(Self::MOCK)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Reads what [`Display`](fmt::Display) writes: 64 lower-case hexadecimal digits.
///
/// ```
/// use isovec_core::Fingerprint;
///
/// let fingerprint: Fingerprint = "0f".repeat(32).parse()?;
/// assert_eq!(fingerprint.as_bytes(), &[15; 32]);
/// assert!("0f".parse::<Fingerprint>().is_err());
/// # Ok::<(), isovec_core::Error>(())
/// ```
impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let right = rest.is_empty() && pairs.len() == bytes.len();
        let read = bytes.iter_mut().zip(pairs).all(|(byte, &[high, low])| {
            let value = digit(high).zip(digit(low)).map(|(high, low)| 16 * high + low);
            *byte = value.unwrap_or_default();
            value.is_some()
        });
        if right && read {
            return Ok(Fingerprint(bytes));
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "not a fingerprint, which has 64 lower-case hexadecimal digits",
        ))
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

/// Hashes named values. Each name and value has its length before it, so that no two settings can
/// spell the same bytes.
struct Fields(Sha256);

impl Fields {
    fn new() -> Self {
        let mut fields = Fields(Sha256::new());
        fields.add("isovec fingerprint", b"1");
        fields
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The usual precision has no field: it was the only one when fingerprints were first written to files.
    fn add_precision(&mut self, precision: Precision) {
        if precision != Precision::Fp32 {
            self.add("precision", precision.name().as_bytes());
        }
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}
