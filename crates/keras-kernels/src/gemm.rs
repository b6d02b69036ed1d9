//! Matrix products `C = alpha · A · B + beta · C` of strided, batched operands.
//!
//! `f32` and `f64` are multiplied by the `gemm` crate, half precisions in `f32` by the same, integers by a plain
//! loop. [`Kernel`] is the only place that knows. A single row times a matrix is a loop of its own, in `row`.

mod row;

use half::{bf16, f16};

use crate::{Error, Num, Result, par};

/// Where the elements of a batch of matrices lie in a slice: element `(i, j)` of the matrix at batch index
/// `(b0, b1, …)` is at `offset + Σ b·batch + i·row + j·col`. Strides may be negative, and zero in operands that are
/// only read (broadcasting).
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Position of the first element.
    pub offset: usize,
    /// Distance between rows.
    pub row: isize,
    /// Distance between columns.
    pub col: isize,
    /// Distance between matrices, one entry for each batch axis.
    pub batch: &'a [isize],
}

impl Layout<'_> {
    /// One contiguous matrix with `cols` columns.
    pub const fn row_major(cols: usize) -> Self {
        Self { offset: 0, row: cols as isize, col: 1, batch: &[] }
    }

    /// The transposed matrices.
    pub const fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// The same strides from another first element.
    pub const fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// Fails unless all elements of the matrices lie in a slice of `len` elements, and, where `distinct`, no two
    /// at the same place.
    fn check(
        self,
        operand: &'static str,
        batch: &[usize],
        rows: usize,
        cols: usize,
        len: usize,
        distinct: bool,
    ) -> Result<()> {
        if self.batch.len() != batch.len() {
            return Err(Error::shape(format!(
                "{operand}: {} batch strides for {} batch axes",
                self.batch.len(),
                batch.len()
            )));
        }
        let sizes = || batch.iter().copied().chain([rows, cols]);
        if sizes().any(|n| n == 0) {
            return Ok(());
        }
        let overflow = || Error::shape(format!("{operand}: strides exceed the address space"));
        let mut axes: Vec<(usize, usize)> = Vec::new();
        let (mut low, mut high) = (self.offset, self.offset);
        for (stride, n) in self.batch.iter().copied().chain([self.row, self.col]).zip(sizes()) {
            let reach = stride.unsigned_abs().checked_mul(n - 1).ok_or_else(overflow)?;
            if stride < 0 {
                low = low
                    .checked_sub(reach)
                    .ok_or_else(|| Error::shape(format!("{operand}: strides reach before the slice")))?;
            } else {
                high = high.checked_add(reach).ok_or_else(overflow)?;
            }
            if distinct {
                axes.push((stride.unsigned_abs(), n));
            }
        }
        if high >= len {
            return Err(Error::Length { operand, expected: high + 1, found: len });
        }
        if distinct {
            axes.retain(|&(_, n)| n > 1);
            axes.sort_unstable();
            let mut reach = 0;
            for (stride, n) in axes {
                if stride <= reach {
                    return Err(Error::shape(format!("{operand}: elements overlap")));
                }
                reach += stride * (n - 1);
            }
        }
        Ok(())
    }
}

/// Sizes and factors of a product: A is `(batch…, m, k)`, B `(batch…, k, n)`, C `(batch…, m, n)`.
#[derive(Debug, Clone, Copy)]
pub struct Gemm<'a, T> {
    /// Sizes of the batch axes; broadcast an operand along one with a batch stride of zero.
    pub batch: &'a [usize],
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Factor of the product.
    pub alpha: T,
    /// Factor of what C held before; with zero it is not read.
    pub beta: T,
}

impl<T: Num> Gemm<'_, T> {
    /// `C = A · B` for one matrix each.
    pub const fn new(m: usize, n: usize, k: usize) -> Self {
        Self { batch: &[], m, n, k, alpha: T::ONE, beta: T::ZERO }
    }

    /// Adds the product to C instead of replacing it.
    pub const fn accumulate(self) -> Self {
        Self { beta: T::ONE, ..self }
    }

    fn check(&self, a: (usize, Layout), b: (usize, Layout), c: (usize, Layout)) -> Result<()> {
        a.1.check("a", self.batch, self.m, self.k, a.0, false)?;
        b.1.check("b", self.batch, self.k, self.n, b.0, false)?;
        c.1.check("c", self.batch, self.m, self.n, c.0, true)
    }
}

