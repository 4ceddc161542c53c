//! Vectors as rows of one array.

use isovec_core::{Error, ErrorKind, Result};
use ndarray::Array2;

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
