//! A text's vector and an image's vector into one.

mod file;
mod fuse;
mod linear;
mod untrained;
mod weights;

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, Fingerprint, Result, limits};

pub use fuse::Fused;
pub use linear::Affine;
pub use weights::FusionWeights;

use linear::Linear;

/// Fuses the vector of a text and the vector of an image that belong together into one vector.
///
/// There are three kinds ([`FusionKind`]):
///
/// | kind | dimensions | what a dot product of two fused vectors is |
/// |---|---|---|
/// | [`concat`](Self::concat) | text + image, 384 + 512 = 896 | exactly the weighted mean of the two cosines |
/// | [`untrained`](Self::untrained) | chosen, 768 say | nearly that: a random projection of `concat` |
/// | [`learned`](Self::learned) | chosen when fitted, 768 say | that of variates which pairs of text and image have in common, so that text finds images |
///
/// Only a learned fusion relates a text to an image: text models and image models have spaces of
/// their own, and in the other two kinds the dot product of a text alone and an image alone says
/// nothing.
///
/// # What is computed
///
/// Both inputs are scaled to length one first, so only their directions count. With `t` and `i` for
/// these, and the weights `w` of [`FusionWeights`], which sum to one, a fused vector is
///
/// - concat: `[sqrt(w_text) * t, sqrt(w_image) * i]`,
/// - learned and untrained:
///   `sqrt(w_text) * (W_text * t + b_text) + sqrt(w_image) * (W_image * i + b_image)`,
///
/// and scaled to length one again. Without a text, or without an image, its term is left out: its
/// direction is then not pretended to be known. (For a learned fusion that is the same as putting
/// the mean of the pairs that it was fitted on in its place, since its biases subtract that mean.)
///
/// All sums run in `f64` in the order of the indices, and there are no operations but `+ - * /` and
/// the square root: a fused vector is the same bit for bit on every platform.
///
/// # Example
///
/// ```
/// use isovec_core::{Fusion, FusionWeights, vector};
///
/// let fusion = Fusion::concat(2, 3, FusionWeights::default())?;
/// let cat = fusion.fuse(Some(&[1.0, 0.0]), Some(&[0.0, 1.0, 0.0]))?;
/// let dog = fusion.fuse(Some(&[0.6, 0.8]), Some(&[0.0, 0.0, 1.0]))?;
/// assert_eq!(cat.vector().len(), 5);
///
/// // 0.6 of the texts' cosine, 0.6, and 0.4 of the images', 0.
/// let similarity = vector::dot(cat.vector(), dog.vector())?;
/// assert!((similarity - 0.36).abs() < 1e-6);
///
/// let text_alone = fusion.fuse(Some(&[1.0, 0.0]), None)?;
/// assert_eq!(text_alone.vector(), [1.0, 0.0, 0.0, 0.0, 0.0]);
/// assert!(!text_alone.has_image);
/// # Ok::<(), isovec_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Fusion {
    map: Map,
    weights: FusionWeights,
    text_dims: usize,
    image_dims: usize,
    dims: usize,
    fingerprint: Fingerprint,
    about: Provenance,
}

#[derive(Clone)]
enum Map {
    Concat,
    Learned(Linear),
    Untrained { seed: u64, linear: Linear },
}

/// What a fusion carries along that changes no vector.
#[derive(Clone, Debug, Default, PartialEq)]
struct Provenance {
    text_model: Option<String>,
    image_model: Option<String>,
    report: Option<String>,
}

/// The kinds of [`Fusion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FusionKind {
    /// The two vectors side by side.
    Concat,
    /// A linear map that was fitted on pairs.
    Learned,
    /// A random projection of the two vectors side by side. It has learned nothing.
    Untrained,
}

impl FusionKind {
    /// The name, as in files: `concat`, `learned`, `untrained`.
    pub fn as_str(self) -> &'static str {
        match self {
            FusionKind::Concat => "concat",
            FusionKind::Learned => "learned",
            FusionKind::Untrained => "untrained",
        }
    }
}

