//! What stands around layers: initializers, regularizers, constraints, losses, metrics, optimizers, schedules, callbacks.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::logs::Logs;
use crate::object::{Object, Shared, family};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// Gives weights their first values (`keras.initializers.Initializer`, Keras 3.15.1).
pub trait Initializer: Object {
    /// A tensor of first values.
    ///
    /// # Errors
    /// If the shape is not one that the initializer can do.
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor>;

    /// Draws the seed of an initializer that was given none. Keras does so in the constructor; a layer does so for its
    /// initializers in the order of its constructor ([`crate::Layer::draw_seeds`]), so that the same program makes the
    /// same weights.
    fn draw_seed(&self) {}

    /// A copy that draws the same numbers for a weight of which these axes are inputs and outputs, from an initializer that
    /// counts connections and was not told which axes are what.
    fn with_axes(&self, inputs: &[isize], outputs: &[isize]) -> Option<Shared<dyn Initializer>> {
        let _ = (inputs, outputs);
        None
    }
}
family!(Initializer, "initializer");

/// A penalty on weights or outputs (`keras.regularizers.Regularizer`).
pub trait Regularizer: Object {
    /// The penalty, a scalar.
    ///
    /// # Errors
    /// If the tensor is not one that the regularizer can do.
    fn call(&self, x: &Tensor) -> Result<Tensor>;
}
family!(Regularizer, "regularizer");

/// A projection that keeps weights where they belong (`keras.constraints.Constraint`).
pub trait Constraint: Object {
    /// The projected weights, of the same shape.
    ///
    /// # Errors
    /// If the tensor is not one that the constraint can do.
    fn call(&self, w: &Tensor) -> Result<Tensor>;
}
family!(Constraint, "constraint");

/// How a loss becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean over all elements of the (weighted) loss.
    #[default]
    SumOverBatchSize,
    /// The same.
    Mean,
    /// The sum over the sum of the weights.
    MeanWithSampleWeight,
    /// The sum.
    Sum,
    /// None: the elements.
    None,
}

/// What training minimises (`keras.losses.Loss`).
pub trait Loss: Object {
    /// The name in logs.
    fn name(&self) -> String;

    /// The loss of each sample, before weights and reduction. `y_true` and `y_pred` have been cast to the loss's dtype and
    /// brought to the same rank.
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor>;

    /// [`call`](Loss::call) with the mask of the samples that count, for a loss that leaves some out (`ignore_class`).
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn call_masked(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        self.call(y_true, y_pred).map(|loss| (loss, None))
    }

    /// How the elements of [`call`](Loss::call) become one number.
    fn reduction(&self) -> Reduction {
        Reduction::default()
    }

    /// The dtype that the loss computes in.
    fn dtype(&self) -> DType {
        DType::F32
    }
}
family!(Loss, "loss");

/// What training reports (`keras.metrics.Metric`): state that updates accumulate in.
pub trait Metric: Object {
    /// The name in logs.
    fn name(&self) -> String;

    /// Takes a batch into account.
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()>;

    /// The value over everything since the last reset.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn result(&self) -> Result<Tensor>;

    /// Forgets everything.
    ///
    /// # Errors
    /// If the state cannot be written.
    fn reset_state(&self) -> Result<()>;

    /// The state.
    fn variables(&self) -> Vec<Variable>;
}
family!(Metric, "metric");

/// A learning rate that depends on the step (`keras.optimizers.schedules.LearningRateSchedule`).
pub trait LearningRateSchedule: Object {
    /// The rate at a step, counted from 0. Computed as Keras does, in float32.
    fn at(&self, step: u64) -> f32;
}
family!(LearningRateSchedule, "learning-rate schedule");

/// How gradients change variables (`keras.optimizers.Optimizer`).
pub trait Optimizer: Object {
    /// The name in files and logs.
    fn name(&self) -> String;

