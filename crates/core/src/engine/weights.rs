//! Weights, out of the file's bytes straight into tensors.
//!
//! tract would copy them into its protobuf first, and take those of eight bits through a tensor for each step. For
//! a model of 90 MB that is half of the time to load it, most of it spent on getting memory.

use std::collections::{HashMap, HashSet};

use ndarray::{ArrayD, ArrayView, Zip};
use prost::bytes::Bytes;
use tract_onnx::model::ParseResult;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::*;

/// From so many bytes on a tensor is kept out of the graph. Short ones say how graphs are built, so tract has them
/// from the beginning.
const LONG: usize = 4096;

/// A tensor whose elements are in the file.
pub(super) struct Weight {
    name: String,
    shape: Vec<usize>,
    datum_type: DatumType,
    bytes: Bytes,
    /// What each element, an `i8`, is multiplied by.
    scale: Option<ArrayD<f32>>,
}

impl Weight {
    /// The tensor of this shape that has these bytes, if it is a long one.
    pub(super) fn new(tensor: &TensorProto, shape: Vec<usize>, bytes: &Bytes) -> Option<Self> {
        let datum_type = match DataType::try_from(tensor.data_type).ok()? {
            DataType::Float => f32::datum_type(),
            DataType::Float16 => f16::datum_type(),
            DataType::Int8 => i8::datum_type(),
            DataType::Uint8 => u8::datum_type(),
            _ => return None,
        };
        let (name, bytes) = (tensor.name.clone(), bytes.clone());
        (bytes.len() >= LONG).then_some(Weight { name, shape, datum_type, bytes, scale: None })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn tensor(&self) -> TractResult<Tensor> {
        let Some(scale) = &self.scale else {
            let mut tensor = Tensor::zero_dt(self.datum_type, &self.shape)?;
            tensor.as_bytes_mut().copy_from_slice(&self.bytes);
            return Ok(tensor);
        };
        let mut tensor = Tensor::zero::<f32>(&self.shape)?;
        let stored = ArrayView::from_shape(&*self.shape, &self.bytes)?;
        let scale = scale.broadcast(&*self.shape).context("a scale of another shape")?;
        Zip::from(tensor.to_plain_array_view_mut::<f32>()?)
            .and(stored)
            .and(scale)
            .for_each(|weight, &stored, &scale| *weight = f32::from(stored.cast_signed()) * scale);
        Ok(tensor)
    }
}

/// Takes `Mul(Cast(weight), scale)`, as weights of eight bits are stored, out of a graph: the product is then a weight
/// itself.
pub(super) fn fold_scales(graph: &mut GraphProto, weights: &mut [Weight]) {
    let mut attributes = graph.node.iter().flat_map(|node| &node.attribute);
    // A graph inside of this one may take any of its values.
    if attributes.any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
        return;
    }
    let scales = scales(graph, weights);
    let takers = Takers::of(graph);
    let mut products = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        if weight.datum_type == i8::datum_type()
            && let Some((cast, value)) = takers.only(&weight.name, "Cast")
            && to_f32(&graph.node[cast])
            && let Some((mul, product)) = takers.only(value, "Mul")
            && let Some(scale) = graph.node[mul].input.iter().find(|input| *input != value)
            && let Some(scale) = scales.get(&**scale).and_then(|constant| constant.floats())
            && scale.broadcast(&*weight.shape).is_some()
        {
            products.push((index, [cast, mul], product.to_owned(), scale));
        }
    }
    let mut gone = HashSet::new();
    for (index, nodes, name, scale) in products {
        gone.extend(nodes);
        weights[index].name = name;
        weights[index].scale = Some(scale);
    }
    let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
    graph.node = nodes.filter(|(index, _)| !gone.contains(index)).map(|(_, node)| node).collect();
}

/// The nodes that take each value of a graph.
struct Takers<'a> {
    nodes: &'a [NodeProto],
    /// By the value's name. An output of the graph is taken by more than nodes, and not here.
    of: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Takers<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let mut of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for input in &node.input {
                of.entry(input).or_default().push(index);
            }
        }
        for output in &graph.output {
            of.remove(&*output.name);
        }
        Takers { nodes: &graph.node, of }
    }

    /// The only node that takes a value, if it is of this type, and what it gives.
    fn only(&self, value: &str, op_type: &str) -> Option<(usize, &'a String)> {
        let [index] = *self.of.get(value)?.as_slice() else { return None };
        let node = self.nodes.get(index).filter(|node| node.op_type == op_type)?;
        node.output.first().map(|output| (index, output))
    }
}

fn to_f32(cast: &NodeProto) -> bool {
    let to = cast.attribute.iter().find(|attribute| attribute.name == "to");
    to.is_some_and(|to| to.i == DataType::Float as i64)
}

/// A tensor of f32 that is stored in the file.
enum Constant<'a> {
    Long(&'a Weight),
    Short(&'a TensorProto),
}

impl Constant<'_> {
    fn floats(&self) -> Option<ArrayD<f32>> {
        let of_bytes = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let (shape, values) = match self {
            Constant::Long(weight) => (weight.shape.clone(), of_bytes(&weight.bytes)),
            Constant::Short(tensor) => {
                let shape = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
                let typed = tensor.float_data.iter().copied();
                (shape.collect::<Option<_>>()?, typed.chain(of_bytes(&tensor.raw_data)).collect())
            }
        };
        ArrayD::from_shape_vec(shape, values).ok()
    }
}

/// The constants of f32, by name.
fn scales<'a>(graph: &'a GraphProto, weights: &'a [Weight]) -> HashMap<&'a str, Constant<'a>> {
    let long = weights.iter().filter(|weight| weight.datum_type == f32::datum_type());
    let short =
        graph.initializer.iter().filter(|tensor| tensor.data_type == DataType::Float as i32);
    let long = long.map(|weight| (&*weight.name, Constant::Long(weight)));
    long.chain(short.map(|tensor| (&*tensor.name, Constant::Short(tensor)))).collect()
}

/// Puts the weights into the graph that uses them. Gives the model, and the name of a value that nothing produces,
/// if there is one.
pub(super) fn wire(
    parsed: ParseResult,
    weights: Vec<Weight>,
) -> TractResult<(InferenceModel, Option<String>)> {
    let ParseResult { mut model, unresolved_inputs, outlets_by_name } = parsed;
    let mut missing: HashSet<&str> = unresolved_inputs.iter().map(String::as_str).collect();
    let mut wired = HashSet::new();
    for weight in weights {
        // Some are there and nothing uses them.
        let Some(outlet) = outlets_by_name.get(&weight.name).copied() else { continue };
        ensure!(missing.remove(&*weight.name), "two values are named {:?}", weight.name);
        let tensor = weight.tensor()?.into_arc_tensor();
        drop(weight);
        model.set_outlet_fact(outlet, TypedFact::try_from(tensor.clone())?.into())?;
        model.node_mut(outlet.node).op = Const::new(tensor)?.into();
        wired.insert(outlet);
    }
    model.inputs.retain(|input| !wired.contains(input));
    let missing = unresolved_inputs.iter().find(|name| missing.contains(&***name)).cloned();
    Ok((model, missing))
}