/// Computes `C = alpha · A · B + beta · C` for every index of the batch.
///
/// Half precisions accumulate in `f32`; integers wrap around. The result does not depend on the number of threads.
///
/// # Errors
/// If a slice is too short for its layout, the number of batch strides is wrong, or elements of C overlap.
pub fn gemm<T: Num>(
    dims: &Gemm<T>,
    a: &[T],
    la: Layout,
    b: &[T],
    lb: Layout,
    c: &mut [T],
    lc: Layout,
) -> Result<()> {
    dims.check((a.len(), la), (b.len(), lb), (c.len(), lc))?;
    let (mut batch, mut m) = (dims.batch, dims.m);
    // With one B for all, a batch whose matrices follow each other is one tall matrix.
    while let [outer @ .., size] = batch {
        let follows = |l: Layout| l.batch[outer.len()] == m as isize * l.row;
        if !(lb.batch[outer.len()] == 0 && follows(la) && follows(lc)) {
            break;
        }
        (batch, m) = (outer, m * size);
    }
    if m == 0 || dims.n == 0 || batch.contains(&0) {
        return Ok(());
    }
    if batch.is_empty() && row::multiply(&Gemm { m, ..*dims }, (a, la), (b, lb), (&mut *c, lc)) {
        return Ok(());
    }
    let product = Product {
        m,
        n: dims.n,
        k: dims.k,
        // SAFETY: `check` has found the element `offset` of each operand inside its slice; an empty A or B
        // (`k == 0`) is never read, and `wrapping_add` allows any offset.
        a: a.as_ptr().wrapping_add(la.offset),
        a_strides: [la.row, la.col],
        b: b.as_ptr().wrapping_add(lb.offset),
        b_strides: [lb.row, lb.col],
        c: c.as_mut_ptr().wrapping_add(lc.offset),
        c_strides: [lc.row, lc.col],
        alpha: dims.alpha,
        beta: dims.beta,
        parallel: true,
    };
    let work = m.saturating_mul(dims.n).saturating_mul(dims.k);
    if batch.is_empty() {
        if dims.n == 1 && work >= par::MIN_PARALLEL_WORK {
            // A product with a vector reads its matrix once: many threads reach more memory bandwidth.
            let grain = (par::MIN_PARALLEL_WORK / dims.k.max(1)).max(256);
            run(&product.split_rows(grain), work);
        } else {
            // SAFETY: `check` has found all elements in their slices and those of C distinct.
            unsafe { T::multiply(product) };
        }
        return Ok(());
    }
    let count: usize = batch.iter().product();
    let mut products = Vec::with_capacity(count);
    let mut index = vec![0usize; batch.len()];
    for _ in 0..count {
        let at = |l: Layout| index.iter().zip(l.batch).map(|(&i, &s)| i as isize * s).sum::<isize>();
        products.push(Product {
            a: product.a.wrapping_offset(at(la)),
            b: product.b.wrapping_offset(at(lb)),
            c: product.c.wrapping_offset(at(lc)),
            ..product
        });
        for (i, &size) in index.iter_mut().zip(batch).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    if count < MIN_BATCH {
        for product in products {
            // SAFETY: as above.
            unsafe { T::multiply(product) };
        }
    } else {
        products.iter_mut().for_each(|p| p.parallel = false);
        run(&products, work.saturating_mul(count));
    }
    Ok(())
}

/// From this many matrices on, threads take whole matrices; below, each matrix is divided among them.
const MIN_BATCH: usize = 8;

/// From this many multiplications on, a matrix is divided among threads.
const MIN_SPLIT: usize = 1 << 20;

/// Parts of a matrix have at least this many rows or columns, less [`ALIGN`].
const NARROWEST: usize = 128;

/// Matrices of at most as many rows and columns are cut into halves where there are this many multiplications.
const NARROW: usize = 64;
const MIN_NARROW_SPLIT: usize = 1 << 19;

/// Parts begin at multiples of this many rows or columns: what a vector holds.
const ALIGN: usize = 16;

/// [`gemm`] of one matrix each on the caller's thread, for kernels that divide their work themselves.
pub(crate) fn gemm_serial<T: Num>(
    dims: &Gemm<T>,
    a: &[T],
    la: Layout,
    b: &[T],
    lb: Layout,
    c: &mut [T],
    lc: Layout,
) -> Result<()> {
    debug_assert!(dims.batch.is_empty());
    dims.check((a.len(), la), (b.len(), lb), (c.len(), lc))?;
    if dims.m == 0 || dims.n == 0 {
        return Ok(());
    }
    // SAFETY: `check` has found all elements in their slices and those of C distinct.
    unsafe {
        T::multiply(Product {
            m: dims.m,
            n: dims.n,
            k: dims.k,
            a: a.as_ptr().wrapping_add(la.offset),
            a_strides: [la.row, la.col],
            b: b.as_ptr().wrapping_add(lb.offset),
            b_strides: [lb.row, lb.col],
            c: c.as_mut_ptr().wrapping_add(lc.offset),
            c_strides: [lc.row, lc.col],
            alpha: dims.alpha,
            beta: dims.beta,
            parallel: false,
        });
    }
    Ok(())
}

/// Runs independent products, neighbours together until they are worth a task.
fn run<T: Num>(products: &[Product<T>], work: usize) {
    let group = (products.len() * par::MIN_PARALLEL_WORK / work.max(1)).clamp(1, products.len());
    par::for_each(products.chunks(group), work, |group| {
        for &product in group {
            // SAFETY: `gemm` has checked the operands, and the products write to distinct elements.
            unsafe { T::multiply(Product { parallel: false, ..product }) };
        }
    });
}

/// One product, as pointers to the first elements and `[row, column]` strides.
#[derive(Clone, Copy)]
pub struct Product<T> {
    m: usize,
    n: usize,
    k: usize,
    a: *const T,
    a_strides: [isize; 2],
    b: *const T,
    b_strides: [isize; 2],
    c: *mut T,
    c_strides: [isize; 2],
    alpha: T,
    beta: T,
    parallel: bool,
}

// SAFETY: a product is handed to another thread only by `run` and the kernels below, which write to distinct
// elements of C and borrow the slices until all are done.
unsafe impl<T: Send> Send for Product<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Product<T> {}

impl<T: Num> Product<T> {
    fn work(&self) -> usize {
        self.m.saturating_mul(self.n).saturating_mul(self.k)
    }

    /// Parts of C for all threads, cut where the `gemm` crate loses least; only this one if it is small.
    ///
    /// The order of sums is the crate's, which changes it only for matrices that are narrower than 65 rows and columns: no
    /// part is, but for the halves of a deep narrow matrix, which is cut whatever the number of threads.
    fn parts(self) -> Parts<T> {
        if self.parallel
            && self.m.max(self.n) <= NARROW
            && self.m >= 2 * ALIGN
            && self.work() >= MIN_NARROW_SPLIT
        {
            return Parts { whole: self, by_columns: false, count: 2, next: 0 };
        }
        let most = if self.parallel && self.work() >= MIN_SPLIT { 2 * par::threads() } else { 1 };
        let [rows, columns] = [self.m, self.n].map(|size| most.min(size / NARROWEST));
        let by_columns = columns > 1 && (rows <= 1 || 4 * self.n >= self.m);
        Parts { whole: self, by_columns, count: if by_columns { columns } else { rows.max(1) }, next: 0 }
    }

    fn split_rows(self, grain: usize) -> Vec<Self> {
        (0..self.m).step_by(grain).map(|i| self.rows(i, grain.min(self.m - i))).collect()
    }

    fn rows(self, from: usize, count: usize) -> Self {
        Self {
            m: count,
            a: self.a.wrapping_offset(from as isize * self.a_strides[0]),
            c: self.c.wrapping_offset(from as isize * self.c_strides[0]),
            ..self
        }
    }

    fn transposed(self) -> Self {
        let flip = |[row, col]: [isize; 2]| [col, row];
        Self {
            m: self.n,
            n: self.m,
            a: self.b,
            a_strides: flip(self.b_strides),
            b: self.a,
            b_strides: flip(self.a_strides),
            c_strides: flip(self.c_strides),
            ..self
        }
    }
}

/// See [`Product::parts`].
struct Parts<T> {
    whole: Product<T>,
    by_columns: bool,
    count: usize,
    next: usize,
}

impl<T: Num> Iterator for Parts<T> {
    type Item = Product<T>;

    fn next(&mut self) -> Option<Product<T>> {
        let whole = if self.by_columns { self.whole.transposed() } else { self.whole };
        let edge =
            |i: usize| if i == self.count { whole.m } else { whole.m / self.count * i / ALIGN * ALIGN };
        let (from, to) = (edge(self.next), edge(self.next + 1));
        if self.next == self.count {
            return None;
        }
        self.next += 1;
        let part = whole.rows(from, to - from);
        Some(if self.by_columns { part.transposed() } else { part })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rest = self.count - self.next;
        (rest, Some(rest))
    }
}

/// How a type multiplies matrices. Implemented for all [`Num`] and for nothing else.
pub trait Kernel: Sized {
    /// Computes the product.
    ///
    /// # Safety
    /// All elements that the strides reach must be valid for reading, those of C for writing, and no two elements
    /// of C may be the same.
    unsafe fn multiply(product: Product<Self>);
}

macro_rules! by_gemm {
    ($($t:ty)*) => {$(
        impl Kernel for $t {
            unsafe fn multiply(p: Product<Self>) {
                par::for_each(p.parts(), if p.parallel { p.work() } else { 0 }, |p| {
                    // SAFETY: the caller's promise; no element of C is in two parts.
                    unsafe {
                        gemm::gemm(
                            p.m, p.n, p.k,
                            p.c, p.c_strides[1], p.c_strides[0], p.beta != 0.0,
                            p.a, p.a_strides[1], p.a_strides[0],
                            p.b, p.b_strides[1], p.b_strides[0],
                            p.beta, p.alpha, false, false, false,
                            gemm::Parallelism::None,
                        );
                    }
                });
            }
        }
    )*};
}

macro_rules! in_f32 {
    ($($t:ty)*) => {$(
        impl Kernel for $t {
            unsafe fn multiply(p: Product<Self>) {
                // SAFETY: the caller's promise holds for the three matrices of `p`; the copies are contiguous.
                unsafe {
                    let a = gather(p.a, p.a_strides, p.m, p.k);
                    let b = gather(p.b, p.b_strides, p.k, p.n);
                    let mut c = vec![0f32; p.m * p.n];
                    let strides = |cols: usize| [cols as isize, 1];
                    f32::multiply(Product {
                        m: p.m, n: p.n, k: p.k,
                        a: a.as_ptr(), a_strides: strides(p.k),
                        b: b.as_ptr(), b_strides: strides(p.n),
                        c: c.as_mut_ptr(), c_strides: strides(p.n),
                        alpha: p.alpha.to_f32(), beta: 0.0,
                        parallel: p.parallel,
                    });
                    let beta = p.beta.to_f32();
                    for (i, row) in c.chunks_exact(p.n).enumerate() {
                        for (j, &sum) in row.iter().enumerate() {
                            let at = p.c.offset(i as isize * p.c_strides[0] + j as isize * p.c_strides[1]);
                            let before = if beta == 0.0 { 0.0 } else { beta * (*at).to_f32() };
                            *at = <$t>::from_f32(sum + before);
                        }
                    }
                }
            }
        }
    )*};
}

macro_rules! by_loop {
    ($($t:ty)*) => {$(
        impl Kernel for $t {
            unsafe fn multiply(p: Product<Self>) {
                // SAFETY: the caller's promise.
                unsafe { multiply_integers(p) }
            }
        }
    )*};
}

by_gemm!(f32 f64);
in_f32!(f16 bf16);
by_loop!(i8 i16 i32 i64 u8 u16 u32 u64);

/// A contiguous row-major copy, in the type to compute in.
///
/// # Safety
/// The strided elements must be valid for reading.
unsafe fn gather<T: Num>(from: *const T, strides: [isize; 2], rows: usize, cols: usize) -> Vec<T::Acc> {
    let mut out = Vec::with_capacity(rows * cols);
    for i in 0..rows as isize {
        // SAFETY: the caller's promise.
        out.extend(
            (0..cols as isize).map(|j| unsafe { (*from.offset(i * strides[0] + j * strides[1])).widen() }),
        );
    }
    out
}

/// Rows of A times a contiguous copy of B, summed row by row.
///
/// # Safety
/// As [`Kernel::multiply`].
unsafe fn multiply_integers<T: Num<Acc = T>>(p: Product<T>) {
    // SAFETY: the caller's promise.
    let b = unsafe { gather(p.b, p.b_strides, p.k, p.n) };
    let work = p.m * p.n * p.k;
    let grain = (par::MIN_PARALLEL_WORK / (p.n * p.k).max(1)).max(1);
    let parts = if p.parallel { p.split_rows(grain) } else { vec![p] };
    par::for_each(parts, if p.parallel { work } else { 0 }, |p| {
        let mut sums = vec![T::ZERO; p.n];
        par::simd!({
            for i in 0..p.m as isize {
                sums.fill(T::ZERO);
                for (l, b_row) in b.chunks_exact(p.n).enumerate() {
                    // SAFETY: row `i`, column `l` of A.
                    let a = unsafe { *p.a.offset(i * p.a_strides[0] + l as isize * p.a_strides[1]) };
                    sums.iter_mut().zip(b_row).for_each(|(s, &b)| *s = s.plus(a.times(b)));
                }
                for (j, &sum) in sums.iter().enumerate() {
                    // SAFETY: row `i`, column `j` of C, which belongs to this part alone.
                    unsafe {
                        let at = p.c.offset(i * p.c_strides[0] + j as isize * p.c_strides[1]);
                        let before = if p.beta == T::ZERO { T::ZERO } else { p.beta.times(*at) };
                        *at = p.alpha.times(sum).plus(before);
                    }
                }
            }
        });
    });
}

#[cfg(test)]
mod tests;
