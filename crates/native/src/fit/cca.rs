//! Regularised canonical correlation analysis, from sums over the pairs.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use isovec_core::{Error, ErrorKind, Result};

/// The sums over pairs that a fit needs, which can be added to: their number is all that grows with
/// the number of pairs, and it is not kept.
#[derive(Clone)]
pub(super) struct Moments {
    pairs: usize,
    text: DVector<f64>,
    image: DVector<f64>,
    text_text: DMatrix<f64>,
    image_image: DMatrix<f64>,
    text_image: DMatrix<f64>,
}

impl Moments {
    pub(super) fn new(text_dims: usize, image_dims: usize) -> Self {
        Moments {
            pairs: 0,
            text: DVector::zeros(text_dims),
            image: DVector::zeros(image_dims),
            text_text: DMatrix::zeros(text_dims, text_dims),
            image_image: DMatrix::zeros(image_dims, image_dims),
            text_image: DMatrix::zeros(text_dims, image_dims),
        }
    }

    /// Adds pairs of unit vectors, one a column.
    pub(super) fn add(&mut self, text: &DMatrix<f64>, image: &DMatrix<f64>) {
        let (text_rows, image_rows) = (text.transpose(), image.transpose());
        self.pairs += text.ncols();
        self.text += text.column_sum();
        self.image += image.column_sum();
        self.text_text.gemm(1.0, text, &text_rows, 1.0);
        self.image_image.gemm(1.0, image, &image_rows, 1.0);
        self.text_image.gemm(1.0, text, &image_rows, 1.0);
    }

    /// The means and the eigenvectors of both covariances, which serve every regularisation.
    pub(super) fn decompose(&self) -> Result<Decomposed> {
        let n = self.pairs as f64;
        let (text_mean, image_mean) = (&self.text / n, &self.image / n);
        // Unit vectors: the terms are of the size of what is left, and little cancels in f64.
        let centred =
            |sums: &DMatrix<f64>, a: &DVector<f64>, b: &DVector<f64>| sums / n - a * b.transpose();
        let text = principal("text", centred(&self.text_text, &text_mean, &text_mean))?;
        let image = principal("image", centred(&self.image_image, &image_mean, &image_mean))?;
        let cross = centred(&self.text_image, &text_mean, &image_mean);
        let cross = text.axes.tr_mul(&cross) * &image.axes;
        Ok(Decomposed { text, image, text_mean, image_mean, cross })
    }
}

/// A covariance by its eigenvectors: as columns, with their variances, largest first.
struct Principal {
    axes: DMatrix<f64>,
    variances: Vec<f64>,
}

fn principal(name: &str, covariance: DMatrix<f64>) -> Result<Principal> {
    // Of unit vectors: anything below is what rounding makes of vectors that are all the same.
    if covariance.trace() < 1e-10 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the {name} vectors are all the same: there is nothing to fit"),
        ));
    }
    let Eigen { axes, values } = eigen(covariance)?;
    // Rounding leaves the zero ones a little below zero.
    Ok(Principal { axes, variances: values.into_iter().map(|x| x.max(0.0)).collect() })
}

struct Eigen {
    axes: DMatrix<f64>,
    values: Vec<f64>,
}

/// The eigenvectors of a symmetric matrix, the largest eigenvalue first.
fn eigen(matrix: DMatrix<f64>) -> Result<Eigen> {
    let size = matrix.nrows();
    let found = SymmetricEigen::try_new(matrix, f64::EPSILON, 1000 * size).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the covariances could not be diagonalised")
    })?;
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| found.eigenvalues[b].total_cmp(&found.eigenvalues[a]));
    Ok(Eigen {
        axes: found.eigenvectors.select_columns(&order),
        values: order.iter().map(|&at| found.eigenvalues[at]).collect(),
    })
}

/// Everything that does not depend on the regularisation.
pub(super) struct Decomposed {
    text: Principal,
    image: Principal,
    text_mean: DVector<f64>,
    image_mean: DVector<f64>,
    /// The cross-covariance, in the axes of both.
    cross: DMatrix<f64>,
}

/// The maps from a unit vector to its canonical variates, and their correlations.
pub(super) struct Cca {
    pub(super) text: Variates,
    pub(super) image: Variates,
    /// From 0 to 1, largest first; shrunk by the regularisation.
    pub(super) correlations: Vec<f64>,
}

/// `map * (v - mean)`: so scaled that the mean squared length over the fitted vectors is one.
pub(super) struct Variates {
    pub(super) map: DMatrix<f64>,
    pub(super) mean: DVector<f64>,
}

