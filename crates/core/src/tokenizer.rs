//! The only module that names tokenizers: text to ids, cut and framed as we say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    DecoderWrapper, Model, ModelWrapper, NormalizerWrapper, PostProcessor, PostProcessorWrapper,
    PreTokenizerWrapper, TokenizerImpl, TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::{Error, ErrorKind, HashedBytes, Result, limits};

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

/// What cuts texts into tokens. An embedder makes its own of a file; who reads the file beside the model, on another
/// thread, makes one beforehand.
///
/// ```no_run
/// use isovec_core::{BUILT_IN_MODELS, Manifest, TextEmbedder, Tokenizer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manifest = Manifest::from_toml(BUILT_IN_MODELS)?;
/// let json = std::fs::read("tokenizer.json")?;
/// let tokenizer = std::thread::spawn(|| Tokenizer::new(json));
/// let model = std::fs::read("model.onnx")?;
/// let tokenizer = || tokenizer.join().unwrap();
/// let spec = manifest.get("all-MiniLM-L6-v2")?;
/// let model = TextEmbedder::with_tokenizer(spec, model, tokenizer, &Default::default())?;
/// # Ok(())
/// # }
/// ```
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    sha256: String,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// Its own truncation and padding are not obeyed: MiniLM's file, for one, pads every text to
    /// 128 tokens and cuts it there.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) and [`InvalidTokenizer`](ErrorKind::InvalidTokenizer).
    pub fn new<'a>(json: impl Into<HashedBytes<'a>>) -> Result<Self> {
        let file = json.into();
        let json = file.bytes();
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
        let mut inner = contained(|| read(json)).map_err(invalid)?;
        inner.with_padding(None);
        Ok(Tokenizer { inner, sha256: file.sha256().to_owned() })
    }

    /// The sha256 of its file.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Cuts texts after so many tokens, special tokens included.
    pub(crate) fn cut_after(&mut self, max_tokens: usize) -> Result<()> {
        let special = self.inner.get_post_processor().map_or(0, |post| post.added_tokens(false));
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
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        self.inner.with_truncation(Some(truncation)).map_err(|e| invalid(e.to_string()))?;
        Ok(())
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

/// The library takes three copies of a file's words while it finds out which kind of model they are of. Those kinds that
/// nearly all files are of are tried first; each refuses a file that names another, or has fields of another.
fn read(json: &[u8]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let known = read_as::<WordPiece>(json).or_else(|| read_as::<BPE>(json));
    known.map_or_else(|| tokenizers::Tokenizer::from_bytes(json), Ok)
}

fn read_as<M: Model + DeserializeOwned + Into<ModelWrapper>>(
    json: &[u8],
) -> Option<tokenizers::Tokenizer> {
    type Of<M> = TokenizerImpl<
        M,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >;
    serde_json::from_slice::<Of<M>>(json).ok().map(Into::into)
}

fn invalid(detail: String) -> Error {
    Error::new(ErrorKind::InvalidTokenizer, format!("not a usable tokenizer.json: {detail}"))
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// Runs `work`; its error, or its panic where the platform can unwind, becomes a text.
fn contained<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("the tokenizer panicked".to_owned()),
    }
}
