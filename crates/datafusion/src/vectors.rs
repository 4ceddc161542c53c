//! From rows to a column of vectors.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{FixedSizeListArray, Float32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result};

/// Why a column has no vectors.
pub(crate) enum Failed {
    /// An item has no vector; this is the first row that has it.
    Row(usize, isovec::Error),
    /// Something else.
    Column(DataFusionError),
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Failed::Column(error)
    }
}

impl From<ArrowError> for Failed {
    fn from(error: ArrowError) -> Self {
        Failed::Column(error.into())
    }
}

/// The type of a vector: a list of so many floats, none of them NULL.
pub(crate) fn vector_type(dims: usize) -> Result<DataType> {
    let (item, dims) = item_and_size(dims)?;
    Ok(DataType::FixedSizeList(item, dims))
}

fn item_and_size(dims: usize) -> Result<(FieldRef, i32)> {
    let size = i32::try_from(dims).map_err(|e| DataFusionError::External(Box::new(e)))?;
    Ok((Arc::new(Field::new_list_field(DataType::Float32, false)), size))
}

/// The vectors of `rows`, NULL for NULL. `embed` is called once, with each item once.
pub(crate) fn vectors<T: Eq + Hash + ?Sized, E>(
    rows: &[Option<&T>],
    dims: usize,
    embed: impl FnOnce(&[&T]) -> Vec<isovec::Result<E>>,
    vector: impl Fn(&E) -> &[f32],
) -> Result<FixedSizeListArray, Failed> {
    let distinct = Distinct::of(rows);
    let mut embeddings = Vec::with_capacity(distinct.items.len());
    // In the order of their first rows, so that the first of several errors is the one reported.
    for (embedding, &row) in embed(&distinct.items).into_iter().zip(&distinct.first_rows) {
        embeddings.push(embedding.map_err(|error| Failed::Row(row, error))?);
    }

    let mut floats = Vec::with_capacity(rows.len() * dims);
    for index in &distinct.of_row {
        match index.and_then(|index| embeddings.get(index)) {
            Some(embedding) => floats.extend_from_slice(vector(embedding)),
            // What lies under a NULL is not read.
            None => floats.resize(floats.len() + dims, 0.0),
        }
    }
    let nulls = NullBuffer::from_iter(distinct.of_row.iter().map(Option::is_some));
    let (item, size) = item_and_size(dims)?;
    let floats = Arc::new(Float32Array::from(floats));
    Ok(FixedSizeListArray::try_new(item, size, floats, Some(nulls))?)
}

/// The items of rows, each once.
#[derive(Debug, PartialEq)]
struct Distinct<'a, T: ?Sized> {
    items: Vec<&'a T>,
    /// For each item, the first row that has it.
    first_rows: Vec<usize>,
    /// For each row, the index of its item.
    of_row: Vec<Option<usize>>,
}

impl<'a, T: Eq + Hash + ?Sized> Distinct<'a, T> {
    fn of(rows: &[Option<&'a T>]) -> Self {
        let mut distinct =
            Distinct { items: Vec::new(), first_rows: Vec::new(), of_row: Vec::new() };
        let mut index_of = HashMap::new();
        for (row, item) in rows.iter().enumerate() {
            let index = item.map(|item| match index_of.entry(item) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    distinct.items.push(item);
                    distinct.first_rows.push(row);
                    *new.insert(distinct.items.len() - 1)
                }
            });
            distinct.of_row.push(index);
        }
        distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_once_among_the_distinct_ones() {
        let rows = [Some("b"), None, Some(""), Some("b"), Some("a"), Some(""), None];
        let expected = Distinct {
            items: vec!["b", "", "a"],
            first_rows: vec![0, 2, 4],
            of_row: vec![Some(0), None, Some(1), Some(0), Some(2), Some(1), None],
        };
        assert_eq!(Distinct::of(&rows), expected);
    }
}
