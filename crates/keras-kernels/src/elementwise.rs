//! Maps over elements: contiguous, broadcast, and the copy that makes any strided array contiguous.
//!
//! The maps take a closure. For it to be vectorised it must be inlined, which a large one is only if told so:
//!
//! ```
//! use keras_kernels::{elementwise, math::Real};
//! let x = [0.0f32, 4.0];
//! let y = elementwise::unary(&x, 10, #[inline(always)] |x| Real::sqrt(x));
//! assert_eq!(y, [0.0, 2.0]);
//! ```
//!
//! `cost` is what one element costs in units of a multiplication; it decides from which length on threads are worth
//! it. Results do not depend on it.

use crate::{Error, Result, par};

/// `op(x)` of every element.
pub fn unary<T, O>(x: &[T], cost: usize, op: impl Fn(T) -> O + Send + Sync) -> Vec<O>
where
    T: Copy + Sync,
    O: Copy + Default + Send,
{
    par::collect_pieces(x.len(), x.len().saturating_mul(cost), |i, out| {
        let x = &x[i * par::CHUNK..];
        par::simd!(out.iter_mut().zip(x).for_each(|(out, &x)| *out = op(x)));
    })
}

/// Replaces every element `x` by `op(x)`.
pub fn unary_in_place<T: Copy + Send>(x: &mut [T], cost: usize, op: impl Fn(T) -> T + Send + Sync) {
    let work = x.len().saturating_mul(cost);
    par::for_each(x.chunks_mut(par::CHUNK), work, |x| par::simd!(x.iter_mut().for_each(|x| *x = op(*x))));
}

/// `op(a, b)` of every two elements of operands of one shape.
///
/// # Errors
/// If the slices differ in length.
pub fn binary<A, B, O>(a: &[A], b: &[B], cost: usize, op: impl Fn(A, B) -> O + Send + Sync) -> Result<Vec<O>>
where
    A: Copy + Sync,
    B: Copy + Sync,
    O: Copy + Default + Send,
{
    Error::check_len("b", a.len(), b.len())?;
    Ok(par::collect_pieces(a.len(), a.len().saturating_mul(cost), |i, out| {
        let operands = a[i * par::CHUNK..].iter().zip(&b[i * par::CHUNK..]);
        par::simd!(out.iter_mut().zip(operands).for_each(|(out, (&a, &b))| *out = op(a, b)));
    }))
}

/// Replaces every element `a` by `op(a, b)`, for operands of one shape.
///
/// # Errors
/// If the slices differ in length.
pub fn binary_in_place<A, B>(
    a: &mut [A],
    b: &[B],
    cost: usize,
    op: impl Fn(A, B) -> A + Send + Sync,
) -> Result<()>
where
    A: Copy + Send,
    B: Copy + Sync,
{
    Error::check_len("b", a.len(), b.len())?;
    let work = a.len().saturating_mul(cost);
    par::for_each(a.chunks_mut(par::CHUNK).zip(b.chunks(par::CHUNK)), work, |(a, b)| {
        par::simd!(a.iter_mut().zip(b).for_each(|(a, &b)| *a = op(*a, b)));
    });
    Ok(())
}

/// An operand whose elements lie at any distances from each other: element `(i, j, …)` is at
/// `offset + i·strides[0] + j·strides[1] + …`. Strides may be negative, and zero where it is broadcast.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a, T> {
    data: &'a [T],
    offset: usize,
    strides: &'a [isize],
}

