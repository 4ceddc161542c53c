//! Large inputs, copied into the module's memory. Where there is not enough of it, an error.

use isovec_core::{ErrorKind, HashedBytes};
use js_sys::{ArrayBuffer, Float32Array, JsString, Reflect, Symbol, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};

/// The bytes of a `Uint8Array`. A `Buffer` of Node is one.
pub(crate) fn bytes(name: &str, value: &JsValue) -> Result<Vec<u8>> {
    check(name, value, "Uint8Array")?;
    let array: &Uint8Array = value.unchecked_ref();
    let mut copy = room(array.length() as usize)?;
    array.copy_to(&mut copy);
    Ok(copy)
}

/// The bytes of a model with their sha256, which JavaScript has usually computed already, and faster.
pub(crate) fn hashed_bytes(
    name: &str,
    value: &JsValue,
    sha256: Option<String>,
) -> Result<HashedBytes<'static>> {
    let bytes = bytes(name, value)?;
    Ok(match sha256 {
        Some(sha256) => HashedBytes::with_sha256(bytes, sha256)?,
        None => bytes.into(),
    })
}

/// The numbers of a `Float32Array`.
pub(crate) fn floats(name: &str, value: &JsValue) -> Result<Vec<f32>> {
    check(name, value, "Float32Array")?;
    let array: &Float32Array = value.unchecked_ref();
    let mut copy = room(array.length() as usize)?;
    array.copy_to(&mut copy);
    Ok(copy)
}

/// The numbers of a `Float32Array`, unless there is none.
pub(crate) fn optional_floats(name: &str, value: &JsValue) -> Result<Option<Vec<f32>>> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    floats(name, value).map(Some)
}

fn room<T: Clone + Default>(length: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| {
        Thrown::new(
            ErrorKind::OutOfMemory,
            format!("there is no memory for {} bytes more", length * size_of::<T>()),
        )
    })?;
    room.resize(length, T::default());
    Ok(room)
}

/// Checks that `value` is an array of this type. Asked by its tag, since `instanceof` refuses arrays that
/// were made in another frame or context, such as those of test runners.
fn check(name: &str, value: &JsValue, expected: &str) -> Result<()> {
    let tag = || Reflect::get(value, &Symbol::to_string_tag()).ok()?.as_string();
    if ArrayBuffer::is_view(value) && tag().as_deref() == Some(expected) {
        return Ok(());
    }
    let found = match value.js_typeof().dyn_into::<JsString>() {
        Ok(found) if !value.is_object() => String::from(found),
        _ => tag().unwrap_or_else(|| "an object".to_owned()),
    };
    Err(Thrown::new(ErrorKind::InvalidInput, format!("{name}: expected a {expected}, not {found}")))
}
