//! The map against numpy, what a fit finds, and what it must not.

use std::cell::{Cell, RefCell};

use safetensors::SafeTensors;

use super::*;
use crate::store::CancelToken;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/fusion.safetensors");

type Rows = Vec<Vec<f32>>;

/// Numbers that are close to a Gaussian, of a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        let uniform = |state: &mut u64| (split::random(state) >> 40) as f32 / (1u32 << 24) as f32;
        (0..12).map(|_| uniform(&mut self.0)).sum::<f32>() - 6.0
    }

    fn rows(&mut self, rows: usize, columns: usize) -> Rows {
        (0..rows).map(|_| (0..columns).map(|_| self.next()).collect()).collect()
    }
}

/// Pairs whose texts and images are linear in `common` hidden numbers, plus noise, plus numbers of
/// their own in three directions, which say nothing about the other side. (Those are small: a fit
/// scales vectors to length one, and large ones would make the relation anything but linear.)
fn related(pairs: usize, dims: (usize, usize), common: usize, noise: f32, seed: u64) -> [Rows; 2] {
    let mut random = Random(seed);
    let hidden = random.rows(pairs, common);
    [dims.0, dims.1].map(|dims| {
        let shared = random.rows(common, dims);
        let nuisance = random.rows(3, dims);
        let mut side = random.rows(pairs, dims);
        for (row, hidden) in side.iter_mut().zip(&hidden) {
            row.iter_mut().for_each(|x| *x *= noise);
            let own = random.rows(1, 3).remove(0);
            let own = own.iter().map(|x| 0.5 * x).zip(&nuisance);
            for (weight, direction) in hidden.iter().copied().zip(&shared).chain(own) {
                row.iter_mut().zip(direction).for_each(|(x, d)| *x += weight * d);
            }
        }
        side
    })
}

fn unrelated(pairs: usize, dims: (usize, usize), seed: u64) -> [Rows; 2] {
    let mut random = Random(seed);
    [random.rows(pairs, dims.0), random.rows(pairs, dims.1)]
}

