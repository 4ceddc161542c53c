//! Which images were meant: files, all below a folder, addresses.

use std::fs;
use std::path::{Path, PathBuf};

use isovec::{Error, ErrorKind, ImageEmbedder, ImageEmbedding, ImageFetcher, ModelStore, Result};

/// An image that was named.
#[derive(Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Url(String),
}

impl Source {
    pub(crate) fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Url(url) => url.clone(),
        }
    }
}

/// The endings of the files that are looked at in a folder. A file that is named itself may have any:
/// its format is told by its content.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// How many images are worked on between two reports of progress.
pub(crate) const CHUNK: usize = 32;

/// What the arguments name, in their order; the files of a folder sorted by path.
pub(crate) fn sources(arguments: &[String], allow_urls: bool) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.starts_with("http://") || argument.starts_with("https://") {
            if !allow_urls {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "an image is given by address, and none is fetched unless --allow-urls is given",
                ));
            }
            if ModelStore::from_env()?.is_offline() {
                return Err(Error::new(
                    ErrorKind::Offline,
                    "an image is given by address, and ISOVEC_OFFLINE forbids to fetch it",
                ));
            }
            sources.push(Source::Url(argument.clone()));
        } else {
            sources.extend(files(Path::new(argument))?.into_iter().map(Source::File));
        }
    }
    Ok(sources)
}

/// The file, or the images below the folder.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        let cannot = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot read {}: {e}", folder.display()))
                .with_source(e)
        };
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            // Links to folders are not followed: they can lead in a circle.
            let kind = entry.file_type().map_err(cannot)?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if path.is_file() && is_image(&path) {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("{}: no {} file is below it", path.display(), ENDINGS.join(", ")),
        ));
    }
    found.sort();
    Ok(found)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The vector of each image, or why it has none.
pub(crate) fn embed(
    model: &ImageEmbedder,
    fetcher: Option<&ImageFetcher>,
    sources: &[Source],
) -> Vec<Result<ImageEmbedding>> {
    let paths: Vec<&Path> = sources
        .iter()
        .filter_map(|source| match source {
            Source::File(path) => Some(path.as_path()),
            Source::Url(_) => None,
        })
        .collect();
    let mut files = model.embed_files(&paths).into_iter();
    let none = || Err(Error::new(ErrorKind::Inference, "was not embedded"));
    sources
        .iter()
        .map(|source| match (source, fetcher) {
            (Source::File(_), _) => files.next().unwrap_or_else(none),
            (Source::Url(url), Some(fetcher)) => model.embed_url(url, fetcher),
            (Source::Url(_), None) => none(),
        })
        .collect()
}
