//! Text into the space of images, and labels for images.

use isovec_core::{ClipTextEmbedder, zero_shot as core_zero_shot};
use wasm_bindgen::prelude::*;

use crate::convert::{self, JsEmbedding, JsTokens};
use crate::error::Result;
use crate::model_file;
use crate::vector::rows_of;
use crate::{memory, options};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How well labels fit an image, best first. */
export interface ZeroShot {
    /** The indices of the labels. */
    labels: Uint32Array;
    /** The cosines of the image and each label. */
    scores: Float32Array;
    /** The share of each label among all: the softmax of the cosines times `logitScale`. */
    probabilities: Float32Array;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `ZeroShot` of TypeScript.
    #[wasm_bindgen(typescript_type = "ZeroShot")]
    pub type JsZeroShot;
}

/// Turns texts into vectors of an image model's space.
#[wasm_bindgen]
#[derive(Debug)]
pub struct ClipTextModel {
    inner: ClipTextEmbedder,
    /// Whether the sha256 of its file is not known yet.
    is_pending: bool,
}

#[wasm_bindgen]
impl ClipTextModel {
    /// Loads a model: its facts in JSON, its ONNX file and its `tokenizer.json`, each with its sha256 if that is known,
    /// and `maxTokens`, `dimensions` and `precision` in JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(js_name = specJson)] spec: &str,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] model: &JsValue,
        #[wasm_bindgen(js_name = modelSha256)] model_sha256: Option<String>,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] tokenizer: &JsValue,
        #[wasm_bindgen(js_name = tokenizerSha256)] tokenizer_sha256: Option<String>,
        #[wasm_bindgen(js_name = optionsJson)] options: Option<String>,
    ) -> Result<Self> {
        let (spec, options) = (options::spec(spec)?, options::text(options.as_deref())?);
        let tokenizer = model_file::tokenizer(tokenizer, tokenizer_sha256)?;
        let (model, is_pending) = model_file::model(model, model_sha256)?;
        let inner = ClipTextEmbedder::new(&spec, model, tokenizer, &options)?;
        Ok(ClipTextModel { inner, is_pending })
    }

    /// Sets the sha256 of the ONNX file, if it was not known when the model was made.
    #[wasm_bindgen(js_name = setModelSha256)]
    pub fn set_model_sha256(&mut self, sha256: &str) -> Result<()> {
        self.inner.set_model_sha256(sha256)?;
        self.is_pending = false;
        Ok(())
    }

    /// The vector of `text`.
    pub fn embed(&self, text: &str) -> Result<JsEmbedding> {
        Ok(convert::embedding(self.inner.embed(text)?))
    }

    /// The ids that the model would read of `text`.
    pub fn tokenize(&self, text: &str) -> Result<JsTokens> {
        Ok(convert::tokens(&self.inner.tokenize(text)?))
    }

    /// The number of dimensions of its vectors.
    #[wasm_bindgen(getter)]
    pub fn dims(&self) -> usize {
        self.inner.dims()
    }

    /// The most tokens that are read of one text, special tokens included.
    #[wasm_bindgen(getter, js_name = maxTokens)]
    pub fn max_tokens(&self) -> usize {
        self.inner.max_tokens()
    }

    /// What identifies the model with these settings.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> Result<String> {
        if self.is_pending {
            return Err(model_file::pending());
        }
        Ok(self.inner.fingerprint().to_string())
    }
}

/// How well each of `labels`, vectors one after the other, fits an image, best first.
#[wasm_bindgen(js_name = zeroShot)]
pub fn zero_shot(
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] image: &JsValue,
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] labels: &JsValue,
    #[wasm_bindgen(js_name = logitScale)] logit_scale: f32,
) -> Result<JsZeroShot> {
    let image = memory::floats("image", image)?;
    let labels = memory::floats("labels", labels)?;
    let fits = core_zero_shot(&image, rows_of("labels", &labels, image.len())?, logit_scale)?;
    let scores: Vec<f32> = fits.iter().map(|fit| fit.score).collect();
    let probabilities: Vec<f32> = fits.iter().map(|fit| fit.probability).collect();
    Ok(convert::object([
        ("labels", convert::indices(fits.iter().map(|fit| fit.label))),
        ("scores", convert::floats(&scores)),
        ("probabilities", convert::floats(&probabilities)),
    ]))
}
