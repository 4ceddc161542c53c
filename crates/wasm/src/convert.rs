//! Plain objects for JavaScript.

use isovec_core::{Embedding, Tokens};
use js_sys::{Float32Array, Object, Reflect, Uint32Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** The vector of one text. */
export interface Embedding {
    /** A copy of its own. */
    vector: Float32Array;
    /** How many tokens the model read, special tokens included. */
    tokens: number;
    /** Whether the text was longer than `maxTokens`, so that its end was not read. */
    truncated: boolean;
}

/** The ids that a model reads of a text. */
export interface Tokens {
    ids: Uint32Array;
    truncated: boolean;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `Embedding` of TypeScript.
    #[wasm_bindgen(typescript_type = "Embedding")]
    pub type JsEmbedding;

    /// `Tokens` of TypeScript.
    #[wasm_bindgen(typescript_type = "Tokens")]
    pub type JsTokens;
}

/// Sets a property of an object that was just made, which cannot fail: it is neither frozen nor a proxy.
pub(crate) fn set(object: &JsValue, key: &str, value: impl Into<JsValue>) {
    let _ = Reflect::set(object, &key.into(), &value.into());
}

/// A plain object of these properties, as the type that its declaration in TypeScript gives it.
pub(crate) fn object<T: JsCast, const N: usize>(properties: [(&str, JsValue); N]) -> T {
    let object = Object::new();
    for (key, value) in properties {
        set(&object, key, value);
    }
    object.unchecked_into()
}

pub(crate) fn embedding(embedding: Embedding) -> JsEmbedding {
    object([
        ("vector", floats(embedding.vector())),
        ("tokens", embedding.tokens.into()),
        ("truncated", embedding.truncated.into()),
    ])
}

pub(crate) fn tokens(tokens: &Tokens) -> JsTokens {
    object([
        ("ids", Uint32Array::from(tokens.ids.as_slice()).into()),
        ("truncated", tokens.truncated.into()),
    ])
}

pub(crate) fn floats(values: &[f32]) -> JsValue {
    Float32Array::from(values).into()
}

/// Indices are below 2^32, as everything is that this module can hold.
pub(crate) fn indices(values: impl Iterator<Item = usize>) -> JsValue {
    let values: Vec<u32> = values.map(|index| index as u32).collect();
    Uint32Array::from(values.as_slice()).into()
}
