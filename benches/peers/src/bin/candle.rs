//! candle, as `benches/compare.py` asks it.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use isovec_bench_peers::{Batch, Engine, Result, serve};

struct Candle(BertModel);

impl Engine for Candle {
    fn open(folder: &Path, threads: usize, precision: &str) -> Result<Self> {
        if precision != "fp32" {
            return Err(format!("measured in fp32, not {precision}").into());
        }
        // It reads this by itself, wherever it shares work out.
        let told = std::env::var("RAYON_NUM_THREADS")?;
        if told != threads.to_string() {
            return Err(format!("RAYON_NUM_THREADS is {told}, not {threads}").into());
        }
        let config: Config =
            serde_json::from_slice(&std::fs::read(folder.join("candle-config.json"))?)?;
        let weights = std::fs::read(folder.join("model.safetensors"))?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        Ok(Candle(BertModel::load(weights, &config)?))
    }

    fn run(&self, batch: &Batch) -> Result<Vec<f32>> {
        let tensor =
            |values: &[u32]| Tensor::from_slice(values, (batch.texts, batch.tokens), &Device::Cpu);
        let ids = tensor(&batch.ids)?;
        let mask = tensor(&batch.attention_mask)?;
        let states = self.0.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        Ok(states.flatten_all()?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    serve::<Candle>()
}