impl<'a, T: Copy> Strided<'a, T> {
    /// Checks that every element of `shape` lies in `data`.
    ///
    /// # Errors
    /// If there are not as many strides as dimensions, or an element lies outside of `data`.
    pub fn new(data: &'a [T], offset: usize, shape: &[usize], strides: &'a [isize]) -> Result<Self> {
        if shape.len() != strides.len() {
            return Err(Error::shape(format!("{} strides for {} dimensions", strides.len(), shape.len())));
        }
        let this = Self { data, offset, strides };
        if shape.contains(&0) {
            return Ok(this);
        }
        let overflow = || Error::shape("strides exceed the address space");
        let (mut low, mut high) = (offset, offset);
        for (&n, stride) in shape.iter().zip(strides) {
            let reach = stride.unsigned_abs().checked_mul(n - 1).ok_or_else(overflow)?;
            if *stride < 0 {
                low = low.checked_sub(reach).ok_or_else(|| Error::shape("strides reach before the slice"))?;
            } else {
                high = high.checked_add(reach).ok_or_else(overflow)?;
            }
        }
        if low > high || high >= data.len() {
            return Err(Error::Length { operand: "strided operand", expected: high + 1, found: data.len() });
        }
        Ok(this)
    }

    /// `n` elements along the last axis from position `start` on, `stride` apart; the vectorised cases apart.
    #[inline(always)]
    fn row(&self, start: usize, stride: isize, n: usize) -> Row<'a, T> {
        match stride {
            0 => Row::Same(self.data[start]),
            1 => Row::Contiguous(&self.data[start..start + n]),
            _ => Row::Strided(self.data, start, stride),
        }
    }
}

/// Part of an operand along the innermost axis.
enum Row<'a, T> {
    Same(T),
    Contiguous(&'a [T]),
    Strided(&'a [T], usize, isize),
}

impl<T: Copy> Row<'_, T> {
    #[inline(always)]
    fn get(&self, i: usize) -> T {
        match *self {
            Row::Same(x) => x,
            Row::Contiguous(x) => x[i],
            Row::Strided(x, start, stride) => x[start.wrapping_add_signed(stride * i as isize)],
        }
    }
}

/// A shape without dimensions of 1, and with neighbouring dimensions that every operand steps through evenly made
/// one; `strides[k]` are those of operand `k`.
struct Collapsed<const K: usize> {
    shape: Vec<usize>,
    strides: [Vec<isize>; K],
}

impl<const K: usize> Collapsed<K> {
    fn new(shape: &[usize], strides: [&[isize]; K]) -> Self {
        let mut this = Self { shape: Vec::with_capacity(shape.len()), strides: [const { Vec::new() }; K] };
        for (axis, &n) in shape.iter().enumerate().filter(|&(_, &n)| n != 1) {
            let even = this.strides.iter().zip(strides).all(|(collapsed, strides)| {
                collapsed.last().is_some_and(|&outer| outer == strides[axis] * n as isize)
            });
            if even {
                if let Some(last) = this.shape.last_mut() {
                    *last *= n;
                }
                for (collapsed, strides) in this.strides.iter_mut().zip(strides) {
                    collapsed.pop();
                    collapsed.push(strides[axis]);
                }
            } else {
                this.shape.push(n);
                for (collapsed, strides) in this.strides.iter_mut().zip(strides) {
                    collapsed.push(strides[axis]);
                }
            }
        }
        if this.shape.is_empty() {
            this.shape.push(1);
            this.strides.iter_mut().for_each(|strides| strides.push(0));
        }
        this
    }

    /// Calls `op(range, starts, strides)` for the pieces of rows that make up elements `first..first + n`: `range`
    /// counted from `first`, and where each operand's piece starts.
    #[inline(always)]
    fn rows(
        &self,
        first: usize,
        n: usize,
        offsets: [usize; K],
        mut op: impl FnMut(std::ops::Range<usize>, [usize; K], [isize; K]),
    ) {
        let last = self.shape.len() - 1;
        let width = self.shape[last];
        let mut index = vec![0; last];
        let (mut row, mut column) = (first / width, first % width);
        let mut starts = offsets;
        for axis in (0..last).rev() {
            index[axis] = row % self.shape[axis];
            row /= self.shape[axis];
            for (start, strides) in starts.iter_mut().zip(&self.strides) {
                *start = start.wrapping_add_signed(index[axis] as isize * strides[axis]);
            }
        }
        let inner = std::array::from_fn(|k| self.strides[k][last]);
        let mut done = 0;
        while done < n {
            let piece = (width - column).min(n - done);
            let here = std::array::from_fn(|k| starts[k].wrapping_add_signed(inner[k] * column as isize));
            op(done..done + piece, here, inner);
            done += piece;
            column = 0;
            for axis in (0..last).rev() {
                index[axis] += 1;
                for (start, strides) in starts.iter_mut().zip(&self.strides) {
                    *start = start.wrapping_add_signed(strides[axis]);
                }
                if index[axis] < self.shape[axis] {
                    break;
                }
                for (start, strides) in starts.iter_mut().zip(&self.strides) {
                    *start = start.wrapping_add_signed(-(strides[axis] * self.shape[axis] as isize));
                }
                index[axis] = 0;
            }
        }
    }
}

