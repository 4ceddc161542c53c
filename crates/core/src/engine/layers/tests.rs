//! An encoder of layers that are alike, and of some that are not quite.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, OperatorSetIdProto, ValueInfoProto, type_proto};
use tract_onnx::pb::{TypeProto, type_proto::Value};

use super::super::proto::decode;
use super::super::{Engine, Expected, Output, Takes};
use super::*;
use crate::{ErrorKind, HashedBytes, Kernels, ModelFile, Pooling, Precision, ReadAt};

const HIDDEN: usize = 64;
const HEADS: i64 = 4;
const WIDE: usize = 96;
const WORDS: usize = 40;

/// A graph in the making.
#[derive(Default)]
struct Model {
    graph: GraphProto,
    seed: u32,
}

impl Model {
    fn node(&mut self, op_type: &str, inputs: &[&str], output: &str) -> &mut NodeProto {
        self.graph.node.push(NodeProto {
            op_type: op_type.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        });
        self.graph.node.last_mut().unwrap()
    }

    /// Numbers around `middle`, which no two weights have alike.
    fn floats(&mut self, name: &str, dims: &[usize], middle: f32) {
        let random = |_| {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            middle + (self.seed >> 8) as f32 / (1 << 25) as f32 - 0.25
        };
        let values = (0..dims.iter().product()).map(random);
        let raw_data = values.flat_map(f32::to_le_bytes).collect();
        self.constant(name, DataType::Float, dims, raw_data);
    }

    fn constant(&mut self, name: &str, of: DataType, dims: &[usize], raw_data: Vec<u8>) {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            data_type: of as i32,
            dims: dims.iter().map(|n| *n as i64).collect(),
            raw_data,
            ..TensorProto::default()
        });
    }

    fn number(&mut self, name: &str, value: f32) {
        self.constant(name, DataType::Float, &[], value.to_le_bytes().to_vec());
    }

    fn product(&mut self, x: &str, name: &str, [inputs, outputs]: [usize; 2]) -> String {
        self.floats(&format!("{name}.weight"), &[inputs, outputs], 0.0);
        self.floats(&format!("{name}.bias"), &[outputs], 0.0);
        self.node("MatMul", &[x, &format!("{name}.weight")], &format!("{name}.product"));
        self.node("Add", &[&format!("{name}.product"), &format!("{name}.bias")], name);
        name.into()
    }

    fn norm(&mut self, x: &str, name: &str) {
        self.floats(&format!("{name}.gamma"), &[HIDDEN], 1.0);
        self.floats(&format!("{name}.beta"), &[HIDDEN], 0.0);
        let inputs = [x, &format!("{name}.gamma"), &format!("{name}.beta")];
        self.node("LayerNormalization", &inputs, name);
    }

    /// Queries, keys or values by heads.
    fn heads(&mut self, x: &str, name: &str, perm: [i64; 4]) {
        let of = self.product(x, name, [HIDDEN, HIDDEN]);
        self.node("Reshape", &[&of, "by_heads"], &format!("{name}.split"));
        self.transpose(&format!("{name}.split"), perm, &format!("{name}.heads"));
    }

    fn transpose(&mut self, x: &str, perm: [i64; 4], name: &str) {
        self.node("Transpose", &[x], name).attribute.push(AttributeProto {
            name: "perm".into(),
            ints: perm.to_vec(),
            r#type: 7,
            ..AttributeProto::default()
        });
    }

    /// The layer of this name, of `x`. Gives `{l}.out`.
    fn layer(&mut self, x: &str, l: &str) {
        self.heads(x, &format!("{l}.q"), [0, 2, 1, 3]);
        self.heads(x, &format!("{l}.k"), [0, 2, 3, 1]);
        self.heads(x, &format!("{l}.v"), [0, 2, 1, 3]);
        let n = |name: &str| format!("{l}.{name}");
        self.node("MatMul", &[&n("q.heads"), &n("k.heads")], &n("products"));
        self.node("Mul", &[&n("products"), "scale"], &n("scores"));
        self.node("Softmax", &[&n("scores")], &n("probabilities"));
        self.node("MatMul", &[&n("probabilities"), &n("v.heads")], &n("weighted"));
        self.transpose(&n("weighted"), [0, 2, 1, 3], &n("moved"));
        self.node("Reshape", &[&n("moved"), "together"], &n("context"));
        let of = self.product(&n("context"), &n("projection"), [HIDDEN, HIDDEN]);
        self.node("Add", &[&of, x], &n("sum_1"));
        self.norm(&n("sum_1"), &n("norm_1"));
        let up = self.product(&n("norm_1"), &n("up"), [HIDDEN, WIDE]);
        self.node("Div", &[&up, "root_2"], &n("divided"));
        self.node("Erf", &[&n("divided")], &n("erf"));
        self.node("Add", &[&n("erf"), "one"], &n("plus"));
        self.node("Mul", &[&up, &n("plus")], &n("times"));
        self.node("Mul", &[&n("times"), "half"], &n("gelu"));
        let down = self.product(&n("gelu"), &n("down"), [WIDE, HIDDEN]);
        self.node("Add", &[&down, &n("norm_1")], &n("sum_2"));
        self.norm(&n("sum_2"), &n("out"));
    }

    /// An encoder of five layers.
    fn encoder() -> Self {
        let mut model = Model::default();
        let ints = |values: &[i64]| values.iter().flat_map(|i| i.to_le_bytes()).collect();
        let size = HIDDEN as i64 / HEADS;
        model.constant("by_heads", DataType::Int64, &[4], ints(&[0, 0, HEADS, size]));
        model.constant("together", DataType::Int64, &[3], ints(&[0, 0, HIDDEN as i64]));
        model.number("scale", 0.25);
        model.number("root_2", std::f32::consts::SQRT_2);
        model.number("one", 1.0);
        model.number("half", 0.5);
        model.floats("words", &[WORDS, HIDDEN], 0.0);
        model.node("Gather", &["words", "input_ids"], "picked");
        model.norm("picked", "embeddings");
        let mut x = "embeddings".to_owned();
        for l in ["l0", "l1", "l2", "l3", "l4"] {
            model.layer(&x, l);
            x = format!("{l}.out");
        }
        model.node("Identity", &[&x], "last_hidden_state");
        let tensor = type_proto::Tensor { elem_type: DataType::Int64 as i32, shape: None };
        let r#type =
            Some(TypeProto { value: Some(Value::TensorType(tensor)), denotation: String::new() });
        model.graph.input.push(ValueInfoProto {
            name: "input_ids".into(),
            r#type,
            ..Default::default()
        });
        model.output("last_hidden_state");
        model
    }

    fn output(&mut self, name: &str) {
        self.graph.output.push(ValueInfoProto { name: name.into(), ..Default::default() });
    }

    /// The node that gives a value.
    fn of(&mut self, value: &str) -> &mut NodeProto {
        self.graph.node.iter_mut().find(|node| node.output[0] == value).unwrap()
    }

    fn file(&self) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        let graph = Some(self.graph.clone());
        ModelProto { ir_version: 8, opset_import, graph, ..ModelProto::default() }.encode_to_vec()
    }

    /// How many layers are left out.
    fn left_out(&self) -> Option<usize> {
        Some(shorten(&decode(&self.file().into(), false).unwrap())?.1.len())
    }
}

