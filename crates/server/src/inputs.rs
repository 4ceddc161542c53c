//! What requests say is to be embedded: one string or many.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::errors::{ApiError, Problem};

/// No list grows over this while it is read, which is the most that a configuration may allow: an empty string
/// takes three bytes in a body and 24 in memory.
const MOST: usize = 100_000;

const TOKEN_IDS: &str = "token ids are not taken, since they are those of another model's tokenizer; \
    send the texts themselves (in LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)";

/// One text, or a list of texts.
pub(crate) struct Texts(Vec<Text>);

/// A list that is read no further than [`MOST`].
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl Texts {
    /// The texts, of which there is at least one and not more than allowed.
    pub(crate) fn into_items(self, param: &str, most: usize) -> Result<Vec<Text>, ApiError> {
        check_count(param, self.0.len(), most)?;
        Ok(self.0)
    }
}

pub(crate) fn check_count(param: &str, count: usize, most: usize) -> Result<(), ApiError> {
    if count == 0 {
        let message = format!("`{param}` cannot be empty");
        return Err(ApiError::new(Problem::Empty, message).param(param));
    }
    if count > most {
        let message = format!("`{param}` has {count} items; one request may have at most {most}");
        return Err(ApiError::new(Problem::TooMany, message).param(param));
    }
    Ok(())
}

/// A text, which is never shown by `Debug`.
pub(crate) struct Text(pub(crate) String);

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Text, E> {
        Err(E::custom(TOKEN_IDS))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Text, E> {
        Err(E::custom(TOKEN_IDS))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Text, A::Error> {
        match ids.next_element::<u64>() {
            Ok(Some(_)) => Err(de::Error::custom(TOKEN_IDS)),
            _ => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// What is left of a list.
fn rest<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<T>, A::Error> {
    let mut items = Vec::new();
    while let Some(item) = list.next_element()? {
        if items.len() == MOST {
            return Err(de::Error::custom(format!("a list of more than {MOST} items")));
        }
        items.push(item);
    }
    Ok(items)
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![Text(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Texts, A::Error> {
        rest(list).map(Texts)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<List<T>, A::Error> {
        rest(list).map(List)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl PartialSchema for Texts {
    fn schema() -> RefOr<Schema> {
        let string = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        OneOfBuilder::new()
            .item(string())
            .item(ArrayBuilder::new().items(string()).min_items(Some(1)))
            .into()
    }
}

impl ToSchema for Texts {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn one_or_many_and_nothing_else() {
        let good: [(&str, &[&str]); 4] = [
            (r#""a""#, &["a"]),
            (r#"["a", "b"]"#, &["a", "b"]),
            (r#""""#, &[""]),
            (r#"["\ud83d\ude00", "\u0000"]"#, &["\u{1f600}", "\0"]),
        ];
        for (body, expected) in good {
            let items = json::parse::<Texts>(body.as_bytes())
                .and_then(|input| input.into_items("input", 2))
                .map(|items| items.into_iter().map(|text| text.0).collect::<Vec<_>>());
            assert_eq!(items.unwrap(), expected, "{body}");
        }
        let bad = [
            ("[]", "`input` cannot be empty"),
            (r#"["a", "b", "c"]"#, "`input` has 3 items; one request may have at most 2"),
            ("[1, 2]", "check_embedding_ctx_length=False"),
            ("[[1, 2], [3]]", "check_embedding_ctx_length=False"),
            (r#"["a", 1]"#, "check_embedding_ctx_length=False"),
            ("{}", "a map, expected a string or a list of strings"),
            ("7", "an integer, expected a string or a list of strings"),
            ("null", "a null, expected a string or a list of strings"),
            (r#"["a", null]"#, "[1]: a null, expected a string"),
            (r#"[["a"]]"#, "[0]: a sequence, expected a string"),
            (r#"["\ud800"]"#, "not valid JSON"),
        ];
        for (body, expected) in bad {
            let error = json::parse::<Texts>(body.as_bytes())
                .and_then(|input| input.into_items("input", 2))
                .err()
                .unwrap();
            assert!(error.message().contains(expected), "{body}: {}", error.message());
        }
    }

    #[test]
    fn a_list_does_not_grow_over_the_most() {
        let body = format!("[{}\"\"]", "\"\",".repeat(MOST));
        let error = json::parse::<Texts>(body.as_bytes()).err().unwrap();
        assert!(error.message().contains("a list of more than 100000 items"), "{}", error.message());
    }
}
