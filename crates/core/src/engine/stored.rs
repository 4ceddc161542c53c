//! Operators whose weights are in the file's bytes.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::weights::Weight;

/// A weight. tract sees a value that it knows nothing of, so its passes let it be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored(pub(super) Arc<Weight>);

impl Op for Stored {
    fn name(&self) -> StaticName {
        "Stored".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Stored {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.0.tensor()?.into_tvalue()))
    }
}

impl TypedOp for Stored {
    as_op!();

    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(self.0.shape())))
    }
}

/// The rows of a table that ids `[..]` name: `[.., columns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rows(Arc<Weight>);

impl Op for Rows {
    fn name(&self) -> StaticName {
        "Rows".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Rows {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let ids = inputs.first().context("rows without ids")?;
        let [rows, columns] = *self.0.shape() else { bail!("a table of {:?}", self.0.shape()) };
        let mut shape: TVec<usize> = ids.shape().into();
        shape.push(columns);
        let mut output = Tensor::zero::<f32>(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let ids = ids.try_as_plain_ram()?;
        let places = view.as_slice_mut::<f32>()?.chunks_exact_mut(columns);
        for (&id, place) in ids.as_slice::<i64>()?.iter().zip(places) {
            // ONNX counts negative ones from the end.
            let row = usize::try_from(id)
                .ok()
                .or_else(|| rows.checked_sub(usize::try_from(id.unsigned_abs()).ok()?));
            let row = row.filter(|row| *row < rows);
            self.0
                .read_row(row.with_context(|| format!("id {id} in a table of {rows}"))?, place)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Rows {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape.extend(self.0.shape().last().map(|columns| columns.to_dim()));
        Ok(tvec!(f32::fact(shape)))
    }
}

/// Puts stored weights into a graph, whose last inputs their values are.
pub(super) fn put(model: &mut TypedModel, weights: Vec<Weight>) -> TractResult<()> {
    let inputs = model.inputs.len().checked_sub(weights.len()).context("weights without places")?;
    for (outlet, weight) in model.inputs.split_off(inputs).into_iter().zip(weights) {
        model.node_mut(outlet.node).op = Box::new(Stored(Arc::new(weight)));
    }
    Ok(())
}

/// Takes what is left of the stored weights out of a graph: the largest table stays as it is stored, of which each run
/// reads some rows; the others become constants. The rest of the file is given back.
pub(super) fn take_out(model: &mut TypedModel) -> TractResult<()> {
    let mut stored: Vec<(usize, Stored)> = model
        .nodes()
        .iter()
        .filter_map(|node| Some((node.id, node.op_as::<Stored>()?.clone())))
        .collect();
    let tables = stored.iter().enumerate().filter(|(_, (id, _))| is_table(model, *id));
    let table = tables.max_by_key(|(_, (_, Stored(weight)))| weight.len()).map(|(index, _)| index);
    let table = table.map(|index| stored.swap_remove(index));
    for (id, Stored(weight)) in stored {
        let tensor = weight.tensor()?.into_arc_tensor();
        model.set_outlet_fact(id.into(), TypedFact::try_from(&tensor)?)?;
        model.node_mut(id).op = Box::new(Const::new(tensor)?);
    }
    let Some((id, Stored(weight))) = table else { return Ok(()) };
    // Nothing but the table is in use of the file from here on.
    model.node_mut(id).op = Box::new(TypedSource::new(f32::fact(weight.shape())));
    let mut weight = Arc::unwrap_or_clone(weight);
    weight.leave_file()?;
    let weight = Arc::new(weight);
    let takers: Vec<usize> =
        model.node(id).outputs[0].successors.iter().map(|taker| taker.node).collect();
    for taker in takers {
        let node = model.node(taker);
        let mut patch = TypedModelPatch::default();
        let ids = patch.tap_model(model, node.inputs[1])?;
        let rows = patch.wire_node(&node.name, Rows(Arc::clone(&weight)), &[ids])?;
        patch.shunt_outside(model, taker.into(), rows[0])?;
        patch.apply(model)?;
    }
    model.compact()
}

/// Whether all that is done with a matrix is to take rows of it.
fn is_table(model: &TypedModel, id: usize) -> bool {
    let takers = &model.node(id).outputs[0].successors;
    let takes_rows = |taker: &InletId| {
        let gather = model.node(taker.node).op_as::<Gather>();
        taker.slot == 0 && gather.is_some_and(|gather| gather.axis == 0)
    };
    !takers.is_empty() && takers.iter().all(takes_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 40;
    const COLUMNS: usize = 50;

    /// Rows of a table by `ids`, and the table itself where `whole`.
    fn model(whole: bool) -> TypedModel {
        let values: Vec<u8> = (0..ROWS * COLUMNS).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let weight = Weight::of_f32("table", &[ROWS, COLUMNS], values);
        let mut model = TypedModel::default();
        let ids = model.add_source("ids", i64::fact([1, 3])).unwrap();
        let table = model.add_source("table", f32::fact([ROWS, COLUMNS])).unwrap();
        put(&mut model, vec![weight]).unwrap();
        let rows = model.wire_node("rows", Gather::new(0), &[table, ids]).unwrap()[0];
        let mut outputs = vec![rows];
        if whole {
            outputs.extend(model.wire_node("whole", AxisOp::Add(0), &[table]).unwrap());
        }
        model.select_output_outlets(&outputs).unwrap();
        assert_eq!(model.inputs, [ids]);
        model
    }

    fn run(model: TypedModel, ids: [i64; 3]) -> TractResult<TVec<TValue>> {
        let ids = Tensor::from_shape(&[1, 3], &ids)?;
        model.into_optimized()?.into_runnable()?.run(tvec!(ids.into_tvalue()))
    }

    #[test]
    fn rows_are_read_where_the_table_is_stored() {
        let mut read = model(false);
        take_out(&mut read).unwrap();
        let ops: Vec<_> = read.nodes().iter().map(|node| node.op.name()).collect();
        assert_eq!(ops, ["Source", "Rows"]);
        for ids in [[0, 39, 17], [-1, -40, 3]] {
            let rows = run(read.clone(), ids).unwrap();
            assert_eq!(rows[0].shape(), [1, 3, COLUMNS]);
            let rows = rows[0].to_plain_array_view::<f32>().unwrap();
            for (place, id) in ids.into_iter().enumerate() {
                let row = id.rem_euclid(ROWS as i64) as usize;
                assert_eq!(rows[[0, place, 0]], (row * COLUMNS) as f32, "{id}");
                assert_eq!(rows[[0, place, COLUMNS - 1]], (row * COLUMNS + COLUMNS - 1) as f32);
            }
        }
        for id in [40, -41, i64::MAX, i64::MIN] {
            let error = run(read.clone(), [0, id, 0]).unwrap_err();
            assert_eq!(error.root_cause().to_string(), format!("id {id} in a table of 40"));
        }
    }

    #[test]
    fn a_table_that_is_more_than_rows_becomes_a_constant() {
        let mut read = model(true);
        take_out(&mut read).unwrap();
        assert!(read.nodes().iter().any(|node| node.op_is::<Const>()));
        let outputs = run(read, [5, 0, 39]).unwrap();
        let rows = outputs[0].to_plain_array_view::<f32>().unwrap();
        assert_eq!(rows[[0, 0, 7]], (5 * COLUMNS + 7) as f32);
        let whole = outputs[1].to_plain_array_view::<f32>().unwrap();
        assert_eq!(whole[[0, 39, 49]], (ROWS * COLUMNS - 1) as f32);
    }
}
