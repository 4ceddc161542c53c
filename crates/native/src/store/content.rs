//! Whether a file's content is one that the manifest pins.

use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use isovec_core::manifest::{Build, FileSpec};
use isovec_core::{Error, ErrorKind, HashedBytes, Result};
use sha2::{Digest, Sha256};

use super::job::{Job, io_error};
use super::options::Stage;
use crate::reading::{self, hex};

/// The contents that one source may deliver.
#[derive(Clone, Debug)]
pub(super) struct Accepted<'a> {
    builds: Vec<&'a Build>,
}

/// What lies at a path where a pinned content should be.
pub(super) enum Found<T> {
    Good(T),
    Missing,
    /// Another content, and the error that says so.
    Wrong(Error),
}

impl<'a> Accepted<'a> {
    pub(super) fn any_of(file: &'a FileSpec) -> Self {
        Accepted { builds: file.builds.iter().collect() }
    }

    pub(super) fn only(build: &'a Build) -> Self {
        Accepted { builds: vec![build] }
    }

    pub(super) fn build(&self, sha256: &str) -> Option<&'a Build> {
        self.builds.iter().find(|build| build.sha256 == sha256).copied()
    }

    pub(super) fn has_size(&self, size: u64) -> bool {
        self.builds.iter().any(|build| build.size == size)
    }

    /// The most bytes that are worth reading.
    pub(super) fn largest(&self) -> u64 {
        self.builds.iter().map(|build| build.size).max().unwrap_or(0)
    }

    /// What a part is named by, so that only the same content is ever appended to it.
    pub(super) fn tag(&self) -> &'a str {
        match self.builds.as_slice() {
            [build] => build.sha256.get(..16).unwrap_or(&build.sha256),
            _ => "any",
        }
    }

    /// The error for `subject`, which has another content.
    fn mismatch(&self, subject: impl fmt::Display, size: u64, sha256: &str) -> Error {
        let mut message = format!("{subject} has sha256 {sha256} ({size} bytes), expected");
        for (index, build) in self.builds.iter().enumerate() {
            let or = if index > 0 { " or" } else { "" };
            // Writing to a String cannot fail.
            let _ =
                write!(message, "{or} {} ({} bytes, {})", build.sha256, build.size, build.origin);
        }
        Error::new(ErrorKind::HashMismatch, message)
    }

    /// Looks at `path`, reading it piece by piece; an error calls it `subject`.
    pub(super) fn inspect(
        &self,
        job: &Job<'_>,
        path: &Path,
        subject: impl fmt::Display,
    ) -> Result<Found<&'a Build>> {
        let Some((file, size)) = open(path)? else { return Ok(Found::Missing) };
        let (read, sha256) = digest(job, path, file, size)?;
        Ok(match self.build(&sha256) {
            Some(build) => Found::Good(build),
            None => Found::Wrong(self.mismatch(subject, read, &sha256)),
        })
    }

    /// Reads `path` into memory and looks at those bytes, so that nobody can exchange them between
    /// the check and the use.
    pub(super) fn load(&self, job: &Job<'_>, path: &Path) -> Result<Found<HashedBytes<'static>>> {
        let Some((file, size)) = open(path)? else { return Ok(Found::Missing) };
        if !self.has_size(size) {
            // It cannot be right, and may be too large for memory; the error still names its hash.
            let (read, sha256) = digest(job, path, file, size)?;
            return Ok(Found::Wrong(self.mismatch(path.display(), read, &sha256)));
        }
        let bytes = usize::try_from(size)
            .map_err(io::Error::other)
            .and_then(|size| reading::read(file, size))
            .map_err(|e| io_error("read", path, e))?;
        Ok(match self.build(bytes.sha256()) {
            Some(_) => Found::Good(bytes),
            None => Found::Wrong(self.mismatch(path.display(), size, bytes.sha256())),
        })
    }
}

/// The file and its size, or nothing if there is none.
fn open(path: &Path) -> Result<Option<(File, u64)>> {
    let absent =
        |e: &io::Error| matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match File::open(path).and_then(|file| Ok((file.metadata()?.len(), file))) {
        Ok((size, file)) => Ok(Some((file, size))),
        Err(e) if absent(&e) => Ok(None),
        Err(e) => Err(io_error("read", path, e)),
    }
}

/// The number of bytes and the sha256 of what is left of `file`.
fn digest(job: &Job<'_>, path: &Path, mut file: File, size: u64) -> Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        job.check_cancelled()?;
        job.report(Stage::Verifying, done, size);
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(io_error("read", path, e)),
        };
        hasher.update(&piece[..read]);
        done += read as u64;
    }
    Ok((done, hex(&hasher.finalize())))
}
