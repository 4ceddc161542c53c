//! `isovec search`

use std::io::{BufWriter, Write};

use isovec::{Result, vector};
use serde_json::Value;

use super::{Context, cannot_write};
use crate::args::{ModelArgs, SearchArgs, SearchFormat, TEXT_MODEL};
use crate::input::Chunks;
use crate::output::one_line;

pub(crate) fn run(context: &Context, args: SearchArgs) -> Result<()> {
    let input = args.input.unwrap_or_else(|| "-".into());
    let chunks = Chunks::open(&input, args.input_format, &context.cancel)?;
    let total = chunks.total;
    let model = context.open_text(&ModelArgs {
        model: args.model.unwrap_or_else(|| TEXT_MODEL.to_owned()),
        variant: args.variant,
        max_tokens: args.max_tokens,
        dimensions: args.dimensions,
        precision: args.precision,
        threads: args.threads,
    })?;
    let query = match model.spec().query_prompt() {
        Some(prompt) => model.embed_prompted(prompt, &args.query)?,
        None => model.embed(&args.query)?,
    };
    let passage_prompt = model.spec().passage_prompt();
    let bar = context.progress.texts(total);
    let (mut best, mut count) = (Vec::new(), 0u64);
    for chunk in chunks {
        context.check_cancelled()?;
        let chunk = chunk?;
        let position = chunk.last().map_or(0, |item| item.position);
        let (mut texts, mut places) = (Vec::new(), Vec::new());
        for item in chunk {
            texts.push(item.text?);
            places.push(item.place);
        }
        let results = model.embed_each_with(passage_prompt, &texts);
        for ((text, place), result) in texts.into_iter().zip(places).zip(results) {
            let embedding = result.map_err(|e| e.context(place))?;
            let score = vector::dot(query.vector(), embedding.vector())?;
            best.push(Found { index: count, score, text, item: None });
            count += 1;
        }
        // Only the best are kept, so a file of any length fits into memory.
        best.sort_by(|a, b| b.score.total_cmp(&a.score));
        best.truncate(args.top as usize);
        bar.update(count, position);
    }
    drop(bar);
    context.check_cancelled()?;
    print(args.format, &best).map_err(cannot_write)
}

/// A text that was found.
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) score: f32,
    pub(super) text: String,
    /// The item of an index: one JSON object, on one line.
    pub(super) item: Option<String>,
}

pub(super) fn print(format: SearchFormat, best: &[Found]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    for found in best {
        match format {
            SearchFormat::Table => {
                writeln!(
                    out,
                    "{:.4}  {:>6}  {}",
                    found.score,
                    found.index,
                    one_line(&found.text, 100)
                )?;
            }
            SearchFormat::Jsonl => {
                let (key, value) = match &found.item {
                    // An object of its own, whose keys are the user's.
                    Some(item) => ("item", item.clone()),
                    None => ("text", Value::from(found.text.as_str()).to_string()),
                };
                let (index, score) = (found.index, Value::from(found.score));
                writeln!(out, r#"{{"index":{index},"score":{score},"{key}":{value}}}"#)?;
            }
        }
    }
    out.flush()
}
