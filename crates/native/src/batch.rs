//! What becomes of the results of a batch.

use isovec_core::{Error, ErrorKind, Result};
use ndarray::Array2;

/// All results, or the first error, which then names what it was of by its index.
pub(crate) fn all_of<T>(results: Vec<Result<T>>, what: &str) -> Result<Vec<T>> {
    let name = |(index, result): (usize, Result<T>)| {
        result.map_err(|e| e.context(format_args!("{what} {index}")))
    };
    results.into_iter().enumerate().map(name).collect()
}

/// The vectors as an array of the shape `[vectors, dims]`.
pub(crate) fn array_of<'a>(
    vectors: impl ExactSizeIterator<Item = &'a [f32]>,
    dims: usize,
) -> Result<Array2<f32>> {
    let shape = (vectors.len(), dims);
    Array2::from_shape_vec(shape, vectors.flatten().copied().collect()).map_err(|e| {
        Error::new(ErrorKind::DimensionMismatch, "the vectors differ in length").with_source(e)
    })
}
