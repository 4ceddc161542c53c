//! What the kinds promise, exactly.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::hashed::hex;
use crate::vector;

/// The projection of the default sizes, made once.
static UNTRAINED: LazyLock<Fusion> =
    LazyLock::new(|| Fusion::untrained(384, 512, 768, 0, FusionWeights::default()).unwrap());

/// Numbers in -1..1 of a seed.
fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }
}

fn vector_of(dims: usize, seed: u64) -> Vec<f32> {
    let mut next = numbers(seed);
    (0..dims).map(|_| next()).collect()
}

fn rows(fusion: &Fusion) -> Vec<Vec<f64>> {
    let (Map::Untrained { linear, .. } | Map::Learned(linear)) = &fusion.map else {
        panic!("no matrix")
    };
    let wide = |rows: Vec<f32>, width: usize| -> Vec<Vec<f64>> {
        rows.chunks(width).map(|r| r.iter().map(|&x| f64::from(x)).collect()).collect()
    };
    let mut rows = wide(linear.text.rows(), fusion.text_dims);
    for (row, more) in rows.iter_mut().zip(wide(linear.image.rows(), fusion.image_dims)) {
        row.extend(more);
    }
    rows
}

proptest! {
    #[test]
    fn concat_keeps_the_weighted_cosine(seed in 0u64..1000, text in 0.0f64..1.0) {
        let weights = FusionWeights::new(text, 1.0 - text).unwrap();
        let fusion = Fusion::concat(7, 9, weights).unwrap();
        let [t, u] = [0, 1].map(|i| vector_of(7, 4 * seed + i));
        let [i, j] = [2, 3].map(|i| vector_of(9, 4 * seed + i));
        let expected = weights.text() * f64::from(vector::cosine(&t, &u).unwrap())
            + weights.image() * f64::from(vector::cosine(&i, &j).unwrap());
        let a = fusion.fuse(Some(&t), Some(&i)).unwrap();
        let b = fusion.fuse(Some(&u), Some(&j)).unwrap();
        let found = f64::from(vector::dot(a.vector(), b.vector()).unwrap());
        prop_assert!((found - expected).abs() < 1e-6, "{} {}", found, expected);
    }
}

/// A bit that differs on some platform, or in some version, changes every vector of everybody who
/// uses this projection: its files hold the seed alone.
#[test]
fn untrained_matrix_is_what_it_has_always_been() {
    let Map::Untrained { linear, .. } = &UNTRAINED.map else { panic!("no matrix") };
    let found = [&linear.text, &linear.image].map(|side| hex(&sha256_of(&side.rows())));
    assert_eq!(
        found,
        [
            "3a167310ff06e904287e6e729da144d30eaaf7d99cdd525e09f1f7edd91a244f",
            "f4185bfd323eca5bf256c6ce17b78bbee3ea94871a6798870adb068fb99ef094"
        ]
    );
}

#[test]
fn untrained_rows_are_orthogonal_and_of_the_length_that_keeps_dot_products() {
    let rows = rows(&UNTRAINED);
    let scale = 896.0 / 768.0;
    for (i, a) in rows.iter().enumerate() {
        for (j, b) in rows.iter().enumerate().skip(i) {
            let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((dot / scale - expected).abs() < 1e-6, "rows {i} and {j}: {dot}");
        }
    }
}

#[test]
fn untrained_keeps_dot_products_on_average() {
    let concat = Fusion::concat(384, 512, FusionWeights::default()).unwrap();
    // Pairs of every similarity, from unrelated to all but equal.
    let fuse = |fusion: &Fusion, mix: f32, seed: u64| {
        let blend = |dims, seed| -> Vec<f32> {
            let (base, other) = (vector_of(dims, 7), vector_of(dims, seed));
            base.iter().zip(other).map(|(a, b)| mix * a + (1.0 - mix) * b).collect()
        };
        fusion.fuse(Some(&blend(384, seed)), Some(&blend(512, seed + 1))).unwrap().into_vector()
    };
    let (mut sum, mut squares, mut largest) = (0.0f64, 0.0f64, 0.0f64);
    let pairs = 200;
    for pair in 0..pairs {
        let mix = pair as f32 / pairs as f32;
        let [kept, exact] = [&UNTRAINED, &concat].map(|fusion| {
            let [a, b] = [10_000, 20_000].map(|at| fuse(fusion, mix, at + 2 * pair));
            f64::from(vector::dot(&a, &b).unwrap())
        });
        let error = kept - exact;
        sum += error;
        squares += error * error;
        largest = largest.max(error.abs());
    }
    let (mean, rms) = (sum / pairs as f64, (squares / pairs as f64).sqrt());
    assert!(mean.abs() < 0.003 && rms < 0.02 && largest < 0.06, "{mean} {rms} {largest}");
}

