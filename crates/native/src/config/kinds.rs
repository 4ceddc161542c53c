//! The kinds of values there are: how each is read, what of it is allowed, and how it is shown.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::units;
use super::yaml::Value;

/// A kind of value.
pub(super) trait Kind {
    type Value: Clone;

    /// The value, if it is of this kind, whether or not it is allowed.
    fn read(&self, value: &Value) -> Result<Self::Value, Refused>;

    /// Whether the value is allowed.
    fn check(&self, value: &Self::Value) -> Result<(), Refused>;

    /// The value as YAML, on one line and without secrets. Nothing where there is no value.
    fn show(&self, value: &Self::Value) -> Option<String>;
}

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// The position in a list.
    index: Option<usize>,
    /// The value, where it may be shown.
    value: Option<String>,
    expected: String,
}

impl Refused {
    pub(super) fn new(value: impl Into<Option<String>>, expected: impl Into<String>) -> Self {
        Refused { index: None, value: value.into(), expected: expected.into() }
    }

    /// The problem of the key at `path`: the path of the value, and what is wrong with it.
    pub(super) fn at(self, path: &str) -> (String, String) {
        let path = match self.index {
            Some(index) => format!("{path}[{index}]"),
            None => path.to_owned(),
        };
        let problem = match self.value {
            Some(value) => format!("{value}, expected {}", self.expected),
            None => format!("expected {}", self.expected),
        };
        (path, problem)
    }
}

impl Value {
    /// The value in an error; only the shape of what is not a single value.
    fn shown(&self) -> String {
        match self {
            Value::Nothing => "nothing".to_owned(),
            Value::Flag(flag) => flag.to_string(),
            Value::Whole(number) => number.to_string(),
            Value::Real(number) => format!("{number:?}"),
            Value::Text(text) | Value::Untyped(text) => quoted(&shortened(text)),
            Value::List(_) | Value::Section(_) => self.shape().to_owned(),
        }
    }

    /// What can be said of a value that may be a secret.
    pub(super) fn shape(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::List(_) => "a list",
            Value::Section(_) => "a section",
            _ => "a single value",
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Untyped(text) => Some(text),
            _ => None,
        }
    }
}

/// A text in double quotes, as YAML has them, with what cannot be seen escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\'' => out.push(c),
            c if c.escape_debug().len() == 1 => out.push(c),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// The start of a text that is too long to be repeated.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, value: &Value) -> Result<bool, Refused> {
        match value {
            Value::Flag(flag) => Ok(*flag),
            Value::Untyped(text) if text == "true" => Ok(true),
            Value::Untyped(text) if text == "false" => Ok(false),
            _ => Err(Refused::new(value.shown(), "true or false")),
        }
    }

    fn check(&self, _: &bool) -> Result<(), Refused> {
        Ok(())
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// A number, whole or not as its type is.
pub(super) struct Number<T> {
    word: &'static str,
    range: RangeInclusive<T>,
}

pub(super) fn whole<T>(range: RangeInclusive<T>) -> Number<T> {
    Number { word: "a whole number", range }
}

pub(super) fn real<T>(range: RangeInclusive<T>) -> Number<T> {
    Number { word: "a number", range }
}

impl<T: Display> Number<T> {
    fn expected(&self) -> String {
        format!("{} from {} to {}", self.word, self.range.start(), self.range.end())
    }
}

impl<T: Copy + Display + FromStr + PartialOrd> Kind for Number<T> {
    type Value = T;

    fn read(&self, value: &Value) -> Result<T, Refused> {
        let text = match value {
            Value::Whole(number) => Some(number.to_string()),
            Value::Real(number) => Some(number.to_string()),
            Value::Untyped(text) => Some(text.clone()),
            _ => None,
        };
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| Refused::new(value.shown(), self.expected()))
    }

    fn check(&self, value: &T) -> Result<(), Refused> {
        match self.range.contains(value) {
            true => Ok(()),
            false => Err(Refused::new(value.to_string(), self.expected())),
        }
    }

    fn show(&self, value: &T) -> Option<String> {
        Some(value.to_string())
    }
}

