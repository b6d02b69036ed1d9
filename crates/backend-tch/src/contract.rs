//! Matrix products and convolutions.

use keras_spec::{ConvSpec, DType};
use tch::{Device, Kind, Tensor};

use crate::buffer::{Buffer, Done, is_half, kind, shape_of, sizes, unsupported, wrapped};
use crate::movement::cast;
use crate::window::{outside, windows};

/// Runs a contraction of two operands in the kind that libtorch does it in, and takes the result back: integers as `int64`,
/// which wraps to the same in the end, and half precisions on the CPU as `float32`, which is rounded once.
fn contracted(a: Buffer, b: Buffer, run: impl FnOnce(&Tensor, &Tensor) -> Done) -> Done<Buffer> {
    let dtype = a.dtype();
    if dtype == DType::Bool {
        return unsupported("matmul", dtype);
    }
    if is_half(dtype) && a.tensor().device() == Device::Cpu {
        let wide = run(cast(a, DType::F32)?.tensor(), cast(b, DType::F32)?.tensor())?;
        return cast(Buffer::new(wide, DType::F32), dtype);
    }
    if dtype.is_float() {
        return Ok(Buffer::new(run(a.tensor(), b.tensor())?, dtype));
    }
    let wide = run(&a.tensor().f_to_kind(Kind::Int64)?, &b.tensor().f_to_kind(Kind::Int64)?)?;
    Ok(Buffer::new(wrapped(wide.f_to_kind(kind(dtype))?, dtype)?, dtype))
}

pub(crate) fn matmul(a: Buffer, b: Buffer) -> Done<Buffer> {
    contracted(a, b, product)
}

fn product(a: &Tensor, b: &Tensor) -> Done {
    if a.f_kind()? == Kind::Int64 && a.device() != Device::Cpu {
        // Only the CPU multiplies matrices of integers.
        return Ok(a.f_unsqueeze(-1)?.f_mul(&b.f_unsqueeze(-3)?)?.f_sum_dim_intlist(
            -2i64,
            false,
            Kind::Int64,
        )?);
    }
    #[cfg(feature = "shim")]
    if let Some(y) = crate::kernels::product(a, b, None, keras_kernels::rnn::Activation::Linear) {
        return y;
    }
    Ok(a.f_matmul(b)?)
}

pub(crate) fn convolution(x: Buffer, filter: Buffer, spec: &ConvSpec) -> Done<Buffer> {
    contracted(x, filter, |x, filter| {
        let own = x.f_kind()? != Kind::Int64;
        match Plan::new(spec, &filter.size()).filter(|_| own) {
            Some(plan) => plan.forward(x, filter, None),
            None => by_windows(x, filter, spec),
        }
    })
}

/// `(batch, spatial…, channels)` as libtorch has it, `(batch, channels, spatial…)`: a view, whose strides say
/// `channels_last`, for which libtorch has kernels.
pub(crate) fn channels_first(x: &Tensor) -> Done {
    let mut axes: Vec<i64> = (0..x.dim() as i64).collect();
    if let Some(channels) = axes.pop() {
        axes.insert(1, channels);
    }
    Ok(x.f_permute(axes)?)
}

/// The way back from [`channels_first`].
pub(crate) fn channels_last(x: &Tensor) -> Done {
    let mut axes: Vec<i64> = (0..x.dim() as i64).collect();
    let channels = axes.remove(1);
    axes.push(channels);
    Ok(x.f_permute(axes)?)
}

/// The length of `n` elements with `dilation - 1` others between them.
fn dilated(n: i64, dilation: usize) -> i64 {
    if n == 0 { 0 } else { (n - 1) * dilation as i64 + 1 }
}

/// How libtorch is asked for a convolution: it knows padding that is the same on both sides, and dilation of one operand.
pub(crate) struct Plan<'a> {
    spec: &'a ConvSpec,
    /// Whether the input is dilated, so that this is the transpose of another convolution, whose step that dilation is.
    transposed: bool,
    strides: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
    output_padding: Vec<i64>,
    /// Zeros that are put around the input beforehand (around the output afterwards, if transposed); negative ones crop.
    around: Vec<(i64, i64)>,
}

