//! Texts with their vectors, to be searched: made on one platform, read on another.

mod file;
mod items;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::hashed::{hex, is_sha256};
use crate::manifest::is_plain_name;
use crate::tensor_file::MAX_HEADER_BYTES;
use crate::vector::{Hit, top_k};
use crate::{Error, ErrorKind, Fingerprint, ModelKind, ModelSpec, Precision, Result, limits};

use items::Items;

/// Texts and their vectors, with what is needed to make the vector of a query that can be compared
/// with them.
///
/// An index made natively is searched in a browser, and the other way round. It names the model that
/// made its vectors and holds that model's [`Fingerprint`]: vectors of another model, of another variant
/// of its weights or of other settings may have as many dimensions and still cannot be compared, which
/// [`check_model`](Self::check_model) tells.
///
/// Items are JSON objects. Each has its text under `"text"`; all other keys are the caller's and are
/// carried through as they are.
///
/// # Example
///
/// ```
/// use isovec_core::{IndexedBy, ModelKind, Precision, SearchIndex};
///
/// let made_by = IndexedBy {
///     model: "all-MiniLM-L6-v2".into(),
///     variant: Some("int8".into()),
///     kind: ModelKind::Text,
///     fingerprint: "ab".repeat(32).parse()?,
///     max_tokens: 512,
///     dimensions: None,
///     precision: Precision::Fp32,
///     query_prompt: None,
///     passage_prompt: None,
///     prompts_sha256: IndexedBy::prompts_sha256("", ""),
/// };
/// // Vectors of two dimensions, for the example's sake.
/// let mut index = SearchIndex::new(made_by, 2)?;
/// index.push(r#"{"text": "Whales sleep upright.", "id": 7}"#, &[0.6, 0.8])?;
/// index.push(r#"{"text": "Bread needs salt."}"#, &[1.0, 0.0])?;
///
/// let index = SearchIndex::from_safetensors(&index.to_safetensors()?)?;
/// let hits = index.search(&[0.0, 1.0], 1)?;
/// assert_eq!((hits[0].index, hits[0].score), (0, 0.8));
/// assert_eq!(index.item(0), Some(r#"{"text": "Whales sleep upright.", "id": 7}"#));
///
/// let other = IndexedBy { fingerprint: "cd".repeat(32).parse()?, ..index.made_by().clone() };
/// let error = index.check_model(&other).unwrap_err();
/// assert_eq!(error.kind(), isovec_core::ErrorKind::FingerprintMismatch);
/// # Ok::<(), isovec_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SearchIndex {
    made_by: IndexedBy,
    dims: usize,
    /// One vector after the other.
    vectors: Vec<f32>,
    items: Items,
}

/// The model that made the vectors of a [`SearchIndex`], and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedBy {
    /// The model's name.
    pub model: String,
    /// The variant of its weights; none for a model that has only one, such as a folder.
    pub variant: Option<String>,
    /// What the model takes: [`Text`](ModelKind::Text) or [`ClipText`](ModelKind::ClipText).
    pub kind: ModelKind,
    /// What identifies the space of the vectors.
    pub fingerprint: Fingerprint,
    /// The most tokens that were read of one text.
    pub max_tokens: usize,
    /// How many dimensions were kept, if not all.
    pub dimensions: Option<usize>,
    /// What the model's products were computed in.
    pub precision: Precision,
    /// The name of the prompt to put before a query.
    pub query_prompt: Option<String>,
    /// The name of the prompt that was put before each text.
    pub passage_prompt: Option<String>,
    /// What both prompts say, by [`prompts_sha256`](Self::prompts_sha256): a name alone does not tell
    /// that somebody edited the prompt, and the fingerprint covers the default prompt only.
    pub prompts_sha256: String,
}

impl IndexedBy {
    /// What an index of this model's vectors in the usual precision says: the prompts are those that the model has
    /// for queries and for passages.
    pub fn of(
        spec: &ModelSpec,
        variant: Option<&str>,
        fingerprint: Fingerprint,
        max_tokens: usize,
        dims: usize,
    ) -> Self {
        IndexedBy {
            model: spec.name.clone(),
            variant: variant.map(str::to_owned),
            kind: spec.kind,
            fingerprint,
            max_tokens,
            dimensions: (dims != spec.dims).then_some(dims),
            precision: Precision::Fp32,
            query_prompt: spec.query_prompt().map(str::to_owned),
            passage_prompt: spec.passage_prompt().map(str::to_owned),
            prompts_sha256: Self::prompts_sha256(
                spec.query_prompt().map_or("", |name| &spec.prompts[name]),
                spec.passage_prompt().map_or("", |name| &spec.prompts[name]),
            ),
        }
    }

