//! Vectors in answers: as numbers or as base64, whole or cut.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isovec::service::ModelInfo;
use isovec::vector::l2_normalize;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::errors::ApiError;

/// How the numbers of a vector are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// 32-bit floats, little-endian, in base64.
    Base64,
}

/// A vector, as a list of numbers or as base64.
#[derive(Debug)]
pub(crate) struct Vector {
    numbers: Vec<f32>,
    format: EncodingFormat,
}

impl PartialSchema for Vector {
    fn schema() -> RefOr<Schema> {
        let base64 = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        OneOfBuilder::new().item(Vec::<f32>::schema()).item(base64).into()
    }
}

impl ToSchema for Vector {}

impl Vector {
    pub(crate) fn new(numbers: Vec<f32>, format: EncodingFormat) -> Self {
        Vector { numbers, format }
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.format {
            // The shortest decimals that read back as the same floats.
            EncodingFormat::Float => self.numbers.serialize(serializer),
            EncodingFormat::Base64 => {
                let mut bytes = Vec::with_capacity(4 * self.numbers.len());
                bytes.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
        }
    }
}

/// To how many dimensions vectors are cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    dims: usize,
    normalize: bool,
}

impl Cut {
    /// What `dimensions` asks of a model, which may be one of the sizes that it was trained for.
    pub(crate) fn new(model: &ModelInfo, dimensions: Option<usize>) -> Result<Self, ApiError> {
        let dims = dimensions.unwrap_or(model.dims);
        let trained = model.spec.matryoshka.iter().filter(|&&size| size < model.dims);
        let mut sizes: Vec<usize> = trained.copied().collect();
        sizes.push(model.dims);
        if !sizes.contains(&dims) {
            sizes.sort_unstable();
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            let message = format!(
                "model {:?} has no vectors of {dims} dimensions; it has them of: {}",
                model.name,
                sizes.join(", ")
            );
            return Err(ApiError::invalid("dimensions", message));
        }
        Ok(Cut { dims, normalize: dims < model.dims && model.spec.normalize })
    }

    pub(crate) fn apply(self, vector: &[f32]) -> Result<Vec<f32>, ApiError> {
        let mut vector = vector.get(..self.dims).unwrap_or(vector).to_vec();
        if self.normalize {
            l2_normalize(&mut vector)?;
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_read_back_as_the_same_floats() {
        let numbers =
            vec![0.1, -0.0, 1.0, f32::MIN_POSITIVE, f32::MAX, 1e-45, 0.333_333_34, -2.5e-8];
        let json = serde_json::to_string(&Vector::new(numbers.clone(), EncodingFormat::Float));
        let back: Vec<f32> = serde_json::from_str(&json.unwrap()).unwrap();
        assert_eq!(back, numbers);
        let json = serde_json::to_string(&Vector::new(numbers.clone(), EncodingFormat::Base64));
        let text: String = serde_json::from_str(&json.unwrap()).unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        let back: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        assert_eq!(back, numbers);
        assert_eq!(back[1].to_bits(), numbers[1].to_bits());
    }

    #[test]
    fn a_cut_vector_is_scaled_again_where_the_model_does() {
        let vector = [0.6, 0.0, 0.8];
        let whole = Cut { dims: 3, normalize: false };
        assert_eq!(whole.apply(&vector).unwrap(), vector);
        let cut = Cut { dims: 2, normalize: true };
        assert_eq!(cut.apply(&vector).unwrap(), [1.0, 0.0]);
        let raw = Cut { dims: 2, normalize: false };
        assert_eq!(raw.apply(&vector).unwrap(), [0.6, 0.0]);
    }
}
