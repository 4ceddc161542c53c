//! `isovec search --index`

use isovec::vector::Hit;
use isovec::{Error, ErrorKind, Result, SearchIndex, TextEmbedder, limits};
use serde::Deserialize;

use super::search::{Found, print};
use super::{Context, cannot_write};
use crate::args::{ModelArgs, SearchArgs};
use crate::input::read_file;

pub(crate) fn run(context: &Context, args: SearchArgs) -> Result<()> {
    let path = args.index.unwrap_or_default();
    let read = || -> Result<SearchIndex> {
        let bytes = read_file(&path, limits::MAX_INDEX_BYTES)?;
        SearchIndex::from_safetensors(&bytes).map_err(|e| e.context(path.display()))
    };
    let index = read()?;
    let model =
        open(context, &index, args.model, args.threads).map_err(|e| e.context(path.display()))?;
    // With the prompts: from here on, the one that the file names is one that the model has.
    index.check_model(&model.indexed_by(None)).map_err(|e| e.context(path.display()))?;
    let query = match &index.made_by().query_prompt {
        Some(prompt) => model.embed_prompted(prompt, &args.query)?,
        None => model.embed(&args.query)?,
    };
    let hits = index.search(query.vector(), args.top as usize)?;
    let found = hits.iter().map(|hit| found(&index, hit)).collect::<Result<Vec<_>>>()?;
    print(args.format, &found).map_err(cannot_write)
}

/// The model that made the index, in its variant and with its settings; `given` is where it lies, if
/// the index's name does not say it.
fn open(
    context: &Context,
    index: &SearchIndex,
    given: Option<String>,
    threads: Option<u16>,
) -> Result<TextEmbedder> {
    let made_by = index.made_by();
    let was_given = given.is_some();
    let model = match given {
        Some(model) => model,
        // Not the folder of this name that may lie here by chance: a name in a file is no path.
        None => match isovec::manifest()?.get(&made_by.model) {
            Ok(spec) => spec.name.clone(),
            Err(e) => {
                let message =
                    format!("{e}; if it was made by a model in a folder, give --model DIR");
                return Err(Error::new(e.kind(), message));
            }
        },
    };
    let named = isovec::manifest()?.get(&model).is_ok();
    let args = ModelArgs {
        model,
        variant: made_by.variant.clone().filter(|_| named),
        max_tokens: Some(made_by.max_tokens),
        dimensions: made_by.dimensions,
        precision: made_by.precision,
        threads,
    };
    context.open_text(&args).map_err(|e| match e.kind() {
        // It cannot even have the settings of the one that made the index.
        ErrorKind::InvalidConfig if was_given => Error::new(
            ErrorKind::FingerprintMismatch,
            format!("the index was made by {}, and not by the model given: {e}", made_by.model),
        ),
        _ => e,
    })
}

fn found(index: &SearchIndex, hit: &Hit) -> Result<Found> {
    #[derive(Deserialize)]
    struct Item {
        text: String,
    }
    let json = index.item(hit.index).unwrap_or("{}");
    let Item { text } = serde_json::from_str(json).map_err(|e| {
        Error::new(ErrorKind::InvalidIndex, format!("item {}: {e}", hit.index)).with_source(e)
    })?;
    // As it stands in the file, but on one line. A string holds no line's end, so that one between its
    // values may as well be a space.
    let item = Some(json.replace(['\n', '\r'], " "));
    Ok(Found { index: hit.index as u64, score: hit.score, text, item })
}
