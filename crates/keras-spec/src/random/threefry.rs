//! Threefry-2x32 with twenty rounds, and the key handling of JAX.
//!
//! The counter of an element is its position in row-major order, split into two 32-bit halves: what JAX calls
//! `jax_threefry_partitionable` (on by default). An element's bits thus depend on the key and on its position
//! alone, never on the shape, the number of threads or the elements around it.

/// The rotation distances, four rounds of each in turn.
const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];

/// The parity word of the Threefish key schedule, as Threefry-2x32 uses it.
const PARITY: u32 = 0x1BD1_1BDA;

/// Elements drawn together; the counters are independent, so the compiler vectorises over them.
const LANES: usize = 64;

/// A Threefry-2x32 key: two 32-bit words, JAX's raw `uint32[2]` key.
///
/// The state of a Keras seed generator *is* such a key: the integer seed `s` stands for `[s, 0]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key(pub [u32; 2]);

impl Key {
    /// The key Keras uses for the integer `seed`: `[seed, 0]` (`draw_seed` of Keras 3.15.1).
    ///
    /// This is not `jax.random.PRNGKey(seed)`, which is `[0, seed]`.
    pub const fn from_seed(seed: u32) -> Self {
        Key([seed, 0])
    }

    /// `N` keys independent of each other and of this one (`jax.random.split(key, N)`).
    pub fn split<const N: usize>(self) -> [Key; N] {
        std::array::from_fn(|i| self.child(i as u64))
    }

    /// A key that depends on this one and on `data` (`jax.random.fold_in`).
    pub fn fold_in(self, data: u32) -> Key {
        self.child(u64::from(data))
    }

    fn child(self, counter: u64) -> Key {
        let (first, second) = hash(self, counter);
        Key([first, second])
    }
}

/// Unsigned integers that [`random_bits`] draws: `u8`, `u16`, `u32` and `u64`.
pub trait RandomBits: Copy + sealed::Sealed {
    /// The bits of one element from the two words that its counter hashes to.
    #[doc(hidden)]
    fn from_words(first: u32, second: u32) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

impl RandomBits for u8 {
    fn from_words(first: u32, second: u32) -> Self {
        (first ^ second) as u8
    }
}

impl RandomBits for u16 {
    fn from_words(first: u32, second: u32) -> Self {
        (first ^ second) as u16
    }
}

impl RandomBits for u32 {
    fn from_words(first: u32, second: u32) -> Self {
        first ^ second
    }
}

impl RandomBits for u64 {
    fn from_words(first: u32, second: u32) -> Self {
        u64::from(first) << 32 | u64::from(second)
    }
}

/// `len` uniformly distributed integers: `jax.random.bits(key, shape)` for any shape of `len` elements, in row-major
/// order.
pub fn random_bits<B: RandomBits>(key: Key, len: usize) -> Vec<B> {
    map_bits(key, len, |bits| bits)
}

/// `len` elements, each a function of its random bits; the bits themselves are never stored.
pub(super) fn map_bits<B: RandomBits, T>(key: Key, len: usize, f: impl Fn(B) -> T) -> Vec<T> {
    let mut out = Vec::with_capacity(len);
    let mut start = 0u64;
    while out.len() < len {
        let mut bits = [B::from_words(0, 0); LANES];
        for (lane, bits) in bits.iter_mut().enumerate() {
            let (first, second) = hash(key, start + lane as u64);
            *bits = B::from_words(first, second);
        }
        let wanted = LANES.min(len - out.len());
        out.extend(bits[..wanted].iter().map(|&b| f(b)));
        start += LANES as u64;
    }
    out
}

/// The Threefry-2x32-20 block function on a 64-bit counter.
///
/// Straight-line code once unrolled, so that a loop over counters vectorises.
#[inline(always)]
fn hash(Key([k0, k1]): Key, counter: u64) -> (u32, u32) {
    let schedule = [k0, k1, k0 ^ k1 ^ PARITY];
    let mut x0 = ((counter >> 32) as u32).wrapping_add(k0);
    let mut x1 = (counter as u32).wrapping_add(k1);
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            x0 = x0.wrapping_add(x1);
            x1 = x0 ^ x1.rotate_left(rotation);
        }
        x0 = x0.wrapping_add(schedule[(group + 1) % 3]);
        x1 = x1.wrapping_add(schedule[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    (x0, x1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors published with Random123 (`kat_vectors`, threefry2x32, 20 rounds).
    #[test]
    fn agrees_with_the_published_vectors() {
        let hash = |key, counter: [u32; 2]| {
            let (first, second) = super::hash(Key(key), u64::from(counter[0]) << 32 | u64::from(counter[1]));
            [first, second]
        };
        assert_eq!(hash([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(hash([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(hash([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn an_element_depends_on_its_position_alone() {
        let long = random_bits::<u64>(Key::from_seed(7), 1000);
        for len in [0, 1, LANES - 1, LANES, LANES + 1, 999] {
            assert_eq!(random_bits::<u64>(Key::from_seed(7), len), long[..len]);
        }
    }
}
