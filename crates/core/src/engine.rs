//! The only module that names tract: ONNX bytes in, a plan that runs one text at a time.
//!
//! One plan serves every length: the batch is fixed to one and the sequence length is a symbol.
//! That is what makes a vector independent of its neighbours, and it is faster per token than a
//! padded batch (measured; see ARCHITECTURE.md).

mod fold;
mod proto;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array1, Array2, Ix2};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use crate::{Error, ErrorKind, HashedBytes, Pooling, Result, limits};

/// A loaded text model. Runs on `&self`, from any number of threads at once.
pub(crate) struct Engine {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Input>,
    output: String,
}

/// What a text model's input is fed with, and the integer type it wants.
#[derive(Clone, Copy)]
struct Input {
    role: Role,
    datum_type: DatumType,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    InputIds,
    AttentionMask,
    TokenTypeIds,
}

/// What came out of a run.
pub(crate) enum Output {
    /// One vector per token: `[tokens, dims]`.
    Tokens(Array2<f32>),
    /// One vector for the text: `[dims]`.
    Pooled(Array1<f32>),
}

/// What the caller declares of a model; the engine refuses a model that is not so.
pub(crate) struct Expected<'a> {
    pub(crate) dims: usize,
    pub(crate) pooling: Pooling,
    pub(crate) output: Option<&'a str>,
}

impl Engine {
    /// Parses, checks and optimises a model. The bytes are given up as soon as they are parsed, so
    /// that owned ones do not stay in memory beside what is made of them.
    pub(crate) fn load_text(onnx: HashedBytes<'_>, expected: &Expected<'_>) -> Result<Self> {
        let length = onnx.bytes().len();
        if length > limits::MAX_MODEL_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the model is {length} bytes, over the cap of {}", limits::MAX_MODEL_BYTES),
            ));
        }
        guarded("loading the model", || load(onnx, expected))
    }

    /// The name of the output that is read.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Runs one text: its ids, special tokens included, and their token types.
    pub(crate) fn run(&self, ids: &[u32], token_type_ids: &[u32]) -> Result<Output> {
        guarded("running the model", || {
            let inputs = self
                .inputs
                .iter()
                .map(|input| {
                    let values: Vec<i64> = match input.role {
                        Role::InputIds => ids.iter().map(|&id| i64::from(id)).collect(),
                        Role::AttentionMask => vec![1; ids.len()],
                        Role::TokenTypeIds => {
                            token_type_ids.iter().map(|&t| i64::from(t)).collect()
                        }
                    };
                    let tensor = Tensor::from_shape(&[1, ids.len()], &values)?;
                    Ok(tensor.cast_to_dt(input.datum_type)?.into_owned().into_tvalue())
                })
                .collect::<TractResult<TVec<_>>>()
                .map_err(|e| failed("cannot build the model's input", e))?;
            let outputs =
                self.plan.run(inputs).map_err(|e| failed("the model failed to run", e))?;
            let output = outputs[0]
                .cast_to::<f32>()
                .map_err(|e| failed("the model's output is not of numbers", e))?;
            let array = output
                .to_plain_array_view::<f32>()
                .map_err(|e| failed("the model's output cannot be read", e))?;
            // The batch of one is dropped; both shapes were checked when the model was loaded.
            let array = array.index_axis_move(ndarray::Axis(0), 0);
            if array.ndim() == 2 {
                let tokens = array.into_dimensionality::<Ix2>().map_err(shape_changed)?;
                if tokens.nrows() != ids.len() {
                    return Err(Error::new(
                        ErrorKind::Inference,
                        format!(
                            "the model gave {} vectors for {} tokens",
                            tokens.nrows(),
                            ids.len()
                        ),
                    ));
                }
                Ok(Output::Tokens(tokens.to_owned()))
            } else {
                let pooled = array.into_dimensionality::<ndarray::Ix1>().map_err(shape_changed)?;
                Ok(Output::Pooled(pooled.to_owned()))
            }
        })
    }
}

fn load(onnx: HashedBytes<'_>, expected: &Expected<'_>) -> Result<Engine> {
    let invalid = |what: &str, e: TractError| {
        Error::new(ErrorKind::InvalidModel, format!("{what}: {}", chain(&e)))
    };
    let proto = proto::decode(onnx.bytes())?;
    drop(onnx);
    let mut model = tract_onnx::onnx()
        // Exports carry symbolic names in their output shapes and value_info that clash with a
        // concrete batch ("Impossible to unify Sym(batch_size) with Val(1)").
        .with_ignore_output_shapes(true)
        .with_ignore_value_info(true)
        .parse(&proto, None)
        .map_err(|e| invalid("the ONNX graph cannot be read", e))?;
    drop(proto);
    if let Some(name) = model.unresolved_inputs.first() {
        return Err(Error::new(
            ErrorKind::InvalidModel,
            format!("the ONNX graph uses a value {name:?} that nothing produces"),
        ));
    }
    let inputs = bind_inputs(&mut model.model)?;
    let typed = model
        .model
        .into_typed()
        .map_err(|e| invalid("the ONNX graph has no consistent types", e))?;
    let (mut typed, output) = select_output(typed, expected)?;
    fold::fold_weights(&mut typed).map_err(|e| invalid("the weights cannot be restored", e))?;
    let plan = typed
        .into_optimized()
        .and_then(|model| model.into_runnable())
        .map_err(|e| invalid("the ONNX graph cannot be planned", e))?;
    Ok(Engine { plan, inputs, output })
}