impl<'a> Plan<'a> {
    /// The plan, if there is one, for a filter of these dimensions.
    pub(crate) fn new(spec: &'a ConvSpec, filter: &[i64]) -> Option<Self> {
        let n = spec.strides.len();
        let transposed = spec.input_dilation.iter().any(|&d| d != 1);
        if !(1..=3).contains(&n) || (transposed && spec.strides.iter().any(|&s| s != 1)) {
            return None;
        }
        let (mut padding, mut output_padding, mut around) = (vec![], vec![], vec![]);
        for (i, &window) in filter.iter().enumerate().take(n) {
            let (low, high) = (spec.padding[i].0 as i64, spec.padding[i].1 as i64);
            if transposed {
                // What the transpose of a convolution without padding has too much.
                let reach = dilated(window, spec.filter_dilation[i]) - 1;
                let (low, high) = (reach - low, reach - high);
                let most = spec.input_dilation[i].max(spec.filter_dilation[i]) as i64;
                if low >= 0 && (0..most).contains(&(low - high)) {
                    padding.push(low);
                    output_padding.push(low - high);
                    around.push((0, 0));
                } else {
                    let both = low.min(high).max(0);
                    padding.push(both);
                    output_padding.push(0);
                    around.push((both - low, both - high));
                }
            } else {
                let both = low.min(high).max(0);
                padding.push(both);
                output_padding.push(0);
                around.push((low - both, high - both));
            }
        }
        let strides = if transposed { &spec.input_dilation } else { &spec.strides };
        let dilation = sizes(&spec.filter_dilation);
        Some(Plan { spec, transposed, strides: sizes(strides), padding, dilation, output_padding, around })
    }

    /// The filter `(window…, in / groups, out)` as libtorch has it: `(out, in / groups, window…)`, or the transpose's
    /// `(in, out / groups, window…)` with the windows turned round.
    fn weight(&self, filter: &Tensor) -> Done {
        let n = self.spec.strides.len() as i64;
        let window: Vec<i64> = (0..n).collect();
        if !self.transposed {
            return Ok(filter.f_permute([&[n + 1, n], &window[..]].concat())?);
        }
        let groups = self.spec.groups as i64;
        let size = filter.size();
        let (inputs, outputs) = (size[n as usize], size[n as usize + 1]);
        let shape = [&size[..n as usize], &[inputs, groups, outputs / groups]].concat();
        let split = filter.f_flip(&window)?.f_reshape(&shape)?;
        let split = split.f_permute([&[n + 1, n, n + 2], &window[..]].concat())?;
        Ok(split.f_reshape([&[groups * inputs, outputs / groups], &size[..n as usize]].concat())?)
    }

    /// The way back from [`weight`](Plan::weight), to a filter of these dimensions.
    #[cfg(feature = "shim")]
    fn filter(&self, weight: &Tensor, size: &[i64]) -> Done {
        let n = self.spec.strides.len() as i64;
        let window: Vec<i64> = (0..n).collect();
        if !self.transposed {
            let axes: Vec<i64> = (2..n + 2).chain([1, 0]).collect();
            return Ok(weight.f_permute(axes)?);
        }
        let groups = self.spec.groups as i64;
        let (inputs, outputs) = (size[n as usize], size[n as usize + 1]);
        let split = weight.f_reshape([&[groups, inputs, outputs / groups], &size[..n as usize]].concat())?;
        let axes: Vec<i64> = (3..n + 3).chain([1, 0, 2]).collect();
        Ok(split.f_permute(axes)?.f_reshape(size)?.f_flip(&window)?)
    }

    /// The convolution of channels-last operands.
    pub(crate) fn forward(&self, x: &Tensor, filter: &Tensor, bias: Option<&Tensor>) -> Done {
        let shape = sizes(&self.spec.output_shape(&shape_of(x), &shape_of(filter)));
        if shape.contains(&0) || x.numel() == 0 {
            // libtorch refuses windows that do not fit in.
            let zeros = Tensor::f_zeros(&shape, (x.f_kind()?, x.device()))?;
            return Ok(match bias {
                Some(bias) => zeros.f_add(bias)?,
                None => zeros,
            });
        }
        let weight = self.weight(filter)?;
        let bias = bias.map(Tensor::f_contiguous).transpose()?;
        let bias = bias.as_ref();
        let run = |x: &Tensor| -> Done {
            let y = channels_first(x)?.f_convolution(
                &weight,
                bias,
                &self.strides,
                &self.padding,
                &self.dilation,
                self.transposed,
                &self.output_padding,
                self.spec.groups as i64,
            )?;
            channels_last(&y)
        };
        if !self.transposed {
            return run(&outside(x, &self.around, 0.0)?);
        }
        let y = run(x)?;
        let extends = self.around.iter().any(|&(low, high)| low > 0 || high > 0);
        match bias {
            // What is put around has a bias too.
            Some(bias) if extends => {
                let y = outside(&y.f_sub(bias)?, &self.around, 0.0)?;
                Ok(y.f_add(bias)?)
            }
            _ => outside(&y, &self.around, 0.0),
        }
    }