/// A number of bytes.
pub(super) struct Size<T>(pub(super) RangeInclusive<T>);

impl<T: Copy + PartialOrd + TryFrom<u64> + TryInto<u64>> Size<T> {
    fn shown(value: T) -> String {
        units::show_size(value.try_into().unwrap_or(u64::MAX))
    }

    fn expected(&self) -> String {
        let (min, max) = (Self::shown(*self.0.start()), Self::shown(*self.0.end()));
        format!("a number of bytes from {min} to {max}, such as 1048576 or 256MiB")
    }
}

impl<T: Copy + PartialOrd + TryFrom<u64> + TryInto<u64>> Kind for Size<T> {
    type Value = T;

    fn read(&self, value: &Value) -> Result<T, Refused> {
        let bytes = match value {
            Value::Whole(number) => u64::try_from(*number).ok(),
            other => other.text().and_then(units::size),
        };
        bytes
            .and_then(|bytes| T::try_from(bytes).ok())
            .ok_or_else(|| Refused::new(value.shown(), self.expected()))
    }

    fn check(&self, value: &T) -> Result<(), Refused> {
        match self.0.contains(value) {
            true => Ok(()),
            false => Err(Refused::new(Self::shown(*value), self.expected())),
        }
    }

    fn show(&self, value: &T) -> Option<String> {
        Some(Self::shown(*value))
    }
}

/// A duration.
pub(super) struct Time(pub(super) RangeInclusive<Duration>);

impl Time {
    fn expected(&self) -> String {
        let [min, max] = [self.0.start(), self.0.end()].map(|at| units::show_duration(*at));
        format!("a duration from {min} to {max}, such as 100ms, 90s or 24h")
    }
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, value: &Value) -> Result<Duration, Refused> {
        let read = match value {
            Value::Whole(0) => Some(Duration::ZERO),
            other => other.text().and_then(units::duration),
        };
        read.ok_or_else(|| Refused::new(value.shown(), self.expected()))
    }

    fn check(&self, value: &Duration) -> Result<(), Refused> {
        match self.0.contains(value) {
            true => Ok(()),
            false => Err(Refused::new(units::show_duration(*value), self.expected())),
        }
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(units::show_duration(*value))
    }
}

/// One of some words.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> OneOf<T> {
    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.join(""),
        }
    }
}

impl<T: Copy + PartialEq> Kind for OneOf<T> {
    type Value = T;

    fn read(&self, value: &Value) -> Result<T, Refused> {
        let text = value.text();
        let found = self.0.iter().find(|(word, _)| text == Some(*word));
        found.map(|(_, value)| *value).ok_or_else(|| Refused::new(value.shown(), self.expected()))
    }

    fn check(&self, value: &T) -> Result<(), Refused> {
        match self.show(value) {
            Some(_) => Ok(()),
            None => Err(Refused::new(None, self.expected())),
        }
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, v)| v == value).map(|(word, _)| (*word).to_owned())
    }
}

