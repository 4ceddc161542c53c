//! Image embeddings with files, threads and the model store around the core.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use isovec_core::image::{ImageLimits, Pixels, Preprocessing};
use isovec_core::{
    Error, ErrorKind, Execution, Fingerprint, ImageEmbedding, ImageOptions, ModelFile, ModelKind,
    ModelSpec, Precision, Result,
};
use ndarray::Array2;

use crate::batch::{all_of, array_of};
use crate::folder::cannot_read;
use crate::open::EmbedderBuilder;
use crate::pool::Pool;

/// The images that a thread takes at once.
const IMAGES_TOGETHER: usize = isovec_core::ImageEmbedder::IMAGES_TOGETHER;

/// Turns image files (JPEG, PNG, WebP) into vectors, on as many threads as the machine has.
///
/// Cheap to clone: clones share the model. All calls take `&self` and may come from any number of
/// threads at once. An image's vector depends on its bytes alone.
///
/// # Example
///
/// ```no_run
/// use isovec::ImageEmbedder;
///
/// let model = ImageEmbedder::open("clip-vit-base-patch32")?;
/// let image = model.embed_file("cat.jpg")?;
/// println!("{} x {} {}: {}", image.width, image.height, image.format, image.vector().len());
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageEmbedder {
    core: Arc<isovec_core::ImageEmbedder>,
    pool: Pool,
}

impl ImageEmbedder {
    /// Opens a model by name or folder with default settings, fetching its file if needed.
    ///
    /// # Errors
    ///
    /// See [`EmbedderBuilder::open`](EmbedderBuilder#method.open-1).
    pub fn open(model: &str) -> Result<Self> {
        Self::builder(model).open()
    }

    /// A model out of the caller's own bytes: an ONNX file.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ImageEmbedder::new`].
    pub fn from_bytes<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        options: &ImageOptions,
    ) -> Result<Self> {
        let core = isovec_core::ImageEmbedder::new(spec, model, options)?;
        Ok(Self::new(core, Pool::new(None)?))
    }

    /// Starts to open a model with other settings than the default ones.
    pub fn builder(model: impl Into<String>) -> ImageEmbedderBuilder<'static> {
        EmbedderBuilder::new(model.into())
    }

    pub(crate) fn new(core: isovec_core::ImageEmbedder, pool: Pool) -> Self {
        ImageEmbedder { core: Arc::new(core), pool }
    }

    /// The vector of an image file's bytes, shared by as many threads as a batch has, unless there is another caller at
    /// work, or the caller is a thread of a rayon pool.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ImageEmbedder::embed`].
    pub fn embed(&self, file: &[u8]) -> Result<ImageEmbedding> {
        self.pool.together(|team| self.core.embed_by(team, file))
    }

    /// The vector of the image file at `path`, as [`embed`](Self::embed).
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) and [`Io`](ErrorKind::Io) if it cannot be read, and those of
    /// [`embed`](Self::embed), all naming the path.
    pub fn embed_file(&self, path: impl AsRef<Path>) -> Result<ImageEmbedding> {
        let path = path.as_ref();
        let file = read_image(path, self.core.limits())?;
        self.embed(&file).map_err(|e| e.context(path.display()))
    }

    /// The vectors of image files' bytes, in their order.
    ///
    /// # Errors
    ///
    /// That of the first file that has none, naming its index.
    pub fn embed_batch<T: AsRef<[u8]> + Sync>(&self, files: &[T]) -> Result<Vec<ImageEmbedding>> {
        all_of(self.embed_each(files), "image")
    }

    /// A result for each of the image files' bytes, in their order: one that fails does not fail the
    /// others.
    pub fn embed_each<T: AsRef<[u8]> + Sync>(&self, files: &[T]) -> Vec<Result<ImageEmbedding>> {
        if let [file] = files {
            return vec![self.embed(file.as_ref())];
        }
        self.pool.map_groups(files, |_| 1, IMAGES_TOGETHER, |files| self.core.embed_each(files))
    }

    /// A result for each of the image files at `paths`, in their order. Files are read when their turn
    /// comes, so no more than a few for each thread are in memory.
    pub fn embed_files<P: AsRef<Path> + Sync>(&self, paths: &[P]) -> Vec<Result<ImageEmbedding>> {
        if let [path] = paths {
            return vec![self.embed_file(path)];
        }
        let together = |paths: &[&P]| self.embed_files_together(paths);
        self.pool.map_groups(paths, |_| 1, IMAGES_TOGETHER, together)
    }

    /// If one of the files is not to be had, each is tried alone.
    fn embed_files_together<P: AsRef<Path>>(&self, paths: &[&P]) -> Vec<Result<ImageEmbedding>> {
        let read = |path: &&P| read_image(path.as_ref(), self.core.limits());
        let files: Result<Vec<Vec<u8>>> = paths.iter().map(read).collect();
        let Ok(files) = files else {
            return paths.iter().map(|path| self.embed_file(path)).collect();
        };
        let results = self.core.embed_each(&files).into_iter().zip(paths);
        results
            .map(|(result, path)| result.map_err(|e| e.context(path.as_ref().display())))
            .collect()
    }

    /// The vector of the image at an address, which `fetcher` gets from the public network only, within its
    /// limits. The result's `sha256` is that of what was served: an address can serve another image
    /// tomorrow.
    ///
    /// Blocks; inside of async code, `fetcher.fetch(url).await` and [`embed`](Self::embed) do the same.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFetcher::fetch`](crate::ImageFetcher::fetch) and of [`embed`](Self::embed).
    ///
    /// ```no_run
    /// use isovec::{ImageEmbedder, ImageFetcher};
    ///
    /// let (model, fetcher) = (ImageEmbedder::open("clip-vit-base-patch32")?, ImageFetcher::new()?);
    /// let image = model.embed_url("https://example.org/cat.jpg", &fetcher)?;
    /// # Ok::<(), isovec::Error>(())
    /// ```
    #[cfg(feature = "image-url")]
    pub fn embed_url(&self, url: &str, fetcher: &crate::ImageFetcher) -> Result<ImageEmbedding> {
        let file = fetcher.fetch_blocking(url)?;
        // Secrets of an address stay out of errors.
        self.embed(&file).map_err(|e| e.context(crate::net::address::Address::new(url)))
    }

    /// The vectors of image files' bytes as one array of the shape `[images, dims]`.
    ///
    /// # Errors
    ///
    /// Those of [`embed_batch`](Self::embed_batch).
    pub fn embed_array<T: AsRef<[u8]> + Sync>(&self, files: &[T]) -> Result<Array2<f32>> {
        let embeddings = self.embed_batch(files)?;
        array_of(embeddings.iter().map(ImageEmbedding::vector), self.dims())
    }

    /// What the model would see of an image file.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ImageEmbedder::preprocess`].
    pub fn preprocess(&self, file: &[u8]) -> Result<Pixels> {
        self.core.preprocess(file)
    }

    /// The vector of `pixel_values` of the shape (3, rows, columns) that the caller has prepared.
    ///
    /// # Errors
    ///
    /// Those of [`isovec_core::ImageEmbedder::embed_pixels`].
    pub fn embed_pixels(&self, pixel_values: &[f32]) -> Result<Vec<f32>> {
        self.pool.together(|team| self.core.embed_pixels_by(team, pixel_values))
    }

    /// A result for each of the prepared images, in their order, as of [`embed_pixels`](Self::embed_pixels).
    pub fn embed_pixels_each(&self, images: &[&[f32]]) -> Vec<Result<Vec<f32>>> {
        if let [image] = images {
            return vec![self.embed_pixels(image)];
        }
        self.pool.map_groups(
            images,
            |_| 1,
            IMAGES_TOGETHER,
            |images| {
                let images: Vec<&[f32]> = images.iter().map(|image| **image).collect();
                self.core.embed_pixels_each(&images)
            },
        )
    }

    /// The rows and the columns of what the model takes.
    pub fn input_size(&self) -> (usize, usize) {
        self.core.input_size()
    }

    /// What is done to an image before the model sees it.
    pub fn preprocessing(&self) -> &Preprocessing {
        self.core.preprocessing()
    }

    /// What an image may cost before it is refused.
    pub fn limits(&self) -> &ImageLimits {
        self.core.limits()
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

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        self.core.spec()
    }
}

