//! One block of a transformer's encoder.

use std::cell::RefCell;
use std::fmt;

use crate::attention::Attention;
use crate::isa::{Isa, Loops};
use crate::linear::{self, Linear};
use crate::math::Activation;
use crate::memory::Aligned;
use crate::team::{self, Team};

/// The numbers that a thread keeps from run to run: 64 MiB, enough for two thousand tokens.
const MOST_KEPT: usize = 16 << 20;

/// The fewest tokens that are worth a thread of their own: with less, reading the weights takes most of the time.
const LEAST_SHARE: usize = 16;

/// Where a block normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormPlacement {
    /// Before attention and before the two products, as ViT and CLIP do.
    Before,
    /// After each sum with what went in, as BERT does.
    After,
}

/// A product by weights and a sum with a bias.
#[derive(Clone, Copy, Debug)]
pub struct LinearWeights<'a> {
    /// `(inputs, outputs)`, an input's numbers one after the other.
    pub weight: &'a [f32],
    /// One number for each output.
    pub bias: &'a [f32],
}

/// Layer normalisation's scale, shift and epsilon.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// The scale: one number for each feature.
    pub gamma: &'a [f32],
    /// The shift: one number for each feature.
    pub beta: &'a [f32],
    /// What is added to the variance.
    pub epsilon: f32,
}

/// What the products by weights of a block are computed in. All else is in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `f32`.
    #[default]
    Fp32,
    /// Numbers of 16 bits, of which eight are an `f32`'s exponent; sums in `f32`. With AVX-512 BF16 twice as many are
    /// multiplied at once, with AMX more; elsewhere it takes the time of `f32`.
    Bf16,
    /// Integers of eight bits, with a scale for each output of a product and a range for each token; sums in
    /// 32 bits. A token's range is its own, so what a text gives does not depend on its neighbours.
    Int8,
}

/// What a block is made of. `hidden` is the length of a token's vector, and so that of `norm_1.gamma`.
#[derive(Clone, Copy, Debug)]
pub struct BlockWeights<'a> {
    /// Of attention; has to divide `hidden`.
    pub heads: usize,
    /// What scores are multiplied by before softmax, usually 1 / sqrt(hidden / heads).
    pub scale: f32,
    /// Queries, keys and values side by side: `(hidden, 3 * hidden)`.
    pub qkv: LinearWeights<'a>,
    /// Of attention: `(hidden, hidden)`.
    pub output: LinearWeights<'a>,
    /// The first of the two products, `(hidden, intermediate)`, before the activation.
    pub up: LinearWeights<'a>,
    /// What is between the two.
    pub activation: Activation,
    /// The second, `(intermediate, hidden)`.
    pub down: LinearWeights<'a>,
    /// Where the two normalisations are.
    pub placement: NormPlacement,
    /// That of attention.
    pub norm_1: NormWeights<'a>,
    /// That of the two products.
    pub norm_2: NormWeights<'a>,
}

impl BlockWeights<'_> {
    /// The numbers that the weights take once they are packed for an instruction set; none if those are more than there
    /// can be, or the machine does not have it.
    pub fn packed_len(&self, isa: Isa, precision: Precision) -> Option<usize> {
        let (multiple, width) = linear::padding(isa, precision)?;
        [self.qkv, self.output, self.up, self.down].into_iter().try_fold(0_usize, |sum, linear| {
            let outputs = linear.bias.len();
            let inputs = linear.weight.len() / outputs.max(1);
            let inputs = inputs.checked_next_multiple_of(multiple)?;
            sum.checked_add(outputs.checked_next_multiple_of(width)?.checked_mul(inputs)?)
        })
    }
}

/// Weights that do not fit each other, or an instruction set that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockError(pub(crate) String);

