//! The file that a model is made of, while JavaScript has its sha256 computed.

use isovec_core::{ErrorKind, HashedBytes};
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};
use crate::memory;

/// A copy of an ONNX file, which a model takes over.
#[wasm_bindgen]
#[derive(Debug)]
pub struct ModelBytes {
    bytes: Vec<u8>,
    sha256: Option<String>,
}

#[wasm_bindgen]
impl ModelBytes {
    /// A copy of `bytes`. Without their sha256 the model has to be told it before it has a fingerprint.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array")] bytes: &JsValue,
        sha256: Option<String>,
    ) -> Result<Self> {
        Ok(ModelBytes { bytes: memory::bytes_of_model(bytes)?, sha256 })
    }
}

/// A copy of a tokenizer's file, with the sha256 that the platform computed, or computed here.
pub(crate) fn tokenizer(bytes: &JsValue, sha256: Option<String>) -> Result<HashedBytes<'static>> {
    let bytes = memory::bytes("tokenizer", bytes)?;
    Ok(match sha256 {
        Some(sha256) => HashedBytes::with_sha256(bytes, sha256)?,
        None => bytes.into(),
    })
}

impl ModelBytes {
    /// The bytes, and whether their sha256 is not known yet.
    pub(crate) fn hashed(self) -> Result<(HashedBytes<'static>, bool)> {
        let is_pending = self.sha256.is_none();
        let sha256 = self.sha256.unwrap_or_else(|| "0".repeat(64));
        Ok((HashedBytes::with_sha256(self.bytes, sha256)?, is_pending))
    }
}

/// What a model says that is asked for its fingerprint too early.
pub(crate) fn pending() -> Thrown {
    Thrown::new(ErrorKind::InvalidConfig, "fingerprint: setModelSha256 was not called yet")
}
