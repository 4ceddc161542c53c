//! Parquet in, Parquet out: a file with the vectors of one of its columns added as the column `vector`.
//!
//! ```text
//! cargo run --release --example parquet -- in.parquet text out.parquet [model]
//! ```
//!
//! Rows stream through: what is in memory does not grow with the file. They keep their order. The column
//! may hold texts, or files of images if the model is one of the manifest's for images.

#![expect(clippy::print_stderr, reason = "progress is for people")]

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures_util::StreamExt;
use isovec::{ClipTextEmbedder, ImageEmbedder, ModelKind, TextEmbedder};
use isovec_datafusion::{embed, embed_clip_text, embed_image};

/// What the column of vectors is called.
const VECTOR: &str = "vector";

/// Rows that are embedded at once: many enough to keep all threads busy, few enough to see progress.
const BATCH_ROWS: usize = 1024;

/// Rows of a row group, all of which the writer holds in memory: 48 MiB of vectors of 384 dimensions.
/// Parquet's usual million would be 1.5 GiB.
const ROW_GROUP_ROWS: usize = 32 * 1024;

/// The same for rows of images.
const ROW_GROUP_BYTES: usize = 128 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, column, output, model) =
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [input, column, output] => (input, column, output, "all-MiniLM-L6-v2"),
            [input, column, output, model] => (input, column, output, model),
            _ => return Err("usage: parquet in.parquet column out.parquet [model]".into()),
        };
    let function = open(model)?;

    // One partition keeps the rows in order. The model has threads of its own.
    let config = SessionConfig::new().with_batch_size(BATCH_ROWS).with_target_partitions(1);
    let ctx = SessionContext::new_with_config(config);
    let rows = ctx.read_parquet(input, ParquetReadOptions::default()).await?;
    if rows.schema().has_column_with_unqualified_name(VECTOR) {
        return Err(format!("{input} has a column {VECTOR:?} already").into());
    }
    let vector = function.call(vec![Expr::Column(Column::from_name(column))]);
    let rows = rows.with_column(VECTOR, vector)?;

    // A file that was not written to its end never has the name of one that was.
    let part = format!("{output}.part");
    let written = write(rows, Path::new(&part)).await;
    match &written {
        Ok(()) => fs::rename(&part, output)?,
        Err(_) => _ = fs::remove_file(&part),
    }
    written
}

fn open(model: &str) -> isovec::Result<ScalarUDF> {
    let kind = isovec::manifest()?.get(model).map_or(ModelKind::Text, |spec| spec.kind);
    match kind {
        ModelKind::Image => Ok(embed_image(ImageEmbedder::open(model)?)),
        ModelKind::ClipText => Ok(embed_clip_text(ClipTextEmbedder::open(model)?)),
        _ => Ok(embed(TextEmbedder::open(model)?)),
    }
}

async fn write(rows: datafusion::dataframe::DataFrame, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut batches = rows.execute_stream().await?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batches.schema(), Some(properties))?;
    let (start, mut shown, mut done) = (Instant::now(), Instant::now(), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        writer.write(&batch)?;
        done += batch.num_rows();
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            progress(done, start);
        }
    }
    writer.close()?;
    progress(done, start);
    Ok(())
}

fn progress(rows: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{rows} rows in {seconds:.1} s: {:.0} rows/s", rows as f64 / seconds);
}