/// A text that is not a secret.
pub(super) struct Text {
    pub(super) expected: &'static str,
    pub(super) allowed: fn(&str) -> bool,
}

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &Value) -> Result<String, Refused> {
        text_of(value)
            .map_err(|hint| Refused::new(value.shown(), format!("{}{hint}", self.expected)))
    }

    fn check(&self, value: &String) -> Result<(), Refused> {
        match (self.allowed)(value) {
            true => Ok(()),
            false => Err(Refused::new(quoted(&shortened(value)), self.expected)),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// A text that is never shown.
pub(super) struct Secret {
    pub(super) expected: &'static str,
    pub(super) allowed: fn(&str) -> bool,
}

impl Kind for Secret {
    type Value = String;

    fn read(&self, value: &Value) -> Result<String, Refused> {
        text_of(value).map_err(|hint| Refused::new(None, format!("{}{hint}", self.expected)))
    }

    fn check(&self, value: &String) -> Result<(), Refused> {
        match (self.allowed)(value) {
            true => Ok(()),
            false => Err(Refused::new(None, self.expected)),
        }
    }

    fn show(&self, _: &String) -> Option<String> {
        Some(quoted(super::MASK))
    }
}

/// The text, or what to add to what was expected.
fn text_of(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Text(text) | Value::Untyped(text) => Ok(text.clone()),
        Value::Flag(_) | Value::Whole(_) | Value::Real(_) => Err(", in quotes"),
        Value::Nothing | Value::List(_) | Value::Section(_) => Err(""),
    }
}

/// A file or a folder.
pub(super) struct Place {
    pub(super) expected: &'static str,
}

impl Kind for Place {
    type Value = PathBuf;

    fn read(&self, value: &Value) -> Result<PathBuf, Refused> {
        text_of(value)
            .map(PathBuf::from)
            .map_err(|hint| Refused::new(value.shown(), format!("{}{hint}", self.expected)))
    }

    fn check(&self, value: &PathBuf) -> Result<(), Refused> {
        match value.as_os_str().is_empty() {
            false => Ok(()),
            true => Err(Refused::new("\"\"".to_owned(), self.expected)),
        }
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }
}

/// An IP address and a port.
pub(super) struct Socket;

impl Kind for Socket {
    type Value = SocketAddr;

    fn read(&self, value: &Value) -> Result<SocketAddr, Refused> {
        value.text().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let expected = "an IP address and a port, such as 127.0.0.1:8080, or 0.0.0.0:8080 and \
                            [::]:8080 for all addresses of the machine";
            Refused::new(value.shown(), expected)
        })
    }

    fn check(&self, _: &SocketAddr) -> Result<(), Refused> {
        Ok(())
    }

    fn show(&self, value: &SocketAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// A value that may be left out, or be given as nothing.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn read(&self, value: &Value) -> Result<Self::Value, Refused> {
        match value {
            Value::Nothing => Ok(None),
            Value::Untyped(text) if text.is_empty() => Ok(None),
            value => self.0.read(value).map(Some),
        }
    }

    fn check(&self, value: &Self::Value) -> Result<(), Refused> {
        value.as_ref().map_or(Ok(()), |value| self.0.check(value))
    }

    fn show(&self, value: &Self::Value) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }
}

/// A list; in an environment variable its items are separated by commas. An empty variable is refused: it is
/// what is left where another one was to be put in and was not set, and no API keys let everybody in.
pub(super) struct List<K> {
    pub(super) of: K,
    pub(super) expected: &'static str,
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn read(&self, value: &Value) -> Result<Self::Value, Refused> {
        let read = |(index, item): (usize, &Value)| {
            self.of.read(item).map_err(|e| Refused { index: Some(index), ..e })
        };
        match value {
            Value::List(items) => {
                items.iter().map(|node| &node.value).enumerate().map(read).collect()
            }
            Value::Untyped(text) if !text.trim().is_empty() => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let items: Vec<_> = items.map(|item| Value::Untyped(item.to_owned())).collect();
                items.iter().enumerate().map(read).collect()
            }
            // It may be a secret in place of a list of them.
            other => Err(Refused::new(other.shape().to_owned(), self.expected)),
        }
    }

    fn check(&self, value: &Self::Value) -> Result<(), Refused> {
        value.iter().enumerate().try_for_each(|(index, item)| {
            self.of.check(item).map_err(|e| Refused { index: Some(index), ..e })
        })
    }

    fn show(&self, value: &Self::Value) -> Option<String> {
        let items: Vec<_> = value.iter().filter_map(|item| self.of.show(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}
