//! A complete backend in plain loops: all that a backend must do, and nothing that it may do.
//!
//! It is written to be read beside the contract, [`Backend`], and to be the judge of faster backends. A tensor is a
//! [`HostTensor`] behind a reference count. Two ideas carry the rest. [`Places`] says where elements come from or go to,
//! so that what moves elements is a few numbers for each axis. [`Item`] names the wider numbers that elements are
//! computed in, so that each function is written once.

mod number;
mod places;

use std::sync::Arc;

use keras_spec::{
    ArgReduceOp, Backend, BackendEntry, BinaryOp, CompareOp, ConvSpec, DType, Element, Error, HostTensor,
    ReduceOp, Result, ScatterOp, Shape, UnaryOp, WindowSpec, dispatch_dtype,
};

use number::{Item, Number, binary, comparison, order, reduction, update};
use places::{Places, strides_of, windows};

/// The backend. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Minimal;

keras_spec::register_backend!(BackendEntry {
    name: "minimal",
    priority: -100,
    check: || Ok(()),
    devices: || vec!["cpu".to_owned()],
    make: |_| Ok(Arc::new(Minimal)),
});

/// A tensor, shared by all who hold it.
type Array = Arc<HostTensor>;

/// What most methods return.
type Answer = Result<Array>;

fn array<T: Element>(shape: Shape, elements: Vec<T>) -> Answer {
    HostTensor::new(shape, elements).map(Arc::new)
}

fn unknown(op: impl std::fmt::Debug, x: &HostTensor) -> Error {
    Error::unsupported("minimal", format!("{op:?}"), x.dtype(), "this backend does not know it")
}

/// The elements as numbers to compute with.
fn numbers<T: Item>(x: &HostTensor) -> Result<Vec<T::Wide>> {
    Ok(x.as_slice::<T>()?.iter().map(|&v| Number::of(v)).collect())
}

/// A tensor of numbers that were computed.
fn elements<T: Item>(shape: Shape, numbers: Vec<T::Wide>) -> Answer {
    array::<T>(shape, numbers.into_iter().map(Number::to).collect())
}

/// A tensor of the elements at `places` of `x`.
fn take(x: &HostTensor, shape: &Shape, places: impl Iterator<Item = usize>) -> Answer {
    dispatch_dtype!(x.dtype(), T => {
        let from = x.as_slice::<T>()?;
        array(shape.clone(), places.map(|place| from[place]).collect())
    })
}

/// Puts the elements of `x` at places in `out`, where `x` begins at `first`.
fn put<T: Element>(out: &mut [T], first: usize, strides: Vec<isize>, x: &HostTensor) -> Result<()> {
    let places = Places::new(x.shape(), first, strides);
    places.zip(x.as_slice::<T>()?).for_each(|(place, &v)| out[place] = v);
    Ok(())
}

/// The shape that tensors are broadcast to together.
fn common(shapes: &[&Shape]) -> Result<Shape> {
    let all = shapes.iter().try_fold(Shape::scalar(), |all, shape| all.broadcast(shape));
    all.ok_or_else(|| Error::shape("broadcast", "the operands do not fit together", shapes.iter().copied()))
}

/// A function of two tensors with elements of type `T`.
fn zip<T: Item, R>(a: &HostTensor, b: &HostTensor, f: fn(T::Wide, T::Wide) -> R) -> Result<(Shape, Vec<R>)> {
    let shape = common(&[a.shape(), b.shape()])?;
    let places = Places::broadcast(a.shape(), &shape).zip(Places::broadcast(b.shape(), &shape));
    let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
    let results = places.map(|(i, j)| f(Number::of(a[i]), Number::of(b[j]))).collect();
    Ok((shape, results))
}

/// Where the lines along an axis begin, how many elements they have, and how far these are apart.
fn lines(shape: &Shape, axis: usize) -> (Vec<usize>, usize, usize) {
    let mut crossed = shape.clone();
    crossed.dims_mut()[axis] = 1;
    (Places::lines(shape, axis, &crossed).collect(), shape[axis], shape.strides()[axis])
}

