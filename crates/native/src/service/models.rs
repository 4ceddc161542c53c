//! The models that are loaded, by the name that callers use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use isovec_core::{ClipTextEmbedder, ImageEmbedder, TextEmbedder};

use super::ModelInfo;
use super::mock::MockModel;
use super::model::{Engine, Loaded};
use crate::config::{Config, ModelConfig};
use crate::folder::ModelFolder;
use crate::open::{DEFAULT_VARIANT, EmbedderBuilder, Files};
use crate::{
    Error, ErrorKind, Fingerprint, ImageLimits, ImageOptions, ModelKind, ModelSpec, Result,
    TextOptions,
};

/// The models of a service.
#[derive(Debug)]
pub(super) struct Models {
    loaded: RwLock<BTreeMap<String, Arc<Loaded>>>,
    /// Held while a model loads: two at once would need the memory of both and be no faster.
    loading: Mutex<()>,
    most: usize,
    /// For texts, and for images.
    defaults: [Option<String>; 2],
}

impl Models {
    pub(super) fn new(config: &Config) -> Self {
        Models {
            loaded: RwLock::default(),
            loading: Mutex::default(),
            most: config.performance.model_pool_size,
            defaults: [
                config.text_embedding.default_model.clone(),
                config.image_embedding.default_model.clone(),
            ],
        }
    }

    /// Loads a model under `name`.
    pub(super) fn load(
        &self,
        name: &str,
        model: &ModelConfig,
        config: &Config,
    ) -> Result<ModelInfo> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let loaded = self.read();
            if loaded.contains_key(name) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("model {name:?} is loaded already; unload it first"),
                ));
            }
            if loaded.len() >= self.most {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!(
                        "model {name:?}: {} models are loaded, and performance.model_pool_size is {}; \
                         unload one first",
                        loaded.len(),
                        self.most
                    ),
                ));
            }
        }
        let loaded =
            load(name, model, config).map_err(|e| e.context(format_args!("model {name:?}")))?;
        let info = loaded.info.clone();
        self.write().insert(name.to_owned(), Arc::new(loaded));
        Ok(info)
    }

    /// Takes a model away. Jobs that have it keep it until they are done.
    pub(super) fn unload(&self, name: &str) -> Result<ModelInfo> {
        let removed = self.write().remove(name);
        removed.map(|model| model.info.clone()).ok_or_else(|| self.unknown(name))
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<Arc<Loaded>> {
        self.read().values().cloned().collect()
    }

    /// The model of this name; without a name, the default one for texts or for images.
    pub(super) fn get(&self, name: Option<&str>, images: bool) -> Result<Arc<Loaded>> {
        let loaded = self.read();
        let default = self.defaults[usize::from(images)].as_deref();
        if let Some(name) = name.or(default) {
            let found = loaded.get(name).cloned();
            drop(loaded);
            return found.ok_or_else(|| self.unknown(name));
        }
        let takes = |model: &&Arc<Loaded>| (model.info.kind == ModelKind::Image) == images;
        // A sentence model before one that shares the space of images, and else the first by name.
        let rank = |model: &&Arc<Loaded>| model.info.kind != ModelKind::Text;
        loaded.values().filter(takes).min_by_key(rank).cloned().ok_or_else(|| {
            let what = if images { "images" } else { "texts" };
            Error::new(ErrorKind::NotFound, format!("no model of {what} is loaded"))
        })
    }

    /// Has a function of a test's answer to `name`.
    #[cfg(test)]
    pub(super) fn insert(&self, name: &str, run: super::tests::Run) {
        let spec = MockModel::spec_for("all-MiniLM-L6-v2", &ModelConfig::default()).unwrap();
        let model = ModelConfig::default();
        let loaded = finish(name, &model, spec, Engine::Test(run), 0, Instant::now()).unwrap();
        self.write().insert(name.to_owned(), Arc::new(loaded));
    }

    fn unknown(&self, name: &str) -> Error {
        let names: Vec<_> = self.read().keys().cloned().collect();
        Error::new(
            ErrorKind::NotFound,
            format!("no model {name:?} is loaded; loaded are: [{}]", names.join(", ")),
        )
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Loaded>>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Loaded>>> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads a model and tries it out.
fn load(name: &str, model: &ModelConfig, config: &Config) -> Result<Loaded> {
    let start = Instant::now();
    if config.development.mock_mode {
        let max_tokens = model.max_tokens.or(config.text_embedding.max_tokens);
        let spec = MockModel::spec_for(name, &ModelConfig { max_tokens, ..model.clone() })?;
        let mock = MockModel::new(&spec).limits(image_limits(config));
        return finish(name, model, spec, Engine::Mock(mock), 0, start);
    }
    let Named { place, spec, kind } = Named::of(name, model)?;
    let mut builder = EmbedderBuilder::<()>::new(place);
    if let Some(variant) = &model.variant {
        builder = builder.variant(variant.as_str());
    }
    let files = builder.resolve()?.0.files(kind)?;
    let bytes = files.bytes();
    let engine = Engine::load(files, kind, &spec, model, config)?;
    finish(name, model, spec, engine, bytes, start)
}

/// Checks what was loaded against what the configuration expects, and tries it out.
fn finish(
    name: &str,
    model: &ModelConfig,
    spec: ModelSpec,
    engine: Engine,
    bytes: u64,
    start: Instant,
) -> Result<Loaded> {
    let dims = engine.dims();
    if let Some(expected) = model.dimensions.filter(|expected| *expected != dims) {
        return Err(Error::new(
            ErrorKind::DimensionMismatch,
            format!("dimensions: the configuration says {expected}, the model gives {dims}"),
        ));
    }
    let info = ModelInfo {
        name: name.to_owned(),
        kind: spec.kind,
        dims,
        max_tokens: engine.max_tokens(),
        fingerprint: engine.fingerprint(),
        variant: model.variant.clone().unwrap_or_else(|| DEFAULT_VARIANT.to_owned()),
        bytes,
        version: model.version.clone(),
        mock: matches!(engine, Engine::Mock(_)),
        loaded_at: SystemTime::now(),
        load_time: start.elapsed(),
        spec,
    };
    Loaded::new(info, engine)
}

/// What a configuration means by a model.
struct Named {
    /// What the builder is given: a name of the manifest, or a folder.
    place: String,
    spec: ModelSpec,
    kind: ModelKind,
}

impl Named {
    fn of(name: &str, model: &ModelConfig) -> Result<Self> {
        if let Some(path) = &model.path {
            let kind = model.kind.unwrap_or_default();
            let folder = if path.is_dir() { path.clone() } else { folder_of(path)? };
            let read = ModelFolder::read(&folder, kind)?;
            if path.is_file() && !same_file(path, &read.model) {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("path: the model of its folder is {}", read.model.display()),
                ));
            }
            let place = folder.to_string_lossy().into_owned();
            return Ok(Named { place, spec: read.spec, kind });
        }
        let place = model.name.clone().unwrap_or_else(|| name.to_owned());
        let spec = crate::manifest()?.get(&place)?.clone();
        if let Some(kind) = model.kind {
            spec.check_kind(kind)?;
        }
        let kind = spec.kind;
        Ok(Named { place, spec, kind })
    }
}

