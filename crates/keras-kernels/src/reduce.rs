//! Reductions over any axes, positions of extrema, and cumulative reductions.
//!
//! Sums are taken in lanes, blocks and a tree, so that the rounding error grows with the logarithm of the number of
//! terms, in an order that only the shape decides. Half precisions accumulate in `f32`, integers wrap around.

use crate::{Error, Num, Result, par};

/// How elements are combined, and what the reduction of none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    /// Sum; 0.
    Sum,
    /// Sum of the squares; 0.
    SumOfSquares,
    /// Product; 1.
    Product,
    /// Maximum, NaN if one is NaN; minus infinity, or the smallest integer.
    Max,
    /// Minimum, NaN if one is NaN; infinity, or the largest integer.
    Min,
}

/// Which extremum [`arg_reduce`] looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgOp {
    /// The maximum.
    Max,
    /// The minimum.
    Min,
}

/// Independent accumulators of a row: enough for the widest vectors, several at a time.
const LANES: usize = 32;
/// Elements of a row that are summed in lanes before a partial result joins the tree.
const BLOCK: usize = 1024;
/// Columns that are reduced together: their accumulators stay in the first-level cache.
const WIDTH: usize = 1024;
/// Rows that are summed one after the other before their sum is added to the others'.
const DEPTH: usize = 32;

/// Combines the lanes of an accumulator, the second half with the first, until one is left.
#[inline(always)]
fn halve<A: Copy>(lanes: &mut [A; LANES], combine: impl Fn(A, A) -> A) -> A {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        // The compiler makes vectors of neighbours that are stored.
        std::hint::black_box(&mut *lanes);
        half /= 2;
    }
    lanes[0]
}

/// Folds `map(x, y)` over two rows of equal length.
#[inline(always)]
pub(crate) fn fold_row<T: Copy, U: Copy, A: Copy>(
    x: &[T],
    y: &[U],
    identity: A,
    map: impl Fn(T, U) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    if x.len() < LANES {
        return x.iter().zip(y).fold(identity, |sum, (&x, &y)| combine(sum, map(x, y)));
    }
    // Entry i holds the sum of 2^j blocks, as in a binary counter: the tree, without recursion.
    let mut tree = [identity; usize::BITS as usize];
    let mut height = 0;
    let mut stored = [identity; LANES];
    for (i, (x, y)) in x.chunks(BLOCK).zip(y.chunks(BLOCK)).enumerate() {
        let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
        let rest = xs.remainder().iter().zip(ys.remainder());
        let mut lanes = [identity; LANES];
        for (x, y) in xs.zip(ys) {
            for lane in 0..LANES {
                lanes[lane] = combine(lanes[lane], map(x[lane], y[lane]));
            }
        }
        // From here on in memory, or every single lane would be taken out of its vector.
        std::hint::black_box(&mut stored);
        stored = lanes;
        std::hint::black_box(&mut stored);
        for (lane, (&x, &y)) in stored.iter_mut().zip(rest) {
            *lane = combine(*lane, map(x, y));
        }
        let mut sum = halve(&mut stored, &combine);
        let mut carry = i;
        while carry & 1 == 1 {
            height -= 1;
            sum = combine(tree[height], sum);
            carry >>= 1;
        }
        tree[height] = sum;
        height += 1;
    }
    tree[..height].iter().copied().rev().reduce(|right, left| combine(left, right)).unwrap_or(identity)
}

/// Folds `rows` rows of `acc.len()` columns, `stride` apart, into `acc`; `block` is scratch space as long.
#[inline(always)]
fn fold_columns<T: Copy, A: Copy>(
    x: &[T],
    [rows, stride]: [usize; 2],
    acc: &mut [A],
    block: &mut [A],
    identity: A,
    map: impl Fn(T) -> A + Copy,
    combine: impl Fn(A, A) -> A + Copy,
) {
    let width = acc.len();
    let block = &mut block[..width];
    acc.fill(identity);
    for top in (0..rows).step_by(DEPTH) {
        block.fill(identity);
        for row in top..rows.min(top + DEPTH) {
            let x = &x[row * stride..][..width];
            block.iter_mut().zip(x).for_each(|(block, &x)| *block = combine(*block, map(x)));
        }
        acc.iter_mut().zip(&*block).for_each(|(acc, &block)| *acc = combine(*acc, block));
    }
}

