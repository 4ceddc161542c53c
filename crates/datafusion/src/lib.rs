//! `embed(text)` in SQL: embeddings as a scalar function of [Apache DataFusion], on one machine or, in
//! [Ballista], on many.
//!
//! ```no_run
//! use datafusion::common::ScalarValue;
//! use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
//! use isovec::TextEmbedder;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ctx = SessionContext::new_with_config(SessionConfig::new().with_batch_size(1024));
//! ctx.register_udf(isovec_datafusion::embed(TextEmbedder::open("all-MiniLM-L6-v2")?));
//! ctx.register_parquet("articles", "articles.parquet", ParquetReadOptions::default()).await?;
//!
//! // Parquet in, Parquet out.
//! ctx.sql("COPY (SELECT *, embed(body) AS v FROM articles) TO 'vectors.parquet'").await?.collect().await?;
//!
//! // Search. The query is a parameter, so that nothing in it is read as SQL.
//! ctx.register_parquet("vectors", "vectors.parquet", ParquetReadOptions::default()).await?;
//! let nearest = "SELECT title FROM vectors ORDER BY cosine_distance(v, embed($1)) LIMIT 5";
//! let query = vec![ScalarValue::from("a red car")];
//! ctx.sql(nearest).await?.with_param_values(query)?.show().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | function | argument | model |
//! |---|---|---|
//! | [`embed(text)`](embed) | Utf8, LargeUtf8, Utf8View | a [`TextEmbedder`] |
//! | [`embed_image(file)`](embed_image) | Binary, LargeBinary, BinaryView: a JPEG, PNG or WebP | an [`ImageEmbedder`] |
//! | [`embed_clip_text(text)`](embed_clip_text) | as `embed` | a [`ClipTextEmbedder`], for queries to images |
//!
//! [`Embed`] makes them with other names and with prompts. To compare vectors, DataFusion has
//! `cosine_distance`, `inner_product` and `array_distance` of its own (its feature `nested_expressions`,
//! a default).
//!
//! # What holds
//!
//! - The result is a `FixedSizeList<Float32, dims>` whose items are never NULL; it is NULL exactly where
//!   the argument is.
//! - A vector is bit for bit what the model's `embed` gives, whatever the batch or the partition, on machines of one
//!   kind.
//! - An item that is several times in a batch, in a dictionary or not, is embedded once. So is a
//!   constant in a query: while it is planned.
//! - The field of the vectors says in its metadata which model made them ([`MODEL_KEY`], [`FINGERPRINT_KEY`]).
//!   DataFusion writes it into Parquet files, and reads it from them if it is told not to skip it
//!   (`ParquetReadOptions::skip_metadata(false)`, `datafusion.execution.parquet.skip_metadata = false`).
//! - Any other type than those above is an error while planning. An item without a vector (too long, no
//!   image) is a [`DataFusionError::External`] that holds an [`isovec::Error`] and names the row of the batch.
//!   It ends the query, and it never shows the item.
//!
//! # Running it well
//!
//! - A row takes milliseconds, so a batch of DataFusion's usual 8192 rows takes long to be cancelled or to show
//!   progress. Set `datafusion.execution.batch_size` to about 1024.
//! - A batch is spread over the model's threads, and batches of several partitions share them. More
//!   partitions than one bring little, and lose the order of the rows.
//! - The thread that runs the query blocks meanwhile. A server answers requests on another runtime than that
//!   of its queries, as for any heavy query of DataFusion.
//! - In `SELECT embed(text) FROM t ORDER BY id LIMIT 5`, all rows are embedded. In
//!   `SELECT embed(text) FROM (SELECT * FROM t ORDER BY id LIMIT 5)` it is five.
//! - A Parquet writer holds a row group in memory. With DataFusion's million rows these are gigabytes of vectors; set
//!   `datafusion.execution.parquet.max_row_group_size` to 32768 or so.
//!
//! The example `parquet` does all this from a command line.
//!
//! # Ballista
//!
//! Ballista 55 is made for DataFusion 55. A plan goes from process to process with the names of its functions, which
//! Ballista's own codecs look up where they decode it. So no codec is needed, but each process has to
//! know `embed`, of the same model:
//!
//! ```ignore
//! fn state(config: SessionConfig, model: TextEmbedder) -> datafusion::error::Result<SessionState> {
//!     let mut state = SessionStateBuilder::new().with_default_features().with_config(config).build();
//!     state.register_udf(Arc::new(isovec_datafusion::embed(model)))?;
//!     Ok(state)
//! }
//!
//! // The scheduler: ballista_scheduler::config::SchedulerConfig.
//! let config = SchedulerConfig::default()
//!     .with_override_session_builder(Arc::new(move |config| state(config, model.clone())));
//!
//! // An executor: ballista_executor::executor_process::ExecutorProcessConfig. Not the registry's default,
//! // which lacks `cosine_distance` and the other functions of lists.
//! let registry = BallistaFunctionRegistry::from(&state(SessionConfig::new_with_ballista(), model)?);
//! let config = ExecutorProcessConfig { override_function_registry: Some(Arc::new(registry)), ..config };
//!
//! // The client. Connecting resets the functions of a session, so `embed` is registered afterwards.
//! let ctx = SessionContext::remote("df://scheduler:50050").await?;
//! ctx.register_udf(isovec_datafusion::embed(model));
//! ```
//!
//! The programs `ballista-scheduler` and `ballista-executor` know no functions but DataFusion's; a cluster with
//! `embed` runs programs of its own, which call `start_server` and `start_executor_process` with these
//! settings.
//!
//! [Apache DataFusion]: https://datafusion.apache.org
//! [Ballista]: https://datafusion.apache.org/ballista/
//! [`DataFusionError::External`]: datafusion_common::DataFusionError::External

mod column;
mod function;
mod model;
mod vectors;

use datafusion_expr::ScalarUDF;
use isovec::{ClipTextEmbedder, ImageEmbedder, TextEmbedder};

pub use function::{Embed, FINGERPRINT_KEY, MODEL_KEY};

/// `embed(text)`: the vector of a text. See [`Embed::text`].
pub fn embed(model: TextEmbedder) -> ScalarUDF {
    Embed::text(model).into()
}

/// `embed_image(file)`: the vector of an image file's bytes. See [`Embed::image`].
pub fn embed_image(model: ImageEmbedder) -> ScalarUDF {
    Embed::image(model).into()
}

/// `embed_clip_text(text)`: the vector of a text in the space of a CLIP's images. See
/// [`Embed::clip_text`].
pub fn embed_clip_text(model: ClipTextEmbedder) -> ScalarUDF {
    Embed::clip_text(model).into()
}