impl BlockError {
    pub(crate) fn no(isa: Isa) -> Self {
        BlockError(format!("this machine has no {}", isa.name()))
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BlockError {}

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
            self.project(tokens, normed, qkv, inner);
            let mut first = 0;
            for n in lengths {
                let qkv = &qkv[first * 3 * hidden..(first + n) * 3 * hidden];
                let to = &mut normed[first * hidden..(first + n) * hidden];
                self.attention.run(qkv, 0, mask, inner, to);
                first += n;
            }
            self.finish(tokens, Scratch { normed, sums, wide, inner }, output);
        });
    }

    /// Runs one text or image as [`run`](Self::run) does, bit for bit, by the threads of a team: each takes some of the
    /// tokens. A short text is not worth sharing.
    ///
    /// # Panics
    ///
    /// If a length is not as said.
    pub fn run_by(&self, team: &dyn Team, tokens: &[f32], output: &mut [f32]) {
        let hidden = self.hidden;
        let n = tokens.len() / hidden;
        let parts = team.size().min(n / LEAST_SHARE);
        if parts < 2 {
            return self.run(tokens, None, output);
        }
        self.check(tokens, n, output);
        let share_of = n.div_ceil(parts);
        let of = |row: usize| share_of.checked_mul(row);
        let (Some(share), Some(qkv_share)) = (of(hidden), of(3 * hidden)) else {
            return self.run(tokens, None, output);
        };
        // Taken out of its cell: a thread that waits for the others may be given other work of this kind.
        let mut shared = SHARED.take();
        let qkv = &mut shared.at_least(n * 3 * hidden)[..n * 3 * hidden];
        let parts = tokens.chunks(share).zip(qkv.chunks_mut(qkv_share));
        team::share(team, parts, |(tokens, qkv)| {
            self.with_scratch(tokens.len() / hidden, Some(0), |scratch| {
                self.project(tokens, scratch.normed, qkv, scratch.inner);
            });
        });
        let qkv = &*qkv;
        let parts = tokens.chunks(share).zip(output.chunks_mut(share)).enumerate();
        team::share(team, parts, |(i, (tokens, output))| {
            let queries = tokens.len() / hidden;
            let attention = self.attention.scratch(n, queries, false);
            self.with_scratch(queries, attention, |Scratch { normed, sums, wide, inner }| {
                self.attention.run(qkv, i * share_of, None, inner, normed);
                self.finish(tokens, Scratch { normed, sums, wide, inner }, output);
            });
        });
        shared.shrink_above(MOST_KEPT);
        SHARED.set(shared);
    }

    fn check(&self, tokens: &[f32], n: usize, output: &[f32]) {
        assert_eq!(tokens.len(), n * self.hidden, "tokens of {} numbers each", self.hidden);
        assert_eq!(output.len(), tokens.len(), "as many numbers come out as go in");
    }

    /// Queries, keys and values of tokens.
    fn project(&self, tokens: &[f32], normed: &mut [f32], qkv: &mut [f32], inner: &mut [f32]) {
        let n = tokens.len() / self.hidden;
        let attended = match self.placement {
            NormPlacement::Before => {
                self.normalize(&self.norm_1, tokens, normed);
                &*normed
            }
            NormPlacement::After => tokens,
        };
        self.qkv.run(n, attended, None, qkv, inner);
    }

    /// What comes behind attention, whose result is in `normed`.
    fn finish(&self, tokens: &[f32], scratch: Scratch<'_>, output: &mut [f32]) {
        let Scratch { normed, sums, wide, inner } = scratch;
        let n = tokens.len() / self.hidden;
        let before = self.placement == NormPlacement::Before;
        self.output.run(n, normed, None, sums, inner);
        self.add(tokens, sums);

        if before {
            self.normalize(&self.norm_2, sums, normed);
            self.up.run(n, normed, Some(self.activation), wide, inner);
        } else {
            self.normalize_in_place(&self.norm_1, sums);
            self.up.run(n, sums, Some(self.activation), wide, inner);
        }
        self.down.run(n, wide, None, output, inner);
        self.add(sums, output);
        if !before {
            self.normalize_in_place(&self.norm_2, output);
        }
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
            self.normalize_row(norm, row.as_ptr(), row.as_mut_ptr());
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
    /// The queries, keys and values of a text that several threads work on.
    static SHARED: RefCell<Aligned> = RefCell::default();
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