/// The folder of an ONNX file, whose settings may lie one above it.
fn folder_of(file: &Path) -> Result<PathBuf> {
    let not_there = || {
        Error::new(
            ErrorKind::NotFound,
            format!("path: {} is neither a folder nor a file", file.display()),
        )
    };
    let folder = file.parent().filter(|_| file.is_file()).ok_or_else(not_there)?;
    let above = folder.parent().filter(|_| !folder.join("config.json").is_file());
    Ok(above.unwrap_or(folder).to_owned())
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn image_limits(config: &Config) -> ImageLimits {
    ImageLimits { max_bytes: config.image_embedding.max_bytes, ..Default::default() }
}

impl Engine {
    fn load(
        files: Files,
        kind: ModelKind,
        spec: &ModelSpec,
        model: &ModelConfig,
        config: &Config,
    ) -> Result<Self> {
        // What is said of this model must hold; what is said of all of them, as far as it reads so many.
        let of_all = config.text_embedding.max_tokens.map(|most| most.min(spec.max_tokens));
        let precision = model.precision.unwrap_or_default();
        let max_tokens = model.max_tokens.or(of_all);
        let text = TextOptions { max_tokens, precision, ..Default::default() };
        files.load(|mut files| match kind {
            ModelKind::Image => {
                let limits = image_limits(config);
                let options = ImageOptions { limits, precision, ..Default::default() };
                ImageEmbedder::new(&files.spec, files.model, &options).map(Engine::Image)
            }
            ModelKind::ClipText => {
                let tokenizer = files.take_tokenizer();
                ClipTextEmbedder::with_tokenizer(&files.spec, files.model, tokenizer, &text)
                    .map(Engine::ClipText)
            }
            _ => {
                let tokenizer = files.take_tokenizer();
                TextEmbedder::with_tokenizer(&files.spec, files.model, tokenizer, &text)
                    .map(Engine::Text)
            }
        })
    }

    fn dims(&self) -> usize {
        match self {
            Engine::Text(model) => model.dims(),
            Engine::ClipText(model) => model.dims(),
            Engine::Image(model) => model.dims(),
            Engine::Mock(model) => model.spec().dims,
            #[cfg(test)]
            Engine::Test(_) => 4,
        }
    }

    fn max_tokens(&self) -> usize {
        match self {
            Engine::Text(model) => model.max_tokens(),
            Engine::ClipText(model) => model.max_tokens(),
            Engine::Image(_) => 0,
            Engine::Mock(model) => model.spec().max_tokens,
            #[cfg(test)]
            Engine::Test(_) => 64,
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        match self {
            Engine::Text(model) => model.fingerprint(),
            Engine::ClipText(model) => model.fingerprint(),
            Engine::Image(model) => model.fingerprint(),
            Engine::Mock(model) => model.fingerprint(),
            #[cfg(test)]
            Engine::Test(_) => Fingerprint::mock("test", 4),
        }
    }
}
