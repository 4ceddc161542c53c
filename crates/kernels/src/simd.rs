//! What the encoder's loops ask of an instruction set.

pub(crate) mod lanes4;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// A register of `f32` and what can be done with it.
///
/// All functions are inlined into one that has the instruction set enabled, which is why none of them
/// can say so itself.
///
/// # Safety
///
/// Of every function: the instruction set is there, and pointers are valid for [`LANES`](Self::LANES) numbers.
/// They need not be aligned.
pub(crate) trait Simd {
    type Vector: Copy;
    const LANES: usize;
    /// How many steps of a row a product reads at once. One, where to spread it from memory is as fast as to read it;
    /// as many as a register has lanes, where products take a lane.
    const STEPS: usize = 1;

    unsafe fn splat(x: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, x: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the instruction set can.
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// [`STEPS`](Self::STEPS) steps of a row.
    #[inline(always)]
    unsafe fn load_steps(from: *const f32) -> Self::Vector {
        // SAFETY: as the caller promises.
        unsafe { Self::splat(*from) }
    }
    /// As [`mul_add`](Self::mul_add), where `a` is one of the steps that were read.
    #[inline(always)]
    unsafe fn mul_step_add<const STEP: i32>(
        a: Self::Vector,
        b: Self::Vector,
        c: Self::Vector,
    ) -> Self::Vector {
        // SAFETY: as the caller promises.
        unsafe { Self::mul_add(a, b, c) }
    }
    /// Adds the lowest bits of `power`, an integer, to the exponent of `x`.
    unsafe fn add_to_exponent(x: Self::Vector, power: Self::Vector) -> Self::Vector;

    /// Asks for a cache line that will be needed soon, where there is an instruction for that. Any address will do.
    #[inline(always)]
    fn prefetch(_: *const f32) {}

    /// All lanes folded into one number, in a fixed order.
    #[inline(always)]
    unsafe fn fold(x: Self::Vector, with: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0; 16];
        // SAFETY: no register has more than sixteen lanes.
        unsafe { Self::store(lanes.as_mut_ptr(), x) };
        let mut width = Self::LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] = with(lanes[i], lanes[i + width]);
            }
        }
        lanes[0]
    }
}

/// What products in integers ask of an instruction set, beside its registers of `f32`.
///
/// # Safety
///
/// As of [`Simd`].
pub(crate) trait Integers: Simd {
    /// A register of integers.
    type Register: Copy;
    /// How many products are added up to one sum at once: four of bytes, or two of 16 bits.
    const GROUP: usize;
    /// The least integer of a row, of 256: zero, or -128, where products of bytes take both for signed.
    const LEAST: i32 = 0;

    /// The integers of a group on all lanes.
    unsafe fn spread(group: i32) -> Self::Register;
    /// A group of weights for each lane.
    unsafe fn load_weights(from: *const i8) -> Self::Register;
    /// The products of a row's integers by weights, added to sums of 32 bits, which may wrap around. In groups of four the
    /// integers of a row are [`LEAST`](Self::LEAST) and more.
    unsafe fn dot(
        row: Self::Register,
        weights: Self::Register,
        sums: Self::Register,
    ) -> Self::Register;
    /// [`STEPS`](Simd::STEPS) groups of a row.
    #[inline(always)]
    unsafe fn load_groups(from: *const i32) -> Self::Register {
        // SAFETY: as the caller promises.
        unsafe { Self::spread(*from) }
    }
    /// As [`dot`](Self::dot), of one of the groups that were read.
    #[inline(always)]
    unsafe fn dot_step<const STEP: i32>(
        row: Self::Register,
        weights: Self::Register,
        sums: Self::Register,
    ) -> Self::Register {
        // SAFETY: as the caller promises.
        unsafe { Self::dot(row, weights, sums) }
    }
    /// `a - b * c` in 32 bits, where `c` points to one integer for each lane; as numbers.
    unsafe fn minus_product(a: Self::Register, b: i32, c: *const i32) -> Self::Vector;
    /// Writes the lowest bits of each lane, one of 256 integers from [`LEAST`](Self::LEAST) on, as groups have them.
    unsafe fn store_integers(x: Self::Vector, to: *mut u8);
    /// Takes the lowest eight bits of each lane, which are signed: adds them to `sums`, and puts them into `groups`, so many
    /// bits from the lowest, where there are none yet.
    unsafe fn gather(x: Self::Vector, bits: u32, groups: *mut u32, sums: *mut i32);
}

/// An instruction set that multiplies integers of 16 bits, in groups of two: what it multiplies may be sums of bytes.
///
/// # Safety
///
/// As of [`Simd`], of integers of 16 bits (`words`), of which a register has two for each lane, or of 32 (`sums`).
pub(crate) trait Words: Integers {
    unsafe fn load_words(from: *const i16) -> Self::Register;
    unsafe fn store_words(to: *mut i16, words: Self::Register);
    unsafe fn add_words(a: Self::Register, b: Self::Register) -> Self::Register;
    unsafe fn sub_words(a: Self::Register, b: Self::Register) -> Self::Register;
    unsafe fn load_sums(from: *const i32) -> Self::Register;
    unsafe fn store_sums(to: *mut i32, sums: Self::Register);
    unsafe fn add_sums(a: Self::Register, b: Self::Register) -> Self::Register;
    unsafe fn sub_sums(a: Self::Register, b: Self::Register) -> Self::Register;
}