/// For each place of the sorted tensor the place in `x` that its element comes from.
fn sorted(x: &HostTensor, axis: usize, descending: bool) -> Result<Vec<usize>> {
    let (firsts, n, stride) = lines(x.shape(), axis);
    dispatch_dtype!(x.dtype(), T => {
        let x = numbers::<T>(x)?;
        let mut out = vec![0; x.len()];
        for first in firsts {
            let mut line: Vec<usize> = (0..n).map(|i| first + i * stride).collect();
            line.sort_by(|&i, &j| if descending { order(x[j], x[i]) } else { order(x[i], x[j]) });
            line.into_iter().enumerate().for_each(|(i, place)| out[first + i * stride] = place);
        }
        Ok(out)
    })
}

/// The indices of `gather` along an axis of `x` as those of `gather_elements`.
fn spread(x: &Shape, indices: Array, axis: usize) -> Answer {
    let (mut column, mut shape) = (Shape::from(vec![1; x.rank()]), x.clone());
    column.dims_mut()[axis] = indices.shape().size();
    shape.dims_mut()[axis] = indices.shape().size();
    Minimal.broadcast(Minimal.reshape(indices, &column)?, &shape)
}

/// The shape that a window makes of `x`, and the taps and pixels that meet at each of its places.
fn slide(x: &Shape, window: &WindowSpec) -> (Shape, Vec<Vec<(usize, usize)>>) {
    let padding = window.padding.iter().map(|&(low, high)| (low as isize, high as isize)).collect();
    let spec = ConvSpec { strides: window.strides.clone(), padding, ..ConvSpec::new(window.size.len()) };
    let y = window.output_shape(x);
    let windows = windows(x, &window.size, &spec, &y);
    (y, windows)
}

impl Backend for Minimal {
    type Buffer = Array;

    fn name(&self) -> &str {
        "minimal"
    }

    fn shape(&self, x: &Array) -> Shape {
        HostTensor::shape(x).clone()
    }

    fn dtype(&self, x: &Array) -> DType {
        HostTensor::dtype(x)
    }

    fn from_host(&self, x: HostTensor) -> Answer {
        Ok(Arc::new(x))
    }

    fn to_host(&self, x: Array) -> Result<HostTensor> {
        Ok(Arc::unwrap_or_clone(x))
    }

    fn cast(&self, x: Array, dtype: DType) -> Answer {
        Ok(Arc::new(x.cast(dtype)))
    }

    fn reshape(&self, x: Array, shape: &Shape) -> Answer {
        Arc::unwrap_or_clone(x).reshape(shape).map(Arc::new)
    }

    fn permute(&self, x: Array, axes: &[usize]) -> Answer {
        let strides = strides_of(x.shape());
        let shape = axes.iter().map(|&axis| x.shape()[axis]).collect();
        take(&x, &shape, Places::new(&shape, 0, axes.iter().map(|&axis| strides[axis]).collect()))
    }

    fn broadcast(&self, x: Array, shape: &Shape) -> Answer {
        take(&x, shape, Places::broadcast(x.shape(), shape))
    }

    fn slice(&self, x: Array, start: &[usize], limit: &[usize], stride: &[usize]) -> Answer {
        let first = start.iter().zip(x.shape().strides()).map(|(start, stride)| start * stride).sum();
        let strides =
            strides_of(x.shape()).iter().zip(stride).map(|(s, &stride)| s * stride as isize).collect();
        let shape = (0..start.len()).map(|i| (limit[i] - start[i]).div_ceil(stride[i])).collect();
        take(&x, &shape, Places::new(&shape, first, strides))
    }

