//! Numbers that lie on the boundaries of cache lines.

/// The numbers of a cache line, which is also the largest register.
const LINE: usize = 16;

/// Numbers from the start of a cache line on.
#[derive(Default)]
pub(crate) struct Aligned {
    /// Zeros that the system has ready need not be written; it promises no cache line, so some more are asked for.
    numbers: Vec<f32>,
    first: usize,
    len: usize,
}

impl Aligned {
    /// `n` zeros, and up to fifteen more.
    pub(crate) fn zeros(n: usize) -> Self {
        let len = n.div_ceil(LINE) * LINE;
        let numbers = vec![0.0_f32; len + LINE - 1];
        let first = numbers.as_ptr().align_offset(LINE * size_of::<f32>());
        Aligned { numbers, first, len }
    }

    /// At least `n` numbers, whatever they are.
    pub(crate) fn at_least(&mut self, n: usize) -> &mut [f32] {
        if self.len < n {
            *self = Aligned::zeros(n);
        }
        self.as_mut_slice()
    }

    /// Gives up what is over so many numbers.
    pub(crate) fn shrink_above(&mut self, n: usize) {
        if self.len > n {
            *self = Aligned::default();
        }
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.numbers[self.first..][..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.numbers[self.first..][..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let numbers = self.as_mut_slice();
        // SAFETY: numbers have no gaps, and any bytes are a number.
        unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
    }

    pub(crate) fn integers_mut(&mut self) -> &mut [i32] {
        let numbers = self.as_mut_slice();
        // SAFETY: integers are as long as numbers and aligned as they are, and any has the bits of a number.
        unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) }
    }
}