#[test]
fn map_is_that_of_numpy() {
    let bytes = std::fs::read(GOLDEN).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let rows = |name: &str| -> Rows {
        let tensor = file.tensor(name).unwrap();
        let width = *tensor.shape().last().unwrap();
        let (numbers, _) = tensor.data().as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        numbers.chunks(width).map(<[f32]>::to_vec).collect()
    };
    let (text, image) = (rows("cca_text"), rows("cca_image"));
    let options = FitOptions::default();
    let pairs = Pairs::new(&text, &image, &options).unwrap();
    let mut moments = pairs.moments();
    pairs.add(&mut moments, &(0..text.len()).collect::<Vec<_>>(), 0).unwrap();
    let cca = moments.decompose().unwrap().solve(0.05, 12).unwrap();
    for (found, expected) in cca.correlations.iter().zip(&rows("cca_correlations")[0]) {
        assert!((found - f64::from(*expected)).abs() < 1e-5, "{found} {expected}");
    }

    let fusion = fusion_of(&cca, FusionWeights::default()).unwrap();
    let dots = rows("cca_dots");
    let fused: Vec<Vec<f32>> = (0..dots.len())
        .map(|at| {
            let (kind, pair) = (at / 40, at % 40);
            let text = (kind != 2).then_some(text[pair].as_slice());
            let image = (kind != 1).then_some(image[pair].as_slice());
            fusion.fuse(text, image).unwrap().into_vector()
        })
        .collect();
    for (a, row) in fused.iter().zip(&dots) {
        for (b, expected) in fused.iter().zip(row) {
            let found = crate::vector::dot(a, b).unwrap();
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}

#[test]
fn related_pairs_find_each_other_and_unrelated_do_not() {
    for seed in 0..3 {
        let dims = if seed == 1 { (32, 24) } else { (24, 32) };
        let [text, image] = related(600, dims, 12, 0.05, seed);
        let report = fit(&text, &image, None, &FitOptions::default()).unwrap().report;
        assert_eq!((report.fitted, report.held_out), (480, 120));
        let after = report.after;
        assert!(after.text_to_image.at_1 > 0.95 && after.image_to_text.at_1 > 0.95, "{report}");
        assert!(report.before.text_to_image.at_10 < 0.25, "{report}");
        assert!(report.held_out_correlations[0] > 0.95, "{report:?}");
        assert!(!report.to_string().contains("no better than chance"));
    }
    for seed in 0..3 {
        let [text, image] = unrelated(600, (24, 32), 100 + seed);
        let report = fit(&text, &image, None, &FitOptions::default()).unwrap().report;
        assert!((report.chance.at_10 - 10.0 / 120.0).abs() < 1e-6);
        for recall in [report.after.text_to_image, report.after.image_to_text] {
            assert!(recall.at_10 < 0.2 && recall.at_1 < 0.06, "a leak: {report}");
        }
        assert!(report.held_out_correlations[0].abs() < 0.35, "{report:?}");
    }
    let [text, image] = unrelated(600, (24, 32), 100);
    let report = fit(&text, &image, None, &FitOptions::default()).unwrap().report;
    assert!(report.to_string().contains("no better than chance"), "{report}");
}

/// More dimensions than pairs, where an unregularised fit finds a correlation of 1 in anything.
#[test]
fn fewer_pairs_than_dimensions_still_fit() {
    let [text, image] = related(120, (150, 200), 8, 0.3, 5);
    let fitted = fit(&text, &image, None, &FitOptions::default()).unwrap();
    assert_eq!(fitted.fusion.dims(), 300);
    assert!(fitted.report.after.text_to_image.at_10 > 0.8, "{}", fitted.report);
    let [text, image] = unrelated(120, (150, 200), 6);
    let report = fit(&text, &image, None, &FitOptions::default()).unwrap().report;
    assert!(report.after.text_to_image.at_10 < 0.75, "chance is 0.42: {report}");
}

/// Unrelated groups of five texts with one image: whoever has seen one of the five can answer for
/// the others, so a split through a group would be found out as a recall far over chance.
#[test]
fn groups_do_not_leak() {
    let [mut text, mut image] = unrelated(600, (40, 40), 9);
    let mut random = Random(10);
    for pair in 0..600 {
        let first = pair - pair % 5;
        text[pair] = text[first].iter().map(|x| x + 0.05 * random.next()).collect();
        image[pair] = image[first].clone();
    }
    let options = FitOptions { regularization: Regularization::Value(0.001), ..Default::default() };
    let groups: Vec<u64> = (0..600).map(|pair| pair / 5).collect();
    // The images' vectors are equal, which says as much as the groups do.
    let silent = fit(&text, &image, None, &options).unwrap().report;
    let told = fit(&text, &image, Some(&groups), &options).unwrap().report;
    assert_eq!(silent, told);
    assert_eq!((told.held_out, told.held_out_groups), (120, 24));
    assert!((told.chance.at_1 - 5.0 / 120.0).abs() < 1e-6);
    assert!(told.after.text_to_image.at_1 < 0.15, "{told}");

    // The test can see a leak: with images that differ a little, and no groups, there is one.
    for row in &mut image {
        row.iter_mut().for_each(|x| *x += 0.05 * random.next());
    }
    let leak = fit(&text, &image, None, &options).unwrap().report;
    assert!(leak.after.text_to_image.at_10 > 0.8, "{leak}");
    let told = fit(&text, &image, Some(&groups), &options).unwrap().report;
    assert!(told.after.text_to_image.at_1 < 0.15, "{told}");
}

#[test]
fn held_out_pairs_change_nothing_but_the_report() {
    let [text, mut image] = related(200, (10, 12), 4, 0.1, 1);
    let before = fit(&text, &image, None, &FitOptions::default()).unwrap();
    let all: Vec<usize> = (0..200).collect();
    let (_, held_out) = split::split(&all, &all, 0.2, 0);
    assert_eq!(held_out.len(), before.report.held_out);
    for pair in held_out {
        image[pair].reverse();
    }
    let after = fit(&text, &image, None, &FitOptions::default()).unwrap();
    assert_eq!(after.fusion.fingerprint(), before.fusion.fingerprint());
    assert_ne!(after.report, before.report);
}

#[test]
fn what_is_written_is_what_was_measured() {
    let [text, image] = related(200, (10, 12), 4, 0.1, 2);
    let options = FitOptions { dims: Some(8), ..Default::default() };
    let first = fit(&text, &image, None, &options).unwrap();
    let bytes = first.fusion.to_safetensors().unwrap();
    let read = Fusion::from_safetensors(&bytes).unwrap();
    assert_eq!(FitReport::of(&read).unwrap().unwrap(), first.report);
    assert_eq!((read.dims(), read.text_dims(), read.image_dims()), (8, 10, 12));
    // Again, the same bytes.
    let again = fit(&text, &image, None, &options).unwrap();
    assert_eq!(again.fusion.to_safetensors().unwrap(), bytes);
    // Lengths are nothing to it.
    let long: Rows = text.iter().map(|t| t.iter().map(|x| x * 4.0).collect()).collect();
    let longer = fit(&long, &image, None, &options).unwrap();
    assert_eq!(longer.fusion.fingerprint(), first.fusion.fingerprint());
}

#[test]
fn progress_comes_in_order_and_cancelling_ends_it() {
    let [text, image] = related(100, (6, 8), 3, 0.1, 3);
    let stages = RefCell::new(Vec::new());
    let note = |stage: FitStage| stages.borrow_mut().push(stage.to_string());
    fit(&text, &image, None, &FitOptions { progress: Some(&note), ..Default::default() }).unwrap();
    let stages = stages.into_inner();
    assert_eq!(stages[..2], ["covariances, 0 of 80 pairs", "regularisation 1 of 7"]);
    assert_eq!(
        stages[7..],
        ["regularisation 7 of 7", "covariances, 64 of 80 pairs", "solving", "measuring"]
    );
    // Cancelled at each of its stages.
    for at in 0..stages.len() {
        let (token, seen) = (CancelToken::new(), Cell::new(0));
        let note = |_: FitStage| {
            seen.set(seen.get() + 1);
            if seen.get() > at {
                token.cancel();
            }
        };
        let options =
            FitOptions { progress: Some(&note), cancel: Some(&token), ..Default::default() };
        let error = fit(&text, &image, None, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(seen.get(), at + 1);
    }
}

#[test]
fn what_cannot_be_fitted_is_a_typed_error() {
    let [text, image] = related(60, (4, 6), 2, 0.1, 4);
    let default = FitOptions::default();
    let refused = |text: &Rows, image: &Rows, groups: Option<&[u64]>, options: &FitOptions<'_>| {
        let error = fit(text, image, groups, options).unwrap_err();
        (error.kind(), error.to_string())
    };
    let edit = |rows: &Rows, pair: usize, row: Vec<f32>| {
        let mut rows = rows.clone();
        rows[pair] = row;
        rows
    };
    let dims = |dims| FitOptions { dims: Some(dims), ..default };
    let share = |share| FitOptions { regularization: Regularization::Value(share), ..default };
    let held = |held_out| FitOptions { held_out, ..default };
    let few: Rows = text[..19].to_vec();
    let same = vec![text[0].clone(); 60];
    let mixed: Rows = (0..60).map(|i| vec![1.0, i as f32, 0.0, 0.0]).collect();
    let parallel: Rows = (0..60).map(|i| vec![(1 << (i % 20)) as f32; 6]).collect();
    use ErrorKind::{DimensionMismatch, InvalidConfig, InvalidInput, NonFinite, ZeroVector};
    let found = [
        refused(&vec![], &vec![], None, &default),
        refused(&few, &image, None, &default),
        refused(&few, &image[..19].to_vec(), None, &default),
        refused(&text, &image, Some(&[1, 2]), &default),
        refused(&text, &image, Some(&[1; 60]), &default),
        refused(&same, &image, None, &default),
        refused(&mixed, &parallel, None, &default),
        refused(&text, &image, None, &dims(7)),
        refused(&text, &image, None, &dims(10)),
        refused(&text, &image, None, &dims(0)),
        refused(&text, &image, None, &share(0.0)),
        refused(&text, &image, None, &share(f64::NAN)),
        refused(&text, &image, None, &held(0.0)),
        refused(&text, &image, None, &held(0.9)),
        refused(&text, &image, None, &held(0.01)),
        refused(&edit(&text, 3, vec![1.0; 5]), &image, None, &default),
        refused(&text, &edit(&image, 7, vec![f32::NAN; 6]), None, &default),
        refused(&text, &edit(&image, 8, vec![0.0; 6]), None, &default),
    ];
    let expected = [
        (InvalidInput, "there are no pairs to fit on"),
        (InvalidInput, "19 texts and 60 images: they must be pairs"),
        (
            InvalidInput,
            "19 pairs form 19 groups (those with equal texts or images are one), of which",
        ),
        (InvalidInput, "2 groups for 60 pairs"),
        (
            InvalidInput,
            "60 pairs form 1 groups (those with equal texts or images are one), of which 1 are to fit on: at least 20 and 10",
        ),
        (InvalidInput, "60 pairs form 1 groups"),
        (InvalidInput, "the image vectors are all the same: there is nothing to fit"),
        (InvalidConfig, "dims: 7 is not an even number from 2 to 8"),
        (InvalidConfig, "dims: 10 is not an even number"),
        (InvalidConfig, "dims: 0 is not an even number"),
        (InvalidConfig, "regularization: 0 is not over 0 and up to 1"),
        (InvalidConfig, "regularization: NaN is not"),
        (InvalidConfig, "held_out: 0 is not over 0 and up to 0.5"),
        (InvalidConfig, "held_out: 0.9 is not"),
        (
            InvalidInput,
            "60 pairs form 60 groups (those with equal texts or images are one), of which 1 are held out",
        ),
        (DimensionMismatch, "text 3: 5 dimensions, but the first has 4"),
        (NonFinite, "image 7: the vector holds NaN at index 0 of 6"),
        (ZeroVector, "image 8: the vector of 6 dimensions is zero"),
    ];
    for ((kind, message), (expected_kind, expected)) in found.iter().zip(expected) {
        assert_eq!(*kind, expected_kind, "{message}");
        assert!(message.starts_with(expected), "{message}, not {expected}");
    }
}
