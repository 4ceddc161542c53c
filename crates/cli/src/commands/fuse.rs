//! `isovec fuse`

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use isovec::fit::{FitOptions, FitReport, Regularization, fit};
use isovec::{
    Error, ErrorKind, Fusion, FusionWeights, ImageEmbedder, Precision, Result, TextEmbedder, limits,
};

use super::{Context, cannot_write};
use crate::args::{
    FuseCommand, FuseEmbedArgs, FuseFitArgs, FuseModelArgs, ImageModelArgs, ModelArgs,
};
use crate::destination::Destination;
use crate::input::read_file;
use crate::output::{self, Facts, Record};
use crate::pairs::{self, Models, Opened, Pair, Vectors};

pub(crate) fn run(context: &Context, command: FuseCommand) -> Result<()> {
    match command {
        FuseCommand::Fit(args) => run_fit(context, &args),
        FuseCommand::Embed(args) => run_embed(context, args),
        FuseCommand::Show { file } => show(&file),
    }
}

fn run_fit(context: &Context, args: &FuseFitArgs) -> Result<()> {
    let pairs = pairs::read(&args.pairs)?;
    // Known before the work, not after it: the file's place can be written to.
    let (mut out, destination) = Destination::open(Some(&args.output))?;
    let (vectors, opened) = embed(context, &args.models, &pairs)?;
    let (mut text, mut image) = (Vec::new(), Vec::new());
    for (number, pair) in vectors.into_iter().enumerate() {
        let missing = |what: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{}: pair {number}: it has no {what}", args.pairs.display()),
            )
        };
        text.push(pair.text.ok_or_else(|| missing("text"))?);
        image.push(pair.image.ok_or_else(|| missing("image"))?);
    }
    let groups = groups(&pairs);
    let bar = context.progress.count("fitting", 0);
    let report = |stage: isovec::fit::FitStage| {
        bar.set_message(format!("fitting: {stage}"));
        bar.tick();
    };
    let options = FitOptions {
        dims: args.dims,
        weights: FusionWeights::new(args.models.text_weight, args.models.image_weight)?,
        regularization: args.regularization.map_or(Regularization::Auto, Regularization::Value),
        held_out: args.held_out,
        seed: args.seed,
        progress: Some(&report),
        cancel: Some(&context.cancel),
    };
    let fit = fit(&text, &image, groups.as_deref(), &options)?;
    bar.finish_and_clear();
    let mut fusion = fit.fusion;
    if let (Some(text), Some(image)) = (&opened.text, &opened.image) {
        fusion =
            fusion.with_models(text.fingerprint().to_string(), image.fingerprint().to_string());
    }
    out.write_all(&fusion.to_safetensors()?).map_err(cannot_write)?;
    out.flush().map_err(cannot_write)?;
    destination.keep()?;
    write!(std::io::stdout(), "{}", fit.report).map_err(cannot_write)
}

/// The groups that lines name, as numbers; a line without one is a group of its own.
fn groups(pairs: &[Pair]) -> Option<Vec<u64>> {
    if pairs.iter().all(|pair| pair.group.is_none()) {
        return None;
    }
    let mut numbers = HashMap::new();
    let mut next = 0u64;
    let mut new = || {
        next += 1;
        next
    };
    let number = |pair: &Pair| match &pair.group {
        Some(group) => *numbers.entry(group.to_string()).or_insert_with(&mut new),
        None => new(),
    };
    Some(pairs.iter().map(number).collect())
}

