//! One request, with its settings.

use std::sync::Arc;
use std::time::Duration;

use isovec_core::HashedBytes;

use super::metrics::Operation;
use super::model::{Input, Loaded};
use super::turn::Turn;
use super::{EmbeddingService, ServedFused, ServedImage, ServedText};
use crate::cache::Key;
use crate::{ModelKind, Result};

/// A request to an [`EmbeddingService`]: settings first, then what to embed.
///
/// Each call exists twice: the one that blocks, and the one ending in `_async`, to be awaited on any executor. A
/// future that is dropped takes its inputs out of the queue, unless another request waits for them too.
///
/// # Errors
///
/// Of every call, besides those of the embedders ([`TextEmbedder::embed`](crate::TextEmbedder::embed),
/// [`ImageEmbedder::embed`](crate::ImageEmbedder::embed)), which name the input by its index where there are several:
///
/// - [`NotFound`](crate::ErrorKind::NotFound) if the model is not loaded, naming those that are;
/// - [`Overloaded`](crate::ErrorKind::Overloaded), at once, if too much waits already;
///   [`Error::retry_after`](crate::Error::retry_after) says when to come again;
/// - [`TimedOut`](crate::ErrorKind::TimedOut) at the deadline;
/// - [`ShuttingDown`](crate::ErrorKind::ShuttingDown).
///
/// ```no_run
/// # fn f(service: &isovec::EmbeddingService) -> isovec::Result<()> {
/// use std::time::Duration;
///
/// let request = service.request().model("all-MiniLM-L6-v2").timeout(Duration::from_secs(2));
/// let texts = request.embed_texts(&["a red car", "ein rotes Auto"])?;
/// println!("{:.3}", isovec::vector::cosine(texts[0].vector(), texts[1].vector())?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Request<'a> {
    service: &'a EmbeddingService,
    model: Option<&'a str>,
    image_model: Option<&'a str>,
    prompt: Option<&'a str>,
    timeout: Option<Duration>,
    cache: bool,
}

impl<'a> Request<'a> {
    pub(super) fn new(service: &'a EmbeddingService) -> Self {
        let cache = service.config().cache.enabled;
        Request { service, model: None, image_model: None, prompt: None, timeout: None, cache }
    }

    /// The model, by the name it was loaded under; by default the configuration's default of the kind, or else the
    /// first that is loaded.
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

    /// How long the request may take; at most, and by default, `performance.request_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Neither reads nor writes the cache.
    pub fn no_cache(mut self) -> Self {
        self.cache = false;
        self
    }

    /// The vector of one text.
    pub fn embed_text(&self, text: &str) -> Result<ServedText> {
        super::io::block_on(self.embed_text_async(text))
    }

    /// As [`embed_text`](Self::embed_text), to be awaited.
    pub async fn embed_text_async(&self, text: &str) -> Result<ServedText> {
        self.counted(Operation::Text, self.text(text, &Turn::default())).await
    }

    /// The vectors of `texts`, in their order.
    pub fn embed_texts<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<ServedText>> {
        super::io::block_on(self.embed_texts_async(texts))
    }

