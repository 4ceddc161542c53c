//! CLIP: text and images in one space.

use std::sync::Arc;

use isovec_core::{
    Embedding, Execution, Fingerprint, HashedBytes, ImageOptions, ModelFile, ModelKind, ModelSpec,
    Precision, Result, TextOptions, Tokens, ZeroShot, zero_shot,
};
use ndarray::Array2;

use crate::batch::{all_of, array_of};
use crate::image::ImageEmbedder;
use crate::open::{EmbedderBuilder, Files};
use crate::pool::Pool;

/// Turns texts into vectors of an image model's space, on as many threads as the machine has.
///
/// See [`isovec_core::ClipTextEmbedder`]. Cheap to clone: clones share the model.
///
/// # Example
///
/// ```no_run
/// use isovec::{ClipTextEmbedder, ImageEmbedder, vector};
///
/// let (images, texts) = (
///     ImageEmbedder::open("clip-vit-base-patch32")?,
///     ClipTextEmbedder::open("clip-vit-base-patch32-text")?,
/// );
/// let image = images.embed_file("cat.jpg")?;
/// let text = texts.embed("a photo of a cat")?;
/// println!("{:.3}", vector::cosine(image.vector(), text.vector())?);
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClipTextEmbedder {
    core: Arc<isovec_core::ClipTextEmbedder>,
    pool: Pool,
}

impl ClipTextEmbedder {
    /// Opens a model by name or folder with default settings, fetching its files if needed.
    ///
    /// # Errors
    ///
    /// See [`EmbedderBuilder::open`](EmbedderBuilder#method.open-2).
    pub fn open(model: &str) -> Result<Self> {
        Self::builder(model).open()
    }

    /// A model out of the caller's own bytes: an ONNX file and its `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ClipTextEmbedder::new`].
    pub fn from_bytes<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl Into<HashedBytes<'a>>,
        options: &TextOptions,
    ) -> Result<Self> {
        let core = isovec_core::ClipTextEmbedder::new(spec, model, tokenizer, options)?;
        Ok(ClipTextEmbedder { core: Arc::new(core), pool: Pool::new(None)? })
    }

    /// Starts to open a model with other settings than the default ones.
    pub fn builder(model: impl Into<String>) -> ClipTextEmbedderBuilder<'static> {
        EmbedderBuilder::new(model.into())
    }

    fn load(files: Files, options: &TextOptions, pool: Pool) -> Result<Self> {
        let core = files.load(|mut files| {
            let tokenizer = files.take_tokenizer();
            isovec_core::ClipTextEmbedder::with_tokenizer(
                &files.spec,
                files.model,
                tokenizer,
                options,
            )
        })?;
        Ok(ClipTextEmbedder { core: Arc::new(core), pool })
    }

    /// The vector of one text, on the calling thread.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ClipTextEmbedder::embed`].
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        self.core.embed(text)
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
        self.pool.map(texts, |text| text.as_ref().len(), |text| self.core.embed(text.as_ref()))
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
    /// Those of [`isovec_core::ClipTextEmbedder::tokenize`].
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        self.core.tokenize(text)
    }

    /// What identifies the model with these settings.
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

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        self.core.spec()
    }
}

/// The settings of a [`ClipTextEmbedder`] that are the caller's to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClipTextOptions {
    text: TextOptions,
}

/// The settings with which a [`ClipTextEmbedder`] is opened.
pub type ClipTextEmbedderBuilder<'a> = EmbedderBuilder<'a, ClipTextOptions>;

impl ClipTextEmbedderBuilder<'_> {
    /// Cuts texts after this many tokens, special tokens included.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.options.text.max_tokens = Some(max_tokens);
        self
    }

    /// Computes products in this precision. It changes the vectors, and so the fingerprint.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.text.precision = precision;
        self
    }

    /// Opens the model: a name of the manifest, or else the path of a folder (see `models/README.md`).
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown name or an incomplete folder; those of
    /// [`ModelStore::read`](crate::ModelStore::read) for files that cannot be had; those of
    /// [`isovec_core::ClipTextEmbedder::new`] for files and settings that cannot be used.
    pub fn open(self) -> Result<ClipTextEmbedder> {
        let (origin, options) = self.resolve()?;
        let files = origin.files(ModelKind::ClipText)?;
        ClipTextEmbedder::load(files, &options.text, origin.pool)
    }
}

