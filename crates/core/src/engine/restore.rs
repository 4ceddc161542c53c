//! Takes operations on weights of eight bits out of a graph, where the weights can do without: they then stand for what
//! those operations made of them.

use std::collections::{HashMap, HashSet};

use ndarray::ArrayD;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;

use super::proto::has_inner_graphs;
use super::weights::{Scale, Weight, floats};

/// Restores `Mul(Cast(weight), scale)`, as weights are stored in eight bits, and the rows of a table,
/// `DequantizeLinear(Gather(weight, ids), scale, zero_point)`.
///
/// With `products` also those that [dynamic quantisation](Search::product) has made integers of: their rows are then not
/// rounded any more, so this is for who rounds them anew.
pub(super) fn restore(graph: &mut GraphProto, weights: &mut [Weight], products: bool) {
    if has_inner_graphs(&graph.node) {
        return;
    }
    let search = Search::of(graph, weights);
    let eight_bits = [i8::datum_type(), u8::datum_type()];
    let weights_of_eight_bits =
        weights.iter().enumerate().filter(|(_, weight)| eight_bits.contains(&weight.datum_type()));
    let changes: Vec<(usize, Change)> = weights_of_eight_bits
        .filter_map(|(index, weight)| {
            let change = search.scaled(weight).or_else(|| search.rows(weight));
            let change = change.or_else(|| search.product(weight).filter(|_| products));
            Some((index, change?))
        })
        .collect();
    drop(search);

    let mut gone = HashSet::new();
    for (index, Change { scale, name, nodes, replaced }) in changes {
        gone.extend(nodes);
        weights[index].restore(name, scale);
        if let Some((at, node)) = replaced {
            gone.remove(&at);
            graph.node[at] = node;
        }
    }
    let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
    graph.node = nodes.filter(|(index, _)| !gone.contains(index)).map(|(_, node)| node).collect();
    if products {
        remove_unused(graph);
    }
}

/// A file may give a weight any number of axes, and each takes its time for each row.
const MOST_AXES: usize = 8;

/// What is done about a weight.
struct Change {
    scale: Scale,
    /// The value that it is from now on.
    name: String,
    /// The nodes that are not needed any more, but for the one that is replaced.
    nodes: Vec<usize>,
    replaced: Option<(usize, NodeProto)>,
}

struct Search<'a> {
    graph: &'a GraphProto,
    constants: HashMap<&'a str, Constant<'a>>,
    producers: HashMap<&'a str, usize>,
    /// The nodes that take each value.
    takers: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Search<'a> {
    fn of(graph: &'a GraphProto, weights: &'a [Weight]) -> Self {
        let mut takers: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut producers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for input in &node.input {
                takers.entry(input).or_default().push(index);
            }
            producers.extend(node.output.iter().map(|output| (&**output, index)));
        }
        let outputs = graph.output.iter().map(|output| &*output.name).collect();
        Search { graph, constants: constants(graph, weights), producers, takers, outputs }
    }

    /// The only node that takes a value, if it is of this type, and what it gives. An output of the graph is taken by
    /// more than nodes.
    fn only(&self, value: &str, op_type: &str) -> Option<(usize, &'a str)> {
        let [index] = *self.takers.get(value)?.as_slice() else { return None };
        let node = self.graph.node.get(index)?;
        let only = node.op_type == op_type && !self.outputs.contains(value);
        node.output.first().filter(|_| only).map(|output| (index, &**output))
    }

    fn producer(&self, value: &str, op_type: &str) -> Option<&'a NodeProto> {
        let node = &self.graph.node[*self.producers.get(value)?];
        (node.op_type == op_type).then_some(node)
    }

    fn scaled(&self, weight: &Weight) -> Option<Change> {
        let (cast, value) = self.only(weight.name(), "Cast")?;
        let (mul, product) = self.only(value, "Mul").filter(|_| self.to_f32(cast))?;
        if self.outputs.contains(product) || weight.datum_type() != i8::datum_type() {
            return None;
        }
        let scale = other(&self.graph.node[mul], value)?;
        let scale = self.scale(weight, scale, None)?;
        Some(Change { scale, name: product.into(), nodes: vec![cast, mul], replaced: None })
    }

    fn rows(&self, weight: &Weight) -> Option<Change> {
        let (gather, rows) = self.only(weight.name(), "Gather")?;
        let (restored, value) = self.only(rows, "DequantizeLinear")?;
        let [_, scale, zero_point @ ..] = self.graph.node[restored].input.as_slice() else {
            return None;
        };
        let scale = self.scale(weight, scale, zero_point.first())?;
        // One for each column would be along the last axis of the rows too, but that is not what is written.
        if scale.factor.len() != 1 || scale.zero_point.len() != 1 {
            return None;
        }
        let mut node = self.graph.node[gather].clone();
        node.output = vec![value.into()];
        let (nodes, replaced) = (vec![restored], Some((gather, node)));
        Some(Change { scale, name: weight.name().into(), nodes, replaced })
    }

    /// `Mul(Cast(MatMulInteger(q, weight, q_zero_point, zero_point)), Mul(q_scale, scale))`, where `q` and what belongs to
    /// it are `DynamicQuantizeLinear(x)`: stands for `MatMul(x, restored weight)`.
    fn product(&self, weight: &Weight) -> Option<Change> {
        // With other shapes the product has another one, or its scales belong elsewhere.
        let [_, _] = weight.shape() else { return None };
        let (product, sums) = self.only(weight.name(), "MatMulInteger")?;
        let (cast, numbers) = self.only(sums, "Cast").filter(|(cast, _)| self.to_f32(*cast))?;
        let (mul, value) = self.only(numbers, "Mul")?;
        let node = &self.graph.node[product];
        let [q, right, zero_points @ ..] = node.input.as_slice() else { return None };
        let quantizer = self.producer(q, "DynamicQuantizeLinear")?;
        let [x] = quantizer.input.as_slice() else { return None };
        let [quantized, q_scale, q_zero_point] = quantizer.output.as_slice() else { return None };
        if right != weight.name() || q != quantized || zero_points.first() != Some(q_zero_point) {
            return None;
        }
        let scales = self.producer(other(&self.graph.node[mul], numbers)?, "Mul")?;
        let scale = self.scale(weight, other(scales, q_scale)?, zero_points.get(1))?;
        // One for all, or for each column.
        if scale.factor.ndim() > 1 || scale.zero_point.ndim() > 1 {
            return None;
        }
        let matmul = NodeProto {
            op_type: "MatMul".into(),
            name: node.name.clone(),
            input: vec![x.clone(), weight.name().into()],
            output: vec![value.into()],
            ..NodeProto::default()
        };
        let replaced = Some((product, matmul));
        Some(Change { scale, name: weight.name().into(), nodes: vec![cast, mul], replaced })
    }

    /// What elements of `weight` stand for, if that is stored, of the shape of one number or of a row or column.
    fn scale(&self, weight: &Weight, factor: &str, zero_point: Option<&String>) -> Option<Scale> {
        if weight.shape().len() > MOST_AXES {
            return None;
        }
        let factor = self.constants.get(factor).filter(|factor| factor.scales(weight.shape()))?;
        if factor.datum_type != DataType::Float {
            return None;
        }
        let zero_point = match zero_point {
            // The name of an optional input that is left out.
            None => ArrayD::zeros(vec![]),
            Some(name) if name.is_empty() => ArrayD::zeros(vec![]),
            Some(name) => {
                let point = self.constants.get(&**name)?;
                let of_weight = match point.datum_type {
                    DataType::Int8 => i8::datum_type(),
                    DataType::Uint8 => u8::datum_type(),
                    _ => return None,
                };
                let fits = of_weight == weight.datum_type() && point.scales(weight.shape());
                point.array().filter(|_| fits)?
            }
        };
        Some(Scale { factor: factor.array()?, zero_point })
    }

    fn to_f32(&self, cast: usize) -> bool {
        let to = self.graph.node[cast].attribute.iter().find(|attribute| attribute.name == "to");
        to.is_some_and(|to| to.i == DataType::Float as i64)
    }
}

