use keras_spec::{DType, Device, Error, Initializer, Result, Shape, Shared, Tensor};
use serde::{Deserialize, Serialize};

use super::InitializerSeed;
use super::random::seeded;
use crate::class::{builders, keras_class};
use crate::random;

/// Which number of connections the scale is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanMode {
    /// That into a unit.
    #[default]
    FanIn,
    /// That out of a unit.
    FanOut,
    /// Their mean.
    FanAvg,
}

/// What samples are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// A normal distribution within two standard deviations.
    #[default]
    #[serde(alias = "normal")]
    TruncatedNormal,
    /// A normal distribution.
    UntruncatedNormal,
    /// A uniform distribution.
    Uniform,
}

/// How many connections go into and out of a unit, for a weight of `shape`.
fn fans(shape: &Shape, input_axes: Option<&[isize]>, output_axes: Option<&[isize]>) -> Result<(f64, f64)> {
    let product = |dims: &[usize]| dims.iter().map(|&d| d as f64).product::<f64>();
    if let (Some(inputs), Some(outputs)) = (input_axes, output_axes) {
        let along = |axes: &[isize]| -> Result<f64> {
            axes.iter().map(|&a| Ok(shape[shape.axis(a)?] as f64)).product()
        };
        return Ok((along(inputs)?, along(outputs)?));
    }
    Ok(match shape.dims() {
        [] => (1.0, 1.0),
        [n] => (*n as f64, *n as f64),
        [window @ .., input, output] => {
            let field = product(window);
            (*input as f64 * field, *output as f64 * field)
        }
    })
}

fn sample(
    scaling: (f64, FanMode, Distribution),
    fans: (f64, f64),
    (shape, dtype, device): (&Shape, DType, &Device),
    seed: &InitializerSeed,
) -> Result<Tensor> {
    let (scale, mode, distribution) = scaling;
    let fan = match mode {
        FanMode::FanIn => fans.0,
        FanMode::FanOut => fans.1,
        FanMode::FanAvg => (fans.0 + fans.1) / 2.0,
    };
    let variance = scale / fan.max(1.0);
    let seed = Some(seed.get());
    match distribution {
        Distribution::TruncatedNormal => {
            // The standard deviation of a standard normal distribution cut off at ±2.
            let stddev = variance.sqrt() / 0.879_625_661_034_239_8;
            random::truncated_normal(shape, 0.0, stddev, dtype, seed.as_ref(), device)
        }
        Distribution::UntruncatedNormal => {
            random::normal(shape, 0.0, variance.sqrt(), dtype, seed.as_ref(), device)
        }
        Distribution::Uniform => {
            let limit = (3.0 * variance).sqrt();
            random::uniform(shape, -limit, limit, dtype, seed.as_ref(), device)
        }
    }
}

/// A copy with other axes, unless there are some.
macro_rules! with_axes {
    ($self:ident, $inputs:ident, $outputs:ident) => {{
        let given = $self.input_axes.is_some() && $self.output_axes.is_some();
        let clone = || $self.clone().input_axes($inputs).output_axes($outputs);
        (!given).then(|| clone().into())
    }};
}

/// Samples whose variance depends on the number of connections (`keras.initializers.VarianceScaling`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VarianceScaling {
    seed: InitializerSeed,
    scale: f64,
    mode: FanMode,
    distribution: Distribution,
    input_axes: Option<Vec<isize>>,
    output_axes: Option<Vec<isize>>,
}

keras_class!(
    dyn Initializer, "keras.initializers", VarianceScaling, aliases ["variance_scaling"], check validate
);

impl Default for VarianceScaling {
    fn default() -> Self {
        VarianceScaling {
            seed: InitializerSeed::default(),
            scale: 1.0,
            mode: FanMode::default(),
            distribution: Distribution::default(),
            input_axes: None,
            output_axes: None,
        }
    }
}

