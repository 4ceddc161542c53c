//! `isovec-core` for JavaScript: the WebAssembly inside of the npm package `isovec`.
//!
//! A thin adapter: convert what JavaScript gives, call the core, convert the result. The npm package
//! (`crates/wasm/js`) wraps it in the interface that people use.
//!
//! - Every error is thrown as an `Error` with the name `IsovecError` and the property `code`, which is
//!   the core's `ErrorKind` in snake case.
//! - What is returned is a copy: nothing points into the memory of the module.
//! - Large inputs are copied in by us and not by wasm-bindgen, whose copy ends the instance where the
//!   memory does not suffice; ours is an error of the kind `out_of_memory`.
//! - A panic is a trap, which ends the instance; `lastPanic` then says what it was.
//!
//! On any other target than wasm32 the crate is empty.

#![cfg(target_arch = "wasm32")]

pub mod clip;
pub mod convert;
pub mod error;
pub mod fusion;
pub mod image;
pub mod index;
pub mod info;
mod memory;
mod model_file;
mod options;
pub mod panic;
pub mod text;
pub mod vector;
