//! What a function takes: which columns, and what is in their rows.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err, plan_err};

/// What the items of a column are to the model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    Text,
    Image,
}

impl Item {
    /// The type to which DataFusion casts an argument of type `given`: itself, if it can be read as it is.
    ///
    /// Nothing else is cast: the vector of `42` or of a date's digits is what nobody asked for, and
    /// who wants it can say so.
    pub(crate) fn coerce(self, function: &str, given: &DataType) -> Result<DataType> {
        let plain = match given {
            DataType::Dictionary(_, values) => values,
            plain => plain,
        };
        match (self, plain) {
            // A bare NULL has a type of its own.
            (Item::Text, DataType::Null) => Ok(DataType::Utf8),
            (Item::Image, DataType::Null) => Ok(DataType::Binary),
            (Item::Text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            | (Item::Image, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) => {
                Ok(given.clone())
            }
            (Item::Text, _) => plan_err!(
                "{function} takes a text, which {given} is not; if its text is meant, \
                 write {function}(CAST(... AS VARCHAR))"
            ),
            (Item::Image, _) => plan_err!(
                "{function} takes an image file's bytes (Binary, LargeBinary or BinaryView), \
                 which {given} is not"
            ),
        }
    }
}

/// The texts of a column by row. A dictionary's rows share its values.
pub(crate) fn texts(column: &dyn Array) -> Result<Vec<Option<&str>>> {
    rows(column, |column| {
        let utf8 = column.as_string_opt::<i32>().map(|texts| texts.iter().collect());
        utf8.or_else(|| Some(column.as_string_opt::<i64>()?.iter().collect()))
            .or_else(|| Some(column.as_string_view_opt()?.iter().collect()))
    })
}

/// The image files of a column by row.
pub(crate) fn images(column: &dyn Array) -> Result<Vec<Option<&[u8]>>> {
    rows(column, |column| {
        let binary = column.as_binary_opt::<i32>().map(|files| files.iter().collect());
        binary
            .or_else(|| Some(column.as_binary_opt::<i64>()?.iter().collect()))
            .or_else(|| Some(column.as_binary_view_opt()?.iter().collect()))
    })
}

fn rows<'a, T: ?Sized>(
    column: &'a dyn Array,
    plain: impl Fn(&'a dyn Array) -> Option<Vec<Option<&'a T>>>,
) -> Result<Vec<Option<&'a T>>> {
    let read = |column: &'a dyn Array| match plain(column) {
        Some(rows) => Ok(rows),
        None => internal_err!("a column of {} was not cast while planning", column.data_type()),
    };
    let Some(dictionary) = column.as_any_dictionary_opt() else { return read(column) };
    let values = read(dictionary.values())?;
    // What normalized_keys panics over; every row is NULL then.
    if values.is_empty() {
        return Ok(vec![None; column.len()]);
    }
    let keys = dictionary.normalized_keys().into_iter().enumerate();
    Ok(keys
        .map(|(row, key)| {
            let value = values.get(key).copied().flatten();
            value.filter(|_| dictionary.keys().is_valid(row))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int8Array, StringArray};

    use super::*;

    #[test]
    fn dictionaries_are_read_as_what_they_stand_for() {
        let values = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        let keys = Int8Array::from(vec![Some(2), None, Some(1), Some(0), Some(2)]);
        let column = DictionaryArray::new(keys, values);
        let expected = [Some("c"), None, None, Some("a"), Some("c")];
        assert_eq!(texts(&column).unwrap(), expected);
        assert_eq!(texts(&column.slice(1, 3)).unwrap(), expected[1..4]);

        let nothing = Arc::new(StringArray::from(Vec::<&str>::new()));
        let column = DictionaryArray::new(Int8Array::from(vec![None, None]), nothing);
        assert_eq!(texts(&column).unwrap(), [None, None]);
    }

    #[test]
    fn a_column_of_another_type_is_an_error() {
        let error = texts(&Int8Array::from(vec![1])).unwrap_err();
        assert!(error.to_string().contains("a column of Int8 was not cast"), "{error}");
    }
}
