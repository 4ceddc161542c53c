//! A text's vector and an image's vector into one.

use isovec_core::{ErrorKind, Fusion, FusionWeights};
use js_sys::BigInt;
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};
use crate::{convert, memory};

/// Fuses the vector of a text and the vector of an image that belong together into one vector.
#[wasm_bindgen]
#[derive(Debug)]
pub struct FusionModel(Fusion);

#[wasm_bindgen]
impl FusionModel {
    /// The two vectors side by side.
    pub fn concat(
        #[wasm_bindgen(js_name = textDims)] text_dims: usize,
        #[wasm_bindgen(js_name = imageDims)] image_dims: usize,
        #[wasm_bindgen(js_name = textWeight)] text_weight: Option<f64>,
        #[wasm_bindgen(js_name = imageWeight)] image_weight: Option<f64>,
    ) -> Result<Self> {
        let weights = weights(text_weight, image_weight)?;
        Ok(FusionModel(Fusion::concat(text_dims, image_dims, weights)?))
    }

    /// A random projection of the two vectors side by side, which has learned nothing.
    pub fn untrained(
        #[wasm_bindgen(js_name = textDims)] text_dims: usize,
        #[wasm_bindgen(js_name = imageDims)] image_dims: usize,
        dims: usize,
        #[wasm_bindgen(unchecked_param_type = "number | bigint")] seed: JsValue,
        #[wasm_bindgen(js_name = textWeight)] text_weight: Option<f64>,
        #[wasm_bindgen(js_name = imageWeight)] image_weight: Option<f64>,
    ) -> Result<Self> {
        // BigInt throws on a fraction; what is too large or negative fails the second step.
        let seed = BigInt::new(&seed).ok().and_then(|seed| u64::try_from(seed).ok());
        let seed = seed.ok_or_else(|| {
            Thrown::new(
                ErrorKind::InvalidConfig,
                "seed: expected a whole number from 0 to 2^64 - 1",
            )
        })?;
        let weights = weights(text_weight, image_weight)?;
        Ok(FusionModel(Fusion::untrained(text_dims, image_dims, dims, seed, weights)?))
    }

    /// Reads the file of a fusion, as `isovec fuse fit` writes it.
    #[wasm_bindgen(js_name = fromSafetensors)]
    pub fn from_safetensors(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] bytes: &JsValue,
    ) -> Result<Self> {
        Ok(FusionModel(Fusion::from_safetensors(&memory::bytes("bytes", bytes)?)?))
    }

    /// The fused vector of a text's vector and an image's, of which one may be missing.
    #[wasm_bindgen(unchecked_return_type = "Float32Array")]
    pub fn fuse(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "Float32Array | null")] text: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Float32Array | null")] image: &JsValue,
    ) -> Result<JsValue> {
        let text = memory::optional_floats("text", text)?;
        let image = memory::optional_floats("image", image)?;
        Ok(convert::floats(self.0.fuse(text.as_deref(), image.as_deref())?.vector()))
    }

    /// `concat`, `learned` or `untrained`.
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        self.0.kind().to_string()
    }

    /// The number of dimensions of a fused vector.
    #[wasm_bindgen(getter)]
    pub fn dims(&self) -> usize {
        self.0.dims()
    }

    /// The number of dimensions that a text's vector must have.
    #[wasm_bindgen(getter, js_name = textDims)]
    pub fn text_dims(&self) -> usize {
        self.0.text_dims()
    }

    /// The number of dimensions that an image's vector must have.
    #[wasm_bindgen(getter, js_name = imageDims)]
    pub fn image_dims(&self) -> usize {
        self.0.image_dims()
    }

    /// The fingerprint of the text model that this was fitted for, if it was written down.
    #[wasm_bindgen(getter, js_name = textModel)]
    pub fn text_model(&self) -> Option<String> {
        self.0.text_model().map(str::to_owned)
    }

    /// The fingerprint of the image model that this was fitted for, if it was written down.
    #[wasm_bindgen(getter, js_name = imageModel)]
    pub fn image_model(&self) -> Option<String> {
        self.0.image_model().map(str::to_owned)
    }

    /// What identifies the map.
    #[wasm_bindgen(getter)]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_string()
    }

    /// One line for people.
    #[wasm_bindgen(getter)]
    pub fn about(&self) -> String {
        self.0.about()
    }
}

/// The default weights, unless both are given: one alone leaves open what the other should be.
fn weights(text: Option<f64>, image: Option<f64>) -> Result<FusionWeights> {
    match (text, image) {
        (None, None) => Ok(FusionWeights::default()),
        (Some(text), Some(image)) => Ok(FusionWeights::new(text, image)?),
        _ => Err(Thrown::new(ErrorKind::InvalidConfig, "weights: give both, or neither")),
    }
}
