//! Texts, from arguments or from a stream, in chunks of bounded size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use isovec::store::CancelToken;
use isovec::{Error, ErrorKind, Result, limits};
use serde_json::{Map, Value};

use crate::args::InputFormat;

/// One text, with what came with it.
#[derive(Debug)]
pub(crate) struct Item {
    /// The text, or why the line holds none.
    pub(crate) text: Result<String>,
    /// The further keys of a `jsonl` line.
    pub(crate) extra: Map<String, Value>,
    /// The line of `jsonl` itself, for whoever carries it through as it is; none for a plain text.
    pub(crate) line: Option<String>,
    /// Where it stands, for errors: a file's name and line, or the number of an argument.
    pub(crate) place: String,
    /// Bytes read from the source up to the end of this text, for progress.
    pub(crate) position: u64,
}

/// A chunk ends at whichever comes first. At most three chunks are in memory: one is read, one waits
/// and one is worked on.
const CHUNK_ITEMS: usize = 128;
const CHUNK_BYTES: u64 = 4 << 20;

/// How much is read at once; also how far ahead a chunk may look for whole lines.
const READ_BYTES: usize = 1 << 18;

/// The most bytes of a line: a text at its cap, every character of it escaped as JSON's `\u0000`,
/// with some room for other keys.
const MAX_LINE_BYTES: u64 = 6 * limits::MAX_TEXT_BYTES as u64 + (1 << 20);

/// The error for a file that cannot be read.
pub(crate) fn cannot_read(path: &Path, e: io::Error) -> Error {
    let kind = match e.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot read {}: {e}", path.display())).with_source(e)
}

