//! From a model's output to one vector that may be handed out.

use ndarray::{Array1, Array2, Axis};

use crate::engine::Output;
use crate::{Error, ErrorKind, ModelSpec, Pooling, Result, vector};

/// Pools, checks, cuts to `dims` and normalises, as the model's facts say.
pub(crate) fn finish(output: Output, spec: &ModelSpec, dims: usize) -> Result<Vec<f32>> {
    let mut pooled = pool(output, spec.pooling)?.to_vec();
    if let Some(at) = pooled.iter().position(|x| !x.is_finite()) {
        return Err(Error::new(
            ErrorKind::NonFinite,
            format!("the model gave {} at index {at} of {}", pooled[at], pooled.len()),
        ));
    }
    pooled.truncate(dims);
    if spec.normalize {
        vector::l2_normalize(&mut pooled).map_err(|e| e.context("the model's output"))?;
    } else if pooled.iter().all(|x| *x == 0.0) {
        return Err(Error::new(ErrorKind::ZeroVector, "the model gave the zero vector"));
    }
    Ok(pooled)
}

/// One vector of the model's output. Inputs run at their own lengths, so every token counts and there is no
/// padding to mask.
fn pool(output: Output, pooling: Pooling) -> Result<Array1<f32>> {
    match (output, pooling) {
        (Output::Pooled(pooled), Pooling::None) => Ok(pooled),
        (Output::Tokens(tokens), Pooling::Mean) => mean(&tokens),
        (Output::Tokens(tokens), Pooling::Cls) if tokens.nrows() > 0 => {
            Ok(tokens.row(0).to_owned())
        }
        _ => Err(Error::new(
            ErrorKind::Inference,
            format!("the model's output does not fit its pooling, {pooling:?}"),
        )),
    }
}

fn mean(tokens: &Array2<f32>) -> Result<Array1<f32>> {
    tokens
        .mean_axis(Axis(0))
        .ok_or_else(|| Error::new(ErrorKind::Inference, "the model gave no token to pool"))
}

/// The number of dimensions to give: the model's own, or one of those it was trained to be cut to.
pub(crate) fn dimensions(spec: &ModelSpec, asked: Option<usize>) -> Result<usize> {
    let dims = asked.unwrap_or(spec.dims);
    if dims != spec.dims && !spec.matryoshka.contains(&dims) {
        let mut allowed = spec.matryoshka.clone();
        allowed.push(spec.dims);
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "dimensions: {dims} is not one that model {:?} was trained for: {allowed:?}",
                spec.name
            ),
        ));
    }
    Ok(dims)
}
