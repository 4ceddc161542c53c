//! `embed` in queries of the real DataFusion, over real Parquet files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Int8Type, Int64Type};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use isovec::{ClipTextEmbedder, ErrorKind, ImageEmbedder, TextEmbedder, limits, vector};
use isovec_datafusion::{Embed, FINGERPRINT_KEY, MODEL_KEY, embed, embed_clip_text, embed_image};
use tempfile::TempDir;

type Error = Box<dyn std::error::Error>;

/// Something of everything: duplicates, nothing, NULL, several scripts, and a text that is cut.
fn rows() -> Vec<Option<String>> {
    let long = "many words ".repeat(100);
    let texts = [
        Some("a red car"),
        None,
        Some(""),
        Some("ein rotes Auto"),
        Some("a red car"),
        Some("赤い車"),
        Some("🚗"),
        Some(long.as_str()),
        Some(""),
        None,
        Some("a\0b"),
        Some("a red car"),
    ];
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// What `scripts/test_datafusion` lays ready: a file or folder of the folder that `variable` names.
fn fixture(variable: &str, name: &str) -> PathBuf {
    let Some(folder) = std::env::var_os(variable) else {
        panic!("{variable} is not set. Run the tests by scripts/test_datafusion.")
    };
    Path::new(&folder).join(name)
}

fn folder_of(model: &str) -> String {
    fixture("ISOVEC_TEST_MODELS", model).to_string_lossy().into_owned()
}

fn test_model(name: &str) -> TextEmbedder {
    TextEmbedder::open(&folder_of(name)).unwrap()
}

fn model() -> &'static TextEmbedder {
    static MODEL: OnceLock<TextEmbedder> = OnceLock::new();
    MODEL.get_or_init(|| test_model("mean-opset17"))
}

/// A session with `embed`, whose partitions and batches are small enough to have several of each.
fn session() -> SessionContext {
    session_with(false)
}

/// See [`session`]; with `view_types` columns of Parquet files are read as Utf8View, else as what they are.
fn session_with(view_types: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(4);
    config.options_mut().execution.parquet.schema_force_view_types = view_types;
    let ctx = SessionContext::new_with_config(config);
    ctx.register_udf(embed(model().clone()));
    ctx
}

fn text_columns() -> Vec<(&'static str, ArrayRef)> {
    let rows = rows();
    let texts = || rows.iter().map(Option::as_deref);
    vec![
        ("Utf8", Arc::new(StringArray::from_iter(texts()))),
        ("LargeUtf8", Arc::new(LargeStringArray::from_iter(texts()))),
        ("Utf8View", Arc::new(StringViewArray::from_iter(texts()))),
        ("Dictionary", Arc::new(DictionaryArray::<Int8Type>::from_iter(texts()))),
    ]
}

fn table(text: ArrayRef) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..text.len() as i64));
    RecordBatch::try_from_iter_with_nullable([("id", id, false), ("text", text, true)]).unwrap()
}

/// Writes `table` in row groups of five rows.
fn write_parquet(path: &Path, table: &RecordBatch, compression: Compression) {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(5))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), Some(properties)).unwrap();
    writer.write(table).unwrap();
    writer.close().unwrap();
}

/// Registers the table `t`, which is two Parquet files.
async fn register(ctx: &SessionContext, text: ArrayRef) -> Result<TempDir, Error> {
    let folder = tempfile::tempdir()?;
    let table = table(text);
    let (first, rest) = (table.slice(0, 7), table.slice(7, table.num_rows() - 7));
    write_parquet(&folder.path().join("1.parquet"), &first, Compression::SNAPPY);
    write_parquet(&folder.path().join("2.parquet"), &rest, Compression::ZSTD(ZstdLevel::default()));
    let path = folder.path().to_string_lossy();
    ctx.register_parquet("t", path, ParquetReadOptions::default()).await?;
    Ok(folder)
}

