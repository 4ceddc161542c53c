//! `isovec models`

use std::io::Write;

use isovec::store::FetchOptions;
use isovec::{ClipTextEmbedder, ImageEmbedder, ModelKind, ModelStore, Result, TextEmbedder};

use super::{Context, cannot_write};
use crate::args::{ModelVariant, ModelsCommand};

pub(crate) fn run(context: &Context, command: ModelsCommand) -> Result<()> {
    let store = ModelStore::from_env()?;
    match command {
        ModelsCommand::List => list(&store),
        ModelsCommand::Fetch(args) => fetch(context, &store, &args),
        ModelsCommand::Verify(args) => verify(&store, &args),
        ModelsCommand::Inspect(args) => inspect(&args),
    }
}

fn list(store: &ModelStore) -> Result<()> {
    let mut out = std::io::stdout();
    let mut rows =
        vec![["MODEL", "KIND", "VARIANT", "DIMS", "TOKENS", "HERE", "ABOUT"].map(String::from)];
    for spec in isovec::manifest()?.models {
        for (name, variant) in &spec.variants {
            let files = store.status(&spec, name)?;
            let here = files.iter().all(isovec::store::FileStatus::is_present);
            rows.push([
                spec.name.clone(),
                spec.kind.to_string(),
                name.clone(),
                spec.dims.to_string(),
                if spec.max_tokens == 0 { "-".to_owned() } else { spec.max_tokens.to_string() },
                if here { "yes" } else { "no" }.to_owned(),
                variant.about.clone(),
            ]);
        }
    }
    let widths: Vec<usize> = (0..7)
        .map(|col| rows.iter().map(|row| row[col].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end()).map_err(cannot_write)?;
    }
    writeln!(out, "\nin {}", store.root().display()).map_err(cannot_write)
}

fn fetch(context: &Context, store: &ModelStore, args: &ModelVariant) -> Result<()> {
    let manifest = isovec::manifest()?;
    let bar = context.progress.download();
    let report = |event: isovec::store::Progress<'_>| bar.update(&event);
    let options = FetchOptions { progress: Some(&report), cancel: Some(&context.cancel) };
    store.fetch(manifest.get(&args.model)?, &args.variant, &options)?;
    verify(store, args)
}

fn verify(store: &ModelStore, args: &ModelVariant) -> Result<()> {
    let manifest = isovec::manifest()?;
    for file in store.verify(manifest.get(&args.model)?, &args.variant)? {
        writeln!(std::io::stdout(), "{}  {}  {}", file.sha256, file.origin, file.path.display())
            .map_err(cannot_write)?;
    }
    Ok(())
}

fn inspect(args: &ModelVariant) -> Result<()> {
    let (model, variant) = (args.model.as_str(), args.variant.as_str());
    let kind = isovec::manifest()?.get(model).map_or(ModelKind::Text, |spec| spec.kind);
    let (dims, fingerprint, execution) = match kind {
        ModelKind::Image => {
            let model = ImageEmbedder::builder(model).variant(variant).open()?;
            (model.dims(), model.fingerprint(), model.execution())
        }
        ModelKind::ClipText => {
            let model = ClipTextEmbedder::builder(model).variant(variant).open()?;
            (model.dims(), model.fingerprint(), model.execution())
        }
        _ => {
            let model = TextEmbedder::builder(model).variant(variant).open()?;
            (model.dims(), model.fingerprint(), model.execution())
        }
    };
    let blocks = match execution.fused_blocks {
        0 => "not recognised; the graph runs operator by operator".to_owned(),
        n => format!("{n} fused"),
    };
    let rows = [
        ("model", model.to_owned()),
        ("kind", kind.to_string()),
        ("variant", variant.to_owned()),
        ("dims", dims.to_string()),
        ("fingerprint", fingerprint.to_string()),
        ("encoder blocks", blocks),
        ("kernels", execution.kernels.to_string()),
    ];
    let mut out = std::io::stdout();
    for (name, value) in rows {
        writeln!(out, "{name:<16}{value}").map_err(cannot_write)?;
    }
    Ok(())
}
