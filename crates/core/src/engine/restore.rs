//! Takes operations on weights of eight bits out of a graph, where the weights can do without: they then stand for what
//! those operations made of them.

use std::collections::{HashMap, HashSet};

use ndarray::ArrayD;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;

use super::weights::{Scale, Weight, floats};

/// Restores `Mul(Cast(weight), scale)`, as weights are stored in eight bits, and the rows of a table,
/// `DequantizeLinear(Gather(weight, ids), scale, zero_point)`.
///
/// With `products` also those that [dynamic quantisation](Search::product) has made integers of: their rows are then not
/// rounded any more, so this is for who rounds them anew.
pub(super) fn restore(graph: &mut GraphProto, weights: &mut [Weight], products: bool) {
    let mut attributes = graph.node.iter().flat_map(|node| &node.attribute);
    // A graph inside of this one may take any of its values.
    if attributes.any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
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
        let raw = match self.values {
            Values::Long(bytes) => bytes,
            Values::Short(tensor) => &tensor.raw_data,
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
        let values = Values::Long(weight.bytes());
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
mod tests {
    use prost::Message;
    use tract_onnx::pb::{AttributeProto, ModelProto, ValueInfoProto};

    use super::super::proto::decode;
    use super::*;

    const SHAPE: [usize; 2] = [64, 80];

    fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        let to = AttributeProto {
            name: "to".into(),
            i: DataType::Float as i64,
            ..AttributeProto::default()
        };
        NodeProto {
            op_type: op_type.into(),
            input: names(inputs),
            output: names(outputs),
            attribute: if op_type == "Cast" { vec![to] } else { vec![] },
            ..NodeProto::default()
        }
    }

    fn tensor(name: &str, data_type: DataType, dims: &[usize], raw_data: Vec<u8>) -> TensorProto {
        TensorProto {
            name: name.into(),
            data_type: data_type as i32,
            dims: dims.iter().map(|n| *n as i64).collect(),
            raw_data,
            ..TensorProto::default()
        }
    }

    /// Nodes on `stored`, `scale` of this shape (0.5, 1.5 and so on), and `zero_point`, a row of which the numbers are 3 and
    /// 4 by turns, or one, which is 3.
    fn model(
        nodes: &[NodeProto],
        of: DataType,
        (scale, zero_point): (&[usize], &[usize]),
        outputs: &[&str],
    ) -> Vec<u8> {
        let stored = (0..SHAPE[0] * SHAPE[1]).map(|i| i as u8).collect();
        let scales =
            (0..scale.iter().product()).flat_map(|i: usize| (i as f32 + 0.5).to_le_bytes());
        let zero_points = (0..zero_point.iter().product()).map(|i: usize| 3 + (i % 2) as u8);
        let output = |name: &&str| ValueInfoProto { name: (*name).into(), ..Default::default() };
        let graph = GraphProto {
            node: nodes.to_vec(),
            initializer: vec![
                tensor("stored", of, &SHAPE, stored),
                tensor("scale", DataType::Float, scale, scales.collect()),
                tensor("zero_point", of, zero_point, zero_points.collect()),
            ],
            output: outputs.iter().map(output).collect(),
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    /// The names of the nodes that are left, and the weight.
    fn restored(model: Vec<u8>, products: bool) -> (Vec<String>, Weight) {
        let (proto, weights) = decode(model, products).unwrap();
        let nodes = proto.graph.unwrap().node.into_iter().map(|node| node.op_type).collect();
        (nodes, weights.into_iter().find(|weight| weight.shape() == SHAPE).unwrap())
    }

    fn check(weight: &Weight, what: &str, expected: impl Fn(usize, usize) -> f32) {
        let tensor = weight.tensor().unwrap();
        let tensor = tensor.to_plain_array_view::<f32>().unwrap();
        for (i, j) in [(0, 0), (1, 79), (3, 17), (63, 79)] {
            assert_eq!(tensor[[i, j]], expected(i, j), "{what}, {i}, {j}");
            let mut row = [0.0; SHAPE[1]];
            weight.read_row(i, &mut row).unwrap();
            assert_eq!(row[j], tensor[[i, j]], "{what}, {i}, {j}");
        }
    }

    fn stored(i: usize, j: usize) -> u8 {
        (i * SHAPE[1] + j) as u8
    }

    fn scaled() -> [NodeProto; 3] {
        [
            node("Cast", &["stored"], &["cast"]),
            node("Mul", &["cast", "scale"], &["product"]),
            node("Identity", &["product"], &["y"]),
        ]
    }

    #[test]
    fn weights_of_eight_bits_are_restored() {
        for scale in [vec![], vec![80], vec![1, 80], vec![64, 1], vec![64, 80]] {
            let model = model(&scaled(), DataType::Int8, (&scale, &[]), &["y"]);
            let (nodes, weight) = restored(model, false);
            assert_eq!(nodes, ["Identity"], "{scale:?}");
            assert_eq!(weight.name(), "product");
            check(&weight, &format!("{scale:?}"), |i, j| {
                let scale = match *scale {
                    [] => 0.5,
                    [_] | [1, _] => j as f32 + 0.5,
                    [_, 1] => i as f32 + 0.5,
                    _ => (i * SHAPE[1] + j) as f32 + 0.5,
                };
                f32::from(stored(i, j) as i8) * scale
            });
        }
    }

    #[test]
    fn what_more_than_a_product_needs_stays_in_the_graph() {
        let nodes = |scale: &[usize], outputs: &[&str]| {
            restored(model(&scaled(), DataType::Int8, (scale, &[]), outputs), true).0.len()
        };
        for outputs in [["y", "product"], ["y", "cast"]] {
            assert_eq!(nodes(&[1, 80], &outputs), 3, "{outputs:?}");
        }
        for scale in [vec![64], vec![1, 1, 80], vec![2, 80]] {
            assert_eq!(nodes(&scale, &["y"]), 3, "{scale:?}");
        }
        let broken = model(&scaled(), DataType::Int8, (&[80], &[]), &["z"]);
        let error = decode(broken, false).err().unwrap().to_string();
        assert_eq!(error, "nothing in the ONNX graph produces the output \"z\"");
    }

    #[test]
    fn tables_of_eight_bits_are_restored() {
        let nodes = [
            node("Gather", &["stored", "ids"], &["rows"]),
            node("DequantizeLinear", &["rows", "scale", "zero_point"], &["y"]),
        ];
        for (of, scale, left) in [
            (DataType::Uint8, &[][..], 1),
            (DataType::Int8, &[1][..], 1),
            (DataType::Uint8, &[80][..], 2),
        ] {
            let (nodes, weight) = restored(model(&nodes, of, (scale, &[]), &["y"]), false);
            assert_eq!(nodes.len(), left, "{scale:?}");
            if left == 1 {
                check(&weight, "rows", |i, j| match of {
                    DataType::Int8 => (f32::from(stored(i, j) as i8) - 3.0) * 0.5,
                    _ => (f32::from(stored(i, j)) - 3.0) * 0.5,
                });
            }
        }
    }

    /// As ONNX Runtime's tool makes it of `MatMul(x, weight)`.
    fn dynamic() -> [NodeProto; 6] {
        [
            node("Identity", &["input"], &["x"]),
            node("DynamicQuantizeLinear", &["x"], &["q", "q_scale", "q_zero_point"]),
            node("Mul", &["q_scale", "scale"], &["scales"]),
            node("MatMulInteger", &["q", "stored", "q_zero_point", "zero_point"], &["sums"]),
            node("Cast", &["sums"], &["numbers"]),
            node("Mul", &["numbers", "scales"], &["y"]),
        ]
    }

    #[test]
    fn dynamic_quantisation_is_undone_where_it_is_asked_for() {
        for (of, scale, zero_point) in [
            (DataType::Int8, &[80][..], &[80][..]),
            (DataType::Int8, &[80], &[]),
            (DataType::Uint8, &[], &[1]),
        ] {
            let model = || model(&dynamic(), of, (scale, zero_point), &["y"]);
            assert_eq!(restored(model(), false).0.len(), 6);
            let (nodes, weight) = restored(model(), true);
            assert_eq!(nodes, ["Identity", "MatMul"], "{scale:?}");
            check(&weight, &format!("{scale:?}"), |i, j| {
                let number = match of {
                    DataType::Int8 => f32::from(stored(i, j) as i8),
                    _ => f32::from(stored(i, j)),
                };
                let zero_point = if zero_point == [80] { 3 + j % 2 } else { 3 };
                let scale = if scale.is_empty() { 0.5 } else { j as f32 + 0.5 };
                (number - zero_point as f32) * scale
            });
        }
    }

    #[test]
    fn other_products_of_integers_stay() {
        let with = |index: usize, node: NodeProto| {
            let mut nodes = dynamic();
            nodes[index] = node;
            nodes
        };
        let integers = |inputs: &[&str]| with(3, node("MatMulInteger", inputs, &["sums"]));
        for (what, nodes, scale, outputs) in [
            (
                "another scale of the rows",
                with(2, node("Mul", &["x", "scale"], &["scales"])),
                80,
                vec!["y"],
            ),
            ("no zero point of the rows", integers(&["q", "stored"]), 80, vec!["y"]),
            (
                "another zero point",
                integers(&["q", "stored", "zero_point", "zero_point"]),
                80,
                vec!["y"],
            ),
            (
                "the weight comes first",
                integers(&["stored", "q", "q_zero_point", "zero_point"]),
                80,
                vec!["y"],
            ),
            ("a scale for each input", dynamic(), 64, vec!["y"]),
            ("a scale of two axes", dynamic(), 1, vec!["y"]),
            ("sums are an output", dynamic(), 80, vec!["y", "sums"]),
        ] {
            let scale: &[usize] = match scale {
                64 => &[64, 1],
                1 => &[1, 80],
                _ => &[80],
            };
            let model = model(&nodes, DataType::Int8, (scale, &[80]), &outputs);
            let (nodes, _) = restored(model, true);
            assert!(nodes.contains(&"MatMulInteger".to_owned()), "{what}: {nodes:?}");
        }
    }
}
