//! One file on its way into the store.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use isovec_core::manifest::FileSpec;
use isovec_core::{Error, ErrorKind, Result};

use super::content::{Accepted, Found};
use super::options::{FetchOptions, Progress, Stage};

/// How often a wait looks whether it was cancelled.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// What is being brought, where to, and who wants to hear of it.
#[derive(Clone, Debug)]
pub(super) struct Job<'a> {
    pub(super) model: &'a str,
    pub(super) file: &'a FileSpec,
    /// Where the file belongs.
    pub(super) path: PathBuf,
    pub(super) options: FetchOptions<'a>,
}

/// Why a source did not deliver.
#[derive(Debug)]
pub(super) enum Failure {
    /// The source's fault: another one may do better.
    Source(Error),
    /// Cancelled, or this machine's fault: another source would meet the same.
    Final(Error),
}

impl Job<'_> {
    pub(super) fn report(&self, stage: Stage, received: u64, total: u64) {
        if let Some(progress) = self.options.progress {
            progress(Progress { model: self.model, file: &self.file.path, stage, received, total });
        }
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        match self.options.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(Error::new(
                ErrorKind::Cancelled,
                format!("fetching {} of {} was cancelled", self.file.path, self.model),
            )),
            _ => Ok(()),
        }
    }

    /// The temporary name under which a content that is named by `tag` is gathered.
    pub(super) fn part(&self, tag: &str) -> PathBuf {
        self.sibling(&format!("{tag}.part"))
    }

    /// Waits until this process is the only one that changes the file, until the lock is dropped.
    ///
    /// The lock is a file of its own, for the file itself is replaced by renaming. It stays behind:
    /// were it removed, one process could hold the old one and another a new one.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.sibling("lock");
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(|e| {
            io_error("create the folder", folder, e)
                .context("the model store cannot be written (ISOVEC_HOME sets its folder)")
        })?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| {
                io_error("create", &path, e)
                    .context("the model store cannot be written (ISOVEC_HOME sets its folder)")
            })?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => {
                    self.report(Stage::Waiting, 0, Accepted::any_of(self.file).largest());
                    self.check_cancelled()?;
                    thread::sleep(POLL);
                }
                Err(TryLockError::Error(e)) => return Err(io_error("lock", &path, e)),
            }
        }
    }

    /// Checks `part` and moves it to its place, or deletes it and gives the error that says what is
    /// wrong with it. An error calls it `subject`.
    pub(super) fn settle(
        &self,
        part: &Path,
        accepted: &Accepted<'_>,
        subject: impl std::fmt::Display,
    ) -> Result<Found<()>> {
        match accepted.inspect(self, part, subject)? {
            Found::Missing => Ok(Found::Missing),
            Found::Wrong(error) => {
                remove(part)?;
                Ok(Found::Wrong(error))
            }
            Found::Good(_) => {
                // In this order, a crash of the machine leaves the old state or the new one, but
                // never a name that leads to half a file.
                let synced = File::options().write(true).open(part).and_then(|f| f.sync_all());
                synced.map_err(|e| self.write_error(part, e))?;
                fs::rename(part, &self.path).map_err(|e| io_error("create", &self.path, e))?;
                #[cfg(unix)] // Elsewhere a folder cannot be opened, and needs no sync.
                if let Some(folder) = self.path.parent() {
                    let synced = File::open(folder).and_then(|folder| folder.sync_all());
                    synced.map_err(|e| io_error("sync the folder", folder, e))?;
                }
                Ok(Found::Good(()))
            }
        }
    }

    /// The error for a failed write to `part`, which says how much a full disk lacks.
    pub(super) fn write_error(&self, part: &Path, error: io::Error) -> Error {
        if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return io_error("write", part, error);
        }
        let written = fs::metadata(part).map_or(0, |metadata| metadata.len());
        let lacking = Accepted::any_of(self.file).largest().saturating_sub(written);
        Error::new(
            ErrorKind::Io,
            format!(
                "cannot write {}: the disk is full; {lacking} more bytes are needed \
                 (what has arrived is kept, and resumed by the next fetch)",
                part.display()
            ),
        )
        .with_source(error)
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

/// Deletes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("delete", path, e)),
        _ => Ok(()),
    }
}

/// The error for `cannot <action> <path>`.
pub(super) fn io_error(action: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {action} {}: {error}", path.display()))
        .with_source(error)
}
