//! One module for each command.

mod cache;
mod classify;
mod config;
mod embed;
mod embed_image;
mod fuse;
mod health;
mod index;
mod models;
mod search;
mod search_images;
mod search_index;
mod serve;
mod similarity;

use isovec::store::{CancelToken, FetchOptions};
use isovec::{
    Clip, EmbedderBuilder, Error, ErrorKind, ImageEmbedder, ModelSpec, Result, TextEmbedder,
};

use crate::args::{Cli, Command, ImageModelArgs, ModelArgs};
use crate::progress::Progress;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) progress: Progress,
    /// Set by Ctrl-C.
    pub(crate) cancel: CancelToken,
}

pub(crate) fn run(cli: Cli) -> Result<()> {
    let context = || Context::new(cli.quiet);
    match cli.command {
        Command::Embed(args) => embed::run(&context()?, args),
        Command::Similarity(args) => similarity::run(&context()?, &args),
        Command::EmbedImage(args) => embed_image::run(&context()?, args),
        Command::Search(args) => match &args.index {
            Some(_) => search_index::run(&context()?, args),
            None if args.images.is_empty() => search::run(&context()?, args),
            None => search_images::run(&context()?, args),
        },
        Command::Index(args) => index::run(&context()?, args),
        Command::Classify(args) => classify::run(&context()?, &args),
        Command::Fuse(command) => fuse::run(&context()?, command),
        Command::Models(command) => models::run(&context()?, command),
        // It has an end in good order of its own.
        Command::Serve(args) => serve::run(&args),
        Command::Config(command) => config::run(command),
        Command::Cache(command) => cache::run(&context()?, command),
        Command::Health(args) => health::run(&args),
    }
}

impl Context {
    fn new(quiet: bool) -> Result<Self> {
        let cancel = CancelToken::default();
        let on_signal = cancel.clone();
        // The first Ctrl-C ends what runs in good order; the second ends the process.
        ctrlc::set_handler(move || {
            if on_signal.is_cancelled() {
                std::process::exit(130);
            }
            on_signal.cancel();
        })
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot handle signals: {e}")))?;
        Ok(Context { progress: Progress::new(quiet), cancel })
    }

    fn open_text(&self, args: &ModelArgs) -> Result<TextEmbedder> {
        let mut builder = TextEmbedder::builder(&args.model).precision(args.precision);
        if let Some(max_tokens) = args.max_tokens {
            builder = builder.max_tokens(max_tokens);
        }
        if let Some(dimensions) = args.dimensions {
            builder = builder.dimensions(dimensions);
        }
        self.fetching(builder, args.variant.as_deref(), args.threads, |b| b.open())
    }

    fn open_images(&self, args: &ImageModelArgs) -> Result<ImageEmbedder> {
        let mut builder = ImageEmbedder::builder(&args.model).precision(args.precision);
        if args.upright {
            builder = builder.exif_orientation(true);
        }
        let variant = args.variant.as_deref();
        let model = self.fetching(builder, variant, args.threads, |b| b.open())?;
        show_note(model.spec());
        Ok(model)
    }

    fn open_clip(&self, args: &ImageModelArgs) -> Result<Clip> {
        let mut builder = Clip::builder(&args.model).precision(args.precision);
        if args.upright {
            builder = builder.exif_orientation(true);
        }
        let variant = args.variant.as_deref();
        let model = self.fetching(builder, variant, args.threads, |b| b.open())?;
        show_note(model.images().spec());
        Ok(model)
    }

    /// Opens a model with a bar over its downloads, which Ctrl-C stops.
    fn fetching<O: Default, T>(
        &self,
        mut builder: EmbedderBuilder<'_, O>,
        variant: Option<&str>,
        threads: Option<u16>,
        open: impl FnOnce(EmbedderBuilder<'_, O>) -> Result<T>,
    ) -> Result<T> {
        let bar = self.progress.download();
        let report = |event: isovec::store::Progress<'_>| bar.update(&event);
        if let Some(variant) = variant {
            builder = builder.variant(variant);
        }
        if let Some(threads) = threads {
            builder = builder.threads(threads.into());
        }
        let options = FetchOptions { progress: Some(&report), cancel: Some(&self.cancel) };
        open(builder.fetch_options(options))
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        Ok(())
    }
}

/// The error for output that cannot be written.
fn cannot_write(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write the output: {e}")).with_source(e)
}

/// Says what people must know of a model's vectors, where its manifest or folder has it.
#[expect(clippy::print_stderr, reason = "notes are for people, and stay out of the data")]
fn show_note(spec: &ModelSpec) {
    if let Some(note) = &spec.note {
        eprintln!("isovec: note: model {:?} has {note}", spec.name);
    }
}
