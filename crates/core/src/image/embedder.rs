//! Image file to vector: preprocess, run, pool, normalise.

use isovec_kernels::{Alone, Team};

use crate::engine::{Engine, Expected, Takes};
use crate::hashed::check_sha256;
use crate::image::{ImageFormat, ImageLimits, Pixels, Preprocessing};
use crate::pooling::{dimensions, finish};
use crate::{
    Error, ErrorKind, Execution, Fingerprint, HashedBytes, Kernels, ModelFile, ModelKind,
    ModelSpec, Precision, Result,
};

/// Turns image files (JPEG, PNG, WebP) into vectors.
///
/// All calls take `&self` and may come from any number of threads at once. A vector depends on its file alone,
/// bit for bit, whatever runs beside it.
///
/// # Example
///
/// ```no_run
/// use isovec_core::{ImageEmbedder, ImageOptions, Manifest};
///
/// # fn bytes_of(_: &str) -> Vec<u8> { Vec::new() }
/// let manifest = Manifest::from_toml(isovec_core::BUILT_IN_MODELS)?;
/// let spec = manifest.get("clip-vit-base-patch32")?;
/// let model = ImageEmbedder::new(spec, bytes_of("vision_model.onnx"), &ImageOptions::default())?;
///
/// let image = model.embed(&bytes_of("cat.jpg"))?;
/// println!("{} x {}: {} dimensions", image.width, image.height, image.vector().len());
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub struct ImageEmbedder {
    spec: ModelSpec,
    engine: Engine,
    preprocessing: Preprocessing,
    size: (usize, usize),
    limits: ImageLimits,
    dims: usize,
    fingerprint: Fingerprint,
}

/// The settings of an [`ImageEmbedder`] that are the caller's to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// What an image may cost before it is refused.
    pub limits: ImageLimits,
    /// Keep only the first so many dimensions and scale to length one again. Only for a model that
    /// was trained for it, and only to the sizes its manifest lists.
    pub dimensions: Option<usize>,
    /// Whether the orientation in the EXIF data is applied before anything else. By default, what the
    /// model's manifest says: no, as in the reference. It changes the fingerprint.
    pub exif_orientation: Option<bool>,
    /// Which loops run the model.
    pub kernels: Kernels,
    /// What the model's products are computed in. It changes the fingerprint.
    pub precision: Precision,
}

/// The vector of one image, and what is known of its file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageEmbedding {
    vector: Vec<f32>,
    /// The width in pixels, after the orientation was applied if that was asked for.
    pub width: usize,
    /// The height, likewise.
    pub height: usize,
    /// The format of the file, as its first bytes show it.
    pub format: ImageFormat,
    /// The length of the file in bytes.
    pub bytes: usize,
    /// The sha256 of the file, in 64 lower-case hexadecimal digits: images are known by their content.
    pub sha256: String,
}

impl ImageEmbedding {
    /// The vector: finite, and of length one where the model's manifest says `normalize`.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// The vector, owned.
    pub fn into_vector(self) -> Vec<f32> {
        self.vector
    }
}

impl ImageEmbedder {
    /// The images that go through the encoder's blocks together; 50 patches each, for CLIP ViT-B/32.
    pub const IMAGES_TOGETHER: usize = 4;

