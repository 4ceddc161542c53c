//! From the settings to YAML.

use std::collections::BTreeMap;

use super::keys::Keys;
use super::kinds::{Kind, quoted};

/// Writes every key that has a value, secrets masked.
#[derive(Debug, Default)]
pub(super) struct Printer {
    out: String,
    depth: usize,
}

impl Printer {
    pub(super) fn finish(self) -> String {
        self.out
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(&"  ".repeat(self.depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn below(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let before = self.out.len();
        self.line(&format!("{name}:"));
        let head = self.out.len();
        self.depth += 1;
        visit(self);
        self.depth -= 1;
        if self.out.len() == head {
            self.out.truncate(before);
            self.line(&format!("{name}: {{}}"));
        }
    }
}

impl Keys for Printer {
    fn key<K: Kind>(&mut self, name: &'static str, kind: K, value: &mut K::Value) {
        if let Some(value) = kind.show(value) {
            self.line(&format!("{name}: {value}"));
        }
    }

    fn section(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        self.below(name, visit);
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        value: &mut Option<T>,
        _new: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        if let Some(value) = value {
            self.below(name, |keys| visit(keys, value));
        }
    }

    fn table<T: Default>(
        &mut self,
        name: &'static str,
        value: &mut BTreeMap<String, T>,
        visit: impl Fn(&mut Self, &mut T),
    ) {
        self.below(name, |keys| {
            for (name, item) in value {
                keys.below(&quoted(name), |keys| visit(keys, item));
            }
        });
    }
}
