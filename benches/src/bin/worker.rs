//! Our side of `benches/compare.py`: does what it is told, one JSON line at a time, and says how
//! long that took. The clock runs inside, so that the pipe between the two costs nothing.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use isovec::{ClipTextEmbedder, ImageEmbedder, Pixels, Precision, TextEmbedder};
use serde::{Deserialize, Serialize};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Request {
    /// Opens a model, and keeps it for what follows.
    Open { kind: Kind, model: String, threads: usize, precision: Precision },
    /// Embeds the texts, `repeat` times over.
    Embed { texts: Vec<String>, repeat: usize },
    /// Writes the vectors of the texts to a file: little-endian numbers, one after the other.
    Vectors { texts: Vec<String>, file: String },
    /// Makes `pixel_values` of the image file.
    Preprocess { file: String, repeat: usize },
    /// Makes `pixel_values` of the image files, and keeps them for what follows.
    Prepare { files: Vec<String> },
    /// Embeds the `pixel_values` that were prepared.
    EmbedPixels { repeat: usize },
    /// The most memory that this process has held.
    PeakRss,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Text,
    ClipText,
    Image,
}

enum Model {
    Text(TextEmbedder),
    ClipText(ClipTextEmbedder),
    Image { model: ImageEmbedder, prepared: Vec<Pixels> },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Seconds(f64),
    Bytes(u64),
}

fn main() -> Result<()> {
    let mut model = None;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(serde_json::from_str(&line?)?, &mut model)?;
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

fn answer(request: Request, model: &mut Option<Model>) -> Result<Answer> {
    let seconds = match (request, model.as_mut()) {
        (Request::Open { kind, model: name, threads, precision }, _) => timed(1, || {
            *model = Some(open(&kind, &name, threads, precision)?);
            Ok(())
        }),
        (Request::Vectors { texts, file }, Some(Model::Text(model))) => timed(1, || {
            let vectors = model.embed_batch(&texts)?;
            let numbers = vectors.iter().flat_map(|e| e.vector()).flat_map(|x| x.to_le_bytes());
            Ok(std::fs::write(&file, numbers.collect::<Vec<u8>>())?)
        }),
        (Request::Embed { texts, repeat }, Some(Model::Text(model))) => {
            timed(repeat, || Ok(model.embed_batch(&texts)?))
        }
        (Request::Embed { texts, repeat }, Some(Model::ClipText(model))) => {
            timed(repeat, || Ok(model.embed_batch(&texts)?))
        }
        (Request::Preprocess { file, repeat }, Some(Model::Image { model, .. })) => {
            timed(repeat, || preprocess(model, &file))
        }
        (Request::Prepare { files }, Some(Model::Image { model, prepared, .. })) => {
            timed(1, || {
                *prepared =
                    files.iter().map(|file| preprocess(model, file)).collect::<Result<_>>()?;
                Ok(())
            })
        }
        (Request::EmbedPixels { repeat }, Some(Model::Image { model, prepared })) => {
            timed(repeat, || Ok(embed_pixels(model, prepared)?))
        }
        (Request::PeakRss, _) => return Ok(Answer::Bytes(peak_rss()?)),
        _ => return Err("the model that is open, if any, does no such thing".into()),
    };
    Ok(Answer::Seconds(seconds?))
}

fn timed<T>(repeat: usize, mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..repeat {
        black_box(work()?);
    }
    Ok(start.elapsed().as_secs_f64())
}

fn open(kind: &Kind, name: &str, threads: usize, precision: Precision) -> isovec::Result<Model> {
    Ok(match kind {
        Kind::Text => {
            let builder = TextEmbedder::builder(name).threads(threads);
            Model::Text(builder.precision(precision).open()?)
        }
        Kind::ClipText => Model::ClipText(ClipTextEmbedder::builder(name).threads(threads).open()?),
        Kind::Image => Model::Image {
            model: ImageEmbedder::builder(name).threads(threads).open()?,
            prepared: Vec::new(),
        },
    })
}

fn preprocess(model: &ImageEmbedder, file: &str) -> Result<Pixels> {
    Ok(model.preprocess(&std::fs::read(file)?)?)
}

fn embed_pixels(model: &ImageEmbedder, images: &[Pixels]) -> isovec::Result<Vec<Vec<f32>>> {
    let images: Vec<&[f32]> = images.iter().map(|image| &image.data[..]).collect();
    model.embed_pixels_each(&images).into_iter().collect()
}

fn peak_rss() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib * 1024)
}
