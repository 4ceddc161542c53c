//! A model that is a folder, laid out as sentence-transformers, transformers or the model hub lay it
//! out.

mod clip;
mod files;
mod text;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use isovec_core::manifest::FileRole;
use isovec_core::{Error, ErrorKind, HashedBytes, ModelKind, ModelSpec, Result, limits};

pub(crate) use self::files::cannot_read;
use crate::reading;

/// A folder's model: what it is, and where its files lie.
#[derive(Clone, Debug)]
pub(crate) struct ModelFolder {
    pub(crate) spec: ModelSpec,
    pub(crate) model: PathBuf,
    tokenizer: Option<PathBuf>,
}

impl ModelFolder {
    /// Reads the settings of a folder's model of this kind.
    pub(crate) fn read(folder: &Path, kind: ModelKind) -> Result<Self> {
        let read = match kind {
            ModelKind::Image => clip::read_image(folder)?,
            ModelKind::ClipText => clip::read_text(folder)?,
            _ => text::read(folder)?,
        };
        read.spec.check().map_err(|e| e.context(folder.display()))?;
        Ok(read)
    }

    /// The bytes of its ONNX file, or of the tokenizer of a model that reads text.
    pub(crate) fn read_file(&self, role: FileRole) -> Result<HashedBytes<'static>> {
        let (path, most) = match role {
            FileRole::Tokenizer => {
                let path = self.tokenizer.as_deref().ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("{}: has no tokenizer", self.spec.name))
                })?;
                (path, limits::MAX_TOKENIZER_BYTES)
            }
            _ => (self.model.as_path(), limits::MAX_MODEL_BYTES),
        };
        let open = || File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = open().map_err(|e| cannot_read(path, e))?;
        // Before there is room for it.
        let fits = usize::try_from(size).ok().filter(|size| *size <= most).ok_or_else(|| {
            let message = format!("{} is {size} bytes, over the cap of {most}", path.display());
            Error::new(ErrorKind::TooLarge, message)
        })?;
        reading::read(file, fits).map_err(|e| cannot_read(path, e))
    }
}

/// The folder's own name, with what a model's name may not hold left out.
fn name_of(folder: &Path) -> String {
    let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    match plain.trim_start_matches('.') {
        "" => "model".to_owned(),
        name => name.to_owned(),
    }
}

fn first_file(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{} is no model folder: it has no {}", folder.display(), names.join(" or ")),
        )
    })
}
