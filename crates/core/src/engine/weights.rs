//! Weights, which stay in the file's bytes until it is known what is made of them.
//!
//! tract would copy them into its protobuf, then into tensors, and those of eight bits through a tensor for each step,
//! most of which takes its time for getting memory. Those of an encoder are packed by us in the end, and a text reads
//! some rows of its table of words: neither needs a tensor at all.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;

use ndarray::{ArrayD, ArrayViewD, Axis};
use prost::bytes::Bytes;
use tract_onnx::model::ParseResult;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::tract_data::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

use super::file::File;
use super::proto::has_inner_graphs;

/// From so many bytes on a tensor of floats or bytes is kept out of the graph. Short ones say how graphs are built, so
/// tract has them from the beginning.
const LONG: usize = 4096;

/// A row of so many floats that is only added or multiplied, as biases are, is kept out as well.
const ROW: usize = 16;

/// A tensor whose elements are in the file.
#[derive(Clone)]
pub(super) struct Weight {
    name: String,
    shape: Vec<usize>,
    datum_type: DatumType,
    file: File,
    /// Where they are in it.
    place: Range<usize>,
    /// What its elements stand for, if those are of eight bits.
    scale: Option<Scale>,
    /// Whether it is a row that is only added or multiplied.
    is_row: bool,
}

/// What elements of eight bits stand for: `(element - zero_point) * factor`. Both can be broadcast to the weight.
#[derive(Clone)]
pub(super) struct Scale {
    pub(super) factor: ArrayD<f32>,
    pub(super) zero_point: ArrayD<f32>,
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
    /// The tensor of this shape whose bytes are in this place of a file, if it is a long one, or a row that is only
    /// [summed or scaled by](only_summed).
    pub(super) fn new(
        tensor: &TensorProto,
        shape: Vec<usize>,
        file: &File,
        place: Range<usize>,
        only_summed: bool,
    ) -> Option<Self> {
        let datum_type = match DataType::try_from(tensor.data_type).ok()? {
            DataType::Float => f32::datum_type(),
            DataType::Float16 => f16::datum_type(),
            DataType::Int8 => i8::datum_type(),
            DataType::Uint8 => u8::datum_type(),
            _ => return None,
        };
        let is_row = only_summed
            && datum_type == f32::datum_type()
            && matches!(*shape, [_])
            && place.len() >= 4 * ROW;
        if place.len() < LONG && !is_row {
            return None;
        }
        let (name, file) = (tensor.name.clone(), file.clone());
        Some(Weight { name, shape, datum_type, file, place, scale: None, is_row })
    }

    /// The same elements, which stand for others, under this name.
    pub(super) fn restore(&mut self, name: String, scale: Scale) {
        self.name = name;
        self.scale = Some(scale);
    }

    pub(super) fn datum_type(&self) -> DatumType {
        self.datum_type
    }

    /// As they are in the file.
    pub(super) fn bytes(&self) -> io::Result<Bytes> {
        self.file.read(self.place.clone())
    }

    #[cfg(test)]
    pub(super) fn of_f32(name: &str, shape: &[usize], bytes: Vec<u8>) -> Self {
        let (name, shape, place) = (name.into(), shape.into(), 0..bytes.len());
        let datum_type = f32::datum_type();
        Weight { name, shape, datum_type, file: bytes.into(), place, scale: None, is_row: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many bytes it has in the file.
    pub(super) fn len(&self) -> usize {
        self.place.len()
    }

    /// Whether tract is told nothing of it but its shape, and it stays in the file until blocks are packed: a matrix of f32,
    /// or a row.
    pub(super) fn is_opaque(&self) -> bool {
        let is_f32 = self.datum_type == f32::datum_type() || self.scale.is_some();
        is_f32 && (self.shape.len() == 2 || self.is_row)
    }

    /// Whether nothing tells it from another one but the elements and what those stand for.
    pub(super) fn is_like(&self, other: &Weight) -> bool {
        self.shape == other.shape
            && self.datum_type == other.datum_type
            && self.scale.is_some() == other.scale.is_some()
            && self.is_row == other.is_row
    }

    /// Takes what it is of the file, and gives the rest back, if nothing else is in use of it. A little that comes before
    /// may stay, since moving some ten megabytes takes milliseconds.
    pub(super) fn leave_file(&mut self) -> io::Result<()> {
        let end = self.place.end;
        if self.place.start > self.place.len() / 8 || matches!(self.file, File::Elsewhere(_)) {
            self.file = File::Memory(self.bytes()?);
            self.place = 0..self.place.len();
        } else {
            self.file = File::Memory(self.file.read(0..end)?);
        }
        if let File::Memory(bytes) = &mut self.file {
            let mut own = Vec::from(std::mem::take(bytes));
            own.shrink_to_fit();
            *bytes = own.into();
        }
        Ok(())
    }

    pub(super) fn tensor(&self) -> TractResult<Tensor> {
        if self.scale.is_none() {
            let blob = Blob::from_bytes_alignment(&self.bytes()?, vector_size())?;
            let storage = PlainStorage::from(blob);
            return Tensor::from_storage(self.datum_type, &self.shape, storage).into_plain_ram();
        }
        let columns = columns(&self.shape)?;
        let mut tensor = Tensor::zero::<f32>(&self.shape)?;
        let mut plain = tensor.try_as_plain_ram_mut()?;
        self.write_rows(plain.as_slice_mut::<f32>()?.chunks_exact_mut(columns))?;
        Ok(tensor)
    }

    /// Writes its rows along the last axis into `places`, if what they stand for is `f32`.
    pub(super) fn write_rows<'a>(
        &self,
        places: impl Iterator<Item = &'a mut [f32]>,
    ) -> TractResult<()> {
        let columns = columns(&self.shape)?;
        let (mut places, place) = (places.enumerate(), self.place.clone());
        match &self.scale {
            None => {
                ensure!(self.datum_type == f32::datum_type(), "{self:?} is not of f32");
                self.file.rows(place, 4 * columns, |stored| {
                    if let Some((_, to)) = places.next() {
                        isovec_kernels::read_floats(stored, to);
                    }
                })?;
            }
            Some(scale) => {
                let mut row = scale.rows(&self.shape)?;
                self.file.rows(place, columns, |stored| {
                    if let Some((i, to)) = places.next() {
                        row.restore(i, stored, self.is_signed(), to);
                    }
                })?;
            }
        }
        Ok(())
    }

    fn is_signed(&self) -> bool {
        self.datum_type == i8::datum_type()
    }

    /// One row of a matrix of f32.
    pub(super) fn read_row(&self, row: usize, into: &mut [f32]) -> TractResult<()> {
        let [rows, columns] = *self.shape else { bail!("rows of a weight of {:?}", self.shape) };
        ensure!(row < rows && into.len() == columns, "row {row} of {:?}", self.shape);
        let size = if self.scale.is_some() { columns } else { 4 * columns };
        let start = self.place.start + size * row;
        let stored = self.file.read(start..start + size)?;
        match &self.scale {
            None => isovec_kernels::read_floats(&stored, into),
            Some(scale) => {
                scale.rows(&self.shape)?.restore(row, &stored, self.is_signed(), into);
            }
        }
        Ok(())
    }
}

impl Scale {
    /// For the rows of a weight of this shape, along its last axis.
    fn rows(&self, shape: &[usize]) -> TractResult<ScaleRows<'_>> {
        let pair = self.factor.broadcast(shape).zip(self.zero_point.broadcast(shape));
        let (factor, zero_point) = pair.context("a scale of another shape")?;
        let all = [factor, zero_point];
        // Most have the same ones for each row.
        let is_one_row = all.iter().all(|all| {
            let (_, rows) = all.strides().split_last().unwrap_or((&0, &[]));
            rows.iter().all(|stride| *stride == 0)
        });
        Ok(ScaleRows { all, is_one_row, row: Default::default() })
    }
}

