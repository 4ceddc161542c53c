//! Where output goes: standard output, or a file that appears only when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use isovec::{Error, ErrorKind, Result};
use tempfile::NamedTempFile;

/// What is left to do when all is written.
pub(crate) enum Destination {
    /// Nothing: bytes went where they belong.
    Direct,
    /// The temporary file is to take the file's place.
    Replace { temporary: NamedTempFile, path: PathBuf },
}

impl Destination {
    /// A writer, and what makes its bytes count.
    ///
    /// A file is written under a temporary name in its folder: a run that fails leaves the file that
    /// was there, and a run that reads the file it replaces does not read what it writes.
    pub(crate) fn open(path: Option<&Path>) -> Result<(Box<dyn Write>, Destination)> {
        let Some(path) = path else { return Ok((Box::new(io::stdout()), Destination::Direct)) };
        let cannot = |e: io::Error| cannot_write(path, e);
        // A device or a pipe cannot be replaced, only written to.
        if path.exists() && !path.is_file() {
            return Ok((Box::new(File::create(path).map_err(cannot)?), Destination::Direct));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("cannot write {}: its folder does not exist", path.display()),
            ));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".isovec-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
        let temporary = builder.tempfile_in(folder).map_err(cannot)?;
        let file = temporary.as_file().try_clone().map_err(cannot)?;
        Ok((Box::new(file), Destination::Replace { temporary, path: path.to_owned() }))
    }

    /// Puts the file in its place.
    pub(crate) fn keep(self) -> Result<()> {
        match self {
            Destination::Direct => Ok(()),
            Destination::Replace { temporary, path } => {
                temporary.persist(&path).map(drop).map_err(|e| cannot_write(&path, e.error))
            }
        }
    }
}

fn cannot_write(path: &Path, e: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write {}: {e}", path.display())).with_source(e)
}