fn expected(kernels: Kernels) -> Expected<'static> {
    Expected {
        takes: Takes::Text,
        dims: HIDDEN,
        pooling: Pooling::Mean,
        output: Some("last_hidden_state"),
        kernels,
        precision: Precision::Fp32,
    }
}

/// The vectors of some tokens, and how many blocks they went through: the same wherever the file is.
fn run(model: &Model, kernels: Kernels) -> (usize, Vec<f32>) {
    let [memory, elsewhere] = [false, true].map(|elsewhere| {
        let engine = Engine::load(file_of(model.file(), elsewhere), &expected(kernels)).unwrap();
        vectors(&engine)
    });
    assert_eq!(memory, elsewhere);
    memory
}

fn file_of(bytes: Vec<u8>, elsewhere: bool) -> ModelFile<'static> {
    let bytes = HashedBytes::from(bytes);
    if elsewhere {
        ModelFile::read_at(bytes.bytes().to_vec(), bytes.sha256().into()).unwrap()
    } else {
        bytes.into()
    }
}

fn vectors(engine: &Engine) -> (usize, Vec<f32>) {
    let output = engine.run_text(&[1, 7, 39, 0, 7], &[0; 5], &isovec_kernels::Alone).unwrap();
    let Output::Tokens(tokens) = output else { panic!("no tokens") };
    (engine.execution().fused_blocks, tokens.iter().copied().collect())
}

