//! The only module that names tract: ONNX bytes in, a plan that runs texts or images.
//!
//! One plan serves texts of every length: the batch is fixed to one and the sequence length is a symbol. Several
//! texts share the reading of weights, but never a padded batch: that keeps a vector independent of its neighbours,
//! and it is faster per token (measured; see ARCHITECTURE.md).

mod border;
mod encoder;
mod file;
mod fold;
mod fuse;
mod inputs;
mod layers;
mod outputs;
mod proto;
mod restore;
mod split;
mod stored;
mod weights;
mod wire;

use ndarray::{Array1, Array2, Ix2};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::optim::Optimizer;

use self::file::File;
use self::inputs::{Input, Role};
use self::layers::Layer;
use self::proto::Decoded;
use self::split::Split;
use self::weights::Wired;
use isovec_kernels::{Alone, Isa, Team};

use crate::{
    Error, ErrorKind, Execution, Kernels, ModelFile, Pooling, Precision, Result, guard, limits,
};

/// A loaded model. Runs on `&self`, from any number of threads at once.
pub(crate) struct Engine {
    graph: Graph,
    inputs: Vec<Input>,
    output: String,
    execution: Execution,
}

/// How a graph is run.
enum Graph {
    Whole(Arc<TypedRunnableModel>),
    Split(Split),
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Takes {
    /// Ids of any number: `[1, S]`.
    Text,
    /// The pixels of one image: `[1, 3, rows, columns]`.
    Pixels { rows: usize, columns: usize },
}

/// What came out of a run.
pub(crate) enum Output {
    /// One vector per token, or per patch of an image: `[tokens, dims]`.
    Tokens(Array2<f32>),
    /// One vector for the whole input: `[dims]`.
    Pooled(Array1<f32>),
}

/// What the caller declares of a model; the engine refuses a model that is not so.
pub(crate) struct Expected<'a> {
    pub(crate) takes: Takes,
    pub(crate) dims: usize,
    pub(crate) pooling: Pooling,
    pub(crate) output: Option<&'a str>,
    pub(crate) kernels: Kernels,
    pub(crate) precision: Precision,
}

