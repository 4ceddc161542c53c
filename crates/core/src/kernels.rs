//! Which loops a model runs on.

use std::fmt;
use std::str::FromStr;

use isovec_kernels::Isa;

use crate::{Error, ErrorKind, Precision, Result};

/// Which loops run the blocks of a model's encoder.
///
/// They differ in speed, and in the last digits of a vector (within the promised distance from the reference), not
/// in anything else: the fingerprint is the same. There is no reason to choose but to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernels {
    /// The fastest that the machine has: on x86-64, AArch64 and in WebAssembly the best of ours, elsewhere tract's, which
    /// have no [`Bf16`](Precision::Bf16) and no [`Int8`](Precision::Int8): for those, ours.
    #[default]
    Best,
    /// Those of tract: the graph is run as it is, operator by operator.
    Tract,
    /// Ours without any instruction that the program was not compiled for; WebAssembly's SIMD there.
    Plain,
    /// Ours for NEON, on AArch64.
    Neon,
    /// Ours for AVX2 and FMA.
    Avx2,
    /// Ours for AVX-512.
    Avx512,
    /// Ours for AVX-512, but for the products of [`Bf16`](Precision::Bf16) and [`Int8`](Precision::Int8), which run on AMX.
    Amx,
}

impl Kernels {
    /// All of them.
    pub const ALL: [Kernels; 7] = [
        Kernels::Best,
        Kernels::Tract,
        Kernels::Plain,
        Kernels::Neon,
        Kernels::Avx2,
        Kernels::Avx512,
        Kernels::Amx,
    ];

    /// `best`, `tract`, `plain`, `neon`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Best => "best",
            Kernels::Tract => "tract",
            Kernels::Plain => "plain",
            Kernels::Neon => "neon",
            Kernels::Avx2 => "avx2",
            Kernels::Avx512 => "avx512",
            Kernels::Amx => "amx",
        }
    }

    /// Whether this machine can run them.
    pub fn is_available(self) -> bool {
        self.isa(Precision::Fp32).is_ok()
    }

    /// The instruction set of our own loops; none for tract's.
    pub(crate) fn isa(self, precision: Precision) -> Result<Option<Isa>> {
        // Elsewhere ours have no registers of their own yet, and tract's have.
        let ours_are_best = cfg!(any(target_arch = "x86_64", target_arch = "wasm32"))
            || Isa::Neon.is_available()
            || precision != Precision::Fp32;
        let isa = match self {
            Kernels::Best if ours_are_best => Isa::best(),
            Kernels::Best => return Ok(None),
            Kernels::Tract if precision != Precision::Fp32 => {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("kernels: those of tract have no {precision}"),
                ));
            }
            Kernels::Tract => return Ok(None),
            Kernels::Plain => Isa::Plain,
            Kernels::Neon => Isa::Neon,
            Kernels::Avx2 => Isa::Avx2,
            Kernels::Avx512 => Isa::Avx512,
            Kernels::Amx => Isa::Amx,
        };
        if !isa.is_available() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("kernels: this machine does not have {self}"),
            ));
        }
        Ok(Some(isa))
    }
}

impl From<Isa> for Kernels {
    fn from(isa: Isa) -> Self {
        match isa {
            Isa::Plain => Kernels::Plain,
            Isa::Neon => Kernels::Neon,
            Isa::Avx2 => Kernels::Avx2,
            Isa::Avx512 => Kernels::Avx512,
            Isa::Amx => Kernels::Amx,
        }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kernels {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Kernels::ALL.into_iter().find(|kernels| kernels.name() == name).ok_or_else(|| {
            let names = Kernels::ALL.map(Kernels::name).join(", ");
            Error::new(
                ErrorKind::InvalidConfig,
                format!("kernels: {name:?}, expected one of {names}"),
            )
        })
    }
}

/// What the engine made of a model's graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Execution {
    /// The blocks of the encoder that were recognised, each of which runs as one. Where there are none, as in models
    /// of half precision, the graph runs operator by operator.
    pub fused_blocks: usize,
    /// What runs those blocks: never [`Best`](Kernels::Best).
    pub kernels: Kernels,
    /// What their products are computed in.
    pub precision: Precision,
}
