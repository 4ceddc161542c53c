//! How tract finds the kernel.

use tract_data::prelude::DatumType;
use tract_linalg::isa::{Arch, IsaSet};
use tract_linalg::mmm::{Query, Suitable};
use tract_linalg::mmm_routines::MmmRoutine;
use tract_linalg::mmm_tiers::MmmTier;

use crate::matmul::wasm_f32_8x4;

inventory::submit! { MmmRoutine { make: || wasm_f32_8x4().mmm() } }

// tract's own opinions on WebAssembly have the precedence 1.
inventory::submit! {
    MmmTier {
        arch: Some(Arch::Wasm32Simd128),
        precedence: 2,
        name: "isovec-wasm-simd128",
        applies: |_| true,
        preferred,
    }
}

/// This kernel for all products of `f32`, but those with a single column, for which tract has others.
fn preferred(
    _: &IsaSet,
    accumulator: DatumType,
    query: &Query,
    _: &[Suitable],
) -> Option<&'static str> {
    (accumulator == DatumType::F32 && query.n != Some(1)).then(|| wasm_f32_8x4().name.as_str())
}

/// Does nothing, and must be called: the linker drops a file that nobody refers to, and with it what
/// was submitted above.
pub(crate) fn keep() {
    std::hint::black_box(preferred as *const ());
}
