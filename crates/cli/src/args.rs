//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use isovec::Precision;

/// Embeddings of text and images, locally: no cloud, no C++ runtime.
#[derive(Debug, Parser)]
#[command(name = "isovec", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn texts into vectors
    Embed(EmbedArgs),
    /// Turn images into vectors
    EmbedImage(EmbedImageArgs),
    /// Print how alike two texts are: the cosine of their vectors
    Similarity(SimilarityArgs),
    /// Find the texts of a file or an index, or the images of a folder, that mean what a query means
    Search(SearchArgs),
    /// Make an index of the texts of a file, to be searched here or in a browser
    Index(IndexArgs),
    /// Say which of some labels fits an image best, without training
    Classify(ClassifyArgs),
    /// Make one vector of a text and an image
    #[command(subcommand)]
    Fuse(FuseCommand),
    /// List, fetch and verify models
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Serve embeddings over HTTP, with OpenAI's requests and answers
    Serve(ServeArgs),
    /// Show, check and explain the configuration of the service
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the tiers of the cache on Redis, or empty them
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Ask a running service whether it can serve: exit code 0 if so, 1 if not
    Health(HealthArgs),
}

/// The models that are used where none is named.
pub(crate) const TEXT_MODEL: &str = "all-MiniLM-L6-v2";
pub(crate) const IMAGE_MODEL: &str = "clip-vit-base-patch32";

#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    /// A model's name (see `isovec models list`), or a folder with model.onnx and tokenizer.json
    #[arg(long, default_value = TEXT_MODEL, value_name = "NAME|DIR")]
    pub(crate) model: String,
    /// The weights to use: fp32, int8
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Compute in fp32, or faster, with vectors that are close to those of fp32: in bf16, in int8
    #[arg(long, value_name = "fp32|bf16|int8", default_value_t)]
    pub(crate) precision: Precision,
    /// Read at most this many tokens of a text, special tokens included
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Keep only the first N dimensions, for a model that was trained for it
    #[arg(long, value_name = "N")]
    pub(crate) dimensions: Option<usize>,
    /// Use N threads instead of one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// What to ask
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080/health/ready")]
    pub(crate) url: String,
    /// Give up after so many seconds; readiness waits for its turn in the queue, 5 seconds by default
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) timeout: u16,
}

#[derive(Args, Debug)]
pub(crate) struct EmbedArgs {
    /// The texts
    #[arg(value_name = "TEXT", required_unless_present = "input", conflicts_with = "input")]
    pub(crate) texts: Vec<String>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Put the model's prompt of this name before each text
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<String>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Jsonl)]
    pub(crate) format: OutputFormat,
    /// Write to this file instead of standard output; it appears when all went well
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Report a text that cannot be embedded as {"index", "error"} and go on (jsonl only)
    #[arg(long)]
    pub(crate) keep_going: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InputArgs {
    /// Read texts from this file, `-` for standard input
    #[arg(long, short, value_name = "FILE|-")]
    pub(crate) input: Option<PathBuf>,
    /// One text per line, or one {"text": ...} per line, whose further keys are carried through
    #[arg(long, value_enum, default_value_t = InputFormat::Lines, requires = "input")]
    pub(crate) input_format: InputFormat,
}

