//! Rows of a table by their numbers, and the gradient of the table.

use crate::math::Real;
use crate::{Error, Num, Result, par};

/// The row that an index means, those below 0 counted from the end, if there is one.
#[inline(always)]
fn row(index: i32, rows: usize) -> Option<usize> {
    let index = index as isize;
    let index = if index < 0 { index.checked_add_unsigned(rows)? } else { index };
    usize::try_from(index).ok().filter(|&row| row < rows)
}

/// The number of rows of a table of rows of `features` elements.
fn rows_of(table: usize, features: usize) -> Result<usize> {
    let rows = table.checked_div(features).unwrap_or(0);
    Error::check_len("table", rows * features, table)?;
    Ok(rows)
}

/// The rows of `table`, `(rows, features)`, that indices mean, one after the other; negative indices count from the end, and
/// for one that means no row there are NaNs.
///
/// # Errors
/// If the table is not made of whole rows.
pub fn embedding<T: Real>(table: &[T], features: usize, indices: &[i32]) -> Result<Vec<T>> {
    let rows = rows_of(table.len(), features)?;
    let mut out = Vec::with_capacity(indices.len() * features);
    for &index in indices {
        match row(index, rows) {
            Some(row) => out.extend_from_slice(&table[row * features..(row + 1) * features]),
            None => out.extend(std::iter::repeat_n(T::from_f64(f64::NAN), features)),
        }
    }
    Ok(out)
}

/// Adds the gradients `dy`, `(indices, features)`, to the rows of `dtable` that the indices mean, in their order.
///
/// # Errors
/// If a length contradicts the others.
pub fn embedding_backward<T: Num>(
    dy: &[T],
    features: usize,
    indices: &[i32],
    dtable: &mut [T],
) -> Result<()> {
    let rows = rows_of(dtable.len(), features)?;
    Error::check_len("dy", indices.len() * features, dy.len())?;
    if features == 0 {
        return Ok(());
    }
    par::simd!({
        for (&index, dy) in indices.iter().zip(dy.chunks(features)) {
            let Some(row) = row(index, rows) else { continue };
            let sums = &mut dtable[row * features..(row + 1) * features];
            sums.iter_mut().zip(dy).for_each(|(sum, &dy)| *sum = sum.plus(dy));
        }
    });
    Ok(())
}