impl Engine {
    /// Parses, checks and optimises a model. The bytes are given up as soon as weights are made of them, before the
    /// graph is optimised.
    pub(crate) fn load(onnx: ModelFile<'_>, expected: &Expected<'_>) -> Result<Self> {
        let length = onnx.size();
        if length > limits::MAX_MODEL_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the model is {length} bytes, over the cap of {}", limits::MAX_MODEL_BYTES),
            ));
        }
        #[cfg(target_arch = "wasm32")]
        isovec_kernels::enable();
        let file = File::from(onnx.into_content());
        let elsewhere = file.elsewhere();
        let loaded = guarded("loading the model", || load(file, expected));
        match elsewhere.and_then(|file| file.failure()) {
            Some(error) => Err(error),
            None => loaded,
        }
    }

    /// The name of the output that is read.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// What was made of the graph.
    pub(crate) fn execution(&self) -> Execution {
        self.execution
    }

    /// Runs one text, by the threads of `team`: its ids, special tokens included, and their token types.
    pub(crate) fn run_text(
        &self,
        ids: &[u32],
        token_type_ids: &[u32],
        team: &dyn Team,
    ) -> Result<Output> {
        only(self.run_texts_by(&[(ids, token_type_ids)], team))
    }

    /// Runs several texts, which read the weights together where that can be. Each result is that of
    /// [`run_text`](Self::run_text).
    pub(crate) fn run_texts(&self, texts: &[(&[u32], &[u32])]) -> Vec<Result<Output>> {
        self.run_texts_by(texts, &Alone)
    }

    fn run_texts_by(&self, texts: &[(&[u32], &[u32])], team: &dyn Team) -> Vec<Result<Output>> {
        let value = |(ids, token_type_ids): &(&[u32], &[u32]), role| {
            let values: Vec<i64> = match role {
                Role::InputIds => ids.iter().map(|&id| i64::from(id)).collect(),
                Role::AttentionMask => vec![1; ids.len()],
                Role::TokenTypeIds => token_type_ids.iter().map(|&t| i64::from(t)).collect(),
                Role::PixelValues => return Err(TractError::msg("a text has no pixel_values")),
            };
            Tensor::from_shape(&[1, ids.len()], &values)
        };
        let outputs = self.run_each(texts, &value, team);
        let check = |(output, (ids, _)): (Result<Output>, &(&[u32], &[u32]))| match output {
            Ok(Output::Tokens(tokens)) if tokens.nrows() != ids.len() => Err(Error::new(
                ErrorKind::Inference,
                format!("the model gave {} vectors for {} tokens", tokens.nrows(), ids.len()),
            )),
            output => output,
        };
        outputs.into_iter().zip(texts).map(check).collect()
    }

    /// Runs one image, by the threads of `team`: its `pixel_values`, of the shape (3, `rows`, `columns`).
    pub(crate) fn run_pixels(
        &self,
        pixel_values: &[f32],
        size: (usize, usize),
        team: &dyn Team,
    ) -> Result<Output> {
        only(self.run_images_by(&[pixel_values], size, team))
    }

    /// Runs several images, as [`run_texts`](Self::run_texts) does texts.
    pub(crate) fn run_images(
        &self,
        images: &[&[f32]],
        size: (usize, usize),
    ) -> Vec<Result<Output>> {
        self.run_images_by(images, size, &Alone)
    }

    fn run_images_by(
        &self,
        images: &[&[f32]],
        (rows, columns): (usize, usize),
        team: &dyn Team,
    ) -> Vec<Result<Output>> {
        let value =
            |pixel_values: &&[f32], _| Tensor::from_shape(&[1, 3, rows, columns], pixel_values);
        self.run_each(images, &value, team)
    }

    /// A result for each item. If they fail together, each is tried alone, so that it is known which of them did.
    fn run_each<T>(
        &self,
        items: &[T],
        value: &impl Fn(&T, Role) -> TractResult<Tensor>,
        team: &dyn Team,
    ) -> Vec<Result<Output>> {
        match guarded("running the model", || self.run(items, value, team)) {
            Ok(outputs) => outputs.into_iter().map(Ok).collect(),
            Err(error) if items.len() == 1 => vec![Err(error)],
            Err(_) => items.chunks(1).flat_map(|item| self.run_each(item, value, team)).collect(),
        }
    }

    fn run<T>(
        &self,
        items: &[T],
        value: &impl Fn(&T, Role) -> TractResult<Tensor>,
        team: &dyn Team,
    ) -> Result<Vec<Output>> {
        let input = |item: &T, input: &Input| {
            let tensor = value(item, input.role)?;
            // What is of the right type already is moved, not copied.
            if tensor.datum_type() == input.datum_type {
                return Ok(tensor.into_tvalue());
            }
            Ok(tensor.cast_to_dt(input.datum_type)?.into_owned().into_tvalue())
        };
        let inputs = items
            .iter()
            .map(|item| self.inputs.iter().map(|of| input(item, of)).collect())
            .collect::<TractResult<Vec<TVec<_>>>>()
            .map_err(|e| failed("cannot build the model's input", e))?;
        let outputs = match &self.graph {
            Graph::Split(split) => split.run(inputs, team),
            Graph::Whole(plan) => {
                inputs.into_iter().map(|inputs| Ok(plan.run(inputs)?.swap_remove(0))).collect()
            }
        };
        let outputs = outputs.map_err(|e| failed("the model failed to run", e))?;
        outputs.into_iter().map(read).collect()
    }
}

