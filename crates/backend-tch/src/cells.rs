//! LSTM and GRU in this machine's memory: this project's kernels, on libtorch's tensors and threads.
//!
//! A step is too small for libtorch's functions: calling them takes longer than what they do, and their threads wait for each
//! other in each.

use keras_kernels::math::Real;
use keras_kernels::par::with_threads_of;
use keras_kernels::rnn::{Activation, Gru, GruSaved, Lstm, LstmSaved, Sequence};
use keras_spec::{Activ, DType, Fused, RnnSpec};
use tch::kind::Element;
use tch::{Device, Tensor};

use crate::buffer::{Buffer, Done, broken};
use crate::shim::{LibtorchThreads, elements, from_vec};

/// Whether the operands are where the kernels can be.
pub(crate) fn reach(operands: &[Buffer]) -> bool {
    operands.iter().all(|x| x.tensor().device() == Device::Cpu)
}

/// A recurrent operation.
pub(crate) fn fused(op: &Fused, operands: &[Buffer]) -> Done<Vec<Buffer>> {
    match operands.first().map(Buffer::dtype) {
        Some(DType::F64) => run::<f64>(op, operands),
        _ => run::<f32>(op, operands),
    }
}

fn run<T: Real + Element>(op: &Fused, operands: &[Buffer]) -> Done<Vec<Buffer>> {
    match op {
        Fused::Lstm(rnn) => lstm::<T>(rnn, operands),
        Fused::LstmBackward(rnn) => lstm_backward::<T>(rnn, operands),
        Fused::Gru { rnn, reset_after } => gru::<T>(rnn, *reset_after, operands),
        Fused::GruBackward { rnn, reset_after } => gru_backward::<T>(rnn, *reset_after, operands),
        other => Err(broken(other.name(), "not a recurrent operation").into()),
    }
}

/// Operands in one piece each; the input and the mask in the order of computation.
struct Operands<const N: usize> {
    op: &'static str,
    tensors: [Tensor; N],
    mask: Option<Tensor>,
    rnn: RnnSpec,
}

impl<const N: usize> Operands<N> {
    /// Takes `N` operands, of which the first is the input and the third has a row for each unit, and the mask.
    fn new(op: &'static str, rnn: &RnnSpec, operands: &[Buffer]) -> Done<Self> {
        let turned = |x: &Tensor| -> Done {
            Ok(if rnn.reverse { x.f_flip([1i64].as_slice())? } else { x.shallow_clone() }.f_contiguous()?)
        };
        if operands.len() != N + usize::from(rnn.mask) {
            return Err(broken(op, format_args!("{} operands", operands.len())).into());
        }
        let mask = operands.get(N).map(|mask| turned(mask.tensor())).transpose()?;
        let ready = |(i, x): (usize, &Buffer)| {
            if i == 0 { turned(x.tensor()) } else { Ok(x.tensor().f_contiguous()?) }
        };
        let tensors = operands[..N].iter().enumerate().map(ready).collect::<Done<Vec<_>>>()?;
        let Ok(tensors) = tensors.try_into() else {
            return Err(broken(op, "operands are missing").into());
        };
        Ok(Operands { op, tensors, mask, rnn: *rnn })
    }

    fn slices<T: Element>(&self) -> Done<[&[T]; N]> {
        let all: Option<Vec<&[T]>> = self.tensors.iter().map(elements).collect();
        match all.map(TryInto::try_into) {
            Some(Ok(all)) => Ok(all),
            _ => Err(broken(self.op, "operands of several dtypes").into()),
        }
    }

    fn sequence(&self) -> Done<Sequence<'_>> {
        let (x, units) = (self.tensors[0].size3()?, self.tensors[2].size2()?.0);
        Ok(Sequence {
            batch: x.0 as usize,
            steps: x.1 as usize,
            features: x.2 as usize,
            units: units as usize,
            mask: self.mask.as_ref().and_then(elements),
            zero_output_for_mask: self.rnn.zero_output_for_mask,
            go_backwards: false,
        })
    }

    fn lstm<'a, T>(
        &'a self,
        [kernel, recurrent_kernel, h0, c0]: [&'a [T]; 4],
        bias: Option<&'a [T]>,
    ) -> Done<Lstm<'a, T>> {
        Ok(Lstm {
            sequence: self.sequence()?,
            kernel,
            recurrent_kernel,
            bias,
            activation: known(self.rnn.activation)?,
            recurrent_activation: known(self.rnn.recurrent_activation)?,
            h0: Some(h0),
            c0: Some(c0),
        })
    }

    fn gru<'a, T>(
        &'a self,
        [kernel, recurrent_kernel, h0]: [&'a [T]; 3],
        bias: Option<&'a [T]>,
        reset_after: bool,
    ) -> Done<Gru<'a, T>> {
        Ok(Gru {
            sequence: self.sequence()?,
            kernel,
            recurrent_kernel,
            bias,
            activation: known(self.rnn.activation)?,
            recurrent_activation: known(self.rnn.recurrent_activation)?,
            reset_after,
            h0: Some(h0),
        })
    }

    /// Runs a kernel.
    fn run<R>(&self, kernel: impl FnOnce() -> keras_kernels::Result<R>) -> Done<R> {
        with_threads_of(&LibtorchThreads, kernel).map_err(|e| broken(self.op, e).into())
    }

    fn size(&self, operand: usize) -> Vec<i64> {
        self.tensors[operand].size()
    }
}

