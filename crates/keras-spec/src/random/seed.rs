//! Seeds: `keras.random.SeedGenerator`, `keras.utils.set_random_seed` and the global state behind them.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::mersenne::{NumpyRandom, PythonRandom};
use super::threefry::Key;

/// A sequence of keys, a new one for every draw: `keras.random.SeedGenerator` of Keras 3.15.1.
///
/// The state is two words, `[seed, 0]` to begin with; drawing returns it and adds one to the second word. A clone
/// shares the state, as a second reference to the Python object does.
#[derive(Clone, Debug)]
pub struct SeedGenerator {
    seed: Option<u32>,
    state: Arc<Mutex<[u32; 2]>>,
}

impl SeedGenerator {
    /// A generator that starts from `seed`; without one, from [`make_default_seed`].
    pub fn new(seed: Option<u32>) -> Self {
        Self::starting_at(seed, seed.unwrap_or_else(make_default_seed))
    }

    fn starting_at(seed: Option<u32>, start: u32) -> Self {
        SeedGenerator { seed, state: Arc::new(Mutex::new([start, 0])) }
    }

    /// The seed this was made with, as its configuration stores it: `None` where the default was drawn.
    pub fn seed(&self) -> Option<u32> {
        self.seed
    }

    /// The current state, which the next draw will return.
    pub fn state(&self) -> [u32; 2] {
        *lock(&self.state)
    }

    /// Replaces the state, as loading a saved model does.
    pub fn set_state(&self, state: [u32; 2]) {
        *lock(&self.state) = state;
    }

    /// The next key.
    pub fn next(&self) -> Key {
        self.advance(|[seed, count]| [seed, count.wrapping_add(1)])
    }

    /// The next key of the sequence that Keras calls unordered: near-unique small numbers, `next(ordered=False)`.
    /// The global generator, which serves draws without a seed, uses it.
    pub fn next_unordered(&self) -> Key {
        self.advance(|state| state.map(|word| word.wrapping_add(1).wrapping_mul(5387) % 933_199))
    }

    fn advance(&self, step: impl Fn([u32; 2]) -> [u32; 2]) -> Key {
        let mut state = lock(&self.state);
        let drawn = *state;
        *state = step(drawn);
        Key(drawn)
    }
}

/// What Keras accepts as the `seed` argument of a random operation, other than `None`.
#[derive(Clone, Debug)]
pub enum Seed {
    /// An integer: every draw is the same.
    Int(u32),
    /// A generator: every draw is another.
    Generator(SeedGenerator),
}

impl From<u32> for Seed {
    fn from(seed: u32) -> Self {
        Seed::Int(seed)
    }
}

impl From<SeedGenerator> for Seed {
    fn from(generator: SeedGenerator) -> Self {
        Seed::Generator(generator)
    }
}

/// The key for a random operation with this `seed`: `draw_seed` of Keras 3.15.1. Without a seed it comes from the
/// global generator, which [`make_default_seed`] starts at its first use after [`set_random_seed`].
pub fn draw_seed(seed: Option<&Seed>) -> Key {
    match seed {
        Some(Seed::Int(seed)) => Key::from_seed(*seed),
        Some(Seed::Generator(generator)) => generator.next(),
        None => {
            let mut global = lock(&GLOBAL);
            let GlobalRandom { python, generator, .. } = &mut *global;
            generator
                .get_or_insert_with(|| SeedGenerator::starting_at(None, default_seed(python)))
                .next_unordered()
        }
    }
}

/// The seed of a layer or initializer made without one: `random.randint(1, 10**9)` from the global generator of
/// Python, which [`set_random_seed`] seeds.
pub fn make_default_seed() -> u32 {
    default_seed(&mut lock(&GLOBAL).python)
}

/// One of `len` things from the global generator of Python, `random.choice`, which [`set_random_seed`] seeds: its place.
pub fn global_choice(len: u32) -> u32 {
    lock(&GLOBAL).python.one_to(len) - 1
}

/// A random order of `0..len` from the global generator of NumPy, `numpy.random.permutation(len)`: the order in
/// which `fit` takes the samples of shuffled arrays.
pub fn global_permutation(len: usize) -> Vec<usize> {
    lock(&GLOBAL).numpy.permutation(len)
}

/// Seeds everything that is drawn without a seed of its own: `keras.utils.set_random_seed` of Keras 3.15.1.
///
/// Python's and NumPy's global generators start from `seed`, and the global [`SeedGenerator`] is forgotten. The seed
/// is 32 bits wide because NumPy takes no other.
///
/// A program that never calls this starts from the entropy of [`std::hash::RandomState`], so that nothing depends on
/// a source of randomness which a target may lack. On `wasm32-unknown-unknown` that is no entropy at all: runs there
/// differ only if they set different seeds.
pub fn set_random_seed(seed: u32) {
    *lock(&GLOBAL) = GlobalRandom::new(seed, seed);
}

/// What Keras keeps in the globals of Python, NumPy and itself.
struct GlobalRandom {
    python: PythonRandom,
    numpy: NumpyRandom,
    generator: Option<SeedGenerator>,
}

impl GlobalRandom {
    fn new(python_seed: u32, numpy_seed: u32) -> Self {
        GlobalRandom {
            python: PythonRandom::new(python_seed),
            numpy: NumpyRandom::new(numpy_seed),
            generator: None,
        }
    }
}

static GLOBAL: LazyLock<Mutex<GlobalRandom>> = LazyLock::new(|| {
    let entropy = RandomState::new().hash_one(0);
    Mutex::new(GlobalRandom::new((entropy >> 32) as u32, entropy as u32))
});

fn default_seed(python: &mut PythonRandom) -> u32 {
    python.one_to(1_000_000_000)
}

/// Locks; a panic elsewhere leaves numbers that are as random as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
