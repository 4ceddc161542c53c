//! Decodes an ONNX file, and refuses what the engine must never see.

use std::collections::HashSet;
use std::io;
use std::ops::Range;

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};

use super::file::File;
use super::restore::restore;
use super::weights::{Weight, only_summed};
use super::wire::{Field, Reader};
use crate::{Error, ErrorKind, Result};

/// Operators of tract that models of texts and images do not have. Refused everywhere, since the code
/// behind them, a tenth of the file, is left out of the WebAssembly (crates/wasm/snip.mjs).
const REFUSED: [&str; 2] = ["DFT", "STFT"];

/// How deep graphs may nest (in the bodies of `If` and `Loop`); real models stay below three.
const MAX_DEPTH: usize = 8;

/// What is read of onnx.proto's `ModelProto`, beside its graph.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

/// The number of `ModelProto`'s field `graph`.
const GRAPH: u32 = 7;

/// What is read of `GraphProto`, beside its weights.
#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

/// The number of `GraphProto`'s field `initializer`.
const INITIALIZER: u32 = 5;

/// What is read of `TensorProto`, beside its raw data.
#[derive(Clone, PartialEq, Message)]
struct Initializer {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    string_data: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
    #[prost(int32, optional, tag = "14")]
    data_location: Option<i32>,
}

/// The number of `TensorProto`'s field `raw_data`.
const RAW_DATA: u32 = 9;

/// As the type that tract reads.
impl From<Initializer> for TensorProto {
    fn from(read: Initializer) -> Self {
        TensorProto {
            dims: read.dims,
            data_type: read.data_type,
            float_data: read.float_data,
            int32_data: read.int32_data,
            string_data: read.string_data,
            int64_data: read.int64_data,
            name: read.name,
            double_data: read.double_data,
            uint64_data: read.uint64_data,
            external_data: read.external_data,
            data_location: read.data_location,
            ..TensorProto::default()
        }
    }
}

/// A file as it is written: its weights are read but for their raw data, of which it is known where it is.
#[derive(Default)]
struct Outline {
    model: Model,
    graph: Option<Graph>,
    initializers: Vec<(TensorProto, Range<usize>)>,
}

impl Outline {
    /// Only the fields that the messages above have are read: others may be long.
    fn read(file: &File) -> io::Result<Self> {
        let mut outline = Outline::default();
        Reader::new(file).fields(0..file.len(), &mut |reader, field| {
            match field.number {
                GRAPH => {}
                8 => return merge(&mut outline.model, reader, &field),
                _ => return Ok(()),
            }
            let graph = outline.graph.get_or_insert_default();
            reader.fields(field.message()?, &mut |reader, field| {
                match field.number {
                    INITIALIZER => {
                        outline.initializers.push(initializer(reader, field.message()?)?);
                    }
                    1 | 11 | 12 => merge(graph, reader, &field)?,
                    _ => {}
                }
                Ok(())
            })
        })?;
        Ok(outline)
    }
}

