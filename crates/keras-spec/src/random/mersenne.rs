//! The global generators of CPython and NumPy, as far as Keras draws from them.

use rand_mt::Mt;

/// CPython's `random.Random`.
#[derive(Clone, Debug)]
pub(super) struct PythonRandom(Mt);

impl PythonRandom {
    /// `random.seed(seed)`.
    pub(super) fn new(seed: u32) -> Self {
        PythonRandom(Mt::new_with_key([seed]))
    }

    /// `random.randint(1, count)`.
    pub(super) fn one_to(&mut self, count: u32) -> u32 {
        let unused_bits = count.leading_zeros();
        loop {
            let below = self.0.next_u32() >> unused_bits;
            if below < count {
                return below + 1;
            }
        }
    }
}

/// NumPy's legacy `numpy.random.RandomState`.
#[derive(Clone, Debug)]
pub(super) struct NumpyRandom(Mt);

impl NumpyRandom {
    /// `numpy.random.seed(seed)`.
    pub(super) fn new(seed: u32) -> Self {
        NumpyRandom(Mt::new(seed))
    }

    /// `numpy.random.permutation(len)`.
    pub(super) fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.up_to(last as u64) as usize);
        }
        order
    }

    /// An integer uniform in `[0, max]`.
    fn up_to(&mut self, max: u64) -> u64 {
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let bits = if max > u64::from(u32::MAX) { self.0.next_u64() } else { self.0.next_u32().into() };
            if bits & mask <= max {
                return bits & mask;
            }
        }
    }
}
