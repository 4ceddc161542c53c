//! Arithmetic on vectors: normalise, compare, search.
//!
//! Sums run in `f64`, in index order: the result is the same on every platform, and what is lost is
//! the rounding of the last step.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::{Error, ErrorKind, Result};

/// The dot product of two vectors of one length.
///
/// For unit vectors, which is what isovec's models give, this is the cosine similarity.
///
/// # Errors
///
/// [`DimensionMismatch`](ErrorKind::DimensionMismatch) if the lengths differ.
///
/// ```
/// assert_eq!(isovec_core::vector::dot(&[1.0, 2.0], &[3.0, 4.0])?, 11.0);
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub fn dot(a: &[f32], b: &[f32]) -> Result<f32> {
    same_dims(a, b)?;
    Ok(dot_f64(a, b) as f32)
}

/// The cosine of the angle between two vectors, from -1 to 1.
///
/// # Errors
///
/// [`DimensionMismatch`](ErrorKind::DimensionMismatch) if the lengths differ;
/// [`ZeroVector`](ErrorKind::ZeroVector) if either has no direction;
/// [`NonFinite`](ErrorKind::NonFinite) if either holds NaN or infinity.
///
/// ```
/// assert_eq!(isovec_core::vector::cosine(&[2.0, 0.0], &[0.0, 3.0])?, 0.0);
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub fn cosine(a: &[f32], b: &[f32]) -> Result<f32> {
    same_dims(a, b)?;
    let cosine = dot_f64(a, b) / (norm(a)? * norm(b)?);
    // Rounding may leave the cosine of a vector with itself a last bit above one.
    Ok(cosine.clamp(-1.0, 1.0) as f32)
}

/// Scales `vector` to length one, in place.
///
/// # Errors
///
/// [`ZeroVector`](ErrorKind::ZeroVector) or [`NonFinite`](ErrorKind::NonFinite); the vector is then
/// unchanged.
///
/// ```
/// let mut vector = [3.0, 4.0];
/// isovec_core::vector::l2_normalize(&mut vector)?;
/// assert_eq!(vector, [0.6, 0.8]);
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub fn l2_normalize(vector: &mut [f32]) -> Result<()> {
    let norm = norm(vector)?;
    for x in vector {
        *x = (f64::from(*x) / norm) as f32;
    }
    Ok(())
}

/// One result of [`top_k`]: the row of a candidate, and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The index of the candidate, counted from 0.
    pub index: usize,
    /// Its dot product with the query.
    pub score: f32,
}

/// The `k` candidates with the largest dot product with `query`, best first; of equal scores the
/// lower index first. Exact: every candidate is compared.
///
/// # Errors
///
/// [`DimensionMismatch`](ErrorKind::DimensionMismatch) names the first candidate whose length is not
/// the query's; [`NonFinite`](ErrorKind::NonFinite) the first whose score is NaN or infinite.
///
/// ```
/// use isovec_core::vector::top_k;
///
/// let candidates = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]];
/// let hits = top_k(&[0.0, 1.0], candidates.iter().map(|c| c.as_slice()), 2)?;
/// assert_eq!(hits.iter().map(|hit| hit.index).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), isovec_core::Error>(())
/// ```
pub fn top_k<'a>(
    query: &[f32],
    candidates: impl IntoIterator<Item = &'a [f32]>,
    k: usize,
) -> Result<Vec<Hit>> {
    let mut best = BinaryHeap::new();
    for (index, candidate) in candidates.into_iter().enumerate() {
        let score =
            dot(query, candidate).map_err(|e| e.context(format_args!("candidate {index}")))?;
        if !score.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!("candidate {index}: its score is {score}, not a finite number"),
            ));
        }
        best.push(Worst(Hit { index, score }));
        if best.len() > k {
            best.pop();
        }
    }
    Ok(best.into_sorted_vec().into_iter().map(|Worst(hit)| hit).collect())
}

/// Orders hits worst-greatest, so that a max-heap gives up the worst one first.
struct Worst(Hit);

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.index.cmp(&other.0.index))
    }
}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Worst {}

fn same_dims(a: &[f32], b: &[f32]) -> Result<()> {
    if a.len() == b.len() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::DimensionMismatch,
        format!("cannot compare vectors of {} and {} dimensions", a.len(), b.len()),
    ))
}

fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// The Euclidean length, which is finite and not zero or else an error. In f64 it can neither
/// overflow nor vanish for any finite f32 vector that is not zero.
fn norm(vector: &[f32]) -> Result<f64> {
    let norm = dot_f64(vector, vector).sqrt();
    if !norm.is_finite() {
        let at = vector.iter().position(|x| !x.is_finite()).unwrap_or(0);
        return Err(Error::new(
            ErrorKind::NonFinite,
            format!("the vector holds {} at index {at} of {}", vector[at], vector.len()),
        ));
    }
    if norm == 0.0 {
        return Err(Error::new(
            ErrorKind::ZeroVector,
            format!("the vector of {} dimensions is zero and has no direction", vector.len()),
        ));
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vectors(dims: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-1e3f32..1e3, dims)
    }

    proptest! {
        #[test]
        fn normalised_vectors_have_length_one(mut v in vectors(17)) {
            prop_assume!(v.iter().any(|x| *x != 0.0));
            l2_normalize(&mut v).unwrap();
            prop_assert!((norm(&v).unwrap() - 1.0).abs() < 1e-6);
        }

        #[test]
        fn top_k_is_the_head_of_a_full_sort(
            rows in prop::collection::vec(prop::collection::vec(-4i8..4, 3), 0..40),
            k in 0usize..45,
        ) {
            // Small integers give many ties, which must keep index order.
            let rows: Vec<Vec<f32>> =
                rows.into_iter().map(|r| r.into_iter().map(f32::from).collect()).collect();
            let query = [1.0, -2.0, 0.5];
            let mut all: Vec<Hit> = rows
                .iter()
                .enumerate()
                .map(|(index, row)| Hit { index, score: dot(&query, row).unwrap() })
                .collect();
            all.sort_by(|a, b| b.score.total_cmp(&a.score));
            all.truncate(k);
            prop_assert_eq!(top_k(&query, rows.iter().map(Vec::as_slice), k).unwrap(), all);
        }
    }

    #[test]
    fn extremes_of_f32_neither_overflow_nor_vanish() {
        for x in [f32::MAX, f32::MIN_POSITIVE, 1e-45] {
            let mut v = [x, 0.0];
            l2_normalize(&mut v).unwrap();
            assert_eq!(v, [1.0, 0.0], "{x}");
        }
    }

    #[test]
    fn bad_vectors_are_typed_errors_and_unchanged() {
        let mut nan = [1.0, f32::NAN];
        let error = l2_normalize(&mut nan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert_eq!(error.to_string(), "the vector holds NaN at index 1 of 2");
        assert_eq!(nan[0], 1.0);
        assert_eq!(l2_normalize(&mut [0.0, 0.0]).unwrap_err().kind(), ErrorKind::ZeroVector);
        assert_eq!(cosine(&[0.0], &[1.0]).unwrap_err().kind(), ErrorKind::ZeroVector);
        assert_eq!(
            top_k(&[1.0], [[f32::INFINITY].as_slice()], 1).unwrap_err().kind(),
            ErrorKind::NonFinite
        );
    }
}
