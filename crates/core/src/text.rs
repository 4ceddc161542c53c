//! Text to vector: tokenise, run, pool, normalise.

use isovec_kernels::{Alone, Team};

use crate::engine::{Engine, Expected, Output, Takes};
use crate::hashed::check_sha256;
use crate::pooling::{dimensions, finish};
use crate::tokenizer::Tokenizer;
use crate::{
    Error, ErrorKind, Execution, Fingerprint, HashedBytes, IndexedBy, Kernels, ModelFile,
    ModelKind, ModelSpec, Precision, Result, Tokens,
};

/// Turns texts into vectors.
///
/// All calls take `&self` and may come from any number of threads at once. Texts run at their own
/// lengths, never padded, so a vector depends on its text alone: bit for bit the same, whatever
/// the batch, the order or the number of threads.
pub struct TextEmbedder {
    spec: ModelSpec,
    engine: Engine,
    tokenizer: Tokenizer,
    max_tokens: usize,
    dims: usize,
    fingerprint: Fingerprint,
}

/// The settings of a [`TextEmbedder`] that are the caller's to choose.
///
/// ```
/// let options = isovec_core::TextOptions { max_tokens: Some(256), ..Default::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Cut texts after this many tokens, special tokens included; by default, and at most, what the
    /// model's manifest says.
    pub max_tokens: Option<usize>,
    /// Keep only the first so many dimensions and scale to length one again. Only for a model that
    /// was trained for it, and only to the sizes its manifest lists.
    pub dimensions: Option<usize>,
    /// Which loops run the model.
    pub kernels: Kernels,
    /// What the model's products are computed in. It changes the fingerprint.
    pub precision: Precision,
}

/// The vector of one text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embedding {
    vector: Vec<f32>,
    /// How many tokens the model read, special tokens included.
    pub tokens: usize,
    /// Whether the text was longer than `max_tokens`, so that its end was not read.
    pub truncated: bool,
}

impl Embedding {
    /// The vector: finite, and of length one where the model's manifest says `normalize`.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// The vector, owned.
    pub fn into_vector(self) -> Vec<f32> {
        self.vector
    }
}

impl TextEmbedder {
    /// The tokens that go through the encoder's blocks together: enough that reading the weights costs little beside
    /// what is done with them, and few enough to stay in a core's cache.
    pub const TOKENS_TOGETHER: usize = 128;

