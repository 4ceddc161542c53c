//! A loaded model: any worker runs it, and its weights are there once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use isovec_core::{ClipTextEmbedder, Embedding, ImageEmbedder, TextEmbedder};

use super::ModelInfo;
use super::mock::MockModel;
use crate::cache::{Entry, Facts};
use crate::{Error, ErrorKind, ModelKind, Result};

/// A model that is loaded, and how fast it was found to be.
pub(crate) struct Loaded {
    pub(super) info: ModelInfo,
    /// The name in `info`, to be shared.
    pub(super) name: Arc<str>,
    engine: Engine,
    pace: Pace,
}

/// What runs it.
pub(super) enum Engine {
    Text(TextEmbedder),
    ClipText(ClipTextEmbedder),
    Image(ImageEmbedder),
    Mock(MockModel),
    /// Does what a test wants.
    #[cfg(test)]
    Test(super::tests::Run),
}

/// What is to be embedded.
#[derive(Clone)]
pub(crate) enum Input {
    Text { text: Arc<str>, prompt: Option<Arc<str>> },
    Image(Arc<[u8]>),
}

impl Loaded {
    /// Runs the model once, so that it is known to work, and how fast it is.
    pub(super) fn new(info: ModelInfo, engine: Engine) -> Result<Self> {
        let name = info.name.as_str().into();
        let loaded = Loaded { info, name, engine, pace: Pace::default() };
        let probe = loaded.probe();
        let start = Instant::now();
        loaded.run(&probe)?;
        loaded.pace.learn(start.elapsed(), loaded.cost(&probe));
        Ok(loaded)
    }

    /// The vector of `input`.
    pub(super) fn run(&self, input: &Input) -> Result<Entry> {
        match (&self.engine, input) {
            (Engine::Text(model), Input::Text { text, prompt: None }) => {
                model.embed(text).map(of_text)
            }
            (Engine::Text(model), Input::Text { text, prompt: Some(prompt) }) => {
                model.embed_prompted(prompt, text).map(of_text)
            }
            (Engine::ClipText(model), Input::Text { text, prompt: None }) => {
                model.embed(text).map(of_text)
            }
            (Engine::Image(model), Input::Image(file)) => {
                let image = model.embed(file)?;
                let facts = Facts::Image {
                    width: narrow(image.width),
                    height: narrow(image.height),
                    format: image.format,
                };
                Ok(Entry { vector: image.into_vector().into(), facts })
            }
            (Engine::Mock(model), Input::Text { text, prompt: None }) => model.embed_text(text),
            (Engine::Mock(model), Input::Text { text, prompt: Some(prompt) }) => {
                model.embed_prompted(prompt, text)
            }
            (Engine::Mock(model), Input::Image(file)) => model.embed_image(file),
            #[cfg(test)]
            (Engine::Test(run), Input::Text { text, .. }) => run(text),
            (Engine::ClipText(_), Input::Text { prompt: Some(prompt), .. }) => Err(Error::new(
                ErrorKind::NotFound,
                format!("model {:?} has no prompt {prompt:?}", self.info.name),
            )),
            (_, Input::Text { .. }) => Err(self.takes("no texts")),
            (_, Input::Image(_)) => Err(self.takes("no images")),
        }
    }

    /// The error for an input of another kind.
    pub(super) fn takes(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::InvalidInput,
            format!("model {:?} is of kind {} and takes {what}", self.info.name, self.info.kind),
        )
    }

    /// Something to try the model on.
    pub(super) fn probe(&self) -> Input {
        match self.info.kind {
            ModelKind::Image => Input::Image(PROBE_IMAGE.into()),
            _ => Input::Text { text: PROBE_TEXT.into(), prompt: None },
        }
    }

    /// What `input` costs, in the units in which this model's pace is measured: tokens, or images.
    ///
    /// Tokens are estimated by the length, since a text is tokenised when its turn comes: English has some four
    /// bytes a token, and so have most languages that a model's vocabulary covers.
    pub(super) fn cost(&self, input: &Input) -> u64 {
        match input {
            Input::Text { text, .. } => {
                let tokens = (text.len() / 4 + 2) as u64;
                tokens.min(self.info.max_tokens.max(1) as u64)
            }
            Input::Image(_) => 1,
        }
    }

    /// How long work of this cost takes one worker, as far as was measured.
    pub(super) fn estimate(&self, cost: u64) -> Duration {
        self.pace.estimate(cost)
    }

    /// Notes how long work of this cost took.
    pub(super) fn learn(&self, took: Duration, cost: u64) {
        self.pace.learn(took, cost);
    }
}

const PROBE_TEXT: &str = "a short sentence to see whether the model answers";

/// A PNG of one grey pixel.
const PROBE_IMAGE: &[u8] = include_bytes!("probe.png");

fn of_text(embedding: Embedding) -> Entry {
    let facts = Facts::Text { tokens: narrow(embedding.tokens), truncated: embedding.truncated };
    Entry { vector: embedding.into_vector().into(), facts }
}

/// Caps of the core keep these far below the most that fits.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Nanoseconds for each unit of cost: a mean that forgets.
#[derive(Debug, Default)]
struct Pace(AtomicU64);

impl Pace {
    /// The share of a new measurement in the mean.
    const WEIGHT: f64 = 0.1;

    fn learn(&self, took: Duration, cost: u64) {
        let now = took.as_nanos() as f64 / cost.max(1) as f64;
        let mix = |old: u64| {
            let old = old as f64;
            let new = if old == 0.0 { now } else { old + Self::WEIGHT * (now - old) };
            Some((new as u64).max(1))
        };
        // Two workers may learn at once; either order is as good.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mix);
    }

    fn estimate(&self, cost: u64) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed).saturating_mul(cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_what_is_measured() {
        let pace = Pace::default();
        assert_eq!(pace.estimate(10), Duration::ZERO);
        pace.learn(Duration::from_millis(10), 10);
        assert_eq!(pace.estimate(20), Duration::from_millis(20));
        for _ in 0..100 {
            pace.learn(Duration::from_millis(20), 10);
        }
        let now = pace.estimate(10);
        assert!((19..=20).contains(&now.as_millis()), "{now:?}");
        pace.learn(Duration::from_secs(1), 0);
    }

    #[test]
    fn the_probe_is_an_image() {
        let limits = crate::ImageLimits::default();
        let pixels = crate::decoded_rgb8(PROBE_IMAGE, false, &limits).unwrap();
        assert_eq!((pixels.width, pixels.height), (1, 1));
    }
}
