//! `isovec classify`

use std::io::Write;

use isovec::Result;

use super::{Context, cannot_write};
use crate::args::{ClassifyArgs, SearchFormat};
use crate::output::one_line;

pub(crate) fn run(context: &Context, args: &ClassifyArgs) -> Result<()> {
    let clip = context.open_clip(&args.model)?;
    let image = clip.images().embed_file(&args.image)?;
    let labels = clip.texts().embed_batch(&args.labels)?;
    let mut out = std::io::stdout();
    for fit in clip.zero_shot_of(image.vector(), &labels)? {
        let label = &args.labels[fit.label];
        match args.format {
            SearchFormat::Table => {
                let percent = 100.0 * fit.probability;
                writeln!(out, "{percent:5.1} %  {:.4}  {}", fit.score, one_line(label, 100))
            }
            SearchFormat::Jsonl => {
                let line = serde_json::json!({
                    "label": label, "probability": fit.probability, "score": fit.score,
                });
                writeln!(out, "{line}")
            }
        }
        .map_err(cannot_write)?;
    }
    Ok(())
}
