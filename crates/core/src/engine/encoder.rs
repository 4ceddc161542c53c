//! An operator of tract's graph that is a whole block of an encoder.

use std::borrow::Cow;
use std::fmt;

use isovec_kernels::Block;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;

/// Takes tokens `[.., S, hidden]`, whose leading axes are 1, and maybe a mask that is added to the scores,
/// `[.., 1 or S, S]`. Gives tokens of the same shape.
#[derive(Clone)]
pub(super) struct EncoderBlock {
    pub(super) block: Arc<Block>,
}

impl fmt::Debug for EncoderBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.block.fmt(f)
    }
}

impl PartialEq for EncoderBlock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.block, &other.block)
    }
}

impl Eq for EncoderBlock {}

impl Op for EncoderBlock {
    fn name(&self) -> StaticName {
        "EncoderBlock".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.block)])
    }

    op_as_typed_op!();
}

impl EvalOp for EncoderBlock {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let tokens = inputs.first().context("an encoder block without tokens")?;
        let shape = tokens.shape().to_vec();
        ensure!(shape.last() == Some(&self.block.hidden()), "an encoder block of other tokens");
        let view = tokens.try_as_plain_ram()?;
        let values = view.as_slice::<f32>()?;
        let n = values.len() / self.block.hidden();
        let mask = inputs.get(1).map(|mask| mask.try_as_plain_ram()).transpose()?;
        let mask = match &mask {
            Some(mask) => Some(whole_mask(mask.as_slice()?, n)?),
            None => None,
        };
        let mut output = Tensor::zero::<f32>(&shape)?;
        self.block.run(values, mask.as_deref(), output.try_as_plain_ram_mut()?.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

/// A mask with a row for each query.
fn whole_mask(mask: &[f32], n: usize) -> TractResult<Cow<'_, [f32]>> {
    if mask.len() == n {
        return Ok(mask.repeat(n).into());
    }
    ensure!(mask.len() == n * n, "a mask of {} numbers for {n} tokens", mask.len());
    Ok(mask.into())
}

impl TypedOp for EncoderBlock {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }
}
