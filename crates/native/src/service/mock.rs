//! Stand-ins for models (`development.mock_mode`): vectors made of a hash of the input.
//!
//! They are for tests of programs around the service, which need vectors at once and the same ones every
//! time. They mean nothing, and their fingerprint says so: no cache and no index takes them for a model's.

use sha2::{Digest, Sha256};

use crate::cache::{Entry, Facts};
use crate::config::ModelConfig;
use crate::{
    Error, ErrorKind, Fingerprint, ImageLimits, ModelKind, ModelSpec, Pooling, Preprocessing,
    Result, limits,
};

/// The most tokens that the stand-in of a model of unknown files reads of one text.
const MAX_TOKENS: usize = 512;

/// Answers in the place of one model: what the model refuses is refused with the same error.
#[derive(Clone, Debug)]
pub(crate) struct MockModel {
    spec: ModelSpec,
    preprocessing: Preprocessing,
    limits: ImageLimits,
    fingerprint: Fingerprint,
}

impl MockModel {
    /// The facts of the model that `config` names or, where it has a `path`, whose files are not read, the
    /// facts that it states.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a name that is not in the manifest, and
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a path without `dimensions`.
    pub(crate) fn spec_for(name: &str, config: &ModelConfig) -> Result<ModelSpec> {
        if config.path.is_none() {
            let manifest = crate::manifest()?;
            let mut spec = manifest.get(config.name.as_deref().unwrap_or(name))?.clone();
            spec.max_tokens = spec.max_tokens.min(config.max_tokens.unwrap_or(usize::MAX));
            return Ok(spec);
        }
        let dims = config.dimensions.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("models.{name}.dimensions: needed, since mock mode reads no files"),
            )
        })?;
        let kind = config.kind.unwrap_or_default();
        let is_image = kind == ModelKind::Image;
        Ok(ModelSpec {
            name: name.to_owned(),
            kind,
            dims,
            max_tokens: if is_image { 0 } else { config.max_tokens.unwrap_or(MAX_TOKENS) },
            pooling: Pooling::None,
            preprocessing: is_image.then(Preprocessing::default),
            space: None,
            logit_scale: None,
            normalize: true,
            output: None,
            matryoshka: Vec::new(),
            prompts: Default::default(),
            default_prompt: None,
            note: None,
            licence: String::new(),
            variants: Default::default(),
        })
    }

    pub(crate) fn new(spec: &ModelSpec) -> Self {
        MockModel {
            fingerprint: Fingerprint::mock(&spec.name, spec.dims),
            preprocessing: spec.preprocessing.clone().unwrap_or_default(),
            limits: ImageLimits::default(),
            spec: spec.clone(),
        }
    }

    /// Refuses images that are over these limits instead of the default ones.
    pub(crate) fn limits(mut self, limits: ImageLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// A vector of the text. Tokens are its words and two special ones, as many as the model may read; the
    /// vector is of the whole text, whether or not a model would have cut it.
    pub(crate) fn embed_text(&self, text: &str) -> Result<Entry> {
        match &self.spec.default_prompt {
            Some(name) => self.embed_prompted(name, text),
            None => self.embed_with_prefix("", text),
        }
    }

    /// As [`embed_text`](Self::embed_text), with a named prompt of the model before the text.
    pub(crate) fn embed_prompted(&self, prompt: &str, text: &str) -> Result<Entry> {
        self.embed_with_prefix(self.spec.prompt(prompt)?, text)
    }

    fn embed_with_prefix(&self, prefix: &str, text: &str) -> Result<Entry> {
        let bytes = prefix.len() + text.len();
        if bytes > limits::MAX_TEXT_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the text is {bytes} bytes, over the cap of {}", limits::MAX_TEXT_BYTES),
            ));
        }
        let words = prefix.split_whitespace().count() + text.split_whitespace().count();
        let tokens = (words + 2).min(self.spec.max_tokens);
        let facts = Facts::Text { tokens: saturated(tokens), truncated: tokens < words + 2 };
        Ok(self.entry(&[b"text", prefix.as_bytes(), text.as_bytes()], facts))
    }

    /// A vector of an image file's bytes. The file is decoded as for the model, so that one that the model
    /// would refuse is refused here.
    pub(crate) fn embed_image(&self, file: &[u8]) -> Result<Entry> {
        let pixels = self.preprocessing.run(file, &self.limits)?;
        let (width, height) = (saturated(pixels.width), saturated(pixels.height));
        let facts = Facts::Image { width, height, format: pixels.format };
        Ok(self.entry(&[b"image", file], facts))
    }

    fn entry(&self, input: &[&[u8]], facts: Facts) -> Entry {
        let mut seed = Sha256::new();
        seed.update(self.fingerprint.as_bytes());
        for part in input {
            seed.update(part);
        }
        Entry { vector: direction(&seed.finalize().into(), self.spec.dims).into(), facts }
    }
}

