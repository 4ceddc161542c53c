//! What a model's products are computed in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What the products by weights of a model's encoder are computed in. It changes the vectors, and so the fingerprint.
///
/// ```
/// use isovec_core::{Precision, TextOptions};
///
/// let options = TextOptions { precision: Precision::Int8, ..Default::default() };
/// assert_eq!(options.precision.to_string(), "int8");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Numbers of 32 bits: the reference's vectors.
    #[default]
    Fp32,
    /// Numbers of 16 bits, of which eight are an `f32`'s exponent (bfloat16): weights are rounded as the model is loaded,
    /// tokens as they go into a product, and sums are in `f32`. On processors with AVX-512 BF16 or AMX it is faster than
    /// [`Fp32`](Precision::Fp32), with vectors that are nearly those of the reference (README has the figures);
    /// elsewhere it takes the same time, and is there for vectors of the same space. A vector does not depend on its
    /// neighbours. Between two instruction sets a number on the edge between two may be rounded to either. Only for
    /// models whose encoder is [recognised](crate::Execution::fused_blocks).
    Bf16,
    /// Integers of eight bits: faster, most of all on processors with VNNI or AMX, and vectors that are close to those of
    /// the reference (README has the figures). Weights have a scale for each output of a product, and each token has a
    /// range of its own, so that a vector still does not depend on its neighbours. Only for models whose encoder is
    /// [recognised](crate::Execution::fused_blocks).
    ///
    /// Weights are rounded as the model is loaded, from whatever precision its file has. Sums are exact, but what goes
    /// into them was rounded after operations in `f32`, whose last digits differ from one instruction set to
    /// another. So vectors of the same instruction set are the same, and those of two are no closer to each other than
    /// they are to the reference: for MiniLM, a cosine above 0.997.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::Fp32, Precision::Bf16, Precision::Int8];

    /// `fp32`, `bf16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        }
    }
}

impl From<Precision> for isovec_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => isovec_kernels::Precision::Fp32,
            Precision::Bf16 => isovec_kernels::Precision::Bf16,
            Precision::Int8 => isovec_kernels::Precision::Int8,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Precision::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let names = Precision::ALL.map(Precision::name).join(", ");
            Error::new(
                ErrorKind::InvalidConfig,
                format!("precision: {name:?}, expected one of {names}"),
            )
        })
    }
}
