//! The file that a model is made of.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::hashed::check_sha256;
use crate::{HashedBytes, Result};

/// Bytes that can be read from any place, as those of a file or of a browser's memory can.
///
/// ```
/// use std::fs::File;
/// use std::io::{self, Read, Seek, SeekFrom};
/// use std::sync::{Mutex, PoisonError};
///
/// struct OnDisk {
///     file: Mutex<File>,
///     size: usize,
/// }
///
/// impl isovec_core::ReadAt for OnDisk {
///     fn size(&self) -> usize {
///         self.size
///     }
///
///     fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()> {
///         let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
///         file.seek(SeekFrom::Start(offset as u64))?;
///         file.read_exact(into)
///     }
/// }
/// ```
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> usize;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// What hindered it; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where there are fewer.
    fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()> {
        let rest = self.get(offset..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(rest.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An ONNX file, and its sha256.
///
/// [`HashedBytes`] convert into it, and whatever converts into those. Where the bytes are somewhere else, a model can be
/// made of them [piece by piece](Self::read_at).
#[derive(Clone)]
pub struct ModelFile<'a> {
    content: Content<'a>,
    sha256: String,
}

#[derive(Clone)]
pub(crate) enum Content<'a> {
    Memory(Cow<'a, [u8]>),
    Elsewhere(Arc<dyn ReadAt>),
}

impl ModelFile<'static> {
    /// A file that is read in pieces, so that it need not be in memory as a whole: first where its parts are, then the
    /// weights of an encoder, some tens of kilobytes at a time, and other tensors each at once. It must not change
    /// meanwhile, and is let go of when the model is loaded. Its sha256 is believed, as in [`HashedBytes::with_sha256`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless `sha256` has 64 lower-case hexadecimal digits.
    pub fn read_at(file: impl ReadAt + 'static, sha256: String) -> Result<Self> {
        check_sha256(&sha256)?;
        Ok(ModelFile { content: Content::Elsewhere(Arc::new(file)), sha256 })
    }
}

impl<'a> ModelFile<'a> {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Elsewhere(file) => file.size(),
        }
    }

    /// Its sha256, in 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn into_content(self) -> Content<'a> {
        self.content
    }
}

/// Without the bytes, which are many.
impl fmt::Debug for ModelFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFile")
            .field("size", &self.size())
            .field("sha256", &self.sha256)
            .finish()
    }
}

impl<'a, T: Into<HashedBytes<'a>>> From<T> for ModelFile<'a> {
    fn from(bytes: T) -> Self {
        let (bytes, sha256) = bytes.into().into_parts();
        ModelFile { content: Content::Memory(bytes), sha256 }
    }
}
