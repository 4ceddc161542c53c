//! One block of a transformer's encoder.

mod shared;
mod weights;

use std::cell::RefCell;
use std::fmt;

use crate::attention::Attention;
use crate::isa::{Isa, Loops};
use crate::linear::Linear;
use crate::math::Activation;
use crate::memory::Aligned;

pub use self::weights::{
    BlockError, BlockWeights, LinearWeights, NormPlacement, NormWeights, Precision,
};

/// The numbers that a thread keeps from run to run: 64 MiB, enough for two thousand tokens.
const MOST_KEPT: usize = 16 << 20;

/// One block of a transformer's encoder: attention over all tokens, and two products for each token, each
/// with its sum and its layer normalisation.
///
/// ```
/// use isovec_kernels::{
///     Activation, Block, BlockWeights, Isa, LinearWeights, NormPlacement, NormWeights, Precision,
/// };
///
/// // A block whose products are all zero adds nothing: before its last normalisation, that is.
/// let (hidden, intermediate) = (8, 16);
/// let zeros = vec![0.0; 3 * hidden * intermediate];
/// let linear = |inputs: usize, outputs: usize| LinearWeights {
///     weight: &zeros[..inputs * outputs],
///     bias: &zeros[..outputs],
/// };
/// let norm = NormWeights { gamma: &[1.0; 8], beta: &[0.0; 8], epsilon: 1e-5 };
/// let weights = BlockWeights {
///     heads: 2,
///     scale: 0.5,
///     qkv: linear(hidden, 3 * hidden),
///     output: linear(hidden, hidden),
///     up: linear(hidden, intermediate),
///     activation: Activation::Gelu,
///     down: linear(intermediate, hidden),
///     placement: NormPlacement::Before,
///     norm_1: norm,
///     norm_2: norm,
/// };
/// let block = Block::new(&weights, Isa::best(), Precision::Fp32)?;
/// let tokens: Vec<f32> = (0..3 * hidden).map(|i| i as f32).collect();
/// let mut output = vec![0.0; tokens.len()];
/// block.run(&tokens, None, &mut output);
/// assert_eq!(output, tokens);
/// # Ok::<(), isovec_kernels::BlockError>(())
/// ```
pub struct Block {
    isa: Isa,
    precision: Precision,
    loops: &'static Loops,
    hidden: usize,
    qkv: Linear,
    attention: Attention,
    output: Linear,
    up: Linear,
    activation: Activation,
    down: Linear,
    placement: NormPlacement,
    norm_1: Norm,
    norm_2: Norm,
}

/// What a run needs beside its input and output.
struct Scratch<'a> {
    /// `(tokens, hidden)`, and so are `sums`.
    normed: &'a mut [f32],
    sums: &'a mut [f32],
    /// `(tokens, 3 * hidden)` or `(tokens, intermediate)`, by turns.
    wide: &'a mut [f32],
    /// Of attention, or of a product.
    inner: &'a mut [f32],
}

struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl Block {
    /// Packs the weights for an instruction set.
    ///
    /// # Errors
    ///
    /// If this machine does not have it, or a length is not what the others ask for.
    pub fn new(
        weights: &BlockWeights<'_>,
        isa: Isa,
        precision: Precision,
    ) -> Result<Self, BlockError> {
        let loops = isa.loops().ok_or_else(|| BlockError::no(isa))?;
        let hidden = weights.norm_1.gamma.len();
        let intermediate = weights.up.bias.len();
        if hidden == 0 || weights.heads == 0 || !hidden.is_multiple_of(weights.heads) {
            let heads = weights.heads;
            return Err(BlockError(format!("{hidden} features do not split into {heads} heads")));
        }
        let linear = |name: &str, of: &LinearWeights<'_>, k, n| {
            Linear::new((isa, precision), name, of, k, n)
        };
        Ok(Block {
            isa,
            precision,
            loops,
            hidden,
            qkv: linear("qkv", &weights.qkv, hidden, 3 * hidden)?,
            attention: Attention { loops, heads: weights.heads, hidden, scale: weights.scale },
            output: linear("output", &weights.output, hidden, hidden)?,
            up: linear("up", &weights.up, hidden, intermediate)?,
            activation: weights.activation,
            down: linear("down", &weights.down, intermediate, hidden)?,
            placement: weights.placement,
            norm_1: norm("norm_1", &weights.norm_1, hidden)?,
            norm_2: norm("norm_2", &weights.norm_2, hidden)?,
        })
    }

    /// The instruction set that it was packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The precision of its products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The length of a token's vector.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Runs the tokens of one text, or the patches of one image: `(tokens, hidden)` in and out. `mask` of
    /// `(tokens, tokens)` is added to the scores of each head, a query's row first.
    ///
    /// A text's result depends on nothing else, and is the same to the last bit on each run.
    ///
    /// # Panics
    ///
    /// If a length is not as said.
    pub fn run(&self, tokens: &[f32], mask: Option<&[f32]>, output: &mut [f32]) {
        let n = tokens.len() / self.hidden;
        assert!(mask.is_none_or(|mask| mask.len() == n * n), "a mask of {n} x {n} numbers");
        self.run_all(tokens, &[n], mask, output);
    }

    /// Runs several texts at once, whose tokens lie one after the other: the weights are then read once for all of
    /// them. Each attends to itself alone, and comes out as from [`run`](Self::run), bit for bit.
    ///
    /// # Panics
    ///
    /// If `lengths` do not add up to the tokens, or a length is not as said.
    pub fn run_each(&self, tokens: &[f32], lengths: &[usize], output: &mut [f32]) {
        self.run_all(tokens, lengths, None, output);
    }

    fn run_all(&self, tokens: &[f32], lengths: &[usize], mask: Option<&[f32]>, output: &mut [f32]) {
        let hidden = self.hidden;
        let sum = lengths.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
        let n = tokens.len() / hidden;
        assert_eq!(sum, Some(n), "lengths that add up to the tokens");
        self.check(tokens, n, output);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let attention = self.attention.scratch(longest, longest, mask.is_some());
        self.with_scratch(n, attention, |Scratch { normed, sums, wide, inner }| {
            let qkv = &mut wide[..n * 3 * hidden];
            self.project(tokens, normed, qkv, &mut alone(n, inner));
            let mut first = 0;
            for length in lengths {
                let end = first + length;
                let qkv = &qkv[first * 3 * hidden..end * 3 * hidden];
                let to = &mut normed[first * hidden..end * hidden];
                self.attention.run(qkv, 0, mask, inner, to);
                first = end;
            }
            self.finish(tokens, [normed, sums, wide], output, &mut alone(n, inner));
        });
    }

    fn check(&self, tokens: &[f32], n: usize, output: &[f32]) {
        assert_eq!(tokens.len(), n * self.hidden, "tokens of {} numbers each", self.hidden);
        assert_eq!(output.len(), tokens.len(), "as many numbers come out as go in");
    }

    /// Queries, keys and values of tokens.
    fn project(
        &self,
        tokens: &[f32],
        normed: &mut [f32],
        qkv: &mut [f32],
        product: &mut impl FnMut(&Linear, &[f32], Option<Activation>, &mut [f32]),
    ) {
        let attended = match self.placement {
            NormPlacement::Before => {
                self.normalize(&self.norm_1, tokens, normed);
                &*normed
            }
            NormPlacement::After => tokens,
        };
        product(&self.qkv, attended, None, qkv);
    }

    /// What comes behind attention, whose result is in `normed`.
    fn finish(
        &self,
        tokens: &[f32],
        [normed, sums, wide]: [&mut [f32]; 3],
        output: &mut [f32],
        product: &mut impl FnMut(&Linear, &[f32], Option<Activation>, &mut [f32]),
    ) {
        let before = self.placement == NormPlacement::Before;
        product(&self.output, normed, None, sums);
        self.add(tokens, sums);

        if before {
            self.normalize(&self.norm_2, sums, normed);
            product(&self.up, normed, Some(self.activation), wide);
        } else {
            self.normalize_in_place(&self.norm_1, sums);
            product(&self.up, sums, Some(self.activation), wide);
        }
        product(&self.down, wide, None, output);
        self.add(sums, output);
        if !before {
            self.normalize_in_place(&self.norm_2, output);
        }
    }

    /// How many numbers `n` tokens of so many are.
    #[expect(clippy::panic, reason = "as below")]
    fn room(&self, n: usize, each: usize) -> usize {
        let Some(room) = n.checked_mul(each) else {
            panic!("{n} tokens need more memory than there can be");
        };
        room
    }

    /// Room for `n` tokens, and for attention to take turns with products.
    #[expect(clippy::panic, reason = "as the callers say, and as the other checks do")]
    fn with_scratch(&self, n: usize, attention: Option<usize>, work: impl FnOnce(Scratch<'_>)) {
        let products = [&self.qkv, &self.output, &self.up, &self.down];
        let product = products
            .map(|product| product.scratch(n))
            .into_iter()
            .try_fold(0, |a, b| b.map(|b| a.max(b)));
        let wide = n.checked_mul((3 * self.hidden).max(self.up.outputs()));
        let (Some(attention), Some(product), Some(wide)) = (attention, product, wide) else {
            panic!("{n} tokens need more memory than there can be");
        };
        let sizes = [n * self.hidden, n * self.hidden, wide, attention.max(product)];
        SCRATCH.with_borrow_mut(|scratch| {
            let [normed, sums, wide, inner] = parts(scratch, sizes);
            work(Scratch { normed, sums, wide, inner });
            scratch.shrink_above(MOST_KEPT);
        });
    }

    /// `to += other`.
    fn add(&self, other: &[f32], to: &mut [f32]) {
        let n = other.len().min(to.len());
        let to = to.as_mut_ptr();
        // SAFETY: both have so many numbers.
        unsafe { (self.loops.add)(to, other.as_ptr(), to, n) }
    }

    fn normalize(&self, norm: &Norm, tokens: &[f32], to: &mut [f32]) {
        let rows = tokens.chunks_exact(self.hidden).zip(to.chunks_exact_mut(self.hidden));
        for (row, to) in rows {
            self.normalize_row(norm, row.as_ptr(), to.as_mut_ptr());
        }
    }

    fn normalize_in_place(&self, norm: &Norm, tokens: &mut [f32]) {
        for row in tokens.chunks_exact_mut(self.hidden) {
            // One pointer for both: what is borrowed anew for writing ends what was borrowed for reading.
            let row = row.as_mut_ptr();
            self.normalize_row(norm, row, row);
        }
    }

    fn normalize_row(&self, norm: &Norm, row: *const f32, to: *mut f32) {
        let affine = (norm.gamma.as_ptr(), norm.beta.as_ptr());
        // SAFETY: private, and called with rows of `hidden` numbers; the norm's were checked.
        unsafe { (self.loops.normalize)(to, row, affine, norm.epsilon, self.hidden) }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("isa", &self.isa)
            .field("precision", &self.precision)
            .field("hidden", &self.hidden)
            .field("heads", &self.attention.heads)
            .field("intermediate", &self.up.outputs())
            .field("activation", &self.activation)
            .field("placement", &self.placement)
            .finish()
    }
}

