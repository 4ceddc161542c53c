//! The scalar function around a model.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::utils::take_function_args;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};
use isovec::{ClipTextEmbedder, Fingerprint, ImageEmbedder, TextEmbedder};

use crate::column::Item;
use crate::model::Model;
use crate::vectors::{Failed, vector_type};

/// The key in a field's metadata under which the model's name is.
pub const MODEL_KEY: &str = "isovec.model";

/// The key in a field's metadata under which the model's [fingerprint](Fingerprint) is: vectors may be
/// compared where it is the same.
pub const FINGERPRINT_KEY: &str = "isovec.fingerprint";

/// A function of SQL that turns texts or images into vectors.
///
/// Cheap to clone: clones share the model. Two are equal if they are of one name and one model with the
/// same settings.
///
/// ```no_run
/// use datafusion::prelude::SessionContext;
/// use isovec::TextEmbedder;
/// use isovec_datafusion::Embed;
///
/// // A model that wants one prompt before a query and another one before a passage.
/// let model = TextEmbedder::open("models/multilingual-e5-small")?;
/// let ctx = SessionContext::new();
/// ctx.register_udf(Embed::text_with_prompt(model.clone(), "query")?.named("embed_query").into());
/// ctx.register_udf(Embed::text_with_prompt(model, "passage")?.named("embed_passage").into());
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embed {
    name: String,
    model: Model,
    signature: Signature,
    documentation: Documentation,
}

impl Embed {
    /// `embed(text)`: the vector of a text.
    pub fn text(model: TextEmbedder) -> Self {
        Self::new("embed", Model::Text { model, prompt: None })
    }

    /// `embed(text)` with a named prompt of the model before each text.
    ///
    /// # Errors
    ///
    /// [`NotFound`](isovec::ErrorKind::NotFound) if the model has no such prompt.
    pub fn text_with_prompt(model: TextEmbedder, prompt: &str) -> isovec::Result<Self> {
        model.spec().prompt(prompt)?;
        Ok(Self::new("embed", Model::Text { model, prompt: Some(prompt.to_owned()) }))
    }

    /// `embed_clip_text(text)`: the vector of a text in the space of a CLIP's images.
    pub fn clip_text(model: ClipTextEmbedder) -> Self {
        Self::new("embed_clip_text", Model::ClipText(model))
    }

    /// `embed_image(file)`: the vector of an image file's bytes.
    pub fn image(model: ImageEmbedder) -> Self {
        Self::new("embed_image", Model::Image(model))
    }

    /// The function under another name, so that one session can have several. In lower case, or it has
    /// to be quoted in SQL.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self::new(name, self.model)
    }

    fn new(name: &str, model: Model) -> Self {
        let (what, argument) = match model.takes() {
            Item::Text => ("a text", "text"),
            Item::Image => ("an image file (JPEG, PNG or WebP)", "file"),
        };
        let documentation = Documentation::builder(
            DOC_SECTION_OTHER,
            format!(
                "The vector of {what} by the model {}, of {} floats.",
                model.name(),
                model.dims()
            ),
            format!("{name}({argument})"),
        );
        Embed {
            name: name.to_owned(),
            documentation: documentation
                .with_argument(argument, format!("{what}, or NULL"))
                .build(),
            // A vector depends on its item alone, so a constant's can be had while planning.
            signature: Signature::user_defined(Volatility::Immutable),
            model,
        }
    }

    /// What tells two functions apart. What the fingerprint covers needs no mention.
    fn identity(&self) -> (&str, Fingerprint, Option<&str>) {
        (&self.name, self.model.fingerprint(), self.model.prompt())
    }
}

impl PartialEq for Embed {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Embed {}

impl Hash for Embed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl ScalarUDFImpl for Embed {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = take_function_args(&self.name, given)?;
        Ok(vec![self.model.takes().coerce(&self.name, given)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        vector_type(self.model.dims())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let metadata = HashMap::from([
            (MODEL_KEY.to_owned(), self.model.name().to_owned()),
            (FINGERPRINT_KEY.to_owned(), self.model.fingerprint().to_string()),
        ]);
        let field = Field::new(&self.name, self.return_type(&[])?, nullable);
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [argument] = take_function_args(&self.name, args.args)?;
        match argument {
            ColumnarValue::Array(column) => match self.model.embed(&column) {
                Ok(vectors) => Ok(ColumnarValue::Array(Arc::new(vectors))),
                Err(failed) => Err(self.error(failed, Some(column.len()))),
            },
            ColumnarValue::Scalar(item) => match self.model.embed(&item.to_array()?) {
                Ok(vectors) => {
                    Ok(ColumnarValue::Scalar(ScalarValue::FixedSizeList(Arc::new(vectors))))
                }
                Err(failed) => Err(self.error(failed, None)),
            },
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

impl Embed {
    /// `failed` with where it was: in a batch of so many rows, or in a constant. Never with the item itself.
    fn error(&self, failed: Failed, batch: Option<usize>) -> DataFusionError {
        let name = &self.name;
        match (failed, batch) {
            (Failed::Row(row, error), Some(rows)) => DataFusionError::External(Box::new(
                error.context(format_args!("{name}: row {row} of a batch of {rows}, from 0")),
            )),
            (Failed::Row(_, error), None) => {
                DataFusionError::External(Box::new(error.context(name)))
            }
            (Failed::Column(error), _) => error,
        }
    }
}
