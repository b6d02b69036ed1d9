//! Scaled dot-product attention, forward and backward, without a matrix of all queries by all keys.
//!
//! Query, key and value are `(batch, steps, heads, features)`. A task takes some queries of one batch entry, and
//! keeps their scores with all keys of one head in a buffer that stays in the cache.

use crate::gemm::{Gemm, Layout, gemm_serial};
use crate::math::{MulAdd, Real};
use crate::reduce::fold_row;
use crate::softmax::larger;
use crate::{Error, Output, Result, par};

/// Scores that a task keeps at once; with fewer keys it takes more queries.
const SCORES: usize = 1 << 15;
/// The most queries that a task takes at once, so that there are tasks for several threads.
const QUERIES: usize = 64;

/// What one score costs beside its products, in units of a multiplication.
const COST: usize = 16;

/// Which keys a query may take from: element `(b, h, q, k)` is at the sum of indices times strides, which are 0 where one
/// element is for all.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// The elements.
    pub data: &'a [bool],
    /// Strides of batch, heads, queries and keys.
    pub strides: [usize; 4],
}

/// The sizes and parameters of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    /// Entries of the batch.
    pub batch: usize,
    /// Steps of the query.
    pub queries: usize,
    /// Steps of key and value.
    pub keys: usize,
    /// Heads of all three.
    pub heads: usize,
    /// Features of query and key.
    pub features: usize,
    /// Features of the value.
    pub values: usize,
    /// The factor of the products of queries and keys.
    pub scale: T,
    /// Whether query `i` takes from the keys up to `i` only.
    pub causal: bool,
    /// Which keys a query may take from; one that may take from none takes from all alike.
    pub mask: Option<Mask<'a>>,
}

/// Operands of both directions, in row-major order.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a, T> {
    /// `(batch, queries, heads, features)`
    pub query: &'a [T],
    /// `(batch, keys, heads, features)`
    pub key: &'a [T],
    /// `(batch, keys, heads, values)`
    pub value: &'a [T],
}

/// Queries `from..to` of one head of one batch entry.
#[derive(Clone, Copy)]
struct Block {
    batch: usize,
    head: usize,
    from: usize,
    to: usize,
}

impl Block {
    fn rows(self) -> usize {
        self.to - self.from
    }
}

