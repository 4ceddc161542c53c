//! What all embedders share: from a name or a folder to a model's files.

use std::path::{Path, PathBuf};

use isovec_core::manifest::FileRole;
use isovec_core::{
    Error, ErrorKind, HashedBytes, Manifest, ModelKind, ModelSpec, Result, Tokenizer,
};

use crate::folder::ModelFolder;
use crate::pool::Pool;
use crate::reading::Aside;
use crate::store::{FetchOptions, ModelStore};

/// The variant that is opened where none is named.
pub const DEFAULT_VARIANT: &str = "fp32";

/// The settings with which a model is opened. `O` holds those of its kind.
///
/// Where a setting is not given: the variant is [`DEFAULT_VARIANT`], the store
/// [`ModelStore::from_env`], names are looked up in [`manifest`](crate::manifest()), batches run on the
/// rayon pool of the caller, and downloads are silent.
#[derive(Debug)]
pub struct EmbedderBuilder<'a, O> {
    model: String,
    variant: Option<String>,
    pub(crate) options: O,
    threads: Option<usize>,
    store: Option<ModelStore>,
    manifest: Option<Manifest>,
    fetch: FetchOptions<'a>,
}

impl<'a, O: Default> EmbedderBuilder<'a, O> {
    pub(crate) fn new(model: String) -> Self {
        EmbedderBuilder {
            model,
            variant: None,
            options: O::default(),
            threads: None,
            store: None,
            manifest: None,
            fetch: FetchOptions::default(),
        }
    }

    /// Opens this variant of the weights instead of [`DEFAULT_VARIANT`].
    #[must_use]
    pub fn variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }

    /// Runs batches on a pool of its own of so many threads. By default they run on the rayon pool
    /// of the caller, which is the global one unless the caller is inside of another.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Takes files from this store instead of [`ModelStore::from_env`].
    #[must_use]
    pub fn store(mut self, store: ModelStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Looks names up in this manifest instead of [`manifest`](crate::manifest()).
    #[must_use]
    pub fn manifest(mut self, manifest: Manifest) -> Self {
        self.manifest = Some(manifest);
        self
    }

    /// Reports and cancels downloads by these options.
    #[must_use]
    pub fn fetch_options<'b>(self, fetch: FetchOptions<'b>) -> EmbedderBuilder<'b, O>
    where
        'a: 'b,
    {
        EmbedderBuilder { fetch, ..self }
    }
}

/// Where a model comes from: a name of the manifest, or else a folder.
pub(crate) struct Origin<'a> {
    place: Place,
    variant: String,
    fetch: FetchOptions<'a>,
    pub(crate) pool: Pool,
}

enum Place {
    Folder(PathBuf),
    Store { manifest: Manifest, store: ModelStore, model: String },
}

impl<'a, O> EmbedderBuilder<'a, O> {
    /// Resolves everything but the kind's own options, which are handed back.
    pub(crate) fn resolve(self) -> Result<(Origin<'a>, O)> {
        let pool = Pool::new(self.threads)?;
        let manifest = match self.manifest {
            Some(manifest) => manifest,
            None => crate::manifest()?,
        };
        let known = manifest.models.iter().any(|model| model.name == self.model);
        let folder = Path::new(&self.model);
        let place = if !known && folder.is_dir() {
            if let Some(variant) = self.variant.as_deref().filter(|v| *v != DEFAULT_VARIANT) {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("the folder {} has no variant {variant:?}", folder.display()),
                ));
            }
            Place::Folder(folder.to_owned())
        } else {
            manifest.get(&self.model)?;
            let store = match self.store {
                Some(store) => store,
                None => ModelStore::from_env()?,
            };
            Place::Store { manifest, store, model: self.model }
        };
        let variant = self.variant.unwrap_or_else(|| DEFAULT_VARIANT.to_owned());
        Ok((Origin { place, variant, fetch: self.fetch, pool }, self.options))
    }
}

/// What is needed to load one model.
pub(crate) struct Files {
    pub(crate) spec: ModelSpec,
    pub(crate) model: HashedBytes<'static>,
    /// Of a model that reads text.
    tokenizer: Option<Aside<Result<Tokenizer>>>,
    #[cfg_attr(not(feature = "service"), expect(dead_code))]
    tokenizer_bytes: usize,
    /// Where the model lies, for errors about its content; names of the manifest speak for themselves.
    folder: Option<PathBuf>,
}

impl Files {
    /// How long they are together.
    #[cfg(feature = "service")]
    pub(crate) fn bytes(&self) -> u64 {
        (self.model.bytes().len() + self.tokenizer_bytes) as u64
    }

    /// The tokenizer of a model that reads text, which may take until then.
    pub(crate) fn take_tokenizer(&mut self) -> impl FnOnce() -> Result<Tokenizer> + use<> {
        let (tokenizer, name) = (self.tokenizer.take(), self.spec.name.clone());
        let nothing = move || Error::new(ErrorKind::NotFound, format!("{name}: has no tokenizer"));
        || tokenizer.ok_or_else(nothing)?.end()
    }

    fn read(
        spec: &ModelSpec,
        folder: Option<PathBuf>,
        read: impl Fn(FileRole) -> Result<HashedBytes<'static>>,
    ) -> Result<Self> {
        let spec = spec.clone();
        if spec.kind == ModelKind::Image {
            let model = read(FileRole::Model)?;
            return Ok(Files { spec, model, tokenizer: None, tokenizer_bytes: 0, folder });
        }
        let json = read(FileRole::Tokenizer)?;
        let tokenizer_bytes = json.bytes().len();
        // It is made of its file while the longer one is read, and the model made of that.
        let tokenizer = Some(Aside::begin(move || Tokenizer::new(&json)));
        Ok(Files { spec, model: read(FileRole::Model)?, tokenizer, tokenizer_bytes, folder })
    }

    /// What `load` makes of these; its error says in which folder's model it was.
    pub(crate) fn load<T>(mut self, load: impl FnOnce(Self) -> Result<T>) -> Result<T> {
        let folder = self.folder.take();
        load(self).map_err(|e| match folder {
            Some(path) => e.context(path.display()),
            None => e,
        })
    }
}

impl Origin<'_> {
    /// The verified files of the model that was named.
    pub(crate) fn files(&self, kind: ModelKind) -> Result<Files> {
        match &self.place {
            Place::Folder(folder) => from_folder(folder, kind),
            Place::Store { manifest, store, model } => {
                let spec = manifest.get(model)?;
                // Before anything is downloaded.
                spec.check_kind(kind)?;
                self.of_store(store, spec)
            }
        }
    }

    /// Those of the model of this kind in the space of the one that was named, which may be it itself.
    pub(crate) fn files_in_space(&self, kind: ModelKind) -> Result<Files> {
        match &self.place {
            Place::Folder(folder) => from_folder(folder, kind),
            Place::Store { manifest, store, model } => {
                let named = manifest.get(model)?;
                let spec =
                    if named.kind == kind { named } else { manifest.partner(named, kind)? };
                self.of_store(store, spec)
            }
        }
    }

    fn of_store(&self, store: &ModelStore, spec: &ModelSpec) -> Result<Files> {
        Files::read(spec, None, |role| store.read(spec, &self.variant, role, &self.fetch))
    }
}

fn from_folder(folder: &Path, kind: ModelKind) -> Result<Files> {
    let found = ModelFolder::read(folder, kind)?;
    Files::read(&found.spec, Some(found.model.clone()), |role| found.read_file(role))
}
