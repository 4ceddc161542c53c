//! Images by their public addresses.

use tokio::task::AbortHandle;

use super::turn::Turn;
use super::{EmbeddingService, flight};
use crate::config::Config;
use crate::{Error, ErrorKind, ImageFetcher, Result};

/// What fetches images, if the configuration allows it.
pub(super) fn fetcher(config: &Config) -> Result<Option<ImageFetcher>> {
    let images = &config.image_embedding;
    if !images.urls {
        return Ok(None);
    }
    let mut builder = ImageFetcher::builder().max_bytes(images.max_bytes);
    if !images.allowed_hosts.is_empty() {
        builder = builder.allow_hosts(images.allowed_hosts.iter().cloned());
    }
    builder.build().map(Some).map_err(|e| e.context("image_embedding.allowed_hosts"))
}

impl EmbeddingService {
    /// The bytes of the image at an address.
    pub(super) async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        self.check_open()?;
        let Some(fetcher) = self.inner.fetcher.clone() else {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "images by address are not allowed here (image_embedding.urls)",
            ));
        };
        let turn = Turn::default();
        turn.take(&self.inner)?;
        let url = url.to_owned();
        let fetch = self.inner.io.handle().spawn(async move { fetcher.fetch(&url).await });
        // A caller who goes away takes the fetch along.
        let _abort = AbortOnDrop(fetch.abort_handle());
        fetch.await.unwrap_or_else(|_| Err(flight::lost()))
    }
}

/// Ends a task that nobody waits for any more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
