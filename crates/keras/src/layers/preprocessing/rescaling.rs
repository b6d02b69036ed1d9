use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::array;
use crate::layers::common::{keras_layer, one};

/// `x · scale + offset`; the shape stays, integers become floats (`keras.layers.Rescaling`, Keras 3.15.1).
///
/// ```
/// use keras::layers::Rescaling;
///
/// let to_unit_interval = Rescaling::new(1.0 / 255.0);
/// let per_channel = Rescaling::new(vec![0.5, 0.25, 0.25]).offset(-1.0);
/// # let _ = (to_unit_interval, per_channel);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescaling {
    scale: Value,
    #[serde(default = "zero")]
    offset: Value,
}

keras_layer!(Rescaling, check validate);

fn zero() -> Value {
    0.0.into()
}

impl Rescaling {
    /// A factor, or one for each element of the last axis.
    pub fn new(scale: impl Into<Value>) -> Self {
        Rescaling { scale: scale.into(), offset: zero() }
    }

    crate::class::builders! {
        /// What is added, or that for each element of the last axis. Default: 0.
        offset: Value;
    }

    fn validate(&self) -> Result<()> {
        array("scale", &self.scale)?;
        array("offset", &self.offset).map(drop)
    }
}

impl Layer for Rescaling {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let dtype = call.compute_dtype();
        let x = one(inputs)?.cast(dtype)?;
        let bring =
            |name: &str, value: &Value| Tensor::from_host(array(name, value)?.cast(dtype), x.device());
        let (scale, offset) = (bring("scale", &self.scale)?, bring("offset", &self.offset)?);
        Ok(vec![((x * scale)? + offset)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
