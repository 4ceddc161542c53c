//! What this module is and knows.

use isovec_core::{BUILT_IN_MODELS, ErrorKind, HashedBytes, Manifest};
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};
use crate::memory;

/// The models that are known by name, as JSON: a list with the keys of the manifest.
#[wasm_bindgen(js_name = builtInModels)]
pub fn built_in_models() -> Result<String> {
    let manifest = Manifest::from_toml(BUILT_IN_MODELS)?;
    serde_json::to_string(&manifest.models)
        .map_err(|e| Thrown::new(ErrorKind::InvalidConfig, format!("manifest: {e}")))
}

/// The version of this module.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The sha256 of `bytes`, in 64 lower-case hexadecimal digits.
#[wasm_bindgen]
pub fn sha256(
    #[wasm_bindgen(unchecked_param_type = "Uint8Array")] bytes: &JsValue,
) -> Result<String> {
    Ok(HashedBytes::from(memory::bytes("bytes", bytes)?).sha256().to_owned())
}
