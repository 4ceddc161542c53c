//! Blocks of an encoder on each instruction set, held against the same in `f64`, written as the formulas are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ops::Range;

use isovec_kernels::{
    Activation, Alone, Block, BlockWeights, Isa, LinearWeights, NormPlacement, NormWeights,
    Precision, Team,
};
use proptest::prelude::*;

/// A block's shape.
#[derive(Clone, Copy, Debug)]
struct Shape {
    tokens: usize,
    heads: usize,
    head_size: usize,
    intermediate: usize,
    activation: Activation,
    placement: NormPlacement,
    masked: bool,
}

/// Weights of a block, made up.
struct Weights {
    shape: Shape,
    qkv: (Vec<f32>, Vec<f32>),
    output: (Vec<f32>, Vec<f32>),
    up: (Vec<f32>, Vec<f32>),
    down: (Vec<f32>, Vec<f32>),
    norms: [(Vec<f32>, Vec<f32>); 2],
}

/// Numbers from -1 to 1 that depend on the seed alone (splitmix64).
fn numbers(seed: &mut u64, n: usize, scale: f32) -> Vec<f32> {
    let mut next = || {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = *seed;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..n).map(|_| next()).collect()
}

impl Weights {
    fn new(shape: Shape, seed: &mut u64) -> Self {
        let hidden = shape.hidden();
        let mut linear = |k: usize, n: usize| {
            let scale = (3.0 / k as f32).sqrt();
            (numbers(seed, k * n, scale), numbers(seed, n, 0.5))
        };
        let qkv = linear(hidden, 3 * hidden);
        let output = linear(hidden, hidden);
        let up = linear(hidden, shape.intermediate);
        let down = linear(shape.intermediate, hidden);
        let norms = [(); 2].map(|()| {
            let gamma = numbers(seed, hidden, 0.5).iter().map(|x| x + 1.0).collect();
            (gamma, numbers(seed, hidden, 0.5))
        });
        Weights { shape, qkv, output, up, down, norms }
    }

    fn block(&self, isa: Isa, precision: Precision) -> Block {
        let linear = |(weight, bias): &'_ (Vec<f32>, Vec<f32>)| (weight.clone(), bias.clone());
        let parts = [&self.qkv, &self.output, &self.up, &self.down].map(linear);
        let [qkv, output, up, down] =
            parts.each_ref().map(|(weight, bias)| LinearWeights { weight, bias });
        let [norm_1, norm_2] =
            self.norms.each_ref().map(|(gamma, beta)| NormWeights { gamma, beta, epsilon: 1e-5 });
        let weights = BlockWeights {
            heads: self.shape.heads,
            scale: self.shape.scale(),
            qkv,
            output,
            up,
            activation: self.shape.activation,
            down,
            placement: self.shape.placement,
            norm_1,
            norm_2,
        };
        Block::new(&weights, isa, precision).unwrap()
    }