    fn reverse(&self, x: Array, axes: &[usize]) -> Answer {
        let mut strides = strides_of(x.shape());
        let last = axes.iter().map(|&axis| x.shape()[axis].saturating_sub(1) * strides[axis] as usize).sum();
        axes.iter().for_each(|&axis| strides[axis] *= -1);
        take(&x, x.shape(), Places::new(x.shape(), last, strides))
    }

    fn concatenate(&self, xs: Vec<Array>, axis: usize) -> Answer {
        let mut shape = xs[0].shape().clone();
        shape.dims_mut()[axis] = xs.iter().map(|x| x.shape()[axis]).sum();
        dispatch_dtype!(xs[0].dtype(), T => {
            let (mut out, mut first) = (vec![T::default(); shape.size()], 0);
            for x in &xs {
                put(&mut out, first, strides_of(&shape), x)?;
                first += x.shape()[axis] * shape.strides()[axis];
            }
            array(shape, out)
        })
    }

    fn pad(&self, x: Array, value: f64, low: &[usize], high: &[usize], interior: &[usize]) -> Answer {
        let inside = |(i, &n): (usize, &usize)| n + n.saturating_sub(1) * interior[i] + low[i] + high[i];
        let shape: Shape = x.shape().iter().enumerate().map(inside).collect();
        let first = low.iter().zip(shape.strides()).map(|(low, stride)| low * stride).sum();
        let strides =
            strides_of(&shape).iter().zip(interior).map(|(s, &gap)| s * (gap as isize + 1)).collect();
        dispatch_dtype!(x.dtype(), T => {
            let mut out = vec![T::from_f64(value); shape.size()];
            put(&mut out, first, strides, &x)?;
            array(shape, out)
        })
    }

    fn unary(&self, op: UnaryOp, x: Array) -> Answer {
        dispatch_dtype!(x.dtype(), T => {
            let f = <T as Item>::Wide::unary(op).ok_or_else(|| unknown(op, &x))?;
            elements::<T>(x.shape().clone(), numbers::<T>(&x)?.into_iter().map(f).collect())
        })
    }

    fn binary(&self, op: BinaryOp, a: Array, b: Array) -> Answer {
        dispatch_dtype!(a.dtype(), T => {
            let (shape, results) = zip::<T, _>(&a, &b, binary(op).ok_or_else(|| unknown(op, &a))?)?;
            elements::<T>(shape, results)
        })
    }

    fn compare(&self, op: CompareOp, a: Array, b: Array) -> Answer {
        dispatch_dtype!(a.dtype(), T => {
            let (shape, results) = zip::<T, _>(&a, &b, comparison(op).ok_or_else(|| unknown(op, &a))?)?;
            array(shape, results)
        })
    }

    fn select(&self, condition: Array, a: Array, b: Array) -> Answer {
        let shape = common(&[condition.shape(), a.shape(), b.shape()])?;
        let condition = self.broadcast(condition, &shape)?;
        let places = Places::broadcast(a.shape(), &shape).zip(Places::broadcast(b.shape(), &shape));
        dispatch_dtype!(a.dtype(), T => {
            let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
            let choices = condition.as_slice::<bool>()?.iter().zip(places);
            array(shape.clone(), choices.map(|(&c, (i, j))| if c { a[i] } else { b[j] }).collect())
        })
    }

