//! A loaded model: any worker runs it, and its weights are there once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use isovec_core::{ClipTextEmbedder, Embedding, ImageEmbedder, ImageEmbedding, TextEmbedder};

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
            (Engine::Image(model), Input::Image(file)) => model.embed(file).map(of_image),
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

    /// The vectors of `inputs`, which read the model's weights together where that can be. Each is that of
    /// [`run`](Self::run), bit for bit.
    pub(super) fn run_each(&self, inputs: &[&Input]) -> Vec<Result<Entry>> {
        let together = match &self.engine {
            Engine::Text(model) => texts(inputs).map(|(prompt, texts)| {
                model.embed_each(prompt, &texts).into_iter().map(|e| e.map(of_text)).collect()
            }),
            Engine::Image(model) => images(inputs).map(|files| {
                model.embed_each(&files).into_iter().map(|e| e.map(of_image)).collect()
            }),
            _ => None,
        };
        together.unwrap_or_else(|| inputs.iter().map(|input| self.run(input)).collect())
    }

    /// What inputs may cost that are given to [`run_each`](Self::run_each): more would only let their callers wait.
    pub(super) fn cost_together(&self) -> u64 {
        let most = match self.info.kind {
            ModelKind::Image => ImageEmbedder::IMAGES_TOGETHER,
            _ => TextEmbedder::TOKENS_TOGETHER,
        };
        most as u64
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

fn of_image(image: ImageEmbedding) -> Entry {
    let (width, height) = (narrow(image.width), narrow(image.height));
    let facts = Facts::Image { width, height, format: image.format };
    Entry { vector: image.into_vector().into(), facts }
}

/// The texts of `inputs` and their prompt, if they are all texts with the same one.
fn texts<'a>(inputs: &[&'a Input]) -> Option<(Option<&'a str>, Vec<&'a str>)> {
    let text = |input: &&'a Input| match *input {
        Input::Text { text, prompt } => Some((prompt.as_deref(), &**text)),
        Input::Image(_) => None,
    };
    let (prompt, _) = inputs.first().and_then(text)?;
    let of_prompt = |input| text(input).filter(|(own, _)| *own == prompt).map(|(_, text)| text);
    Some((prompt, inputs.iter().map(of_prompt).collect::<Option<_>>()?))
}

/// The files of `inputs`, if they are all images.
fn images<'a>(inputs: &[&'a Input]) -> Option<Vec<&'a [u8]>> {
    let file = |input: &&'a Input| match *input {
        Input::Image(file) => Some(&**file),
        Input::Text { .. } => None,
    };
    inputs.iter().map(file).collect()
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