fn norm(name: &str, of: &NormWeights<'_>, hidden: usize) -> Result<Norm, BlockError> {
    if of.gamma.len() != hidden || of.beta.len() != hidden {
        let (gamma, beta) = (of.gamma.len(), of.beta.len());
        return Err(BlockError(format!(
            "{name} has {gamma} scales and {beta} shifts for {hidden} features"
        )));
    }
    Ok(Norm { gamma: of.gamma.to_vec(), beta: of.beta.to_vec(), epsilon: of.epsilon })
}

thread_local! {
    /// What a run needs beside its input and output. It stays, since taking fresh memory from the system costs
    /// more than some of the products.
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// Products of `n` rows by the thread that calls.
fn alone(
    n: usize,
    scratch: &mut [f32],
) -> impl FnMut(&Linear, &[f32], Option<Activation>, &mut [f32]) {
    move |of, rows, activation, to| of.run(n, rows, activation, to, scratch)
}

/// Slices of so many numbers, each from the start of a cache line on.
fn parts<const N: usize>(scratch: &mut Aligned, sizes: [usize; N]) -> [&mut [f32]; N] {
    let padded = sizes.map(|size| size.next_multiple_of(16));
    let mut rest = scratch.at_least(padded.iter().sum());
    let mut parts: [&mut [f32]; N] = std::array::from_fn(|_| &mut [][..]);
    for ((part, size), padded) in parts.iter_mut().zip(sizes).zip(padded) {
        let (taken, left) = std::mem::take(&mut rest).split_at_mut(padded);
        *part = &mut taken[..size];
        rest = left;
    }
    parts
}
