//! One request, with its settings.

use std::time::Duration;

use super::{EmbeddingService, ServedFused, ServedImage, ServedText};
use crate::Result;

/// A request to an [`EmbeddingService`]: settings first, then what to embed.
///
/// Each call exists twice: the one that blocks, and the one ending in `_async`, to be awaited on any executor.
/// A future that is dropped takes its work out of the queue.
///
/// ```no_run
/// # fn f(service: &isovec::EmbeddingService) -> isovec::Result<()> {
/// use std::time::Duration;
///
/// let request = service.request().model("all-MiniLM-L6-v2").timeout(Duration::from_secs(2));
/// let texts = request.embed_texts(&["a red car", "ein rotes Auto"])?;
/// assert_eq!(texts.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Request<'a> {
    pub(super) service: &'a EmbeddingService,
    pub(super) model: Option<&'a str>,
    pub(super) image_model: Option<&'a str>,
    pub(super) prompt: Option<&'a str>,
    pub(super) timeout: Option<Duration>,
    pub(super) cache: bool,
}

impl<'a> Request<'a> {
    /// The model, by the name it was loaded under; by default the configuration's default of the kind.
    pub fn model(mut self, name: &'a str) -> Self {
        self.model = Some(name);
        self
    }

    /// The model of the image of a [fused](Self::embed_multimodal) request.
    pub fn image_model(mut self, name: &'a str) -> Self {
        self.image_model = Some(name);
        self
    }

    /// Puts a named prompt of the model before each text.
    pub fn prompt(mut self, name: &'a str) -> Self {
        self.prompt = Some(name);
        self
    }

    /// How long the request may take; by default and at most what the configuration says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Neither reads nor writes the cache.
    pub fn no_cache(mut self) -> Self {
        self.cache = false;
        self
    }

    /// The vectors of `texts`, in their order.
    pub fn embed_texts<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<ServedText>> {
        self.service.block_on(self.embed_texts_async(texts))
    }

    /// As [`embed_texts`](Self::embed_texts), to be awaited.
    pub async fn embed_texts_async<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<ServedText>> {
        let _ = texts.iter().map(AsRef::as_ref);
        unimplemented!()
    }

    /// The vector of an image file's bytes.
    pub fn embed_image_bytes(&self, file: &[u8]) -> Result<ServedImage> {
        self.service.block_on(self.embed_image_bytes_async(file))
    }

    /// As [`embed_image_bytes`](Self::embed_image_bytes), to be awaited.
    pub async fn embed_image_bytes_async(&self, _file: &[u8]) -> Result<ServedImage> {
        unimplemented!()
    }

    /// The vectors of image files' bytes, in their order.
    pub async fn embed_images_async<T: AsRef<[u8]>>(&self, files: &[T]) -> Result<Vec<ServedImage>> {
        let _ = files.iter().map(AsRef::as_ref);
        unimplemented!()
    }

    /// The bytes of the image file at a public address, within the limits of the configuration.
    #[cfg(feature = "image-url")]
    pub async fn fetch_image_async(&self, _url: &str) -> Result<Vec<u8>> {
        unimplemented!()
    }

    /// The fused vector of a text and an image file's bytes, of which one may be missing.
    pub fn embed_multimodal(&self, text: Option<&str>, image: Option<&[u8]>) -> Result<ServedFused> {
        self.service.block_on(self.embed_multimodal_async(text, image))
    }

    /// As [`embed_multimodal`](Self::embed_multimodal), to be awaited.
    pub async fn embed_multimodal_async(
        &self,
        _text: Option<&str>,
        _image: Option<&[u8]>,
    ) -> Result<ServedFused> {
        unimplemented!()
    }
}
