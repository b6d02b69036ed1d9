use std::f64::consts::PI;

use keras_spec::{Call, Config, DType, Error, Layer, LayerRef, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::windows::window;
use crate::Number;
use crate::class::builders;
use crate::layers::common::{all_positive, keras_layer, one};

/// How loud a signal is at each time in ranges of frequencies that people hear as equally wide: `(batch, samples)` →
/// `(batch, num_mel_bins, times)`, or that without the batch (`keras.layers.MelSpectrogram`, Keras 3.15.1).
///
/// ```
/// use keras::layers::MelSpectrogram;
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(MelSpectrogram::new().fft_length(16).sequence_stride(8).num_mel_bins(4));
/// let signal = Tensor::new([1, 32], (0..32).map(|i| (i as f32).sin()).collect())?;
/// let found = layer.call(&[signal], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(found[0].shape().dims(), [1, 4, 5]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MelSpectrogram {
    fft_length: usize,
    sequence_stride: usize,
    sequence_length: Option<usize>,
    window: String,
    sampling_rate: usize,
    num_mel_bins: usize,
    min_freq: f64,
    max_freq: Option<Number>,
    power_to_db: bool,
    top_db: f64,
    mag_exp: f64,
    min_power: f64,
    ref_power: f64,
}

keras_layer!(MelSpectrogram, check validate);

impl Default for MelSpectrogram {
    fn default() -> Self {
        MelSpectrogram {
            fft_length: 2048,
            sequence_stride: 512,
            sequence_length: None,
            window: "hann".to_owned(),
            sampling_rate: 16000,
            num_mel_bins: 128,
            min_freq: 20.0,
            max_freq: None,
            power_to_db: true,
            top_db: 80.0,
            mag_exp: 2.0,
            min_power: 1e-10,
            ref_power: 1.0,
        }
    }
}

