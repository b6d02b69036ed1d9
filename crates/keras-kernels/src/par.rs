//! The one place where threads and instruction sets are chosen.
//!
//! # Rule
//! No result depends on the number of threads. Callers split work by shape, and combine partial results in a fixed order
//! ([`tree_reduce`]). Only where a cut changes the order of no sum, as between rows and columns of a matrix product that stays
//! wide enough, may [`threads`] decide where it is.
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

#[cfg(feature = "threads")]
mod team;

use std::convert::Infallible;
#[cfg(feature = "threads")]
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::output::{self, Output};

/// Below this many elementary operations (one multiply-add, or one element moved) a second thread costs more
/// than it brings: waking it takes from several microseconds to fifty.
pub const MIN_PARALLEL_WORK: usize = 1 << 18;

/// A chunk of this many elements keeps an element-wise kernel busy for about ten microseconds and fits the L1/L2
/// cache: the default grain for cutting long slices.
pub const CHUNK: usize = 1 << 14;

/// `simd!(expression)` computes the expression with loops compiled for the best instruction set of this machine.
///
/// They are compiled once per instruction set and vectorised by the compiler, provided that all functions they call are
/// inlined: mark them `#[inline(always)]`, as this macro does with the expression itself (a closure that is called once
/// per instruction set would else stay a function of its own, for the oldest processor). Additions are never reordered, and
/// never fused with multiplications unless the expression asks for it: in `simd!(|m| expression)`, `m` is the
/// [`MulAdd`](crate::math::MulAdd) of this machine, which the functions of [`math`](crate::math) take.
#[macro_export]
macro_rules! simd {
    (|$m:ident| $op:expr) => {
        if $crate::par::fuses() {
            let $m = $crate::math::Fused;
            $crate::par::simd!($op)
        } else {
            let $m = $crate::math::Separate;
            $crate::par::call(
                #[inline(always)]
                || $op,
            )
        }
    };
    ($op:expr) => {
        $crate::par::dispatch(
            #[inline(always)]
            || $op,
        )
    };
}

/// What [`simd!`] calls where only the oldest instruction set is left.
#[doc(hidden)]
#[inline(always)]
pub fn call<R>(op: impl FnOnce() -> R) -> R {
    op()
}

/// Whether this machine multiplies and adds in one instruction.
#[doc(hidden)]
#[inline(always)]
pub fn fuses() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return !matches!(pulp::Arch::new(), pulp::Arch::Scalar);
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    cfg!(target_arch = "aarch64")
}

pub use crate::simd;

/// What [`simd!`] calls.
#[doc(hidden)]
#[inline(always)]
pub fn dispatch<R>(op: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(op)
}

/// How many threads kernels called from here run on: `KERAS_THREADS` (read once; a positive number), else the number
/// of cores; inside [`with_threads`] what that says; 1 on a thread that is at work on a job of many already, and always
/// without the feature `threads`.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return team::threads();
    #[cfg(not(feature = "threads"))]
    1
}

/// Runs `op` with kernels on `count` threads (on one where the threads cannot be started).
pub fn with_threads<R>(count: usize, op: impl FnOnce() -> R) -> R {
    #[cfg(feature = "threads")]
    return team::with(count, op);
    #[cfg(not(feature = "threads"))]
    {
        let _ = count;
        op()
    }
}

/// Threads that are there already, such as those of a library whose tensors the kernels work on: two pools would take the
/// cores from each other.
pub trait Threads: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Runs `job` on this thread and at the same time on up to `helpers` others; it shares its work by itself.
    fn run(&self, helpers: usize, job: &(dyn Fn() + Sync));
}

/// Runs `op` with kernels on somebody else's threads.
pub fn with_threads_of<R>(threads: &'static dyn Threads, op: impl FnOnce() -> R) -> R {
    #[cfg(feature = "threads")]
    return team::on(threads, op);
    #[cfg(not(feature = "threads"))]
    {
        let _ = threads;
        op()
    }
}

/// Calls `op` with every item, on several threads if `work` (elementary operations of all items together) is worth it.
pub fn for_each<I>(items: I, work: usize, op: impl Fn(I::Item) + Send + Sync)
where
    I: IntoIterator<Item: Send, IntoIter: Send>,
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
    I: IntoIterator<Item: Send, IntoIter: Send>,
{
    let items = items.into_iter();
    #[cfg(feature = "threads")]
    if work >= MIN_PARALLEL_WORK && items.size_hint().1 != Some(1) && threads() > 1 {
        return in_parts(items, init, |scratch, _, part| part.into_iter().for_each(|item| op(scratch, item)));
    }
    let _ = work;
    let mut scratch = init();
    items.for_each(|item| op(&mut scratch, item));
}

/// The results of `op` for every item, in the items' order, computed as by [`for_each`].
pub fn map<I, R: Send>(items: I, work: usize, op: impl Fn(I::Item) -> R + Send + Sync) -> Vec<R>
where
    I: IntoIterator<Item: Send, IntoIter: Send>,
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
    I: IntoIterator<Item: Send, IntoIter: Send>,
{
    #[cfg(feature = "threads")]
    if work >= MIN_PARALLEL_WORK && threads() > 1 {
        let results = Mutex::new(Vec::new());
        in_parts(items, init, |scratch, i, part| {
            let done: Vec<R> = part.into_iter().map(|item| op(scratch, item)).collect();
            locked(&results).push((i, done));
        });
        let mut results = std::mem::take(&mut *locked(&results));
        results.sort_unstable_by_key(|&(i, _)| i);
        return results.into_iter().flat_map(|(_, done)| done).collect();
    }
    let _ = work;
    let mut scratch = init();
    items.into_iter().map(|item| op(&mut scratch, item)).collect()
}

