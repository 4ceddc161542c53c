//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Embeddings of text, locally: no cloud, no C++ runtime.
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
    /// Print how alike two texts are: the cosine of their vectors
    Similarity(SimilarityArgs),
    /// Find the texts of a file that mean what a query means
    Search(SearchArgs),
    /// List, fetch and verify models
    #[command(subcommand)]
    Models(ModelsCommand),
}

#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    /// A model's name (see `isovec models list`), or a folder with model.onnx and tokenizer.json
    #[arg(long, default_value = "all-MiniLM-L6-v2", value_name = "NAME|DIR")]
    pub(crate) model: String,
    /// The weights to use: fp32, int8
    #[arg(long)]
    pub(crate) variant: Option<String>,
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
    #[arg(long, short, value_name = "FILE|-")]
    pub(crate) input: PathBuf,
    /// One text per line, or one {"text": ...} per line
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    pub(crate) input_format: InputFormat,
    /// How many results to print
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: u32,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = SearchFormat::Table)]
    pub(crate) format: SearchFormat,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models there are, and which of their files are here
    List,
    /// Download a model's files and check their hashes
    Fetch(ModelVariant),
    /// Check the hashes of the files that are here
    Verify(ModelVariant),
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