impl<T: Real> Attention<'_, T> {
    fn check(&self, operands: &Operands<'_, T>) -> Result<()> {
        let [query, key, value] = [
            [self.batch, self.queries, self.heads, self.features],
            [self.batch, self.keys, self.heads, self.features],
            [self.batch, self.keys, self.heads, self.values],
        ]
        .map(|shape| shape.iter().product());
        Error::check_len("query", query, operands.query.len())?;
        Error::check_len("key", key, operands.key.len())?;
        Error::check_len("value", value, operands.value.len())?;
        let Some(mask) = self.mask else { return Ok(()) };
        let sizes = [self.batch, self.heads, self.queries, self.keys];
        if sizes.contains(&0) {
            return Ok(());
        }
        let last: usize = sizes.iter().zip(mask.strides).map(|(n, stride)| (n - 1) * stride).sum();
        if last < mask.data.len() {
            Ok(())
        } else {
            Err(Error::Length { operand: "mask", expected: last + 1, found: mask.data.len() })
        }
    }

    /// How many queries a task takes.
    fn rows_at_once(&self) -> usize {
        (SCORES / self.keys.max(1)).clamp(1, QUERIES).min(self.queries.max(1))
    }

    /// Elementary operations of one product of all queries with all keys, and what is done with its elements.
    fn work(&self) -> usize {
        let scores = self.batch * self.heads * self.queries * self.keys;
        scores.saturating_mul(self.features + self.values + COST)
    }

    /// Where the steps of one head lie that has `size` features, from step `from` on.
    fn layout(&self, block: Block, steps: usize, from: usize, size: usize) -> Layout<'static> {
        let row = self.heads * size;
        let offset = (block.batch * steps + from) * row + block.head * size;
        Layout { offset, row: row as isize, col: 1, batch: &[] }
    }

    /// How many keys the queries of a block take from: all unless those behind are excluded for every one of them.
    fn reach(&self, block: Block) -> usize {
        if self.causal && self.mask.is_none() { self.keys.min(block.to) } else { self.keys }
    }

    /// Whether query `q` may take from key `k`.
    #[inline(always)]
    fn visible(&self, at: usize, q: usize, k: usize) -> bool {
        let masked = self.mask.is_some_and(|mask| !mask.data[at + k * mask.strides[3]]);
        !masked && (!self.causal || k <= q)
    }

    /// The scores of a block, those that are excluded being minus infinity; `(rows, reach)`.
    fn scores(&self, operands: &Operands<'_, T>, block: Block, scores: &mut [T]) -> Result<()> {
        let reach = self.reach(block);
        gemm_serial(
            &Gemm { alpha: self.scale, ..Gemm::new(block.rows(), reach, self.features) },
            operands.query,
            self.layout(block, self.queries, block.from, self.features),
            operands.key,
            self.layout(block, self.keys, 0, self.features).transposed(),
            scores,
            Layout::row_major(reach),
        )?;
        if !self.causal && self.mask.is_none() {
            return Ok(());
        }
        for (q, row) in (block.from..block.to).zip(scores.chunks_mut(reach.max(1))) {
            let at = self.mask_row(block, q);
            for (k, score) in row.iter_mut().enumerate() {
                if !self.visible(at, q, k) {
                    *score = T::LOWEST;
                }
            }
        }
        Ok(())
    }

    /// Where the mask of a query begins.
    fn mask_row(&self, block: Block, q: usize) -> usize {
        let [batch, head, query, _] = self.mask.map_or([0; 4], |mask| mask.strides);
        block.batch * batch + block.head * head + q * query
    }

    /// Whether a query may take from no key.
    fn is_blind(&self, block: Block, q: usize) -> bool {
        let at = self.mask_row(block, q);
        self.mask.is_some() && !(0..self.keys).any(|k| self.visible(at, q, k))
    }

    /// Writes what each query takes from the values, `(batch, queries, heads, values)`, and the logarithm of the sum of
    /// its scores' exponentials, `(batch, queries, heads)`, 0 for a query that may take from no key.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn forward<'y>(
        &self,
        operands: &Operands<'_, T>,
        y: impl Into<Output<'y, T>>,
        log_sums: &mut [T],
    ) -> Result<()>
    where
        T: 'y,
    {
        self.check(operands)?;
        let y = y.into();
        let rows = self.batch * self.queries * self.heads;
        Error::check_len("y", rows * self.values, y.len())?;
        Error::check_len("log_sums", rows, log_sums.len())?;
        if rows == 0 || self.values == 0 || self.keys == 0 {
            y.get().fill(T::ZERO);
            log_sums.fill(T::LOWEST);
            return Ok(());
        }
        let at_once = self.rows_at_once();
        let step = self.heads * self.values;
        // Of each batch entry by itself, so that no task reaches into the next.
        let of_batch = y.pieces(self.queries * step).zip(log_sums.chunks_mut(self.queries * self.heads));
        let tasks = of_batch.enumerate().flat_map(|(batch, (y, log_sums))| {
            let parts = y.pieces(at_once * step).zip(log_sums.chunks_mut(at_once * self.heads));
            parts.enumerate().map(move |(i, (y, log_sums))| (batch, i * at_once, y, log_sums))
        });
        let init = || vec![T::ZERO; at_once * self.keys];
        let results = par::map_init(tasks, self.work(), init, |scores, (batch, from, y, log_sums)| {
            let (to, y) = (from + log_sums.len() / self.heads, y.get());
            (0..self.heads).try_for_each(|head| {
                self.forward_block(operands, Block { batch, head, from, to }, scores, y, log_sums)
            })
        });
        results.into_iter().collect()
    }

    fn forward_block(
        &self,
        operands: &Operands<'_, T>,
        block: Block,
        scores: &mut [T],
        y: &mut [T],
        log_sums: &mut [T],
    ) -> Result<()> {
        let reach = self.reach(block);
        let scores = &mut scores[..block.rows() * reach];
        self.scores(operands, block, scores)?;
        par::simd!(|m| {
            for (i, row) in scores.chunks_mut(reach).enumerate() {
                let log_sum = softmax(row, m);
                log_sums[i * self.heads + block.head] = log_sum;
            }
        });
        for (i, row) in scores.chunks_mut(reach).enumerate() {
            if self.is_blind(block, block.from + i) {
                row.fill(T::ONE / T::from_usize(self.keys));
                log_sums[i * self.heads + block.head] = T::ZERO;
            }
        }
        gemm_serial(
            &Gemm::new(block.rows(), self.values, reach),
            scores,
            Layout::row_major(reach),
            operands.value,
            self.layout(block, self.keys, 0, self.values),
            y,
            Layout {
                offset: block.head * self.values,
                row: (self.heads * self.values) as isize,
                col: 1,
                batch: &[],
            },
        )
    }

    /// Writes the gradients of query, key and value, which here are `(batch, heads, steps, features)`, from the results
    /// of [`forward`](Attention::forward) and the gradient `dy` of the first.
    ///
    /// # Errors
    /// If a length contradicts the sizes.
    pub fn backward(
        &self,
        operands: &Operands<'_, T>,
        [y, log_sums, dy]: [&[T]; 3],
        [dquery, dkey, dvalue]: [Output<'_, T>; 3],
    ) -> Result<()> {
        self.check(operands)?;
        let rows = self.batch * self.queries * self.heads;
        Error::check_len("y", rows * self.values, y.len())?;
        Error::check_len("log_sums", rows, log_sums.len())?;
        Error::check_len("dy", y.len(), dy.len())?;
        Error::check_len("dquery", operands.query.len(), dquery.len())?;
        Error::check_len("dkey", operands.key.len(), dkey.len())?;
        Error::check_len("dvalue", operands.value.len(), dvalue.len())?;
        if rows == 0 || self.keys == 0 || self.features == 0 || self.values == 0 {
            [dquery, dkey, dvalue].into_iter().for_each(|gradient| gradient.get().fill(T::ZERO));
            return Ok(());
        }
        let at_once = self.rows_at_once();
        let tasks = dquery
            .pieces(self.queries * self.features)
            .zip(dkey.pieces(self.keys * self.features))
            .zip(dvalue.pieces(self.keys * self.values))
            .enumerate();
        let init = || [vec![T::ZERO; at_once * self.keys], vec![T::ZERO; at_once * self.keys]];
        let work = self.work().saturating_mul(3);
        let results = par::map_init(tasks, work, init, |scratch, (i, ((dquery, dkey), dvalue))| {
            let (batch, head) = (i / self.heads, i % self.heads);
            let [dquery, dkey, dvalue] = [dquery, dkey, dvalue].map(Output::get);
            [&mut *dquery, dkey, dvalue].into_iter().for_each(|gradient| gradient.fill(T::ZERO));
            (0..self.queries).step_by(at_once).try_for_each(|from| {
                let block = Block { batch, head, from, to: self.queries.min(from + at_once) };
                let part = &mut dquery[from * self.features..block.to * self.features];
                self.backward_block(operands, block, [y, log_sums, dy], scratch, [part, dkey, dvalue])
            })
        });
        results.into_iter().collect()
    }

    fn backward_block(
        &self,
        operands: &Operands<'_, T>,
        block: Block,
        [y, log_sums, dy]: [&[T]; 3],
        [weights, dscores]: &mut [Vec<T>; 2],
        [dquery, dkey, dvalue]: [&mut [T]; 3],
    ) -> Result<()> {
        let (reach, rows) = (self.reach(block), block.rows());
        let (weights, dscores) = (&mut weights[..rows * reach], &mut dscores[..rows * reach]);
        self.scores(operands, block, weights)?;
        let at = |q: usize| (block.batch * self.queries + q) * self.heads + block.head;
        par::simd!(|m| {
            for (q, row) in (block.from..block.to).zip(weights.chunks_mut(reach)) {
                let log_sum = log_sums[at(q)];
                row.iter_mut().for_each(|score| *score = (*score - log_sum).exp(m));
            }
        });
        let blind: Vec<bool> = (block.from..block.to).map(|q| self.is_blind(block, q)).collect();
        for (_, row) in blind.iter().zip(weights.chunks_mut(reach)).filter(|(blind, _)| **blind) {
            row.fill(T::ONE / T::from_usize(self.keys));
        }
        let of_y = self.layout(block, self.queries, block.from, self.values);
        let scores = Layout::row_major(reach);
        gemm_serial(
            &Gemm::new(reach, self.values, rows).accumulate(),
            weights,
            scores.transposed(),
            dy,
            of_y,
            dvalue,
            Layout::row_major(self.values),
        )?;
        gemm_serial(
            &Gemm::new(rows, reach, self.values),
            dy,
            of_y,
            operands.value,
            self.layout(block, self.keys, 0, self.values).transposed(),
            dscores,
            scores,
        )?;
        par::simd!({
            let rows = dscores.chunks_mut(reach).zip(weights.chunks(reach));
            for ((q, &blind), (dscores, weights)) in (block.from..block.to).zip(&blind).zip(rows) {
                if blind {
                    dscores.fill(T::ZERO);
                    continue;
                }
                let from = at(q) * self.values;
                let (y, dy) = (&y[from..from + self.values], &dy[from..from + self.values]);
                let along = fold_row(y, dy, T::ZERO, |y, dy| y * dy, T::plus);
                dscores.iter_mut().zip(weights).for_each(|(d, &w)| *d = w * (*d - along));
            }
        });
        gemm_serial(
            &Gemm { alpha: self.scale, ..Gemm::new(rows, self.features, reach) },
            dscores,
            scores,
            operands.key,
            self.layout(block, self.keys, 0, self.features),
            dquery,
            Layout::row_major(self.features),
        )?;
        gemm_serial(
            &Gemm { alpha: self.scale, ..Gemm::new(reach, self.features, rows).accumulate() },
            dscores,
            scores.transposed(),
            operands.query,
            self.layout(block, self.queries, block.from, self.features),
            dkey,
            Layout::row_major(self.features),
        )
    }
}

/// Replaces scores by weights that sum to 1; gives the logarithm of the sum of the scores' exponentials.
#[inline(always)]
fn softmax<T: Real>(row: &mut [T], m: impl MulAdd) -> T {
    let max = fold_row(row, row, T::LOWEST, |x, _| x, larger);
    row.iter_mut().for_each(|x| *x = (*x - max).exp(m));
    let sum = fold_row(row, row, T::ZERO, |x, _| x, T::plus);
    let scale = T::ONE / sum;
    row.iter_mut().for_each(|x| *x *= scale);
    max + sum.ln(m)
}