struct ScaleRows<'a> {
    /// The factors and the zero points.
    all: [ArrayViewD<'a, f32>; 2],
    /// Whether those of all rows are the same.
    is_one_row: bool,
    /// Those of the row before.
    row: [Vec<f32>; 2],
}

impl ScaleRows<'_> {
    fn restore(&mut self, row: usize, stored: &[u8], signed: bool, to: &mut [f32]) {
        if !self.is_one_row || self.row[0].is_empty() {
            let of_row =
                |all: &ArrayViewD<'_, f32>| nth_row(all.view(), row).iter().copied().collect();
            self.row = self.all.each_ref().map(of_row);
        }
        let [factors, zero_points] = &self.row;
        isovec_kernels::restore(stored, signed, factors, zero_points, to);
    }
}

/// The row of this number along the last axis.
fn nth_row(mut all: ArrayViewD<'_, f32>, mut row: usize) -> ArrayViewD<'_, f32> {
    while all.ndim() > 1 {
        let rows_below: usize = all.shape()[1..all.ndim() - 1].iter().product();
        all = all.index_axis_move(Axis(0), row / rows_below);
        row %= rows_below;
    }
    all
}

/// The length of a weight's last axis.
fn columns(shape: &[usize]) -> TractResult<usize> {
    shape.last().copied().filter(|columns| *columns > 0).context("a weight without elements")
}

pub(super) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// The values that are only added, multiplied, or given to a layer normalisation: operators that work alike whether they
/// know a value beforehand or not. None, where graphs inside may take them for something else.
pub(super) fn only_summed(nodes: &[NodeProto]) -> HashSet<&str> {
    if has_inner_graphs(nodes) {
        return HashSet::new();
    }
    let mut all: HashSet<&str> = HashSet::new();
    let mut otherwise: HashSet<&str> = HashSet::new();
    for node in nodes {
        let sums = matches!(&*node.op_type, "Add" | "Mul" | "LayerNormalization");
        let values = if sums { &mut all } else { &mut otherwise };
        values.extend(node.input.iter().map(String::as_str));
    }
    all.retain(|value| !otherwise.contains(value));
    all
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
        if stay && weight.is_opaque() {
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
    use super::super::file::tests::apart;
    use super::*;

    #[test]
    fn a_weight_that_leaves_its_file_keeps_its_bytes_and_little_else() {
        let file: Vec<u8> = (0..3 * LONG).map(|i| (i % 251) as u8).collect();
        let tensor = TensorProto { data_type: DataType::Uint8 as i32, ..TensorProto::default() };
        for (start, kept) in [(0, LONG), (LONG / 8, LONG / 8 + LONG), (LONG, LONG)] {
            let whole = File::from(file.clone());
            for (whole, kept) in [(whole, kept), (apart(file.clone()), LONG)] {
                let place = start..start + LONG;
                let mut weight =
                    Weight::new(&tensor, vec![LONG], &whole, place.clone(), false).unwrap();
                drop(whole);
                weight.leave_file().unwrap();
                assert_eq!(weight.bytes().unwrap(), file[place]);
                assert!(matches!(&weight.file, File::Memory(bytes) if bytes.len() == kept));
            }
        }
        let file = File::from(file);
        assert!(Weight::new(&tensor, vec![LONG - 1], &file, 1..LONG, false).is_none());
    }
}