impl fmt::Display for FusionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fusion {
    /// The two vectors side by side, each scaled by the square root of its weight.
    ///
    /// A dot product of two such vectors is the weighted mean of the cosine of their texts and the
    /// cosine of their images. Where one of the two vectors lacks its text or its image, that term
    /// is zero.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for no dimensions, or in sum more than
    /// [`limits::MAX_DIMS`].
    pub fn concat(text_dims: usize, image_dims: usize, weights: FusionWeights) -> Result<Self> {
        let dims = check_dims(text_dims, image_dims)?;
        let about = Provenance::default();
        Ok(Fusion::assemble(Map::Concat, weights, [text_dims, image_dims, dims], &[], about))
    }

    /// A random projection of the [`concat`](Self::concat) vector to `dims` dimensions, for those
    /// who need vectors of that size and have no pairs to learn from.
    ///
    /// The rows of the matrix are orthonormal, times `sqrt((text_dims + image_dims) / dims)`, so
    /// that dot products are kept in expectation; the fewer dimensions, the noisier. The same seed
    /// gives the same matrix on every platform and in every version of isovec: its entries are sums
    /// of twelve uniform numbers less their mean, in integers, from the generator SplitMix64
    /// (Steele, Lea and Flood 2014), close to a Gaussian, made orthonormal by Gram and Schmidt.
    ///
    /// It takes about half a second for 384 and 512 into 768, once; keep the result.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for dimensions that are zero, too large or, for
    /// `dims`, more than `text_dims + image_dims`; [`TooLarge`](ErrorKind::TooLarge) for a matrix
    /// over [`limits::MAX_UNTRAINED_ENTRIES`].
    ///
    /// ```
    /// # use isovec_core::{Fusion, FusionWeights};
    /// let fusion = Fusion::untrained(6, 8, 10, 0, FusionWeights::default())?;
    /// assert_eq!(fusion.fuse(Some(&[1.0; 6]), Some(&[1.0; 8]))?.vector().len(), 10);
    /// assert!(fusion.about().starts_with("untrained"));
    /// # Ok::<(), isovec_core::Error>(())
    /// ```
    pub fn untrained(
        text_dims: usize,
        image_dims: usize,
        dims: usize,
        seed: u64,
        weights: FusionWeights,
    ) -> Result<Self> {
        let total = check_dims(text_dims, image_dims)?;
        if dims == 0 || dims > total {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "dims: {dims} is outside of 1 to {total}, those of text and image together"
                ),
            ));
        }
        if dims.saturating_mul(total) > limits::MAX_UNTRAINED_ENTRIES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "an untrained projection of {dims} x {total} is over the cap of {} entries",
                    limits::MAX_UNTRAINED_ENTRIES
                ),
            ));
        }
        let (text, image) = untrained::projection(text_dims, image_dims, dims, seed);
        let map = Map::Untrained { seed, linear: Linear::new(text, image) };
        // The seed stands for the tensors that come of it.
        let extra: [(&str, &[u8]); 1] = [("seed", &seed.to_le_bytes())];
        let about = Provenance::default();
        Ok(Fusion::assemble(map, weights, [text_dims, image_dims, dims], &extra, about))
    }

    /// A linear map of given weights and biases, one for text and one for image: what `fit` of the
    /// crate `isovec` makes.
    ///
    /// # Errors
    ///
    /// [`InvalidFusion`](ErrorKind::InvalidFusion) if the two give different dimensions, none or
    /// more than [`limits::MAX_DIMS`], if a weight's size is not its bias's times whole rows, or if
    /// there is NaN or infinity in them. The text names the tensor.
    ///
    /// ```
    /// use isovec_core::{Affine, Fusion, FusionWeights};
    ///
    /// // One dimension of text and two of an image, into two.
    /// let text = Affine { weight: vec![1.0, 0.0], bias: vec![0.0, 0.0] };
    /// let image = Affine { weight: vec![0.0, 1.0, 1.0, 0.0], bias: vec![0.0, 0.0] };
    /// let fusion = Fusion::learned(text, image, FusionWeights::default())?;
    /// assert_eq!((fusion.text_dims(), fusion.image_dims(), fusion.dims()), (1, 2, 2));
    /// assert_eq!(fusion.fuse(None, Some(&[0.0, 5.0]))?.vector(), [1.0, 0.0]);
    /// # Ok::<(), isovec_core::Error>(())
    /// ```
    pub fn learned(text: Affine, image: Affine, weights: FusionWeights) -> Result<Self> {
        let (text_dims, image_dims) = (text.check("text")?, image.check("image")?);
        let dims = text.bias.len();
        if image.bias.len() != dims {
            return Err(Error::new(
                ErrorKind::InvalidFusion,
                format!("image.bias: {} dimensions, but text.bias has {dims}", image.bias.len()),
            ));
        }
        let tensors = [&text.weight, &text.bias, &image.weight, &image.bias].map(|t| sha256_of(t));
        let extra: [(&str, &[u8]); 4] = [
            ("text.weight", &tensors[0]),
            ("text.bias", &tensors[1]),
            ("image.weight", &tensors[2]),
            ("image.bias", &tensors[3]),
        ];
        let map = Map::Learned(Linear::new(text, image));
        let about = Provenance::default();
        Ok(Fusion::assemble(map, weights, [text_dims, image_dims, dims], &extra, about))
    }

    fn assemble(
        map: Map,
        weights: FusionWeights,
        [text_dims, image_dims, dims]: [usize; 3],
        extra: &[(&str, &[u8])],
        about: Provenance,
    ) -> Self {
        let number = |n: usize| (n as u64).to_le_bytes();
        let fields: [(&str, &[u8]); 6] = [
            ("fusion", map.kind().as_str().as_bytes()),
            ("text_dims", &number(text_dims)),
            ("image_dims", &number(image_dims)),
            ("dims", &number(dims)),
            ("text_weight", &weights.text().to_le_bytes()),
            ("image_weight", &weights.image().to_le_bytes()),
        ];
        let fingerprint = Fingerprint::of_fusion(fields.into_iter().chain(extra.iter().copied()));
        Fusion { map, weights, text_dims, image_dims, dims, fingerprint, about }
    }

    /// This fusion, with the fingerprints (or names) of the models it was fitted for written down.
    ///
    /// They are kept in its file for people and programs to compare; no vector depends on them, nor
    /// does the [`fingerprint`](Self::fingerprint).
    #[must_use]
    pub fn with_models(mut self, text: impl Into<String>, image: impl Into<String>) -> Self {
        self.about.text_model = Some(text.into());
        self.about.image_model = Some(image.into());
        self
    }

    /// This fusion, with a report, in JSON, of how good it was found to be.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if `json` is not one value of JSON.
    pub fn with_report(mut self, json: impl Into<String>) -> Result<Self> {
        let json = json.into();
        file::check_json(&json).map_err(|e| {
            Error::new(ErrorKind::InvalidInput, format!("the report is not JSON: {e}"))
        })?;
        self.about.report = Some(json);
        Ok(self)
    }

    /// The kind.
    pub fn kind(&self) -> FusionKind {
        self.map.kind()
    }

    /// The number of dimensions of a fused vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The number of dimensions that a text's vector must have.
    pub fn text_dims(&self) -> usize {
        self.text_dims
    }

    /// The number of dimensions that an image's vector must have.
    pub fn image_dims(&self) -> usize {
        self.image_dims
    }

    /// The weights of text and image, which sum to one.
    pub fn weights(&self) -> FusionWeights {
        self.weights
    }

    /// The seed of an untrained fusion.
    pub fn seed(&self) -> Option<u64> {
        match self.map {
            Map::Untrained { seed, .. } => Some(seed),
            Map::Concat | Map::Learned(_) => None,
        }
    }

    /// The fingerprint of the text model that this was fitted for, if it was written down.
    pub fn text_model(&self) -> Option<&str> {
        self.about.text_model.as_deref()
    }

    /// The fingerprint of the image model that this was fitted for, if it was written down.
    pub fn image_model(&self) -> Option<&str> {
        self.about.image_model.as_deref()
    }

    /// The report, in JSON, of how good this was found to be on pairs that it had not seen.
    pub fn report(&self) -> Option<&str> {
        self.about.report.as_deref()
    }

    /// What identifies the map: the sha256 over its kind, dimensions, weights, and seed or tensors.
    ///
    /// The models whose vectors are fused have fingerprints of their own: the space of a fused
    /// vector is identified by all three.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// One line for people: the kind, the sizes, the weights; and that an untrained one is untrained.
    ///
    /// ```
    /// # use isovec_core::{Fusion, FusionWeights};
    /// let fusion = Fusion::concat(384, 512, FusionWeights::default())?;
    /// assert_eq!(fusion.about(), "concat: text 384 (weight 0.6) and image 512 (weight 0.4) into 896");
    /// # Ok::<(), isovec_core::Error>(())
    /// ```
    pub fn about(&self) -> String {
        let (text, image) = (self.weights.text(), self.weights.image());
        let sizes = format!(
            "text {} (weight {text}) and image {} (weight {image}) into {}",
            self.text_dims, self.image_dims, self.dims
        );
        match &self.map {
            Map::Concat => format!("concat: {sizes}"),
            Map::Learned(_) => format!("learned: {sizes}, fitted on pairs"),
            Map::Untrained { seed, .. } => format!(
                "untrained: {sizes} by a random projection (seed {seed}); nothing was learned, \
                 so a text does not find images"
            ),
        }
    }

    /// Reads a fusion from the bytes of its file, which [`to_safetensors`](Self::to_safetensors)
    /// wrote.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) over [`limits::MAX_FUSION_BYTES`], or over
    /// [`limits::MAX_UNTRAINED_ENTRIES`] for the matrix that a seed names;
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) if its tensors cannot be allocated;
    /// [`InvalidFusion`](ErrorKind::InvalidFusion) for everything else: what is not a file of a
    /// fusion, or of a version or kind that is not known, a tensor that is missing, not known, or
    /// not of the type and shape that it must have, and NaN or infinity in one.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        file::read(bytes)
    }

    /// The bytes of a file that [`from_safetensors`](Self::from_safetensors) reads: safetensors,
    /// with the settings as its metadata, and for a learned fusion the tensors `text.weight`
    /// `[dims, text_dims]`, `text.bias` `[dims]`, `image.weight` and `image.bias` in F32.
    ///
    /// Equal fusions give equal bytes.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if they would be more than may be read again.
    ///
    /// ```
    /// # use isovec_core::{Fusion, FusionWeights};
    /// let fusion = Fusion::untrained(6, 8, 10, 7, FusionWeights::default())?;
    /// let again = Fusion::from_safetensors(&fusion.to_safetensors()?)?;
    /// assert_eq!(again.fingerprint(), fusion.fingerprint());
    /// # Ok::<(), isovec_core::Error>(())
    /// ```
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        file::write(self)
    }
}

