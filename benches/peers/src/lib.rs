//! What both engines share: the protocol of `benches/compare.py`, tokens and pooling.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const MAX_TOKENS: usize = 512;

/// A model of an engine: `[texts][tokens][hidden]` out of ids that are all of one length.
pub trait Engine: Sized {
    fn open(folder: &Path, threads: usize, precision: &str) -> Result<Self>;

    /// The last hidden states of a batch, one number after the other.
    fn run(&self, batch: &Batch) -> Result<Vec<f32>>;
}

/// Padded texts: `texts` times `tokens` numbers each.
pub struct Batch {
    pub texts: usize,
    pub tokens: usize,
    pub ids: Vec<u32>,
    pub attention_mask: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Request {
    Open {
        model: String,
        threads: usize,
        precision: String,
    },
    Embed {
        texts: Vec<String>,
        repeat: usize,
        #[serde(default = "one")]
        batch: usize,
    },
    /// The vectors of the texts, one by one, as little-endian numbers in a file.
    Vectors {
        texts: Vec<String>,
        file: String,
    },
}

fn one() -> usize {
    1
}

/// Answers the requests that come as lines of JSON on standard input.
pub fn serve<E: Engine>() -> Result<()> {
    let mut model: Option<Model<E>> = None;
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?)?;
        let start = Instant::now();
        match (request, &model) {
            (Request::Open { model: folder, threads, precision }, _) => {
                model = Some(Model::open(Path::new(&folder), threads, &precision)?);
            }
            (Request::Embed { texts, repeat, batch }, Some(model)) => {
                for _ in 0..repeat {
                    std::hint::black_box(model.embed(&texts, batch)?);
                }
            }
            (Request::Vectors { texts, file }, Some(model)) => {
                let vectors = model.embed(&texts, 1)?;
                let bytes = vectors.iter().flatten().flat_map(|x| x.to_le_bytes());
                std::fs::write(file, bytes.collect::<Vec<u8>>())?;
            }
            _ => return Err("no model is open".into()),
        }
        let seconds = start.elapsed().as_secs_f64();
        writeln!(std::io::stdout(), "{}", serde_json::json!({ "seconds": seconds }))?;
    }
    Ok(())
}

struct Model<E> {
    engine: E,
    tokenizer: Tokenizer,
}

impl<E: Engine> Model<E> {
    fn open(folder: &Path, threads: usize, precision: &str) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..Default::default() };
        tokenizer.with_truncation(Some(truncation))?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        Ok(Model { engine: E::open(folder, threads, precision)?, tokenizer })
    }

    /// In batches of texts of about the same length.
    fn embed(&self, texts: &[String], batch: usize) -> Result<Vec<Vec<f32>>> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| texts[*i].len());
        let mut vectors = vec![Vec::new(); texts.len()];
        for part in order.chunks(batch) {
            let inputs: Vec<&str> = part.iter().map(|i| texts[*i].as_str()).collect();
            let encodings = self.tokenizer.encode_batch(inputs, true)?;
            let batch = Batch {
                texts: part.len(),
                tokens: encodings[0].len(),
                ids: encodings.iter().flat_map(|e| e.get_ids()).copied().collect(),
                attention_mask: encodings
                    .iter()
                    .flat_map(|e| e.get_attention_mask())
                    .copied()
                    .collect(),
            };
            let states = self.engine.run(&batch)?;
            let of_text = states.chunks_exact(states.len() / batch.texts);
            let masks = batch.attention_mask.chunks_exact(batch.tokens);
            for ((i, states), mask) in part.iter().zip(of_text).zip(masks) {
                vectors[*i] = pooled(states, mask);
            }
        }
        Ok(vectors)
    }
}

/// The mean of the tokens that are none of the padding, of length one.
fn pooled(states: &[f32], mask: &[u32]) -> Vec<f32> {
    let hidden = states.len() / mask.len();
    let mut sum = vec![0.0_f32; hidden];
    for (state, _) in states.chunks_exact(hidden).zip(mask).filter(|(_, mask)| **mask == 1) {
        sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += x);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    sum.iter().map(|x| x / length).collect()
}
