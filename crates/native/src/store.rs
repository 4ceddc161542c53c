//! The model store: model files on disk, each verified against the manifest before it is used.
//!
//! A file is looked for in the store's own folder, then in a [local folder](ModelStoreBuilder::local),
//! on a [mirror](ModelStoreBuilder::mirror), and at the addresses that the manifest gives.
//!
//! # What holds
//!
//! - Bytes that [`ModelStore::read`] returns have a pinned sha256, and it is those very bytes that
//!   were hashed.
//! - A file that is not whole never bears the name of a whole one: it grows under a name that ends
//!   in `.part`, is verified, synced and then renamed.
//! - Any number of threads and processes may fetch at once; each file is downloaded by one of them,
//!   and the others wait for it (a file named `.lock` beside it stays behind).
//! - A broken transfer is resumed, by the same call or by a later process.
//! - No call needs an async runtime, and each may be made inside of one, which it blocks.
//! - Errors and debug output do not show passwords or queries of addresses.
//!
//! # What does not
//!
//! A server that sends a little all the time, however slowly, is not given up; there is
//! [`CancelToken`] for that.

#[cfg(feature = "download")]
mod client;
mod content;
#[cfg(feature = "download")]
mod download;
#[cfg(not(feature = "download"))]
#[path = "store/no_download.rs"]
mod download;
mod job;
mod options;
#[cfg(feature = "download")]
mod retry;
mod settings;
mod source;
#[cfg(feature = "download")]
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};

use isovec_core::manifest::{Build, FileRole, FileSpec};
use isovec_core::{Error, ErrorKind, HashedBytes, ModelSpec, Result};

pub use options::{CancelToken, FetchOptions, Progress, Stage};
pub use settings::ModelStoreBuilder;

use crate::net::address::Address;
use content::{Accepted, Found};
use job::{Failure, Job, io_error, remove};
use settings::Network;

/// A folder of verified model files, and the sources that fill it.
///
/// See the [module](self) for what it promises.
///
/// # Example
///
/// ```no_run
/// use isovec::store::{FetchOptions, ModelStore};
///
/// let manifest = isovec::manifest()?;
/// let spec = manifest.get("all-MiniLM-L6-v2")?;
/// let store = ModelStore::from_env()?;
/// store.fetch(spec, "fp32", &FetchOptions::default())?;
/// for file in store.verify(spec, "fp32")? {
///     println!("{} is the {} build", file.path.display(), file.origin);
/// }
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelStore {
    root: PathBuf,
    offline: bool,
    mirror: Option<Address>,
    local: Option<PathBuf>,
    network: Network,
}

/// Whether one file of a variant is in the store, by its size alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStatus {
    /// What the file is for.
    pub role: FileRole,
    /// Where it belongs.
    pub path: PathBuf,
    /// Its size on disk; nothing if it is not there.
    pub on_disk: Option<u64>,
    /// The sizes that it may have.
    pub pinned: Vec<u64>,
}

impl FileStatus {
    /// Whether it is there and has a pinned size. Its content is not looked at.
    pub fn is_present(&self) -> bool {
        self.on_disk.is_some_and(|size| self.pinned.contains(&size))
    }
}

/// One file of a variant whose content has been found to be a pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// What the file is for.
    pub role: FileRole,
    /// Where it lies.
    pub path: PathBuf,
    /// Which of the manifest's builds it is.
    pub origin: String,
    /// Its sha256.
    pub sha256: String,
}

impl ModelStore {
    /// Settings to start from, none of them from the environment.
    pub fn builder() -> ModelStoreBuilder {
        ModelStoreBuilder::default()
    }

    /// The store that the [environment](ModelStoreBuilder::from_env) describes.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the variable and what it may be.
    pub fn from_env() -> Result<Self> {
        ModelStoreBuilder::from_env()?.build()
    }

    /// Whether downloads are forbidden.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file belongs: `<root>/models/<model>/<path>`.
    pub fn path(&self, spec: &ModelSpec, file: &FileSpec) -> PathBuf {
        let mut path = self.root.join("models").join(&spec.name);
        // Part by part, for the separator is the platform's.
        path.extend(file.path.split('/'));
        path
    }

    /// Which files of a variant are there. Reads no content.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown variant.
    pub fn status(&self, spec: &ModelSpec, variant: &str) -> Result<Vec<FileStatus>> {
        let status = |file: &FileSpec| {
            let path = self.path(spec, file);
            FileStatus {
                role: file.role,
                on_disk: fs::metadata(&path).ok().map(|metadata| metadata.len()),
                path,
                pinned: file.builds.iter().map(|build| build.size).collect(),
            }
        };
        Ok(spec.variant(variant)?.files.iter().map(status).collect())
    }

