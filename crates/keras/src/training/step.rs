//! One batch: forward, loss, gradients, update.

use std::sync::PoisonError;

use keras_spec::{Call, Device, Error, HostTensor, Logs, Result, Tensor, gradients, scope};

use super::compile::{Compile, Compiled};
use super::data::{Batch, Data, to_device};
use crate::models::Model;

/// A batch on the device, in the order of the model's inputs and outputs.
struct Staged {
    x: Vec<Tensor>,
    y: Vec<Tensor>,
    weights: Vec<Option<Tensor>>,
    samples: usize,
}

impl Model {
    /// Says how the model is trained (`Model.compile`, Keras 3.15.1).
    ///
    /// # Errors
    /// If the optimizer's name is unknown. Names of losses and metrics are looked up with the first batch, because
    /// `"accuracy"` depends on the shapes.
    ///
    /// ```
    /// use keras::prelude::*;
    ///
    /// let mut model = Sequential::new().add(Input::new([2])).add(Dense::new(1)).build()?;
    /// model.compile(Compile::new(Adam::new(0.01), "mse").metrics(["mae"]))?;
    /// # Ok::<(), keras::Error>(())
    /// ```
    pub fn compile(&mut self, arguments: Compile) -> Result<()> {
        self.compiled = Some(Compiled::new(arguments)?);
        Ok(())
    }

    pub(crate) fn compiled(&self) -> Result<&Compiled> {
        self.compiled.as_ref().ok_or_else(|| Error::NotBuilt {
            name: format!("model `{}`", self.name()),
            action: "training or evaluating: call `compile` first".to_owned(),
        })
    }

    pub(crate) fn device(&self) -> Result<Device> {
        match self.weights().first() {
            Some(w) => Ok(*w.get().device()),
            None => Device::default_device(),
        }
    }

    fn input_names(&self) -> Option<Vec<String>> {
        self.inputs().ok().map(|all| all.into_iter().map(|(name, _)| name).collect())
    }

    fn stage_inputs(&self, x: &Data) -> Result<Vec<Tensor>> {
        let device = self.device()?;
        match self.input_names() {
            Some(names) => to_device(&x.in_order(&names, "x")?, &device),
            None => to_device(&x.arrays(), &device),
        }
    }

    fn stage(&self, batch: &Batch) -> Result<Staged> {
        let samples = batch.samples()?;
        let x = self.stage_inputs(&batch.x)?;
        if !self.is_built() {
            let shapes: Vec<_> = x.iter().map(|t| t.shape().into()).collect();
            self.as_layer().build(&shapes)?;
        }
        let names = self.output_names()?;
        let device = self.device()?;
        let y = to_device(&batch.y.in_order(names, "y")?, &device)?;
        let given = batch.sample_weight.arrays();
        let weights = match given[..] {
            [] => vec![None; names.len()],
            [one] => vec![Some(to_device(&[one], &device)?.remove(0)); names.len()],
            _ => {
                let all = to_device(&batch.sample_weight.in_order(names, "sample_weight")?, &device)?;
                all.into_iter().map(Some).collect()
            }
        };
        Ok(Staged { x, y, weights, samples })
    }

    fn output_names(&self) -> Result<&[String]> {
        if let Some(known) = self.compiled()?.outputs.get() {
            return Ok(known);
        }
        let names = self.outputs()?.into_iter().map(|(name, _)| name).collect();
        Ok(self.compiled()?.outputs.get_or_init(|| names))
    }

    /// The loss of a batch with penalties, and the predictions.
    fn forward(&self, staged: &Staged, call: &Call) -> Result<(Tensor, Vec<Tensor>)> {
        let compiled = self.compiled()?;
        let outputs = self.call(&staged.x, call)?;
        let resolved = compiled.resolve(self.output_names()?, &staged.y, &outputs.tensors)?;
        let mut loss = resolved.loss(&staged.y, &outputs.tensors, &outputs.masks, &staged.weights)?;
        let penalties = call.losses().into_iter().chain(self.as_layer().regularization_losses()?);
        for penalty in penalties {
            loss = Some(match loss {
                Some(sum) => (sum + penalty)?,
                None => penalty,
            });
        }
        let loss = loss.ok_or_else(|| Error::argument("loss", "a loss, or layers that add one", "none"))?;
        Ok((loss, outputs.tensors))
    }

