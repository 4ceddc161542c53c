//! The forms in which vectors are written.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use isovec::{Embedding, ImageEmbedding, ImageFormat};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::OutputFormat;

/// Writes results one after the other, in input order.
pub(crate) trait Sink {
    /// One vector.
    fn embedding(&mut self, record: Record<'_>) -> io::Result<()>;
    /// One input that has none.
    fn failure(
        &mut self,
        _index: u64,
        _error: &isovec::Error,
        _extra: Map<String, Value>,
    ) -> io::Result<()> {
        Ok(())
    }
    /// After each chunk: what was computed is on its way before more is.
    fn flush(&mut self) -> io::Result<()>;
    /// After the last one.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// One result.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) index: u64,
    /// The text, or the name of the image.
    pub(crate) label: &'a str,
    pub(crate) vector: &'a [f32],
    pub(crate) facts: Facts<'a>,
    /// Further keys of the input, carried through.
    pub(crate) extra: Map<String, Value>,
}

/// What is known of an input beside its vector.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Facts<'a> {
    Text {
        tokens: usize,
        truncated: bool,
    },
    Image {
        source: &'a str,
        width: usize,
        height: usize,
        format: ImageFormat,
        bytes: usize,
        sha256: &'a str,
    },
    Fused {
        fusion: &'a str,
        has_text: bool,
        has_image: bool,
    },
}

impl<'a> Facts<'a> {
    pub(crate) fn of_text(embedding: &Embedding) -> Self {
        Facts::Text { tokens: embedding.tokens, truncated: embedding.truncated }
    }

    pub(crate) fn of_image(source: &'a str, embedding: &'a ImageEmbedding) -> Self {
        Facts::Image {
            source,
            width: embedding.width,
            height: embedding.height,
            format: embedding.format,
            bytes: embedding.bytes,
            sha256: &embedding.sha256,
        }
    }

    /// The keys that these are written under.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Facts::Text { .. } => &["tokens", "truncated"],
            Facts::Image { .. } => &["source", "width", "height", "format", "bytes", "sha256"],
            Facts::Fused { .. } => &["fusion", "has_text", "has_image"],
        }
    }

    /// The heading of the table's column for these, and the cell.
    fn cell(self) -> (&'static str, String) {
        match self {
            Facts::Text { tokens, truncated } => {
                ("tokens", format!("{tokens}{}", if truncated { "+" } else { " " }))
            }
            Facts::Image { width, height, format, .. } => {
                ("image", format!("{width} x {height} {format}"))
            }
            Facts::Fused { has_text, has_image, .. } => (
                "of",
                match (has_text, has_image) {
                    (true, true) => "text, image",
                    (true, false) => "text",
                    _ => "image",
                }
                .to_owned(),
            ),
        }
    }
}

pub(crate) fn sink(
    format: OutputFormat,
    dims: usize,
    out: Box<dyn Write>,
) -> io::Result<Box<dyn Sink>> {
    let out = BufWriter::new(out);
    Ok(match format {
        OutputFormat::Jsonl => Box::new(JsonLines { out }),
        OutputFormat::Json => Box::new(JsonArray { out, first: true }),
        OutputFormat::Npy => {
            Box::new(Npy { out, rows: BufWriter::new(tempfile::tempfile()?), count: 0, dims })
        }
        OutputFormat::Table => Box::new(Table { out, header: true }),
    })
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    index: u64,
    embedding: &'a [f32],
    #[serde(flatten)]
    facts: Facts<'a>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl<'a> From<Record<'a>> for JsonRecord<'a> {
    fn from(record: Record<'a>) -> Self {
        let mut extra = record.extra;
        // Our keys win over carried ones: an object must not name one twice.
        for ours in ["index", "embedding"].iter().chain(record.facts.keys()) {
            extra.remove(*ours);
        }
        JsonRecord { index: record.index, embedding: record.vector, facts: record.facts, extra }
    }
}

struct JsonLines<W> {
    out: W,
}

impl<W: Write> Sink for JsonLines<W> {
    fn embedding(&mut self, record: Record<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &JsonRecord::from(record))?;
        self.out.write_all(b"\n")
    }

    fn failure(
        &mut self,
        index: u64,
        error: &isovec::Error,
        extra: Map<String, Value>,
    ) -> io::Result<()> {
        let mut line = extra;
        line.insert("index".into(), index.into());
        line.insert(
            "error".into(),
            serde_json::json!({ "code": error.kind().as_str(), "message": error.to_string() }),
        );
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

struct JsonArray<W> {
    out: W,
    first: bool,
}

impl<W: Write> Sink for JsonArray<W> {
    fn embedding(&mut self, record: Record<'_>) -> io::Result<()> {
        self.out.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.out, &JsonRecord::from(record))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}

/// The NumPy format, version 1.0. Its header states the number of rows, which a stream knows only at
/// its end: rows wait in a temporary file, so memory stays constant and a pipe can be written to.
struct Npy<W> {
    out: W,
    rows: BufWriter<File>,
    count: u64,
    dims: usize,
}

impl<W: Write> Sink for Npy<W> {
    fn embedding(&mut self, record: Record<'_>) -> io::Result<()> {
        for x in record.vector {
            self.rows.write_all(&x.to_le_bytes())?;
        }
        self.count += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let facts = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
            self.count, self.dims
        );
        // Magic, version and length take 10 bytes; the data must start at a multiple of 64.
        let padded = (10 + facts.len() + 1).next_multiple_of(64) - 10;
        let length = u16::try_from(padded).map_err(io::Error::other)?;
        self.out.write_all(b"\x93NUMPY\x01\x00")?;
        self.out.write_all(&length.to_le_bytes())?;
        writeln!(self.out, "{facts:<width$}", width = padded - 1)?;
        let mut rows = self.rows.into_inner().map_err(io::IntoInnerError::into_error)?;
        rows.rewind()?;
        io::copy(&mut rows, &mut self.out)?;
        self.out.flush()
    }
}

struct Table<W> {
    out: W,
    header: bool,
}

impl<W: Write> Sink for Table<W> {
    fn embedding(&mut self, record: Record<'_>) -> io::Result<()> {
        let (heading, cell) = record.facts.cell();
        let width = if heading == "tokens" { 7 } else { 18 };
        if std::mem::take(&mut self.header) {
            writeln!(self.out, "{:>5}  {heading:>width$} {:<54}  input", "index", "vector")?;
        }
        let head: Vec<_> = record.vector.iter().take(4).map(|x| format!("{x:+.5}")).collect();
        let head = format!("[{}, … {} in all]", head.join(" "), record.vector.len());
        writeln!(
            self.out,
            "{:>5}  {cell:>width$} {head:<54}  {}",
            record.index,
            one_line(record.label, 40)
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// At most `width` characters of `text`, without anything that would move a terminal's cursor.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let mut line: String =
        text.chars().take(width).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(width).is_some() {
        line.pop();
        line.push('…');
    }
    line
}
