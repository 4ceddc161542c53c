//! Numbers that lie on the boundaries of cache lines.

/// One cache line, which is also the largest register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; Line::LEN]);

impl Line {
    const LEN: usize = 16;
}

/// Numbers from the start of a cache line on.
#[derive(Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `n` zeros, and up to fifteen more.
    pub(crate) fn zeros(n: usize) -> Self {
        Aligned { lines: vec![Line([0.0; Line::LEN]); n.div_ceil(Line::LEN)] }
    }

    /// At least `n` numbers, whatever they are.
    pub(crate) fn at_least(&mut self, n: usize) -> &mut [f32] {
        if self.lines.len() * Line::LEN < n {
            *self = Aligned::zeros(n);
        }
        self.as_mut_slice()
    }

    /// Gives up what is over so many numbers.
    pub(crate) fn shrink_above(&mut self, n: usize) {
        if self.lines.len() * Line::LEN > n {
            *self = Aligned::default();
        }
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: lines are arrays of numbers, without gaps.
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * Line::LEN)
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        let n = self.lines.len() * Line::LEN;
        // SAFETY: lines are arrays of numbers, without gaps.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = size_of_val(self.lines.as_slice());
        // SAFETY: lines are arrays of numbers, without gaps, and any bytes are a number.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), bytes) }
    }

    pub(crate) fn integers_mut(&mut self) -> &mut [i32] {
        let n = self.lines.len() * Line::LEN;
        // SAFETY: lines are arrays of numbers, without gaps, and any integer has the bits of a number.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), n) }
    }
}