/// The bytes of the image file at `path`. One over the limit is not read to its end.
fn read_image(path: &Path, limits: &ImageLimits) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| cannot_read(path, e))?;
    let mut bytes = Vec::new();
    let cap = limits.max_bytes as u64;
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| cannot_read(path, e))?;
    if bytes.len() as u64 > cap {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{}: the image file is over the cap of {cap} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

/// The settings with which an [`ImageEmbedder`] is opened.
///
/// ```no_run
/// let model = isovec::ImageEmbedder::builder("clip-vit-base-patch32")
///     .exif_orientation(true)
///     .threads(4)
///     .open()?;
/// # Ok::<(), isovec::Error>(())
/// ```
pub type ImageEmbedderBuilder<'a> = EmbedderBuilder<'a, ImageOptions>;

impl ImageEmbedderBuilder<'_> {
    /// Refuses images that would cost more than this.
    #[must_use]
    pub fn limits(mut self, limits: ImageLimits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Applies the orientation in the EXIF data, or not; by default what the model's manifest says. Its
    /// vectors are then those of the upright image, and its fingerprint another one.
    #[must_use]
    pub fn exif_orientation(mut self, apply: bool) -> Self {
        self.options.exif_orientation = Some(apply);
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

    /// Opens the model: a name of the manifest, or else the path of a folder with the model (see
    /// `models/README.md`), `config.json` and `preprocessor_config.json`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown name or an incomplete folder; those of
    /// [`ModelStore::read`](crate::ModelStore::read) for a file that cannot be had; those of
    /// [`isovec_core::ImageEmbedder::new`] for a file and settings that cannot be used.
    pub fn open(self) -> Result<ImageEmbedder> {
        let (origin, options) = self.resolve()?;
        let core = origin
            .files(ModelKind::Image)?
            .load(|files| isovec_core::ImageEmbedder::new(&files.spec, files.model, &options))?;
        Ok(ImageEmbedder::new(core, origin.pool))
    }
}