impl Map {
    fn kind(&self) -> FusionKind {
        match self {
            Map::Concat => FusionKind::Concat,
            Map::Learned(_) => FusionKind::Learned,
            Map::Untrained { .. } => FusionKind::Untrained,
        }
    }
}

impl fmt::Debug for Fusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fusion")
            .field("kind", &self.kind())
            .field("text_dims", &self.text_dims)
            .field("image_dims", &self.image_dims)
            .field("dims", &self.dims)
            .field("weights", &self.weights)
            .field("seed", &self.seed())
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// Checks the sizes of the two inputs and returns their sum.
fn check_dims(text_dims: usize, image_dims: usize) -> Result<usize> {
    let total = text_dims.saturating_add(image_dims);
    if text_dims == 0 || image_dims == 0 || total > limits::MAX_DIMS {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "text_dims {text_dims} and image_dims {image_dims}: each must be 1 at least, and \
                 their sum {} at most",
                limits::MAX_DIMS
            ),
        ));
    }
    Ok(total)
}

/// The sha256 of the little-endian bytes.
fn sha256_of(tensor: &[f32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // A kilobyte at a time: hashing four bytes at a time is slow, and all at once is a copy.
    let mut buffer = Vec::with_capacity(4 * 256);
    for chunk in tensor.chunks(256) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
        hash.update(&buffer);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
