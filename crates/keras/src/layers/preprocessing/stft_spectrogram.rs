use std::f64::consts::PI;

use keras_spec::{
    BinaryOp, Builder, Call, ConvSpec, DType, Device, Error, Layer, PartialShape, Result, Tensor, Weight,
    WeightSpec,
};
use serde::{Deserialize, Serialize};

use super::windows::{Window, window};
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_rank, keras_layer, one, positive};
use crate::layers::window::Padding;

/// What [`STFTSpectrogram`] gives out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpectrogramMode {
    /// Logarithms of magnitudes.
    #[default]
    Log,
    /// Magnitudes.
    Magnitude,
    /// Power spectral density.
    Psd,
    /// Real parts.
    Real,
    /// Imaginary parts.
    Imag,
    /// Phase angles.
    Angle,
    /// Real parts, and then imaginary ones.
    Stft,
}

/// By what weights of a window are divided: `scaling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpectrogramScaling {
    /// The root of the sum of squares.
    Density,
    /// The sum.
    Spectrum,
}

/// The frequencies of signals at each time: `(batch, samples, channels)` → `(batch, times, channels · frequencies)`, where
/// frequencies are `fft_length / 2 + 1`, twice as many with [`SpectrogramMode::Stft`] (`keras.layers.STFTSpectrogram`, Keras
/// 3.15.1).
///
/// Weights: `real_kernel` and `imag_kernel` `(frame_length, 1, frequencies)`, those of the Fourier transform to begin with;
/// training changes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct STFTSpectrogram {
    mode: SpectrogramMode,
    frame_length: usize,
    frame_step: Option<usize>,
    fft_length: Option<usize>,
    window: Option<String>,
    periodic: bool,
    scaling: Option<SpectrogramScaling>,
    padding: Padding,
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    expand_dims: bool,
    #[serde(skip)]
    real_kernel: Weight,
    #[serde(skip)]
    imag_kernel: Weight,
}

keras_layer!(STFTSpectrogram, check validate);

/// `keras.config.epsilon()`
const EPSILON: f64 = 1e-7;

impl Default for STFTSpectrogram {
    fn default() -> Self {
        STFTSpectrogram {
            mode: SpectrogramMode::Log,
            frame_length: 256,
            frame_step: None,
            fft_length: None,
            window: Some("hann".to_owned()),
            periodic: false,
            scaling: Some(SpectrogramScaling::Density),
            padding: Padding::Valid,
            data_format: DataFormat::default(),
            expand_dims: false,
            real_kernel: Weight::default(),
            imag_kernel: Weight::default(),
        }
    }
}

