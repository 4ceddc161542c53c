//! The inner loops of isovec: whole blocks of a transformer's encoder, and a matrix product for tract in
//! WebAssembly.
//!
//! The only crate of isovec with unsafe code; its face is safe.
//!
//! - [`Block`] runs one block of an encoder on the tokens of one text or the patches of one image. It exists for
//!   each [`Isa`], of which the fastest that the machine has is chosen when a model is loaded. Loops are written
//!   once, over registers of any width, and compiled for each instruction set.
//! - [`enable`] makes a product of ours known to tract, for what is not in such blocks. It is compiled on every
//!   platform, with arrays in the place of SIMD registers, so that the tests of any machine hold
//!   it against tract's plain implementation.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
mod encoder;
mod isa;
mod lanes;
mod linear;
mod math;
mod matmul;
mod memory;
mod product;
mod quantized;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod register;
mod rows;
mod simd;
mod strassen;
mod team;

pub use encoder::{
    Block, BlockError, BlockWeights, LinearWeights, NormPlacement, NormWeights, Precision,
};
pub use isa::Isa;
pub use math::Activation;
pub use matmul::wasm_f32_8x4;
pub use memory::read_floats;
pub use quantized::restore;
pub use team::{Alone, Team};

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