#[test]
fn layers_that_are_read_once_give_the_same_bits() {
    let model = Model::encoder();
    assert_eq!(model.left_out(), Some(4));
    let (blocks, short) = run(&model, Kernels::Plain);
    assert_eq!(blocks, 5);

    // An operator that does nothing, in a layer in the middle: then no two pairs are alike.
    let mut whole = Model::encoder();
    whole.of("l2.sum_1").input[0] = "between".into();
    let at = whole.graph.node.iter().position(|node| node.output[0] == "l2.sum_1").unwrap();
    let mut nothing = Model::default();
    nothing.node("Identity", &["l2.projection"], "between");
    whole.graph.node.splice(at..at, nothing.graph.node);
    for (l, output) in [("l0", "l0.q"), ("l4", "l4.q")] {
        whole.of(output).input.swap(0, 1);
        assert!(whole.of(output).input[1].starts_with(l));
    }
    assert_eq!(whole.left_out(), None);
    assert_eq!(run(&whole, Kernels::Plain), (5, short.clone()));

    let (blocks, by_tract) = run(&model, Kernels::Tract);
    assert_eq!(blocks, 0);
    assert!(short.iter().zip(&by_tract).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_layer_that_differs_is_read_by_itself() {
    // In order: the first differs, the last, one in the middle.
    for (value, left_out) in [("l0.q", Some(3)), ("l4.q", Some(3)), ("l1.q", None)] {
        let mut model = Model::encoder();
        model.of(value).input.swap(0, 1);
        assert_eq!(model.left_out(), left_out, "{value}");
        let (blocks, vectors) = run(&model, Kernels::Plain);
        assert_eq!(blocks, 5, "{value}");
        assert_eq!(vectors, run(&Model::encoder(), Kernels::Plain).1, "{value}");
    }
}

#[test]
fn layers_that_are_not_quite_alike() {
    type Change = fn(&mut Model);
    let cases: [(&str, Change); 8] = [
        ("a value inside a layer is an output", |m| m.output("l2.gelu")),
        ("what a layer gives is an output", |m| m.output("l2.out")),
        ("a value inside of a layer is taken behind the row", |m| {
            m.node("Add", &["l3.gelu", "one"], "late");
        }),
        ("a layer takes what the one before the last gave", |m| {
            m.of("l3.sum_1").input[1] = "l1.out".into()
        }),
        ("some take what the first takes", |m| {
            for l in ["l2", "l3", "l4"] {
                m.of(&format!("{l}.sum_1")).input[1] = "embeddings".into();
            }
        }),
        ("numbers differ", |m| {
            for (l, scale) in [("l1", 0.5), ("l3", 0.75)] {
                m.number(l, scale);
                m.of(&format!("{l}.scores")).input[1] = l.into();
            }
        }),
        ("weights have other shapes", |m| {
            for l in ["l1", "l3"] {
                m.floats(l, &[HIDDEN, HIDDEN], 0.0);
                m.of(&format!("{l}.up.product")).input[1] = l.into();
            }
        }),
        ("two nodes give one value", |m| {
            m.node("Identity", &["embeddings"], "l2.out");
        }),
    ];
    for (name, change) in cases {
        let mut model = Model::encoder();
        change(&mut model);
        assert_eq!(model.left_out(), None, "{name}");
    }
}

/// Layers are alike, but there is more in each than a block: the graph is read whole.
#[test]
fn what_is_beside_the_block_in_a_layer_stays() {
    let mut model = Model::encoder();
    let nodes = std::mem::take(&mut model.graph.node);
    for mut node in nodes {
        let output = node.output[0].clone();
        let is_last = output.ends_with(".out");
        if is_last {
            node.output[0] = format!("{output}.whole");
        }
        model.graph.node.push(node);
        if is_last {
            model.node("Mul", &[&format!("{output}.whole"), "half"], &output);
        }
    }
    assert_eq!(model.left_out(), Some(4));
    let (blocks, ours) = run(&model, Kernels::Plain);
    assert_eq!(blocks, 5);
    let (_, by_tract) = run(&model, Kernels::Tract);
    assert!(ours.iter().zip(&by_tract).all(|(a, b)| (a - b).abs() < 1e-4));
    assert_ne!(ours, run(&Model::encoder(), Kernels::Plain).1);
}

/// The weights of a row of layers are those of each, not of the first.
#[test]
fn each_layer_has_its_own_weights() {
    let (_, layers) = shorten(&decode(&Model::encoder().file().into(), false).unwrap()).unwrap();
    for (k, layer) in layers.iter().enumerate() {
        assert_eq!(layer.len(), 16);
        for (first, own) in layer {
            assert_eq!(own.name(), first.replacen("l0", &format!("l{}", k + 1), 1));
        }
    }
}

/// A file of which one read fails, by its number.
struct Broken {
    file: Vec<u8>,
    fails: usize,
    reads: Arc<AtomicUsize>,
}

impl ReadAt for Broken {
    fn size(&self) -> usize {
        self.file.len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: usize) -> io::Result<()> {
        if self.reads.fetch_add(1, Ordering::Relaxed) == self.fails {
            // What the engine itself says of files that are none.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the disk is on fire"));
        }
        self.file.read_exact_at(into, offset)
    }
}

/// Each read fails in turn, and only once: what could go on without is not the model.
#[test]
fn a_file_that_cannot_be_read_is_no_model() {
    let bytes = Model::encoder().file();
    for (kernels, precision) in [
        (Kernels::Plain, Precision::Fp32),
        (Kernels::Plain, Precision::Int8),
        (Kernels::Tract, Precision::Fp32),
    ] {
        let expected = Expected { precision, ..expected(kernels) };
        for fails in 0.. {
            let (file, reads) = (bytes.clone(), Arc::default());
            let broken = Broken { file, fails, reads: Arc::clone(&reads) };
            let file = ModelFile::read_at(broken, "0".repeat(64)).unwrap();
            let Err(error) = Engine::load(file, &expected) else {
                let reads = reads.load(Ordering::Relaxed);
                assert!(reads <= fails && reads > 40, "{reads} reads, and none failed");
                break;
            };
            assert_eq!(error.kind(), ErrorKind::Io, "{fails}: {error}");
            assert_eq!(error.to_string(), "cannot read the ONNX file: the disk is on fire");
        }
    }
}
