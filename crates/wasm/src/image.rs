//! Image file to vector.

use isovec_core::ImageEmbedder;
use wasm_bindgen::prelude::*;

use crate::error::Result;
use crate::model_file;
use crate::{convert, memory, options};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** The vector of one image, and what is known of its file. */
export interface ImageEmbedding {
    /** A copy of its own. */
    vector: Float32Array;
    /** In pixels, after the orientation was applied if that was asked for. */
    width: number;
    /** Likewise. */
    height: number;
    /** As the first bytes of the file show it. */
    format: "jpeg" | "png" | "webp";
    /** The length of the file. */
    bytes: number;
    /** The sha256 of the file. */
    sha256: string;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `ImageEmbedding` of TypeScript.
    #[wasm_bindgen(typescript_type = "ImageEmbedding")]
    pub type JsImageEmbedding;
}

/// Turns image files into vectors.
#[wasm_bindgen]
#[derive(Debug)]
pub struct ImageModel {
    inner: ImageEmbedder,
    /// Whether the sha256 of its file is not known yet.
    is_pending: bool,
}

#[wasm_bindgen]
impl ImageModel {
    /// Loads a model: its facts in JSON, its ONNX file, the sha256 of that if it is known, and `exifOrientation`,
    /// `dimensions` and `limits` in JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(js_name = specJson)] spec: &str,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] model: &JsValue,
        #[wasm_bindgen(js_name = modelSha256)] model_sha256: Option<String>,
        #[wasm_bindgen(js_name = optionsJson)] options: Option<String>,
    ) -> Result<Self> {
        let (spec, options) = (options::spec(spec)?, options::image(options.as_deref())?);
        let (model, is_pending) = model_file::model(model, model_sha256)?;
        let inner = ImageEmbedder::new(&spec, model, &options)?;
        Ok(ImageModel { inner, is_pending })
    }

    /// Sets the sha256 of the ONNX file, if it was not known when the model was made.
    #[wasm_bindgen(js_name = setModelSha256)]
    pub fn set_model_sha256(&mut self, sha256: &str) -> Result<()> {
        self.inner.set_model_sha256(sha256)?;
        self.is_pending = false;
        Ok(())
    }

    /// The vector of an image file: JPEG, PNG or WebP.
    pub fn embed(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] file: &JsValue,
    ) -> Result<JsImageEmbedding> {
        let image = self.inner.embed(&memory::bytes("file", file)?)?;
        Ok(convert::object([
            ("vector", convert::floats(image.vector())),
            ("width", image.width.into()),
            ("height", image.height.into()),
            ("format", image.format.as_str().into()),
            ("bytes", image.bytes.into()),
            ("sha256", image.sha256.as_str().into()),
        ]))
    }

    /// The number of dimensions of its vectors.
    #[wasm_bindgen(getter)]
    pub fn dims(&self) -> usize {
        self.inner.dims()
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
