//! Layers that prepare data.

mod aug_mix;
mod augmentation;
mod auto_contrast;
mod category_encoding;
mod center_crop;
mod choices;
mod clahe;
mod colors;
mod cut_mix;
mod discretization;
mod encoding;
mod equalization;
mod factor;
mod filter;
mod hash;
mod hashed_crossing;
mod hashing;
mod images;
mod integer_lookup;
mod lookup;
mod max_num_bounding_boxes;
mod mel_spectrogram;
mod mix_up;
mod normalization;
mod patch;
mod pipeline;
mod rand_augment;
mod random_brightness;
mod random_color_degeneration;
mod random_color_jitter;
mod random_contrast;
mod random_crop;
mod random_elastic_transform;
mod random_erasing;
mod random_flip;
mod random_gaussian_blur;
mod random_grayscale;
mod random_hue;
mod random_invert;
mod random_perspective;
mod random_posterization;
mod random_rotation;
mod random_saturation;
mod random_sharpness;
mod random_shear;
mod random_translation;
mod random_zoom;
mod rescaling;
mod resizing;
mod sampling;
mod solarization;
mod stft_spectrogram;
mod summary;
mod windows;

pub use aug_mix::AugMix;
pub use auto_contrast::AutoContrast;
pub use category_encoding::CategoryEncoding;
pub use center_crop::CenterCrop;
pub use clahe::ContrastLimitedAdaptiveHistogramEqualization;
pub use cut_mix::CutMix;
pub use discretization::Discretization;
pub use encoding::OutputMode;
pub use equalization::Equalization;
pub use factor::{Factor, FactorIn, ValueRange};
pub use hashed_crossing::HashedCrossing;
pub use hashing::Hashing;
pub use integer_lookup::IntegerLookup;
pub use lookup::OovMethod;
pub use max_num_bounding_boxes::MaxNumBoundingBoxes;
pub use mel_spectrogram::MelSpectrogram;
pub use mix_up::MixUp;
pub use normalization::Normalization;
pub use pipeline::Pipeline;
pub use rand_augment::RandAugment;
pub use random_brightness::RandomBrightness;
pub use random_color_degeneration::RandomColorDegeneration;
pub use random_color_jitter::RandomColorJitter;
pub use random_contrast::RandomContrast;
pub use random_crop::RandomCrop;
pub use random_elastic_transform::RandomElasticTransform;
pub use random_erasing::RandomErasing;
pub use random_flip::{FlipMode, RandomFlip};
pub use random_gaussian_blur::RandomGaussianBlur;
pub use random_grayscale::RandomGrayscale;
pub use random_hue::RandomHue;
pub use random_invert::RandomInvert;
pub use random_perspective::RandomPerspective;
pub use random_posterization::RandomPosterization;
pub use random_rotation::RandomRotation;
pub use random_saturation::RandomSaturation;
pub use random_sharpness::RandomSharpness;
pub use random_shear::RandomShear;
pub use random_translation::RandomTranslation;
pub use random_zoom::RandomZoom;
pub use rescaling::Rescaling;
pub use resizing::Resizing;
pub use sampling::FillMode;
pub use solarization::Solarization;
pub use stft_spectrogram::{STFTSpectrogram, SpectrogramMode, SpectrogramScaling};

use keras_spec::{Error, HostTensor, Result, Shape};
use serde_json::Value;

/// An array of numbers as files have it: a number, or nested lists.
pub(super) fn array(argument: &str, value: &Value) -> Result<HostTensor> {
    let wrong = || Error::argument(argument, "a number, or lists of numbers of one length", value);
    let mut shape = Vec::new();
    let mut first = value;
    while let Value::Array(list) = first {
        shape.push(list.len());
        first = list.first().ok_or_else(wrong)?;
    }
    let mut numbers = Vec::new();
    collect(value, &shape, &mut numbers).ok_or_else(wrong)?;
    HostTensor::new(Shape::from(shape), numbers)
}

fn collect(value: &Value, shape: &[usize], out: &mut Vec<f32>) -> Option<()> {
    match (value, shape) {
        (Value::Array(list), [length, rest @ ..]) if list.len() == *length => {
            list.iter().try_for_each(|v| collect(v, rest, out))
        }
        (Value::Number(n), []) => {
            out.push(n.as_f64()? as f32);
            Some(())
        }
        _ => None,
    }
}
