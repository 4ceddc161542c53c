//! `W x + b`, in one order of sums on every platform.

use crate::{Error, ErrorKind, Result, limits};

/// One side of a learned fusion: `weight * x + bias`.
///
/// `weight` is a matrix of as many rows as `bias` has entries, row after row; how many columns it
/// has, and so how many dimensions its input, follows from its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// The matrix, `[dims, inputs]`, row after row.
    pub weight: Vec<f32>,
    /// What is added, `[dims]`.
    pub bias: Vec<f32>,
}

impl Affine {
    /// Checks the sizes and values, and returns the number of inputs. `name` is for errors.
    pub(super) fn check(&self, name: &str) -> Result<usize> {
        let refuse = |detail: String| Err(Error::new(ErrorKind::InvalidFusion, detail));
        let (dims, entries) = (self.bias.len(), self.weight.len());
        if dims == 0 || dims > limits::MAX_DIMS {
            return refuse(format!(
                "{name}.bias: {dims} dimensions is outside of 1 to {}",
                limits::MAX_DIMS
            ));
        }
        if !entries.is_multiple_of(dims) {
            return refuse(format!("{name}.weight: {entries} entries are no {dims} equal rows"));
        }
        let inputs = entries / dims;
        if inputs == 0 || inputs > limits::MAX_DIMS {
            return refuse(format!(
                "{name}.weight: {inputs} columns is outside of 1 to {}",
                limits::MAX_DIMS
            ));
        }
        for (tensor, values) in [("weight", &self.weight), ("bias", &self.bias)] {
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return refuse(format!("{name}.{tensor}: {} at index {at}", values[at]));
            }
        }
        Ok(inputs)
    }
}

/// Both sides of a fusion.
#[derive(Clone)]
pub(super) struct Linear {
    pub(super) text: Side,
    pub(super) image: Side,
}

/// An [`Affine`], its matrix stored column after column: the sums of all rows then advance together,
/// which a compiler can vectorise without changing the order of any one sum.
#[derive(Clone)]
pub(super) struct Side {
    columns: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    pub(super) fn new(text: Affine, image: Affine) -> Self {
        Linear { text: Side::new(text), image: Side::new(image) }
    }
}

impl Side {
    fn new(Affine { weight, bias }: Affine) -> Self {
        let inputs = weight.len() / bias.len();
        Side { columns: transpose(&weight, inputs), bias }
    }

    /// The matrix as files have it, row after row.
    pub(super) fn rows(&self) -> Vec<f32> {
        transpose(&self.columns, self.bias.len())
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `sum += scale * (weight * input + bias)`.
    pub(super) fn add_to(&self, sum: &mut [f64], input: &[f64], scale: f64) {
        let mut product = vec![0.0; sum.len()];
        for (column, &x) in self.columns.chunks_exact(sum.len()).zip(input) {
            for (out, &w) in product.iter_mut().zip(column) {
                *out += f64::from(w) * x;
            }
        }
        for ((out, product), &bias) in sum.iter_mut().zip(product).zip(&self.bias) {
            *out += scale * (product + f64::from(bias));
        }
    }
}

/// A matrix of rows of `width` entries, column after column.
fn transpose(rows: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|at| rows.iter().skip(at).step_by(width).copied()).collect()
}