/// Folds blocks of `rows` rows, `stride` apart, one after the other, each into `width` elements of `out`.
fn fold_blocks<T: Copy, A: Copy>(
    x: &[T],
    [rows, stride, width]: [usize; 3],
    out: &mut [A],
    identity: A,
    map: impl Fn(T) -> A + Copy,
    combine: impl Fn(A, A) -> A + Copy,
) {
    // Few columns do not fill a vector: take several rows as one.
    let at_once = if stride == width && rows * width >= 4 * LANES { (LANES / width).max(1) } else { 1 };
    let (mut wide, mut block) = ([identity; WIDTH], [identity; WIDTH]);
    let wide = &mut wide[..at_once * width];
    let whole = rows / at_once;
    par::simd!({
        for (out, x) in out.chunks_mut(width).zip(x.chunks(rows * stride)) {
            if stride == 1 {
                out[0] = fold_row(x, x, identity, |x, _| map(x), combine);
                continue;
            }
            fold_columns(x, [whole, at_once * stride], wide, &mut block, identity, map, combine);
            if at_once > 1 {
                for (lane, &x) in x[whole * at_once * width..].iter().enumerate() {
                    wide[lane] = combine(wide[lane], map(x));
                }
            }
            out.fill(identity);
            for part in wide.chunks(width) {
                out.iter_mut().zip(part).for_each(|(out, &part)| *out = combine(*out, part));
            }
        }
    });
}

/// Folds the middle axis of `(outer, n, inner)`; the result is `(outer, inner)`.
fn fold<T, A>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    identity: A,
    map: impl Fn(T) -> A + Copy + Send + Sync,
    combine: impl Fn(A, A) -> A + Copy + Send + Sync,
) -> Vec<A>
where
    T: Copy + Send + Sync,
    A: Copy + Send + Sync,
{
    let mut out = vec![identity; outer * inner];
    let size = n * inner;
    if size == 0 || outer == 0 {
        return out;
    }
    if size <= par::CHUNK && inner <= WIDTH {
        let group = par::CHUNK / size;
        par::for_each(out.chunks_mut(group * inner).zip(x.chunks(group * size)), x.len(), |(out, x)| {
            fold_blocks(x, [n, inner, inner], out, identity, map, combine);
        });
        return out;
    }
    let height = (par::CHUNK / inner.min(WIDTH)).max(DEPTH);
    let parts = n.div_ceil(height);
    let items = (0..outer).flat_map(|o| {
        (0..inner).step_by(WIDTH).flat_map(move |left| (0..parts).map(move |part| (o, left, part * height)))
    });
    let sums = par::map(items, x.len(), |(o, left, top)| {
        let mut acc = vec![identity; WIDTH.min(inner - left)];
        let rows = height.min(n - top);
        let first = (o * n + top) * inner;
        let x = &x[first + left..first + rows * inner];
        fold_blocks(x, [rows, inner, acc.len()], &mut acc, identity, map, combine);
        acc
    });
    let mut sums = sums.into_iter();
    for out in out.chunks_mut(inner).flat_map(|out| out.chunks_mut(WIDTH)) {
        let sum = par::tree_reduce(sums.by_ref().take(parts).collect(), |mut a: Vec<A>, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = combine(*a, b));
            a
        });
        if let Some(sum) = sum {
            out.copy_from_slice(&sum);
        }
    }
    out
}

/// Folds any axes of an array of shape `shape`; what is left keeps its order.
fn fold_axes<T, A>(
    x: &[T],
    shape: &[usize],
    axes: &[usize],
    identity: A,
    map: impl Fn(T) -> A + Copy + Send + Sync,
    combine: impl Fn(A, A) -> A + Copy + Send + Sync,
) -> Result<Vec<A>>
where
    T: Copy + Send + Sync,
    A: Num<Acc = A>,
{
    Error::check_len("x", shape.iter().product(), x.len())?;
    if let Some(axis) = axes.iter().find(|&&axis| axis >= shape.len()) {
        return Err(Error::parameter("axes", format!("axis {axis} of an array with {} axes", shape.len())));
    }
    // Neighbours that share their fate are one: sizes and whether they go.
    let mut groups: Vec<(usize, bool)> = Vec::new();
    for (axis, &n) in shape.iter().enumerate() {
        let goes = axes.contains(&axis);
        match groups.last_mut() {
            Some((size, last)) if *last == goes => *size *= n,
            _ => groups.push((n, goes)),
        }
    }
    let sizes = |groups: &[(usize, bool)], at: usize| {
        let product = |part: &[(usize, bool)]| part.iter().map(|&(n, _)| n).product();
        [product(&groups[..at]), groups[at].0, product(&groups[at + 1..])]
    };
    let Some(last) = groups.iter().rposition(|&(_, goes)| goes) else {
        return Ok(x.iter().map(|&x| map(x)).collect());
    };
    let mut out = fold(x, sizes(&groups, last), identity, map, combine);
    groups.remove(last);
    while let Some(last) = groups.iter().rposition(|&(_, goes)| goes) {
        out = fold(&out, sizes(&groups, last), identity, A::widen, combine);
        groups.remove(last);
    }
    Ok(out)
}

