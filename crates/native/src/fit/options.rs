//! What a caller may say about a fit, and hear while it runs.

use std::fmt;

use isovec_core::FusionWeights;

use crate::store::CancelToken;

/// How to fit. The defaults are good ones.
///
/// ```
/// use isovec::fit::{FitOptions, Regularization};
///
/// let options = FitOptions {
///     regularization: Regularization::Value(0.1),
///     progress: Some(&|stage| println!("{stage}")),
///     ..FitOptions::default()
/// };
/// # let _ = options;
/// ```
#[derive(Clone, Copy)]
pub struct FitOptions<'a> {
    /// The dimensions of a fused vector: even, and at most twice the fewer dimensions of the two
    /// inputs, which is the default: 768 for 384 and 512.
    pub dims: Option<usize>,
    /// How much text and image count where both are there.
    pub weights: FusionWeights,
    /// How much the covariances are pulled towards the identity.
    pub regularization: Regularization,
    /// The share of the pairs that is kept out of the fit to measure it, over 0 and up to 0.5.
    pub held_out: f64,
    /// Decides which pairs are held out.
    pub seed: u64,
    /// Called at the start of each stage and every now and then within it, on the caller's thread.
    pub progress: Option<&'a dyn Fn(FitStage)>,
    /// Stops the fit when it is cancelled.
    pub cancel: Option<&'a CancelToken>,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        FitOptions {
            dims: None,
            weights: FusionWeights::default(),
            regularization: Regularization::Auto,
            held_out: 0.2,
            seed: 0,
            progress: None,
            cancel: None,
        }
    }
}

impl fmt::Debug for FitOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FitOptions")
            .field("dims", &self.dims)
            .field("weights", &self.weights)
            .field("regularization", &self.regularization)
            .field("held_out", &self.held_out)
            .field("seed", &self.seed)
            .field("progress", &self.progress.map(|_| "Fn"))
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// How much the two covariance matrices are pulled towards the identity before they are inverted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Regularization {
    /// The value of [`GRID`](Self::GRID) with the best recall on a fifth of the pairs that are not
    /// held out (at most 2,000), when fitted on the other four; of equal ones the strongest. The fit
    /// itself then uses all of them.
    #[default]
    Auto,
    /// This share, over 0 and up to 1, of the mean variance is added to every variance.
    Value(f64),
}

impl Regularization {
    /// What [`Auto`](Self::Auto) tries, strongest first.
    pub const GRID: [f64; 7] = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
}

/// What a fit is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FitStage {
    /// The covariances are being summed up: so many pairs of so many are in.
    Covariances {
        /// The pairs that are in.
        done: usize,
        /// The pairs there are.
        total: usize,
    },
    /// A regularisation is being tried, the `index`th of `total`, counted from 1.
    Regularization {
        /// Which one.
        index: usize,
        /// How many there are.
        total: usize,
    },
    /// The map is being computed.
    Solving,
    /// The held-out pairs are being measured.
    Measuring,
}

impl fmt::Display for FitStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FitStage::Covariances { done, total } => {
                write!(f, "covariances, {done} of {total} pairs")
            }
            FitStage::Regularization { index, total } => {
                write!(f, "regularisation {index} of {total}")
            }
            FitStage::Solving => f.write_str("solving"),
            FitStage::Measuring => f.write_str("measuring"),
        }
    }
}
