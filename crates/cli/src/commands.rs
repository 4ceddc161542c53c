//! One module for each command.

mod embed;
mod models;
mod search;
mod similarity;

use isovec::store::{CancelToken, FetchOptions};
use isovec::{Error, ErrorKind, Result, TextEmbedder};

use crate::args::{Cli, Command, ModelArgs};
use crate::progress::Progress;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) progress: Progress,
    /// Set by Ctrl-C.
    pub(crate) cancel: CancelToken,
}

pub(crate) fn run(cli: Cli) -> Result<()> {
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
    let context = Context { progress: Progress::new(cli.quiet), cancel };
    match cli.command {
        Command::Embed(args) => embed::run(&context, args),
        Command::Similarity(args) => similarity::run(&context, &args),
        Command::Search(args) => search::run(&context, &args),
        Command::Models(command) => models::run(&context, command),
    }
}

impl Context {
    fn open(&self, args: &ModelArgs) -> Result<TextEmbedder> {
        let bar = self.progress.download();
        let report = |event: isovec::store::Progress<'_>| bar.update(&event);
        let mut builder = TextEmbedder::builder(&args.model)
            .fetch_options(FetchOptions { progress: Some(&report), cancel: Some(&self.cancel) });
        if let Some(variant) = &args.variant {
            builder = builder.variant(variant);
        }
        if let Some(max_tokens) = args.max_tokens {
            builder = builder.max_tokens(max_tokens);
        }
        if let Some(dimensions) = args.dimensions {
            builder = builder.dimensions(dimensions);
        }
        if let Some(threads) = args.threads {
            builder = builder.threads(threads.into());
        }
        builder.open()
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
