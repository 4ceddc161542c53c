//! Large inputs from JavaScript, most of which are copied into the module's memory. Where there is not enough of it, an
//! error.

use isovec_core::ErrorKind;
use js_sys::{Array, ArrayBuffer, Float32Array, Function, JsString, Reflect, Symbol, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};

/// The bytes of a `Uint8Array`. A `Buffer` of Node is one.
pub(crate) fn bytes(name: &str, value: &JsValue) -> Result<Vec<u8>> {
    let array = array(name, value)?;
    check_room::<u8>(array.length() as usize)?;
    Ok(array.to_vec())
}

/// The bytes of a `Uint8Array` where they are, in one of no other class, whose methods are known.
pub(crate) fn array(name: &str, value: &JsValue) -> Result<Uint8Array> {
    check(name, value, "Uint8Array")?;
    let array: &Uint8Array = value.unchecked_ref();
    let (start, length) = (array.byte_offset(), array.length());
    // Those are cut to 32 bits.
    for (key, cut) in [("byteOffset", start), ("byteLength", length)] {
        let whole = Reflect::get(value, &key.into()).ok().and_then(|number| number.as_f64());
        if whole != Some(f64::from(cut)) {
            let message = format!("{name}: its {key} is over 4 GiB");
            return Err(Thrown::new(ErrorKind::TooLarge, message));
        }
    }
    Ok(Uint8Array::new_with_byte_offset_and_length(&array.buffer(), start, length))
}

/// Has the memory grow, if it can, for something of about this size that is made in pieces. It takes milliseconds once
/// there is much in it, and would come with each.
pub(crate) fn make_room(size: usize) {
    let _ = Vec::<u8>::new().try_reserve_exact(size);
}

/// The numbers of a `Float32Array`.
pub(crate) fn floats(name: &str, value: &JsValue) -> Result<Vec<f32>> {
    check(name, value, "Float32Array")?;
    let array: &Float32Array = value.unchecked_ref();
    check_room::<f32>(array.length() as usize)?;
    Ok(array.to_vec())
}

/// The numbers of a `Float32Array`, unless there is none.
pub(crate) fn optional_floats(name: &str, value: &JsValue) -> Result<Option<Vec<f32>>> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    floats(name, value).map(Some)
}

/// Checks that there is memory for `length` numbers. What is free stays so until it is taken right after,
/// by a copy that js-sys makes without filling the memory first, and that ends the instance on failure.
fn check_room<T>(length: usize) -> Result<()> {
    Vec::<T>::new().try_reserve_exact(length).map_err(|_| {
        Thrown::new(
            ErrorKind::OutOfMemory,
            format!("there is no memory for {} bytes more", length * size_of::<T>()),
        )
    })
}

/// Checks that `value` is an array of this type. Asked by its tag, since `instanceof` refuses arrays that
/// were made in another frame or context, such as those of test runners.
fn check(name: &str, value: &JsValue, expected: &str) -> Result<()> {
    let tag = || Reflect::get(value, &Symbol::to_string_tag()).ok()?.as_string();
    if ArrayBuffer::is_view(value) && tag().as_deref() == Some(expected) {
        return check_attached(name, value);
    }
    let found = match value.js_typeof().dyn_into::<JsString>() {
        Ok(found) if !value.is_object() => String::from(found),
        _ => tag().unwrap_or_else(|| "an object".to_owned()),
    };
    Err(Thrown::new(ErrorKind::InvalidInput, format!("{name}: expected a {expected}, not {found}")))
}

/// Checks that the array still has its memory: once that was sent to a worker, a copy throws, which would
/// end the instance.
fn check_attached(name: &str, array: &JsValue) -> Result<()> {
    let is_empty = Reflect::get(array, &"length".into()).is_ok_and(|length| length == 0);
    // Its methods throw, which is the one sign of it that all engines give.
    let works = || {
        let at = Reflect::get(array, &"at".into())?.dyn_into::<Function>()?;
        Reflect::apply(&at, array, &Array::of1(&0.into()))
    };
    if is_empty && works().is_err() {
        return Err(Thrown::new(
            ErrorKind::InvalidInput,
            format!("{name}: its memory was transferred elsewhere"),
        ));
    }
    Ok(())
}