impl STFTSpectrogram {
    /// Over 256 samples, every 128.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// What is given out. Default: logarithms of magnitudes.
        mode: SpectrogramMode;
        /// How many samples frequencies are found in. Default: 256.
        frame_length = usize;
        /// How many samples later the next time is. Default: half of that.
        some frame_step = usize;
        /// The length of the Fourier transform. Default: the next power of two.
        some fft_length = usize;
        /// What samples are multiplied with before, by SciPy's name; `None` for nothing. Default: `hann`.
        window: Option<String>;
        /// Whether the window is as if the next one followed. Default: no.
        periodic = bool;
        /// By what the window is divided; `None` for nothing. Default: density.
        scaling: Option<SpectrogramScaling>;
        /// Whether there are zeros beyond the ends. Default: no.
        padding: Padding;
        /// Where the channels are.
        data_format: DataFormat;
        /// Whether channels and frequencies have axes of their own: `(batch, times, frequencies, channels)`.
        expand_dims = bool;
    }

    fn validate(&self) -> Result<()> {
        positive("frame_length", self.frame_length)?;
        if self.frame_step.is_some_and(|step| step == 0 || step > self.frame_length) {
            let found = format!("{:?}", self.frame_step);
            return Err(Error::argument("frame_step", "a positive integer, at most `frame_length`", found));
        }
        if self.fft_length.is_some_and(|length| length < self.frame_length) {
            let found = format!("{:?}", self.fft_length);
            return Err(Error::argument("fft_length", "at least `frame_length`", found));
        }
        self.padding.not_causal()?;
        self.weights().map(drop)
    }

    fn weights(&self) -> Result<Option<Window>> {
        self.window.as_ref().map(|name| window(name, self.frame_length, self.periodic)).transpose()
    }

    fn frequencies(&self) -> usize {
        self.fft_length.unwrap_or_else(|| self.frame_length.next_power_of_two()) / 2 + 1
    }

    /// The kernel of real or imaginary parts.
    fn kernel(&self, wave: fn(f64) -> f64, dtype: DType, device: &Device) -> Result<Tensor> {
        let (count, weights) = (self.frequencies(), self.weights()?);
        let length = 2 * (count - 1);
        let scale = match (&weights, self.scaling) {
            (Some(w), Some(SpectrogramScaling::Density)) => {
                (0..self.frame_length).map(|i| w(i) * w(i)).sum::<f64>().sqrt()
            }
            (Some(w), Some(SpectrogramScaling::Spectrum)) => (0..self.frame_length).map(|i| w(i).abs()).sum(),
            _ => 1.0,
        };
        let at = |i: usize| {
            let (time, frequency) = (i / count, i % count);
            let angle = -2.0 * PI * (time * frequency % length.max(1)) as f64 / length.max(1) as f64;
            wave(angle) * weights.as_ref().map_or(1.0, |w| w(time) / scale)
        };
        Tensor::from_fn([self.frame_length, 1, count], dtype, device, at)
    }

    /// Every channel of signals `(batch, channels, samples)` with a kernel: `(batch, channels, frequencies, times)`.
    fn convolve(&self, x: &Tensor, kernel: &Weight) -> Result<Tensor> {
        let &[batch, channels, samples] = x.shape().dims() else {
            return Err(Error::argument("inputs", "3 axes", x.shape()));
        };
        let step = self.frame_step.unwrap_or(self.frame_length / 2).max(1);
        let mut spec = ConvSpec::new(1);
        spec.strides[0] = step;
        let (before, after) = self.padding.amounts(samples, self.frame_length, step);
        spec.padding[0] = (before as isize, after as isize);
        let kernel = kernel.value()?.into_dtype(x.dtype())?;
        let y = x.reshape([batch * channels, samples, 1])?.convolution(&kernel, spec)?;
        let (times, frequencies) = (y.shape()[1], y.shape()[2]);
        y.swap_axes(1, 2)?.reshape([batch, channels, frequencies, times])
    }

    fn arranged(&self, y: &Tensor) -> Result<Tensor> {
        let &[batch, channels, frequencies, times] = y.shape().dims() else {
            return Err(Error::argument("inputs", "3 axes", y.shape()));
        };
        let together = || y.reshape([batch, channels * frequencies, times]);
        match (self.data_format, self.expand_dims) {
            (DataFormat::ChannelsLast, true) => y.permute(&[0, 3, 2, 1]),
            (DataFormat::ChannelsLast, false) => together()?.swap_axes(1, 2),
            (DataFormat::ChannelsFirst, true) => y.swap_axes(2, 3),
            (DataFormat::ChannelsFirst, false) => together(),
        }
    }
}

impl Layer for STFTSpectrogram {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, 3).map(drop)
    }

    fn build(&self, builder: &mut Builder, _inputs: &[PartialShape]) -> Result<()> {
        let shape = [self.frame_length, 1, self.frequencies()];
        let mut add = |slot: &Weight, name: &str, wave: fn(f64) -> f64| {
            builder.weight(slot, WeightSpec::new(name, shape).initializer("zeros")?)?;
            let variable = slot.variable()?;
            variable.assign(&self.kernel(wave, variable.dtype(), builder.device())?)
        };
        if self.mode != SpectrogramMode::Imag {
            add(&self.real_kernel, "real_kernel", f64::cos)?;
        }
        if self.mode != SpectrogramMode::Real {
            add(&self.imag_kernel, "imag_kernel", f64::sin)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        if !x.dtype().is_float() {
            return Err(Error::dtype("STFTSpectrogram", "signals must be floats", [x.dtype()]));
        }
        let x = match self.data_format {
            DataFormat::ChannelsLast => x.swap_axes(1, 2)?,
            DataFormat::ChannelsFirst => x.clone(),
        };
        let real = || self.convolve(&x, &self.real_kernel);
        let imaginary = || self.convolve(&x, &self.imag_kernel);
        let power = || real()?.square()? + imaginary()?.square()?;
        let magnitude = || self.arranged(&power()?.at_least(EPSILON)?.sqrt()?);
        let found = match self.mode {
            SpectrogramMode::Real => self.arranged(&real()?)?,
            SpectrogramMode::Imag => self.arranged(&imaginary()?)?,
            SpectrogramMode::Angle => {
                self.arranged(&Tensor::binary(BinaryOp::Atan2, imaginary()?, real()?)?)?
            }
            SpectrogramMode::Stft => self.arranged(&Tensor::concatenate(&[real()?, imaginary()?], 2)?)?,
            SpectrogramMode::Psd => {
                let power = power()?;
                let last = power.shape()[2] - 1;
                // All but the first and the last frequency stand for two.
                let twice = match last > 1 {
                    true => power.narrow(2, 1, last)?.pad(&[(0, 0), (0, 0), (1, 1), (0, 0)], 0.0)?,
                    false => (&power * 0.0)?,
                };
                self.arranged(&(power + twice)?)?
            }
            SpectrogramMode::Magnitude => magnitude()?,
            SpectrogramMode::Log => magnitude()?.at_least(EPSILON)?.log()?,
        };
        Ok(vec![found])
    }
}