fn check_shape(shape: &[usize], len: usize) -> Result<()> {
    Error::check_len("out", shape.iter().product(), len)
}

/// `op(a, b)` of every two elements of operands of shape `shape`, in row-major order; broadcast operands have strides of
/// zero.
///
/// # Errors
/// If an operand has not as many strides as `shape` has dimensions, or its elements lie outside of its memory.
pub fn broadcast_binary<A, B, O>(
    shape: &[usize],
    a: Strided<A>,
    b: Strided<B>,
    cost: usize,
    op: impl Fn(A, B) -> O + Send + Sync,
) -> Result<Vec<O>>
where
    A: Copy + Sync,
    B: Copy + Sync,
    O: Copy + Default + Send,
{
    let a = Strided::new(a.data, a.offset, shape, a.strides)?;
    let b = Strided::new(b.data, b.offset, shape, b.strides)?;
    let collapsed = Collapsed::new(shape, [a.strides, b.strides]);
    let size = shape.iter().product::<usize>();
    Ok(par::collect_pieces(size, size.saturating_mul(cost), |i, out| {
        par::simd!({
            let n = out.len();
            collapsed.rows(i * par::CHUNK, n, [a.offset, b.offset], |range, starts, strides| {
                let n = range.len();
                let out = &mut out[range];
                match (a.row(starts[0], strides[0], n), b.row(starts[1], strides[1], n)) {
                    (Row::Contiguous(a), Row::Contiguous(b)) => {
                        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = op(a, b));
                    }
                    (Row::Contiguous(a), Row::Same(b)) => {
                        out.iter_mut().zip(a).for_each(|(out, &a)| *out = op(a, b));
                    }
                    (Row::Same(a), Row::Contiguous(b)) => {
                        out.iter_mut().zip(b).for_each(|(out, &b)| *out = op(a, b));
                    }
                    (a, b) => {
                        out.iter_mut().enumerate().for_each(|(i, out)| *out = op(a.get(i), b.get(i)));
                    }
                }
            });
        });
    }))
}

/// Edge of the square tiles in which a transposition is done, so that what is read and what is written both stay in
/// the first-level cache.
const TILE: usize = 32;