    /// Loads a model from the bytes of its ONNX file and its `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for settings that the model does not allow,
    /// [`InvalidModel`](ErrorKind::InvalidModel), [`InvalidTokenizer`](ErrorKind::InvalidTokenizer)
    /// and [`TooLarge`](ErrorKind::TooLarge) for files that cannot be used,
    /// [`EnginePanic`](ErrorKind::EnginePanic) if the engine panicked over them, and of a file that is
    /// [read elsewhere](ModelFile::read_at) [`Io`](ErrorKind::Io) or [`OutOfMemory`](ErrorKind::OutOfMemory) if that failed.
    pub fn new<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl Into<HashedBytes<'a>>,
        options: &TextOptions,
    ) -> Result<Self> {
        Self::check(ModelKind::Text, spec, options)?;
        // The tokenizer first: it is the cheaper of the two to refuse.
        let tokenizer = Tokenizer::new(tokenizer)?;
        Self::load(spec, model.into(), || Ok(tokenizer), options)
    }

    /// Loads a model from the bytes of its ONNX file and a tokenizer that somebody else makes meanwhile: it is asked for
    /// when the model is loaded.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_tokenizer<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl FnOnce() -> Result<Tokenizer>,
        options: &TextOptions,
    ) -> Result<Self> {
        Self::check(ModelKind::Text, spec, options)?;
        Self::load(spec, model.into(), tokenizer, options)
    }

    /// Refuses what is wrong whatever is in the files.
    pub(crate) fn check(kind: ModelKind, spec: &ModelSpec, options: &TextOptions) -> Result<()> {
        spec.check_kind(kind)?;
        spec.check()?;
        let max_tokens = options.max_tokens.unwrap_or(spec.max_tokens);
        if max_tokens == 0 || max_tokens > spec.max_tokens {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "max_tokens: {max_tokens} is outside of 1 to {}, the most that model {:?} reads",
                    spec.max_tokens, spec.name
                ),
            ));
        }
        dimensions(spec, options.dimensions).map(|_| ())
    }

    /// Loads a model that reads text, of whatever kind it is. Spec and options are [checked](Self::check).
    pub(crate) fn load(
        spec: &ModelSpec,
        model: ModelFile<'_>,
        tokenizer: impl FnOnce() -> Result<Tokenizer>,
        options: &TextOptions,
    ) -> Result<Self> {
        let max_tokens = options.max_tokens.unwrap_or(spec.max_tokens);
        let dims = dimensions(spec, options.dimensions)?;
        let expected = Expected {
            takes: Takes::Text,
            dims: spec.dims,
            pooling: spec.pooling,
            output: spec.output.as_deref(),
            kernels: options.kernels,
            precision: options.precision,
        };
        let model_sha256 = model.sha256().to_owned();
        let engine = Engine::load(model, &expected)?;
        let mut tokenizer = tokenizer()?;
        tokenizer.cut_after(max_tokens)?;
        let fingerprint = Fingerprint::of_text(
            spec,
            engine.output(),
            &model_sha256,
            tokenizer.sha256(),
            max_tokens,
            dims,
            options.precision,
        );
        Ok(TextEmbedder { spec: spec.clone(), engine, tokenizer, max_tokens, dims, fingerprint })
    }

    /// Sets the sha256 of the ONNX file, and with it the fingerprint, for who had it computed while the model was loaded
    /// with another one. As in [`HashedBytes::with_sha256`], it is believed.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) unless it has 64 lower-case hexadecimal digits.
    pub fn set_model_sha256(&mut self, sha256: &str) -> Result<()> {
        check_sha256(sha256)?;
        self.fingerprint = Fingerprint::of_text(
            &self.spec,
            self.engine.output(),
            sha256,
            self.tokenizer.sha256(),
            self.max_tokens,
            self.dims,
            self.engine.execution().precision,
        );
        Ok(())
    }

    /// The vector of `text`.
    ///
    /// The model's default prompt, if it has one, is put before the text.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) over [`limits::MAX_TEXT_BYTES`](crate::limits::MAX_TEXT_BYTES);
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a text without any token;
    /// [`NonFinite`](ErrorKind::NonFinite) and [`ZeroVector`](ErrorKind::ZeroVector) for an output
    /// that is no vector; [`Inference`](ErrorKind::Inference) and
    /// [`EnginePanic`](ErrorKind::EnginePanic) if the engine failed.
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        self.embed_by(&Alone, None, text)
    }

    /// The vector of `text` with the named prompt of the model before it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the model has no such prompt, and those of
    /// [`embed`](Self::embed).
    pub fn embed_prompted(&self, prompt: &str, text: &str) -> Result<Embedding> {
        self.embed_by(&Alone, Some(prompt), text)
    }

    /// The vector of `text`, with a named prompt of the model before it or else the default one, if there is one; by
    /// the threads of `team`. Those share it, if the engine runs its blocks [as one](Execution::fused_blocks):
    /// the vector is that of one thread, bit for bit.
    ///
    /// # Errors
    ///
    /// Those of [`embed_prompted`](Self::embed_prompted).
    pub fn embed_by(&self, team: &dyn Team, prompt: Option<&str>, text: &str) -> Result<Embedding> {
        self.embed_tokens(&self.tokens(prompt, text)?, team)
    }

    /// The vectors of `texts`, in their order, on this thread.
    ///
    /// # Errors
    ///
    /// The first error of [`embed`](Self::embed), naming the text's index.
    pub fn embed_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        // Not more at once than is good for anything, so that memory does not grow with the number of texts.
        for texts in texts.chunks(32) {
            for result in self.embed_each(None, texts) {
                let index = embeddings.len();
                embeddings.push(result.map_err(|e| e.context(format_args!("text {index}")))?);
            }
        }
        Ok(embeddings)
    }

    /// A result for each of `texts`, with a named prompt of the model before each, on this thread.
    ///
    /// Some hundred tokens at a time read the model's weights together, which is most of the time that short texts
    /// take. No vector changes by that: each is what [`embed`](Self::embed) gives, bit for bit.
    pub fn embed_each<T: AsRef<str>>(
        &self,
        prompt: Option<&str>,
        texts: &[T],
    ) -> Vec<Result<Embedding>> {
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut together: Vec<Tokens> = Vec::new();
        let mut count = 0;
        for text in texts {
            let tokens = self.tokens(prompt, text.as_ref());
            let more = tokens.as_ref().map_or(usize::MAX, |tokens| count + tokens.ids.len());
            if more > Self::TOKENS_TOGETHER {
                embeddings.extend(self.embed_together(&together));
                together.clear();
                count = 0;
            }
            match tokens {
                Ok(tokens) => {
                    count += tokens.ids.len();
                    together.push(tokens);
                }
                Err(error) => embeddings.push(Err(error)),
            }
        }
        embeddings.extend(self.embed_together(&together));
        embeddings
    }

    /// The ids that the model would read of `text`, without a prompt.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) and [`InvalidInput`](ErrorKind::InvalidInput) as
    /// [`embed`](Self::embed).
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        self.tokenizer.encode(text)
    }

    /// What identifies the vector space of this model with these settings.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the engine made of the model.
    pub fn execution(&self) -> Execution {
        self.engine.execution()
    }

    /// The number of dimensions of its vectors.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The most tokens that are read of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// What a [`SearchIndex`](crate::SearchIndex) of its vectors says about the model, which was loaded
    /// in this variant.
    pub fn indexed_by(&self, variant: Option<&str>) -> IndexedBy {
        let precision = self.execution().precision;
        IndexedBy {
            precision,
            ..IndexedBy::of(&self.spec, variant, self.fingerprint, self.max_tokens, self.dims)
        }
    }

    /// What the model reads of a text with a prompt, or else with the default one, if there is one.
    fn tokens(&self, prompt: Option<&str>, text: &str) -> Result<Tokens> {
        let Some(prompt) = prompt.or(self.spec.default_prompt.as_deref()) else {
            return self.tokenizer.encode(text);
        };
        let prefix = self.spec.prompt(prompt)?;
        self.tokenizer.encode(&format!("{prefix}{text}"))
    }

    fn embed_tokens(&self, tokens: &Tokens, team: &dyn Team) -> Result<Embedding> {
        self.embedding(tokens, self.engine.run_text(&tokens.ids, &tokens.type_ids, team))
    }

    fn embed_together(&self, texts: &[Tokens]) -> Vec<Result<Embedding>> {
        let inputs: Vec<_> =
            texts.iter().map(|tokens| (&tokens.ids[..], &tokens.type_ids[..])).collect();
        let outputs = self.engine.run_texts(&inputs).into_iter().zip(texts);
        outputs.map(|(output, tokens)| self.embedding(tokens, output)).collect()
    }

    fn embedding(&self, tokens: &Tokens, output: Result<Output>) -> Result<Embedding> {
        let output = output?;
        let vector = finish(output, &self.spec, self.dims)?;
        Ok(Embedding { vector, tokens: tokens.ids.len(), truncated: tokens.truncated })
    }
}

impl std::fmt::Debug for TextEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEmbedder")
            .field("model", &self.spec.name)
            .field("dims", &self.dims)
            .field("max_tokens", &self.max_tokens)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
