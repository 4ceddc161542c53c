//! Text in the space of images, and what can be done with both.

use crate::{
    Embedding, Error, ErrorKind, Execution, Fingerprint, HashedBytes, ModelFile, ModelKind,
    ModelSpec, Result, TextEmbedder, TextOptions, Tokenizer, Tokens, vector,
};

/// Turns texts into vectors of an image model's space, so that a text can be compared with images.
///
/// CLIP's text tower. Its tokenizer lower-cases; it reads 77 tokens at most, of which two are special,
/// and the vector is what the model makes of the end-of-text token. All of it runs without padding,
/// which changes nothing: the model looks only backwards.
///
/// Its vectors may be compared with those of the [`ImageEmbedder`](crate::ImageEmbedder) whose manifest
/// names the same `space`, although the two have fingerprints of their own.
#[derive(Debug)]
pub struct ClipTextEmbedder {
    text: TextEmbedder,
}

impl ClipTextEmbedder {
    /// Loads a model from the bytes of its ONNX file and its `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::new`].
    pub fn new<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl Into<HashedBytes<'a>>,
        options: &TextOptions,
    ) -> Result<Self> {
        TextEmbedder::check(ModelKind::ClipText, spec, options)?;
        let tokenizer = Tokenizer::new(tokenizer)?;
        let text = TextEmbedder::load(spec, model.into(), || Ok(tokenizer), options)?;
        Ok(ClipTextEmbedder { text })
    }

    /// Loads a model from the bytes of its ONNX file and a tokenizer that somebody else makes meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::new`].
    pub fn with_tokenizer<'a>(
        spec: &ModelSpec,
        model: impl Into<ModelFile<'a>>,
        tokenizer: impl FnOnce() -> Result<Tokenizer>,
        options: &TextOptions,
    ) -> Result<Self> {
        TextEmbedder::check(ModelKind::ClipText, spec, options)?;
        Ok(ClipTextEmbedder { text: TextEmbedder::load(spec, model.into(), tokenizer, options)? })
    }

    /// Sets the sha256 of the ONNX file; see [`TextEmbedder::set_model_sha256`].
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::set_model_sha256`].
    pub fn set_model_sha256(&mut self, sha256: &str) -> Result<()> {
        self.text.set_model_sha256(sha256)
    }

    /// The vector of `text`.
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::embed`].
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        self.text.embed(text)
    }

    /// The vectors of `texts`, in their order, one after the other on this thread.
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::embed_batch`].
    pub fn embed_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Embedding>> {
        self.text.embed_batch(texts)
    }

    /// The ids that the model would read of `text`.
    ///
    /// # Errors
    ///
    /// Those of [`TextEmbedder::tokenize`].
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        self.text.tokenize(text)
    }

    /// What identifies the model with these settings.
    pub fn fingerprint(&self) -> Fingerprint {
        self.text.fingerprint()
    }

    /// What the engine made of the model.
    pub fn execution(&self) -> Execution {
        self.text.execution()
    }

    /// The number of dimensions of its vectors.
    pub fn dims(&self) -> usize {
        self.text.dims()
    }

    /// The most tokens that are read of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.text.max_tokens()
    }

    /// The facts of the model.
    pub fn spec(&self) -> &ModelSpec {
        self.text.spec()
    }
}

/// How well a label fits an image.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ZeroShot {
    /// The index of the label.
    pub label: usize,
    /// The cosine of the image's and the label's vectors.
    pub score: f32,
    /// The share of this label among all that were given, from 0 to 1: the softmax of the cosines times
    /// the model's `logit_scale`.
    pub probability: f32,
}

/// How well each of `labels` fits an image, best first: classification without training.
///
/// Labels work better as sentences such as `a photo of a dog`, which is what CLIP was trained with.
/// The vectors must be of one space: see [`ModelSpec::check_same_space`]. `logit_scale` is that of the
/// model, [`ModelSpec::logit_scale`].
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) without labels; those of [`vector::cosine`], naming the
/// label's index.
///
/// ```
/// use isovec_core::zero_shot;
///
/// let (image, labels) = ([1.0, 0.0], [[0.6, 0.8], [0.8, 0.6]]);
/// let fits = zero_shot(&image, labels.iter().map(|label| label.as_slice()), 100.0)?;
/// assert_eq!((fits[0].label, fits[1].label), (1, 0));
/// assert!(fits[0].probability > 0.999);
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub fn zero_shot<'a>(
    image: &[f32],
    labels: impl IntoIterator<Item = &'a [f32]>,
    logit_scale: f32,
) -> Result<Vec<ZeroShot>> {
    let score = |(index, label): (usize, &[f32])| {
        vector::cosine(image, label).map_err(|e| e.context(format_args!("label {index}")))
    };
    let scores = labels.into_iter().enumerate().map(score).collect::<Result<Vec<f32>>>()?;
    if scores.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "no labels: at least one is needed"));
    }
    let scale = f64::from(logit_scale);
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> =
        scores.iter().map(|&score| (scale * f64::from(score - largest)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let fit = |(label, (&score, weight)): (usize, (&f32, &f64))| ZeroShot {
        label,
        score,
        probability: (weight / sum) as f32,
    };
    let mut fits: Vec<ZeroShot> = scores.iter().zip(&weights).enumerate().map(fit).collect();
    fits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.label.cmp(&b.label)));
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_the_softmax_of_scaled_cosines() {
        let labels: [&[f32]; 3] = [&[0.0, 1.0], &[0.6, 0.8], &[0.8, 0.6]];
        let fits = zero_shot(&[1.0, 0.0], labels, 10.0).unwrap();
        assert_eq!(fits.iter().map(|fit| fit.label).collect::<Vec<_>>(), [2, 1, 0]);
        // exp(8) / (exp(8) + exp(6) + 1)
        assert!((fits[0].probability - 0.880_536_9).abs() < 1e-5, "{fits:?}");
        assert!((fits.iter().map(|fit| fit.probability).sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let error = zero_shot(&[1.0, 0.0], [], 100.0).unwrap_err();
        assert_eq!(error.to_string(), "no labels: at least one is needed");
        let labels: [&[f32]; 2] = [&[1.0, 0.0], &[1.0]];
        let error = zero_shot(&[1.0, 0.0], labels, 100.0).unwrap_err();
        assert_eq!(error.to_string(), "label 1: cannot compare vectors of 2 and 1 dimensions");
    }
}