/// The bytes of a file, if there are at most `max`. A device or a pipe may have any number, and does not
/// say so: no more are read than show that it has too many.
pub(crate) fn read_file(path: &Path, max: usize) -> Result<Vec<u8>> {
    let cannot_read = |e: io::Error| cannot_read(path, e);
    let file = File::open(path).map_err(cannot_read)?;
    let size = file.metadata().map_err(cannot_read)?.len();
    let refuse = |size: String| {
        let message = format!("{}: {size}, over the cap of {max}", path.display());
        Err(Error::new(ErrorKind::TooLarge, message))
    };
    if size > max as u64 {
        return refuse(format!("{size} bytes"));
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() > max {
        return refuse(format!("more than {max} bytes"));
    }
    Ok(bytes)
}

/// Texts in chunks: as many as are there, so that a slow stream is answered line by line and a fast
/// one in full chunks.
pub(crate) struct Chunks {
    chunks: Receiver<Result<Vec<Item>>>,
    cancel: CancelToken,
    /// What errors call the source.
    pub(crate) name: String,
    /// The length of the source, where it is a file.
    pub(crate) total: Option<u64>,
}

impl Chunks {
    /// Reads from a file, or from standard input for `-`.
    pub(crate) fn open(path: &Path, format: InputFormat, cancel: &CancelToken) -> Result<Self> {
        let standard = path == Path::new("-");
        let (reader, total): (Box<dyn Read + Send>, _) = if standard {
            (Box::new(io::stdin()), None)
        } else {
            let cannot_read = |e: io::Error| cannot_read(path, e);
            let file = File::open(path).map_err(cannot_read)?;
            let total = file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
            (Box::new(file), total)
        };
        let name = if standard { "standard input".to_owned() } else { path.display().to_string() };
        let (send, chunks) = sync_channel(1);
        let lines = Lines {
            reader: BufReader::with_capacity(READ_BYTES, reader),
            name: name.clone(),
            format,
            number: 0,
            position: 0,
        };
        // The thread ends with its input, or when the receiver is gone.
        std::thread::spawn(move || lines.send(&send));
        Ok(Chunks { chunks, cancel: cancel.clone(), name, total })
    }
}

impl Iterator for Chunks {
    type Item = Result<Vec<Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // An idle stream must not keep a signal waiting.
            if self.cancel.is_cancelled() {
                return Some(Err(Error::new(ErrorKind::Cancelled, "interrupted")));
            }
            match self.chunks.recv_timeout(Duration::from_millis(50)) {
                Ok(chunk) => return Some(chunk),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// The texts of a stream, line by line.
struct Lines<R> {
    reader: BufReader<R>,
    name: String,
    format: InputFormat,
    number: u64,
    position: u64,
}

impl<R: Read> Lines<R> {
    fn send(mut self, to: &SyncSender<Result<Vec<Item>>>) {
        let mut chunk = Vec::new();
        let mut start = 0;
        loop {
            let ended = match self.next() {
                Ok(Some(item)) => {
                    chunk.push(item);
                    false
                }
                Ok(None) => true,
                Err(e) => {
                    // What was read before is answered first.
                    let _ = to.send(Ok(chunk)).and_then(|()| to.send(Err(e)));
                    return;
                }
            };
            // Another whole line is at hand without waiting for the source?
            let more = self.reader.buffer().contains(&b'\n');
            let full = chunk.len() >= CHUNK_ITEMS || self.position - start >= CHUNK_BYTES;
            if ended || full || !more {
                start = self.position;
                if !chunk.is_empty() && to.send(Ok(std::mem::take(&mut chunk))).is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    }

    /// The next text. An error is one of the source; a line that holds no text is an item.
    fn next(&mut self) -> Result<Option<Item>> {
        loop {
            self.number += 1;
            let line = match self.line() {
                Ok(None) => return Ok(None),
                Ok(Some(line)) => line.map_err(|e| self.at_line(e)),
                Err(e) => {
                    let error = Error::new(ErrorKind::Io, format!("cannot be read: {e}"));
                    return Err(self.at_line(error.with_source(e)));
                }
            };
            let (text, extra, line) = match line {
                Ok(line) if self.format == InputFormat::Lines => (Ok(line), Map::new(), None),
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => match parse(&line) {
                    Ok((text, extra)) => (text.map_err(|e| self.at_line(e)), extra, Some(line)),
                    Err(e) => (Err(self.at_line(e)), Map::new(), None),
                },
                Err(e) => (Err(e), Map::new(), None),
            };
            let (place, position) = (self.place(), self.position);
            return Ok(Some(Item { text, extra, line, place, position }));
        }
    }

    /// The next line without its end, however long the source's lines are: one over the cap is read
    /// to its end, but not kept.
    fn line(&mut self) -> io::Result<Option<Result<String>>> {
        let mut line = Vec::new();
        let mut read = self.read_line(&mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            while read > 0 && line.last() != Some(&b'\n') {
                line.clear();
                read = self.read_line(&mut line)?;
            }
            let message = format!("is over the cap of {MAX_LINE_BYTES} bytes");
            return Ok(Some(Err(Error::new(ErrorKind::TooLarge, message))));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        Ok(Some(String::from_utf8(line).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let byte = e.as_bytes()[at];
            let message = format!("is not UTF-8: byte {byte:#04x} at column {}", at + 1);
            Error::new(ErrorKind::InvalidInput, message)
        })))
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<u64> {
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', line)? as u64;
        self.position += read;
        Ok(read)
    }

    fn at_line(&self, error: Error) -> Error {
        error.context(self.place())
    }

    fn place(&self) -> String {
        format!("{} line {}", self.name, self.number)
    }
}

/// The text of a `jsonl` line and its further keys, which are kept even where it has no text.
fn parse(line: &str) -> Result<(Result<String>, Map<String, Value>)> {
    let invalid = |detail: String| Error::new(ErrorKind::InvalidInput, detail);
    let mut extra: Map<String, Value> = serde_json::from_str(line)
        .map_err(|e| invalid(format!("is no JSON object: {e}")).with_source(e))?;
    let text = match extra.remove("text") {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(invalid(format!("\"text\" is {other}; expected a string"))),
        None => Err(invalid("has no \"text\"".to_owned())),
    };
    Ok((text, extra))
}

/// Texts given as arguments, as one chunk.
pub(crate) fn from_arguments(texts: Vec<String>) -> Vec<Item> {
    let item = |(number, text)| Item {
        text: Ok(text),
        extra: Map::new(),
        line: None,
        place: format!("text {number}"),
        position: 0,
    };
    texts.into_iter().enumerate().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_cap() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_file(&path, 100).unwrap(), [7; 100]);
        let error = read_file(&path, 99).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(error.to_string(), format!("{}: 100 bytes, over the cap of 99", path.display()));
        assert_eq!(read_file(&temp.path().join("no"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        {
            // It says that it has no bytes, and has no end of them.
            let error = read_file(Path::new("/dev/zero"), 1000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            let expected = "/dev/zero: more than 1000 bytes, over the cap of 1000";
            assert_eq!(error.to_string(), expected);
        }
    }
}