    /// Hashes every file of a variant. Changes nothing and connects to nothing.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown variant or a missing file,
    /// [`HashMismatch`](ErrorKind::HashMismatch) for another content, naming both hashes, and
    /// [`Io`](ErrorKind::Io) for a file that cannot be read.
    pub fn verify(&self, spec: &ModelSpec, variant: &str) -> Result<Vec<VerifiedFile>> {
        let verify = |file: &FileSpec| {
            let job = self.job(spec, file, &FetchOptions::default());
            match look(&job)? {
                Found::Good(build) => Ok(VerifiedFile {
                    role: file.role,
                    path: job.path,
                    origin: build.origin.clone(),
                    sha256: build.sha256.clone(),
                }),
                Found::Wrong(error) => Err(error),
                Found::Missing => Err(Error::new(
                    ErrorKind::NotFound,
                    format!("{} is not there", job.path.display()),
                )),
            }
        };
        spec.variant(variant)?.files.iter().map(verify).collect()
    }

    /// Sees to it that every file of a variant is in the store, verified.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](ErrorKind::NotFound) for an unknown variant, or a file that no source has;
    /// - [`Offline`](ErrorKind::Offline) if a download is needed but forbidden or not compiled in;
    /// - [`Network`](ErrorKind::Network) if servers do not deliver;
    /// - [`HashMismatch`](ErrorKind::HashMismatch) if they deliver another content, twice, naming
    ///   both hashes;
    /// - [`Io`](ErrorKind::Io) if the store cannot be read or written, or the disk is full;
    /// - [`Cancelled`](ErrorKind::Cancelled) by the token in `options`.
    ///
    /// Where several sources were tried, the text says of each why it failed.
    pub fn fetch(&self, spec: &ModelSpec, variant: &str, options: &FetchOptions<'_>) -> Result<()> {
        // A spec that did not come from a manifest may hold a path that leaves the store.
        spec.check()?;
        for file in &spec.variant(variant)?.files {
            self.ensure(&self.job(spec, file, options))?;
        }
        Ok(())
    }

    /// The verified content of the file of this role, fetched if need be.
    ///
    /// A file in the store with another content is deleted and fetched once more.
    ///
    /// # Errors
    ///
    /// Those of [`fetch`](Self::fetch), and [`InvalidConfig`](ErrorKind::InvalidConfig) if the
    /// variant has no file of this role.
    pub fn read(
        &self,
        spec: &ModelSpec,
        variant: &str,
        role: FileRole,
        options: &FetchOptions<'_>,
    ) -> Result<HashedBytes<'static>> {
        spec.check()?;
        let file = spec.variant(variant)?.file(role)?;
        let job = self.job(spec, file, options);
        let accepted = Accepted::any_of(file);
        if let Found::Good(bytes) = accepted.load(&job, &job.path)? {
            return Ok(bytes);
        }
        self.ensure(&job)?;
        match accepted.load(&job, &job.path)? {
            Found::Good(bytes) => Ok(bytes),
            // It was right a moment ago: the disk is failing, or something else writes there.
            Found::Wrong(error) => Err(error),
            Found::Missing => Err(io_error("read", &job.path, source::vanished())),
        }
    }

    /// Sees to it that one file is there, verified.
    fn ensure(&self, job: &Job<'_>) -> Result<()> {
        job.check_cancelled()?;
        // Without the lock first: a store that is complete may be on a disk that cannot be written.
        if let Found::Good(_) = look(job)? {
            return Ok(());
        }
        let _lock = job.lock()?;
        // Another process may have brought or mended it meanwhile.
        let wrong = match look(job)? {
            Found::Good(_) => return Ok(()),
            Found::Missing => None,
            Found::Wrong(error) => {
                remove(&job.path)?;
                Some(error)
            }
        };
        source::obtain(self, job).map_err(|failure| match (failure, wrong) {
            (Failure::Source(error), Some(wrong)) => Error::new(
                ErrorKind::HashMismatch,
                format!("{wrong}; it was deleted, and then: {error}"),
            ),
            (Failure::Source(error) | Failure::Final(error), _) => error,
        })
    }

    fn job<'a>(
        &self,
        spec: &'a ModelSpec,
        file: &'a FileSpec,
        options: &FetchOptions<'a>,
    ) -> Job<'a> {
        Job { model: &spec.name, file, path: self.path(spec, file), options: *options }
    }
}

/// Looks at the file in its place.
fn look<'a>(job: &Job<'a>) -> Result<Found<&'a Build>> {
    Accepted::any_of(job.file).inspect(job, &job.path, job.path.display())
}
