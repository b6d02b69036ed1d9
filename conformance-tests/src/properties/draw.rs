//! Generated instances: a sequence of choices decides everything about one, and smaller choices make a simpler one, so that
//! shrinking the choices shrinks the instance.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::kinds::{Failure, Result};
use crate::suite::Ran;

/// More choices than any instance takes.
const CHOICES: usize = 64;

/// A sequence of choices that is being used up; after its end every choice is the simplest.
pub(crate) struct Draw<'a>(std::slice::Iter<'a, u16>);

impl<'a> Draw<'a> {
    pub(crate) fn new(choices: &'a [u16]) -> Self {
        Draw(choices.iter())
    }

    /// Any number of 16 bits: few enough that shrinking gets to the end.
    pub(crate) fn bits(&mut self) -> u16 {
        self.0.next().copied().unwrap_or(0)
    }

    /// A number below `n`, which is not 0; simplest is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (usize::from(self.bits()) * n) >> 16
    }

    /// One of several values; simplest is the first.
    pub(crate) fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }

    /// Yes or no; simplest is no.
    pub(crate) fn chance(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// The generator of a test: the same instances in every run.
fn rng(id: &str) -> TestRng {
    // FNV-1a, spread over the seed.
    let hash =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut seed = [0; 32];
    seed.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&hash.to_le_bytes()));
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}

/// Checks that `test` holds for generated choices, and gives the largest error that it reports. A failure is that of the
/// simplest choices that were found to fail.
pub(crate) fn hold(id: &str, cases: u32, test: impl Fn(&mut Draw<'_>) -> Result<f64>) -> Ran {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 4000, verbose: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng(id));
    let worst = Cell::new(0.0f64);
    let found = runner.run(&vec(any::<u16>(), CHOICES), |choices| {
        let error = test(&mut Draw::new(&choices)).map_err(|f| TestCaseError::fail(f.to_string()))?;
        worst.set(worst.get().max(error));
        Ok(())
    });
    let result = match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, choices)) => match test(&mut Draw::new(&choices)) {
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::Mismatch(format!("fails, but not every time: {reason}"))),
        },
        Err(TestError::Abort(reason)) => Err(Failure::Mismatch(reason.to_string())),
    };
    (result, worst.get())
}

/// The first `count` instances that [`hold`] would be given, or some like them.
pub(crate) fn samples<T>(id: &str, count: usize, make: impl Fn(&mut Draw<'_>) -> T) -> Vec<T> {
    use proptest::prelude::Rng;
    let mut rng = rng(id);
    let mut sample = || -> Vec<u16> { (0..CHOICES).map(|_| rng.next_u32() as u16).collect() };
    (0..count).map(|_| make(&mut Draw::new(&sample()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_shrink_and_repeat() {
        let test = |draw: &mut Draw<'_>| match draw.below(1000) {
            n if n >= 77 => Err(Failure::Mismatch(n.to_string())),
            _ => Ok(0.5),
        };
        let (result, _) = hold("a", 32, test);
        assert_eq!(result.unwrap_err().to_string(), "77");
        assert!(matches!(hold("a", 32, |_| Ok(0.25)), (Ok(()), 0.25)));
    }

    #[test]
    fn samples_differ_by_id_only() {
        let of = |id: &str| samples(id, 4, |draw| draw.bits());
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(Draw::new(&[]).below(5), 0);
    }
}