    /// The gradients of the input, of shape `input`, or of the filter, of shape `filter`, from that of the output.
    #[cfg(feature = "shim")]
    pub(crate) fn backward(&self, g: &Tensor, wanted: Backward<'_>) -> Done {
        let (kind, device) = (g.f_kind()?, g.device());
        let mirrored: Vec<(i64, i64)> = self.around.iter().map(|&(low, high)| (-low, -high)).collect();
        let g = if self.transposed { outside(g, &mirrored, 0.0)? } else { g.shallow_clone() };
        let (x, filter, result) = match wanted {
            Backward::Input { filter, input } => {
                // Only its shape matters.
                (Tensor::f_empty(input, (kind, device))?, filter.shallow_clone(), input)
            }
            Backward::Filter { x, filter } => {
                (x.shallow_clone(), Tensor::f_empty(filter, (kind, device))?, filter)
            }
        };
        if g.numel() == 0 || x.numel() == 0 || filter.numel() == 0 {
            return Ok(Tensor::f_zeros(result, (kind, device))?);
        }
        let x = if self.transposed { x } else { outside(&x, &self.around, 0.0)? };
        let only = matches!(wanted, Backward::Input { .. });
        let gradient = crate::shim::convolution_backward(
            &channels_first(&g)?,
            &channels_first(&x)?,
            // Where it is not, some of libtorch's kernels refuse it.
            &self.weight(&filter)?.f_contiguous()?,
            [&self.strides, &self.padding, &self.dilation, &self.output_padding],
            self.transposed,
            self.spec.groups as i64,
            only,
        )?;
        match wanted {
            Backward::Input { .. } => {
                let gradient = channels_last(&gradient)?;
                if self.transposed { Ok(gradient) } else { outside(&gradient, &mirrored, 0.0) }
            }
            Backward::Filter { filter, .. } => self.filter(&gradient, filter),
        }
    }
}

/// What [`Plan::backward`] computes.
#[cfg(feature = "shim")]
#[derive(Clone, Copy)]
pub(crate) enum Backward<'a> {
    /// The gradient of an input of these dimensions.
    Input { filter: &'a Tensor, input: &'a [i64] },
    /// The gradient of a filter of these dimensions.
    Filter { x: &'a Tensor, filter: &'a [i64] },
}

/// A convolution as a matrix product of all windows: of integers, and where there is no [`Plan`].
fn by_windows(x: &Tensor, filter: &Tensor, spec: &ConvSpec) -> Done {
    let n = spec.strides.len();
    let (x_shape, f_shape) = (x.size(), filter.size());
    let shape = sizes(&spec.output_shape(&shape_of(x), &shape_of(filter)));
    let options = (x.f_kind()?, x.device());
    if shape.contains(&0) || x.numel() == 0 {
        return Ok(Tensor::f_zeros(&shape, options)?);
    }
    let spread: Vec<i64> = (0..n).map(|i| dilated(x_shape[i + 1], spec.input_dilation[i])).collect();
    let zeros = Tensor::f_zeros([&x_shape[..1], &spread, &x_shape[n + 1..]].concat(), options)?;
    let mut inside = zeros.shallow_clone();
    for (i, &d) in spec.input_dilation.iter().enumerate() {
        inside = inside.f_slice(i as i64 + 1, None, None, d as i64)?;
    }
    inside.f_copy_(x)?;
    let around: Vec<(i64, i64)> = spec.padding.iter().map(|&(l, h)| (l as i64, h as i64)).collect();
    let padded = outside(&zeros, &around, 0.0)?;
    // (batch, steps…, channels, window…)
    let seen = windows(&padded, &f_shape[..n], &spec.strides, &spec.filter_dilation)?;
    let groups = spec.groups as i64;
    let (inputs, outputs) = (f_shape[n], f_shape[n + 1]);
    let rows: i64 = shape[..=n].iter().product();
    let depth = f_shape[..=n].iter().product::<i64>();
    let seen = seen.f_reshape([&shape[..=n], &[groups, inputs], &f_shape[..n]].concat())?;
    let mut axes: Vec<i64> = vec![n as i64 + 1];
    axes.extend(0..=n as i64);
    axes.extend(n as i64 + 3..2 * n as i64 + 3);
    axes.push(n as i64 + 2);
    let seen = seen.f_permute(axes)?.f_reshape([groups, rows, depth].as_slice())?;
    let filter = filter.f_reshape([depth, groups, outputs / groups].as_slice())?;
    let y = product(&seen, &filter.f_permute([1i64, 0, 2].as_slice())?)?;
    Ok(y.f_permute([1i64, 0, 2].as_slice())?.f_reshape(&shape)?)
}
