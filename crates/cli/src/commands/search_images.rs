//! `isovec search --images`

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use isovec::{Error, ErrorKind, ImageEmbedding, Result, vector};

use super::{Context, cannot_write};
use crate::args::{IMAGE_MODEL, ImageModelArgs, SearchArgs, SearchFormat};
use crate::destination::Destination;
use crate::images;
use crate::output::one_line;
use crate::page::{Page, Picture};

pub(crate) fn run(context: &Context, args: SearchArgs) -> Result<()> {
    let mut paths = Vec::new();
    for path in &args.images {
        paths.extend(images::files(path)?);
    }
    // Known before the work, not after it: the page's place can be written to.
    let page = args.html.as_deref().map(|path| Destination::open(Some(path))).transpose()?;
    let clip = context.open_clip(&ImageModelArgs {
        model: args.model.unwrap_or_else(|| IMAGE_MODEL.to_owned()),
        variant: args.variant,
        precision: args.precision,
        upright: args.upright,
        threads: args.threads,
    })?;
    let query = clip.texts().embed(&args.query)?;

    let bar = context.progress.count("embedding images", paths.len());
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for chunk in paths.chunks(images::CHUNK) {
        context.check_cancelled()?;
        for (path, result) in chunk.iter().zip(clip.images().embed_files(chunk)) {
            match result {
                Ok(image) => {
                    let score = vector::cosine(query.vector(), image.vector())?;
                    found.push(Found { score, path: path.clone(), image });
                }
                // A folder of photographs has its broken file; the others are still searched.
                Err(e) => unreadable.push(e),
            }
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    context.check_cancelled()?;
    let searched = found.len();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(args.top as usize);
    print(args.format, &found).map_err(cannot_write)?;
    if let Some((out, destination)) = page {
        let pictures = found
            .iter()
            .map(|hit| Picture::of(&hit.path, hit.score, &hit.image, args.upright))
            .collect::<Result<Vec<_>>>()?;
        let spec = clip.images().spec();
        let page = Page { query: &args.query, model: spec, searched, pictures };
        page.write(out).map_err(cannot_write)?;
        destination.keep()?;
    }
    report(&unreadable, searched)
}

struct Found {
    score: f32,
    path: PathBuf,
    image: ImageEmbedding,
}

/// Names what could not be searched. That is an error only where nothing could.
#[expect(clippy::print_stderr, reason = "notes are for people, and stay out of the data")]
fn report(unreadable: &[Error], searched: usize) -> Result<()> {
    for e in unreadable {
        eprintln!("isovec: note: left out: {e}");
    }
    if searched == 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("none of {} images could be read", unreadable.len()),
        ));
    }
    Ok(())
}

fn print(format: SearchFormat, found: &[Found]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    for hit in found {
        let path = hit.path.display().to_string();
        match format {
            SearchFormat::Table => {
                let size = format!("{} x {}", hit.image.width, hit.image.height);
                writeln!(out, "{:.4}  {size:>13}  {}", hit.score, one_line(&path, 200))?;
            }
            SearchFormat::Jsonl => {
                let line = serde_json::json!({
                    "score": hit.score, "path": path, "width": hit.image.width,
                    "height": hit.image.height, "format": hit.image.format,
                    "sha256": hit.image.sha256,
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    out.flush()
}
