//! The one place where threads and instruction sets are chosen.
//!
//! # Rule
//! No result depends on the number of threads. Callers split work by shape, never by [`threads`], and combine
//! partial results in a fixed order ([`tree_reduce`]). That is why no helper here hands out a number of parts.
//!
//! # How to use it
//! Cut the output into pieces, zip what belongs together, and give the estimated work, so that small calls stay on
//! the caller's thread:
//!
//! ```
//! use keras_kernels::par;
//! let (x, mut y) = (vec![1.0f32; 1000], vec![0.0f32; 1000]);
//! let work = x.len();
//! par::for_each(y.chunks_mut(256).zip(x.chunks(256)), work, |(y, x)| {
//!     par::simd!(y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x))
//! });
//! assert!(y.iter().all(|&y| y == 2.0));
//! ```

use std::mem::MaybeUninit;
#[cfg(feature = "threads")]
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Below this many elementary operations (one multiply-add, or one element moved) a second thread costs more
/// than it brings: waking it takes several microseconds.
pub const MIN_PARALLEL_WORK: usize = 1 << 16;

/// A chunk of this many elements keeps an element-wise kernel busy for about ten microseconds and fits the L1/L2
/// cache: the default grain for cutting long slices.
pub const CHUNK: usize = 1 << 14;

/// `simd!(expression)` computes the expression with loops compiled for the best instruction set of this machine.
///
/// They are compiled once per instruction set and vectorised by the compiler, provided that all functions they call are
/// inlined: mark them `#[inline(always)]`, as this macro does with the expression itself (a closure that is called once
/// per instruction set would else stay a function of its own, for the oldest processor). Additions are never reordered
/// and never fused with multiplications.
#[macro_export]
macro_rules! simd {
    ($op:expr) => {
        $crate::par::dispatch(
            #[inline(always)]
            || $op,
        )
    };
}

pub use crate::simd;

/// What [`simd!`] calls.
#[doc(hidden)]
#[inline(always)]
pub fn dispatch<R>(op: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(op)
}

/// How many threads kernels called from here run on: `KERAS_THREADS` (read once; a positive number), else the number
/// of cores; inside [`with_threads`] what that says; always 1 without the feature `threads`.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return pool::threads();
    #[cfg(not(feature = "threads"))]
    1
}

/// Runs `op` with kernels on `count` threads (on one where the threads cannot be started).
pub fn with_threads<R: Send>(count: usize, op: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "threads")]
    if let Some(pool) = pool::build(count.max(1)) {
        return pool.install(op);
    }
    let _ = count;
    op()
}

/// Calls `op` with every item, on several threads if `work` (elementary operations of all items together) is worth it.
pub fn for_each<I>(items: I, work: usize, op: impl Fn(I::Item) + Send + Sync)
where
    I: IntoIterator<Item: Send>,
{
    for_each_init(items, work, || (), |(), item| op(item));
}

/// [`for_each`] with a scratch value that is made once for many items, such as a buffer. Its content must not
/// influence the result.
pub fn for_each_init<I, S>(
    items: I,
    work: usize,
    init: impl Fn() -> S + Send + Sync,
    op: impl Fn(&mut S, I::Item) + Send + Sync,
) where
    I: IntoIterator<Item: Send>,
{
    #[cfg(feature = "threads")]
    if work >= MIN_PARALLEL_WORK && threads() > 1 {
        let shares = shares(items);
        return pool::share_out(shares.len(), &|next| {
            let mut scratch = init();
            while let Some(i) = next() {
                taken(&shares[i]).into_iter().for_each(|item| op(&mut scratch, item));
            }
        });
    }
    let _ = work;
    let mut scratch = init();
    items.into_iter().for_each(|item| op(&mut scratch, item));
}

/// The results of `op` for every item, in the items' order, computed as by [`for_each`].
pub fn map<I, R: Send>(items: I, work: usize, op: impl Fn(I::Item) -> R + Send + Sync) -> Vec<R>
where
    I: IntoIterator<Item: Send>,
{
    map_init(items, work, || (), |(), item| op(item))
}

