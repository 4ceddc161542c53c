//! The kernel against the plain implementation of tract, through the interface that tract uses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use tract_data::prelude::*;
use tract_linalg::BinOp;
use tract_linalg::mmm::{AsInputValue, FusedSpec, MatMatMul};

/// A step besides the product.
#[derive(Clone, Copy, Debug)]
enum Step {
    Scalar(BinOp),
    PerRow(BinOp),
    PerCol(BinOp),
    RowColProducts,
    Unicast { transposed: bool },
    LeakyRelu,
}

fn matrix(rows: usize, columns: usize, seed: usize) -> Tensor {
    let at = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
    let values: Vec<f32> = (0..rows * columns).map(at).collect();
    Tensor::from_shape(&[rows, columns], &values).unwrap()
}

/// `a` times `b`, then the steps, with the output's rows or columns contiguous.
fn run(
    kernel: &dyn MatMatMul,
    (m, k, n): (usize, usize, usize),
    steps: &[Step],
    transposed: bool,
) -> Vec<f32> {
    let (a, b) = (matrix(m, k, 1), matrix(k, n, 2));
    let (pack_a, pack_b) = &kernel.packings()[0];
    let a = pack_a.prepare_one(&a, 1, 0).unwrap();
    let b = pack_b.prepare_one(&b, 0, 1).unwrap();
    let scalar = tensor0(0.3f32);
    let (per_row, per_col) = (matrix(m, 1, 3), matrix(n, 1, 4));
    let (rows, columns) =
        (per_row.clone().into_shape(&[m]).unwrap(), per_col.clone().into_shape(&[n]).unwrap());
    let mut other = matrix(m, n, 5);
    let mut output = Tensor::zero::<f32>(&[m, n]).unwrap();
    let place = |tensor: &mut Tensor, transposed: bool| {
        let (row, column) = if transposed { (1, m as isize) } else { (n as isize, 1) };
        // SAFETY: the tensor has m * n numbers and outlives the run.
        unsafe { kernel.c_from_data_and_strides(4, row, column).wrap(&tensor.view_mut()) }
    };
    let mut specs = vec![FusedSpec::AddMatMul {
        a: AsInputValue::Borrowed(&*a),
        b: AsInputValue::Borrowed(&*b),
        packing: 0,
    }];
    for step in steps {
        specs.push(match *step {
            Step::Scalar(op) => FusedSpec::BinScalar(&scalar, op),
            Step::PerRow(op) => FusedSpec::BinPerRow(rows.view(), op),
            Step::PerCol(op) => FusedSpec::BinPerCol(columns.view(), op),
            Step::RowColProducts => FusedSpec::AddRowColProducts(&rows, &columns),
            Step::Unicast { transposed } => FusedSpec::AddUnicast(place(&mut other, transposed)),
            Step::LeakyRelu => FusedSpec::LeakyRelu(&scalar),
        });
    }
    specs.push(FusedSpec::Store(place(&mut output, transposed)));
    // SAFETY: packed by this kernel's own packings, of the sizes given.
    unsafe { kernel.run(m, n, &specs) }.unwrap();
    // SAFETY: a tensor of f32.
    unsafe { output.as_slice_unchecked::<f32>() }.to_vec()
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop::sample::select(vec![
        BinOp::Min,
        BinOp::Max,
        BinOp::Add,
        BinOp::Mul,
        BinOp::Sub,
        BinOp::SubF,
    ]);
    prop_oneof![
        op.clone().prop_map(Step::Scalar),
        op.clone().prop_map(Step::PerRow),
        op.prop_map(Step::PerCol),
        Just(Step::RowColProducts),
        any::<bool>().prop_map(|transposed| Step::Unicast { transposed }),
        Just(Step::LeakyRelu),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bit for bit: each number is one sum in the order of k in both.
    #[test]
    fn is_what_tracts_plain_kernel_gives(
        m in 1usize..40,
        k in 0usize..70,
        n in 1usize..30,
        steps in prop::collection::vec(step(), 0..4),
        transposed: bool,
    ) {
        let ours = run(&*isovec_kernels::wasm_f32_8x4().mmm(), (m, k, n), &steps, transposed);
        let plain = tract_linalg::generic::mmm::generic_f32_4x4.mmm();
        let expected = run(&*plain, (m, k, n), &steps, transposed);
        prop_assert_eq!(ours, expected);
    }
}

#[test]
fn an_encoders_shapes() {
    for (m, k, n) in [(384, 384, 16), (1536, 384, 9), (768, 3072, 50), (12, 32, 12)] {
        let ours = run(&*isovec_kernels::wasm_f32_8x4().mmm(), (m, k, n), &[], true);
        let plain = tract_linalg::generic::mmm::generic_f32_4x4.mmm();
        assert_eq!(ours, run(&*plain, (m, k, n), &[], true), "{m} x {k} x {n}");
    }
}

#[test]
fn what_is_for_integers_is_refused() {
    let kernel = isovec_kernels::wasm_f32_8x4().mmm();
    assert!(!kernel.can_fuse(&FusedSpec::ShiftLeft(3)));
    assert!(kernel.can_fuse(&FusedSpec::LeakyRelu(&tensor0(0.1f32))));
}
