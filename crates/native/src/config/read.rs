//! From a tree of values to the settings, noting what is unknown or of the wrong kind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::mem;

use super::keys::{Keys, join};
use super::kinds::{Kind, quoted, shortened};
use super::report::Report;
use super::yaml::{Node, Section, Value};

/// The longest file of a secret.
const MAX_SECRET_BYTES: u64 = 64 << 10;

pub(super) struct Reader<'a> {
    report: &'a mut Report,
    path: String,
    /// What of the section was not asked for yet.
    entries: Section,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads all keys of `root` into what `visit` names.
    pub(super) fn run(root: Section, report: &'a mut Report, visit: impl FnOnce(&mut Self)) {
        let mut reader = Reader { report, path: String::new(), entries: root, known: Vec::new() };
        visit(&mut reader);
        reader.refuse_unknown();
    }

    fn take(&mut self, name: &'static str) -> Option<(String, Node)> {
        self.known.push(name);
        self.take_entry(name)
    }

    fn take_entry(&mut self, name: &str) -> Option<(String, Node)> {
        let node = self.entries.remove(name)?;
        let path = join(&self.path, name);
        self.report.given(&path, &node.origin);
        Some((path, node))
    }

    /// Visits the section at `path`, unless the value is none.
    fn enter(&mut self, path: String, value: Value, visit: impl FnOnce(&mut Self)) {
        let entries = match value {
            Value::Section(entries) => entries,
            Value::Nothing => Section::new(),
            other => {
                self.report.add(path, format!("{}, expected a section of keys", other.shape()));
                return;
            }
        };
        let outside = (
            mem::replace(&mut self.path, path),
            mem::replace(&mut self.entries, entries),
            mem::take(&mut self.known),
        );
        visit(self);
        self.refuse_unknown();
        (self.path, self.entries, self.known) = outside;
    }

    fn refuse_unknown(&mut self) {
        for (name, node) in mem::take(&mut self.entries) {
            let path = join(&self.path, &shortened(&name));
            self.report.given(&path, &node.origin);
            self.report.add(path, unknown(&name, &self.known));
        }
    }
}

/// What is said of a key or a name that is not among the known ones.
fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown key, did you mean {near}?"),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            format!("unknown key; known here: {}", known.join(", "))
        }
    }
}

/// The known word that `name` is a misspelling of, most likely.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // The distance takes time as the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let distance = |word: &&&str| strsim::osa_distance(name, word);
    let near = known.iter().min_by_key(distance)?;
    (distance(&near) <= (near.len() / 3).max(1)).then_some(*near)
}

impl Keys for Reader<'_> {
    fn key<K: Kind>(&mut self, name: &'static str, kind: K, value: &mut K::Value) {
        if let Some((path, node)) = self.take(name) {
            match kind.read(&node.value) {
                Ok(read) => *value = read,
                Err(refused) => {
                    let (path, problem) = refused.at(&path);
                    self.report.add(path, problem);
                }
            }
        }
    }

    fn section(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        if let Some((path, node)) = self.take(name) {
            self.enter(path, node.value, visit);
        }
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        value: &mut Option<T>,
        new: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        if let Some((path, node)) = self.take(name)
            && !matches!(node.value, Value::Nothing)
        {
            self.enter(path, node.value, |keys| visit(keys, value.get_or_insert_with(new)));
        }
    }

    fn table<T: Default>(
        &mut self,
        name: &'static str,
        value: &mut BTreeMap<String, T>,
        visit: impl Fn(&mut Self, &mut T),
    ) {
        self.section(name, |keys| {
            let names: Vec<_> = keys.entries.keys().cloned().collect();
            for name in names {
                if let Some((path, node)) = keys.take_entry(&name) {
                    let mut item = T::default();
                    keys.enter(path, node.value, |keys| visit(keys, &mut item));
                    value.insert(name, item);
                }
            }
        });
    }

    fn file(
        &mut self,
        name: &'static str,
        of: &'static str,
        take: impl FnOnce(&str) -> Result<(), &'static str>,
    ) {
        let Some((path, node)) = self.take(name) else { return };
        let file = match node.value {
            Value::Nothing => return,
            Value::Untyped(file) if file.is_empty() => return,
            Value::Text(file) | Value::Untyped(file) => file,
            other => {
                self.report.add(path, format!("{}, expected the name of a file", other.shape()));
                return;
            }
        };
        let of = join(&self.path, of);
        if self.report.is_given(&of) {
            self.report.add(path, format!("{of} is given too, expected one of the two"));
            return;
        }
        // What is wrong with the secret itself is found later, under the key's own name.
        self.report.given(&of, &node.origin);
        let shown = quoted(&shortened(&file));
        match read_secret(&file) {
            Err(e) => self.report.add(path, format!("cannot read {shown}: {e}")),
            Ok(text) => {
                if let Err(missing) = take(&text) {
                    self.report.add(path, format!("{shown} has {missing}"));
                }
            }
        }
    }

    fn refused(&mut self, name: &'static str, allowed: Option<bool>, why: &'static str) {
        if allowed.is_some() {
            self.known.push(name);
        }
        if let Some((path, node)) = self.take_entry(name) {
            let is_allowed = match (allowed, &node.value) {
                (Some(allowed), Value::Flag(flag)) => *flag == allowed,
                (Some(allowed), Value::Untyped(text)) => *text == allowed.to_string(),
                _ => false,
            };
            if !is_allowed {
                self.report.add(path, why);
            }
        }
    }
}

/// The content of a small file. Only a true file is opened: a pipe or a device may have no end, or none that
/// comes.
fn read_secret(path: &str) -> Result<String, String> {
    if !std::fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    match text.len() as u64 > MAX_SECRET_BYTES {
        true => Err(format!("it is longer than {MAX_SECRET_BYTES} bytes")),
        false => Ok(text),
    }
}