/// Calls `op` with the items in numbered parts, on all threads: enough parts to keep everyone busy until the end.
#[cfg(feature = "threads")]
fn in_parts<I, S>(
    items: I,
    init: impl Fn() -> S + Send + Sync,
    op: impl Fn(&mut S, usize, Vec<I::Item>) + Send + Sync,
) where
    I: IntoIterator<Item: Send, IntoIter: Send>,
{
    const PER_THREAD: usize = 8;
    let items = items.into_iter();
    // Of some iterators nothing is known.
    let count = Some(items.size_hint().0).filter(|&n| n > 0);
    let size = count.unwrap_or(1).div_ceil(threads() * PER_THREAD);
    let helpers = count.map_or(usize::MAX, |n| n.div_ceil(size) - 1);
    let rest = Mutex::new((0, items));
    let next = || {
        let (i, rest) = &mut *locked(&rest);
        *i += 1;
        (*i, rest.take(size).collect::<Vec<_>>())
    };
    team::run(helpers, &|| {
        let mut scratch = None;
        loop {
            let (i, part) = next();
            if part.is_empty() {
                break;
            }
            op(scratch.get_or_insert_with(&init), i, part);
        }
    });
}

#[cfg(feature = "threads")]
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A vector of `len` elements, of which `write` sets piece after piece: it is given a piece's number and its [`CHUNK`]
/// elements (the last piece may be shorter).
///
/// Every piece holds defaults before, set just then: in the cache, not in one pass through memory as in `vec![0.0; len]`.
pub fn collect_pieces<T>(len: usize, work: usize, write: impl Fn(usize, &mut [T]) + Send + Sync) -> Vec<T>
where
    T: Copy + Default + Send,
{
    collect_pieces_of(CHUNK, len, work, write)
}

/// [`collect_pieces`] of `size` elements each; `size` is not 0.
pub fn collect_pieces_of<T>(
    size: usize,
    len: usize,
    work: usize,
    write: impl Fn(usize, &mut [T]) + Send + Sync,
) -> Vec<T>
where
    T: Copy + Default + Send,
{
    let pieces = |out: Output<T>| {
        for_each(out.pieces(size).enumerate(), work, |(i, piece)| write(i, piece.get()));
        Ok::<_, Infallible>(())
    };
    let Ok(all) = output::collect(len, pieces);
    all
}

/// A copy of `from` that `change` changes piece after piece: it is given a piece's number and its [`CHUNK`] elements.
pub fn copy_pieces<T>(from: &[T], work: usize, change: impl Fn(usize, &mut [T]) + Send + Sync) -> Vec<T>
where
    T: Copy + Default + Send + Sync,
{
    let pieces = |out: Output<T>| {
        let pieces = out.pieces(CHUNK).zip(from.chunks(CHUNK)).enumerate();
        for_each(pieces, work, |(i, (piece, from))| change(i, piece.copied(from)));
        Ok::<_, Infallible>(())
    };
    let Ok(all) = output::collect(from.len(), pieces);
    all
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
            });
        }
    }

    #[test]
    #[cfg(feature = "threads")]
    fn with_threads_sets_the_number_and_within_a_job_there_is_one() {
        with_threads(3, || {
            assert_eq!(threads(), 3);
            assert!(map(0..8, usize::MAX, |_| threads()).into_iter().all(|n| n == 1));
            assert_eq!(threads(), 3);
        });
        assert_eq!(with_threads(1, threads), 1);
    }

    #[test]
    #[cfg(feature = "threads")]
    fn jobs_of_many_callers_and_jobs_within_jobs_are_done_once() {
        let count = if cfg!(miri) { 5 } else { 500 };
        let caller = |of: usize| {
            for i in 0..count {
                let sums =
                    map(0..9usize, usize::MAX, |j| map(0..4, usize::MAX, |k| i + j * k + of).len() + j);
                assert_eq!(sums, [4, 5, 6, 7, 8, 9, 10, 11, 12]);
            }
        };
        with_threads(4, || caller(0));
        // Everybody's team.
        std::thread::scope(|s| (0..3).for_each(|of| drop(s.spawn(move || caller(of)))));
    }

    #[test]
    #[cfg(feature = "threads")]
    fn a_panic_reaches_the_caller_and_the_threads_live_on() {
        with_threads(3, || {
            for bad in 0..20 {
                let job = || for_each(0..20, usize::MAX, |i| assert_ne!(i, bad));
                assert!(std::panic::catch_unwind(job).is_err());
                assert_eq!(map(0..20, usize::MAX, |i| i), (0..20).collect::<Vec<_>>());
            }
        });
    }

    #[test]
    #[cfg(feature = "threads")]
    fn helpers_help_also_after_they_slept() {
        with_threads(3, || {
            for pause in [0, 1, 5] {
                std::thread::sleep(std::time::Duration::from_millis(pause));
                // The items wait for each other, so one thread alone would not come to an end.
                let together = std::sync::Barrier::new(3);
                for_each(0..3, usize::MAX, |_| {
                    together.wait();
                });
            }
        });
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
    fn pieces_are_changed_in_a_copy() {
        let from: Vec<usize> = (0..2 * CHUNK + 5).collect();
        let changed = with_threads(3, || {
            copy_pieces(&from, usize::MAX, |i, piece| piece.iter_mut().for_each(|v| *v -= i * CHUNK))
        });
        assert!(changed.iter().enumerate().all(|(at, &v)| v == at % CHUNK));
    }

    #[test]
    fn tree_reduce_pairs_neighbours() {
        let parts = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        assert_eq!(tree_reduce(parts, |a, b| format!("({a}{b})")).as_deref(), Some("(((ab)(cd))e)"));
        assert_eq!(tree_reduce(Vec::<u8>::new(), |a, _| a), None);
    }
}
