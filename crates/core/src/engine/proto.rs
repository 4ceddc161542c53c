//! Decodes an ONNX file and refuses what the engine must never see.

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto};

use crate::{Error, ErrorKind, Result};

/// Operators of tract that models of texts and images do not have. Refused everywhere, since the code
/// behind them, a tenth of the file, is left out of the WebAssembly (crates/wasm/snip.mjs).
const REFUSED: [&str; 2] = ["DFT", "STFT"];

/// How deep graphs may nest (in the bodies of `If` and `Loop`); real models stay below three.
const MAX_DEPTH: usize = 8;

/// Decodes the protobuf and checks every tensor in it.
///
/// A tensor's data must be inside the file (R11: a path in a model would name a file of the host),
/// and be as long as its dimensions say, so that memory is bounded by the file's own length.
pub(super) fn decode(onnx: &[u8]) -> Result<ModelProto> {
    let model = ModelProto::decode(onnx)
        .map_err(|e| invalid(format!("not an ONNX file ({} bytes): {e}", onnx.len())))?;
    match &model.graph {
        Some(graph) if !graph.output.is_empty() => check_graph(graph, 0)?,
        _ => return Err(invalid(format!("not an ONNX model ({} bytes): no graph", onnx.len()))),
    }
    Ok(model)
}

fn check_graph(graph: &GraphProto, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("graphs nest deeper than {MAX_DEPTH}")));
    }
    graph.initializer.iter().try_for_each(check_tensor)?;
    if let Some(node) = graph.node.iter().find(|node| REFUSED.contains(&node.op_type.as_str())) {
        return Err(invalid(format!(
            "the operator {} (node {:?}): Fourier transforms are not supported",
            node.op_type, node.name
        )));
    }
    graph.node.iter().flat_map(|node| &node.attribute).try_for_each(|a| check_attribute(a, depth))
}

fn check_attribute(attribute: &AttributeProto, depth: usize) -> Result<()> {
    attribute.t.iter().chain(&attribute.tensors).try_for_each(check_tensor)?;
    attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| check_graph(graph, depth + 1))
}

fn check_tensor(tensor: &TensorProto) -> Result<()> {
    let name = &tensor.name;
    if tensor.data_location == Some(DataLocation::External as i32)
        || !tensor.external_data.is_empty()
    {
        return Err(invalid(format!(
            "tensor {name:?} lies in another file; isovec takes models of one file only"
        )));
    }
    let elements = tensor
        .dims
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?))
        .ok_or_else(|| invalid(format!("tensor {name:?} has the dims {:?}", tensor.dims)))?;
    let (has, unit) = if tensor.raw_data.is_empty() {
        let typed = tensor.float_data.len()
            + tensor.double_data.len()
            + tensor.int32_data.len()
            + tensor.int64_data.len()
            + tensor.uint64_data.len()
            + tensor.string_data.len();
        (typed, "values")
    } else {
        let size = element_size(tensor)?;
        if !tensor.raw_data.len().is_multiple_of(size) {
            return Err(invalid(format!(
                "tensor {name:?} has {} bytes, not a multiple of {size}",
                tensor.raw_data.len()
            )));
        }
        (tensor.raw_data.len() / size, "values in its bytes")
    };
    if has != elements {
        return Err(invalid(format!(
            "tensor {name:?} has {has} {unit}, but its dims {:?} ask for {elements}",
            tensor.dims
        )));
    }
    Ok(())
}

fn element_size(tensor: &TensorProto) -> Result<usize> {
    Ok(match DataType::try_from(tensor.data_type) {
        Ok(DataType::Bool | DataType::Uint8 | DataType::Int8) => 1,
        Ok(DataType::Uint16 | DataType::Int16 | DataType::Float16) => 2,
        Ok(DataType::Uint32 | DataType::Int32 | DataType::Float) => 4,
        Ok(DataType::Uint64 | DataType::Int64 | DataType::Double) => 8,
        _ => {
            return Err(invalid(format!(
                "tensor {:?} is of ONNX data type {}, which is not supported",
                tensor.name, tensor.data_type
            )));
        }
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidModel, message)
}