#[derive(Args, Debug)]
pub(crate) struct SimilarityArgs {
    /// One text
    pub(crate) a: String,
    /// Another text
    pub(crate) b: String,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SearchArgs {
    /// What to look for
    pub(crate) query: String,
    /// The texts to search
    #[arg(long, short, value_name = "FILE|-", required_unless_present_any = ["images", "index"])]
    pub(crate) input: Option<PathBuf>,
    /// One text per line, or one {"text": ...} per line
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    pub(crate) input_format: InputFormat,
    /// An index to search, which `isovec index` wrote, with the model that it names
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "input", "input_format", "images", "html", "upright", "variant", "precision",
            "max_tokens", "dimensions",
        ]
    )]
    pub(crate) index: Option<PathBuf>,
    /// The images to search: a file, or a folder with all below it
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["input", "input_format"])]
    pub(crate) images: Vec<PathBuf>,
    /// Write the images that were found to a page to look at
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub(crate) html: Option<PathBuf>,
    /// Turn photographs upright by their EXIF data first
    #[arg(long, conflicts_with = "input")]
    pub(crate) upright: bool,
    /// How many results to print
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: u32,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = SearchFormat::Table)]
    pub(crate) format: SearchFormat,
    /// A model's name or folder; by default all-MiniLM-L6-v2, for images clip-vit-base-patch32, and for an
    /// index the one that it names
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<String>,
    /// The weights to use: fp32, int8
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Compute in fp32, or faster, with vectors that are close to those of fp32: in bf16, in int8
    #[arg(long, value_name = "fp32|bf16|int8", default_value_t)]
    pub(crate) precision: Precision,
    /// Read at most this many tokens of a text, special tokens included
    #[arg(long, value_name = "N", conflicts_with = "images")]
    pub(crate) max_tokens: Option<usize>,
    /// Keep only the first N dimensions, for a model that was trained for it
    #[arg(long, value_name = "N", conflicts_with = "images")]
    pub(crate) dimensions: Option<usize>,
    /// Use N threads instead of one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct IndexArgs {
    /// The texts
    #[arg(long, short, value_name = "FILE|-")]
    pub(crate) input: PathBuf,
    /// One text per line, or one {"text": ...} per line, whose further keys are carried through
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    pub(crate) input_format: InputFormat,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Write the index to this file (safetensors); it appears when all went well
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ImageModelArgs {
    /// A model's name (see `isovec models list`), or its folder
    #[arg(long, default_value = IMAGE_MODEL, value_name = "NAME|DIR")]
    pub(crate) model: String,
    /// The weights to use
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// Compute in fp32, or faster, with vectors that are close to those of fp32: in bf16, in int8
    #[arg(long, value_name = "fp32|bf16|int8", default_value_t)]
    pub(crate) precision: Precision,
    /// Turn photographs upright by their EXIF data first
    #[arg(long)]
    pub(crate) upright: bool,
    /// Use N threads instead of one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct EmbedImageArgs {
    /// Image files, folders with all images below them, or http(s) addresses
    #[arg(value_name = "PATH|URL", required = true)]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) model: ImageModelArgs,
    /// Fetch the images that are given by address; only from public addresses, 10 MiB and 10 seconds each
    #[arg(long)]
    pub(crate) allow_urls: bool,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Jsonl)]
    pub(crate) format: OutputFormat,
    /// Write to this file instead of standard output; it appears when all went well
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Report an image that cannot be embedded as {"index", "error"} and go on (jsonl only)
    #[arg(long)]
    pub(crate) keep_going: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ClassifyArgs {
    /// The image
    pub(crate) image: PathBuf,
    /// The labels, such as "a photo of a cat"
    #[arg(long = "label", short, value_name = "TEXT", required = true, num_args = 1..)]
    pub(crate) labels: Vec<String>,
    #[command(flatten)]
    pub(crate) model: ImageModelArgs,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = SearchFormat::Table)]
    pub(crate) format: SearchFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FuseCommand {
    /// Learn a fusion from pairs of text and image that belong together, and measure it
    Fit(FuseFitArgs),
    /// Fuse texts and images into vectors
    Embed(FuseEmbedArgs),
    /// Say what is in a fusion's file
    Show {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct FuseModelArgs {
    /// The model of texts, a name or a folder
    #[arg(long, default_value = TEXT_MODEL, value_name = "NAME|DIR")]
    pub(crate) text_model: String,
    /// The model of images, a name or a folder
    #[arg(long, default_value = IMAGE_MODEL, value_name = "NAME|DIR")]
    pub(crate) image_model: String,
    /// How much the text counts beside the image
    #[arg(long, default_value_t = 0.6, value_name = "W")]
    pub(crate) text_weight: f64,
    /// How much the image counts beside the text
    #[arg(long, default_value_t = 0.4, value_name = "W")]
    pub(crate) image_weight: f64,
}

#[derive(Args, Debug)]
pub(crate) struct FuseFitArgs {
    /// The pairs, one JSON object a line: {"text": ..., "image": PATH}, or vectors instead as
    /// "text_embedding" and "image_embedding"; "group" keeps pairs together that must not be divided
    /// between fitting and measuring
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,
    /// Write the fusion to this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) models: FuseModelArgs,
    /// The dimensions of a fused vector; by default twice the fewer of the two inputs, 768
    #[arg(long, value_name = "N")]
    pub(crate) dims: Option<usize>,
    /// How much covariances are shrunk, over 0 and up to 1; by default what does best on some of the pairs
    #[arg(long, value_name = "R")]
    pub(crate) regularization: Option<f64>,
    /// The share of the pairs that is kept out of the fit to measure it
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub(crate) held_out: f64,
    /// Decides which pairs are held out
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct FuseEmbedArgs {
    /// A text
    #[arg(long, conflicts_with = "input", required_unless_present_any = ["image", "input"])]
    pub(crate) text: Option<String>,
    /// An image file
    #[arg(long, conflicts_with = "input", value_name = "PATH")]
    pub(crate) image: Option<PathBuf>,
    /// Many, one JSON object a line: {"text": ..., "image": PATH}, either may be missing
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// A fusion that `fuse fit` wrote; without one, an untrained projection, or concat
    #[arg(long, value_name = "FILE")]
    pub(crate) fusion: Option<PathBuf>,
    /// The text's and the image's vector side by side instead of a projection
    #[arg(long, conflicts_with_all = ["fusion", "dims"])]
    pub(crate) concat: bool,
    /// The dimensions of an untrained projection
    #[arg(long, default_value_t = 768, value_name = "N", conflicts_with = "fusion")]
    pub(crate) dims: usize,
    #[command(flatten)]
    pub(crate) models: FuseModelArgs,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = OutputFormat::Jsonl)]
    pub(crate) format: OutputFormat,
    /// Write to this file instead of standard output; it appears when all went well
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models there are, and which of their files are here
    List,
    /// Download a model's files and check their hashes
    Fetch(ModelVariant),
    /// Check the hashes of the files that are here
    Verify(ModelVariant),
    /// Load a model and say what it is, and how the engine runs it
    Inspect(ModelVariant),
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The configuration, in YAML; without one MiniLM is served on 127.0.0.1:8080
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address instead of the configured one; port 0 takes one that is free
    #[arg(long, short, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Args, Debug)]
pub(crate) struct ModelVariant {
    /// The model's name
    #[arg(default_value = "all-MiniLM-L6-v2")]
    pub(crate) model: String,
    /// The variant of its weights
    #[arg(long, default_value = isovec::DEFAULT_VARIANT)]
    pub(crate) variant: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a configuration with every key, its default and its meaning
    Example,
    /// Say what is wrong with a configuration, or what it comes to
    Check(ConfigFile),
    /// Print all settings, with defaults and the environment, without secrets
    Show(ConfigFile),
}

#[derive(Args, Debug)]
pub(crate) struct ConfigFile {
    /// The file; by default the one that ISOVEC_CONFIG names, or else the defaults. Variables such as
    /// ISOVEC__SERVER__LISTEN win over it
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say what is in each tier, and how far away it is
    Stats(CacheStatsArgs),
    /// Remove isovec's vectors from the tiers; other keys on the servers stay
    Clear(CacheClearArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CacheStatsArgs {
    /// The configuration, in YAML; by default the one that ISOVEC_CONFIG names
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Args, Debug)]
pub(crate) struct CacheClearArgs {
    /// The configuration, in YAML; by default the one that ISOVEC_CONFIG names
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only this tier
    #[arg(long, value_enum)]
    pub(crate) tier: Option<Tier>,
    /// Do it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A table for people
    Table,
    /// One JSON array of objects
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Tier {
    Hot,
    Warm,
    Cold,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum InputFormat {
    Lines,
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// One JSON object per line
    Jsonl,
    /// One JSON array of objects
    Json,
    /// A NumPy array of 32-bit floats, [texts, dims]
    Npy,
    /// A table for people
    Table,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum SearchFormat {
    /// A table for people
    Table,
    /// One JSON object per line
    Jsonl,
}
