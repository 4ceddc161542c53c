//! `isovec index`

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap::error::ErrorKind as Usage;
use isovec::{DEFAULT_VARIANT, Error, ErrorKind, Result, SearchIndex};
use serde_json::json;

use super::{Context, cannot_write};
use crate::args::{Cli, IndexArgs};
use crate::destination::Destination;
use crate::input::Chunks;

pub(crate) fn run(context: &Context, args: IndexArgs) -> Result<()> {
    if args.output == Path::new("-") {
        let message = "an index is written to a file; --output - would be a file of that name";
        Cli::command().error(Usage::InvalidValue, message).exit();
    }
    let chunks = Chunks::open(&args.input, args.input_format, &context.cancel)?;
    let (total, name) = (chunks.total, chunks.name.clone());
    // Known before the work, not after it: the file's place can be written to.
    let (mut out, destination) = Destination::open(Some(&args.output))?;
    let model = context.open_text(&args.model)?;
    // A folder has no variants.
    let named = isovec::manifest()?.get(&args.model.model).is_ok();
    let variant = args.model.variant.as_deref().unwrap_or(DEFAULT_VARIANT);
    let made_by = model.indexed_by(named.then_some(variant));
    let prompt = made_by.passage_prompt.clone();
    let mut index = SearchIndex::new(made_by, model.dims())?;

    let bar = context.progress.texts(total);
    let mut truncated = 0;
    for chunk in chunks {
        context.check_cancelled()?;
        let chunk = chunk?;
        let position = chunk.last().map_or(0, |item| item.position);
        let mut texts = Vec::with_capacity(chunk.len());
        let mut items = Vec::with_capacity(chunk.len());
        for item in chunk {
            let text = item.text?;
            // A line of JSON as it is: read and printed again, large integers would not be the same.
            let json = item.line.unwrap_or_else(|| json!({"text": text}).to_string());
            texts.push(text);
            items.push((json, item.place));
        }
        let results = model.embed_each_with(prompt.as_deref(), &texts);
        for ((json, place), result) in items.into_iter().zip(results) {
            let embedding = result.map_err(|e| e.context(&place))?;
            truncated += usize::from(embedding.truncated);
            index.push(&json, embedding.vector()).map_err(|e| e.context(&place))?;
        }
        bar.update(index.len() as u64, position);
    }
    drop(bar);
    context.check_cancelled()?;
    if index.is_empty() {
        let message = format!("{name} holds no text to index");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let bytes = index.to_safetensors()?;
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(cannot_write)?;
    destination.keep()?;
    report(context, &index, bytes.len(), truncated);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a summary is for people, and no data")]
fn report(context: &Context, index: &SearchIndex, bytes: usize, truncated: usize) {
    if context.progress.is_quiet() {
        return;
    }
    let made_by = index.made_by();
    let variant = made_by.variant.as_ref().map_or_else(String::new, |v| format!(" ({v})"));
    let cut = match truncated {
        0 => String::new(),
        n => format!(
            "; {n} longer than {} tokens, of which the end was not read",
            made_by.max_tokens
        ),
    };
    eprintln!(
        "isovec: {} texts, {} dimensions, by {}{variant}: {bytes} bytes{cut}",
        index.len(),
        index.dims(),
        made_by.model
    );
}
