//! JSON files of a folder, with errors that name the file and the key.

use std::fs;
use std::path::Path;

use isovec_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

pub(super) fn required<T: DeserializeOwned>(path: &Path) -> Result<T> {
    optional(path)?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{} is missing; a model folder needs it", path.display()),
        )
    })
}

pub(super) fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot_read(path, e)),
    };
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut json).map(Some).map_err(|e| {
        let at = e.path().to_string();
        Error::new(ErrorKind::InvalidConfig, format!("{}: {at}: {}", path.display(), e.inner()))
            .with_source(e)
    })
}

/// The error for a file that is there and cannot be read.
pub(crate) fn cannot_read(path: &Path, e: std::io::Error) -> Error {
    let kind =
        if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
    Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
}
