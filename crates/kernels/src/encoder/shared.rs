//! A block for one text or image by several threads.

use std::cell::RefCell;

use super::{Block, MOST_KEPT, Precision, Scratch, alone, parts};
use crate::linear::{Linear, Shared};
use crate::memory::Aligned;
use crate::team::{self, Team};

/// The fewest tokens for each thread with which tokens are shared out; of fewer, reading the weights takes most of the time,
/// and it is those that are shared. Measured on two threads, where both took as long for twice as many tokens.
const LEAST_TOKENS: usize = 32;

/// In a precision for which each thread rounds all rows of what it multiplies; and the fewest that a share may have.
const LEAST_TOKENS_ROUNDED: usize = 16;

thread_local! {
    /// What the threads that work on one text have in common.
    static SHARED: RefCell<Aligned> = RefCell::default();
}

impl Block {
    /// Runs one text or image as [`run`](Self::run) does, bit for bit, by the threads of a team. Of a long one each
    /// takes some of the tokens; of a short one, whose time is that of reading the weights, some of those.
    ///
    /// # Panics
    ///
    /// If a length is not as said.
    pub fn run_by(&self, team: &dyn Team, tokens: &[f32], output: &mut [f32]) {
        let n = tokens.len() / self.hidden;
        self.check(tokens, n, output);
        let least = match self.precision {
            Precision::Fp32 => LEAST_TOKENS,
            Precision::Bf16 | Precision::Int8 => LEAST_TOKENS_ROUNDED,
        };
        let threads = team.size();
        // Where there are more threads than panels, tokens may have more shares.
        let by_weights = threads.min(self.output.panels());
        let by_tokens = threads.min(n / LEAST_TOKENS_ROUNDED);
        if threads < 2 || n == 0 {
            self.run(tokens, None, output);
        } else if n / threads < least && by_weights >= by_tokens {
            self.run_by_weights(team, by_weights, tokens, output);
        } else {
            self.run_by_tokens(team, by_tokens, tokens, output);
        }
    }

    fn run_by_tokens(&self, team: &dyn Team, shares: usize, tokens: &[f32], output: &mut [f32]) {
        let hidden = self.hidden;
        let n = tokens.len() / hidden;
        let share_of = n.div_ceil(shares);
        let share = share_of * hidden;
        // Taken out of its cell: a thread that waits for the others may be given other work of this kind.
        let mut shared = SHARED.take();
        let [qkv] = parts(&mut shared, [self.room(n, 3 * hidden)]);
        let parts = tokens.chunks(share).zip(qkv.chunks_mut(3 * share));
        team::share(team, parts, |(tokens, qkv)| {
            let n = tokens.len() / hidden;
            self.with_scratch(n, Some(0), |Scratch { normed, inner, .. }| {
                self.project(tokens, normed, qkv, &mut alone(n, inner));
            });
        });
        let qkv = &*qkv;
        let parts = tokens.chunks(share).zip(output.chunks_mut(share)).enumerate();
        team::share(team, parts, |(i, (tokens, output))| {
            let queries = tokens.len() / hidden;
            let attention = self.attention.scratch(n, queries, false);
            self.with_scratch(queries, attention, |Scratch { normed, sums, wide, inner }| {
                self.attention.run(qkv, i * share_of, None, inner, normed);
                self.finish(tokens, [normed, sums, wide], output, &mut alone(queries, inner));
            });
        });
        shared.shrink_above(MOST_KEPT);
        SHARED.set(shared);
    }

    fn run_by_weights(&self, team: &dyn Team, shares: usize, tokens: &[f32], output: &mut [f32]) {
        let hidden = self.hidden;
        let n = tokens.len() / hidden;
        let mut shared = SHARED.take();
        let sizes = [hidden, hidden, (3 * hidden).max(self.up.outputs())];
        let [normed, sums, wide] = parts(&mut shared, sizes.map(|size| self.room(n, size)));
        let mut product = |of: &Linear, rows: &[f32], activation, to: &mut [f32]| {
            let to = Shared::of(to);
            team::share(team, 0..shares, |part| {
                self.with_scratch(n, Some(0), |Scratch { inner, .. }| {
                    // SAFETY: each part is worked on once.
                    unsafe { of.run_part(n, rows, activation, &to, inner, (part, shares)) }
                });
            });
        };
        let qkv = &mut wide[..n * 3 * hidden];
        self.project(tokens, normed, qkv, &mut product);
        let qkv = &*qkv;
        let share_of = n.div_ceil(shares);
        let parts = normed.chunks_mut(share_of * hidden).enumerate();
        team::share(team, parts, |(i, normed)| {
            let attention = self.attention.scratch(n, normed.len() / hidden, false);
            self.with_scratch(0, attention, |Scratch { inner, .. }| {
                self.attention.run(qkv, i * share_of, None, inner, normed);
            });
        });
        self.finish(tokens, [normed, sums, wide], output, &mut product);
        shared.shrink_above(MOST_KEPT);
        SHARED.set(shared);
    }
}
