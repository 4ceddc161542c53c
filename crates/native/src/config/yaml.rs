//! From YAML to a tree of values that know where they came from.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    DefaultMessageFormatter, MessageFormatter, NonFiniteFloatPolicy, Options, Spanned,
};

/// A value, and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Nothing,
    Flag(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    List(Vec<Node>),
    Section(Section),
    /// Of an environment variable, which has no type of its own.
    Untyped(String),
}

pub(super) type Section = BTreeMap<String, Node>;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Line(u64),
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(f, "line {line}"),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

/// What stands in the way of reading a text as YAML, and in which line.
pub(super) struct Unreadable {
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

/// Reads a text, in time and memory that its length bounds: aliases may repeat no more than a configuration
/// has use for.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|e| Unreadable {
        line: e.location().map(|at| at.line()).filter(|line| *line > 0),
        message: describe(&e),
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 8,
            max_nodes: 20_000,
            max_events: 50_000,
            max_anchors: 100,
            max_aliases: 100,
            max_recorded_anchor_events: 10_000,
            max_merge_keys: 100,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        // `yes` and `0x1f` in place of a text are mistakes that ought to show.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // A snippet quotes the file, secrets included.
        with_snippet: false,
    }
}

/// The message of an error, with no more of the file in it than a key.
fn describe(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("{key} is given twice"),
        Error::MultipleDocuments { .. } => "a second document (`---`), expected one".to_owned(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            "more values, aliases or levels than a configuration has use for".to_owned()
        }
        Error::UnsupportedTag { .. } => "a tag, which nothing here has use for".to_owned(),
        Error::AliasError { error, .. } => describe(error),
        error => format!("not YAML: {}", DefaultMessageFormatter.format_message(error)),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(Node { origin: Origin::Line(item.referenced.line()), value: item.value });
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut section = Section::new();
        // The line of the key: that of a section's value is the line of its first entry.
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let node =
                Node { origin: Origin::Line(key.referenced.line()), value: entries.next_value()? };
            section.insert(key.value, node);
        }
        Ok(Value::Section(section))
    }
}
