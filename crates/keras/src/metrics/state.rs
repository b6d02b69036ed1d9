//! What metrics accumulate.

use std::sync::OnceLock;

use keras_spec::{DType, Device, Error, Result, Shape, Tensor, Variable};

/// Variables of one shape that begin with zeros, made when the first batch comes.
#[derive(Debug, Default)]
pub(super) struct State(OnceLock<Vec<Variable>>);

impl Clone for State {
    /// A copy of a metric starts anew.
    fn clone(&self) -> Self {
        State::default()
    }
}

impl State {
    /// The variables; made on the device if there are none.
    pub(super) fn get(
        &self,
        names: &[&str],
        shape: &Shape,
        dtype: DType,
        device: &Device,
    ) -> Result<&[Variable]> {
        if self.0.get().is_none() {
            let make = |name: &&str| -> Result<Variable> {
                Ok(Variable::new(name, Tensor::full(shape.clone(), dtype, 0.0, device)?, false))
            };
            let made = names.iter().map(make).collect::<Result<Vec<_>>>()?;
            // Another thread may have been faster; its variables are as good.
            let _ = self.0.set(made);
        }
        let variables = self.0.get().ok_or_else(|| Error::other("metric state"))?;
        if variables.iter().any(|v| v.shape() != shape) {
            let expected = format!("state of shape {}", variables[0].shape());
            return Err(Error::argument("y_pred", expected, format!("a batch that needs {shape}")));
        }
        Ok(variables)
    }

    /// The variables, if there are any.
    pub(super) fn variables(&self) -> Vec<Variable> {
        self.0.get().cloned().unwrap_or_default()
    }

    /// Sets them to zero.
    pub(super) fn reset(&self) -> Result<()> {
        let zero =
            |v: &Variable| v.assign(&Tensor::full(v.shape().clone(), v.dtype(), 0.0, v.get().device())?);
        self.variables().iter().try_for_each(zero)
    }
}

/// Adds to a variable.
pub(super) fn add(variable: &Variable, value: &Tensor) -> Result<()> {
    variable.assign(&(variable.get() + value.cast(variable.dtype())?)?)
}