/// [`map`] with a scratch value, as in [`for_each_init`].
pub fn map_init<I, S, R: Send>(
    items: I,
    work: usize,
    init: impl Fn() -> S + Send + Sync,
    op: impl Fn(&mut S, I::Item) -> R + Send + Sync,
) -> Vec<R>
where
    I: IntoIterator<Item: Send>,
{
    #[cfg(feature = "threads")]
    if work >= MIN_PARALLEL_WORK && threads() > 1 {
        let shares = shares(items);
        let results: Vec<_> = shares.iter().map(|_| Mutex::new(Vec::new())).collect();
        pool::share_out(shares.len(), &|next| {
            let mut scratch = init();
            while let Some(i) = next() {
                let done = taken(&shares[i]).into_iter().map(|item| op(&mut scratch, item)).collect();
                *locked(&results[i]) = done;
            }
        });
        return results.iter().flat_map(taken).collect();
    }
    let _ = work;
    let mut scratch = init();
    items.into_iter().map(|item| op(&mut scratch, item)).collect()
}

/// Items in their order, in enough parts to keep every thread busy until the end.
#[cfg(feature = "threads")]
fn shares<I: IntoIterator>(items: I) -> Vec<Mutex<Vec<I::Item>>> {
    const PER_THREAD: usize = 8;
    let mut items: Vec<_> = items.into_iter().collect();
    let size = items.len().div_ceil(threads() * PER_THREAD).max(1);
    let mut shares = Vec::with_capacity(items.len().div_ceil(size));
    while !items.is_empty() {
        // From the end, so that nothing moves twice.
        let last = (items.len() - 1) / size * size;
        shares.push(Mutex::new(items.split_off(last)));
    }
    shares.reverse();
    shares
}

#[cfg(feature = "threads")]
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "threads")]
fn taken<T>(share: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut locked(share))
}

/// A vector of `len` elements, of which `write` sets piece after piece: it is given a piece's number and its [`CHUNK`]
/// elements (the last piece may be shorter).
///
/// Every piece holds defaults before, set just then: in the cache, not in one pass through memory as in `vec![0.0; len]`.
pub fn collect_pieces<T>(len: usize, work: usize, write: impl Fn(usize, &mut [T]) + Send + Sync) -> Vec<T>
where
    T: Copy + Default + Send,
{
    let mut all = Vec::with_capacity(len);
    let pieces = all.spare_capacity_mut()[..len].chunks_mut(CHUNK);
    for_each(pieces.enumerate(), work, |(i, piece)| write(i, initialized(piece)));
    // SAFETY: there is capacity for `len` elements, and each was initialized as part of its piece.
    unsafe { all.set_len(len) };
    all
}

fn initialized<T: Copy + Default>(piece: &mut [MaybeUninit<T>]) -> &mut [T] {
    piece.fill(MaybeUninit::new(T::default()));
    // SAFETY: all elements were initialized above, and `MaybeUninit<T>` has the layout of `T`.
    unsafe { &mut *(std::ptr::from_mut(piece) as *mut [T]) }
}

/// Runs both, at the same time if `work` (elementary operations of both together) is worth it.
pub fn join<A: Send, B: Send>(
    work: usize,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    #[cfg(feature = "threads")]
    if work >= MIN_PARALLEL_WORK && threads() > 1 {
        return pool::install(|| rayon::join(a, b));
    }
    let _ = work;
    (a(), b())
}

/// Combines neighbours until one is left: the order depends on nothing but the number of parts, and rounding errors
/// grow with its logarithm. `None` if there are no parts.
pub fn tree_reduce<T>(mut parts: Vec<T>, combine: impl Fn(T, T) -> T) -> Option<T> {
    while parts.len() > 1 {
        let mut rest = parts.into_iter();
        let mut next = Vec::with_capacity(rest.len().div_ceil(2));
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => combine(left, right),
                None => left,
            });
        }
        parts = next;
    }
    parts.pop()
}

/// Runs `op` on a thread of the pool, for libraries that use rayon themselves.
#[cfg(feature = "threads")]
pub(crate) fn install<R: Send>(op: impl FnOnce() -> R + Send) -> R {
    pool::install(op)
}

#[cfg(feature = "threads")]
mod pool {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rayon::{ThreadPool, ThreadPoolBuilder};