fn results<T: Element, const N: usize>(all: [(Vec<i64>, Vec<T>); N]) -> Done<Vec<Buffer>> {
    let dtype = if T::KIND == tch::Kind::Double { DType::F64 } else { DType::F32 };
    all.into_iter().map(|(sizes, elements)| Ok(Buffer::new(from_vec(elements, &sizes)?, dtype))).collect()
}

fn lstm<T: Real + Element>(rnn: &RnnSpec, operands: &[Buffer]) -> Done<Vec<Buffer>> {
    let o = Operands::<6>::new("lstm", rnn, operands)?;
    let ([x, kernel, recurrent_kernel, bias, h0, c0], sequence) = (o.slices::<T>()?, o.sequence()?);
    let cell = o.lstm([kernel, recurrent_kernel, h0, c0], Some(bias))?;
    let y = o.run(|| cell.forward(x))?;
    let [batch, steps, units] = [sequence.batch, sequence.steps, sequence.units].map(|n| n as i64);
    results([
        (vec![batch, steps, units], y.outputs),
        (vec![batch, units], y.h),
        (vec![batch, units], y.c),
        (vec![batch, steps, 4 * units], y.gates),
        (vec![batch, steps, units], y.cells),
    ])
}

fn lstm_backward<T: Real + Element>(rnn: &RnnSpec, operands: &[Buffer]) -> Done<Vec<Buffer>> {
    let o = Operands::<11>::new("lstm_backward", rnn, operands)?;
    let ([x, kernel, recurrent_kernel, h0, c0, outputs, gates, cells, doutputs, dh, dc], sequence) =
        (o.slices::<T>()?, o.sequence()?);
    let cell = o.lstm([kernel, recurrent_kernel, h0, c0], None)?;
    let hidden = sequence.hidden(outputs, h0);
    let saved = LstmSaved { gates, hidden: &hidden, cells };
    let d = o.run(|| cell.backward(x, saved, Some(doutputs), Some(dh), Some(dc)))?;
    let bias = vec![d.bias.len() as i64];
    let mut all = results([
        (o.size(0), d.x),
        (o.size(1), d.kernel),
        (o.size(2), d.recurrent_kernel),
        (bias, d.bias),
        (o.size(3), d.h0),
        (o.size(4), d.c0),
    ])?;
    turn_back(rnn, &mut all)?;
    Ok(all)
}

fn gru<T: Real + Element>(rnn: &RnnSpec, reset_after: bool, operands: &[Buffer]) -> Done<Vec<Buffer>> {
    let o = Operands::<5>::new("gru", rnn, operands)?;
    let ([x, kernel, recurrent_kernel, bias, h0], sequence) = (o.slices::<T>()?, o.sequence()?);
    let cell = o.gru([kernel, recurrent_kernel, h0], Some(bias), reset_after)?;
    let y = o.run(|| cell.forward(x))?;
    let [batch, steps, units] = [sequence.batch, sequence.steps, sequence.units].map(|n| n as i64);
    results([
        (vec![batch, steps, units], y.outputs),
        (vec![batch, units], y.h),
        (vec![batch, steps, 4 * units], y.gates),
    ])
}

fn gru_backward<T: Real + Element>(
    rnn: &RnnSpec,
    reset_after: bool,
    operands: &[Buffer],
) -> Done<Vec<Buffer>> {
    let o = Operands::<8>::new("gru_backward", rnn, operands)?;
    let ([x, kernel, recurrent_kernel, h0, outputs, gates, doutputs, dh], sequence) =
        (o.slices::<T>()?, o.sequence()?);
    let cell = o.gru([kernel, recurrent_kernel, h0], None, reset_after)?;
    let hidden = sequence.hidden(outputs, h0);
    let saved = GruSaved { gates, hidden: &hidden };
    let d = o.run(|| cell.backward(x, saved, Some(doutputs), Some(dh)))?;
    let gate = 3 * sequence.units as i64;
    let bias = if reset_after { vec![2, gate] } else { vec![gate] };
    let mut all = results([
        (o.size(0), d.x),
        (o.size(1), d.kernel),
        (o.size(2), d.recurrent_kernel),
        (bias, d.bias),
        (o.size(3), d.h0),
    ])?;
    turn_back(rnn, &mut all)?;
    Ok(all)
}

/// Puts the steps of the input's gradient back into the input's order.
fn turn_back(rnn: &RnnSpec, all: &mut [Buffer]) -> Done<()> {
    if let (true, Some(dx)) = (rnn.reverse, all.first_mut()) {
        *dx = Buffer::new(dx.tensor().f_flip([1i64].as_slice())?, dx.dtype());
    }
    Ok(())
}

/// Whether the kernels know these activations.
pub(crate) fn fuses(rnn: &RnnSpec) -> bool {
    kernel(rnn.activation).is_some() && kernel(rnn.recurrent_activation).is_some()
}

/// The kernels' name of an activation.
pub(crate) fn kernel(activation: Activ) -> Option<Activation> {
    Some(match activation {
        Activ::Linear => Activation::Linear,
        Activ::Relu => Activation::Relu,
        Activ::Sigmoid => Activation::Sigmoid,
        Activ::HardSigmoid => Activation::HardSigmoid,
        Activ::LegacyHardSigmoid => Activation::LegacyHardSigmoid,
        Activ::Tanh => Activation::Tanh,
        _ => return None,
    })
}

/// [`kernel`], or the error for those that [`fuses`] does not promise.
fn known(activation: Activ) -> Done<Activation> {
    kernel(activation).ok_or_else(|| broken("activation", format_args!("{activation:?} is not known")).into())
}
