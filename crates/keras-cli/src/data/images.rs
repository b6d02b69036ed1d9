//! Pictures, by the crate `image`: a PNG or JPEG file, or a folder of them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, ImageReader, Luma};
use keras_spec::{HostTensor, PartialShape};

use crate::answer::{Failure, Result};

/// No picture is larger.
const MAX_PIXELS: usize = 1 << 28;

/// How pictures become numbers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Pixels {
    /// What pixels, from 0 to 255, are multiplied with
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f32,
    /// What is added to them after that
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, allow_negative_numbers = true)]
    offset: f32,
    /// How pictures are brought to the size of the model's input
    #[arg(long, value_enum, default_value_t = Interpolation::Nearest)]
    interpolation: Interpolation,
}

/// The names of `keras.utils.load_img`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Interpolation {
    Nearest,
    Bilinear,
    Bicubic,
    Lanczos,
}

/// Whether a file is a picture, by its name.
pub(crate) fn is(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg"].iter().any(|e| extension == *e)
}

/// Every picture in a folder and the folders in it, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Failure::file(folder, e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        entries.push((entry.path(), entry.file_type().map_err(fail)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut found = Vec::new();
    for (path, kind) in entries {
        if kind.is_dir() {
            found.extend(list(&path)?);
        } else if is(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Pictures as an input of shape `(batch, height, width, channels)`, or with the channels first.
pub(crate) fn read(paths: &[PathBuf], input: &PartialShape, pixels: Pixels) -> Result<HostTensor> {
    let wrong = || {
        let expected = "(batch, height, width, channels) with 1, 3 or 4 channels";
        Failure::Data(format!("pictures are for an input of shape {expected}; the model's is {input}"))
    };
    let [_, a, b, c] = *input.dims() else { return Err(wrong()) };
    let is_count = |n: Option<usize>| n.is_some_and(|n| [1, 3, 4].contains(&n));
    let (height, width, channels, first) = match (is_count(c), is_count(a)) {
        (true, _) => (a, b, c, false),
        (_, true) => (b, c, a, true),
        _ => return Err(wrong()),
    };
    let channels = channels.unwrap_or(3);
    let (mut numbers, mut size) = (Vec::new(), None);
    for path in paths {
        let picture = convert(open(path)?, channels);
        let own = (height.unwrap_or(picture.height() as usize), width.unwrap_or(picture.width() as usize));
        let (h, w) = *size.get_or_insert(own);
        if h.saturating_mul(w) > MAX_PIXELS {
            return Err(Failure::Data(format!(
                "the model's input of shape {input} is larger than any picture"
            )));
        }
        let picture = match (picture.height() as usize, picture.width() as usize) == (h, w) {
            true => picture,
            false => picture.resize_exact(w as u32, h as u32, pixels.interpolation.into()),
        };
        let number = |b: &u8| f32::from(*b) * pixels.scale + pixels.offset;
        let bytes = picture.as_bytes();
        match first {
            false => numbers.extend(bytes.iter().map(number)),
            true => {
                (0..channels)
                    .for_each(|c| numbers.extend(bytes.iter().skip(c).step_by(channels).map(number)));
            }
        }
    }
    let (h, w) = size.ok_or_else(|| Failure::Data("no pictures (.png, .jpg, .jpeg)".to_owned()))?;
    let shape = if first { [paths.len(), channels, h, w] } else { [paths.len(), h, w, channels] };
    HostTensor::new(shape, numbers).map_err(Failure::compute)
}

/// A picture with this many channels of 8 bits, as the library that Keras uses makes it.
fn convert(picture: DynamicImage, channels: usize) -> DynamicImage {
    match channels {
        1 if picture.color().has_color() => {
            let grey = |[r, g, b]: [u8; 3]| {
                let [r, g, b] = [r, g, b].map(u32::from);
                Luma([((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8])
            };
            let coloured = picture.into_rgb8();
            ImageBuffer::from_fn(coloured.width(), coloured.height(), |x, y| grey(coloured.get_pixel(x, y).0))
                .into()
        }
        1 => picture.into_luma8().into(),
        3 => picture.into_rgb8().into(),
        _ => picture.into_rgba8().into(),
    }
}

fn open(path: &Path) -> Result<DynamicImage> {
    let reader = ImageReader::open(path).map_err(|e| Failure::file(path, e))?;
    let reader = reader.with_guessed_format().map_err(|e| Failure::file(path, e))?;
    reader.decode().map_err(|e| Failure::file(path, e))
}

impl From<Interpolation> for FilterType {
    fn from(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Nearest => FilterType::Nearest,
            Interpolation::Bilinear => FilterType::Triangle,
            Interpolation::Bicubic => FilterType::CatmullRom,
            Interpolation::Lanczos => FilterType::Lanczos3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `keras.utils.load_img` reads.
    #[test]
    fn pixels_are_those_of_keras() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let text = fs::read_to_string(fixtures.join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let files = list(&fixtures.join("pictures")).unwrap();
        let pixels = Pixels { scale: 1.0, offset: 0.0, interpolation: Interpolation::Nearest };
        for (key, shape) in [("grey 8x8", [8, 8, 1]), ("colour 3x5", [3, 5, 3])] {
            let rows: Vec<Vec<f64>> = serde_json::from_value(expected[key].clone()).unwrap();
            let input = PartialShape(vec![None, Some(shape[0]), Some(shape[1]), Some(shape[2])]);
            let last = read(&files, &input, pixels).unwrap();
            assert_eq!(last.to_f64_vec(), rows.concat(), "{key}");

            let input = PartialShape(vec![None, Some(shape[2]), Some(shape[0]), Some(shape[1])]);
            let scaled = Pixels { scale: 2.0, offset: -1.0, ..pixels };
            let first = read(&files, &input, scaled).unwrap().to_f64_vec();
            assert_eq!(first[1], rows[0][shape[2]] * 2.0 - 1.0, "{key}");
        }
    }

    #[test]
    fn inputs_of_no_picture_are_refused() {
        for shape in [vec![None, Some(5)], vec![None, Some(8), Some(8), Some(2)]] {
            let error = read(
                &[],
                &PartialShape(shape),
                Pixels { scale: 1.0, offset: 0.0, interpolation: Interpolation::Nearest },
            );
            assert_eq!(error.unwrap_err().code(), 4);
        }
    }
}
