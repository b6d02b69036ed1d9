//! The state of optimizers, which each generation of Keras orders in its own way.

use keras_spec::{HostTensor, Optimizer, Result, Variable};

use super::assign;

/// Gives an optimizer its state. As in Keras, a state that does not fit is left out with a warning: weights are worth
/// more than it.
///
/// # Errors
/// A device fails.
pub(super) fn restore(optimizer: &dyn Optimizer, saved: Vec<HostTensor>) -> Result<()> {
    let own = optimizer.variables();
    let fits = |places: &[Variable]| {
        places.len() == saved.len() && places.iter().zip(&saved).all(|(v, s)| v.shape() == s.shape())
    };
    // An optimizer that had made no step had only these.
    let fresh: Vec<Variable> =
        own.iter().filter(|v| ["iteration", "learning_rate"].contains(&v.name())).cloned().collect();
    // Keras 2 keeps the learning rate in the configuration only.
    let without_rate: Vec<Variable> = own.iter().filter(|v| v.name() != "learning_rate").cloned().collect();
    for places in [own, without_rate, fresh] {
        if fits(&places) {
            return assign(places.into_iter().zip(saved).collect());
        }
    }
    tracing::warn!(
        "the state of optimizer `{}` is left out: {} arrays in the file do not fit the {} of the optimizer",
        optimizer.name(),
        saved.len(),
        optimizer.variables().len(),
    );
    Ok(())
}