/// The very bits: the numbers were computed on x86-64, and every platform must find them again.
#[test]
fn fused_vectors_are_the_same_bits_everywhere() {
    let fusion = &*UNTRAINED;
    let (text, image) = (vector_of(384, 1), vector_of(512, 2));
    let inputs = [(true, true), (true, false), (false, true)];
    let found = inputs.map(|(has_text, has_image)| {
        let fused = fusion
            .fuse(has_text.then_some(text.as_slice()), has_image.then_some(image.as_slice()))
            .unwrap();
        assert_eq!((fused.has_text, fused.has_image), (has_text, has_image));
        hex(&sha256_of(fused.vector()))[..16].to_owned()
    });
    assert_eq!(found, ["c51074371631a884", "46f1c1a0170b8f0e", "2d0d0b2bee3b3f58"]);
}

#[test]
fn vectors_have_length_one_whatever_is_missing_and_however_long_the_inputs_are() {
    for fusion in [&*UNTRAINED, &Fusion::concat(384, 512, FusionWeights::default()).unwrap()] {
        let (text, image) = (vector_of(384, 3), vector_of(512, 4));
        let both = fusion.fuse(Some(&text), Some(&image)).unwrap();
        for fused in [
            both.clone(),
            fusion.fuse(Some(&text), None).unwrap(),
            fusion.fuse(None, Some(&image)).unwrap(),
        ] {
            let length = vector::dot(fused.vector(), fused.vector()).unwrap();
            assert!((length - 1.0).abs() < 1e-6, "{fusion:?} {length}");
        }
        // Powers of two change no bit.
        let long: Vec<f32> = text.iter().map(|x| x * 1024.0).collect();
        assert_eq!(fusion.fuse(Some(&long), Some(&image)).unwrap(), both);
        let huge = vec![f32::MAX; 384];
        fusion.fuse(Some(&huge), Some(&[1e-45; 512])).unwrap();
    }
}

#[test]
fn bad_inputs_are_typed_errors() {
    let fusion = Fusion::concat(2, 3, FusionWeights::default()).unwrap();
    let image_only = Fusion::concat(2, 3, FusionWeights::new(0.0, 1.0).unwrap()).unwrap();
    let (t, i) = ([1.0, 2.0].as_slice(), [1.0, 2.0, 3.0].as_slice());
    let nan = [1.0, f32::NAN];
    let cancel = Affine { weight: vec![1.0, 0.0], bias: vec![-1.0, 0.0] };
    let cancel = Fusion::learned(cancel.clone(), cancel, FusionWeights::default()).unwrap();
    type Case<'a> = (&'a Fusion, Option<&'a [f32]>, Option<&'a [f32]>, ErrorKind, &'a str);
    let cases: [Case; 9] = [
        (&fusion, None, None, ErrorKind::InvalidInput, "neither a text nor an image to fuse"),
        (
            &fusion,
            Some(i),
            None,
            ErrorKind::DimensionMismatch,
            "text: 3 dimensions, but the fusion takes 2",
        ),
        (
            &fusion,
            Some(t),
            Some(t),
            ErrorKind::DimensionMismatch,
            "image: 2 dimensions, but the fusion takes 3",
        ),
        (
            &fusion,
            Some(&[]),
            None,
            ErrorKind::DimensionMismatch,
            "text: 0 dimensions, but the fusion takes 2",
        ),
        (
            &fusion,
            Some(&nan),
            Some(i),
            ErrorKind::NonFinite,
            "text: the vector holds NaN at index 1 of 2",
        ),
        (
            &fusion,
            None,
            Some(&[0.0, f32::INFINITY, 0.0]),
            ErrorKind::NonFinite,
            "image: the vector holds inf at index 1 of 3",
        ),
        (
            &fusion,
            Some(&[0.0, -0.0]),
            None,
            ErrorKind::ZeroVector,
            "text: the vector of 2 dimensions is zero and has no direction",
        ),
        (
            &image_only,
            Some(t),
            None,
            ErrorKind::InvalidInput,
            "only a text to fuse, and the weight of text is 0",
        ),
        (&cancel, Some(&[5.0]), None, ErrorKind::ZeroVector, "the fused vector has no direction"),
    ];
    for (fusion, text, image, kind, message) in cases {
        let error = fusion.fuse(text, image).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    }
    // With the other side there, a weight of 0 is what was asked for.
    let fused = image_only.fuse(Some(t), Some(i)).unwrap();
    assert_eq!(fused.vector(), image_only.fuse(None, Some(i)).unwrap().vector());
}

