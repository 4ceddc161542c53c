//! The bytes of an ONNX file, in memory or elsewhere.

use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use prost::bytes::Bytes;

use crate::model_file::Content;
use crate::{Error, ErrorKind, ReadAt};

/// So many bytes are read at once: few enough to be in a core's cache still when they are used.
const PIECE: usize = 64 << 10;

#[derive(Clone)]
pub(super) enum File {
    Memory(Bytes),
    Elsewhere(Arc<Elsewhere>),
}

/// A file that is not in memory, and what hindered reading it the first time.
pub(super) struct Elsewhere {
    file: Arc<dyn ReadAt>,
    failure: OnceLock<io::Error>,
}

impl Elsewhere {
    fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()> {
        self.file.read_exact_at(into, offset).map_err(|e| self.failed(e))
    }

    /// So many zeros, to be read into.
    fn room(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|e| self.failed(e.into()))?;
        bytes.resize(length, 0);
        Ok(bytes)
    }

    /// Keeps an error, and gives one to go on with: what meets it may take it for something about the model.
    fn failed(&self, e: io::Error) -> io::Error {
        let seen = io::Error::new(e.kind(), "the file cannot be read");
        let _ = self.failure.set(e);
        seen
    }

    /// The error that the file could not be read for, if there was one. Whatever was made of it then is not the model.
    pub(super) fn failure(&self) -> Option<Error> {
        let error = self.failure.get()?;
        let kind = match error.kind() {
            io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Io,
        };
        Some(Error::new(kind, format!("cannot read the ONNX file: {error}")))
    }
}

impl File {
    pub(super) fn len(&self) -> usize {
        match self {
            File::Memory(bytes) => bytes.len(),
            File::Elsewhere(elsewhere) => elsewhere.file.size(),
        }
    }

    /// Where it can be asked for what hindered reading it, if anything can.
    pub(super) fn elsewhere(&self) -> Option<Arc<Elsewhere>> {
        match self {
            File::Memory(_) => None,
            File::Elsewhere(elsewhere) => Some(Arc::clone(elsewhere)),
        }
    }

    /// The bytes of a place in it; no copy if they are in memory.
    pub(super) fn read(&self, place: Range<usize>) -> io::Result<Bytes> {
        match self {
            File::Memory(bytes) if place.end <= bytes.len() => Ok(bytes.slice(place)),
            File::Memory(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            File::Elsewhere(elsewhere) => {
                let mut bytes = elsewhere.room(place.len())?;
                elsewhere.read_exact_at(&mut bytes, place.start)?;
                Ok(bytes.into())
            }
        }
    }

    /// From this byte on, as many as are read at once.
    pub(super) fn piece(&self, start: usize) -> io::Result<Bytes> {
        self.read(start..self.len().min(start.saturating_add(PIECE)))
    }

    /// Calls `each` with the whole rows of so many bytes that are in a place, in their order.
    pub(super) fn rows(
        &self,
        place: Range<usize>,
        row: usize,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let File::Elsewhere(elsewhere) = self else {
            self.read(place)?.chunks_exact(row).for_each(each);
            return Ok(());
        };
        let piece = (PIECE / row).max(1).saturating_mul(row).min(place.len());
        let mut bytes = elsewhere.room(piece)?;
        for start in place.clone().step_by(piece.max(1)) {
            let bytes = &mut bytes[..piece.min(place.end - start)];
            elsewhere.read_exact_at(bytes, start)?;
            bytes.chunks_exact(row).for_each(&mut each);
        }
        Ok(())
    }
}

impl From<Content<'_>> for File {
    fn from(content: Content<'_>) -> Self {
        match content {
            Content::Memory(bytes) => bytes.into_owned().into(),
            Content::Elsewhere(file) => file.into(),
        }
    }
}

impl From<Arc<dyn ReadAt>> for File {
    fn from(file: Arc<dyn ReadAt>) -> Self {
        File::Elsewhere(Arc::new(Elsewhere { file, failure: OnceLock::new() }))
    }
}

impl From<Vec<u8>> for File {
    fn from(bytes: Vec<u8>) -> Self {
        File::Memory(bytes.into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file that is not said to be in memory.
    pub(in crate::engine) fn apart(bytes: Vec<u8>) -> File {
        let file: Arc<dyn ReadAt> = Arc::new(bytes);
        file.into()
    }

    #[test]
    fn rows_are_the_same_wherever_the_bytes_are() {
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|i| (i % 251) as u8).collect();
        let files = [File::from(bytes.clone()), apart(bytes.clone())];
        for file in files {
            assert_eq!(file.len(), bytes.len());
            for (place, row) in [
                (0..bytes.len(), 1000),
                (7..7 + 2 * PIECE, PIECE),
                (1..3 * PIECE, PIECE + 1),
                (5..5, 3),
                (9..12, 4),
            ] {
                let mut rows = Vec::new();
                file.rows(place.clone(), row, |row| rows.push(row.to_vec())).unwrap();
                let expected: Vec<_> =
                    bytes[place.clone()].chunks_exact(row).map(<[u8]>::to_vec).collect();
                assert_eq!(rows, expected, "{place:?} {row}");
                assert_eq!(file.read(place.clone()).unwrap(), bytes[place]);
            }
            assert_eq!(file.piece(3).unwrap(), bytes[3..3 + PIECE]);
            assert_eq!(file.piece(3 * PIECE).unwrap(), bytes[3 * PIECE..]);
            let over = file.read(0..bytes.len() + 1).unwrap_err();
            assert_eq!(over.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
