//! Weights become integers in panels, row by row, along the columns.

use std::slice::ChunksExactMut;

use crate::isa::IntLoops;
use crate::math::ROUND;
use crate::simd::Integers;

/// Raises `largest` to the sizes of a row's numbers where they are larger. Where one is none, or infinite, it is NaN from
/// then on.
///
/// # Safety
///
/// That of [`Simd`](crate::simd::Simd). There are as many of `largest` as fill registers with the row.
#[inline(always)]
pub(crate) unsafe fn raise<S: Integers>(row: &[f32], largest: &mut [f32]) {
    let largest = largest.as_mut_ptr();
    // SAFETY: inside of what the caller promises.
    unsafe {
        each_register::<S>(row, |i, x| {
            let size = S::max(S::sub(S::splat(0.0), x), x);
            // Where one of both is NaN, the second is left.
            let raised = S::max(size, S::load(largest.add(i)));
            S::store(largest.add(i), S::add(raised, S::sub(x, x)));
        });
    }
}

/// What rows are rounded by and gathered in, each for all columns of the panels.
pub(crate) struct Gathered<'a> {
    inverses: &'a [f32],
    groups: Vec<u32>,
    sums: &'a mut [i32],
}

/// Rounds a row's numbers, times the inverses, to integers of eight bits, puts those into the groups, so many bits from their
/// lowest, and adds them to the sums.
///
/// # Safety
///
/// That of [`Simd`](crate::simd::Simd). There are as many columns as fill registers with the row.
#[inline(always)]
pub(crate) unsafe fn round<S: Integers>(row: &[f32], bits: u32, to: &mut Gathered<'_>) {
    let inverses = to.inverses.as_ptr();
    let (groups, sums) = (to.groups.as_mut_ptr(), to.sums.as_mut_ptr());
    // SAFETY: inside of what the caller promises.
    unsafe {
        each_register::<S>(row, |i, x| {
            // The lowest bits of such a sum are the integer, which is none where the scale is NaN. Rounded twice, so that
            // it is the same on each instruction set.
            let x = S::add(S::mul(x, S::load(inverses.add(i))), S::splat(ROUND));
            S::gather(x, bits, groups.add(i), sums.add(i));
        });
    }
}

/// A row's numbers, and the place of each first one; zeros fill the last register.
///
/// # Safety
///
/// That of [`Simd`](crate::simd::Simd).
#[inline(always)]
unsafe fn each_register<S: Integers>(row: &[f32], mut with: impl FnMut(usize, S::Vector)) {
    let whole = row.len() - row.len() % S::LANES;
    let mut last = [0.0; 16];
    last[..row.len() - whole].copy_from_slice(&row[whole..]);
    // Called at one place, or it would be a function of its own, without the instructions.
    for i in (0..row.len()).step_by(S::LANES) {
        let from = if i < whole { row[i..].as_ptr() } else { last.as_ptr() };
        // SAFETY: a register of the row, or the copy.
        with(i, unsafe { S::load(from) });
    }
}

/// Puts the integers of `(inputs, outputs)` weights into panels of so many bytes, in groups, and adds them to the sums of
/// their columns.
pub(super) fn pack(
    loops: &IntLoops,
    weights: &[f32],
    outputs: usize,
    inverses: &[f32],
    panel_bytes: usize,
    (panels, sums): (&mut [u8], &mut [i32]),
) {
    let (group, width) = (loops.group, loops.width);
    let mut to = Gathered { inverses, groups: vec![0; inverses.len()], sums };
    for (k, rows) in weights.chunks(group * outputs).enumerate() {
        to.groups.fill(0);
        for (row, bits) in rows.chunks_exact(outputs).zip((0..).step_by(8)) {
            // SAFETY: the inverses, groups and sums are as many as the panels' columns, and those fill registers.
            unsafe { (loops.round)(row, bits, &mut to) };
        }
        let panels = panels.chunks_exact_mut(panel_bytes);
        match group {
            2 => place::<2>(&to.groups, width, panels, k * width * 2),
            _ => place::<4>(&to.groups, width, panels, k * width * 4),
        }
    }
}

/// Puts `width` groups into each of the panels, at the byte `at`. A function of its own, so that WebAssembly's engines, which
/// begin without optimising, have it optimised when the next rows come.
#[inline(never)]
fn place<const GROUP: usize>(
    groups: &[u32],
    width: usize,
    panels: ChunksExactMut<'_, u8>,
    at: usize,
) {
    for (panel, groups) in panels.zip(groups.chunks_exact(width)) {
        let places = panel[at..][..width * GROUP].as_chunks_mut::<GROUP>().0;
        for (place, group) in places.iter_mut().zip(groups) {
            place.copy_from_slice(&group.to_le_bytes()[..GROUP]);
        }
    }
}
