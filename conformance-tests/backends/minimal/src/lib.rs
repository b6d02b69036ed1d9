//! A complete backend in plain loops: all that a backend must do, and nothing that it may do.
//!
//! It is written to be read beside the contract, [`Backend`], and to be the judge of faster backends. A tensor is a
//! [`HostTensor`] behind a reference count. Two ideas carry the rest. `places` says where elements come from or go to, so
//! that what moves elements is a few numbers for each axis. `Item` names the wider numbers that elements are computed in,
//! so that each function is written once.

mod number;

use std::sync::Arc;

use keras_spec::{
    ArgReduceOp, Backend, BackendEntry, BinaryOp, CompareOp, ConvSpec, DType, Element, Error, HostTensor,
    ReduceOp, Result, ScatterOp, Shape, UnaryOp, WindowSpec, dispatch_dtype,
    places::{self, lines, places, strides, windows},
};

use number::{Item, Number, binary, comparison, order, preference, reduction, update};

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

fn array<T: Element>(shape: &Shape, elements: Vec<T>) -> Answer {
    HostTensor::new(shape, elements).map(Arc::new)
}

fn unknown(op: impl std::fmt::Debug, x: &HostTensor) -> Error {
    Error::unsupported("minimal", format!("{op:?}"), x.dtype(), "this backend does not know it")
}

/// The elements as numbers to compute with.
fn numbers<T: Item>(x: &HostTensor) -> Result<Vec<T::Wide>> {
    Ok(x.as_slice::<T>()?.iter().map(|&v| v.wide()).collect())
}

/// A tensor of numbers that were computed.
fn elements<T: Item>(shape: &Shape, numbers: Vec<T::Wide>) -> Answer {
    array::<T>(shape, numbers.into_iter().map(T::of).collect())
}

/// A tensor of the elements at `places` in `x`.
fn take(x: &HostTensor, shape: &Shape, places: Vec<usize>) -> Answer {
    dispatch_dtype!(x.dtype(), T => {
        let from = x.as_slice::<T>()?;
        array(shape, places.into_iter().map(|place| from[place]).collect())
    })
}

fn put<T: Copy>(elements: &[T], out: &mut [T], places: Vec<usize>) {
    elements.iter().zip(places).for_each(|(&v, place)| out[place] = v);
}

/// The shape that tensors are broadcast to together.
fn common(shapes: &[&Shape]) -> Result<Shape> {
    let all = shapes.iter().try_fold(Shape::scalar(), |all, shape| all.broadcast(shape));
    all.ok_or_else(|| Error::shape("broadcast", "the operands do not fit together", shapes.iter().copied()))
}

/// A function of two tensors with elements of type `T`.
fn zip<T: Item, R>(a: &HostTensor, b: &HostTensor, f: fn(T::Wide, T::Wide) -> R) -> Result<(Shape, Vec<R>)> {
    let shape = common(&[a.shape(), b.shape()])?;
    let places = places::broadcast(a.shape(), &shape).into_iter().zip(places::broadcast(b.shape(), &shape));
    let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
    Ok((shape, places.map(|(i, j)| f(a[i].wide(), b[j].wide())).collect()))
}