    fn in_f64(&self, tokens: &[f32], mask: Option<&[f32]>) -> Vec<f64> {
        let hidden = self.shape.hidden();
        let n = self.shape.tokens;
        let x: Vec<f64> = tokens.iter().map(|&x| f64::from(x)).collect();
        let before = self.shape.placement == NormPlacement::Before;
        let attended = if before { norm(&x, &self.norms[0]) } else { x.clone() };
        let qkv = linear(&attended, hidden, &self.qkv);
        let at = |token: usize, part: usize, feature: usize| {
            qkv[token * 3 * hidden + part * hidden + feature]
        };
        let mut context = vec![0.0; n * hidden];
        for head in 0..self.shape.heads {
            let features = head * self.shape.head_size..(head + 1) * self.shape.head_size;
            for i in 0..n {
                let scores: Vec<f64> = (0..n)
                    .map(|j| {
                        let dot: f64 = features.clone().map(|f| at(i, 0, f) * at(j, 1, f)).sum();
                        let mask = mask.map_or(0.0, |mask| f64::from(mask[i * n + j]));
                        dot * f64::from(self.shape.scale()) + mask
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for f in features.clone() {
                    context[i * hidden + f] = (0..n).map(|j| weights[j] / sum * at(j, 2, f)).sum();
                }
            }
        }
        let plus = |a: &[f64], b: &[f64]| -> Vec<f64> {
            std::iter::zip(a, b).map(|(a, b)| a + b).collect()
        };
        let mut sums = plus(&x, &linear(&context, hidden, &self.output));
        if !before {
            sums = norm(&sums, &self.norms[0]);
        }
        let second = if before { norm(&sums, &self.norms[1]) } else { sums.clone() };
        let up: Vec<f64> = linear(&second, hidden, &self.up)
            .into_iter()
            .map(|x| activated(self.shape.activation, x))
            .collect();
        let out = plus(&sums, &linear(&up, self.shape.intermediate, &self.down));
        if before { out } else { norm(&out, &self.norms[1]) }
    }
}

impl Shape {
    fn hidden(&self) -> usize {
        self.heads * self.head_size
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_size as f32).sqrt()
    }
}

fn linear(rows: &[f64], k: usize, (weight, bias): &(Vec<f32>, Vec<f32>)) -> Vec<f64> {
    let n = bias.len();
    rows.chunks_exact(k)
        .flat_map(|row| {
            (0..n).map(move |j| {
                let products =
                    row.iter().enumerate().map(|(i, x)| x * f64::from(weight[i * n + j]));
                products.sum::<f64>() + f64::from(bias[j])
            })
        })
        .collect()
}

fn norm(rows: &[f64], (gamma, beta): &(Vec<f32>, Vec<f32>)) -> Vec<f64> {
    let n = gamma.len() as f64;
    rows.chunks_exact(gamma.len())
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / n;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let affine = std::iter::zip(gamma, beta);
            row.iter().zip(affine).map(move |(x, (gamma, beta))| {
                (x - mean) / (variance + 1e-5).sqrt() * f64::from(*gamma) + f64::from(*beta)
            })
        })
        .collect()
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Gelu => x / 2.0 * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        }
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let activation = prop_oneof![
        Just(Activation::Gelu),
        Just(Activation::GeluTanh),
        Just(Activation::QuickGelu)
    ];
    let placement = prop_oneof![Just(NormPlacement::Before), Just(NormPlacement::After)];
    (1..70_usize, 1..5_usize, 1..40_usize, 1..130_usize, activation, placement, any::<bool>())
        .prop_map(|(tokens, heads, head_size, intermediate, activation, placement, masked)| Shape {
            tokens,
            heads,
            head_size,
            intermediate,
            activation,
            placement,
            masked,
        })
        // Two features are +1 and -1 after a normalisation, which small errors turn around.
        .prop_filter("too few features to normalise", |shape| shape.hidden() > 7)
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

/// Every path that this machine has.
fn paths() -> impl Iterator<Item = (Isa, Precision)> {
    let precisions = [Precision::Fp32, Precision::Bf16, Precision::Int8];
    available().flat_map(move |isa| precisions.map(|precision| (isa, precision)))
}

/// Threads that end with each call.
struct Threads(usize);

impl Team for Threads {
    fn size(&self) -> usize {
        self.0
    }

    fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for part in 0..parts {
                scope.spawn(move || work(part));
            }
        });
    }
}

/// One that does every part twice but the last one, which it forgets.
struct Confused;

impl Team for Confused {
    fn size(&self) -> usize {
        3
    }

    fn each(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        for part in (0..parts - 1).chain(0..parts - 1).chain([parts, usize::MAX]) {
            work(part);
        }
    }
}

