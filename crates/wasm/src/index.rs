//! Texts with their vectors, to be searched.

use isovec_core::{Fingerprint, IndexedBy, SearchIndex};
use wasm_bindgen::prelude::*;

use crate::error::Result;
use crate::vector::{JsHits, hits};
use crate::{convert, memory, options};

/// Texts and their vectors, as `isovec index` writes them.
#[wasm_bindgen]
#[derive(Debug)]
pub struct IndexModel(SearchIndex);

#[wasm_bindgen]
impl IndexModel {
    /// Reads the file of an index.
    #[wasm_bindgen(js_name = fromSafetensors)]
    pub fn from_safetensors(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] bytes: &JsValue,
    ) -> Result<Self> {
        Ok(IndexModel(SearchIndex::from_safetensors(&memory::bytes("bytes", bytes)?)?))
    }

    /// The `k` items whose vectors have the largest dot products with `query`; of equal ones the
    /// earlier first.
    pub fn search(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Float32Array")] query: &JsValue,
        k: usize,
    ) -> Result<JsHits> {
        Ok(hits(&self.0.search(&memory::floats("query", query)?, k)?))
    }

    /// Throws `fingerprint_mismatch` unless vectors of the model with these facts, in JSON, and this
    /// fingerprint may be compared with those of the index.
    #[wasm_bindgen(js_name = checkModel)]
    pub fn check_model(
        &self,
        #[wasm_bindgen(js_name = specJson)] spec: &str,
        fingerprint: &str,
    ) -> Result<()> {
        let (spec, fingerprint) = (options::spec(spec)?, fingerprint.parse::<Fingerprint>()?);
        // Neither the variant nor the settings are compared: the fingerprint covers them.
        let found = IndexedBy::of(&spec, None, fingerprint, spec.max_tokens, spec.dims);
        Ok(self.0.check_model(&found)?)
    }

    /// The name of the model that made the vectors.
    #[wasm_bindgen(getter)]
    pub fn model(&self) -> String {
        self.0.made_by().model.clone()
    }

    /// The variant of its weights, if it has several.
    #[wasm_bindgen(getter)]
    pub fn variant(&self) -> Option<String> {
        self.0.made_by().variant.clone()
    }

    /// What the model takes: `text` or `clip-text`.
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        self.0.made_by().kind.to_string()
    }

    /// What identifies the space of the vectors.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> String {
        self.0.made_by().fingerprint.to_string()
    }

    /// The most tokens that were read of one text.
    #[wasm_bindgen(getter, js_name = maxTokens)]
    pub fn max_tokens(&self) -> usize {
        self.0.made_by().max_tokens
    }

    /// What the model's products were computed in: `fp32`, `bf16` or `int8`.
    #[wasm_bindgen(getter)]
    pub fn precision(&self) -> String {
        self.0.made_by().precision.to_string()
    }

    /// How many dimensions were kept, if not all.
    #[wasm_bindgen(getter)]
    pub fn dimensions(&self) -> Option<usize> {
        self.0.made_by().dimensions
    }

    /// The name of the prompt to put before a query.
    #[wasm_bindgen(getter, js_name = queryPrompt)]
    pub fn query_prompt(&self) -> Option<String> {
        self.0.made_by().query_prompt.clone()
    }

    /// The name of the prompt that was put before each text.
    #[wasm_bindgen(getter, js_name = passagePrompt)]
    pub fn passage_prompt(&self) -> Option<String> {
        self.0.made_by().passage_prompt.clone()
    }

    /// The number of items.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// The number of dimensions of the vectors.
    #[wasm_bindgen(getter)]
    pub fn dims(&self) -> usize {
        self.0.dims()
    }

    /// The items, as a JSON array of objects.
    #[wasm_bindgen(getter, unchecked_return_type = "string")]
    pub fn items(&self) -> JsValue {
        // Not a String, which would be a copy in this memory.
        JsValue::from_str(self.0.items_json())
    }

    /// All vectors, one after the other.
    #[wasm_bindgen(unchecked_return_type = "Float32Array")]
    pub fn vectors(&self) -> JsValue {
        convert::floats(self.0.vectors())
    }
}
