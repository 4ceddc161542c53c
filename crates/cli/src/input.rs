//! Texts, from arguments or from a stream, in chunks of bounded size.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use isovec::{Error, ErrorKind, Result, limits};
use serde_json::{Map, Value};

use crate::args::InputFormat;

/// One text, with what came with it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) text: String,
    /// The further keys of a `jsonl` line.
    pub(crate) extra: Map<String, Value>,
    /// Bytes read from the source up to the end of this text, for progress.
    pub(crate) position: u64,
}

/// A chunk ends at whichever comes first; together with the queue of lines it bounds memory.
const CHUNK_ITEMS: usize = 128;
const CHUNK_BYTES: usize = 4 << 20;
const QUEUED_LINES: usize = 64;

/// Texts in chunks: as many as are there, so that a slow stream is answered line by line and a fast
/// one in full chunks.
pub(crate) struct Chunks {
    items: Receiver<Result<Item>>,
    /// The length of the source, where it is a file.
    pub(crate) total: Option<u64>,
    failed: Option<Error>,
}

impl Chunks {
    /// Reads from a file, or from standard input for `-`.
    pub(crate) fn open(path: &Path, format: InputFormat) -> Result<Self> {
        let (reader, total): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(std::io::stdin()), None)
        } else {
            let cannot_open = |e: std::io::Error| {
                let kind = match e.kind() {
                    std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                    _ => ErrorKind::Io,
                };
                Error::new(kind, format!("cannot read {}: {e}", path.display()))
            };
            let file = File::open(path).map_err(cannot_open)?;
            let total = file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
            (Box::new(file), total)
        };
        let name =
            if path == Path::new("-") { PathBuf::from("standard input") } else { path.into() };
        let (send, items) = sync_channel(QUEUED_LINES);
        // The thread ends with its input, or when the receiver is gone.
        std::thread::spawn(move || {
            let mut lines =
                Lines { reader: BufReader::new(reader), format, number: 0, position: 0 };
            while let Some(item) = lines.next() {
                let item = item.map_err(|e| {
                    e.context(format_args!("{} line {}", name.display(), lines.number))
                });
                let failed = item.is_err();
                if send.send(item).is_err() || failed {
                    break;
                }
            }
        });
        Ok(Chunks { items, total, failed: None })
    }
}

impl Iterator for Chunks {
    type Item = Result<Vec<Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let mut next = self.items.recv().ok();
        while let Some(item) = next {
            match item {
                Ok(item) => {
                    bytes += item.text.len();
                    chunk.push(item);
                }
                // What was read before the bad line is answered first.
                Err(error) if chunk.is_empty() => return Some(Err(error)),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            if chunk.len() >= CHUNK_ITEMS || bytes >= CHUNK_BYTES {
                break;
            }
            next = self.items.try_recv().ok();
        }
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

/// The texts of a stream, line by line.
struct Lines<R> {
    reader: BufReader<R>,
    format: InputFormat,
    number: u64,
    position: u64,
}

/// The most bytes of a line: a text at its cap, every character of it escaped as JSON's `\u0000`,
/// with some room for other keys.
const MAX_LINE_BYTES: u64 = 6 * limits::MAX_TEXT_BYTES as u64 + (1 << 20);

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Option<Result<Item>> {
        loop {
            self.number += 1;
            let mut line = Vec::new();
            let read = match (&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(read) => read as u64,
                Err(e) => {
                    return Some(Err(
                        Error::new(ErrorKind::Io, format!("cannot be read: {e}")).with_source(e)
                    ));
                }
            };
            self.position += read;
            if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                return Some(Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("is over the cap of {MAX_LINE_BYTES} bytes"),
                )));
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            let line = match String::from_utf8(line) {
                Ok(line) => line,
                Err(e) => {
                    let at = e.utf8_error().valid_up_to();
                    return Some(Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "is not UTF-8: byte {:#04x} at column {}",
                            e.as_bytes()[at],
                            at + 1
                        ),
                    )));
                }
            };
            match self.format {
                InputFormat::Lines => {
                    return Some(Ok(Item {
                        text: line,
                        extra: Map::new(),
                        position: self.position,
                    }));
                }
                InputFormat::Jsonl if line.trim().is_empty() => {}
                InputFormat::Jsonl => return Some(self.parse(&line)),
            }
        }
    }

    fn parse(&self, line: &str) -> Result<Item> {
        let invalid = |detail: String| Error::new(ErrorKind::InvalidInput, detail);
        let mut extra: Map<String, Value> = serde_json::from_str(line)
            .map_err(|e| invalid(format!("is no JSON object: {e}")).with_source(e))?;
        match extra.remove("text") {
            Some(Value::String(text)) => Ok(Item { text, extra, position: self.position }),
            Some(other) => Err(invalid(format!("\"text\" is {other}; expected a string"))),
            None => Err(invalid("has no \"text\"".to_owned())),
        }
    }
}

/// Texts given as arguments, as one chunk.
pub(crate) fn from_arguments(texts: Vec<String>) -> Vec<Item> {
    let item = |text| Item { text, extra: Map::new(), position: 0 };
    texts.into_iter().map(item).collect()
}