    /// Loads a model from the bytes of its ONNX file. Its one input must be `pixel_values`, of the shape
    /// (N, 3, rows, columns).
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a model that is not of images, and for settings
    /// that it does not allow; [`InvalidModel`](ErrorKind::InvalidModel) and
    /// [`TooLarge`](ErrorKind::TooLarge) for a file that cannot be used,
    /// [`EnginePanic`](ErrorKind::EnginePanic) if the engine panicked over it, and of a file that is
    /// [read elsewhere](ModelFile::read_at) [`Io`](ErrorKind::Io) or [`OutOfMemory`](ErrorKind::OutOfMemory) if that failed.
    pub fn new<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        options: &ImageOptions,
    ) -> Result<Self> {
        spec.check_kind(ModelKind::Image)?;
        spec.check()?;
        let dims = dimensions(spec, options.dimensions)?;
        let mut preprocessing = spec.preprocessing.clone().ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "preprocessing: a model of images needs it")
        })?;
        if let Some(exif_orientation) = options.exif_orientation {
            preprocessing.exif_orientation = exif_orientation;
        }
        let size = preprocessing.output_size().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                "preprocessing: images keep sizes of their own, and a model takes one size: set \
                 center_crop, or resize to a width and a height",
            )
        })?;
        let model = model.into();
        let model_sha256 = model.sha256().to_owned();
        let expected = Expected {
            takes: Takes::Pixels { rows: size.0, columns: size.1 },
            dims: spec.dims,
            pooling: spec.pooling,
            output: spec.output.as_deref(),
            kernels: options.kernels,
            precision: options.precision,
        };
        let engine = Engine::load(model, &expected)?;
        let fingerprint = Fingerprint::of_image(
            spec,
            engine.output(),
            &model_sha256,
            &preprocessing,
            dims,
            options.precision,
        )?;
        let (spec, limits) = (spec.clone(), options.limits.clone());
        Ok(ImageEmbedder { spec, engine, preprocessing, size, limits, dims, fingerprint })
    }

    /// Sets the sha256 of the ONNX file; see [`TextEmbedder::set_model_sha256`](crate::TextEmbedder::set_model_sha256).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) unless it has 64 lower-case hexadecimal digits.
    pub fn set_model_sha256(&mut self, sha256: &str) -> Result<()> {
        check_sha256(sha256)?;
        self.fingerprint = Fingerprint::of_image(
            &self.spec,
            self.engine.output(),
            sha256,
            &self.preprocessing,
            self.dims,
            self.engine.execution().precision,
        )?;
        Ok(())
    }

    /// The vector of an image file.
    ///
    /// # Errors
    ///
    /// Those of [`Preprocessing::run`] for a file that is no image within the limits;
    /// [`NonFinite`](ErrorKind::NonFinite) and [`ZeroVector`](ErrorKind::ZeroVector) for an output
    /// that is no vector; [`Inference`](ErrorKind::Inference) and
    /// [`EnginePanic`](ErrorKind::EnginePanic) if the engine failed.
    pub fn embed(&self, file: &[u8]) -> Result<ImageEmbedding> {
        self.embed_by(&Alone, file)
    }

    /// The vector of an image file, by the threads of `team`, who share the image's patches, if the engine runs its
    /// blocks [as one](Execution::fused_blocks): the vector is that of one thread, bit for bit.
    ///
    /// # Errors
    ///
    /// Those of [`embed`](Self::embed).
    pub fn embed_by(&self, team: &dyn Team, file: &[u8]) -> Result<ImageEmbedding> {
        let pixels = self.preprocess(file)?;
        let vector = self.embed_pixels_by(team, &pixels.data);
        embedding(file, &pixels, vector)
    }

    /// The vectors of image files, in their order, on this thread.
    ///
    /// # Errors
    ///
    /// The first error of [`embed`](Self::embed), naming the image's index.
    pub fn embed_batch<T: AsRef<[u8]>>(&self, files: &[T]) -> Result<Vec<ImageEmbedding>> {
        let mut embeddings = Vec::with_capacity(files.len());
        for files in files.chunks(Self::IMAGES_TOGETHER) {
            for result in self.embed_each(files) {
                let index = embeddings.len();
                embeddings.push(result.map_err(|e| e.context(format_args!("image {index}")))?);
            }
        }
        Ok(embeddings)
    }

    /// A result for each of the image files, in their order, on this thread. Some at a time read the model's weights
    /// together; each vector is what [`embed`](Self::embed) gives, bit for bit.
    pub fn embed_each<T: AsRef<[u8]>>(&self, files: &[T]) -> Vec<Result<ImageEmbedding>> {
        let together = |files: &[T]| self.embed_together(files);
        files.chunks(Self::IMAGES_TOGETHER).flat_map(together).collect()
    }

    /// If one of the files is not to be read, each is tried alone.
    fn embed_together<T: AsRef<[u8]>>(&self, files: &[T]) -> Vec<Result<ImageEmbedding>> {
        let pixels: Result<Vec<Pixels>> =
            files.iter().map(|file| self.preprocess(file.as_ref())).collect();
        let Ok(pixels) = pixels else {
            return files.iter().map(|file| self.embed(file.as_ref())).collect();
        };
        let data: Vec<&[f32]> = pixels.iter().map(|pixels| &pixels.data[..]).collect();
        let vectors = self.embed_pixels_each(&data).into_iter();
        let given = files.iter().zip(&pixels).zip(vectors);
        given.map(|((file, pixels), vector)| embedding(file.as_ref(), pixels, vector)).collect()
    }

    /// The vector of `pixel_values` of the shape (3, rows, columns) that the caller has prepared.
    ///
    /// # Errors
    ///
    /// [`DimensionMismatch`](ErrorKind::DimensionMismatch) if they are not as many as
    /// [`input_size`](Self::input_size) says, [`NonFinite`](ErrorKind::NonFinite) if one of them is NaN
    /// or infinite, and those of [`embed`](Self::embed).
    pub fn embed_pixels(&self, pixel_values: &[f32]) -> Result<Vec<f32>> {
        self.embed_pixels_by(&Alone, pixel_values)
    }

    /// The same by the threads of `team`, as [`embed_by`](Self::embed_by).
    ///
    /// # Errors
    ///
    /// Those of [`embed_pixels`](Self::embed_pixels).
    pub fn embed_pixels_by(&self, team: &dyn Team, pixel_values: &[f32]) -> Result<Vec<f32>> {
        self.check_pixels(pixel_values)?;
        finish(self.engine.run_pixels(pixel_values, self.size, team)?, &self.spec, self.dims)
    }

    /// A result for each of the prepared images, as of [`embed_pixels`](Self::embed_pixels); some at a time read the
    /// model's weights together.
    pub fn embed_pixels_each(&self, images: &[&[f32]]) -> Vec<Result<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(images.len());
        for images in images.chunks(Self::IMAGES_TOGETHER) {
            if images.iter().any(|image| self.check_pixels(image).is_err()) {
                vectors.extend(images.iter().map(|image| self.embed_pixels(image)));
                continue;
            }
            let outputs = self.engine.run_images(images, self.size).into_iter();
            vectors.extend(outputs.map(|output| finish(output?, &self.spec, self.dims)));
        }
        vectors
    }

    fn check_pixels(&self, pixel_values: &[f32]) -> Result<()> {
        let (rows, columns) = self.size;
        if pixel_values.len() != 3 * rows * columns {
            return Err(Error::new(
                ErrorKind::DimensionMismatch,
                format!(
                    "{} pixel values; expected 3 x {rows} x {columns} = {}",
                    pixel_values.len(),
                    3 * rows * columns
                ),
            ));
        }
        match pixel_values.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(Error::new(
                ErrorKind::NonFinite,
                format!("pixel value {at} is {}", pixel_values[at]),
            )),
            None => Ok(()),
        }
    }

    /// What the model would see of an image file.
    ///
    /// # Errors
    ///
    /// Those of [`Preprocessing::run`].
    pub fn preprocess(&self, file: &[u8]) -> Result<Pixels> {
        self.preprocessing.run(file, &self.limits)
    }

    /// The rows and the columns of what the model takes.
    pub fn input_size(&self) -> (usize, usize) {
        self.size
    }

    /// What is done to an image before the model sees it.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What identifies the model with these settings.
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

    /// What an image may cost before it is refused.
    pub fn limits(&self) -> &ImageLimits {
        &self.limits
    }

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }
}

impl std::fmt::Debug for ImageEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageEmbedder")
            .field("model", &self.spec.name)
            .field("dims", &self.dims)
            .field("preprocessing", &self.preprocessing)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn embedding(file: &[u8], pixels: &Pixels, vector: Result<Vec<f32>>) -> Result<ImageEmbedding> {
    Ok(ImageEmbedding {
        vector: vector?,
        width: pixels.width,
        height: pixels.height,
        format: pixels.format,
        bytes: pixels.bytes,
        // Last: a file over the limits is not even hashed.
        sha256: HashedBytes::from(file).sha256().to_owned(),
    })
}
