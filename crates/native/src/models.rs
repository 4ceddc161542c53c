//! Which models there are.

use std::path::PathBuf;

use isovec_core::{BUILT_IN_MODELS, Manifest, Result};

use crate::folder::cannot_read;

/// The built-in models, and those of the manifest that `ISOVEC_MODELS` names, which replace
/// built-in ones of their name.
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound) or [`Io`](crate::ErrorKind::Io) if that file cannot be
/// read, [`InvalidConfig`](crate::ErrorKind::InvalidConfig) if it is no manifest.
///
/// ```
/// assert!(isovec::manifest()?.get("all-MiniLM-L6-v2")?.dims == 384);
/// # Ok::<(), isovec::Error>(())
/// ```
pub fn manifest() -> Result<Manifest> {
    let mut manifest = Manifest::from_toml(BUILT_IN_MODELS)?;
    if let Some(path) = std::env::var_os("ISOVEC_MODELS").map(PathBuf::from) {
        let text = std::fs::read_to_string(&path).map_err(|e| cannot_read(&path, e))?;
        manifest.extend(Manifest::from_toml(&text).map_err(|e| e.context(path.display()))?);
    }
    Ok(manifest)
}