/// Reduces the axes `axes` of `x`, an array of shape `shape`, and writes `finish` of each result to `out`, in the
/// order of the axes that are left. A mean is a sum whose `finish` divides.
///
/// # Errors
/// If a length contradicts the shape, or an axis does not exist.
pub fn reduce<T: Num, O>(
    op: ReduceOp,
    x: &[T],
    shape: &[usize],
    axes: &[usize],
    out: &mut [O],
    finish: impl Fn(T::Acc) -> O,
) -> Result<()> {
    use ReduceOp as Op;
    let left = shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &n)| n).product();
    Error::check_len("out", left, out.len())?;
    let sums = match op {
        Op::Sum => fold_axes(x, shape, axes, T::Acc::ZERO, T::widen, T::Acc::plus),
        Op::SumOfSquares => {
            let square = |x: T| x.widen().times(x.widen());
            fold_axes(x, shape, axes, T::Acc::ZERO, square, T::Acc::plus)
        }
        Op::Product => fold_axes(x, shape, axes, T::Acc::ONE, T::widen, T::Acc::times),
        Op::Max => fold_axes(x, shape, axes, T::Acc::LOWEST, T::widen, T::Acc::maximum),
        Op::Min => fold_axes(x, shape, axes, T::Acc::HIGHEST, T::widen, T::Acc::minimum),
    }?;
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = finish(sum));
    Ok(())
}

/// Whether any element along the axes `axes` is true; false where there is none.
///
/// # Errors
/// As [`reduce`].
pub fn any(x: &[bool], shape: &[usize], axes: &[usize], out: &mut [bool]) -> Result<()> {
    let found = fold_axes(x, shape, axes, 0, u8::from, u8::maximum)?;
    Error::check_len("out", found.len(), out.len())?;
    out.iter_mut().zip(found).for_each(|(out, found)| *out = found != 0);
    Ok(())
}

/// Whether all elements along the axes `axes` are true; true where there is none.
///
/// # Errors
/// As [`reduce`].
pub fn all(x: &[bool], shape: &[usize], axes: &[usize], out: &mut [bool]) -> Result<()> {
    let found = fold_axes(x, shape, axes, 1, u8::from, u8::minimum)?;
    Error::check_len("out", found.len(), out.len())?;
    out.iter_mut().zip(found).for_each(|(out, found)| *out = found != 0);
    Ok(())
}

/// Writes the position of the first extremum along the middle axis of `(outer, n, inner)`; a NaN is one, as in JAX.
///
/// # Errors
/// If a length contradicts the shape, or the axis is empty.
pub fn arg_reduce<T: Num, I: Num>(op: ArgOp, x: &[T], shape: [usize; 3], out: &mut [I]) -> Result<()> {
    let [outer, n, inner] = shape;
    Error::check_len("x", shape.iter().product(), x.len())?;
    Error::check_len("out", outer * inner, out.len())?;
    if n == 0 && !out.is_empty() {
        return Err(Error::shape("the extremum of an empty axis has no position"));
    }
    if out.is_empty() {
        return Ok(());
    }
    match op {
        ArgOp::Max => arg_first(x, shape, out, |new, best| new > best),
        ArgOp::Min => arg_first(x, shape, out, |new, best| new < best),
    }
    Ok(())
}

