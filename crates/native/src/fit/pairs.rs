//! The pairs of a fit: checked, summed up, and measured.

use std::cell::Cell;

use nalgebra::DMatrix;

use isovec_core::{Error, ErrorKind, Fusion, Result, limits};

use super::cca::{Cca, Decomposed, Moments, Variates};
use super::options::{FitOptions, FitStage, Regularization};
use super::report::{CrossModal, rounded};
use super::{at_least, recall, split};

/// The most pairs on which a regularisation is chosen.
const MAX_VALIDATION: usize = 2000;

/// Pairs that are taken into the covariances at a time.
const BLOCK: usize = 512;

/// The pairs, and whom to tell.
pub(super) struct Pairs<'a, T, I> {
    text: &'a [T],
    image: &'a [I],
    pub(super) text_dims: usize,
    pub(super) image_dims: usize,
    options: &'a FitOptions<'a>,
    /// The pairs that are in, for the caller to see.
    done: Cell<usize>,
}

impl<'a, T: AsRef<[f32]>, I: AsRef<[f32]>> Pairs<'a, T, I> {
    pub(super) fn new(text: &'a [T], image: &'a [I], options: &'a FitOptions<'a>) -> Result<Self> {
        let refuse = |kind, detail: String| Err(Error::new(kind, detail));
        if text.len() != image.len() {
            let detail =
                format!("{} texts and {} images: they must be pairs", text.len(), image.len());
            return refuse(ErrorKind::InvalidInput, detail);
        }
        let (Some(first_text), Some(first_image)) = (text.first(), image.first()) else {
            return refuse(ErrorKind::InvalidInput, "there are no pairs to fit on".into());
        };
        if !(options.held_out > 0.0 && options.held_out <= 0.5) {
            let detail = format!("held_out: {} is not over 0 and up to 0.5", options.held_out);
            return refuse(ErrorKind::InvalidConfig, detail);
        }
        if let Regularization::Value(share) = options.regularization
            && !(share > 0.0 && share <= 1.0)
        {
            let detail = format!("regularization: {share} is not over 0 and up to 1");
            return refuse(ErrorKind::InvalidConfig, detail);
        }
        let (text_dims, image_dims) = (first_text.as_ref().len(), first_image.as_ref().len());
        let total = text_dims.saturating_add(image_dims);
        if text_dims == 0 || image_dims == 0 || total > limits::MAX_DIMS {
            let detail = format!(
                "pair 0: {text_dims} dimensions of text and {image_dims} of image: each must have 1 at \
                 least, and both {} at most",
                limits::MAX_DIMS
            );
            return refuse(ErrorKind::InvalidInput, detail);
        }
        Ok(Pairs { text, image, text_dims, image_dims, options, done: Cell::new(0) })
    }