#[test]
fn impossible_sizes_are_refused() {
    let weights = FusionWeights::default();
    let concat = |text, image| Fusion::concat(text, image, weights);
    let untrained = |text, image, dims| Fusion::untrained(text, image, dims, 0, weights);
    for (error, kind) in [
        (concat(0, 3), ErrorKind::InvalidConfig),
        (concat(3, 0), ErrorKind::InvalidConfig),
        (concat(1 << 16, 1), ErrorKind::InvalidConfig),
        (concat(usize::MAX, usize::MAX), ErrorKind::InvalidConfig),
        (untrained(2, 3, 0), ErrorKind::InvalidConfig),
        (untrained(2, 3, 6), ErrorKind::InvalidConfig),
        (untrained(2000, 2200, 1000), ErrorKind::TooLarge),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(concat(1, (1 << 16) - 1).unwrap().dims(), 1 << 16);
}

#[test]
fn fingerprints_differ_where_vectors_do() {
    let even = FusionWeights::new(1.0, 1.0).unwrap();
    let default = FusionWeights::default();
    let side = |x: f32| Affine { weight: vec![x, 0.0, 0.0, 1.0], bias: vec![0.0; 2] };
    let all = [
        Fusion::concat(2, 2, default),
        Fusion::concat(2, 2, even),
        Fusion::concat(1, 3, default),
        Fusion::untrained(2, 2, 4, 0, default),
        Fusion::untrained(2, 2, 4, 1, default),
        Fusion::untrained(2, 2, 3, 0, default),
        Fusion::learned(side(1.0), side(1.0), default),
        Fusion::learned(side(2.0), side(1.0), default),
        Fusion::learned(side(1.0), side(2.0), default),
    ]
    .map(|fusion| fusion.unwrap().fingerprint().to_string());
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    // Pinned: caches are keyed by it.
    assert_eq!(&all[0][..16], "fd9cca04d5125f86");
    // A report changes no vector.
    let reported = Fusion::concat(2, 2, default)
        .unwrap()
        .with_models("a", "b")
        .with_report("{}")
        .unwrap()
        .fingerprint();
    assert_eq!(reported.to_string(), all[0]);
}

#[test]
fn learned_parts_that_do_not_fit_are_refused_by_name() {
    let side =
        |weights: usize, dims: usize| Affine { weight: vec![1.0; weights], bias: vec![0.5; dims] };
    let mut nan = side(4, 2);
    nan.weight[3] = f32::NAN;
    let mut inf = side(4, 2);
    inf.bias[1] = f32::NEG_INFINITY;
    for (text, image, expected) in [
        (side(4, 0), side(4, 2), "text.bias: 0 dimensions is outside of 1 to 65536"),
        (side(4, 2), side(5, 2), "image.weight: 5 entries are no 2 equal rows"),
        (side(0, 2), side(4, 2), "text.weight: 0 columns is outside of 1 to 65536"),
        (side(4, 2), side(3, 3), "image.bias: 3 dimensions, but text.bias has 2"),
        (nan, side(4, 2), "text.weight: NaN at index 3"),
        (side(4, 2), inf, "image.bias: -inf at index 1"),
    ] {
        let error = Fusion::learned(text, image, FusionWeights::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFusion);
        assert_eq!(error.to_string(), expected);
    }
}
