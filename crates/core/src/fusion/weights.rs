//! How much a text and an image count.

use crate::{Error, ErrorKind, Result};

/// How much the text and the image count in a fused vector: 0.6 and 0.4 by default.
///
/// A weight is the share of a fused vector's squared length, and so of a dot product, that comes
/// from its side.
///
/// ```
/// let weights = isovec_core::FusionWeights::new(3.0, 1.0)?;
/// assert_eq!((weights.text(), weights.image()), (0.75, 0.25));
/// # Ok::<(), isovec_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusionWeights {
    text: f64,
    image: f64,
}

impl FusionWeights {
    /// Weights in the proportion of `text` to `image`; they are scaled to sum to one.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) if one is negative or not finite, or both are 0.
    pub fn new(text: f64, image: f64) -> Result<Self> {
        let sum = text + image;
        if !(text >= 0.0 && image >= 0.0 && sum > 0.0 && sum.is_finite()) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "weights: {text} for text and {image} for image: both must be 0 or more, and \
                     not both 0"
                ),
            ));
        }
        // Not image / sum: the two then sum to exactly one, so that a file that is read gives the
        // very weights that were written, and the same fingerprint. Adding 0 makes -0 be 0.
        let text = text / sum + 0.0;
        Ok(FusionWeights { text, image: 1.0 - text })
    }

    /// The weight of the text, from 0 to 1.
    pub fn text(self) -> f64 {
        self.text
    }

    /// The weight of the image: one less that of the text.
    pub fn image(self) -> f64 {
        self.image
    }
}

impl Default for FusionWeights {
    fn default() -> Self {
        FusionWeights { text: 0.6, image: 0.4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in 0.0f64..10.0, image in 0.0f64..10.0) {
            prop_assume!(text + image > 0.0);
            let once = FusionWeights::new(text, image).unwrap();
            prop_assert_eq!(once.text() + once.image(), 1.0);
            prop_assert_eq!(FusionWeights::new(once.text(), once.image()).unwrap(), once);
        }
    }

    #[test]
    fn default_is_normalised() {
        assert_eq!(FusionWeights::new(0.6, 0.4).unwrap(), FusionWeights::default());
        assert_eq!(FusionWeights::new(3.0, 2.0).unwrap(), FusionWeights::default());
    }

    #[test]
    fn impossible_weights_are_refused() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for (text, image) in
            [(0.0, 0.0), (-0.1, 1.0), (1.0, -0.1), (nan, 1.0), (1.0, inf), (f64::MAX, f64::MAX)]
        {
            let error = FusionWeights::new(text, image).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text} {image}");
        }
    }
}
