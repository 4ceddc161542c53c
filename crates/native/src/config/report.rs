//! All that is wrong with a configuration, told at once.

use std::collections::BTreeMap;

use super::yaml::Origin;
use crate::{Error, ErrorKind, Result};

/// The most problems that one error lists.
const MAX_SHOWN: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Report {
    /// By the path of the key: what is said of one key after the first may follow from it.
    problems: BTreeMap<String, String>,
    origins: BTreeMap<String, Origin>,
}

impl Report {
    /// Notes where the key at `path` was given.
    pub(super) fn given(&mut self, path: &str, origin: &Origin) {
        self.origins.insert(path.to_owned(), origin.clone());
    }

    /// Whether the key at `path` was given at all.
    pub(super) fn is_given(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }

    pub(super) fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.problems.entry(path.into()).or_insert_with(|| problem.into());
    }

    /// Nothing if nothing is wrong.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) with a line for each problem, in the order of the file.
    pub(super) fn finish(self) -> Result<()> {
        let mut problems: Vec<_> = self
            .problems
            .iter()
            .map(|(path, problem)| (self.origin(path), path, problem))
            .collect();
        problems.sort_by_key(|(origin, ..)| *origin);
        let mut lines: Vec<_> = problems
            .iter()
            .take(MAX_SHOWN)
            .map(|(origin, path, problem)| match origin {
                Some(origin) => format!("{origin}: {path}: {problem}"),
                None => format!("{path}: {problem}"),
            })
            .collect();
        if let Some(more @ 1..) = problems.len().checked_sub(MAX_SHOWN) {
            lines.push(format!("and {more} more"));
        }
        match &lines[..] {
            [] => Ok(()),
            [line] => Err(Error::new(ErrorKind::InvalidConfig, line.clone())),
            lines => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("{} problems:\n  {}", problems.len(), lines.join("\n  ")),
            )),
        }
    }

    /// Where the key at `path` was given, or else the section that it is in.
    fn origin(&self, path: &str) -> Option<&Origin> {
        let ends = path.match_indices(['.', '[']).map(|(end, _)| &path[..end]);
        let mut paths: Vec<_> = ends.chain([path]).collect();
        paths.reverse();
        paths.into_iter().find_map(|path| self.origins.get(path))
    }
}