/// Gives each input its role by name, and its shape: a batch of one, a symbolic length.
fn bind_inputs(model: &mut InferenceModel) -> Result<Vec<Input>> {
    let sequence = model.symbols.new_with_prefix("isovec_sequence");
    let outlets = model.input_outlets().map(<[_]>::to_vec).unwrap_or_default();
    let mut inputs = Vec::with_capacity(outlets.len());
    for (index, outlet) in outlets.into_iter().enumerate() {
        let name = model.node(outlet.node).name.clone();
        let invalid = |detail: String| {
            Error::new(ErrorKind::InvalidModel, format!("input {name:?} {detail}"))
        };
        let role = match name.as_str() {
            "input_ids" => Role::InputIds,
            "attention_mask" => Role::AttentionMask,
            "token_type_ids" => Role::TokenTypeIds,
            _ => {
                return Err(invalid(
                    "is not one of a text model: input_ids, attention_mask, token_type_ids".into(),
                ));
            }
        };
        let declared = model.outlet_fact(outlet).map(|fact| fact.datum_type.concretize());
        let datum_type = declared.ok().flatten().unwrap_or(DatumType::I64);
        if !matches!(datum_type, DatumType::I64 | DatumType::I32) {
            return Err(invalid(format!("is of {datum_type:?}; expected 64- or 32-bit integers")));
        }
        let fact = InferenceFact::dt_shape(datum_type, tvec![1.to_dim(), sequence.to_dim()]);
        model.set_input_fact(index, fact).map_err(|e| {
            Error::new(ErrorKind::InvalidModel, format!("input {name:?}: {}", chain(&e)))
        })?;
        inputs.push(Input { role, datum_type });
    }
    if !inputs.iter().any(|input| input.role == Role::InputIds) {
        return Err(Error::new(ErrorKind::InvalidModel, "the model has no input input_ids"));
    }
    Ok(inputs)
}

/// The customary names of the output that holds a vector per token, and of that with one per text.
const TOKEN_OUTPUTS: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];
const POOLED_OUTPUTS: [&str; 3] = ["sentence_embedding", "text_embeds", "pooler_output"];

/// Keeps the one output that is read, so that nothing else is computed.
fn select_output(mut model: TypedModel, expected: &Expected<'_>) -> Result<(TypedModel, String)> {
    let invalid = |detail: String| Error::new(ErrorKind::InvalidModel, detail);
    let outlets = model.output_outlets().map(<[_]>::to_vec).unwrap_or_default();
    let mut outputs = Vec::with_capacity(outlets.len());
    for outlet in outlets {
        let fact = model.outlet_fact(outlet).map_err(|e| invalid(chain(&e)))?;
        let name = model
            .outlet_label(outlet)
            .map_or_else(|| model.node(outlet.node).name.clone(), str::to_owned);
        outputs.push((outlet, name, fact.shape.to_tvec()));
    }
    let listing = || {
        let list: Vec<_> =
            outputs.iter().map(|(_, name, shape)| format!("{name} {shape:?}")).collect();
        list.join(", ")
    };
    let (rank, names, wanted) = match expected.pooling {
        Pooling::Mean | Pooling::Cls => (3, TOKEN_OUTPUTS, "one vector per token: [1, S, dims]"),
        Pooling::None => (2, POOLED_OUTPUTS, "one vector per text: [1, dims]"),
    };
    let chosen = match expected.output {
        Some(wanted) => outputs.iter().find(|(_, name, _)| name == wanted).ok_or_else(|| {
            invalid(format!("the model has no output {wanted:?}; it has: {}", listing()))
        })?,
        None => {
            let fits: Vec<_> = outputs.iter().filter(|(_, _, shape)| shape.len() == rank).collect();
            let customary =
                names.iter().find_map(|name| fits.iter().find(|(_, known, _)| known == name));
            *customary.or(fits.first()).ok_or_else(|| {
                invalid(format!("no output of the model holds {wanted}; it has: {}", listing()))
            })?
        }
    };
    let (outlet, name, shape) = chosen;
    let dims = shape.last().and_then(|dims| dims.to_usize().ok());
    // An output that does not keep the batch first would be pooled over the wrong axis.
    let batch = shape.first().and_then(|batch| batch.to_usize().ok());
    if shape.len() != rank || dims != Some(expected.dims) || batch != Some(1) {
        return Err(invalid(format!(
            "output {name:?} has the shape {shape:?}; expected {wanted} with dims = {}",
            expected.dims
        )));
    }
    let (outlet, name) = (*outlet, name.clone());
    model.select_output_outlets(&[outlet]).map_err(|e| invalid(chain(&e)))?;
    Ok((model, name))
}

/// Runs `work`; a panic inside of it becomes an error where the platform can unwind (R9).
///
/// What `work` borrows is either read-only or dropped with the error, so nothing half-changed can
/// be seen afterwards.
fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::new(
            ErrorKind::EnginePanic,
            format!("the engine panicked while {doing}: {message}"),
        ))
    })
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
