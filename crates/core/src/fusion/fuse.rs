//! From two vectors to one.

use super::{Fusion, Map};
use crate::{Error, ErrorKind, Result};

/// What [`Fusion::fuse`] gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fused {
    vector: Vec<f32>,
    /// Whether there was a text.
    pub has_text: bool,
    /// Whether there was an image.
    pub has_image: bool,
}

impl Fused {
    /// The vector: finite, and of length one.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// The vector, owned.
    pub fn into_vector(self) -> Vec<f32> {
        self.vector
    }
}

impl Fusion {
    /// The fused vector of a text's vector and an image's, of which one may be missing.
    ///
    /// Both may be of any length; only their directions count. The result has length one.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if both are missing, or the only one there is has
    ///   the weight 0.
    /// - [`DimensionMismatch`](ErrorKind::DimensionMismatch), [`NonFinite`](ErrorKind::NonFinite)
    ///   and [`ZeroVector`](ErrorKind::ZeroVector) for a vector that is none of this fusion's, with
    ///   `text` or `image` in the text of the error.
    /// - [`ZeroVector`](ErrorKind::ZeroVector) if the terms cancel out, which a learned fusion's may:
    ///   the input is then the very mean of the pairs it was fitted on.
    ///
    /// See [`Fusion`] for an example.
    pub fn fuse(&self, text: Option<&[f32]>, image: Option<&[f32]>) -> Result<Fused> {
        let (has_text, has_image) = (text.is_some(), image.is_some());
        let text = text.map(|v| unit("text", v, self.text_dims)).transpose()?;
        let image = image.map(|v| unit("image", v, self.image_dims)).transpose()?;
        let [by_text, by_image] = [self.weights.text(), self.weights.image()].map(f64::sqrt);
        let refuse = |detail: &str| Err(Error::new(ErrorKind::InvalidInput, detail));
        match (&text, &image) {
            (None, None) => return refuse("neither a text nor an image to fuse"),
            (Some(_), None) if by_text == 0.0 => {
                return refuse("only a text to fuse, and the weight of text is 0");
            }
            (None, Some(_)) if by_image == 0.0 => {
                return refuse("only an image to fuse, and the weight of image is 0");
            }
            _ => {}
        }
        let mut sum = vec![0.0; self.dims];
        match &self.map {
            Map::Concat => {
                let (of_text, of_image) = sum.split_at_mut(self.text_dims);
                for (part, input, scale) in [(of_text, text, by_text), (of_image, image, by_image)]
                {
                    for (out, x) in part.iter_mut().zip(input.unwrap_or_default()) {
                        *out = scale * x;
                    }
                }
            }
            Map::Learned(linear) | Map::Untrained { linear, .. } => {
                if let Some(text) = text {
                    linear.text.add_to(&mut sum, &text, by_text);
                }
                if let Some(image) = image {
                    linear.image.add_to(&mut sum, &image, by_image);
                }
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        // Weights of the largest f32 cannot overflow f64; only "no direction" is possible here.
        if length == 0.0 {
            return Err(Error::new(ErrorKind::ZeroVector, "the fused vector has no direction"));
        }
        let vector = sum.into_iter().map(|x| (x / length) as f32).collect();
        Ok(Fused { vector, has_text, has_image })
    }
}

/// `vector` scaled to length one, in f64, so that it is rounded once only: at the end.
fn unit(name: &str, vector: &[f32], dims: usize) -> Result<Vec<f64>> {
    if vector.len() != dims {
        return Err(Error::new(
            ErrorKind::DimensionMismatch,
            format!("{name}: {} dimensions, but the fusion takes {dims}", vector.len()),
        ));
    }
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        return Err(Error::new(
            ErrorKind::NonFinite,
            format!("{name}: the vector holds {} at index {at} of {dims}", vector[at]),
        ));
    }
    // In f64 it neither overflows nor vanishes for any finite f32 vector that is not zero.
    let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if length == 0.0 {
        return Err(Error::new(
            ErrorKind::ZeroVector,
            format!("{name}: the vector of {dims} dimensions is zero and has no direction"),
        ));
    }
    Ok(vector.iter().map(|&x| f64::from(x) / length).collect())
}