    /// The sha256 over the texts of both prompts, the query's first, each with the number of its bytes
    /// before it as a little-endian u64. A prompt that there is not is empty.
    pub fn prompts_sha256(query: &str, passage: &str) -> String {
        let mut hash = Sha256::new();
        for text in [query, passage] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hex(&hash.finalize())
    }
}

impl SearchIndex {
    /// An index without any item, for vectors of `dims` dimensions.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a model or variant that is not named as manifests
    /// name them, a kind of model that does not read texts, tokens outside of 1 to
    /// [`limits::MAX_TOKENS`], `dims` outside of 1 to [`limits::MAX_DIMS`], other `dimensions` than
    /// `dims`, and a `prompts_sha256` that is not 64 lower-case hexadecimal digits.
    pub fn new(made_by: IndexedBy, dims: usize) -> Result<Self> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::InvalidConfig, detail));
        // Whoever opens an index looks for a model of this name: it must not be a path.
        if !is_plain_name(&made_by.model) {
            return refuse(format!("model: {:?} is not a plain name", made_by.model));
        }
        // And both are printed, so they must not write to a terminal what is no name.
        if let Some(variant) = made_by.variant.as_deref().filter(|name| !is_plain_name(name)) {
            return refuse(format!("variant: {variant:?} is not a plain name"));
        }
        if !matches!(made_by.kind, ModelKind::Text | ModelKind::ClipText) {
            return refuse(format!(
                "kind: {} is not that of a model of texts; expected text or clip-text",
                made_by.kind
            ));
        }
        if !(1..=limits::MAX_TOKENS).contains(&made_by.max_tokens) {
            return refuse(format!(
                "max_tokens: {} is outside of 1 to {}",
                made_by.max_tokens,
                limits::MAX_TOKENS
            ));
        }
        if !(1..=limits::MAX_DIMS).contains(&dims) {
            return refuse(format!("dims: {dims} is outside of 1 to {}", limits::MAX_DIMS));
        }
        if let Some(kept) = made_by.dimensions.filter(|&kept| kept != dims) {
            return refuse(format!("dimensions: {kept}, but vectors have {dims}"));
        }
        if !is_sha256(&made_by.prompts_sha256) {
            return refuse(format!(
                "prompts_sha256: {:?} must be 64 lower-case hexadecimal digits",
                made_by.prompts_sha256
            ));
        }
        Ok(SearchIndex { made_by, dims, vectors: Vec::new(), items: Items::default() })
    }

    /// Adds an item, a JSON object with its text under `"text"`, and the text's vector.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is not one JSON object with one string
    /// `"text"`; [`DimensionMismatch`](ErrorKind::DimensionMismatch) and
    /// [`NonFinite`](ErrorKind::NonFinite) for a vector that cannot be searched, and
    /// [`TooLarge`](ErrorKind::TooLarge) for one item too many. The index is then unchanged.
    pub fn push(&mut self, item: &str, vector: &[f32]) -> Result<()> {
        let at = |e: Error| e.context(format_args!("item {}", self.len()));
        if vector.len() != self.dims {
            return Err(at(Error::new(
                ErrorKind::DimensionMismatch,
                format!("a vector of {} dimensions, expected {}", vector.len(), self.dims),
            )));
        }
        check_finite(vector, self.dims, self.len())?;
        // With a comma, and room for the longest header: what was taken can be written.
        let bytes = 4 * (self.vectors.len() + vector.len())
            + (self.items.json().len() + 1 + item.len())
            + (8 + MAX_HEADER_BYTES);
        if bytes > limits::MAX_INDEX_BYTES {
            return Err(at(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "with it the index could have {bytes} bytes, over the cap of {}",
                    limits::MAX_INDEX_BYTES
                ),
            )));
        }
        items::check(item).map_err(at)?;
        self.items.push(item);
        self.vectors.extend_from_slice(vector);
        Ok(())
    }

    /// The `k` items whose vectors have the largest dot products with `query`, best first; of equal
    /// ones the earlier first. Exact: every item is compared.
    ///
    /// For the vectors of models that normalise, as those that isovec knows do, a score is the cosine
    /// similarity. Others are compared as they are, by their dot product.
    ///
    /// # Errors
    ///
    /// [`DimensionMismatch`](ErrorKind::DimensionMismatch) for a query of another size;
    /// [`NonFinite`](ErrorKind::NonFinite) if a score is not a finite number.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<Hit>> {
        if query.len() != self.dims {
            return Err(Error::new(
                ErrorKind::DimensionMismatch,
                format!("the query has {} dimensions, and the index {}", query.len(), self.dims),
            ));
        }
        top_k(query, self.vectors.chunks_exact(self.dims), k)
    }

    /// Checks that vectors of a model, of which [`TextEmbedder::indexed_by`] tells `found`, may be
    /// compared with those of the index: that its fingerprint, its kind and its prompts are the same.
    ///
    /// Its name and its variant are not compared: the same files may lie elsewhere.
    ///
    /// # Errors
    ///
    /// [`FingerprintMismatch`](ErrorKind::FingerprintMismatch), naming what differs.
    ///
    /// [`TextEmbedder::indexed_by`]: crate::TextEmbedder::indexed_by
    pub fn check_model(&self, found: &IndexedBy) -> Result<()> {
        self.check_fingerprint(&found.fingerprint)?;
        let made_by = &self.made_by;
        let refuse = |detail: String| {
            let message = format!("the index was made by {}, {detail}", made_by.model);
            Err(Error::new(ErrorKind::FingerprintMismatch, message))
        };
        if made_by.kind != found.kind {
            return refuse(format!("of kind {}; the model given is {}", made_by.kind, found.kind));
        }
        for (what, made, found) in [
            ("queries", &made_by.query_prompt, &found.query_prompt),
            ("texts", &made_by.passage_prompt, &found.passage_prompt),
        ] {
            if made != found {
                let name = |prompt: &Option<String>| {
                    prompt.as_ref().map_or_else(|| "none".to_owned(), |name| format!("{name:?}"))
                };
                return refuse(format!(
                    "with the prompt {} for {what}; the model given has {}",
                    name(made),
                    name(found)
                ));
            }
        }
        if made_by.prompts_sha256 != found.prompts_sha256 {
            return refuse(
                "and the prompts of the model given have other texts: their vectors cannot be \
                 compared"
                    .into(),
            );
        }
        Ok(())
    }

    /// Checks that the fingerprint of the index is this one. It says nothing of the prompts for queries
    /// and for texts, which [`check_model`](Self::check_model) compares as well.
    ///
    /// # Errors
    ///
    /// [`FingerprintMismatch`](ErrorKind::FingerprintMismatch), naming both.
    pub fn check_fingerprint(&self, found: &Fingerprint) -> Result<()> {
        let IndexedBy { model, variant, fingerprint, .. } = &self.made_by;
        if found == fingerprint {
            return Ok(());
        }
        let variant = variant.as_ref().map_or_else(String::new, |variant| format!(" ({variant})"));
        Err(Error::new(
            ErrorKind::FingerprintMismatch,
            format!(
                "the index was made by {model}{variant}, fingerprint {fingerprint}; the model given \
                 has {found}: their vectors cannot be compared"
            ),
        ))
    }

    /// The model that made the vectors.
    pub fn made_by(&self) -> &IndexedBy {
        &self.made_by
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of dimensions of the vectors.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// All vectors, one after the other.
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// An item in JSON, as it was given.
    pub fn item(&self, index: usize) -> Option<&str> {
        self.items.get(index)
    }

    /// All items, as one JSON array.
    pub fn items_json(&self) -> &str {
        self.items.json()
    }

    /// Reads an index from the bytes of its file.
    ///
    /// The vectors are copied once, and so are the items, with eight bytes for the place of each: less
    /// than twice what is in the file, whatever it says.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) over [`limits::MAX_INDEX_BYTES`];
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) if that cannot be allocated;
    /// [`InvalidIndex`](ErrorKind::InvalidIndex) for everything else: what is not a file of an index,
    /// or of a version that is not known, a tensor that is missing, not known, or not of the type and
    /// shape that it must have, items that are not as many JSON objects as there are vectors, and NaN
    /// or infinity in a vector.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        file::read(bytes)
    }

    /// The bytes of a file that [`from_safetensors`](Self::from_safetensors) reads: safetensors, with
    /// the model and its settings as metadata, the tensor `vectors` `[items, dims]` in F32, and the
    /// tensor `items` `[bytes]` in U8, which is a JSON array of objects in UTF-8.
    ///
    /// Equal indices give equal bytes.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if they would be more than may be read again.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        file::write(self)
    }
}

/// Checks vectors that lie one after the other; the first is that of item `first`.
fn check_finite(vectors: &[f32], dims: usize, first: usize) -> Result<()> {
    match vectors.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::new(
            ErrorKind::NonFinite,
            format!(
                "item {}: its vector holds {} at index {} of {dims}",
                first + at / dims,
                vectors[at],
                at % dims
            ),
        )),
    }
}

impl fmt::Debug for SearchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchIndex")
            .field("made_by", &self.made_by)
            .field("dims", &self.dims)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