    /// Checks the vectors and returns the number of variates.
    pub(super) fn check(&self, groups: Option<&[u64]>) -> Result<usize> {
        let most = 2 * self.text_dims.min(self.image_dims);
        let dims = self.options.dims.unwrap_or(most);
        if dims == 0 || !dims.is_multiple_of(2) || dims > most {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("dims: {dims} is not an even number from 2 to {most}"),
            ));
        }
        if let Some(groups) = groups
            && groups.len() != self.text.len()
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{} groups for {} pairs", groups.len(), self.text.len()),
            ));
        }
        for pair in 0..self.text.len() {
            check_vector("text", pair, self.text[pair].as_ref(), self.text_dims)?;
            check_vector("image", pair, self.image[pair].as_ref(), self.image_dims)?;
        }
        Ok(dims / 2)
    }

    pub(super) fn report(&self, stage: FitStage) -> Result<()> {
        if let Some(progress) = self.options.progress {
            progress(stage);
        }
        self.go_on()
    }

    fn go_on(&self) -> Result<()> {
        match self.options.cancel {
            Some(cancel) if cancel.is_cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "the fit was cancelled"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn moments(&self) -> Moments {
        Moments::new(self.text_dims, self.image_dims)
    }

    /// Adds these pairs; `more` others will follow.
    pub(super) fn add(&self, moments: &mut Moments, pairs: &[usize], more: usize) -> Result<()> {
        let total = self.done.get() + pairs.len() + more;
        for block in pairs.chunks(BLOCK) {
            self.report(FitStage::Covariances { done: self.done.get(), total })?;
            moments.add(&columns(self.text, block), &columns(self.image, block));
            self.done.set(self.done.get() + block.len());
        }
        Ok(())
    }

    /// The decomposition of all of `fitting`, and the regularisation that was best on a part of it
    /// when fitted on the rest.
    pub(super) fn choose(
        &self,
        fitting: &[usize],
        groups: &[usize],
        variates: usize,
    ) -> Result<(Decomposed, f64)> {
        let share = 0.2f64.min(MAX_VALIDATION as f64 / fitting.len() as f64);
        // Another order than that of the held-out pairs, from the same seed.
        let seed = self.options.seed ^ 0x5a17;
        let (inner, validation) = split::split(fitting, groups, share, seed);
        at_least("to choose the regularisation on", &validation, groups, 2)?;
        let mut moments = self.moments();
        self.add(&mut moments, &inner, validation.len())?;
        let decomposed = moments.decompose()?;
        let text = columns(self.text, &validation);
        let image = columns(self.image, &validation);
        let groups: Vec<usize> = validation.iter().map(|&pair| groups[pair]).collect();
        let grid = Regularization::GRID;
        let mut best = (f64::NEG_INFINITY, grid[0]);
        for (index, share) in grid.into_iter().enumerate() {
            self.report(FitStage::Regularization { index: index + 1, total: grid.len() })?;
            let cca = decomposed.solve(share, variates)?;
            // What fused vectors of a text alone and an image alone have as their dot product, in
            // half the dimensions: the correlations weigh on one side.
            let x = cca.text.unit_columns(&text, &vec![1.0; variates]);
            let y = cca.image.unit_columns(&image, &cca.correlations);
            let there = recall::measure(&x, &y, &groups, || self.go_on())?;
            let x = cca.text.unit_columns(&text, &cca.correlations);
            let y = cca.image.unit_columns(&image, &vec![1.0; variates]);
            let back = recall::measure(&y, &x, &groups, || self.go_on())?;
            let score = there.at_1 + there.at_10 + back.at_1 + back.at_10;
            // Strongest first: of equal ones it stays.
            if score > best.0 {
                best = (score, share);
            }
        }
        self.add(&mut moments, &validation, 0)?;
        Ok((moments.decompose()?, best.1))
    }

    /// The recall of `fusion` itself, by what `fuse` gives.
    pub(super) fn measure(
        &self,
        fusion: &Fusion,
        pairs: &[usize],
        groups: &[usize],
    ) -> Result<CrossModal> {
        let mut texts = DMatrix::zeros(fusion.dims(), pairs.len());
        let mut images = texts.clone();
        for (at, &pair) in pairs.iter().enumerate() {
            self.go_on()?;
            let text = fusion.fuse(Some(self.text[pair].as_ref()), None)?;
            texts.column_mut(at).copy_from_slice(text.vector());
            let image = fusion.fuse(None, Some(self.image[pair].as_ref()))?;
            images.column_mut(at).copy_from_slice(image.vector());
        }
        Ok(CrossModal {
            text_to_image: recall::measure(&texts, &images, groups, || self.go_on())?,
            image_to_text: recall::measure(&images, &texts, groups, || self.go_on())?,
        })
    }

    /// The correlations of the first `count` variates over these pairs.
    pub(super) fn correlations(
        &self,
        cca: &Cca,
        pairs: &[usize],
        count: usize,
    ) -> Result<Vec<f64>> {
        let count = count.min(cca.correlations.len());
        // x.x, y.y, x.y, and the sums, for each variate.
        let mut sums = vec![[0.0f64; 5]; count];
        for block in pairs.chunks(BLOCK) {
            self.go_on()?;
            let x = cca.text.first(count, &columns(self.text, block));
            let y = cca.image.first(count, &columns(self.image, block));
            for (at, sums) in sums.iter_mut().enumerate() {
                for (x, y) in x.row(at).iter().zip(y.row(at).iter()) {
                    for (sum, term) in sums.iter_mut().zip([x * x, y * y, x * y, *x, *y]) {
                        *sum += term;
                    }
                }
            }
        }
        let n = pairs.len() as f64;
        let correlation = |[xx, yy, xy, x, y]: [f64; 5]| {
            let spread = ((xx - x * x / n) * (yy - y * y / n)).sqrt();
            // Variates that do not vary correlate with nothing.
            if spread > 0.0 { ((xy - x * y / n) / spread).clamp(-1.0, 1.0) } else { 0.0 }
        };
        Ok(sums.into_iter().map(correlation).map(rounded).collect())
    }
}

impl Variates {
    /// The first `count` variates of unit vectors, one a column.
    pub(super) fn first(&self, count: usize, vectors: &DMatrix<f64>) -> DMatrix<f64> {
        let mut centred = vectors.clone();
        for mut column in centred.column_iter_mut() {
            column -= &self.mean;
        }
        self.map.rows(0, count) * centred
    }

    /// All variates, scaled to length one and then by `weights`.
    pub(super) fn unit_columns(&self, vectors: &DMatrix<f64>, weights: &[f64]) -> DMatrix<f32> {
        let mut variates = self.first(self.map.nrows(), vectors);
        for mut column in variates.column_iter_mut() {
            let length = column.norm().max(f64::MIN_POSITIVE);
            column.iter_mut().zip(weights).for_each(|(x, weight)| *x *= weight / length);
        }
        variates.map(|x| x as f32)
    }
}

/// These vectors as columns, of length one.
fn columns<V: AsRef<[f32]>>(vectors: &[V], pairs: &[usize]) -> DMatrix<f64> {
    let dims = pairs.first().map_or(0, |&pair| vectors[pair].as_ref().len());
    let mut columns = DMatrix::zeros(dims, pairs.len());
    for (mut column, &pair) in columns.column_iter_mut().zip(pairs) {
        for (out, &x) in column.iter_mut().zip(vectors[pair].as_ref()) {
            *out = f64::from(x);
        }
        // Not nalgebra's normalisation, which may scale differently; vectors were checked not to be
        // zero.
        let length = column.dot(&column).sqrt();
        column /= length;
    }
    columns
}

fn check_vector(name: &str, pair: usize, vector: &[f32], dims: usize) -> Result<()> {
    let refuse = |kind, detail: String| Err(Error::new(kind, format!("{name} {pair}: {detail}")));
    if vector.len() != dims {
        let detail = format!("{} dimensions, but the first has {dims}", vector.len());
        return refuse(ErrorKind::DimensionMismatch, detail);
    }
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        let detail = format!("the vector holds {} at index {at} of {dims}", vector[at]);
        return refuse(ErrorKind::NonFinite, detail);
    }
    if vector.iter().all(|x| *x == 0.0) {
        let detail = format!("the vector of {dims} dimensions is zero and has no direction");
        return refuse(ErrorKind::ZeroVector, detail);
    }
    Ok(())
}
