//! Text to vector.

use isovec_core::TextEmbedder;
use wasm_bindgen::prelude::*;

use crate::convert::{self, JsEmbedding, JsTokens};
use crate::error::Result;
use crate::{memory, options};

/// Turns texts into vectors.
#[wasm_bindgen]
#[derive(Debug)]
pub struct TextModel(TextEmbedder);

#[wasm_bindgen]
impl TextModel {
    /// Loads a model: its facts in JSON, its ONNX file, its `tokenizer.json`, and `maxTokens` and
    /// `dimensions` in JSON; the ONNX file's sha256, if it is known.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(js_name = specJson)] spec: &str,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] model: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] tokenizer: &JsValue,
        #[wasm_bindgen(js_name = optionsJson)] options: Option<String>,
        #[wasm_bindgen(js_name = modelSha256)] model_sha256: Option<String>,
    ) -> Result<Self> {
        let (spec, options) = (options::spec(spec)?, options::text(options.as_deref())?);
        let tokenizer = memory::bytes("tokenizer", tokenizer)?;
        let model = memory::hashed_bytes("model", model, model_sha256)?;
        Ok(TextModel(TextEmbedder::new(&spec, model, tokenizer, &options)?))
    }

    /// The vector of `text`.
    pub fn embed(&self, text: &str) -> Result<JsEmbedding> {
        Ok(convert::embedding(self.0.embed(text)?))
    }

    /// The vector of `text` with the named prompt of the model before it.
    #[wasm_bindgen(js_name = embedPrompted)]
    pub fn embed_prompted(&self, prompt: &str, text: &str) -> Result<JsEmbedding> {
        Ok(convert::embedding(self.0.embed_prompted(prompt, text)?))
    }

    /// The ids that the model would read of `text`, without a prompt.
    pub fn tokenize(&self, text: &str) -> Result<JsTokens> {
        Ok(convert::tokens(&self.0.tokenize(text)?))
    }

    /// The number of dimensions of its vectors.
    #[wasm_bindgen(getter)]
    pub fn dims(&self) -> usize {
        self.0.dims()
    }

    /// The most tokens that are read of one text, special tokens included.
    #[wasm_bindgen(getter, js_name = maxTokens)]
    pub fn max_tokens(&self) -> usize {
        self.0.max_tokens()
    }

    /// What identifies the vector space of this model with these settings.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }
}
