//! `isovec embed`

use clap::CommandFactory;
use clap::error::ErrorKind as Usage;
use isovec::{Embedding, Error, ErrorKind, Result, TextEmbedder};

use super::{Context, cannot_write};
use crate::args::{Cli, EmbedArgs, OutputFormat};
use crate::destination::Destination;
use crate::input::{self, Chunks, Item};
use crate::output::{self, Facts, Record, Sink};

pub(crate) fn run(context: &Context, args: EmbedArgs) -> Result<()> {
    if args.keep_going && args.format != OutputFormat::Jsonl {
        let message = "--keep-going reports failures as JSON lines; it goes with --format jsonl";
        Cli::command().error(Usage::ArgumentConflict, message).exit();
    }
    let (chunks, total): (Box<dyn Iterator<Item = Result<Vec<Item>>>>, _) = match &args.input.input
    {
        Some(path) => {
            let chunks = Chunks::open(path, args.input.input_format, &context.cancel)?;
            let total = chunks.total;
            (Box::new(chunks), Some(total))
        }
        None => (Box::new(std::iter::once(Ok(input::from_arguments(args.texts)))), None),
    };
    let model = context.open_text(&args.model)?;
    let (out, destination) = Destination::open(args.output.as_deref())?;
    let mut sink = output::sink(args.format, model.dims(), out).map_err(cannot_write)?;
    let bar = total.map(|total| context.progress.texts(total));

    let (mut index, mut failures) = (0u64, 0u64);
    for chunk in chunks {
        context.check_cancelled()?;
        let chunk = chunk?;
        let position = chunk.last().map_or(0, |item| item.position);
        for (item, result) in embed(&model, args.prompt.as_deref(), chunk) {
            match result {
                Ok(embedding) => {
                    let record = Record {
                        index,
                        label: item.text.as_deref().unwrap_or_default(),
                        vector: embedding.vector(),
                        facts: Facts::of_text(&embedding),
                        extra: item.extra,
                    };
                    sink.embedding(record).map_err(cannot_write)?;
                }
                Err(e) if args.keep_going => {
                    sink.failure(index, &e, item.extra).map_err(cannot_write)?;
                    failures += 1;
                }
                Err(e) => return stop(sink, e),
            }
            index += 1;
        }
        sink.flush().map_err(cannot_write)?;
        if let Some(bar) = &bar {
            bar.update(index, position);
        }
    }
    context.check_cancelled()?;
    sink.finish().map_err(cannot_write)?;
    destination.keep()?;
    if failures > 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{failures} of {index} texts have no vector; see their \"error\""),
        ));
    }
    Ok(())
}

/// Each item of a chunk with its vector, or why it has none.
fn embed(
    model: &TextEmbedder,
    prompt: Option<&str>,
    chunk: Vec<Item>,
) -> Vec<(Item, Result<Embedding>)> {
    let texts: Vec<&str> = chunk.iter().filter_map(|item| item.text.as_deref().ok()).collect();
    let mut results = model.embed_each_with(prompt, &texts).into_iter();
    let pair = |mut item: Item| {
        let result = match &mut item.text {
            Ok(_) => results
                .next()
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Inference, "was not embedded")))
                .map_err(|e| e.context(&item.place)),
            Err(e) => Err(std::mem::replace(e, Error::new(ErrorKind::InvalidInput, ""))),
        };
        (item, result)
    };
    chunk.into_iter().map(pair).collect()
}

/// Ends at a text that has no vector: what was computed before it is written out first.
fn stop(mut sink: Box<dyn Sink>, error: Error) -> Result<()> {
    sink.flush().map_err(cannot_write)?;
    Err(error)
}
