//! Text to vector.

use isovec_core::TextEmbedder;
use wasm_bindgen::prelude::*;

use crate::convert::{self, JsEmbedding, JsTokens};
use crate::error::Result;
use crate::model_file;
use crate::options;

/// Turns texts into vectors.
#[wasm_bindgen]
#[derive(Debug)]
pub struct TextModel {
    inner: TextEmbedder,
    /// Whether the sha256 of its file is not known yet.
    is_pending: bool,
}

#[wasm_bindgen]
impl TextModel {
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
        let inner = TextEmbedder::new(&spec, model, tokenizer, &options)?;
        Ok(TextModel { inner, is_pending })
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

    /// The vector of `text` with the named prompt of the model before it.
    #[wasm_bindgen(js_name = embedPrompted)]
    pub fn embed_prompted(&self, prompt: &str, text: &str) -> Result<JsEmbedding> {
        Ok(convert::embedding(self.inner.embed_prompted(prompt, text)?))
    }

    /// The vectors of `texts`, which read the model's weights together, with the named prompt of the model before each
    /// if there is one.
    #[wasm_bindgen(js_name = embedEach)]
    pub fn embed_each(
        &self,
        texts: Vec<String>,
        prompt: Option<String>,
    ) -> Result<Vec<JsEmbedding>> {
        let embeddings = self.inner.embed_each(prompt.as_deref(), &texts);
        embeddings.into_iter().map(|embedding| Ok(convert::embedding(embedding?))).collect()
    }

    /// The ids that the model would read of `text`, without a prompt.
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

    /// What identifies the vector space of this model with these settings.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> Result<String> {
        if self.is_pending {
            return Err(model_file::pending());
        }
        Ok(self.inner.fingerprint().to_string())
    }
}
