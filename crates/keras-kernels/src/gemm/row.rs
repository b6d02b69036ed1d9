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
    a: (&[T], Layout),
    b: (&[T], Layout),
    c: (&mut [T], Layout),
) -> bool {
    if dims.m == 1 && b.1.col == 1 {
        row(dims, a, b, c);
    } else if dims.n == 1 && a.1.row == 1 {
        let dims = &Gemm { m: 1, n: dims.m, ..*dims };
        row(dims, (b.0, b.1.transposed()), (a.0, a.1.transposed()), (c.0, c.1.transposed()));
    } else {
        return false;
    }
    true
}

fn row<T: Num>(
    dims: &Gemm<T>,
    (a, la): (&[T], Layout),
    (b, lb): (&[T], Layout),
    (c, lc): (&mut [T], Layout),
) {
    let (n, k) = (dims.n, dims.k);
    let of_a = |i: usize| a[la.offset.wrapping_add_signed(i as isize * la.col)].widen();
    let rows = (PART / n).max(DEPTH);
    let sums = par::map((0..k).step_by(rows), n.saturating_mul(k), |from| {
        let mut sums = vec![T::Acc::ZERO; n];
        let of_b = |i: usize| &b[lb.offset.wrapping_add_signed(i as isize * lb.row)..][..n];
        par::simd!({
            let to = k.min(from + rows);
            let mut i = from;
            while to - i >= DEPTH {
                let factors: [T::Acc; DEPTH] = [of_a(i), of_a(i + 1), of_a(i + 2), of_a(i + 3)];
                let [b0, b1, b2, b3] = [of_b(i), of_b(i + 1), of_b(i + 2), of_b(i + 3)];
                for ((((sum, b0), b1), b2), b3) in sums.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
                    let upper = b0.widen().times(factors[0]).plus(b1.widen().times(factors[1]));
                    let lower = b2.widen().times(factors[2]).plus(b3.widen().times(factors[3]));
                    *sum = sum.plus(upper.plus(lower));
                }
                i += DEPTH;
            }
            for i in i..to {
                let factor = of_a(i);
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
