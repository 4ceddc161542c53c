//! Files as others could write them.

use tract_onnx::pb::ModelProto;

use super::super::file::tests::apart;
use super::*;

/// A field with a length below 128.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let header = [(number << 3 | 2) as u8, content.len() as u8];
    [&header, content].concat()
}

fn output() -> ValueInfoProto {
    ValueInfoProto { name: "x".into(), ..ValueInfoProto::default() }
}

/// The weights that a file has in its graph, by their names and bytes: the same wherever the file is.
fn constants(file: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let [memory, elsewhere] = [file.to_vec().into(), apart(file.to_vec())].map(|file: File| {
        let constants = decode(&file, false)?.graph.initializer.into_iter();
        Ok(constants.map(|tensor| (tensor.name, tensor.raw_data)).collect::<Vec<_>>())
    });
    assert_eq!(
        memory.as_ref().map_err(Error::to_string),
        elsewhere.as_ref().map_err(Error::to_string)
    );
    memory
}

fn error(file: &[u8]) -> String {
    constants(file).unwrap_err().to_string()
}

/// A file of one weight, of four bytes.
fn with_weight(weight: &[u8]) -> Vec<u8> {
    let graph = [field(INITIALIZER, weight), field(12, &output().encode_to_vec())].concat();
    field(GRAPH, &graph)
}

fn weight() -> Vec<u8> {
    let tensor = TensorProto {
        name: "x".into(),
        dims: vec![4],
        data_type: DataType::Uint8 as i32,
        raw_data: vec![1, 2, 3, 4],
        ..TensorProto::default()
    };
    tensor.encode_to_vec()
}

#[test]
fn a_graph_may_be_written_in_parts() {
    let part = |graph| ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
    let first = part(GraphProto { output: vec![output()], ..GraphProto::default() });
    assert_eq!(
        error(&first),
        "nothing in the ONNX graph produces the output \"x\"",
        "the first part alone"
    );
    let second = field(GRAPH, &field(INITIALIZER, &weight()));
    for file in [[&first[..], &second].concat(), [&second[..], &first].concat()] {
        assert_eq!(constants(&file).unwrap(), [("x".into(), vec![1, 2, 3, 4])]);
    }
}

#[test]
fn of_data_that_is_there_twice_the_last_counts() {
    let twice = [weight(), field(RAW_DATA, &[5, 6, 7, 8])].concat();
    assert_eq!(constants(&with_weight(&twice)).unwrap(), [("x".into(), vec![5, 6, 7, 8])]);
    let none = [weight(), field(RAW_DATA, &[])].concat();
    assert_eq!(error(&with_weight(&none)), "tensor \"x\" has 0 values, but its dims [4] ask for 4");
}

#[test]
fn what_is_not_read_may_be_anything() {
    let (doc_string, metadata) = (field(12, &[0xff; 9]), field(14, &[0xff; 9]));
    let file = [metadata, with_weight(&[weight(), doc_string].concat())].concat();
    assert_eq!(constants(&file).unwrap().len(), 1);
}

#[test]
fn what_has_no_length_where_it_must_have_one_is_refused() {
    let varint = |number: u32| vec![(number << 3) as u8, 1];
    let weight = [weight(), varint(RAW_DATA)].concat();
    for (file, expected) in [
        (varint(GRAPH), "field 7 is of the wire type Varint (byte 0)"),
        (field(GRAPH, &varint(INITIALIZER)), "field 5 is of the wire type Varint (byte 2)"),
        (with_weight(&weight), "field 9 is of the wire type Varint (byte 18)"),
    ] {
        assert_eq!(error(&file), format!("not an ONNX file ({} bytes): {expected}", file.len()));
    }
}