/// The other one of a node's two inputs.
fn other<'a>(node: &'a NodeProto, input: &str) -> Option<&'a str> {
    match node.input.as_slice() {
        [a, b] if a == input => Some(b),
        [a, b] if b == input => Some(a),
        _ => None,
    }
}

/// Removes what nothing takes: what dynamic quantisation made of rows, and its scales.
fn remove_unused(graph: &mut GraphProto) {
    let mut producers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        producers.extend(node.output.iter().map(|output| (&**output, index)));
    }
    let mut needed = vec![false; graph.node.len()];
    let mut values: Vec<&str> = graph.output.iter().map(|output| &*output.name).collect();
    while let Some(value) = values.pop() {
        if let Some(&index) = producers.get(value)
            && !std::mem::replace(&mut needed[index], true)
        {
            values.extend(graph.node[index].input.iter().map(String::as_str));
        }
    }
    let mut needed = needed.into_iter();
    graph.node.retain(|_| needed.next().unwrap_or(true));
}

/// A tensor that is stored in the file.
struct Constant<'a> {
    shape: Vec<usize>,
    datum_type: DataType,
    values: Values<'a>,
}

enum Values<'a> {
    Long(&'a Weight),
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
        let stored;
        let raw = match self.values {
            Values::Long(weight) => {
                stored = weight.bytes().ok()?;
                &*stored
            }
            Values::Short(tensor) => &*tensor.raw_data,
        };
        let typed = match self.values {
            Values::Short(tensor) => (&*tensor.float_data, &*tensor.int32_data),
            Values::Long(_) => (&[][..], &[][..]),
        };
        let values = match self.datum_type {
            DataType::Float => typed.0.iter().copied().chain(floats(raw)).collect(),
            DataType::Int8 => {
                let raw = raw.iter().map(|x| f32::from(x.cast_signed()));
                typed.1.iter().map(|x| *x as i8 as f32).chain(raw).collect()
            }
            DataType::Uint8 => {
                let raw = raw.iter().map(|x| f32::from(*x));
                typed.1.iter().map(|x| *x as u8 as f32).chain(raw).collect()
            }
            _ => return None,
        };
        ArrayD::from_shape_vec(&*self.shape, values).ok()
    }
}

/// The constants, by name.
fn constants<'a>(graph: &'a GraphProto, weights: &'a [Weight]) -> HashMap<&'a str, Constant<'a>> {
    let long = weights.iter().filter_map(|weight| {
        let datum_type = [
            (f32::datum_type(), DataType::Float),
            (i8::datum_type(), DataType::Int8),
            (u8::datum_type(), DataType::Uint8),
        ];
        let known = datum_type.into_iter().find(|(of, _)| *of == weight.datum_type());
        let values = Values::Long(weight);
        let (_, datum_type) = known?;
        Some((weight.name(), Constant { shape: weight.shape().to_vec(), datum_type, values }))
    });
    let short = graph.initializer.iter().filter_map(|tensor| {
        let shape = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
        let constant = Constant {
            shape: shape.collect::<Option<_>>()?,
            datum_type: DataType::try_from(tensor.data_type).ok()?,
            values: Values::Short(tensor),
        };
        Some((&*tensor.name, constant))
    });
    long.chain(short).collect()
}

#[cfg(test)]
mod tests;
