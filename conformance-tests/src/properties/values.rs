//! The elements of generated tensors, and how the tensors lie in memory.

use keras_spec::{DType, Device, Element, HostTensor, Op, Result, Shape, Tensor, dispatch_dtype};

use super::draw::Draw;

/// Which elements a tensor gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pool {
    /// Small quarters, zeros of both signs, infinities, NaN, numbers that narrower dtypes round; the extremes of integers.
    Any,
    /// Small quarters; integers as for `Any`.
    Finite,
    /// Like `Finite`, but none is 0.
    NonZero,
    /// Whole numbers from -3 to 3: sums of products are exact in any order.
    Whole,
    /// Powers of two around 1: products are exact in any order.
    Powers,
    /// Eighths from -1 to 1.
    Unit,
    /// Eighths, shifted a little: added to a sum of products of eighths, they never give a number where an activation bends.
    Between,
}

/// An evenly spread number for element `i` (splitmix64).
fn mix(seed: u16, i: usize) -> u64 {
    let mut z = (u64::from(seed) << 32).wrapping_add(i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn float(pool: Pool, r: u64) -> f64 {
    const SPECIAL: [f64; 12] =
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.0, 0.1, -1e-3, 1e3, 0.5, -70.7];
    const POWERS: [f64; 6] = [1.0, -1.0, 2.0, 0.5, 1.0, -2.0];
    let quarters = ((r >> 8) % 65) as f64 / 4.0 - 8.0;
    match pool {
        Pool::Any if r.is_multiple_of(4) => SPECIAL[((r >> 8) % 12) as usize],
        Pool::Any | Pool::Finite => quarters,
        Pool::NonZero => {
            if quarters == 0.0 {
                0.25
            } else {
                quarters
            }
        }
        Pool::Whole => ((r >> 8) % 7) as f64 - 3.0,
        Pool::Powers => POWERS[((r >> 8) % 6) as usize],
        Pool::Unit => ((r >> 8) % 17) as f64 / 8.0 - 1.0,
        Pool::Between => ((r >> 8) % 15) as f64 / 8.0 - 0.875 + 1.0 / 256.0,
    }
}

fn integer<T: Element>(pool: Pool, r: u64) -> i128 {
    match pool {
        Pool::Any | Pool::Finite if r.is_multiple_of(8) => {
            [T::LEAST.to_i128(), T::GREATEST.to_i128(), -1][((r >> 8) % 3) as usize]
        }
        // What a dtype does not hold wraps.
        Pool::NonZero => ((r >> 8) % 9) as i128 + 1,
        Pool::Whole | Pool::Powers | Pool::Unit | Pool::Between => ((r >> 8) % 7) as i128 - 3,
        Pool::Any | Pool::Finite => ((r >> 8) % 13) as i128 - 4,
    }
}

/// A tensor of generated elements.
pub(crate) fn tensor(draw: &mut Draw<'_>, shape: &Shape, dtype: DType, pool: Pool) -> HostTensor {
    let seed = draw.bits();
    let make = |i: usize| mix(seed, i);
    dispatch_dtype!(dtype, T => {
        let element = |r: u64| match dtype {
            DType::Bool => T::from_f64((r & 1) as f64),
            d if d.is_float() => T::from_f64(float(pool, r)),
            _ => T::from_i128(integer::<T>(pool, r)),
        };
        let data: Vec<T> = (0..shape.size()).map(|i| element(make(i))).collect();
        HostTensor::new(shape.clone(), data).unwrap_or_else(|_| HostTensor::full(shape.clone(), dtype, 0.0))
    })
}

/// `int32` numbers from `low` up to, but without, `high`.
pub(crate) fn indices(draw: &mut Draw<'_>, shape: &Shape, low: i32, high: i32) -> HostTensor {
    let seed = draw.bits();
    let span = u64::from(high.abs_diff(low).max(1));
    let data: Vec<i32> = (0..shape.size()).map(|i| low + (mix(seed, i) % span) as i32).collect();
    HostTensor::new(shape.clone(), data)
        .unwrap_or_else(|_| HostTensor::full(shape.clone(), DType::I32, f64::from(low)))
}

/// A length of an axis.
pub(crate) fn dim(draw: &mut Draw<'_>) -> usize {
    draw.pick(&[2, 1, 3, 4, 5, 0])
}

/// A length of an axis that is not 0.
pub(crate) fn some_dim(draw: &mut Draw<'_>) -> usize {
    draw.pick(&[2, 1, 3, 4, 5])
}

/// A shape of `low` to `high` axes; one of a single axis may be longer than any vector register.
pub(crate) fn shape(draw: &mut Draw<'_>, low: usize, high: usize) -> Shape {
    match low + draw.below(high - low + 1) {
        1 => Shape::from([draw.pick(&[2, 1, 3, 4, 0, 7, 19, 37])]),
        rank => (0..rank).map(|_| dim(draw)).collect(),
    }
}

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    /// In row-major order.
    Plain,
    /// As a permutation of another tensor.
    Permuted,
    /// As the reverse of another tensor.
    Reversed,
    /// As every other element of a longer tensor.
    Strided,
}

impl Layout {
    /// Any of them.
    pub(crate) fn draw(draw: &mut Draw<'_>) -> Self {
        draw.pick(&[Layout::Plain, Layout::Plain, Layout::Permuted, Layout::Reversed, Layout::Strided])
    }

    /// The operation that leads from the tensor in memory to a tensor of `shape`, and the one that leads to it; none if
    /// the tensor is its own.
    fn there_and_back(self, shape: &Shape) -> Option<(Op, Op)> {
        let rank = shape.rank();
        let all = || (0..rank).collect();
        if rank == 0 || shape.size() == 0 {
            return None;
        }
        match self {
            Layout::Plain => None,
            Layout::Permuted => {
                let turned = Op::Permute((0..rank).rev().collect());
                Some((turned.clone(), turned))
            }
            Layout::Reversed => Some((Op::Reverse(all()), Op::Reverse(all()))),
            Layout::Strided => {
                let last = |value: usize, others: usize| -> keras_spec::Dims {
                    (0..rank).map(|i| if i + 1 == rank { value } else { others }).collect()
                };
                let limit = shape.iter().enumerate().map(|(i, &n)| if i + 1 == rank { 2 * n } else { n });
                Some((
                    Op::Pad { value: 1.0, low: last(1, 0), high: last(0, 0), interior: last(1, 0) },
                    Op::Slice { start: last(1, 0), limit: limit.collect(), stride: last(2, 1) },
                ))
            }
        }
    }

    /// Brings `value` to `device` in this layout: the tensor in memory, if it is another one, and the operand.
    pub(crate) fn bring(self, value: &HostTensor, device: &Device) -> Result<(Option<Tensor>, Tensor)> {
        let Some((there, back)) = self.there_and_back(value.shape()) else {
            return Ok((None, Tensor::from_host(value.clone(), device)?));
        };
        let stored =
            Tensor::apply1(there, [Tensor::from_host(value.clone(), &super::oracle()?)?])?.to_host()?;
        let base = Tensor::from_host(stored, device)?;
        let operand = Tensor::apply1(back, [base.clone()])?;
        Ok((Some(base), operand))
    }
}
