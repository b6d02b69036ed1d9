use keras_spec::{Call, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_rank, keras_layer, one};

/// Amounts at the four sides of an image: `[[top, bottom], [left, right]]`. One number stands for all sides, two for those
/// of the height and those of the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sides2D(pub [[usize; 2]; 2]);

impl From<usize> for Sides2D {
    fn from(all: usize) -> Self {
        Sides2D([[all; 2]; 2])
    }
}

impl From<[usize; 2]> for Sides2D {
    fn from([height, width]: [usize; 2]) -> Self {
        Sides2D([[height; 2], [width; 2]])
    }
}

impl From<[[usize; 2]; 2]> for Sides2D {
    fn from(sides: [[usize; 2]; 2]) -> Self {
        Sides2D(sides)
    }
}

impl<'de> Deserialize<'de> for Sides2D {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        let amount = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let pair = |v: &Value| match v {
            Value::Array(list) => match list.as_slice() {
                [a, b] => Some([amount(a)?, amount(b)?]),
                _ => None,
            },
            one => amount(one).map(|n| [n; 2]),
        };
        let sides = match &value {
            Value::Array(list) => match list.as_slice() {
                [height, width] => pair(height).zip(pair(width)).map(|(h, w)| Sides2D([h, w])),
                _ => None,
            },
            all => amount(all).map(Sides2D::from),
        };
        sides.ok_or_else(|| {
            let expected = "an integer, two integers or two pairs of integers, none negative";
            serde::de::Error::custom(format!("expected {expected}, found {value}"))
        })
    }
}

/// Zeros around images `(batch, height, width, channels)` (`keras.layers.ZeroPadding2D`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZeroPadding2D {
    padding: Sides2D,
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
}

keras_layer!(ZeroPadding2D);

impl Default for ZeroPadding2D {
    fn default() -> Self {
        ZeroPadding2D::new(1)
    }
}

impl ZeroPadding2D {
    /// `1`, `[height, width]` or `[[top, bottom], [left, right]]` rows and columns of zeros; Keras's default is 1.
    pub fn new(padding: impl Into<Sides2D>) -> Self {
        ZeroPadding2D { padding: padding.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }
}

impl Layer for ZeroPadding2D {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        input_of_rank(inputs, 4).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut amounts = [(0, 0); 4];
        let first = self.data_format.first_spatial_axis();
        for (i, [before, after]) in self.padding.0.into_iter().enumerate() {
            amounts[first + i] = (before, after);
        }
        Ok(vec![one(inputs)?.pad(&amounts, 0.0)?])
    }
}

/// Images `(batch, height, width, channels)` without their borders (`keras.layers.Cropping2D`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cropping2D {
    cropping: Sides2D,
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
}

keras_layer!(Cropping2D);

impl Default for Cropping2D {
    fn default() -> Self {
        Cropping2D::new(0)
    }
}

impl Cropping2D {
    /// Without `1`, `[height, width]` or `[[top, bottom], [left, right]]` rows and columns; Keras's default is 0.
    pub fn new(cropping: impl Into<Sides2D>) -> Self {
        Cropping2D { cropping: cropping.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }
}

impl Layer for Cropping2D {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let input = input_of_rank(inputs, 4)?;
        let first = self.data_format.first_spatial_axis();
        for (i, sides) in self.cropping.0.iter().enumerate() {
            let cut = sides[0].saturating_add(sides[1]);
            if input[first + i].is_some_and(|length| cut >= length) {
                let expected = format!("less than the lengths of the inputs, of shape {input}");
                return Err(Error::argument("cropping", expected, format!("{:?}", self.cropping.0)));
            }
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut x = one(inputs)?.clone();
        let first = self.data_format.first_spatial_axis();
        for (i, [before, after]) in self.cropping.0.into_iter().enumerate() {
            let length = x.shape()[first + i];
            x = x.narrow((first + i) as isize, before, length - after)?;
        }
        Ok(vec![x])
    }
}