fn initializer(
    reader: &mut Reader<'_>,
    place: Range<usize>,
) -> io::Result<(TensorProto, Range<usize>)> {
    let (mut tensor, mut raw_data) = (Initializer::default(), 0..0);
    reader.fields(place, &mut |reader, field| {
        match field.number {
            RAW_DATA => raw_data = field.message()?,
            1 | 2 | 4..=8 | 10 | 11 | 13 | 14 => merge(&mut tensor, reader, &field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((tensor.into(), raw_data))
}

/// Reads a field of a message.
fn merge(message: &mut impl Message, reader: &Reader<'_>, field: &Field) -> io::Result<()> {
    Ok(message.merge(reader.read(field.whole.clone())?)?)
}

/// What is in a file.
pub(super) struct Decoded {
    pub(super) opset_import: Vec<OperatorSetIdProto>,
    pub(super) graph: GraphProto,
    /// Long weights, which are not in the graph.
    pub(super) weights: Vec<Weight>,
}

impl Decoded {
    /// As the type that tract reads, and the weights.
    pub(super) fn split(self) -> (ModelProto, Vec<Weight>) {
        let Decoded { opset_import, graph, weights } = self;
        (ModelProto { opset_import, graph: Some(graph), ..ModelProto::default() }, weights)
    }
}

/// Decodes the protobuf and checks every tensor in it. Long weights are apart, and not in the graph; those of eight bits
/// are [restored](restore), and with `products` what dynamic quantisation did.
///
/// A tensor's data must be inside the file (R11: a path in a model would name a file of the host),
/// and be as long as its dimensions say, so that memory is bounded by the file's own length.
pub(super) fn decode(file: &File, products: bool) -> Result<Decoded> {
    let length = file.len();
    let Outline { model, graph, initializers } =
        Outline::read(file).map_err(|e| unreadable(length, e))?;
    let Some(graph) = graph.filter(|graph| !graph.output.is_empty()) else {
        return Err(invalid(format!("not an ONNX model ({length} bytes): no graph")));
    };
    let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    let only_summed = only_summed(&graph.node);
    let mut weights = Vec::new();
    let mut initializer = Vec::with_capacity(initializers.len());
    for (mut tensor, raw_data) in initializers {
        let shape = check_tensor(&tensor, raw_data.len())?;
        // An output is looked for in the graph itself.
        let is_output = outputs.contains(&*tensor.name);
        let is_summed = only_summed.contains(&*tensor.name);
        match Weight::new(&tensor, shape, file, raw_data.clone(), is_summed).filter(|_| !is_output)
        {
            Some(weight) => weights.push(weight),
            None => {
                let raw_data = file.read(raw_data).map_err(|e| unreadable(length, e))?;
                tensor.raw_data = raw_data.into();
                initializer.push(tensor);
            }
        }
    }
    let mut graph = GraphProto {
        node: graph.node,
        initializer,
        input: graph.input,
        output: graph.output,
        ..GraphProto::default()
    };
    check_nodes(&graph, 0)?;
    // Files of old name their weights among the inputs.
    let names: HashSet<&str> = weights.iter().map(Weight::name).collect();
    graph.input.retain(|input| !names.contains(&*input.name));
    restore(&mut graph, &mut weights, products);
    check_outputs(&graph)?;
    Ok(Decoded { opset_import: model.opset_import, graph, weights })
}

/// Whether a node has a graph inside, which may take any value of those around it.
pub(super) fn has_inner_graphs(nodes: &[NodeProto]) -> bool {
    let mut attributes = nodes.iter().flat_map(|node| &node.attribute);
    attributes.any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
}

/// tract panics over an output that nothing produces.
fn check_outputs(graph: &GraphProto) -> Result<()> {
    let inputs = graph.input.iter().map(|input| &*input.name);
    let initializers = graph.initializer.iter().map(|tensor| &*tensor.name);
    let values = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    // A value that a node takes and nothing produces is told of later.
    let taken = graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str));
    let known: HashSet<&str> = inputs.chain(initializers).chain(values).chain(taken).collect();
    match graph.output.iter().find(|output| !known.contains(&*output.name)) {
        Some(output) => {
            Err(invalid(format!("nothing in the ONNX graph produces the output {:?}", output.name)))
        }
        None => Ok(()),
    }
}

fn check_graph(graph: &GraphProto, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("graphs nest deeper than {MAX_DEPTH}")));
    }
    graph.initializer.iter().try_for_each(check_whole_tensor)?;
    check_nodes(graph, depth)
}

fn check_nodes(graph: &GraphProto, depth: usize) -> Result<()> {
    if let Some(node) = graph.node.iter().find(|node| REFUSED.contains(&node.op_type.as_str())) {
        return Err(invalid(format!(
            "the operator {} (node {:?}): Fourier transforms are not supported",
            node.op_type, node.name
        )));
    }
    graph.node.iter().flat_map(|node| &node.attribute).try_for_each(|a| check_attribute(a, depth))
}

fn check_attribute(attribute: &AttributeProto, depth: usize) -> Result<()> {
    attribute.t.iter().chain(&attribute.tensors).try_for_each(check_whole_tensor)?;
    attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| check_graph(graph, depth + 1))
}

fn check_whole_tensor(tensor: &TensorProto) -> Result<()> {
    check_tensor(tensor, tensor.raw_data.len()).map(|_| ())
}

/// The shape of a tensor that has so many bytes of raw data.
fn check_tensor(tensor: &TensorProto, raw: usize) -> Result<Vec<usize>> {
    let name = &tensor.name;
    if tensor.data_location == Some(DataLocation::External as i32)
        || !tensor.external_data.is_empty()
    {
        return Err(invalid(format!(
            "tensor {name:?} lies in another file; isovec takes models of one file only"
        )));
    }
    let negative = || invalid(format!("tensor {name:?} has the dims {:?}", tensor.dims));
    let shape: Option<Vec<usize>> =
        tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let shape = shape.ok_or_else(negative)?;
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
        .ok_or_else(negative)?;
    let (has, unit) = if raw == 0 {
        let typed = tensor.float_data.len()
            + tensor.double_data.len()
            + tensor.int32_data.len()
            + tensor.int64_data.len()
            + tensor.uint64_data.len()
            + tensor.string_data.len();
        (typed, "values")
    } else {
        let size = element_size(tensor)?;
        if !raw.is_multiple_of(size) {
            return Err(invalid(format!(
                "tensor {name:?} has {raw} bytes, not a multiple of {size}"
            )));
        }
        (raw / size, "values in its bytes")
    };
    if has != elements {
        return Err(invalid(format!(
            "tensor {name:?} has {has} {unit}, but its dims {:?} ask for {elements}",
            tensor.dims
        )));
    }
    Ok(shape)
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

fn unreadable(length: usize, e: io::Error) -> Error {
    invalid(format!("not an ONNX file ({length} bytes): {e}"))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidModel, message)
}

#[cfg(test)]
mod tests;
