//! rten, as `benches/compare.py` asks it.

use std::path::Path;
use std::sync::Arc;

use isovec_bench_peers::{Batch, Engine, Result, serve};
use rten::{Model, NodeId, RunOptions, ThreadPool, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

struct Rten {
    model: Model,
    inputs: [NodeId; 3],
    output: NodeId,
    threads: Arc<ThreadPool>,
}

impl Engine for Rten {
    fn open(folder: &Path, threads: usize, precision: &str) -> Result<Self> {
        let file = match precision {
            "int8" => "model_int8_dynamic.onnx",
            _ => "model.onnx",
        };
        let mut options = rten::ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = options.load_file(folder.join(file))?;
        let inputs = [
            model.node_id("input_ids")?,
            model.node_id("attention_mask")?,
            model.node_id("token_type_ids")?,
        ];
        let output = *model.output_ids().first().ok_or("a model without outputs")?;
        let threads = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(Rten { model, inputs, output, threads })
    }

    fn run(&self, batch: &Batch) -> Result<Vec<f32>> {
        let shape = [batch.texts, batch.tokens];
        let tensor = |values: &[u32]| {
            NdTensor::from_data(shape, values.iter().map(|x| *x as i32).collect::<Vec<_>>())
        };
        let types = NdTensor::<i32, 2>::zeros(shape);
        let values = [tensor(&batch.ids), tensor(&batch.attention_mask), types];
        let inputs: Vec<(NodeId, ValueOrView)> =
            self.inputs.into_iter().zip(values).map(|(id, value)| (id, value.into())).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        let [states] = self.model.run_n(inputs, [self.output], Some(options))?;
        let states: NdTensor<f32, 3> = states.try_into()?;
        Ok(states.to_vec())
    }
}

fn main() -> Result<()> {
    serve::<Rten>()
}
