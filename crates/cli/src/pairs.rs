//! Texts and images that belong together, from a file of JSON lines, as vectors.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use isovec::{Error, ErrorKind, ImageEmbedder, Result, TextEmbedder};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::input::cannot_read;

/// One line.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Pair {
    pub(crate) text: Option<String>,
    /// A path, relative to the folder of the file that names it.
    pub(crate) image: Option<PathBuf>,
    pub(crate) text_embedding: Option<Vec<f32>>,
    pub(crate) image_embedding: Option<Vec<f32>>,
    pub(crate) group: Option<Value>,
    /// Further keys, carried through.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// The vectors of one line; either may be missing.
#[derive(Debug)]
pub(crate) struct Vectors {
    pub(crate) text: Option<Vec<f32>>,
    pub(crate) image: Option<Vec<f32>>,
}

/// Reads all lines; errors name the line.
pub(crate) fn read(path: &Path) -> Result<Vec<Pair>> {
    let cannot = |e| cannot_read(path, e);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut pairs = Vec::new();
    for (number, line) in BufReader::new(File::open(path).map_err(cannot)?).lines().enumerate() {
        let line = line.map_err(cannot)?;
        if line.trim().is_empty() {
            continue;
        }
        let refuse = |detail: String| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{}: line {}: {detail}", path.display(), number + 1),
            )
        };
        let mut pair: Pair =
            serde_json::from_str(&line).map_err(|e| refuse(format!("{e}")).with_source(e))?;
        for (a, b, name) in [
            (pair.text.is_some(), pair.text_embedding.is_some(), "text"),
            (pair.image.is_some(), pair.image_embedding.is_some(), "image"),
        ] {
            if a && b {
                return Err(refuse(format!("has both \"{name}\" and \"{name}_embedding\"")));
            }
        }
        pair.image = pair.image.map(|image| folder.join(image));
        pairs.push(pair);
    }
    Ok(pairs)
}

/// What opens the models, each only if a line needs it.
pub(crate) struct Models<T, I> {
    pub(crate) text: T,
    pub(crate) image: I,
}

/// The models that were opened, for their fingerprints.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) text: Option<TextEmbedder>,
    pub(crate) image: Option<ImageEmbedder>,
}

/// The vectors of all pairs. `progress` hears how many inputs are done; it may refuse to go on.
pub(crate) fn embed<T, I>(
    pairs: &[Pair],
    models: Models<T, I>,
    progress: impl Fn(usize) -> Result<()>,
) -> Result<(Vec<Vectors>, Opened)>
where
    T: FnOnce() -> Result<TextEmbedder>,
    I: FnOnce() -> Result<ImageEmbedder>,
{
    let texts: Vec<&str> = pairs.iter().filter_map(|pair| pair.text.as_deref()).collect();
    // An image with many captions is embedded once.
    let mut distinct: Vec<&Path> = Vec::new();
    let mut index_of: HashMap<&Path, usize> = HashMap::new();
    for image in pairs.iter().filter_map(|pair| pair.image.as_deref()) {
        index_of.entry(image).or_insert_with(|| {
            distinct.push(image);
            distinct.len() - 1
        });
    }
    let mut opened = Opened::default();
    let (mut text_vectors, mut image_vectors) = (Vec::new(), Vec::new());
    if !texts.is_empty() {
        let model = opened.text.insert((models.text)()?);
        for chunk in texts.chunks(crate::images::CHUNK) {
            let found = model.embed_batch(chunk)?;
            text_vectors.extend(found.into_iter().map(isovec::Embedding::into_vector));
            progress(chunk.len())?;
        }
    }
    if !distinct.is_empty() {
        let model = opened.image.insert((models.image)()?);
        for chunk in distinct.chunks(crate::images::CHUNK) {
            for found in model.embed_files(chunk) {
                image_vectors.push(found?.into_vector());
            }
            progress(chunk.len())?;
        }
    }
    let mut text_vectors = text_vectors.into_iter();
    let vectors = pairs
        .iter()
        .map(|pair| Vectors {
            text: match &pair.text {
                Some(_) => text_vectors.next(),
                None => pair.text_embedding.clone(),
            },
            image: match pair.image.as_deref().and_then(|image| index_of.get(image)) {
                Some(&index) => image_vectors.get(index).cloned(),
                None => pair.image_embedding.clone(),
            },
        })
        .collect();
    Ok((vectors, opened))
}

/// How many inputs [`embed`] will run a model on.
pub(crate) fn inputs(pairs: &[Pair]) -> usize {
    let images: std::collections::HashSet<_> =
        pairs.iter().filter_map(|pair| pair.image.as_deref()).collect();
    pairs.iter().filter(|pair| pair.text.is_some()).count() + images.len()
}
