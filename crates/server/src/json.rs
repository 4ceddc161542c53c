//! JSON to requests, with errors that name the field, and repeat nothing of what a user sent but the
//! names of fields.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use crate::errors::{ApiError, Problem};

/// The longest name of a field that an error repeats.
const NAME: usize = 64;

/// A JSON object, and nothing else: by itself, serde reads a list of a struct's values too.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(entries)).map(Object)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        explain((path != ".").then_some(path.as_str()), e.inner())
    })?;
    json.end().map_err(|e| explain(None, &e))?;
    Ok(value)
}

fn explain(path: Option<&str>, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    if error.classify() != Category::Data {
        // What a parser says of syntax names bytes' places, and no bytes.
        return ApiError::new(Problem::InvalidJson, format!("the body is not valid JSON: {text}"));
    }
    let text = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let message = without_values(text);
    let path = path.map(cut);
    let param = path.clone().or_else(|| Some(quoted(text)?.to_owned())).map(|name| cut(&name));
    let message = match path {
        Some(path) => format!("{path}: {message}"),
        None => message,
    };
    let error = ApiError::new(Problem::Kind(isovec::ErrorKind::InvalidInput), message);
    match param {
        Some(param) => error.param(param),
        None => error,
    }
}

/// The name of the field that a message of serde is about.
fn quoted(text: &str) -> Option<&str> {
    let rest = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| text.strip_prefix(start))?;
    rest.split('`').next()
}

/// serde's message without the value that it found, which is the user's.
fn without_values(text: &str) -> String {
    let expected = text.rfind(", expected ").unwrap_or(text.len());
    let (found, expected) = text.split_at(expected);
    let found = if found.starts_with("invalid type: string ") {
        "a string".to_owned()
    } else if let Some(found) = found.strip_prefix("invalid type: ") {
        match found.split_once(" `") {
            Some((kind, _)) => format!("{} {kind}", article(kind)),
            None => format!("{} {found}", article(found)),
        }
    } else if found.starts_with("invalid value: ") || found.starts_with("unknown variant ") {
        "not a value that is known".to_owned()
    } else if let Some(rest) = found.strip_prefix("unknown field `") {
        format!("unknown field `{}`", cut(rest.trim_end_matches('`')))
    } else {
        found.to_owned()
    };
    let expected = expected
        .replace("expected usize", "expected a whole number")
        .replace("expected u64", "expected a whole number");
    format!("{found}{expected}")
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Style;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Sample {
        name: String,
        size: Option<usize>,
        flag: Option<bool>,
        list: Option<Vec<String>>,
        choice: Option<Choice>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Float,
        Base64,
    }

    #[test]
    fn errors_name_the_field_and_repeat_no_value() {
        let long = format!(r#"{{"name": "", "{}": 1}}"#, "k".repeat(1000));
        let cases: [(&str, &str); 16] = [
            (r#"["a", 1]"#, "a sequence, expected an object"),
            ("{}", "missing field `name`"),
            ("3", "an integer, expected an object"),
            ("\"SECRET\"", "a string, expected an object"),
            (r#"{"name": null}"#, "name: a null, expected a string"),
            (
                r#"{"name": "", "size": "SECRET, expected x"}"#,
                "size: a string, expected a whole number",
            ),
            (
                r#"{"name": "", "size": -1}"#,
                "size: not a value that is known, expected a whole number",
            ),
            (r#"{"name": "", "size": 1.5}"#, "size: a floating point, expected a whole number"),
            (r#"{"name": "", "flag": [1]}"#, "flag: a sequence, expected a boolean"),
            (r#"{"name": "", "list": ["a", {}]}"#, "list[1]: a map, expected a string"),
            (
                r#"{"name": "", "choice": "SECRET"}"#,
                "choice: not a value that is known, expected `float` or `base64`",
            ),
            (
                r#"{"name": "", "colour": 1}"#,
                "unknown field `colour`, expected one of `name`, `size`, `flag`, `list`, `choice`",
            ),
            (r#"{"name": "", "name": ""}"#, "duplicate field `name`"),
            ("{\"name\": \"\"", "not valid JSON: EOF while parsing an object"),
            ("{\"name\": \"\"} x", "not valid JSON: trailing characters"),
            (&long, &format!("unknown field `{}…`", "k".repeat(NAME))),
        ];
        for (body, expected) in cases {
            let error = parse::<Object<Sample>>(body.as_bytes()).err().unwrap();
            assert!(error.message().contains(expected), "{body}: {}", error.message());
            assert!(!error.message().contains("SECRET"), "{}", error.message());
        }
    }

    #[test]
    fn nesting_and_bytes_that_are_no_text_are_errors() {
        let deep = "[".repeat(100_000);
        let cases: [&[u8]; 4] = [b"", b"\xff\xfe", b"{\"name\": \"\xff\"}", deep.as_bytes()];
        for body in cases {
            let response = parse::<Object<Sample>>(body).err().unwrap().render(Style::OpenAi, "id");
            assert_eq!(response.status(), 400, "{:?}", &body[..body.len().min(20)]);
        }
    }
}