impl MelSpectrogram {
    /// 128 ranges from 20 Hz to half the sampling rate, 16 kHz, in decibels.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How many samples frequencies are found in. Default: 2048.
        fft_length = usize;
        /// How many samples later the next time is. Default: 512.
        sequence_stride = usize;
        /// How many of the samples count, the others being 0. Default: all.
        some sequence_length = usize;
        /// What they are multiplied with before: `hann`, the default, or `hamming`.
        window: String;
        /// How many samples a second has. Default: 16000.
        sampling_rate = usize;
        /// How many ranges of frequencies. Default: 128.
        num_mel_bins = usize;
        /// The lowest frequency, in Hz. Default: 20.
        min_freq = f64;
        /// The highest frequency, in Hz. Default: half the sampling rate.
        some max_freq: Number;
        /// Whether the result is in decibels. Default: yes.
        power_to_db = bool;
        /// How much quieter than the loudest the quietest is at most, in decibels. Default: 80.
        top_db = f64;
        /// The power that magnitudes are raised to. Default: 2.
        mag_exp = f64;
        /// What less counts as. Default: 1e-10.
        min_power = f64;
        /// What has 0 decibels. Default: 1.
        ref_power = f64;
    }

    fn validate(&self) -> Result<()> {
        let sizes = [
            self.fft_length,
            self.sequence_stride,
            self.used_length(),
            self.sampling_rate,
            self.num_mel_bins,
        ];
        all_positive("fft_length, sequence_stride, sequence_length, sampling_rate and num_mel_bins", &sizes)?;
        if !matches!(self.window.as_str(), "hann" | "hamming") {
            return Err(Error::argument("window", "`hann` or `hamming`", &self.window));
        }
        match self.used_length() > self.fft_length {
            true => Err(Error::argument("sequence_length", "at most `fft_length`", self.used_length())),
            false => Ok(()),
        }
    }

    fn used_length(&self) -> usize {
        self.sequence_length.filter(|&n| n > 0).unwrap_or(self.fft_length)
    }

    fn highest(&self) -> Number {
        self.max_freq.filter(|f| f.value() > 0.0).unwrap_or(Number::Int(self.sampling_rate as i64 / 2))
    }

    fn bins(&self) -> usize {
        self.fft_length / 2 + 1
    }

    /// Pieces of a signal `(…, samples)` around each time, reflected beyond its ends: `(…, times, fft_length)`.
    fn pieces(&self, x: &Tensor) -> Result<Tensor> {
        let samples = x.shape().last().copied().unwrap_or(0);
        let half = self.fft_length / 2;
        if samples == 0 {
            return Err(Error::argument("inputs", "at least one sample", x.shape()));
        }
        let times = (samples - self.fft_length % 2) / self.sequence_stride + 1;
        let reflected = |at: usize| {
            let period = (2 * (samples - 1)).max(1);
            // A multiple of the period keeps it positive.
            let at = (at + period * half - half) % period;
            at.min(period - at) as i32
        };
        let shape = [times, self.fft_length];
        let places = Tensor::from_fn(shape, DType::I32, x.device(), |i| {
            reflected(i / self.fft_length * self.sequence_stride + i % self.fft_length)
        })?;
        x.take(&places, -1)
    }

    /// What a piece is multiplied with for its real and imaginary parts at each frequency: `(fft_length, bins)`, twice.
    fn waves(&self, like: &Tensor) -> Result<[Tensor; 2]> {
        let (n, bins, used) = (self.fft_length, self.bins(), self.used_length());
        let before = (n - used) / 2;
        let weight = window(&self.window, used, true)?;
        let wave = |of: fn(f64) -> f64| {
            let at = |i: usize| {
                let (place, bin) = (i / bins, i % bins);
                // Whole turns left out, angles are exact.
                let inside = place.checked_sub(before).filter(|at| *at < used);
                inside.map_or(0.0, &weight) * of(-2.0 * PI * (place * bin % n) as f64 / n as f64)
            };
            Tensor::from_fn([n, bins], like.dtype(), like.device(), at)
        };
        Ok([wave(f64::cos)?, wave(f64::sin)?])
    }

    /// How much each frequency counts for each range: `(bins, num_mel_bins)`.
    fn ranges(&self, like: &Tensor) -> Result<Tensor> {
        let mel = |hertz: f32| 1127.0 * (1.0 + hertz / 700.0).ln();
        let line = |from: f32, to: f32, i: usize, count: usize| {
            let part = i as f32 / (count - 1) as f32;
            if i + 1 == count { to } else { from * (1.0 - part) + to * part }
        };
        let (bins, count) = (self.bins(), self.num_mel_bins);
        let (lowest, highest) = (mel(self.min_freq as f32), mel(self.highest().value() as f32));
        let edge = |i: usize| line(lowest, highest, i, count + 2);
        Tensor::from_fn([bins, count], like.dtype(), like.device(), |i| {
            let (bin, range) = (i / count, i % count);
            if bin == 0 {
                // The first frequency is none.
                return 0.0;
            }
            let at = mel(line(0.0, self.sampling_rate as f32 / 2.0, bin, bins));
            let rising = (at - edge(range)) / (edge(range + 1) - edge(range));
            let falling = (edge(range + 2) - at) / (edge(range + 2) - edge(range + 1));
            rising.min(falling).max(0.0)
        })
    }

    fn decibels(&self, power: &Tensor) -> Result<Tensor> {
        let ten_logarithms = 10.0 / std::f64::consts::LN_10;
        let reference = 10.0 * self.ref_power.abs().max(self.min_power).log10();
        let level = ((power.at_least(self.min_power)?.log()? * ten_logarithms)? - reference)?;
        level.maximum(&(level.max(&[], false)? - self.top_db)?)
    }
}

impl Layer for MelSpectrogram {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let compute = call.compute_dtype();
        let x = one(inputs)?.cast(if compute == DType::F64 { compute } else { DType::F32 })?;
        let pieces = self.pieces(&x)?;
        let [real, imaginary] = self.waves(&x)?;
        let part = |wave: Tensor| pieces.matmul(&wave)?.square();
        let magnitude = (part(real)? + part(imaginary)?)?.sqrt()?;
        let exponent = Tensor::full([], x.dtype(), self.mag_exp, x.device())?;
        let power = magnitude.pow(&exponent)?.matmul(&self.ranges(&x)?)?;
        let found = if self.power_to_db { self.decibels(&power)? } else { power };
        Ok(vec![found.swap_axes(-1, -2)?.into_dtype(compute)?])
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.insert("sequence_length".to_owned(), json!(self.used_length()));
        config.insert("max_freq".to_owned(), json!(self.highest()));
    }
}