/// The shape that a window makes of `x`, and for each of its elements the places in `x` that its window sees.
fn slide(x: &Shape, window: &WindowSpec) -> (Shape, Vec<Vec<usize>>) {
    let padding = window.padding.iter().map(|&(low, high)| (low as isize, high as isize)).collect();
    let spec = ConvSpec { strides: window.strides.clone(), padding, ..ConvSpec::new(window.size.len()) };
    let (y, channels) = (window.output_shape(x), x[window.size.len() + 1]);
    let windows = windows(x, &window.size, &spec, &y);
    let channel = |met: &[(usize, usize)], c| met.iter().map(|&(_, pixel)| pixel * channels + c).collect();
    let seen = windows.iter().flat_map(|met| (0..channels).map(|c| channel(met, c))).collect();
    (y, seen)
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
        let of_x = strides(x.shape());
        let strides: Vec<isize> = axes.iter().map(|&axis| of_x[axis]).collect();
        let shape = axes.iter().map(|&axis| x.shape()[axis]).collect();
        take(&x, &shape, places(&shape, 0, &strides))
    }

    fn broadcast(&self, x: Array, shape: &Shape) -> Answer {
        take(&x, shape, places::broadcast(x.shape(), shape))
    }

    fn slice(&self, x: Array, start: &[usize], limit: &[usize], stride: &[usize]) -> Answer {
        let mut strides = strides(x.shape());
        let first = start.iter().zip(&strides).map(|(&start, &stride)| start * stride as usize).sum();
        strides.iter_mut().zip(stride).for_each(|(of_x, &stride)| *of_x *= stride as isize);
        let shape = (0..start.len()).map(|i| (limit[i] - start[i]).div_ceil(stride[i])).collect();
        take(&x, &shape, places(&shape, first, &strides))
    }

    fn reverse(&self, x: Array, axes: &[usize]) -> Answer {
        let mut strides = strides(x.shape());
        let last = axes.iter().map(|&axis| x.shape()[axis].saturating_sub(1) * strides[axis] as usize).sum();
        axes.iter().for_each(|&axis| strides[axis] *= -1);
        take(&x, x.shape(), places(x.shape(), last, &strides))
    }

    fn concatenate(&self, xs: Vec<Array>, axis: usize) -> Answer {
        let shape = xs[0].shape().with(axis, xs.iter().map(|x| x.shape()[axis]).sum());
        let strides = strides(&shape);
        dispatch_dtype!(xs[0].dtype(), T => {
            let (mut out, mut first) = (vec![T::default(); shape.size()], 0);
            for x in &xs {
                put(x.as_slice::<T>()?, &mut out, places(x.shape(), first, &strides));
                first += x.shape()[axis] * strides[axis] as usize;
            }
            array(&shape, out)
        })
    }

    fn pad(&self, x: Array, value: f64, low: &[usize], high: &[usize], interior: &[usize]) -> Answer {
        let padded = |(i, &n): (usize, &usize)| low[i] + n + n.saturating_sub(1) * interior[i] + high[i];
        let shape: Shape = x.shape().iter().enumerate().map(padded).collect();
        let mut strides = strides(&shape);
        let first = low.iter().zip(&strides).map(|(&low, &stride)| low * stride as usize).sum();
        strides.iter_mut().zip(interior).for_each(|(stride, &gap)| *stride *= gap as isize + 1);
        dispatch_dtype!(x.dtype(), T => {
            let mut out = vec![T::from_f64(value); shape.size()];
            put(x.as_slice::<T>()?, &mut out, places(x.shape(), first, &strides));
            array(&shape, out)
        })
    }

    fn unary(&self, op: UnaryOp, x: Array) -> Answer {
        dispatch_dtype!(x.dtype(), T => {
            let f = <T as Item>::Wide::unary(op).ok_or_else(|| unknown(op, &x))?;
            elements::<T>(x.shape(), numbers::<T>(&x)?.into_iter().map(f).collect())
        })
    }

    fn binary(&self, op: BinaryOp, a: Array, b: Array) -> Answer {
        dispatch_dtype!(a.dtype(), T => {
            let (shape, results) = zip::<T, _>(&a, &b, binary(op).ok_or_else(|| unknown(op, &a))?)?;
            elements::<T>(&shape, results)
        })
    }

    fn compare(&self, op: CompareOp, a: Array, b: Array) -> Answer {
        dispatch_dtype!(a.dtype(), T => {
            let (shape, results) = zip::<T, _>(&a, &b, comparison(op).ok_or_else(|| unknown(op, &a))?)?;
            array(&shape, results)
        })
    }

    fn select(&self, condition: Array, a: Array, b: Array) -> Answer {
        let shape = common(&[condition.shape(), a.shape(), b.shape()])?;
        let condition = self.broadcast(condition, &shape)?;
        let places =
            places::broadcast(a.shape(), &shape).into_iter().zip(places::broadcast(b.shape(), &shape));
        let choices = condition.as_slice::<bool>()?.iter().zip(places);
        dispatch_dtype!(a.dtype(), T => {
            let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
            array(&shape, choices.map(|(&c, (i, j))| if c { a[i] } else { b[j] }).collect())
        })
    }

    fn reduce(&self, op: ReduceOp, x: Array, axes: &[usize]) -> Answer {
        let kept = (0..x.shape().rank()).filter(|axis| !axes.contains(axis));
        let shape: Shape = kept.map(|axis| x.shape()[axis]).collect();
        // An element goes to where it would come from if the result were broadcast.
        let ones = axes.iter().fold(x.shape().clone(), |ones, &axis| ones.with(axis, 1));
        let places = places::broadcast(&ones, x.shape());
        dispatch_dtype!(x.dtype(), T => {
            let (start, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = vec![start; shape.size()];
            for (place, v) in places.into_iter().zip(numbers::<T>(&x)?) {
                out[place] = combine(out[place], v);
            }
            elements::<T>(&shape, out)
        })
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: Array, axis: usize) -> Answer {
        let mut shape = x.shape().clone();
        shape.remove(axis);
        dispatch_dtype!(x.dtype(), T => {
            let (v, prefers) = (numbers::<T>(&x)?, preference(op).ok_or_else(|| unknown(op, &x))?);
            let better = |best: usize, place: usize| if prefers(v[place], v[best]) { place } else { best };
            let best = lines(x.shape(), axis).into_iter().filter_map(|line| line.into_iter().reduce(better));
            array(&shape, best.map(|place| places::index(x.shape(), axis, place)).collect())
        })
    }

    fn cumulative(&self, op: ReduceOp, x: Array, axis: usize) -> Answer {
        dispatch_dtype!(x.dtype(), T => {
            let (_, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = numbers::<T>(&x)?;
            for line in lines(x.shape(), axis) {
                line.windows(2).for_each(|two| out[two[1]] = combine(out[two[0]], out[two[1]]));
            }
            elements::<T>(x.shape(), out)
        })
    }

    fn argsort(&self, x: Array, axis: usize, descending: bool) -> Answer {
        let mut out = vec![0; x.shape().size()];
        dispatch_dtype!(x.dtype(), T => {
            let v = numbers::<T>(&x)?;
            for line in lines(x.shape(), axis) {
                let mut sorted: Vec<usize> = (0..line.len()).collect();
                let order = |i: usize, j: usize| order(v[line[i]], v[line[j]]);
                sorted.sort_by(|&i, &j| if descending { order(j, i) } else { order(i, j) });
                line.iter().zip(&sorted).for_each(|(&place, &i)| out[place] = i as i32);
            }
        });
        array(x.shape(), out)
    }

    fn gather_elements(&self, x: Array, indices: Array, axis: usize) -> Answer {
        let (n, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let clamped = |&i: &i32| usize::try_from(i).unwrap_or(0).min(n - 1);
        let places = places::starts(x.shape(), axis, indices.shape()).into_iter().zip(indices.as_slice()?);
        take(&x, indices.shape(), places.map(|(first, i)| first + clamped(i) * stride).collect())
    }

    fn scatter_elements(&self, op: ScatterOp, x: Array, indices: Array, new: Array, axis: usize) -> Answer {
        let (n, stride) = (x.shape()[axis], x.shape().strides()[axis]);
        let places =
            places::starts(x.shape(), axis, indices.shape()).into_iter().zip(indices.as_slice::<i32>()?);
        dispatch_dtype!(x.dtype(), T => {
            let update = update(op).ok_or_else(|| unknown(op, &x))?;
            let mut out = numbers::<T>(&x)?;
            for ((first, &i), new) in places.zip(numbers::<T>(&new)?) {
                if let Some(i) = usize::try_from(i).ok().filter(|&i| i < n) {
                    out[first + i * stride] = update(out[first + i * stride], new);
                }
            }
            elements::<T>(x.shape(), out)
        })
    }

    fn matmul(&self, a: Array, b: Array) -> Answer {
        let split = |x: &Shape| (Shape::from(&x[..x.rank() - 2]), x[x.rank() - 2], x[x.rank() - 1]);
        let ((lead_a, m, k), (lead_b, _, n)) = (split(a.shape()), split(b.shape()));
        let lead = common(&[&lead_a, &lead_b])?;
        let shape: Shape = lead.iter().copied().chain([m, n]).collect();
        let matrices = places::broadcast(&lead_a, &lead).into_iter().zip(places::broadcast(&lead_b, &lead));
        dispatch_dtype!(a.dtype(), T => {
            let (a, b) = (numbers::<T>(&a)?, numbers::<T>(&b)?);
            let mut out = vec![num_traits::zero(); shape.size()];
            for ((in_a, in_b), out) in matrices.zip(out.chunks_mut((m * n).max(1))) {
                for (i, out) in out.iter_mut().enumerate() {
                    let (a, b) = (&a[(in_a * m + i / n) * k..][..k], b[in_b * k * n..].iter().skip(i % n));
                    *out = a.iter().zip(b.step_by(n)).fold(*out, |sum, (&a, &b)| sum + a * b);
                }
            }
            elements::<T>(&shape, out)
        })
    }

    fn convolution(&self, x: Array, filter: Array, spec: &ConvSpec) -> Answer {
        let y = spec.output_shape(x.shape(), filter.shape());
        let (taps, channels) = filter.shape().split_at(spec.strides.len());
        let windows = windows(x.shape(), taps, spec, &y);
        let (inputs, outputs, group) = (channels[0], channels[1], channels[1] / spec.groups);
        dispatch_dtype!(x.dtype(), T => {
            let (x, filter) = (numbers::<T>(&x)?, numbers::<T>(&filter)?);
            let mut out = vec![num_traits::zero(); y.size()];
            for (i, out) in out.iter_mut().enumerate() {
                let (window, output) = (&windows[i / outputs], i % outputs);
                for &(tap, pixel) in window {
                    let x = &x[(pixel * spec.groups + output / group) * inputs..][..inputs];
                    let filter = filter[tap * inputs * outputs..].iter().skip(output).step_by(outputs);
                    *out = x.iter().zip(filter).fold(*out, |sum, (&v, &w)| sum + v * w);
                }
            }
            elements::<T>(&y, out)
        })
    }

    fn reduce_window(&self, op: ReduceOp, x: Array, window: &WindowSpec) -> Answer {
        let (y, seen) = slide(x.shape(), window);
        dispatch_dtype!(x.dtype(), T => {
            let (start, combine) = reduction::<T>(op).ok_or_else(|| unknown(op, &x))?;
            let v = numbers::<T>(&x)?;
            let all = |places: Vec<usize>| places.into_iter().fold(start, |all, place| combine(all, v[place]));
            elements::<T>(&y, seen.into_iter().map(all).collect())
        })
    }

    fn select_and_scatter(&self, x: Array, g: Array, window: &WindowSpec) -> Answer {
        let (_, seen) = slide(x.shape(), window);
        dispatch_dtype!(x.dtype(), T => {
            let v = numbers::<T>(&x)?;
            let mut out = vec![num_traits::zero(); v.len()];
            for (places, g) in seen.into_iter().zip(numbers::<T>(&g)?) {
                if let Some(place) = places.into_iter().reduce(|best, i| if v[best] >= v[i] { best } else { i }) {
                    out[place] += g;
                }
            }
            elements::<T>(x.shape(), out)
        })
    }
}
