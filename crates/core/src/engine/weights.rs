//! Weights, which stay in the file's bytes until it is known what is made of them.
//!
//! tract would copy them into its protobuf, then into tensors, and those of eight bits through a tensor for each step,
//! most of which takes its time for getting memory. Those of an encoder are packed by us in the end, and a text reads
//! some rows of its table of words: neither needs a tensor at all.

use std::collections::{HashMap, HashSet};
use std::fmt;

use ndarray::{ArrayD, ArrayView, Zip};
use prost::bytes::Bytes;
use tract_onnx::model::ParseResult;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::tract_data::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

/// From so many bytes on a tensor of floats or bytes is kept out of the graph. Short ones say how graphs are built, so
/// tract has them from the beginning.
const LONG: usize = 4096;

/// A tensor whose elements are in the file.
#[derive(Clone)]
pub(super) struct Weight {
    name: String,
    shape: Vec<usize>,
    datum_type: DatumType,
    bytes: Bytes,
    /// What each element, an `i8`, is multiplied by.
    scale: Option<ArrayD<f32>>,
}

/// Without the elements, which are many.
impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.name, self.shape)
    }
}

/// A weight is equal to itself only: nobody needs to compare the elements.
impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Weight {}

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

    #[cfg(test)]
    pub(super) fn of_f32(name: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        let (name, shape, bytes) = (name.into(), shape.into(), bytes.into());
        Weight { name, shape, datum_type: f32::datum_type(), bytes, scale: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many bytes it has in the file.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is a matrix of f32, which may stay in the file for now.
    fn may_stay(&self) -> bool {
        let is_f32 = self.datum_type == f32::datum_type() || self.scale.is_some();
        is_f32 && self.shape.len() == 2
    }

    /// Gives the rest of the file back, if nothing else is in use of it.
    pub(super) fn leave_file(&mut self) {
        let mut own = Vec::from(std::mem::take(&mut self.bytes));
        own.shrink_to_fit();
        self.bytes = own.into();
    }

    pub(super) fn tensor(&self) -> TractResult<Tensor> {
        let Some(scale) = &self.scale else {
            let blob = Blob::from_bytes_alignment(&self.bytes, vector_size())?;
            let storage = PlainStorage::from(blob);
            return Tensor::from_storage(self.datum_type, &self.shape, storage).into_plain_ram();
        };
        let scale = scale.broadcast(&*self.shape).context("a scale of another shape")?;
        let stored = ArrayView::from_shape(&*self.shape, &self.bytes)?;
        let mut tensor = Tensor::zero::<f32>(&self.shape)?;
        Zip::from(tensor.to_plain_array_view_mut::<f32>()?)
            .and(stored)
            .and(scale)
            .for_each(|weight, stored, scale| *weight = restore(stored, scale));
        Ok(tensor)
    }

    /// One row of a matrix of f32.
    pub(super) fn read_row(&self, row: usize, into: &mut [f32]) -> TractResult<()> {
        let [rows, columns] = *self.shape else { bail!("rows of a weight of {:?}", self.shape) };
        ensure!(row < rows && into.len() == columns, "row {row} of {:?}", self.shape);
        match &self.scale {
            None => {
                let bytes = &self.bytes[4 * columns * row..][..4 * columns];
                into.iter_mut().zip(floats(bytes)).for_each(|(to, x)| *to = x);
            }
            Some(scale) => {
                let scale = scale.broadcast((rows, columns)).context("a scale of another shape")?;
                let stored = &self.bytes[columns * row..][..columns];
                let pairs = stored.iter().zip(scale.row(row));
                into.iter_mut().zip(pairs).for_each(|(to, (x, scale))| *to = restore(x, scale));
            }
        }
        Ok(())
    }
}

fn restore(stored: &u8, scale: &f32) -> f32 {
    f32::from(stored.cast_signed()) * scale
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
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
            && !takers.outputs.contains(&**product)
            && let Some(scale) = graph.node[mul].input.iter().find(|input| *input != value)
            && let Some(scale) = scales.get(&**scale).filter(|scale| scale.scales(&weight.shape))
            && let Some(scale) = scale.array()
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
    outputs: HashSet<&'a str>,
}

impl<'a> Takers<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let mut of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for input in &node.input {
                of.entry(input).or_default().push(index);
            }
        }
        let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
        of.retain(|value, _| !outputs.contains(value));
        Takers { nodes: &graph.node, of, outputs }
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
struct Constant<'a> {
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Long(&'a [u8]),
    Short(&'a TensorProto),
}

impl Constant<'_> {
    /// Whether it can be broadcast to a weight of this shape.
    fn scales(&self, weight: &[usize]) -> bool {
        let mut pairs = self.shape.iter().rev().zip(weight.iter().rev());
        let fits = pairs.all(|(scale, weight)| *scale == 1 || scale == weight);
        self.shape.len() <= weight.len() && fits
    }

    fn array(&self) -> Option<ArrayD<f32>> {
        let values = match self.values {
            Values::Long(bytes) => floats(bytes).collect(),
            Values::Short(tensor) => {
                let typed = tensor.float_data.iter().copied();
                typed.chain(floats(&tensor.raw_data)).collect()
            }
        };
        ArrayD::from_shape_vec(&*self.shape, values).ok()
    }
}

