//! Steps of optimizers.

use smallvec::smallvec;

use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::tensor::{Results, Tensor};

/// The variable and its state after a step; `operands` are the variable, the gradient and the state.
pub(super) fn step(op: &Fused, operands: &[Tensor]) -> Result<Results> {
    match (op, operands) {
        (Fused::Sgd { learning_rate, decay }, [w, g]) => {
            Ok(smallvec![(decayed(w, *decay)? - (g * *learning_rate)?)?])
        }
        (Fused::SgdMomentum { learning_rate, momentum, nesterov, decay }, [w, g, m]) => {
            let (w, step) = (decayed(w, *decay)?, (g * *learning_rate)?);
            let m = ((m * *momentum)? - &step)?;
            let w = match nesterov {
                true => ((w + (&m * *momentum)?)? - step)?,
                false => (w + &m)?,
            };
            Ok(smallvec![w, m])
        }
        (Fused::Adam { alpha, beta_1, beta_2, epsilon, decay, .. }, [w, g, m, v, largest @ ..]) => {
            let m = (m + ((g - m)? * (1.0 - beta_1))?)?;
            let v = (v + ((g.square()? - v)? * (1.0 - beta_2))?)?;
            let largest = largest.first().map(|largest| largest.maximum(&v)).transpose()?;
            let root = largest.as_ref().unwrap_or(&v).sqrt()?;
            let w = (decayed(w, *decay)? - ((&m * *alpha)? / (root + *epsilon)?)?)?;
            Ok([w, m, v].into_iter().chain(largest).collect())
        }
        (Fused::RmsProp { learning_rate, rho, momentum, epsilon, centered, decay }, [w, g, v, rest @ ..]) => {
            let mix = |old: &Tensor, new: &Tensor| (old * *rho)? + (new * (1.0 - rho))?;
            let v = mix(v, &g.square()?)?;
            let average = rest.last().filter(|_| *centered).map(|average| mix(average, g)).transpose()?;
            let spread = match &average {
                Some(average) => (&v - average.square()?)?,
                None => v.clone(),
            };
            let mut change = ((g * *learning_rate)? / (spread + *epsilon)?.sqrt()?)?;
            if let (Some(momentum), Some(last)) = (momentum, rest.first()) {
                change = ((last * *momentum)? + change)?;
            }
            let w = (decayed(w, *decay)? - &change)?;
            let last = momentum.map(|_| change);
            Ok([w, v].into_iter().chain(last).chain(average).collect())
        }
        _ => Err(Error::other(format!("{} of {} operands", op.name(), operands.len()))),
    }
}

fn decayed(w: &Tensor, decay: f64) -> Result<Tensor> {
    if decay == 0.0 { Ok(w.clone()) } else { w - (w * decay)? }
}
