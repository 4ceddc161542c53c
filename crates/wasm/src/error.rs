//! Errors of the core as errors of JavaScript.

use std::error::Error as _;

use isovec_core::{Error, ErrorKind};
use wasm_bindgen::JsValue;

use crate::convert::set;

/// What a call from JavaScript gives.
pub type Result<T, E = Thrown> = std::result::Result<T, E>;

/// An error on its way to JavaScript.
#[derive(Debug)]
pub struct Thrown(Error);

impl Thrown {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Thrown(Error::new(kind, message))
    }
}

impl From<Error> for Thrown {
    fn from(error: Error) -> Self {
        Thrown(error)
    }
}

impl From<Thrown> for JsValue {
    fn from(Thrown(error): Thrown) -> Self {
        let thrown = js_sys::Error::new(&error.to_string());
        thrown.set_name("IsovecError");
        set(&thrown, "code", error.kind().as_str());
        if let Some(source) = error.source() {
            set(&thrown, "cause", js_sys::Error::new(&source.to_string()));
        }
        thrown.into()
    }
}