/// What the graph gave, as an array.
fn read(output: TValue) -> Result<Output> {
    let output =
        output.cast_to::<f32>().map_err(|e| failed("the model's output is not of numbers", e))?;
    let array = output
        .to_plain_array_view::<f32>()
        .map_err(|e| failed("the model's output cannot be read", e))?;
    // The batch of one is dropped; both shapes were checked when the model was loaded.
    let array = array.index_axis_move(ndarray::Axis(0), 0);
    if array.ndim() == 2 {
        let tokens = array.into_dimensionality::<Ix2>().map_err(shape_changed)?;
        Ok(Output::Tokens(tokens.to_owned()))
    } else {
        let pooled = array.into_dimensionality::<ndarray::Ix1>().map_err(shape_changed)?;
        Ok(Output::Pooled(pooled.to_owned()))
    }
}

/// The result of a batch of one.
fn only<T>(mut results: Vec<Result<T>>) -> Result<T> {
    let nothing = || Err(Error::new(ErrorKind::Inference, "the model gave no output"));
    results.pop().unwrap_or_else(nothing)
}

fn load(file: File, expected: &Expected<'_>) -> Result<Engine> {
    let precision = expected.precision;
    let isa = expected.kernels.isa(precision)?;
    // Weights are stored in eight bits or more; small ones get some room, since they do not fill their panels.
    let budget = file.len() + (8 << 20);
    // What is rounded anew must not be rounded twice.
    let undo_dynamic = precision != Precision::Fp32;
    let whole = proto::decode(&file, undo_dynamic)?;
    drop(file);
    let shortened = isa.and_then(|_| layers::shorten(&whole));
    // Whatever hinders it is told of the whole graph.
    let shortened =
        shortened.and_then(|(one, others)| reduce(one, &others, expected, isa, budget).ok());
    let reduced = match shortened {
        Some(reduced) => {
            // The file is then given back but for the table of words.
            drop(whole);
            reduced
        }
        None => reduce(whole, &[], expected, isa, budget)?,
    };
    let Reduced { mut typed, inputs, output, fused_blocks } = reduced;
    let mut execution = Execution { fused_blocks, kernels: Kernels::Tract, precision };
    if let Some(isa) = isa {
        if fused_blocks == 0 && precision != Precision::Fp32 {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "precision: {precision} is for models whose encoder is recognised, and this one's is not"
                ),
            ));
        }
        execution.kernels = isa.into();
        stored::take_out(&mut typed).map_err(|e| invalid("the weights cannot be read", e))?;
        // What is left of rows, scales among them, has been no constant until here.
        fold::fold_weights(&mut typed).map_err(|e| invalid("the weights cannot be restored", e))?;
    }
    let planned = Split::of(&typed).and_then(|split| match split {
        Some(split) => Ok(Graph::Split(split)),
        None => Ok(Graph::Whole(typed.into_optimized()?.into_runnable()?)),
    });
    let graph = planned.map_err(|e| invalid("the ONNX graph cannot be planned", e))?;
    Ok(Engine { graph, inputs, output, execution })
}

/// A graph whose blocks are replaced.
struct Reduced {
    typed: TypedModel,
    inputs: Vec<Input>,
    output: String,
    fused_blocks: usize,
}