/// What CLIP's probabilities are scaled with where a manifest names no `logit_scale`: training stops it
/// at 100, and OpenAI's published models have all reached that.
const LOGIT_SCALE: f32 = 100.0;

/// Both towers of a CLIP: an image model and the text model that shares its space.
///
/// # Example
///
/// ```no_run
/// let clip = isovec::Clip::open("clip-vit-base-patch32")?;
/// let labels = ["a photo of a cat", "a photo of a dog"];
/// for fit in clip.zero_shot(&std::fs::read("pet.jpg").unwrap_or_default(), &labels)? {
///     println!("{:.1} %  {}", 100.0 * fit.probability, labels[fit.label]);
/// }
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Clip {
    images: ImageEmbedder,
    texts: ClipTextEmbedder,
}

impl Clip {
    /// Opens both towers by the name of either, or by the folder that holds them.
    ///
    /// # Errors
    ///
    /// See [`EmbedderBuilder::open`](EmbedderBuilder#method.open-3).
    pub fn open(model: &str) -> Result<Self> {
        Self::builder(model).open()
    }

    /// Starts to open both with other settings than the default ones.
    pub fn builder(model: impl Into<String>) -> ClipBuilder<'static> {
        EmbedderBuilder::new(model.into())
    }

    /// Two models that were opened apart.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if they do not share a space.
    pub fn of(images: ImageEmbedder, texts: ClipTextEmbedder) -> Result<Self> {
        images.spec().check_same_space(texts.spec())?;
        Ok(Clip { images, texts })
    }

    /// The image model.
    pub fn images(&self) -> &ImageEmbedder {
        &self.images
    }

    /// The text model.
    pub fn texts(&self) -> &ClipTextEmbedder {
        &self.texts
    }

    /// How well each of `labels` fits an image file's bytes, best first: classification without
    /// training. Labels work better as sentences such as `a photo of a dog`.
    ///
    /// # Errors
    ///
    /// Those of [`ImageEmbedder::embed`] and [`ClipTextEmbedder::embed_batch`];
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) without labels.
    pub fn zero_shot<T: AsRef<str> + Sync>(
        &self,
        file: &[u8],
        labels: &[T],
    ) -> Result<Vec<ZeroShot>> {
        let image = self.images.embed(file)?;
        self.zero_shot_of(image.vector(), &self.texts.embed_batch(labels)?)
    }

    /// As [`zero_shot`](Self::zero_shot), of vectors that were computed before.
    ///
    /// # Errors
    ///
    /// Those of [`zero_shot()`].
    pub fn zero_shot_of(&self, image: &[f32], labels: &[Embedding]) -> Result<Vec<ZeroShot>> {
        let scale = self.images.spec().logit_scale.unwrap_or(LOGIT_SCALE);
        zero_shot(image, labels.iter().map(Embedding::vector), scale)
    }
}

/// The settings of a [`Clip`] that are the caller's to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClipOptions {
    image: ImageOptions,
}

/// The settings with which a [`Clip`] is opened.
pub type ClipBuilder<'a> = EmbedderBuilder<'a, ClipOptions>;

impl ClipBuilder<'_> {
    /// Applies the orientation in the EXIF data, or not; by default what the model's manifest says.
    #[must_use]
    pub fn exif_orientation(mut self, apply: bool) -> Self {
        self.options.image.exif_orientation = Some(apply);
        self
    }

    /// Computes the products of both in this precision. It changes the vectors, and so the fingerprints.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.image.precision = precision;
        self
    }

    /// Opens both towers: a name of the manifest, or else the path of a folder that holds both (see
    /// `models/README.md`).
    ///
    /// # Errors
    ///
    /// Those of [`ImageEmbedder::open`] and [`ClipTextEmbedder::open`], and those of [`Clip::of`].
    pub fn open(self) -> Result<Clip> {
        let (origin, options) = self.resolve()?;
        // The text's files first: they are the smaller download, and an incomplete folder shows early.
        let text_files = origin.files_in_space(ModelKind::ClipText)?;
        let text = TextOptions { precision: options.image.precision, ..Default::default() };
        let texts = ClipTextEmbedder::load(text_files, &text, origin.pool.clone())?;
        let core = origin.files_in_space(ModelKind::Image)?.load(|files| {
            isovec_core::ImageEmbedder::new(&files.spec, files.model, &options.image)
        })?;
        Clip::of(ImageEmbedder::new(core, origin.pool), texts)
    }
}