impl Decomposed {
    /// The first `count` pairs of variates where `share` of the mean variance is added to every
    /// variance.
    pub(super) fn solve(&self, share: f64, count: usize) -> Result<Cca> {
        let text_scale = self.text.whitening(share);
        let image_scale = self.image.whitening(share);
        let mut coherence = self.cross.clone();
        for (mut column, scale) in coherence.column_iter_mut().zip(&image_scale) {
            for (x, row_scale) in column.iter_mut().zip(&text_scale) {
                *x *= row_scale * scale;
            }
        }
        let (left, right) = singular_vectors(&coherence, count)?;
        let correlations = ((left.transpose() * &coherence).component_mul(&right.transpose()))
            .column_sum()
            .iter()
            .map(|rho| rho.clamp(0.0, 1.0))
            .collect();
        Ok(Cca {
            text: self.text.variates(&left, &text_scale, &self.text_mean),
            image: self.image.variates(&right, &image_scale, &self.image_mean),
            correlations,
        })
    }
}

impl Principal {
    /// What each axis is multiplied by to have variance one, or less where the added share matters.
    fn whitening(&self, share: f64) -> Vec<f64> {
        let added = share * self.variances.iter().sum::<f64>() / self.variances.len() as f64;
        self.variances.iter().map(|variance| 1.0 / (variance + added).sqrt()).collect()
    }

    fn variates(&self, directions: &DMatrix<f64>, scale: &[f64], mean: &DVector<f64>) -> Variates {
        let mut scaled = directions.clone();
        for mut column in scaled.column_iter_mut() {
            column.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
        }
        // A variate's variance is the sum over the axes, which are uncorrelated.
        let energy: f64 = scaled
            .column_iter()
            .flat_map(|column| {
                column.iter().zip(&self.variances).map(|(x, v)| x * x * v).collect::<Vec<_>>()
            })
            .sum();
        let map = scaled.transpose() * self.axes.transpose() / energy.sqrt();
        Variates { map, mean: mean.clone() }
    }
}

/// The first `count` left and right singular vectors, as columns; `count` is at most the smaller
/// side.
///
/// The smaller side's come from the eigenvectors of the matrix times its transpose, which are always
/// orthonormal and all there. That squares the singular values, so that those below 1e-8 are lost in
/// rounding, but a correlation that small is zero. Where it is zero the other side's vector is free:
/// it becomes the axis of the largest variance that is left, so that what an image says beside its
/// text is kept as far as there is room.
fn singular_vectors(matrix: &DMatrix<f64>, count: usize) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
    if matrix.nrows() > matrix.ncols() {
        let (right, left) = singular_vectors(&matrix.transpose(), count)?;
        return Ok((left, right));
    }
    let left = eigen(matrix * matrix.transpose())?.axes.columns(0, count).into_owned();
    let mut right = matrix.transpose() * &left;
    let largest = right.column_iter().map(|column| column.norm()).fold(0.0, f64::max);
    let mut axes = 0..;
    for at in 0..count {
        let (done, mut rest) = right.columns_range_pair_mut(0..at, at..);
        let mut column = rest.column_mut(0);
        orthogonalise(&mut column, &done.as_view());
        if column.norm() <= 1e-7 * largest {
            // The mean axis keeps this much of its length, so that there is always one that does.
            let enough = 0.5 * (matrix.ncols() - at) as f64 / matrix.ncols() as f64;
            for axis in &mut axes {
                column.fill(0.0);
                column[axis % matrix.ncols()] = 1.0;
                orthogonalise(&mut column, &done.as_view());
                if column.norm_squared() >= enough {
                    break;
                }
            }
        }
        let norm = column.norm();
        column /= norm;
    }
    Ok((left, right))
}

type ColumnMut<'a> = nalgebra::DVectorViewMut<'a, f64>;

/// Takes the part in the space of `basis` out of `column`, twice for rounding.
fn orthogonalise(column: &mut ColumnMut<'_>, basis: &nalgebra::DMatrixView<'_, f64>) {
    for _ in 0..2 {
        let along = basis.tr_mul(&*column);
        column.gemv(-1.0, basis, &along, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, rank: usize) -> DMatrix<f64> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        let a = DMatrix::from_fn(rows, rank, |_, _| next());
        let b = DMatrix::from_fn(rank, columns, |_, _| next());
        a * b
    }

    #[test]
    fn singular_vectors_are_orthonormal_and_rebuild_the_matrix_whatever_its_rank() {
        for (rows, columns, rank) in
            [(1, 1, 1), (5, 9, 5), (9, 5, 5), (6, 6, 6), (20, 30, 7), (30, 20, 1), (8, 12, 0)]
        {
            let m = matrix(rows, columns, rank);
            let count = rows.min(columns);
            let (left, right) = singular_vectors(&m, count).unwrap();
            let identity = DMatrix::<f64>::identity(count, count);
            for side in [&left, &right] {
                assert!((side.tr_mul(side) - &identity).amax() < 1e-12, "{rows} {columns} {rank}");
            }
            let middle = left.tr_mul(&m) * &right;
            assert!((&left * &middle * right.transpose() - &m).amax() < 1e-12);
            let diagonal = DMatrix::from_diagonal(&middle.diagonal());
            assert!((middle - diagonal).amax() < 1e-7, "{rows} {columns} {rank}");
        }
    }
}