fn saturated(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A vector of length one whose direction looks drawn at random, all directions alike.
///
/// Each number is a sum of four uniform ones, close enough to a Gaussian one. They are whole numbers, the sum of
/// their squares is below 2^53, and root, quotient and rounding are exact in IEEE 754: the same bits on every
/// platform.
fn direction(seed: &[u8; 32], dims: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(dims + 3);
    for counter in 0_u64.. {
        if numbers.len() >= dims {
            break;
        }
        let block = Sha256::new().chain_update(seed).chain_update(counter.to_le_bytes()).finalize();
        let (eights, _) = block.as_slice().as_chunks::<8>();
        numbers.extend(eights.iter().map(gaussian));
    }
    numbers.truncate(dims);
    let length = numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    numbers.into_iter().map(|x| (x / length) as f32).collect()
}

/// Four numbers of 16 bits, summed and centred; doubled and made odd, so that it is never zero.
fn gaussian(bytes: &[u8; 8]) -> f64 {
    let (pairs, _) = bytes.as_chunks::<2>();
    let sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_le_bytes(*pair))).sum();
    2.0 * f64::from(sum) - 4.0 * f64::from(u16::MAX) + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;
    use crate::{IndexedBy, SearchIndex};

    const PNG: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0c\
        IDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\r\xefF\xb8\0\0\0\0IEND\xaeB`\x82";

    fn mock(name: &str) -> MockModel {
        MockModel::new(&MockModel::spec_for(name, &ModelConfig::default()).unwrap())
    }

    #[test]
    fn vectors_are_the_same_on_every_platform() {
        let vector = mock("all-MiniLM-L6-v2").embed_text("Hello").unwrap().vector;
        assert_eq!(vector.len(), 384);
        let bits: Vec<u32> = vector[..4].iter().map(|x| x.to_bits()).collect();
        // As a few lines of Python over hashlib, struct and math.sqrt compute them.
        assert_eq!(bits, [0x3d186439, 0xbcb70bde, 0xbdb504ee, 0xbd3c0a8c], "{vector:?}");
    }

    #[test]
    fn vectors_are_unit_and_spread_over_the_sphere() {
        let model = mock("all-MiniLM-L6-v2");
        let vectors: Vec<_> =
            (0..200).map(|i| model.embed_text(&i.to_string()).unwrap().vector).collect();
        for (i, a) in vectors.iter().enumerate() {
            let length: f64 = a.iter().map(|&x| f64::from(x).powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-6, "{i}: {length}");
            for b in &vectors[..i] {
                // Six times the standard deviation of a cosine in 384 dimensions.
                let cosine = crate::vector::cosine(a, b).unwrap();
                assert!(cosine.abs() < 6.0 / 384_f32.sqrt(), "{i}: {cosine}");
            }
        }
    }

    #[test]
    fn a_vector_has_a_direction_in_any_number_of_dimensions() {
        for dims in [1, 2, 3, 4, 5, 1000] {
            for seed in 0..=255 {
                let vector = direction(&[seed; 32], dims);
                assert_eq!(vector.len(), dims);
                let length: f64 = vector.iter().map(|&x| f64::from(x).powi(2)).sum();
                assert!((length - 1.0).abs() < 1e-6, "{dims} dimensions: {length}");
            }
        }
    }

    #[test]
    fn words_are_counted_as_tokens() {
        let mut spec = MockModel::spec_for("all-MiniLM-L6-v2", &ModelConfig::default()).unwrap();
        spec.max_tokens = 5;
        let model = MockModel::new(&spec);
        for (text, tokens, truncated) in
            [("", 2, false), ("one two  three\n", 5, false), ("one two three four", 5, true)]
        {
            let facts = model.embed_text(text).unwrap().facts;
            assert_eq!(facts, Facts::Text { tokens, truncated }, "{text:?}");
        }
    }

    #[test]
    fn prompts_are_put_before_the_text() {
        let mut spec = MockModel::spec_for("all-MiniLM-L6-v2", &ModelConfig::default()).unwrap();
        spec.prompts.insert("query".into(), "query: ".into());
        let plain = MockModel::new(&spec);
        let prompted = plain.embed_prompted("query", "cats").unwrap();
        assert_eq!(prompted.vector, plain.embed_text("query: cats").unwrap().vector);
        let error = plain.embed_prompted("passage", "cats").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains("has no prompt \"passage\"; it has: [query]"),
            "{error}"
        );

        spec.default_prompt = Some("query".into());
        assert_eq!(MockModel::new(&spec).embed_text("cats").unwrap(), prompted);
    }

    #[test]
    fn images_are_read_as_for_the_model() {
        let model = mock("clip-vit-base-patch32");
        let image = model.embed_image(PNG).unwrap();
        assert_eq!(image.vector.len(), 512);
        let format = crate::ImageFormat::Png;
        assert_eq!(image.facts, Facts::Image { width: 1, height: 1, format });

        let small = model.clone().limits(ImageLimits { max_bytes: 8, ..Default::default() });
        for (model, file, kind) in [
            (&model, &b"GIF89a"[..], ErrorKind::UnsupportedFormat),
            (&model, &PNG[..40], ErrorKind::InvalidImage),
            (&small, PNG, ErrorKind::TooLarge),
        ] {
            assert_eq!(model.embed_image(file).unwrap_err().kind(), kind);
        }
        let text = "a".repeat(limits::MAX_TEXT_BYTES + 1);
        let error = mock("all-MiniLM-L6-v2").embed_text(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    /// R6: nothing of a stand-in may be taken for what a model made, and nothing of a model for a
    /// stand-in's.
    #[test]
    fn caches_and_indexes_keep_stand_ins_apart_from_models() {
        let model = mock("all-MiniLM-L6-v2");
        let real: Fingerprint = "0f".repeat(32).parse().unwrap();
        assert!(model.fingerprint().is_mock() && !real.is_mock());
        assert_ne!(
            Key::of_text(model.fingerprint(), None, "Hello"),
            Key::of_text(real, None, "Hello")
        );
        let made_by = |fingerprint| IndexedBy::of(model.spec(), None, fingerprint, 512, 384);
        for (index, asked) in [(model.fingerprint(), real), (real, model.fingerprint())] {
            let index = SearchIndex::new(made_by(index), 384).unwrap();
            let error = index.check_model(&made_by(asked)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::FingerprintMismatch);
        }
    }

    #[test]
    fn a_model_with_a_path_states_its_facts() {
        let custom = |dimensions, kind| ModelConfig {
            path: Some("no/such/folder".into()),
            dimensions,
            kind,
            ..Default::default()
        };
        let text = MockModel::spec_for("custom", &custom(Some(768), None)).unwrap();
        assert_eq!((text.kind, text.dims, text.max_tokens), (ModelKind::Text, 768, MAX_TOKENS));
        text.check().unwrap();
        let image = custom(Some(512), Some(ModelKind::Image));
        MockModel::spec_for("custom", &image).unwrap().check().unwrap();
        let error = MockModel::spec_for("custom", &custom(None, None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "models.custom.dimensions: needed, since mock mode reads no files"
        );
    }
}