    fn reduce(&self, op: ReduceOp, x: Array, axes: &[usize]) -> Answer {
        let kept: Vec<usize> = (0..x.shape().rank()).filter(|axis| !axes.contains(axis)).collect();
        let shape: Shape = kept.iter().map(|&axis| x.shape()[axis]).collect();
        // A stride of 0 along the others lets their elements meet at one place.
        let mut strides = vec![0; x.shape().rank()];
        kept.iter().zip(strides_of(&shape)).for_each(|(&axis, stride)| strides[axis] = stride);
        dispatch_dtype!(x.dtype(), T => {
            let (start, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = vec![start; shape.size()];
            for (place, v) in Places::new(x.shape(), 0, strides).zip(numbers::<T>(&x)?) {
                out[place] = combine(out[place], v);
            }
            elements::<T>(shape, out)
        })
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: Array, axis: usize) -> Answer {
        let mut shape = x.shape().clone();
        shape.remove(axis);
        let (firsts, n, stride) = lines(x.shape(), axis);
        dispatch_dtype!(x.dtype(), T => {
            let sign: <T as Item>::Wide = match op {
                ArgReduceOp::Max => num_traits::one(),
                ArgReduceOp::Min => -num_traits::one::<<T as Item>::Wide>(),
                _ => return Err(unknown(op, &x)),
            };
            let x = numbers::<T>(&x)?;
            let best = |first: usize| {
                let beats = |i, j| order(sign * x[first + i * stride], sign * x[first + j * stride]).is_gt();
                (1..n).fold(0, |best, i| if beats(i, best) { i } else { best }) as i32
            };
            array(shape, firsts.into_iter().map(best).collect())
        })
    }

    fn cumulative(&self, op: ReduceOp, x: Array, axis: usize) -> Answer {
        let (firsts, n, stride) = lines(x.shape(), axis);
        dispatch_dtype!(x.dtype(), T => {
            let (_, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = numbers::<T>(&x)?;
            for place in firsts.iter().flat_map(|first| (1..n).map(move |i| first + i * stride)) {
                out[place] = combine(out[place - stride], out[place]);
            }
            elements::<T>(x.shape().clone(), out)
        })
    }

    fn sort(&self, x: Array, axis: usize, descending: bool) -> Answer {
        take(&x, x.shape(), sorted(&x, axis, descending)?.into_iter())
    }

    fn argsort(&self, x: Array, axis: usize, descending: bool) -> Answer {
        let index = |place: usize| (place / x.shape().strides()[axis] % x.shape()[axis]) as i32;
        array(x.shape().clone(), sorted(&x, axis, descending)?.into_iter().map(index).collect())
    }

    fn gather(&self, x: Array, indices: Array, axis: usize) -> Answer {
        let lead = x.shape()[..axis].iter().chain(indices.shape().iter());
        let shape = lead.chain(&x.shape()[axis + 1..]).copied().collect();
        let indices = spread(x.shape(), indices, axis)?;
        self.reshape(self.gather_elements(x, indices, axis)?, &shape)
    }

    fn gather_elements(&self, x: Array, indices: Array, axis: usize) -> Answer {
        let clamp = |&i: &i32| usize::try_from(i).unwrap_or(0).min(x.shape()[axis] - 1);
        let places = Places::lines(x.shape(), axis, indices.shape()).zip(indices.as_slice()?);
        take(&x, indices.shape(), places.map(|(first, i)| first + clamp(i) * x.shape().strides()[axis]))
    }

    fn scatter(&self, op: ScatterOp, x: Array, indices: Array, updates: Array, axis: usize) -> Answer {
        let indices = spread(x.shape(), indices, axis)?;
        let updates = self.reshape(updates, indices.shape())?;
        self.scatter_elements(op, x, indices, updates, axis)
    }

    fn scatter_elements(
        &self,
        op: ScatterOp,
        x: Array,
        indices: Array,
        updates: Array,
        axis: usize,
    ) -> Answer {
        let (n, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let places = Places::lines(x.shape(), axis, indices.shape()).zip(indices.as_slice::<i32>()?);
        dispatch_dtype!(x.dtype(), T => {
            let update = update(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = numbers::<T>(&x)?;
            for ((first, &i), new) in places.zip(numbers::<T>(&updates)?) {
                if let Some(i) = usize::try_from(i).ok().filter(|&i| i < n) {
                    out[first + i * stride] = update(out[first + i * stride], new);
                }
            }
            elements::<T>(x.shape().clone(), out)
        })
    }

    fn matmul(&self, a: Array, b: Array) -> Answer {
        let (lead_a, size_a) = a.shape().split_at(a.shape().rank() - 2);
        let (lead_b, size_b) = b.shape().split_at(b.shape().rank() - 2);
        let (lead_a, lead_b, m, k, n) = (lead_a.into(), lead_b.into(), size_a[0], size_a[1], size_b[1]);
        let lead = common(&[&lead_a, &lead_b])?;
        let shape: Shape = lead.iter().copied().chain([m, n]).collect();
        let matrices = Places::broadcast(&lead_a, &lead).zip(Places::broadcast(&lead_b, &lead));
        dispatch_dtype!(a.dtype(), T => {
            let (a, b) = (numbers::<T>(&a)?, numbers::<T>(&b)?);
            let mut out = vec![num_traits::zero(); shape.size()];
            for ((in_a, in_b), out) in matrices.zip(out.chunks_mut((m * n).max(1))) {
                for (i, row) in out.chunks_mut(n).enumerate() {
                    for (l, &v) in a[(in_a * m + i) * k..][..k].iter().enumerate() {
                        row.iter_mut().zip(&b[(in_b * k + l) * n..]).for_each(|(out, &w)| *out = *out + v * w);
                    }
                }
            }
            elements::<T>(shape, out)
        })
    }

    fn convolution(&self, x: Array, filter: Array, spec: &ConvSpec) -> Answer {
        let y = spec.output_shape(x.shape(), filter.shape());
        let (taps, channels) = filter.shape().split_at(spec.strides.len());
        let windows = windows(x.shape(), taps, spec, &y);
        let (inputs, outputs, all_inputs) = (channels[0], channels[1], channels[0] * spec.groups);
        let group = outputs / spec.groups;
        dispatch_dtype!(x.dtype(), T => {
            let (x, filter) = (numbers::<T>(&x)?, numbers::<T>(&filter)?);
            let mut out = vec![num_traits::zero(); y.size()];
            for (window, out) in windows.iter().zip(out.chunks_mut(outputs.max(1))) {
                for &(tap, pixel) in window {
                    for (channel, &v) in x[pixel * all_inputs..][..all_inputs].iter().enumerate() {
                        let first = channel / inputs * group;
                        let weights = &filter[(tap * inputs + channel % inputs) * outputs + first..];
                        let out = &mut out[first..first + group];
                        out.iter_mut().zip(weights).for_each(|(out, &w)| *out = *out + v * w);
                    }
                }
            }
            elements::<T>(y, out)
        })
    }

    fn reduce_window(&self, op: ReduceOp, x: Array, window: &WindowSpec) -> Answer {
        let (y, windows) = slide(x.shape(), window);
        let channels = y[y.rank() - 1];
        dispatch_dtype!(x.dtype(), T => {
            let (start, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let (x, mut out) = (numbers::<T>(&x)?, vec![start; y.size()]);
            for (window, out) in windows.iter().zip(out.chunks_mut(channels.max(1))) {
                for &(_, pixel) in window {
                    out.iter_mut().zip(&x[pixel * channels..]).for_each(|(out, &v)| *out = combine(*out, v));
                }
            }
            elements::<T>(y, out)
        })
    }

    fn select_and_scatter(&self, x: Array, g: Array, window: &WindowSpec) -> Answer {
        let (y, windows) = slide(x.shape(), window);
        let channels = y[y.rank() - 1];
        dispatch_dtype!(x.dtype(), T => {
            let (v, g) = (numbers::<T>(&x)?, numbers::<T>(&g)?);
            let mut out = vec![num_traits::zero(); v.len()];
            for (i, &g) in g.iter().enumerate() {
                let places = windows[i / channels].iter().map(|&(_, pixel)| pixel * channels + i % channels);
                if let Some(place) = places.reduce(|best, place| if v[best] >= v[place] { best } else { place }) {
                    out[place] = out[place] + g;
                }
            }
            elements::<T>(x.shape().clone(), out)
        })
    }
}
