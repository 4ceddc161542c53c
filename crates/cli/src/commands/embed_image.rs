//! `isovec embed-image`

use clap::CommandFactory;
use clap::error::ErrorKind as Usage;
use isovec::{Error, ErrorKind, ImageFetcher, Result};
use serde_json::{Map, Value};

use super::{Context, cannot_write};
use crate::args::{Cli, EmbedImageArgs, OutputFormat};
use crate::destination::Destination;
use crate::images;
use crate::output::{self, Facts, Record};

pub(crate) fn run(context: &Context, args: EmbedImageArgs) -> Result<()> {
    if args.keep_going && args.format != OutputFormat::Jsonl {
        let message = "--keep-going reports failures as JSON lines; it goes with --format jsonl";
        Cli::command().error(Usage::ArgumentConflict, message).exit();
    }
    let sources = images::sources(&args.images, args.allow_urls)?;
    let fetcher = if args.allow_urls { Some(ImageFetcher::new()?) } else { None };
    let model = context.open_images(&args.model)?;
    let (out, destination) = Destination::open(args.output.as_deref())?;
    let mut sink = output::sink(args.format, model.dims(), out).map_err(cannot_write)?;
    let bar = context.progress.count("embedding images", sources.len());

    let (mut index, mut failures) = (0u64, 0u64);
    for chunk in sources.chunks(images::CHUNK) {
        context.check_cancelled()?;
        let results = images::embed(&model, fetcher.as_ref(), chunk);
        for (source, result) in chunk.iter().zip(results) {
            let name = source.name();
            match result {
                Ok(embedding) => {
                    let record = Record {
                        index,
                        label: &name,
                        vector: embedding.vector(),
                        facts: Facts::of_image(&name, &embedding),
                        extra: Map::new(),
                    };
                    sink.embedding(record).map_err(cannot_write)?;
                }
                Err(e) if args.keep_going => {
                    let extra = Map::from_iter([("source".to_owned(), Value::from(name))]);
                    sink.failure(index, &e, extra).map_err(cannot_write)?;
                    failures += 1;
                }
                Err(e) => {
                    // What was computed before it is written out first.
                    sink.flush().map_err(cannot_write)?;
                    bar.finish_and_clear();
                    return Err(e);
                }
            }
            index += 1;
        }
        sink.flush().map_err(cannot_write)?;
        bar.set_position(index);
    }
    bar.finish_and_clear();
    sink.finish().map_err(cannot_write)?;
    destination.keep()?;
    if failures > 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{failures} of {index} images have no vector; see their \"error\""),
        ));
    }
    Ok(())
}
