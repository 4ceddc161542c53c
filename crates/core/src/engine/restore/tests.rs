use prost::Message;
use tract_onnx::pb::{AttributeProto, ModelProto, ValueInfoProto};

use super::super::proto::{Decoded, decode};
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
    let scales = (0..scale.iter().product()).flat_map(|i: usize| (i as f32 + 0.5).to_le_bytes());
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
    let Decoded { graph, weights, .. } = decode(&model.into(), products).unwrap();
    let nodes = graph.node.into_iter().map(|node| node.op_type).collect();
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
    let error = decode(&broken.into(), false).err().unwrap().to_string();
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