/// Writes the elements of `x`, an array of shape `shape`, to `out` in row-major order: transposes, broadcasts,
/// reverses and slices.
///
/// # Errors
/// If `out` is not as long as `shape` asks, or `x` has not as many strides.
pub fn copy_strided<T: Copy + Send + Sync>(shape: &[usize], x: Strided<T>, out: &mut [T]) -> Result<()> {
    check_shape(shape, out.len())?;
    let x = Strided::new(x.data, x.offset, shape, x.strides)?;
    if out.is_empty() {
        return Ok(());
    }
    let collapsed = Collapsed::new(shape, [x.strides]);
    let (shape, [strides]) = (&collapsed.shape, &collapsed.strides);
    let last = shape.len() - 1;
    let fastest = (0..last).min_by_key(|&axis| match strides[axis].unsigned_abs() {
        0 => usize::MAX,
        stride => stride,
    });
    let work = out.len();
    match fastest {
        Some(axis) if strides[last].unsigned_abs() > strides[axis].unsigned_abs() && strides[axis] != 0 => {
            // Blocks of whole rows of `axis`'s transposition; what is before `axis` is independent.
            let block = shape[axis..].iter().product::<usize>();
            let row = block / shape[axis];
            let height = TILE.max(par::CHUNK / row / TILE * TILE).min(shape[axis]);
            let outer = Collapsed {
                shape: [&shape[..axis], &[1]].concat(),
                strides: [[&strides[..axis], &[0]].concat()],
            };
            let items = out.chunks_mut(block).enumerate().flat_map(|(i, block)| {
                block.chunks_mut(height * row).enumerate().map(move |(j, part)| (i, j * height, part))
            });
            par::for_each(items, work, |(i, top, part)| {
                outer.rows(i, 1, [x.offset], |_, [start], _| {
                    let start = start.wrapping_add_signed(strides[axis] * top as isize);
                    transpose(x.data, start, &shape[axis..], &strides[axis..], part);
                });
            });
        }
        _ => par::for_each(out.chunks_mut(par::CHUNK).enumerate(), work, |(i, out)| {
            let n = out.len();
            collapsed.rows(i * par::CHUNK, n, [x.offset], |range, [start], [stride]| {
                let n = range.len();
                let out = &mut out[range];
                match x.row(start, stride, n) {
                    Row::Same(x) => out.fill(x),
                    Row::Contiguous(x) => out.copy_from_slice(x),
                    row => out.iter_mut().enumerate().for_each(|(i, out)| *out = row.get(i)),
                }
            });
        }),
    }
    Ok(())
}