async fn query(ctx: &SessionContext, sql: &str) -> Result<RecordBatch, DataFusionError> {
    let frame = ctx.sql(sql).await?;
    let schema = Arc::clone(frame.schema().inner());
    Ok(concat_batches(&schema, &frame.collect().await?)?)
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// The vectors of a column as bits, which `==` takes for different where floats are equal but not the same.
fn vectors(batch: &RecordBatch, column: &str) -> Vec<Option<Vec<u32>>> {
    let lists = batch.column_by_name(column).unwrap().as_fixed_size_list();
    let vector = |list: ArrayRef| bits(list.as_primitive::<Float32Type>().values());
    lists.iter().map(|list| list.map(vector)).collect()
}

/// What `embed` has to give for `rows`.
fn expected() -> Vec<Option<Vec<u32>>> {
    let vector = |text: String| bits(model().embed(&text).unwrap().vector());
    rows().into_iter().map(|text| text.map(vector)).collect()
}

/// The error of isovec that a query failed with.
fn cause(error: &DataFusionError) -> &isovec::Error {
    let DataFusionError::External(cause) = error.find_root() else { panic!("{error:?}") };
    cause.downcast_ref().unwrap()
}

#[tokio::test]
async fn columns_of_each_type_of_text_give_the_vectors_of_the_model() -> Result<(), Error> {
    let expected = expected();
    for (name, column) in text_columns() {
        for view_types in [false, true] {
            let ctx = session_with(view_types);
            let _files = register(&ctx, column.clone()).await?;
            let got = query(&ctx, "SELECT id, embed(text) AS v FROM t ORDER BY id").await?;
            assert_eq!(vectors(&got, "v"), expected, "{name}, {view_types}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn vectors_written_to_parquet_are_read_as_they_were_with_the_model_they_are_of()
-> Result<(), Error> {
    let ctx = session();
    let files = register(&ctx, text_columns().remove(0).1).await?;
    let path = files.path().join("out").to_string_lossy().into_owned() + "/";
    let frame = ctx.sql("SELECT *, embed(text) AS v FROM t").await?;
    frame.write_parquet(&path, DataFrameWriteOptions::new(), None).await?;

    let plain = SessionContext::new();
    let with_metadata = ParquetReadOptions::default().skip_metadata(false);
    plain.register_parquet("t", &path, with_metadata).await?;
    let got = query(&plain, "SELECT v FROM t ORDER BY id").await?;
    assert_eq!(vectors(&got, "v"), expected());
    let schema = got.schema();
    let field = schema.field_with_name("v")?;
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    assert_eq!(*field.data_type(), DataType::FixedSizeList(item, 128));
    assert_eq!(field.metadata()[MODEL_KEY], "mean-opset17");
    assert_eq!(field.metadata()[FINGERPRINT_KEY], model().fingerprint().to_string());
    Ok(())
}

#[tokio::test]
async fn rows_are_ordered_by_similarity() -> Result<(), Error> {
    let ctx = session();
    let _files = register(&ctx, text_columns().remove(0).1).await?;
    let sql = "SELECT id FROM t WHERE text IS NOT NULL \
               ORDER BY cosine_distance(embed(text), embed('an automobile')), id LIMIT 4";
    let got = query(&ctx, sql).await?;
    let got = got.column(0).as_primitive::<Int64Type>().values().to_vec();

    let query = model().embed("an automobile")?;
    let rows = rows().into_iter().enumerate();
    let mut ranked: Vec<(f32, i64)> = rows
        .filter_map(|(id, text)| {
            let vector = model().embed(&text?).unwrap().into_vector();
            Some((-vector::cosine(&vector, query.vector()).unwrap(), id as i64))
        })
        .collect();
    ranked.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(got, ranked.iter().take(4).map(|&(_, id)| id).collect::<Vec<_>>());
    Ok(())
}

/// `embed`, counting how often it is called and how many rows it was given.
#[derive(Debug)]
struct Counting {
    function: Embed,
    calls: Arc<AtomicUsize>,
}

impl PartialEq for Counting {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Counting {}

impl std::hash::Hash for Counting {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Counting {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.function.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType, DataFusionError> {
        self.function.return_type(given)
    }

    fn return_field_from_args(
        &self,
        args: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        self.function.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.function.invoke_with_args(args)
    }
}

#[tokio::test]
async fn a_constant_is_embedded_once_for_a_query() -> Result<(), Error> {
    let ctx = session();
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Counting { function: Embed::text(model().clone()), calls: Arc::clone(&calls) };
    ctx.register_udf(ScalarUDF::from(counting));
    let _files = register(&ctx, text_columns().remove(0).1).await?;

    let got = query(&ctx, "SELECT id, embed('a red' || ' car') AS v FROM t").await?;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(vectors(&got, "v"), vec![expected().remove(0); rows().len()]);

    let sql = "SELECT id, embed('a red car') AS v, embed(NULL) AS none FROM t WHERE id = $1";
    let frame = ctx.sql(sql).await?.with_param_values(vec![ScalarValue::from(3_i64)])?;
    let got = frame.collect().await?;
    assert_eq!(vectors(&got[0], "v"), [expected().remove(0)]);
    assert_eq!(vectors(&got[0], "none"), [None]);
    Ok(())
}

#[tokio::test]
async fn a_query_takes_its_text_as_a_parameter() -> Result<(), Error> {
    let ctx = session();
    let frame = ctx.sql("SELECT embed($1) AS v").await?;
    let text = ScalarValue::from("a red car");
    let got = frame.with_param_values(vec![text])?.collect().await?;
    assert_eq!(vectors(&got[0], "v"), [expected().remove(0)]);
    Ok(())
}

#[tokio::test]
async fn no_rows_give_no_vectors() -> Result<(), Error> {
    let ctx = session();
    let empty: ArrayRef = Arc::new(StringArray::from(Vec::<Option<&str>>::new()));
    ctx.register_batch("empty", table(empty))?;
    let got = query(&ctx, "SELECT embed(text) AS v FROM empty").await?;
    assert_eq!(vectors(&got, "v"), Vec::<Option<_>>::new());
    Ok(())
}

#[tokio::test]
async fn what_is_no_text_is_refused_while_planning() -> Result<(), Error> {
    let ctx = session();
    let _files = register(&ctx, text_columns().remove(0).1).await?;
    ctx.register_udf(embed_image(vision()));
    let cases = [
        (
            "embed(id)",
            "embed takes a text, which Int64 is not; if its text is meant, write embed(CAST(... AS VARCHAR))",
        ),
        ("embed(now())", "embed takes a text, which Timestamp"),
        ("embed(make_array(text))", "embed takes a text, which List"),
        (
            "embed(arrow_cast(id, 'Dictionary(Int8, Int64)'))",
            "embed takes a text, which Dictionary",
        ),
        ("embed()", "embed"),
        ("embed(text, text)", "embed function requires 1 argument, got 2"),
        (
            "embed_image(text)",
            "embed_image takes an image file's bytes (Binary, LargeBinary or BinaryView), which Utf8 is not",
        ),
    ];
    for (expression, expected) in cases {
        let error = match ctx.sql(&format!("SELECT {expression} FROM t")).await {
            Ok(_) => "it was planned".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{expression}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_text_without_a_vector_is_named_by_its_row() -> Result<(), Error> {
    let ctx = SessionContext::new();
    ctx.register_udf(embed(model().clone()));
    let long = "secret ".repeat(limits::MAX_TEXT_BYTES / 7 + 1);
    let texts = [None, Some("fine"), Some(long.as_str()), Some("fine"), Some(long.as_str())];
    ctx.register_batch("t", table(Arc::new(StringArray::from_iter(texts))))?;

    let error = query(&ctx, "SELECT embed(text) FROM t").await.unwrap_err();
    let cause = cause(&error);
    assert_eq!(cause.kind(), ErrorKind::TooLarge);
    assert!(
        cause.to_string().starts_with("embed: row 2 of a batch of 5, from 0: the text is"),
        "{cause}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_constant_without_a_vector_is_an_error() -> Result<(), Error> {
    let ctx = session();
    let long = "x".repeat(limits::MAX_TEXT_BYTES + 1);
    let error = query(&ctx, &format!("SELECT embed('{long}')")).await.unwrap_err();
    assert_eq!(cause(&error).kind(), ErrorKind::TooLarge);
    assert!(cause(&error).to_string().starts_with("embed: the text is"), "{error}");
    Ok(())
}

#[tokio::test]
async fn prompts_make_functions_of_their_own() -> Result<(), Error> {
    let model = test_model("prompts");
    let ctx = SessionContext::new();
    for prompt in ["query", "passage"] {
        let function =
            Embed::text_with_prompt(model.clone(), prompt)?.named(&format!("embed_{prompt}"));
        ctx.register_udf(function.into());
    }
    let got =
        query(&ctx, "SELECT embed_query('car') AS query, embed_passage('car') AS passage").await?;
    for prompt in ["query", "passage"] {
        let expected = bits(model.embed_prompted(prompt, "car")?.vector());
        assert_eq!(vectors(&got, prompt), [Some(expected)], "{prompt}");
    }
    let error = Embed::text_with_prompt(model, "title").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "model \"prompts\" has no prompt \"title\"; it has: [passage, query]"
    );
    Ok(())
}

fn vision() -> ImageEmbedder {
    ImageEmbedder::open(&folder_of("clip-both")).unwrap()
}

#[tokio::test]
async fn images_are_found_by_a_text_of_their_space() -> Result<(), Error> {
    let images = vision();
    let texts = ClipTextEmbedder::open(&folder_of("clip-both"))?;
    let ctx = SessionContext::new();
    ctx.register_udf(embed_image(images.clone()));
    ctx.register_udf(embed_clip_text(texts.clone()));
    let names = ["1.png", "exif-1.jpg", "exif-5.webp"];
    let files =
        names.map(|name| std::fs::read(fixture("ISOVEC_TEST_IMAGES", "files").join(name)).unwrap());
    let file: ArrayRef = Arc::new(BinaryArray::from_iter(
        files.iter().map(|file| Some(file.as_slice())).chain([None]),
    ));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(names.into_iter().chain(["none"])));
    ctx.register_batch("images", RecordBatch::try_from_iter([("name", name), ("file", file)])?)?;

    let got = query(&ctx, "SELECT embed_image(file) AS v FROM images").await?;
    let mut expected: Vec<_> =
        files.iter().map(|file| Some(bits(images.embed(file).unwrap().vector()))).collect();
    expected.push(None);
    assert_eq!(vectors(&got, "v"), expected);

    let sql = "SELECT name, cosine_distance(embed_image(file), embed_clip_text('a photo of a cat')) AS d \
               FROM images WHERE file IS NOT NULL ORDER BY d LIMIT 1";
    let got = query(&ctx, sql).await?;
    let text = texts.embed("a photo of a cat")?;
    let similarity: BTreeMap<_, _> = std::iter::zip(names, &files)
        .map(|(name, file)| {
            let image = images.embed(file).unwrap();
            (name, vector::cosine(image.vector(), text.vector()).unwrap())
        })
        .collect();
    let best = similarity.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(got.column(0).as_string::<i32>().value(0), *best);

    let error =
        query(&ctx, "SELECT embed_image(arrow_cast('no image', 'Binary'))").await.unwrap_err();
    assert_eq!(cause(&error).kind(), ErrorKind::UnsupportedFormat);
    Ok(())
}

#[test]
fn functions_are_equal_if_model_settings_and_name_are() {
    let base = Embed::text(model().clone());
    let prompts = test_model("prompts");
    let cases = [
        ("opened again", Embed::text(test_model("mean-opset17")), true),
        ("another name", base.clone().named("vector_of"), false),
        ("another model", Embed::text(test_model("mean-opset14")), false),
    ];
    let hasher = RandomState::new();
    for (name, other, equal) in cases {
        assert_eq!(base == other, equal, "{name}");
        assert_eq!(hasher.hash_one(&base) == hasher.hash_one(&other), equal, "{name}");
    }
    let with = |prompt| Embed::text_with_prompt(prompts.clone(), prompt).unwrap();
    assert_eq!(with("query"), with("query"));
    assert_ne!(with("query"), with("passage"));
}