    /// Makes the state for these trainable variables; a second call with the same ones does nothing.
    ///
    /// # Errors
    /// If it was built for others.
    fn build(&self, variables: &[Variable]) -> Result<()>;

    /// Changes the variables by one step, in the order of [`build`](Optimizer::build). Clipping, weight decay, averages
    /// and constraints included. `None` is for a variable that the loss does not depend on.
    ///
    /// # Errors
    /// If it is not built for these variables.
    fn apply(&self, gradients: &[Option<Tensor>], variables: &[Variable]) -> Result<()>;

    /// The state in the order of Keras 3 files: `iteration`, `learning_rate` (without a schedule), then what the
    /// optimizer keeps per variable.
    fn variables(&self) -> Vec<Variable>;

    /// How many steps have been made.
    fn iterations(&self) -> u64;

    /// The learning rate of the next step.
    fn learning_rate(&self) -> f32;

    /// Sets the learning rate.
    ///
    /// # Errors
    /// If it is given by a schedule.
    fn set_learning_rate(&self, rate: f32) -> Result<()>;

    /// What the loss is multiplied with before gradients are taken; `apply` divides again.
    fn loss_scale(&self) -> Option<f32> {
        None
    }

    /// Puts averaged weights in the place of the variables' values at the end of training (`use_ema`).
    ///
    /// # Errors
    /// If the optimizer is built for other variables.
    fn finalize(&self, variables: &[Variable]) -> Result<()> {
        let _ = variables;
        Ok(())
    }
}
family!(Optimizer, "optimizer");

/// A model as a callback sees it.
pub trait Model {
    /// The model's name.
    fn name(&self) -> &str;

    /// All weights, in the order of `get_weights`.
    fn weights(&self) -> Vec<Variable>;

    /// The optimizer, once the model is compiled.
    fn optimizer(&self) -> Option<&Shared<dyn Optimizer>>;

    /// Ends training after the running batch.
    fn stop_training(&mut self);

    /// Writes the model to a file of the format that the extension says.
    ///
    /// # Errors
    /// If the file cannot be written or the model cannot be serialised.
    fn save(&self, path: &Path) -> Result<()>;

    /// Writes the weights to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save_weights(&self, path: &Path) -> Result<()>;
}

/// What `fit` tells its callbacks at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// How many epochs there will be.
    pub epochs: usize,
    /// How many batches an epoch has, if that is known.
    pub steps: Option<usize>,
    /// How much is printed: 0 nothing, 1 a progress bar, 2 a line per epoch.
    pub verbose: u8,
}

/// What is called while a model trains, is evaluated or predicts (`keras.callbacks.Callback`). All methods do nothing unless
/// overridden; an error ends the run.
#[allow(unused_variables)]
pub trait Callback {
    /// Told once before everything else.
    fn set_params(&mut self, params: &Params) {}

    /// Training begins.
    fn on_train_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// Training has ended.
    fn on_train_end(&mut self, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        Ok(())
    }

    /// An epoch begins, counted from 0.
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// An epoch has ended; `logs` has the training metrics and those of validation under `val_…`, and may be added to.
    fn on_epoch_end(&mut self, epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        Ok(())
    }

    /// A training batch begins, counted from 0 in each epoch.
    fn on_train_batch_begin(&mut self, batch: usize, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// A training batch has ended.
    fn on_train_batch_end(&mut self, batch: usize, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        Ok(())
    }

    /// Evaluation begins, also within `fit`.
    fn on_test_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// Evaluation has ended.
    fn on_test_end(&mut self, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        Ok(())
    }

    /// An evaluation batch has ended.
    fn on_test_batch_end(&mut self, batch: usize, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        Ok(())
    }

    /// Prediction begins.
    fn on_predict_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// Prediction has ended.
    fn on_predict_end(&mut self, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }

    /// A prediction batch has ended.
    fn on_predict_batch_end(&mut self, batch: usize, model: &mut dyn Model) -> Result<()> {
        Ok(())
    }
}