    thread_local! {
        /// On a worker of one of our pools, its number of threads; elsewhere 0.
        static WORKER_OF: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn build(count: usize) -> Option<ThreadPool> {
        ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("keras-{i}"))
            .start_handler(move |_| WORKER_OF.set(count))
            .build()
            .ok()
    }

    /// The pool for callers that are not workers themselves; `None` for one thread.
    fn global() -> Option<&'static ThreadPool> {
        static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
        POOL.get_or_init(|| {
            let wanted = std::env::var("KERAS_THREADS").ok().and_then(|v| v.trim().parse().ok());
            let cores = || std::thread::available_parallelism().map_or(1, usize::from);
            let count = wanted.filter(|&n| n > 0).unwrap_or_else(cores);
            if count > 1 { build(count) } else { None }
        })
        .as_ref()
    }

    pub(super) fn threads() -> usize {
        match WORKER_OF.get() {
            0 => global().map_or(1, ThreadPool::current_num_threads),
            count => count,
        }
    }

    /// Gives the next number, until there are no more.
    type Draw<'a> = &'a mut dyn FnMut() -> Option<usize>;

    /// Runs `worker` on every thread; together they draw the numbers below `count` from what they are given.
    ///
    /// It comes as a trait object so that rayon is compiled once, not for every kernel.
    pub(super) fn share_out(count: usize, worker: &(dyn Fn(Draw<'_>) + Sync)) {
        let drawn = AtomicUsize::new(0);
        let work = || worker(&mut || Some(drawn.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < count));
        install(|| on_each(threads().min(count), &work));
    }

    fn on_each(threads: usize, work: &(dyn Fn() + Sync)) {
        if threads <= 1 {
            return work();
        }
        let half = threads / 2;
        rayon::join(|| on_each(half, work), || on_each(threads - half, work));
    }

    pub(super) fn install<R: Send>(op: impl FnOnce() -> R + Send) -> R {
        match if WORKER_OF.get() == 0 { global() } else { None } {
            Some(pool) => pool.install(op),
            None => op(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once_and_in_order() {
        for count in [1, 3] {
            with_threads(count, || {
                let mut out = vec![0usize; 1000];
                for_each(out.chunks_mut(7).enumerate(), usize::MAX, |(i, chunk)| {
                    chunk.iter_mut().enumerate().for_each(|(j, v)| *v += i * 7 + j);
                });
                assert!(out.iter().enumerate().all(|(i, &v)| i == v));
                let squares = map(0..1000usize, usize::MAX, |i| i * i);
                assert!(squares.iter().enumerate().all(|(i, &v)| i * i == v));
                assert_eq!(join(usize::MAX, || 1, || 2), (1, 2));
            });
        }
    }

    #[test]
    #[cfg(feature = "threads")]
    fn with_threads_sets_the_number_for_nested_calls_too() {
        with_threads(3, || {
            assert_eq!(threads(), 3);
            assert!(map(0..8, usize::MAX, |_| threads()).into_iter().all(|n| n == 3));
        });
        assert_eq!(with_threads(1, threads), 1);
    }

    #[test]
    fn pieces_are_collected_in_order_and_start_with_defaults() {
        for (count, len) in [(1, 0), (1, 1), (2, CHUNK), (3, 3 * CHUNK + 5)] {
            let found = with_threads(count, || {
                collect_pieces(len, usize::MAX, |i, piece: &mut [usize]| {
                    assert!(piece.iter().all(|&v| v == 0));
                    // What is not written stays the default.
                    piece.iter_mut().enumerate().skip(1).for_each(|(j, v)| *v = i * CHUNK + j);
                })
            });
            assert!(found.iter().enumerate().all(|(i, &v)| v == if i % CHUNK == 0 { 0 } else { i }));
            assert_eq!(found.len(), len);
        }
    }

    #[test]
    fn tree_reduce_pairs_neighbours() {
        let parts = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        assert_eq!(tree_reduce(parts, |a, b| format!("({a}{b})")).as_deref(), Some("(((ab)(cd))e)"));
        assert_eq!(tree_reduce(Vec::<u8>::new(), |a, _| a), None);
    }
}