/// On every path, and however it is asked for.
fn is_what_its_formulas_say(shape: Shape, mut seed: u64) -> Result<(), TestCaseError> {
    let weights = Weights::new(shape, &mut seed);
    let tokens = numbers(&mut seed, shape.tokens * shape.hidden(), 2.0);
    // Some of the scores as the causal mask has them: as low as a number can be.
    let mask = shape.masked.then(|| {
        let numbers = numbers(&mut seed, shape.tokens * shape.tokens, 1.0);
        let low = |(i, x): (usize, f32)| {
            let above = i % shape.tokens > i / shape.tokens;
            if above { f32::MIN } else { x }
        };
        numbers.into_iter().enumerate().map(low).collect::<Vec<_>>()
    });
    let expected = weights.in_f64(&tokens, mask.as_deref());
    for (isa, precision) in paths() {
        let mut got = vec![0.0; tokens.len()];
        let block = weights.block(isa, precision);
        block.run(&tokens, mask.as_deref(), &mut got);
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let error = (f64::from(*got) - expected).abs();
            let close = precision != Precision::Fp32 || error < 2e-5 * expected.abs().max(1.0);
            prop_assert!(got.is_finite() && close, "{isa:?}, {i}: {got}, not {expected}");
        }
        let mut again = vec![1.0; tokens.len()];
        block.run(&tokens, mask.as_deref(), &mut again);
        prop_assert_eq!(&got, &again, "{:?}, {:?} twice", isa, precision);
        if mask.is_none() {
            // Beside a part of itself, and beside nothing, each text comes out as it does alone.
            let part = &tokens[..shape.tokens / 2 * shape.hidden()];
            let mut alone = vec![0.0; part.len()];
            block.run(part, None, &mut alone);
            let together = [part, &tokens[..]].concat();
            let mut each = vec![0.0; together.len()];
            block.run_each(&together, &[shape.tokens / 2, 0, shape.tokens], &mut each);
            prop_assert_eq!(&each, &[alone, got].concat(), "{:?}, {:?} together", isa, precision);
            let teams: [&dyn Team; 4] = [&Alone, &Threads(2), &Threads(7), &Confused];
            for team in teams {
                let mut shared = vec![1.0; tokens.len()];
                block.run_by(team, &tokens, &mut shared);
                prop_assert_eq!(&shared, &again, "{:?}, {:?} shared", isa, precision);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_is_what_its_formulas_say(shape in shapes(), seed in any::<u64>()) {
        is_what_its_formulas_say(shape, seed)?;
    }
}

/// One with a mask, and one that threads share: so small that Miri is done with both in minutes.
#[test]
fn small_blocks_are_too() {
    let shape = Shape {
        tokens: 3,
        heads: 2,
        head_size: 4,
        intermediate: 3,
        activation: Activation::QuickGelu,
        placement: NormPlacement::Before,
        masked: true,
    };
    let shared = Shape { placement: NormPlacement::After, masked: false, ..shape };
    for shape in [shape, shared] {
        is_what_its_formulas_say(shape, 5).unwrap();
    }
}

/// Rounding each number of a product to one of 256 is an error of less than 1/256 of the largest, and to one of bf16 of
/// at most 1/256 of itself; those of a row mostly cancel out.
#[test]
fn rounded_precisions_are_close_to_the_formulas() {
    for (precision, errors) in [(Precision::Bf16, 1e-4..0.005), (Precision::Int8, 1e-4..0.02)] {
        are_close(precision, &errors);
    }
}

fn are_close(precision: Precision, expected_errors: &Range<f64>) {
    for (tokens, heads, head_size, intermediate) in
        [(1, 4, 16, 200), (9, 3, 33, 130), (67, 12, 32, 1536)]
    {
        for placement in [NormPlacement::Before, NormPlacement::After] {
            let activation = Activation::Gelu;
            let shape = Shape {
                tokens,
                heads,
                head_size,
                intermediate,
                activation,
                placement,
                masked: false,
            };
            let weights = Weights::new(shape, &mut 3);
            let tokens = numbers(&mut 4, tokens * shape.hidden(), 2.0);
            let expected = weights.in_f64(&tokens, None);
            for isa in available() {
                let mut got = vec![0.0; tokens.len()];
                weights.block(isa, precision).run(&tokens, None, &mut got);
                let errors =
                    got.iter().zip(&expected).map(|(got, x)| (f64::from(*got) - x).powi(2));
                let size = expected.iter().map(|x| x * x).sum::<f64>();
                let error = (errors.sum::<f64>() / size).sqrt();
                assert!(
                    expected_errors.contains(&error),
                    "{isa:?}, {precision:?}, {shape:?}: {error}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_a_number_comes_out_as_that() {
    let shape = Shape {
        tokens: 5,
        heads: 2,
        head_size: 16,
        intermediate: 64,
        activation: Activation::Gelu,
        placement: NormPlacement::After,
        masked: false,
    };
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu] {
        let weights = Weights::new(Shape { activation, ..shape }, &mut 7);
        for (isa, precision) in paths() {
            let mut tokens = numbers(&mut 8, 5 * 32, 1.0);
            for nan in
                [f32::NAN, f32::INFINITY, f32::from_bits(0xffff_ffff), f32::from_bits(0x7fc0_0001)]
            {
                tokens[40] = nan;
                let mut got = vec![0.0; tokens.len()];
                weights.block(isa, precision).run(&tokens, None, &mut got);
                // Each token attends to the one that has it.
                assert!(got.iter().all(|x| x.is_nan()), "{isa:?}, {precision:?}, {activation:?}");
            }
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_an_error() {
    let shape = Shape {
        tokens: 1,
        heads: 2,
        head_size: 4,
        intermediate: 16,
        activation: Activation::Gelu,
        placement: NormPlacement::After,
        masked: false,
    };
    let weights = Weights::new(shape, &mut 1);
    let norm = NormWeights { gamma: &weights.norms[0].0, beta: &weights.norms[0].1, epsilon: 0.0 };
    let linear = |of: &'static str| LinearWeights {
        weight: &[],
        bias: if of.is_empty() { &[] } else { &[0.0; 24] },
    };
    let block = |heads, qkv| BlockWeights {
        heads,
        scale: 1.0,
        qkv,
        output: qkv,
        up: qkv,
        activation: Activation::Gelu,
        down: qkv,
        placement: NormPlacement::After,
        norm_1: norm,
        norm_2: norm,
    };
    let error =
        |weights| Block::new(&weights, Isa::Plain, Precision::Fp32).unwrap_err().to_string();
    assert_eq!(error(block(3, linear(""))), "8 features do not split into 3 heads");
    assert_eq!(
        error(block(2, linear("bias"))),
        "qkv has 0 weights and a bias of 24 numbers for 8 inputs and 24 outputs"
    );
}