    /// As [`embed_texts`](Self::embed_texts), to be awaited.
    pub async fn embed_texts_async<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<ServedText>> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        self.counted(Operation::Text, self.texts(&texts, &Turn::default())).await
    }

    /// The vector of an image file's bytes.
    pub fn embed_image_bytes(&self, file: &[u8]) -> Result<ServedImage> {
        super::io::block_on(self.embed_image_bytes_async(file))
    }

    /// As [`embed_image_bytes`](Self::embed_image_bytes), to be awaited.
    pub async fn embed_image_bytes_async(&self, file: &[u8]) -> Result<ServedImage> {
        self.counted(Operation::Image, self.image(self.model, file, &Turn::default())).await
    }

    /// The vectors of image files' bytes, in their order.
    pub fn embed_images<T: AsRef<[u8]>>(&self, files: &[T]) -> Result<Vec<ServedImage>> {
        super::io::block_on(self.embed_images_async(files))
    }

    /// As [`embed_images`](Self::embed_images), to be awaited.
    pub async fn embed_images_async<T: AsRef<[u8]>>(
        &self,
        files: &[T],
    ) -> Result<Vec<ServedImage>> {
        let files: Vec<&[u8]> = files.iter().map(AsRef::as_ref).collect();
        self.counted(Operation::Image, self.images(self.model, &files, &Turn::default())).await
    }

    /// The vector of the image at a public address: that of the bytes it serves now.
    ///
    /// # Errors
    ///
    /// Also [`InvalidConfig`](crate::ErrorKind::InvalidConfig) unless `image_embedding.urls` allows addresses, and
    /// those of [`ImageFetcher::fetch`](crate::ImageFetcher::fetch).
    #[cfg(feature = "image-url")]
    pub fn embed_image_url(&self, url: &str) -> Result<ServedImage> {
        super::io::block_on(self.embed_image_url_async(url))
    }

    /// As [`embed_image_url`](Self::embed_image_url), to be awaited.
    #[cfg(feature = "image-url")]
    pub async fn embed_image_url_async(&self, url: &str) -> Result<ServedImage> {
        let embed = async {
            let file = self.service.fetch(url).await?;
            self.image(self.model, &file, &Turn::default()).await
        };
        self.counted(Operation::Image, embed).await
    }

    /// The bytes of the image file at a public address, within the limits of the configuration.
    ///
    /// # Errors
    ///
    /// Those of [`embed_image_url`](Self::embed_image_url) that are about the address.
    #[cfg(feature = "image-url")]
    pub async fn fetch_image_async(&self, url: &str) -> Result<Vec<u8>> {
        self.service.fetch(url).await
    }

    /// The fused vector of a text and an image file's bytes, of which one may be missing, by the configuration's
    /// [fusion](EmbeddingService::fusion). Each part is cached by itself.
    ///
    /// # Errors
    ///
    /// Also those of [`Fusion::fuse`](crate::Fusion::fuse).
    pub fn embed_multimodal(
        &self,
        text: Option<&str>,
        image: Option<&[u8]>,
    ) -> Result<ServedFused> {
        super::io::block_on(self.embed_multimodal_async(text, image))
    }

    /// As [`embed_multimodal`](Self::embed_multimodal), to be awaited.
    pub async fn embed_multimodal_async(
        &self,
        text: Option<&str>,
        image: Option<&[u8]>,
    ) -> Result<ServedFused> {
        self.counted(Operation::Multimodal, self.multimodal(text, image)).await
    }

    async fn counted<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let counted = self.service.inner.metrics.request(operation);
        let result = work.await;
        counted.end(result.as_ref().err());
        result
    }

    async fn text(&self, text: &str, turn: &Turn<'a>) -> Result<ServedText> {
        let mut served = self.texts(&[text], turn).await?;
        served.pop().ok_or_else(super::flight::lost)
    }

    async fn texts(&self, texts: &[&str], turn: &Turn<'a>) -> Result<Vec<ServedText>> {
        let model = self.service.model(self.model, ModelKind::Text)?;
        let fingerprint = model.info.fingerprint;
        let prefix = self.prompt.map(|name| model.info.spec.prompt(name)).transpose()?;
        let keys: Vec<Key> =
            texts.iter().map(|text| Key::of_text(fingerprint, prefix, text)).collect();
        let prompt: Option<Arc<str>> = self.prompt.map(Into::into);
        let input =
            |index: usize| Input::Text { text: texts[index].into(), prompt: prompt.clone() };
        let served = self.serve(&model, &keys, input, turn).await?;
        let give = |(entry, source)| ServedText::new(entry, source, fingerprint);
        Ok(served.into_iter().map(give).collect())
    }

    async fn image(
        &self,
        model: Option<&str>,
        file: &[u8],
        turn: &Turn<'a>,
    ) -> Result<ServedImage> {
        let mut served = self.images(model, &[file], turn).await?;
        served.pop().ok_or_else(super::flight::lost)
    }

    async fn images(
        &self,
        model: Option<&str>,
        files: &[&[u8]],
        turn: &Turn<'a>,
    ) -> Result<Vec<ServedImage>> {
        let model = self.service.model(model, ModelKind::Image)?;
        let fingerprint = model.info.fingerprint;
        let hashed: Vec<HashedBytes<'_>> =
            files.iter().map(|file| HashedBytes::from(*file)).collect();
        let keys: Vec<Key> =
            hashed.iter().map(|file| Key::of_image(fingerprint, file.sha256())).collect();
        let input = |index: usize| Input::Image(files[index].into());
        let served = self.serve(&model, &keys, input, turn).await?;
        let give = |((entry, source), file): ((_, _), &HashedBytes<'_>)| {
            ServedImage::new(entry, source, fingerprint, file)
        };
        Ok(served.into_iter().zip(&hashed).map(give).collect())
    }

    async fn multimodal(&self, text: Option<&str>, image: Option<&[u8]>) -> Result<ServedFused> {
        let dims = |name, kind| self.service.model(name, kind).map(|model| model.info.dims);
        let text_dims = dims(self.model, ModelKind::Text)?;
        let image_dims = dims(self.image_model, ModelKind::Image)?;
        let fusion = self.service.fusion(text_dims, image_dims)?;
        let turn = Turn::default();
        let of_text = async {
            match text {
                Some(text) => self.text(text, &turn).await.map(Some),
                None => Ok(None),
            }
        };
        let of_image = async {
            match image {
                Some(image) => self.image(self.image_model, image, &turn).await.map(Some),
                None => Ok(None),
            }
        };
        let (text, image) = futures_util::future::try_join(of_text, of_image).await?;
        let fused = fusion
            .fuse(text.as_ref().map(ServedText::vector), image.as_ref().map(ServedImage::vector))?;
        let fingerprint = fusion.fingerprint();
        Ok(ServedFused { vector: fused.into_vector(), text, image, fingerprint })
    }

    async fn serve(
        &self,
        model: &Arc<Loaded>,
        keys: &[Key],
        input: impl Fn(usize) -> Input,
        turn: &Turn<'a>,
    ) -> Result<Vec<super::embed::Served>> {
        self.service.serve(model, keys, input, (self.cache, self.timeout), turn).await
    }
}
