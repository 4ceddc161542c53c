//! Text embeddings with files, threads and the model store around the core.

use std::sync::Arc;

use isovec_core::{
    Embedding, Execution, Fingerprint, HashedBytes, IndexedBy, Kernels, ModelFile, ModelKind,
    ModelSpec, Precision, Result, TextOptions, Tokens,
};
use ndarray::Array2;

use crate::batch::{all_of, array_of};
use crate::open::EmbedderBuilder;
use crate::pool::Pool;

/// The bytes of texts that a thread takes at once: English has some four to a token.
const GROUP_BYTES: usize = 4 * isovec_core::TextEmbedder::TOKENS_TOGETHER;

/// Turns texts into vectors, on as many threads as the machine has.
///
/// Cheap to clone: clones share the model. All calls take `&self` and may come from any number of
/// threads at once. A text's vector depends on that text alone: bit for bit the same in any batch,
/// in any order, on any number of threads.
///
/// # Example
///
/// ```no_run
/// use isovec::TextEmbedder;
///
/// let model = TextEmbedder::open("all-MiniLM-L6-v2")?;
/// let e = model.embed("Hello")?;
/// println!("{} dimensions, {} tokens, truncated: {}", e.vector().len(), e.tokens, e.truncated);
///
/// let batch = model.embed_batch(&["a red car", "ein rotes Auto"])?;
/// println!("{:.3}", isovec::vector::cosine(batch[0].vector(), batch[1].vector())?);
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextEmbedder {
    core: Arc<isovec_core::TextEmbedder>,
    pool: Pool,
}

impl TextEmbedder {
    /// Opens a model by name or folder with default settings, fetching its files if needed.
    ///
    /// # Errors
    ///
    /// See [`EmbedderBuilder::open`](EmbedderBuilder#method.open).
    pub fn open(model: &str) -> Result<Self> {
        Self::builder(model).open()
    }

    /// A model out of the caller's own bytes: an ONNX file and its `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::TextEmbedder::new`].
    pub fn from_bytes<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl Into<HashedBytes<'a>>,
        options: &TextOptions,
    ) -> Result<Self> {
        let core = isovec_core::TextEmbedder::new(spec, model, tokenizer, options)?;
        Ok(TextEmbedder { core: Arc::new(core), pool: Pool::new(None)? })
    }

    /// Starts to open a model with other settings than the default ones.
    pub fn builder(model: impl Into<String>) -> TextEmbedderBuilder<'static> {
        EmbedderBuilder::new(model.into())
    }

    /// The vector of one text, shared by as many threads as a batch has, unless there is another caller at work, or the
    /// caller is a thread of a rayon pool.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::TextEmbedder::embed`].
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        self.embed_with(None, text)
    }

    /// The vector of one text with a named prompt of the model before it.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::TextEmbedder::embed_prompted`].
    pub fn embed_prompted(&self, prompt: &str, text: &str) -> Result<Embedding> {
        self.embed_with(Some(prompt), text)
    }

    fn embed_with(&self, prompt: Option<&str>, text: &str) -> Result<Embedding> {
        self.pool.together(|team| self.core.embed_by(team, prompt, text))
    }

    /// The vectors of `texts`, in their order.
    ///
    /// # Errors
    ///
    /// That of the first text that has none, naming its index.
    pub fn embed_batch<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Embedding>> {
        all_of(self.embed_each(texts), "text")
    }

    /// A result for each of `texts`, in their order: one that fails does not fail the others.
    pub fn embed_each<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Vec<Result<Embedding>> {
        self.embed_each_with(None, texts)
    }

    /// As [`embed_each`](Self::embed_each), with a named prompt of the model before each text.
    pub fn embed_each_with<T: AsRef<str> + Sync>(
        &self,
        prompt: Option<&str>,
        texts: &[T],
    ) -> Vec<Result<Embedding>> {
        if let [text] = texts {
            return vec![self.embed_with(prompt, text.as_ref())];
        }
        let size = |text: &T| text.as_ref().len();
        self.pool.map_groups(texts, size, GROUP_BYTES, |texts| self.core.embed_each(prompt, texts))
    }

    /// The vectors of `texts` as one array of the shape `[texts, dims]`.
    ///
    /// # Errors
    ///
    /// Those of [`embed_batch`](Self::embed_batch).
    pub fn embed_array<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Array2<f32>> {
        let embeddings = self.embed_batch(texts)?;
        array_of(embeddings.iter().map(Embedding::vector), self.dims())
    }

    /// The ids that the model would read of `text`.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::TextEmbedder::tokenize`].
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        self.core.tokenize(text)
    }

    /// What identifies the vector space of this model with these settings.
    pub fn fingerprint(&self) -> Fingerprint {
        self.core.fingerprint()
    }

    /// What the engine made of the model.
    pub fn execution(&self) -> Execution {
        self.core.execution()
    }

    /// The number of dimensions of its vectors.
    pub fn dims(&self) -> usize {
        self.core.dims()
    }

    /// The most tokens that are read of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.core.max_tokens()
    }

    /// What a [`SearchIndex`](crate::SearchIndex) of its vectors says about the model, which was opened
    /// in this variant.
    pub fn indexed_by(&self, variant: Option<&str>) -> IndexedBy {
        self.core.indexed_by(variant)
    }

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        self.core.spec()
    }
}

/// The settings with which a [`TextEmbedder`] is opened.
///
/// ```no_run
/// let model = isovec::TextEmbedder::builder("all-MiniLM-L6-v2")
///     .variant("int8")
///     .max_tokens(256)
///     .threads(4)
///     .open()?;
/// # Ok::<(), isovec::Error>(())
/// ```
pub type TextEmbedderBuilder<'a> = EmbedderBuilder<'a, TextOptions>;

impl TextEmbedderBuilder<'_> {
    /// Cuts texts after this many tokens, special tokens included.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.options.max_tokens = Some(max_tokens);
        self
    }

    /// Keeps only the first so many dimensions, for a model that was trained for it.
    #[must_use]
    pub fn dimensions(mut self, dimensions: usize) -> Self {
        self.options.dimensions = Some(dimensions);
        self
    }

    /// Computes products in this precision. It changes the vectors, and so the fingerprint.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self
    }

    /// Chooses the loops that run the model, to compare them.
    #[must_use]
    pub fn kernels(mut self, kernels: Kernels) -> Self {
        self.options.kernels = kernels;
        self
    }

    /// Opens the model: a name of the manifest, or else the path of a folder with `model.onnx`,
    /// `tokenizer.json` and `config.json`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown name or an incomplete folder; those of
    /// [`ModelStore::read`](crate::ModelStore::read) for files that cannot be had; those of
    /// [`isovec_core::TextEmbedder::new`] for files and settings that cannot be used.
    pub fn open(self) -> Result<TextEmbedder> {
        let (origin, options) = self.resolve()?;
        let core = origin.files(ModelKind::Text)?.load(|mut files| {
            let tokenizer = files.take_tokenizer();
            isovec_core::TextEmbedder::with_tokenizer(&files.spec, files.model, tokenizer, &options)
        })?;
        Ok(TextEmbedder { core: Arc::new(core), pool: origin.pool })
    }
}
