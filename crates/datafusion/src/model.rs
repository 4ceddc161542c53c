//! The kinds of model that a function can be of, and what differs between them.

use arrow::array::{Array, FixedSizeListArray};
use datafusion_common::Result;
use isovec::{
    ClipTextEmbedder, Embedding, Fingerprint, ImageEmbedder, ImageEmbedding, TextEmbedder,
};

use crate::column::{self, Item};
use crate::vectors::{Failed, vectors};

/// A model, and how it is asked. Cheap to clone, as its parts are.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Text { model: TextEmbedder, prompt: Option<String> },
    ClipText(ClipTextEmbedder),
    Image(ImageEmbedder),
}

impl Model {
    /// What its function takes.
    pub(crate) fn takes(&self) -> Item {
        match self {
            Model::Text { .. } | Model::ClipText(_) => Item::Text,
            Model::Image(_) => Item::Image,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Model::Text { model, .. } => &model.spec().name,
            Model::ClipText(model) => &model.spec().name,
            Model::Image(model) => &model.spec().name,
        }
    }

    pub(crate) fn dims(&self) -> usize {
        match self {
            Model::Text { model, .. } => model.dims(),
            Model::ClipText(model) => model.dims(),
            Model::Image(model) => model.dims(),
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            Model::Text { model, .. } => model.fingerprint(),
            Model::ClipText(model) => model.fingerprint(),
            Model::Image(model) => model.fingerprint(),
        }
    }

    pub(crate) fn prompt(&self) -> Option<&str> {
        match self {
            Model::Text { prompt, .. } => prompt.as_deref(),
            Model::ClipText(_) | Model::Image(_) => None,
        }
    }

    /// The vectors of a column, one for each row that is not NULL.
    pub(crate) fn embed(&self, column: &dyn Array) -> Result<FixedSizeListArray, Failed> {
        let dims = self.dims();
        match self {
            Model::Text { model, prompt } => vectors(
                &column::texts(column)?,
                dims,
                |texts| model.embed_each_with(prompt.as_deref(), texts),
                Embedding::vector,
            ),
            Model::ClipText(model) => vectors(
                &column::texts(column)?,
                dims,
                |texts| model.embed_each(texts),
                Embedding::vector,
            ),
            Model::Image(model) => vectors(
                &column::images(column)?,
                dims,
                |files| model.embed_each(files),
                ImageEmbedding::vector,
            ),
        }
    }
}
