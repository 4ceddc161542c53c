//! Attention of all tokens of one text to all of them, head by head.

use crate::isa::Loops;
use crate::linear::Floats;
use crate::product::Product;

pub(crate) struct Attention {
    pub(crate) loops: &'static Loops,
    pub(crate) heads: usize,
    pub(crate) hidden: usize,
    pub(crate) scale: f32,
}

impl Attention {
    fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    /// How many numbers it needs beside its input and output, for `n` tokens of which some ask; none where that is
    /// more than there can be.
    pub(crate) fn scratch(&self, n: usize, queries: usize, masked: bool) -> Option<usize> {
        self.sizes(n, queries, masked)?.into_iter().try_fold(0, usize::checked_add)
    }

    /// Of the keys' panels, the values' panels, the scores, and the mask.
    fn sizes(&self, n: usize, queries: usize, masked: bool) -> Option<[usize; 4]> {
        let (width, head) = (self.loops.narrow, self.head_size());
        let size = |rows: usize, columns: usize, multiple: usize| {
            columns
                .checked_next_multiple_of(multiple)?
                .checked_mul(rows)?
                .checked_next_multiple_of(16)
        };
        let scores = size(queries, n, self.loops.lanes)?;
        let mask = if masked { scores } else { 0 };
        Some([size(head, n, width)?, size(n, head, width)?, scores, mask])
    }

    /// `qkv` is `(tokens, 3 * hidden)`, and `to` is `(queries, hidden)`, for those tokens from `first_query` on. A mask
    /// has a row for each of them.
    pub(crate) fn run(
        &self,
        qkv: &[f32],
        first_query: usize,
        mask: Option<&[f32]>,
        scratch: &mut [f32],
        to: &mut [f32],
    ) {
        let (hidden, head) = (self.hidden, self.head_size());
        let n = qkv.len() / (3 * hidden);
        let queries = to.len() / hidden;
        assert!(first_query + queries <= n, "{queries} queries from {first_query} on of {n}");
        let sizes = self.sizes(n, queries, mask.is_some()).filter(|_| queries > 0);
        let Some([keys, values, scores, _]) = sizes else { return };
        let (keys, rest) = scratch.split_at_mut(keys);
        let (values, rest) = rest.split_at_mut(values);
        let (scores, padded_mask) = rest.split_at_mut(scores);
        let stride = n.next_multiple_of(self.loops.lanes);
        if let Some(mask) = mask {
            for (row, to) in mask.chunks_exact(n).zip(padded_mask.chunks_exact_mut(stride)) {
                to[..n].copy_from_slice(row);
            }
        }

        for first in (0..hidden).step_by(head) {
            self.pack_keys(&qkv[hidden + first..], keys);
            self.pack_values(&qkv[2 * hidden + first..], values);
            let by_keys = Product {
                operands: Floats { bias: std::ptr::null() },
                a: qkv[first_query * 3 * hidden + first..].as_ptr(),
                a_stride: 3 * hidden,
                rows: queries,
                steps: head,
                b: keys.as_ptr(),
                n,
                activation: None,
                c: scores.as_mut_ptr(),
                c_stride: stride,
            };
            // SAFETY: a head of the queries, n packed keys, and a row of scores for each query.
            unsafe { (self.loops.narrow_product)(&by_keys) };
            for (i, row) in scores.chunks_exact_mut(stride).take(queries).enumerate() {
                let mask = match mask {
                    Some(_) => padded_mask[i * stride..][..stride].as_ptr(),
                    None => std::ptr::null(),
                };
                // SAFETY: both rows are as long as full registers.
                unsafe { (self.loops.softmax)(row.as_mut_ptr(), n, self.scale, mask) };
            }
            let by_values = Product {
                operands: Floats { bias: std::ptr::null() },
                a: scores.as_ptr(),
                a_stride: stride,
                rows: queries,
                steps: n,
                b: values.as_ptr(),
                n: head,
                activation: None,
                c: to[first..].as_mut_ptr(),
                c_stride: hidden,
            };
            // SAFETY: a row of n weights for each query, n packed values, and a head's columns of the queries.
            unsafe { (self.loops.narrow_product)(&by_values) };
        }
    }

    /// Keys become columns. What does not fill the last panel is left as it is: those scores are not kept.
    fn pack_keys(&self, keys: &[f32], to: &mut [f32]) {
        let (width, head) = (self.loops.narrow, self.head_size());
        let n = keys.len().div_ceil(3 * self.hidden);
        for (j, key) in keys.chunks(3 * self.hidden).enumerate().take(n) {
            let panel = &mut to[j / width * width * head..][..width * head];
            for (x, row) in key[..head].iter().zip(panel.chunks_exact_mut(width)) {
                row[j % width] = *x;
            }
        }
    }

    /// Values stay rows.
    fn pack_values(&self, values: &[f32], to: &mut [f32]) {
        let stride = 3 * self.hidden;
        crate::linear::pack(values, stride, self.head_size(), self.loops.narrow, to);
    }
}