impl VarianceScaling {
    /// Scale 1 over the connections into a unit, from a truncated normal distribution.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The factor, positive.
        scale: f64;
        /// Which connections are counted.
        mode: FanMode;
        /// What samples are drawn from.
        distribution: Distribution;
        /// The axes of the weight that are inputs. Needs `output_axes` too.
        some input_axes: Vec<isize>;
        /// The axes of the weight that are outputs. Needs `input_axes` too.
        some output_axes: Vec<isize>;
    }

    fn validate(&self) -> Result<()> {
        if self.scale > 0.0 {
            return Ok(());
        }
        Err(Error::argument("scale", "a positive number", self.scale))
    }
}

impl Initializer for VarianceScaling {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        self.validate()?;
        let fans = fans(shape, self.input_axes.as_deref(), self.output_axes.as_deref())?;
        let scaling = (self.scale, self.mode, self.distribution);
        sample(scaling, fans, (shape, dtype, device), &self.seed)
    }

    fn draw_seed(&self) {
        self.seed.get();
    }

    fn with_axes(&self, inputs: &[isize], outputs: &[isize]) -> Option<Shared<dyn Initializer>> {
        with_axes!(self, inputs, outputs)
    }
}

/// Initializers that are [`VarianceScaling`] with fixed arguments.
macro_rules! scalings {
    ($($(#[$doc:meta])* $Name:ident, $alias:literal, $scale:literal, $mode:ident, $distribution:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Name {
            seed: InitializerSeed,
            input_axes: Option<Vec<isize>>,
            output_axes: Option<Vec<isize>>,
        }

        keras_class!(dyn Initializer, "keras.initializers", $Name, aliases [$alias]);

        impl $Name {
            /// With a seed of its own.
            pub fn new() -> Self {
                Self::default()
            }

            builders! {
                /// The axes of the weight that are inputs. Needs `output_axes` too.
                some input_axes: Vec<isize>;
                /// The axes of the weight that are outputs. Needs `input_axes` too.
                some output_axes: Vec<isize>;
            }
        }

        impl Initializer for $Name {
            fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
                let fans = fans(shape, self.input_axes.as_deref(), self.output_axes.as_deref())?;
                let scaling = ($scale, FanMode::$mode, Distribution::$distribution);
                sample(scaling, fans, (shape, dtype, device), &self.seed)
            }

            fn draw_seed(&self) {
                self.seed.get();
            }

            fn with_axes(&self, inputs: &[isize], outputs: &[isize]) -> Option<Shared<dyn Initializer>> {
                with_axes!(self, inputs, outputs)
            }
        }

        seeded! { $Name }
    )*};
}

seeded! { VarianceScaling }

scalings! {
    /// Uniform within `±sqrt(6 / (fan_in + fan_out))` (`keras.initializers.GlorotUniform`, Keras 3.15.1).
    GlorotUniform, "glorot_uniform", 1.0, FanAvg, Uniform;
    /// Truncated normal of variance `2 / (fan_in + fan_out)` (`keras.initializers.GlorotNormal`, Keras 3.15.1).
    GlorotNormal, "glorot_normal", 1.0, FanAvg, TruncatedNormal;
    /// Uniform within `±sqrt(6 / fan_in)` (`keras.initializers.HeUniform`, Keras 3.15.1).
    HeUniform, "he_uniform", 2.0, FanIn, Uniform;
    /// Truncated normal of variance `2 / fan_in` (`keras.initializers.HeNormal`, Keras 3.15.1).
    HeNormal, "he_normal", 2.0, FanIn, TruncatedNormal;
    /// Uniform within `±sqrt(3 / fan_in)` (`keras.initializers.LecunUniform`, Keras 3.15.1).
    LecunUniform, "lecun_uniform", 1.0, FanIn, Uniform;
    /// Truncated normal of variance `1 / fan_in` (`keras.initializers.LecunNormal`, Keras 3.15.1).
    LecunNormal, "lecun_normal", 1.0, FanIn, TruncatedNormal;
}