fn run_embed(context: &Context, args: FuseEmbedArgs) -> Result<()> {
    let pairs = match &args.input {
        Some(path) => pairs::read(path)?,
        None => vec![Pair { text: args.text, image: args.image, ..Pair::default() }],
    };
    let given = args.fusion.as_deref().map(read).transpose()?;
    let (vectors, opened) = embed(context, &args.models, &pairs)?;
    let fusion = match given {
        Some(fusion) => {
            check_models(&fusion, &opened)?;
            fusion
        }
        None => {
            let dims =
                |of: fn(&Vectors) -> Option<&Vec<f32>>| vectors.iter().find_map(of).map(Vec::len);
            let text = dims(|pair| pair.text.as_ref()).unwrap_or(TEXT_DIMS);
            let image = dims(|pair| pair.image.as_ref()).unwrap_or(IMAGE_DIMS);
            let weights = FusionWeights::new(args.models.text_weight, args.models.image_weight)?;
            if args.concat {
                Fusion::concat(text, image, weights)?
            } else {
                Fusion::untrained(text, image, args.dims, 0, weights)?
            }
        }
    };
    tell(&fusion);
    let (out, destination) = Destination::open(args.output.as_deref())?;
    let mut sink = output::sink(args.format, fusion.dims(), out).map_err(cannot_write)?;
    for ((index, pair), vectors) in (0u64..).zip(pairs).zip(&vectors) {
        let fused = fusion
            .fuse(vectors.text.as_deref(), vectors.image.as_deref())
            .map_err(|e| e.context(format_args!("pair {index}")))?;
        let image = pair.image.as_deref().map(|path| path.display().to_string());
        let record = Record {
            index,
            label: pair.text.as_deref().or(image.as_deref()).unwrap_or_default(),
            vector: fused.vector(),
            facts: Facts::Fused {
                fusion: fusion.kind().as_str(),
                has_text: fused.has_text,
                has_image: fused.has_image,
            },
            extra: pair.extra,
        };
        sink.embedding(record).map_err(cannot_write)?;
    }
    sink.finish().map_err(cannot_write)?;
    destination.keep()
}

/// The sizes of the default models, for a side of which no line has anything.
const TEXT_DIMS: usize = 384;
const IMAGE_DIMS: usize = 512;

/// Says what the vectors are made by: nobody should take a random projection for a learned one.
#[expect(clippy::print_stderr, reason = "notes are for people, and stay out of the data")]
fn tell(fusion: &Fusion) {
    eprintln!("isovec: note: {}", fusion.about());
}

/// Refuses vectors of other models than those that a fusion was fitted for: their dimensions agree, and
/// what they mean does not.
fn check_models(fusion: &Fusion, opened: &Opened) -> Result<()> {
    let text = opened.text.as_ref().map(|model| model.fingerprint().to_string());
    let image = opened.image.as_ref().map(|model| model.fingerprint().to_string());
    for (name, fitted, found) in
        [("text", fusion.text_model(), text), ("image", fusion.image_model(), image)]
    {
        if let (Some(fitted), Some(found)) = (fitted, found)
            && fitted != found
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "the fusion was fitted for the {name} model with the fingerprint {fitted}; this \
                     one's is {found}"
                ),
            ));
        }
    }
    Ok(())
}

fn embed(
    context: &Context,
    args: &FuseModelArgs,
    pairs: &[Pair],
) -> Result<(Vec<Vectors>, Opened)> {
    let models = Models {
        text: || open_text(context, &args.text_model),
        image: || open_images(context, &args.image_model),
    };
    let bar = context.progress.count("embedding", pairs::inputs(pairs));
    let result = pairs::embed(pairs, models, |done| {
        bar.inc(done as u64);
        context.check_cancelled()
    });
    bar.finish_and_clear();
    result
}

fn open_text(context: &Context, model: &str) -> Result<TextEmbedder> {
    context.open_text(&ModelArgs {
        model: model.to_owned(),
        variant: None,
        precision: Precision::Fp32,
        max_tokens: None,
        dimensions: None,
        threads: None,
    })
}

fn open_images(context: &Context, model: &str) -> Result<ImageEmbedder> {
    let model = model.to_owned();
    let precision = Precision::Fp32;
    let args = ImageModelArgs { model, variant: None, precision, upright: false, threads: None };
    context.open_images(&args)
}

fn read(path: &Path) -> Result<Fusion> {
    let bytes = read_file(path, limits::MAX_FUSION_BYTES)?;
    Fusion::from_safetensors(&bytes).map_err(|e| e.context(path.display()))
}

fn show(path: &Path) -> Result<()> {
    let fusion = read(path)?;
    let mut out = std::io::stdout();
    let mut write = || -> std::io::Result<()> {
        writeln!(out, "{}", fusion.about())?;
        writeln!(out, "fingerprint  {}", fusion.fingerprint())?;
        for (name, model) in [("text", fusion.text_model()), ("image", fusion.image_model())] {
            if let Some(model) = model {
                writeln!(out, "fitted for the {name} model  {model}")?;
            }
        }
        Ok(())
    };
    write().map_err(cannot_write)?;
    match FitReport::of(&fusion)? {
        Some(report) => write!(out, "{report}").map_err(cannot_write),
        None => Ok(()),
    }
}