/// The constants of f32, by name.
fn scales<'a>(graph: &'a GraphProto, weights: &'a [Weight]) -> HashMap<&'a str, Constant<'a>> {
    let long = weights.iter().filter(|weight| weight.datum_type == f32::datum_type());
    let long = long.map(|weight| {
        let values = Values::Long(&weight.bytes);
        (&*weight.name, Constant { shape: weight.shape.clone(), values })
    });
    let short = graph.initializer.iter();
    let short = short.filter(|tensor| tensor.data_type == DataType::Float as i32);
    let short = short.filter_map(|tensor| {
        let shape = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
        let constant =
            Constant { shape: shape.collect::<Option<_>>()?, values: Values::Short(tensor) };
        Some((&*tensor.name, constant))
    });
    long.chain(short).collect()
}

/// A graph with its weights in it.
pub(super) struct Wired {
    pub(super) model: InferenceModel,
    /// Weights that are in the file still, and where they belong: so far nothing gives these values.
    pub(super) stored: Vec<(OutletId, Weight)>,
    /// The name of a value that nothing produces, if there is one.
    pub(super) missing: Option<String>,
}

/// Puts the weights into the graph that uses them; matrices stay in the file if they may. A name that is used twice is
/// an error.
pub(super) fn wire(parsed: ParseResult, weights: Vec<Weight>, stay: bool) -> TractResult<Wired> {
    let ParseResult { mut model, unresolved_inputs, outlets_by_name } = parsed;
    let mut missing: HashSet<&str> = unresolved_inputs.iter().map(String::as_str).collect();
    let mut wired = HashSet::new();
    let mut stored = Vec::new();
    for weight in weights {
        // Some are there and nothing uses them.
        let Some(outlet) = outlets_by_name.get(&weight.name).copied() else { continue };
        ensure!(missing.remove(&*weight.name), "two values are named {:?}", weight.name);
        wired.insert(outlet);
        if stay && weight.may_stay() {
            let fact = InferenceFact::dt_shape(f32::datum_type(), &*weight.shape);
            model.set_outlet_fact(outlet, fact)?;
            stored.push((outlet, weight));
            continue;
        }
        let tensor = weight.tensor()?.into_arc_tensor();
        model.set_outlet_fact(outlet, TypedFact::try_from(tensor.clone())?.into())?;
        model.node_mut(outlet.node).op = Const::new(tensor)?.into();
    }
    model.inputs.retain(|input| !wired.contains(input));
    let missing = unresolved_inputs.iter().find(|name| missing.contains(&***name)).cloned();
    Ok(Wired { model, stored, missing })
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::{AttributeProto, ModelProto, ValueInfoProto};

    use super::super::proto::decode;
    use super::*;

    const SHAPE: [usize; 2] = [64, 80];

    /// `Identity(Mul(Cast(stored), scale))`, with these outputs.
    fn model(scale: &[i64], outputs: &[&str]) -> Vec<u8> {
        let node = |op_type: &str, inputs: &[&str], output: &str| NodeProto {
            op_type: op_type.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            ..Default::default()
        };
        let tensor = |name: &str, data_type, dims: &[i64], raw_data| TensorProto {
            name: name.into(),
            data_type,
            dims: dims.into(),
            raw_data,
            ..Default::default()
        };
        let mut cast = node("Cast", &["stored"], "cast");
        let to = DataType::Float as i64;
        cast.attribute = vec![AttributeProto { name: "to".into(), i: to, ..Default::default() }];
        let stored = (0..SHAPE[0] * SHAPE[1]).map(|i| i as u8).collect();
        let values = scale.iter().product::<i64>();
        let scales = (0..values).flat_map(|i| (i as f32 + 0.5).to_le_bytes()).collect();
        let output = |name: &&str| ValueInfoProto { name: (*name).into(), ..Default::default() };
        let graph = GraphProto {
            node: vec![
                cast,
                node("Mul", &["cast", "scale"], "product"),
                node("Identity", &["product"], "y"),
            ],
            initializer: vec![
                tensor("stored", DataType::Int8 as i32, &SHAPE.map(|n| n as i64), stored),
                tensor("scale", DataType::Float as i32, scale, scales),
            ],
            output: outputs.iter().map(output).collect(),
            ..Default::default()
        };
        ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn weights_of_eight_bits_are_restored() {
        for scale in [vec![], vec![80], vec![1, 80], vec![64, 1], vec![64, 80]] {
            let (proto, weights) = decode(model(&scale, &["y"])).unwrap();
            assert_eq!(proto.graph.unwrap().node.len(), 1, "{scale:?}");
            let weight = weights.iter().find(|weight| weight.name() == "product").unwrap();
            let tensor = weight.tensor().unwrap();
            let tensor = tensor.to_plain_array_view::<f32>().unwrap();
            let stored = |i: usize, j: usize| f32::from((i * SHAPE[1] + j) as u8 as i8);
            let at = |i: usize, j: usize| match *scale {
                [] => 0.5,
                [_] | [1, _] => j as f32 + 0.5,
                [_, 1] => i as f32 + 0.5,
                _ => (i * SHAPE[1] + j) as f32 + 0.5,
            };
            for (i, j) in [(0, 0), (1, 79), (3, 17), (63, 79)] {
                assert_eq!(tensor[[i, j]], stored(i, j) * at(i, j), "{scale:?}, {i}, {j}");
                let mut row = [0.0; SHAPE[1]];
                weight.read_row(i, &mut row).unwrap();
                assert_eq!(row[j], tensor[[i, j]], "{scale:?}, {i}, {j}");
            }
        }
    }

    #[test]
    fn what_more_than_a_product_needs_stays_in_the_graph() {
        for outputs in [["y", "product"], ["y", "cast"]] {
            let (proto, _) = decode(model(&[1, 80], &outputs)).unwrap();
            assert_eq!(proto.graph.unwrap().node.len(), 3, "{outputs:?}");
        }
        for scale in [vec![64], vec![1, 1, 80], vec![2, 80]] {
            let (proto, _) = decode(model(&scale, &["y"])).unwrap();
            assert_eq!(proto.graph.unwrap().node.len(), 3, "{scale:?}");
        }
        let error = decode(model(&[80], &["z"])).err().unwrap().to_string();
        assert_eq!(error, "nothing in the ONNX graph produces the output \"z\"");
    }
}
