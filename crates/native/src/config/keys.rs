//! What is done with every key of a configuration: it is read, checked or shown. The sections name their
//! keys once, for all three.

use std::collections::BTreeMap;

use super::kinds::Kind;

pub(super) trait Keys: Sized {
    /// A key with one value, or a list.
    fn key<K: Kind>(&mut self, name: &'static str, kind: K, value: &mut K::Value);

    /// A section of keys.
    fn section(&mut self, name: &'static str, visit: impl FnOnce(&mut Self));

    /// A section that is there only if it is given; `new` is what it then starts from.
    fn optional<T>(
        &mut self,
        name: &'static str,
        value: &mut Option<T>,
        new: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    );

    /// A section of sections, whose names are the user's.
    fn table<T: Default>(
        &mut self,
        name: &'static str,
        value: &mut BTreeMap<String, T>,
        visit: impl Fn(&mut Self, &mut T),
    );

    /// The name of a file that holds the secret of the key `of`, for `take`, which may find that there is none
    /// in it. Only reading has use for it: what was read is then the value of `of`.
    fn file(
        &mut self,
        _name: &'static str,
        _of: &'static str,
        _take: impl FnOnce(&str) -> Result<(), &'static str>,
    ) {
    }

    /// A key of the seed that is refused: its value, and why. Nothing where any value is refused.
    fn refused(&mut self, _name: &'static str, _allowed: Option<bool>, _why: &'static str) {}
}

/// The path of a key below another.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
