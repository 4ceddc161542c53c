//! Arithmetic on vectors.

use isovec_core::{ErrorKind, vector};
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};
use crate::{convert, memory};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a search finds, best first. */
export interface Hits {
    /** The rows. */
    indices: Uint32Array;
    /** Their dot products with the query. */
    scores: Float32Array;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `Hits` of TypeScript.
    #[wasm_bindgen(typescript_type = "Hits")]
    pub type JsHits;
}

/// The dot product of two vectors.
#[wasm_bindgen]
pub fn dot(
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] a: &JsValue,
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] b: &JsValue,
) -> Result<f32> {
    Ok(vector::dot(&memory::floats("a", a)?, &memory::floats("b", b)?)?)
}

/// The cosine of the angle between two vectors.
#[wasm_bindgen(js_name = cosineSimilarity)]
pub fn cosine_similarity(
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] a: &JsValue,
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] b: &JsValue,
) -> Result<f32> {
    Ok(vector::cosine(&memory::floats("a", a)?, &memory::floats("b", b)?)?)
}

/// A copy of `vector`, scaled to length one.
#[wasm_bindgen(js_name = l2Normalize, unchecked_return_type = "Float32Array")]
pub fn l2_normalize(
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] vector: &JsValue,
) -> Result<JsValue> {
    let mut copy = memory::floats("vector", vector)?;
    vector::l2_normalize(&mut copy)?;
    Ok(convert::floats(&copy))
}

/// The `k` of `rows`, vectors one after the other, with the largest dot products with `query`; of equal
/// ones the lower index first.
#[wasm_bindgen(js_name = topK)]
pub fn top_k(
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] query: &JsValue,
    #[wasm_bindgen(unchecked_param_type = "Float32Array")] rows: &JsValue,
    k: usize,
) -> Result<JsHits> {
    let query = memory::floats("query", query)?;
    let rows = memory::floats("rows", rows)?;
    Ok(hits(&vector::top_k(&query, rows_of("rows", &rows, query.len())?, k)?))
}

pub(crate) fn hits(hits: &[vector::Hit]) -> JsHits {
    let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
    convert::object([
        ("indices", convert::indices(hits.iter().map(|hit| hit.index))),
        ("scores", convert::floats(&scores)),
    ])
}

/// The vectors of `dims` dimensions that lie one after the other in `values`.
pub(crate) fn rows_of<'a>(
    name: &str,
    values: &'a [f32],
    dims: usize,
) -> Result<impl Iterator<Item = &'a [f32]>> {
    if dims == 0 || !values.len().is_multiple_of(dims) {
        return Err(Thrown::new(
            ErrorKind::DimensionMismatch,
            format!("{name}: {} numbers are no whole number of vectors of {dims}", values.len()),
        ));
    }
    Ok(values.chunks_exact(dims))
}