/// Writes rows of an array whose first axis is the one with the smallest stride, tile by tile of it and the last.
fn transpose<T: Copy>(data: &[T], start: usize, shape: &[usize], strides: &[isize], out: &mut [T]) {
    let last = shape.len() - 1;
    let width = shape[last];
    let row = shape[1..].iter().product::<usize>();
    let height = out.len() / row;
    let middle =
        Collapsed { shape: [&shape[1..last], &[1]].concat(), strides: [[&strides[1..last], &[0]].concat()] };
    middle.rows(0, row / width, [start], |range, [start], _| {
        let column = range.start * width;
        for top in (0..height).step_by(TILE) {
            for left in (0..width).step_by(TILE) {
                for i in top..height.min(top + TILE) {
                    let first = start.wrapping_add_signed(strides[0] * i as isize);
                    let out = &mut out[i * row + column..][..width];
                    for (j, out) in out.iter_mut().enumerate().take(left + TILE).skip(left) {
                        *out = data[first.wrapping_add_signed(strides[last] * j as isize)];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A shape with the data and strides of an array of it that is permuted, reversed, sliced or broadcast.
    fn strided() -> impl Strategy<Value = (Vec<usize>, Vec<isize>, usize, Vec<i32>)> {
        (prop::collection::vec((1usize..40, 0usize..4), 0..5), any::<u64>()).prop_map(|(axes, seed)| {
            let limit = [usize::MAX, usize::MAX, usize::MAX, 20, 9][axes.len()];
            let shape: Vec<usize> = axes.iter().map(|&(n, _)| n.min(limit)).collect();
            let mut order: Vec<usize> = (0..shape.len()).collect();
            order.sort_by_key(|&axis| (seed >> (axis * 8)) & 0xff);
            let mut strides = vec![0; shape.len()];
            let (mut size, mut offset) = (1isize, 0);
            for axis in order {
                let n = shape[axis] as isize;
                match axes[axis].1 {
                    0 if n > 1 => strides[axis] = 0,
                    1 => {
                        strides[axis] = -size;
                        offset += size * (n - 1);
                        size *= n;
                    }
                    2 => {
                        strides[axis] = size * 2;
                        size *= 2 * n;
                    }
                    _ => {
                        strides[axis] = size;
                        size *= n;
                    }
                }
            }
            (shape, strides, offset as usize, (0..size as i32).collect())
        })
    }

    fn naive(shape: &[usize], strides: &[isize], offset: usize, data: &[i32]) -> Vec<i32> {
        (0..shape.iter().product::<usize>())
            .map(|mut linear| {
                let mut at = offset as isize;
                for (&n, stride) in shape.iter().zip(strides).rev() {
                    at += (linear % n) as isize * stride;
                    linear /= n;
                }
                data[at as usize]
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn copies((shape, strides, offset, data) in strided()) {
            let expected = naive(&shape, &strides, offset, &data);
            for threads in [1, 3] {
                let mut out = vec![0; expected.len()];
                let x = Strided::new(&data, offset, &shape, &strides).unwrap();
                par::with_threads(threads, || copy_strided(&shape, x, &mut out)).unwrap();
                prop_assert_eq!(&out, &expected);
            }
        }

        #[test]
        fn broadcasts((shape, strides, offset, data) in strided(), own in any::<bool>()) {
            let a = naive(&shape, &strides, offset, &data);
            let contiguous: Vec<isize> =
                (0..shape.len()).map(|axis| shape[axis + 1..].iter().product::<usize>() as isize).collect();
            let other: Vec<isize> = if own { contiguous } else { vec![0; shape.len()] };
            let b = naive(&shape, &other, 0, &a);
            let left = Strided::new(&data, offset, &shape, &strides).unwrap();
            let right = Strided::new(&a, 0, &shape, &other).unwrap();
            let out = broadcast_binary(&shape, left, right, 1, |a, b| 3 * a - b).unwrap();
            let expected: Vec<i32> = a.iter().zip(&b).map(|(a, b)| 3 * a - b).collect();
            prop_assert_eq!(&out, &expected);
            let out = broadcast_binary(&shape, right, left, 1, |b, a| 3 * a - b).unwrap();
            prop_assert_eq!(&out, &expected);
        }
    }

    #[test]
    fn large_arrays_on_threads() {
        let (rows, columns) = (700, 333);
        let x: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        par::with_threads(3, || {
            let mut t = vec![0.0; x.len()];
            let (shape, strides) = ([columns, rows], [1, columns as isize]);
            copy_strided(&shape, Strided::new(&x, 0, &shape, &strides).unwrap(), &mut t).unwrap();
            assert!((0..x.len()).all(|i| t[i] == x[i % rows * columns + i / rows]));
            let mut sum = x.clone();
            binary_in_place(&mut sum, &t, 1, |a, b| a + b).unwrap();
            let again = binary(&x, &t, 1, |a, b| a + b).unwrap();
            assert_eq!(sum, again);
            unary_in_place(&mut sum, 1, |x| -x);
            assert_eq!(sum, unary(&again, 1, |x: f32| -x));
            let (shape, strides) = ([rows, columns], [0, 1]);
            let bias = Strided::new(&x[..columns], 0, &shape, &strides).unwrap();
            let full = [columns as isize, 1];
            let all = Strided::new(&x, 0, &shape, &full).unwrap();
            let sum = broadcast_binary(&shape, all, bias, 1, |a, b| a - b).unwrap();
            assert!((0..x.len()).all(|i| sum[i] == x[i] - x[i % columns]));
        });
    }

    #[test]
    fn sizes_that_contradict_are_errors() {
        let x = [1.0f32; 6];
        assert!(binary(&x, &x[1..], 1, |a, b| a + b).is_err());
        assert!(Strided::new(&x, 0, &[2, 3], &[3]).is_err());
        assert!(Strided::new(&x, 0, &[2, 4], &[3, 1]).is_err());
        assert!(Strided::new(&x, 0, &[2, 3], &[3, -1]).is_err());
        assert!(Strided::new(&x, 5, &[usize::MAX, 3], &[isize::MIN, 1]).is_err());
        let whole = Strided::new(&x, 0, &[2, 3], &[3, 1]).unwrap();
        assert!(copy_strided(&[3, 3], whole, &mut [0.0; 9]).is_err());
        assert!(copy_strided(&[2, 0], Strided::new(&x, 9, &[2, 0], &[3, 1]).unwrap(), &mut []).is_ok());
    }
}