    /// Takes a finished batch into the running loss and metrics.
    fn track(&self, staged: &Staged, loss: &Tensor, predictions: &[Tensor]) -> Result<()> {
        let compiled = self.compiled()?;
        let value = loss.item()?;
        let mut tracker = compiled.loss_tracker.lock().unwrap_or_else(PoisonError::into_inner);
        tracker.update(value, staged.samples as f64);
        drop(tracker);
        let resolved = compiled.resolve(self.output_names()?, &staged.y, predictions)?;
        resolved.update_metrics(&staged.y, predictions, &staged.weights)
    }

    /// One step of training; metrics go on from where they are.
    pub(crate) fn train_step(&mut self, batch: &Batch) -> Result<()> {
        let staged = self.stage(batch)?;
        let optimizer = self.compiled()?.optimizer.clone();
        let variables = self.as_layer().trainable_weights();
        optimizer.build(&variables)?;
        let (loss, predictions, grads) = scope::recorded(|| -> Result<_> {
            let (loss, predictions) = self.forward(&staged, &Call::training())?;
            let target = match optimizer.loss_scale() {
                Some(scale) => (&loss * f64::from(scale))?,
                None => loss.clone(),
            };
            let sources: Vec<Tensor> = variables.iter().map(keras_spec::Variable::watched).collect();
            let grads = gradients(&[&target], &sources.iter().collect::<Vec<_>>())?;
            // What has a history holds the weights, which then could not be changed in place.
            let predictions: Vec<Tensor> = predictions.iter().map(Tensor::stop_gradient).collect();
            Ok((loss.stop_gradient(), predictions, grads))
        })?;
        optimizer.apply(&grads, &variables)?;
        self.track(&staged, &loss, &predictions)
    }

    /// One step of evaluation.
    pub(crate) fn test_step(&self, batch: &Batch) -> Result<()> {
        let staged = self.stage(batch)?;
        let (loss, predictions) = self.forward(&staged, &Call::inference())?;
        self.track(&staged, &loss, &predictions)
    }

    /// The outputs for a batch.
    pub(crate) fn predict_step(&self, x: &Data) -> Result<Vec<HostTensor>> {
        x.samples()?.ok_or_else(|| Error::argument("x", "data", "none"))?;
        let inputs = self.stage_inputs(x)?;
        self.call(&inputs, &Call::inference())?.tensors.iter().map(Tensor::to_host).collect()
    }

    /// Trains on one batch: its loss and metrics (`Model.train_on_batch`, as Keras on JAX: batches before do not count).
    ///
    /// # Errors
    /// If the model is not compiled or the data does not fit.
    pub fn train_on_batch(&mut self, batch: &Batch) -> Result<Logs> {
        self.reset_metrics()?;
        self.train_step(batch)?;
        self.compiled()?.results()
    }

    /// Evaluates one batch (`Model.test_on_batch`).
    ///
    /// # Errors
    /// If the model is not compiled or the data does not fit.
    pub fn test_on_batch(&mut self, batch: &Batch) -> Result<Logs> {
        self.reset_metrics()?;
        self.test_step(batch)?;
        self.compiled()?.results()
    }

    /// The outputs for one batch (`Model.predict_on_batch`), one array per output.
    ///
    /// # Errors
    /// If the data does not fit.
    pub fn predict_on_batch(&self, x: impl Into<Data>) -> Result<Vec<HostTensor>> {
        self.predict_step(&x.into())
    }

    /// Forgets what metrics have seen.
    ///
    /// # Errors
    /// If the model is not compiled.
    pub fn reset_metrics(&mut self) -> Result<()> {
        self.compiled()?.reset_metrics()
    }
}
