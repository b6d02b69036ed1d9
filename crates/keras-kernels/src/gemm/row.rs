//! One row times a matrix whose rows are contiguous, as when one sample is predicted: it reads the matrix once, in order.

use super::{Gemm, Layout};
use crate::{Num, par};

/// Elements of the matrix whose products a thread sums before they join the sum of the others.
const PART: usize = 1 << 16;

/// Rows that are added at once, so that the sums are read and written once for all of them.
const DEPTH: usize = 4;

/// Computes the product if it is one of these, or the transposed one is; the operands have been checked.
pub(super) fn multiply<T: Num>(
    dims: &Gemm<T>,
    a: &[T],
    la: Layout,
    b: &[T],
    lb: Layout,
    c: &mut [T],
    lc: Layout,
) -> bool {
    if dims.m == 1 && lb.col == 1 {
        row(dims, Strided(a, la.offset, la.col), b, lb, c, lc);
    } else if dims.n == 1 && la.row == 1 {
        let dims = &Gemm { m: 1, n: dims.m, ..*dims };
        row(dims, Strided(b, lb.offset, lb.row), a, la.transposed(), c, lc.transposed());
    } else {
        return false;
    }
    true
}

/// Elements at equal distances.
struct Strided<'a, T>(&'a [T], usize, isize);

impl<T: Num> Strided<'_, T> {
    #[inline(always)]
    fn get(&self, i: usize) -> T::Acc {
        self.0[self.1.wrapping_add_signed(i as isize * self.2)].widen()
    }
}

fn row<T: Num>(dims: &Gemm<T>, a: Strided<T>, b: &[T], lb: Layout, c: &mut [T], lc: Layout) {
    let (n, k) = (dims.n, dims.k);
    let rows = (PART / n).max(DEPTH);
    let sums = par::map((0..k).step_by(rows), n.saturating_mul(k), |from| {
        let mut sums = vec![T::Acc::ZERO; n];
        let of_b = |i: usize| &b[lb.offset.wrapping_add_signed(i as isize * lb.row)..][..n];
        par::simd!({
            let to = k.min(from + rows);
            let mut i = from;
            while to - i >= DEPTH {
                let factors: [T::Acc; DEPTH] = [a.get(i), a.get(i + 1), a.get(i + 2), a.get(i + 3)];
                let [b0, b1, b2, b3] = [of_b(i), of_b(i + 1), of_b(i + 2), of_b(i + 3)];
                for ((((sum, b0), b1), b2), b3) in sums.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
                    let upper = b0.widen().times(factors[0]).plus(b1.widen().times(factors[1]));
                    let lower = b2.widen().times(factors[2]).plus(b3.widen().times(factors[3]));
                    *sum = sum.plus(upper.plus(lower));
                }
                i += DEPTH;
            }
            for i in i..to {
                let factor = a.get(i);
                sums.iter_mut().zip(of_b(i)).for_each(|(sum, b)| *sum = sum.plus(b.widen().times(factor)));
            }
        });
        sums
    });
    let sums = par::tree_reduce(sums, |mut a, b| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a = a.plus(b));
        a
    });
    let sums = sums.unwrap_or_else(|| vec![T::Acc::ZERO; n]);
    for (j, sum) in sums.into_iter().enumerate() {
        let c = &mut c[lc.offset.wrapping_add_signed(j as isize * lc.col)];
        let scaled = dims.alpha.widen().times(sum);
        *c = T::narrow(if dims.beta == T::ZERO {
            scaled
        } else {
            scaled.plus(dims.beta.widen().times(c.widen()))
        });
    }
}
