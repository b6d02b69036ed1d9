use keras_spec::{Call, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::{keras_layer, scalar_like};

/// An input and the mask that tells which of its elements count, of the same shape.
type Masked = (Tensor, Option<Tensor>);

/// Layers of several inputs that are broadcast against each other. Inputs with fewer axes get some of length 1 behind the
/// batch.
macro_rules! merge_layers {
    ($($(#[$doc:meta])* $Layer:ident, $merge:expr $(, inputs $count:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Layer {}

        keras_layer!($Layer);

        impl $Layer {
            /// The layer, which has no arguments of its own.
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl Layer for $Layer {
            fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
                $(if inputs.len() != $count {
                    let expected = concat!("exactly ", $count, " inputs");
                    return Err(Error::argument("inputs", expected, inputs.len()));
                })?
                check_shapes(inputs)
            }

            fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
                let merge: fn(Vec<Masked>) -> Result<Tensor> = $merge;
                Ok(vec![merge(aligned(inputs, call)?)?])
            }

            fn supports_masking(&self) -> bool {
                true
            }

            fn compute_mask(&self, _: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
                any_mask(masks)
            }
        }
    )*};
}

merge_layers! {
    /// The sum of all inputs (`keras.layers.Add`, Keras 3.15.1).
    Add, |inputs| fold(inputs, |a, b| a + b);
    /// The first of two inputs less the second (`keras.layers.Subtract`, Keras 3.15.1).
    Subtract, |inputs| fold(inputs, |a, b| a - b), inputs 2;
    /// The product of all inputs; masked elements count as 1, and where all are masked the product is 0
    /// (`keras.layers.Multiply`, Keras 3.15.1).
    Multiply, product;
    /// The mean of all inputs (`keras.layers.Average`, Keras 3.15.1).
    Average, |inputs| {
        let n = inputs.len() as f64;
        fold(inputs, |a, b| a + b)? / n
    };
    /// The largest of all inputs; masked elements do not count (`keras.layers.Maximum`, Keras 3.15.1).
    Maximum, |inputs| fold_masked(inputs, |a, b| a.maximum(&b));
    /// The smallest of all inputs; masked elements do not count (`keras.layers.Minimum`, Keras 3.15.1).
    Minimum, |inputs| fold_masked(inputs, |a, b| a.minimum(&b));
}

fn no_inputs() -> Error {
    Error::argument("inputs", "a list of at least 1 input", "none")
}

/// Refuses shapes that cannot be broadcast to each other, or of different batch sizes.
fn check_shapes(inputs: &[PartialShape]) -> Result<()> {
    let listed = || {
        let all: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        all.join(", ")
    };
    if inputs.is_empty() {
        return Err(no_inputs());
    }
    let mut batches = inputs.iter().filter_map(|s| s.first().copied().flatten());
    if let Some(first) = batches.next()
        && batches.any(|b| b != first)
    {
        return Err(Error::argument("inputs", "one batch size", format!("shapes {}", listed())));
    }
    let mut common: Vec<Option<usize>> = Vec::new(); // from the last axis to the one after the batch
    for shape in inputs {
        for (i, &length) in shape.iter().skip(1).rev().enumerate() {
            match common.get_mut(i) {
                None => common.push(length),
                Some(c) => match (*c, length) {
                    (Some(1), other) => *c = other,
                    (_, Some(1)) => {}
                    (Some(a), Some(b)) if a != b => {
                        let expected = "shapes that can be broadcast to each other";
                        return Err(Error::argument("inputs", expected, listed()));
                    }
                    (a, b) => *c = a.and(b),
                },
            }
        }
    }
    Ok(())
}

/// The inputs with equally many axes, and masks for those that had them before.
fn aligned(inputs: &[Tensor], call: &Call) -> Result<Vec<Masked>> {
    let rank = inputs.iter().map(Tensor::rank).max().unwrap_or(0);
    let align = |(i, x): (usize, &Tensor)| {
        let missing = rank - x.rank();
        if missing == 0 {
            let mask = call.mask(i).map(|m| m.expand_dims(-1)?.broadcast_to(x.shape())).transpose()?;
            return Ok((x.clone(), mask));
        }
        let mut shape = x.shape().clone();
        (0..missing).for_each(|_| shape.insert(1.min(x.rank()), 1));
        Ok((x.reshape(shape)?, None))
    };
    inputs.iter().enumerate().map(align).collect()
}

fn fold(inputs: Vec<Masked>, merge: impl Fn(Tensor, Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut tensors = inputs.into_iter().map(|(x, _)| x);
    let first = tensors.next().ok_or_else(no_inputs)?;
    tensors.try_fold(first, merge)
}

fn fold_masked(inputs: Vec<Masked>, merge: impl Fn(Tensor, Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut inputs = inputs.into_iter();
    let (mut y, mut y_mask) = inputs.next().ok_or_else(no_inputs)?;
    for (mut x, x_mask) in inputs {
        if let Some(mask) = &x_mask {
            x = mask.select(&x, &y)?;
        }
        if let Some(mask) = &y_mask {
            y = mask.select(&y, &x)?;
        }
        y_mask = match (y_mask, x_mask) {
            (Some(a), Some(b)) => Some(a.or(&b)?),
            _ => None,
        };
        y = merge(y, x)?;
    }
    Ok(y)
}

fn product(inputs: Vec<Masked>) -> Result<Tensor> {
    let masks: Option<Vec<Tensor>> = inputs.iter().map(|(_, mask)| mask.clone()).collect();
    let unmasked = |(x, mask): Masked| match mask {
        Some(mask) => Ok((mask.select(&x, &scalar_like(&x, 1.0)?)?, None)),
        None => Ok((x, None)),
    };
    let y = fold(inputs.into_iter().map(unmasked).collect::<Result<_>>()?, |a, b| a * b)?;
    let mut masks = masks.into_iter().flatten();
    let Some(first) = masks.next() else { return Ok(y) };
    masks.try_fold(first, |a, b| a.or(&b))?.select(&y, &scalar_like(&y, 0.0)?)
}

/// Where any input counts, if all have masks.
fn any_mask(masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let Some(all) = masks.iter().cloned().collect::<Option<Vec<Tensor>>>() else { return Ok(vec![None]) };
    let mut all = all.into_iter();
    let Some(first) = all.next() else { return Ok(vec![None]) };
    Ok(vec![Some(all.try_fold(first, |a, b| a.or(&b))?)])
}
