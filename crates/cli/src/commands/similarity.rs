//! `isovec similarity`

use std::io::Write;

use isovec::{Result, vector};

use super::{Context, cannot_write};
use crate::args::SimilarityArgs;

pub(crate) fn run(context: &Context, args: &SimilarityArgs) -> Result<()> {
    let model = context.open_text(&args.model)?;
    let (a, b) = (model.embed(&args.a)?, model.embed(&args.b)?);
    let cosine = vector::cosine(a.vector(), b.vector())?;
    writeln!(std::io::stdout(), "{cosine:.4}").map_err(cannot_write)
}
