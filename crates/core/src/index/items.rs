//! The items of an index: JSON objects, kept as the text that they are.
//!
//! Parsed, an object takes many times the bytes of its text, which a file from anybody should not be
//! able to ask for. So the text is checked in one pass, and only its objects' places are kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::Result;
use crate::tensor_file::{copy_of, invalid, vec_of};

/// Objects in one JSON array.
#[derive(Clone)]
pub(super) struct Items {
    /// The array, which ends in `]`.
    json: String,
    /// Where each object lies. In u32, since a file has fewer bytes than that counts.
    places: Vec<(u32, u32)>,
}

impl Default for Items {
    fn default() -> Self {
        Items { json: "[]".to_owned(), places: Vec::new() }
    }
}

impl Items {
    /// Reads an array of exactly `count` objects.
    pub(super) fn read(bytes: &[u8], count: usize) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| invalid(format!("items: not UTF-8 from byte {}", e.valid_up_to())))?;
        let json = text.trim_matches(BLANK);
        let inner = json
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(|| invalid("items: not a JSON array"))?;
        // An object has 11 bytes at least, and its place 8: whatever number of vectors a file speaks
        // of, its places take no more than its items.
        let mut places = vec_of(count.min(inner.len() / SHORTEST + 1))?;
        let end = inner.len();
        let mut at = skip_blank(inner, 0);
        while at < end {
            let index = places.len();
            if index > 0 {
                if !inner[at..].starts_with(',') {
                    return Err(invalid(format!(
                        "items: item {index}: expected a comma before it"
                    )));
                }
                at = skip_blank(inner, at + 1);
            }
            let length = object(&inner[at..])
                .map_err(|e| invalid(format!("items: item {index}: {}", without_place(&e))))?;
            if places.len() == count {
                return Err(invalid(format!("items: more than {count}, the number of vectors")));
            }
            // One more for the bracket.
            places.push((place(1 + at)?, place(1 + at + length)?));
            at = skip_blank(inner, at + length);
        }
        if places.len() != count {
            return Err(invalid(format!("items: {} for {count} vectors", places.len())));
        }
        Ok(Items { json: copy_of(json)?, places })
    }

    /// Adds an object that was [checked](check), in a file whose size was.
    pub(super) fn push(&mut self, item: &str) {
        let item = item.trim_matches(BLANK);
        self.json.pop();
        if !self.places.is_empty() {
            self.json.push(',');
        }
        let from = self.json.len();
        self.json.push_str(item);
        self.places.push((from as u32, self.json.len() as u32));
        self.json.push(']');
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let &(from, to) = self.places.get(index)?;
        self.json.get(from as usize..to as usize)
    }
}

/// Checks that `item` is one object with a text.
pub(super) fn check(item: &str) -> Result<()> {
    serde_json::from_str::<Item>(item).map(|_| ()).map_err(|e| invalid(without_place(&e)))
}

/// `{"text":""}`
const SHORTEST: usize = 11;

/// What JSON allows between values.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

fn skip_blank(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start_matches(BLANK).len()
}

/// The length of the object that `text` begins with.
fn object(text: &str) -> Result<usize, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Item>();
    match values.next() {
        Some(found) => found.map(|_| values.byte_offset()),
        None => Err(serde_json::Error::custom("expected an object after the comma")),
    }
}

/// Its line and column are counted from the item, and an item is named already.
fn without_place(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn place(at: usize) -> Result<u32> {
    u32::try_from(at).map_err(|_| invalid(format!("items: byte {at} is past what can be held")))
}

/// An object with one string under `"text"`, of which nothing is kept.
struct Item;

/// Any value, of which only that is kept what an [`Item`] asks. Unlike `IgnoredAny` it refuses what a
/// parser would: numbers out of range, halves of surrogate pairs, and nesting without end.
enum Part {
    String { is_text: bool },
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a \"text\"")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Item, M::Error> {
                let mut texts = 0;
                while let Some((key, value)) = map.next_entry()? {
                    if !matches!(key, Part::String { is_text: true }) {
                        continue;
                    }
                    texts += 1;
                    if let Part::Other(found) = value {
                        let message = format!("\"text\" is {found}; expected a string");
                        return Err(Error::custom(message));
                    }
                }
                match texts {
                    1 => Ok(Item),
                    0 => Err(Error::custom("has no \"text\"")),
                    _ => Err(Error::custom("has more than one \"text\"")),
                }
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Part, E> {
                Ok(Part::String { is_text: text == "text" })
            }

            fn visit_unit<E>(self) -> Result<Part, E> {
                Ok(Part::Other("null"))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Part, E> {
                Ok(Part::Other("a boolean"))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Part, E> {
                Ok(Part::Other("a number"))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Part, E> {
                Ok(Part::Other("a number"))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Part, E> {
                Ok(Part::Other("a number"))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Part, S::Error> {
                while seq.next_element::<Part>()?.is_some() {}
                Ok(Part::Other("an array"))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Part, M::Error> {
                while map.next_entry::<Part, Part>()?.is_some() {}
                Ok(Part::Other("an object"))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
