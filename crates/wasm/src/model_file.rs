//! The files that a model is made of, while JavaScript may have their sha256 computed.

use std::io;

use isovec_core::{ErrorKind, HashedBytes, ModelFile, ReadAt};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown};
use crate::memory;

/// A file in JavaScript's memory: what is made of it needs all of this module's.
struct InJavaScript(Uint8Array);

impl ReadAt for InJavaScript {
    fn size(&self) -> usize {
        self.0.length() as usize
    }

    fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()> {
        let end = offset.checked_add(into.len()).filter(|end| *end <= self.size());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0.subarray(offset as u32, end as u32).copy_to(into);
        Ok(())
    }
}

/// An ONNX file, and whether its sha256 is not known yet. It must stay as it is until the model is made, which the same
/// call does.
pub(crate) fn model(bytes: &JsValue, sha256: Option<String>) -> Result<(ModelFile<'static>, bool)> {
    let file = InJavaScript(memory::array("model", bytes)?);
    memory::make_room(file.size());
    let is_pending = sha256.is_none();
    let sha256 = sha256.unwrap_or_else(|| "0".repeat(64));
    Ok((ModelFile::read_at(file, sha256)?, is_pending))
}

/// A copy of a tokenizer's file, with the sha256 that the platform computed, or computed here.
pub(crate) fn tokenizer(bytes: &JsValue, sha256: Option<String>) -> Result<HashedBytes<'static>> {
    let bytes = memory::bytes("tokenizer", bytes)?;
    Ok(match sha256 {
        Some(sha256) => HashedBytes::with_sha256(bytes, sha256)?,
        None => bytes.into(),
    })
}

/// What a model says that is asked for its fingerprint too early.
pub(crate) fn pending() -> Thrown {
    Thrown::new(ErrorKind::InvalidConfig, "fingerprint: setModelSha256 was not called yet")
}
