//! Inner loops for tract, where its own leave speed on the table.
//!
//! The only crate of isovec with unsafe code. Its face is safe: [`enable`] makes the kernels known to
//! tract, which from then on chooses them by itself.
//!
//! There is one kernel today, an `f32` matrix product for WebAssembly: [`wasm_f32_8x4`]. It is compiled
//! on every platform, with arrays in the place of SIMD registers, so that the tests of any machine hold
//! it against tract's plain implementation.

mod lanes;
mod matmul;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod register;

pub use matmul::wasm_f32_8x4;

/// Makes tract use the kernels of this crate that suit the platform, if there are any. Calling it again
/// does nothing.
///
/// ```
/// isovec_kernels::enable();
/// ```
pub fn enable() {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    register::keep();
}