fn arg_first<T: Num, I: Num>(
    x: &[T],
    [_, n, inner]: [usize; 3],
    out: &mut [I],
    better: impl Fn(T::Acc, T::Acc) -> bool + Copy + Sync,
) {
    let beats = |new: T::Acc, best: T::Acc| better(new, best) | (new.is_nan() & !best.is_nan());
    if inner == 1 {
        let group = (par::CHUNK / n).max(1);
        par::for_each(out.chunks_mut(group).zip(x.chunks(group * n)), x.len(), |(out, x)| {
            par::simd!({
                for (out, x) in out.iter_mut().zip(x.chunks(n)) {
                    let first = x[0].widen();
                    let pick = |a, b| if beats(b, a) { b } else { a };
                    let best = fold_row(x, x, first, |x, _| x.widen(), pick);
                    let found = |x: &T| x.widen() == best || (best.is_nan() && x.is_nan());
                    *out = I::from_usize(x.iter().position(found).unwrap_or(0));
                }
            });
        });
        return;
    }
    let columns = |(o, out): (usize, _)| (0..).step_by(WIDTH).map(move |left| (o, left)).zip(out);
    let items = out.chunks_mut(inner).map(|out| out.chunks_mut(WIDTH)).enumerate().flat_map(columns);
    par::for_each(items, x.len(), |((o, left), out)| {
        par::simd!({
            let row = |i: usize| &x[(o * n + i) * inner + left..][..out.len()];
            let mut best: Vec<T::Acc> = row(0).iter().map(|x| x.widen()).collect();
            let mut at = vec![0; best.len()];
            for i in 1..n {
                for ((best, at), &x) in best.iter_mut().zip(&mut at).zip(row(i)) {
                    let x = x.widen();
                    let wins = beats(x, *best);
                    *best = if wins { x } else { *best };
                    *at = if wins { i } else { *at };
                }
            }
            out.iter_mut().zip(at).for_each(|(out, at)| *out = I::from_usize(at));
        });
    });
}

/// Writes the reduction of each element and all before it along the middle axis of `(outer, n, inner)`, or with
/// `reverse` of each and all after it.
///
/// # Errors
/// If a length contradicts the shape.
pub fn cumulative<T: Num>(
    op: ReduceOp,
    x: &[T],
    shape: [usize; 3],
    reverse: bool,
    out: &mut [T],
) -> Result<()> {
    Error::check_len("x", shape.iter().product(), x.len())?;
    Error::check_len("out", x.len(), out.len())?;
    if x.is_empty() {
        return Ok(());
    }
    use ReduceOp as Op;
    match op {
        Op::Sum => scan(x, shape, reverse, out, T::Acc::ZERO, T::widen, T::Acc::plus),
        Op::SumOfSquares => {
            let square = |x: T| x.widen().times(x.widen());
            scan(x, shape, reverse, out, T::Acc::ZERO, square, T::Acc::plus);
        }
        Op::Product => scan(x, shape, reverse, out, T::Acc::ONE, T::widen, T::Acc::times),
        Op::Max => scan(x, shape, reverse, out, T::Acc::LOWEST, T::widen, T::Acc::maximum),
        Op::Min => scan(x, shape, reverse, out, T::Acc::HIGHEST, T::widen, T::Acc::minimum),
    }
    Ok(())
}

fn scan<T: Num>(
    x: &[T],
    [_, n, inner]: [usize; 3],
    reverse: bool,
    out: &mut [T],
    identity: T::Acc,
    map: impl Fn(T) -> T::Acc + Sync,
    combine: impl Fn(T::Acc, T::Acc) -> T::Acc + Sync,
) {
    let size = n * inner;
    let group = (par::CHUNK / size).max(1) * size;
    par::for_each(out.chunks_mut(group).zip(x.chunks(group)), x.len(), |(out, x)| {
        par::simd!({
            let mut before = vec![identity; inner];
            let mut block = vec![identity; inner];
            for (out, x) in out.chunks_mut(size).zip(x.chunks(size)) {
                before.fill(identity);
                for i in 0..n {
                    // Sums of blocks, not of elements, are what long rows add up: the error stays small.
                    if i % DEPTH == 0 {
                        if i > 0 {
                            before.iter_mut().zip(&block).for_each(|(b, &block)| *b = combine(*b, block));
                        }
                        block.fill(identity);
                    }
                    let row = if reverse { n - 1 - i } else { i } * inner;
                    let (out, x) = (&mut out[row..][..inner], &x[row..][..inner]);
                    for (((out, &x), block), &before) in out.iter_mut().zip(x).zip(&mut block).zip(&before) {
                        *block = combine(*block, map(x));
                        *out = T::narrow(combine(before, *block));
                    }
                }
            }
        });
    });
}
