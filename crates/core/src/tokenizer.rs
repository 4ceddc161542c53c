//! The only module that names tokenizers: text to ids, cut and framed as we say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy};

use crate::{Error, ErrorKind, Result, limits};

/// The ids of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// The ids, special tokens included.
    pub ids: Vec<u32>,
    /// The segment of each id; all zero for a single text.
    pub type_ids: Vec<u32>,
    /// Whether the text was longer than `max_tokens` and lost its end.
    pub truncated: bool,
}

pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// Its own truncation and padding are not obeyed: MiniLM's file, for one, pads every text to
    /// 128 tokens and cuts it there.
    pub(crate) fn load(json: &[u8], max_tokens: usize) -> Result<Self> {
        if json.len() > limits::MAX_TOKENIZER_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the tokenizer is {} bytes, over the cap of {}",
                    json.len(),
                    limits::MAX_TOKENIZER_BYTES
                ),
            ));
        }
        let invalid = |detail: String| {
            Error::new(
                ErrorKind::InvalidTokenizer,
                format!("not a usable tokenizer.json: {detail}"),
            )
        };
        let mut inner = contained(|| tokenizers::Tokenizer::from_bytes(json)).map_err(invalid)?;
        let special = inner.get_post_processor().map_or(0, |post| post.added_tokens(false));
        // Less room than the special tokens take underflows inside the library, and exactly as much
        // would give every text the same vector.
        if max_tokens <= special {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "max_tokens: {max_tokens} leaves no room beside the {special} special tokens; \
                     at least {} is needed",
                    special + 1
                ),
            ));
        }
        inner.with_padding(None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        inner.with_truncation(Some(truncation)).map_err(|e| invalid(e.to_string()))?;
        Ok(Tokenizer { inner })
    }

    /// The ids of `text`.
    pub(crate) fn encode(&self, text: &str) -> Result<Tokens> {
        if text.len() > limits::MAX_TEXT_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the text is {} bytes, over the cap of {}",
                    text.len(),
                    limits::MAX_TEXT_BYTES
                ),
            ));
        }
        let encoding = contained(|| self.inner.encode_fast(text, true)).map_err(|detail| {
            Error::new(ErrorKind::InvalidInput, format!("the text cannot be tokenised: {detail}"))
        })?;
        if encoding.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the text has no tokens, and this model adds none of its own",
            ));
        }
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        })
    }
}

/// Runs `work`; its error, or its panic where the platform can unwind, becomes a text.
fn contained<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the tokenizer panicked".to_owned()),
    }
}