/// Has tract read a graph, and replaces its blocks, if there are loops for them. It is an error if `others` find no
/// place in it.
fn reduce(
    decoded: Decoded,
    others: &[Layer],
    expected: &Expected<'_>,
    isa: Option<Isa>,
    budget: usize,
) -> Result<Reduced> {
    let (proto, weights) = decoded.split();
    let mut onnx = tract_onnx::onnx();
    if !others.is_empty() {
        onnx.op_register.insert(layers::BORDER, border::parse);
    }
    let parsed = onnx
        // Exports carry symbolic names in their output shapes and value_info that clash with a
        // concrete batch ("Impossible to unify Sym(batch_size) with Val(1)").
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .parse(&proto, None)
        .map_err(|e| invalid("the ONNX graph cannot be read", e))?;
    drop(proto);
    // What is not fused needs tensors at once.
    let Wired { mut model, stored, missing } = weights::wire(parsed, weights, isa.is_some())
        .map_err(|e| invalid("the weights cannot be read", e))?;
    if let Some(name) = missing {
        return Err(Error::new(
            ErrorKind::InvalidModel,
            format!("the ONNX graph uses a value {name:?} that nothing produces"),
        ));
    }
    let inputs = inputs::bind(&mut model, expected.takes)?;
    let (outlets, stored): (Vec<_>, Vec<_>) = stored.into_iter().unzip();
    model.inputs.extend(outlets);
    let mut typed =
        model.into_typed().map_err(|e| invalid("the ONNX graph has no consistent types", e))?;
    stored::put(&mut typed, stored).map_err(|e| invalid("the weights cannot be read", e))?;
    let (mut typed, output) = outputs::select(typed, expected)?;
    fold::fold_weights(&mut typed).map_err(|e| invalid("the weights cannot be restored", e))?;
    let mut fused_blocks = 0;
    if let Some(isa) = isa {
        let packing = (isa, expected.precision.into());
        fused_blocks = replace_blocks(&mut typed, &inputs, packing, budget, others)?;
    }
    if border::is_in(&typed) {
        return Err(Error::new(ErrorKind::InvalidModel, "a layer is not recognised"));
    }
    Ok(Reduced { typed, inputs, output, fused_blocks })
}

/// Simplifies a graph and replaces the blocks of an encoder in it; says how many those were.
fn replace_blocks(
    model: &mut TypedModel,
    inputs: &[Input],
    packing: fuse::Packing,
    mut budget: usize,
    others: &[Layer],
) -> Result<usize> {
    let mask = inputs.iter().position(|input| input.role == Role::AttentionMask);
    // Moving axes about takes most of the time, and most blocks are found without: so all other passes come first, and
    // with them most of the graph goes.
    let (mut early, all) = (Optimizer::declutter(), Optimizer::declutter());
    early.passes.retain(|pass| !format!("{pass:?}").starts_with("ChangeAxes"));
    let mut fused = 0;
    for passes in [early, all] {
        // What is left is simplified when it is planned.
        if fused > 0 && !fuse::has_attention(model) {
            break;
        }
        passes.optimize(model).map_err(|e| invalid("the ONNX graph cannot be simplified", e))?;
        let mask = mask.and_then(|i| model.input_outlets().ok()?.get(i).copied());
        fused += fuse::fuse(model, mask, packing, &mut budget, others)
            .map_err(|e| invalid("the blocks of the encoder cannot be replaced", e))?;
    }
    Ok(fused)
}

/// Runs `work`; a panic of the engine becomes an error. Plans and inputs are only read.
fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    guard::guarded(work, |message| {
        Error::new(ErrorKind::EnginePanic, format!("the engine panicked while {doing}: {message}"))
    })
}

fn invalid(what: &str, e: TractError) -> Error {
    Error::new(ErrorKind::InvalidModel, format!("{what}: {}", chain(&e)))
}

fn failed(what: &str, e: TractError) -> Error {
    Error::new(ErrorKind::Inference, format!("{what}: {}", chain(&e)))
}

fn shape_changed(e: ndarray::ShapeError) -> Error {
    Error::new(ErrorKind::Inference, "the model's output is not of the shape it declared")
        .with_source(e)
}

/// The whole chain of a tract error in one line.
fn chain(e: &TractError) -> String {
    e.chain().map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_next_call_works() {
        let index = std::hint::black_box(3);
        let error = guarded("testing", || Ok([0; 2][index])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EnginePanic);
        assert_eq!(
            error.to_string(),
            "the engine panicked while testing: index out of bounds: the len is 2 but the index is 3"
        );
        assert_eq!(guarded("testing", || Ok([0; 2][index - 2])).unwrap(), 0);
    }
}
