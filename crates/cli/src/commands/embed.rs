//! `isovec embed`

use std::fs::File;
use std::io::Write;

use isovec::{Error, ErrorKind, Result};

use super::{Context, cannot_write};
use crate::args::{EmbedArgs, OutputFormat};
use crate::input::{self, Chunks, Item};
use crate::output::{self, Record};

pub(crate) fn run(context: &Context, args: EmbedArgs) -> Result<()> {
    if args.keep_going && args.format != OutputFormat::Jsonl {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "--keep-going reports failures as JSON lines; it goes with --format jsonl only",
        ));
    }
    let (chunks, total): (Box<dyn Iterator<Item = Result<Vec<Item>>>>, _) = match &args.input.input
    {
        Some(path) => {
            let chunks = Chunks::open(path, args.input.input_format)?;
            let total = chunks.total;
            (Box::new(chunks), Some(total))
        }
        None => (Box::new(std::iter::once(Ok(input::from_arguments(args.texts)))), None),
    };
    let model = context.open(&args.model)?;
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot write {}: {e}", path.display()))
        })?),
        None => Box::new(std::io::stdout()),
    };
    let mut sink = output::sink(args.format, model.dims(), out).map_err(cannot_write)?;
    let bar = total.map(|total| context.progress.texts(total));

    let (mut index, mut failures) = (0u64, 0u64);
    for chunk in chunks {
        context.check_cancelled()?;
        let chunk = chunk?;
        let texts: Vec<&str> = chunk.iter().map(|item| item.text.as_str()).collect();
        let results = model.embed_each_with(args.prompt.as_deref(), &texts);
        let position = chunk.last().map_or(0, |item| item.position);
        for (item, result) in chunk.into_iter().zip(results) {
            match result {
                Ok(embedding) => {
                    let record = Record {
                        index,
                        text: &item.text,
                        embedding: &embedding,
                        extra: item.extra,
                    };
                    sink.embedding(record).map_err(cannot_write)?;
                }
                Err(e) if args.keep_going => {
                    sink.failure(index, &e).map_err(cannot_write)?;
                    failures += 1;
                }
                Err(e) => {
                    // What was computed before stays written.
                    sink.flush().map_err(cannot_write)?;
                    return Err(e.context(format_args!("text {index}")));
                }
            }
            index += 1;
        }
        sink.flush().map_err(cannot_write)?;
        if let Some(bar) = &bar {
            bar.update(index, position);
        }
    }
    sink.finish().map_err(cannot_write)?;
    if failures > 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{failures} of {index} texts have no vector; see their \"error\""),
        ));
    }
    Ok(())
}
