//! Scaled dot-product attention on the kernels.

use keras_kernels::attention::{Attention, Mask, Operands as Attended};
use keras_kernels::math::Real;
use keras_kernels::{Output, output};
use keras_spec::{AttentionSpec, Result};

use crate::buffer::{Buffer, Item, Shared, array, broken, rows};
use crate::fused::{Operands, failed, results};

const FORWARD: &str = "scaled_dot_product_attention";
const BACKWARD: &str = "scaled_dot_product_attention_backward";

/// Query, key and value.
struct Inputs<T: Item> {
    query: Shared<T>,
    key: Shared<T>,
    value: Shared<T>,
}

impl<T: Item + Real> Inputs<T> {
    fn of(operands: &mut Operands) -> Result<Self> {
        Ok(Inputs { query: operands.next()?, key: operands.next()?, value: operands.next()? })
    }

    fn elements(&self) -> Result<Attended<'_, T>> {
        Ok(Attended { query: rows(&self.query)?, key: rows(&self.key)?, value: rows(&self.value)? })
    }

    fn attention<'a>(
        &self,
        spec: &AttentionSpec,
        mask: Option<&'a Shared<bool>>,
    ) -> Result<Attention<'a, T>> {
        let (&[batch, queries, heads, features], &[_, keys, _, values]) =
            (self.query.shape(), self.value.shape())
        else {
            return Err(broken(FORWARD, "operands have four axes"));
        };
        let stride = |x: &Shared<bool>, i: usize| match x.shape()[i] {
            1 => 0,
            _ => x.shape()[i + 1..].iter().product(),
        };
        let mask = match mask {
            Some(x) => Some(Mask { data: rows(x)?, strides: [0, 1, 2, 3].map(|i| stride(x, i)) }),
            None => None,
        };
        let scale = Real::from_f64(spec.scale);
        Ok(Attention { batch, queries, keys, heads, features, values, scale, causal: spec.causal, mask })
    }
}

fn mask(spec: &AttentionSpec, operands: &mut Operands) -> Result<Option<Shared<bool>>> {
    spec.mask.then(|| operands.next()).transpose()
}

pub(crate) fn forward<T: Item + Real>(spec: &AttentionSpec, o: &mut Operands) -> Result<Vec<Buffer>> {
    let inputs = Inputs::<T>::of(o)?;
    let mask = mask(spec, o)?;
    let attention = inputs.attention(spec, mask.as_ref())?;
    let log_sums_shape = [attention.batch, attention.queries, attention.heads];
    let count = log_sums_shape.iter().product::<usize>();
    let (elements, mut log_sums) = (inputs.elements()?, vec![T::ZERO; count]);
    let write = |y: Output<T>| attention.forward(&elements, y, &mut log_sums);
    let y = output::collect(count * attention.values, write).map_err(failed(FORWARD))?;
    let [batch, queries, heads] = log_sums_shape;
    let y_shape = [batch, queries, heads, attention.values];
    results(FORWARD, [(&y_shape, y), (&log_sums_shape, log_sums)])
}

pub(crate) fn backward<T: Item + Real>(spec: &AttentionSpec, o: &mut Operands) -> Result<Vec<Buffer>> {
    let inputs = Inputs::<T>::of(o)?;
    let (y, log_sums, dy) = (o.next::<T>()?, o.next::<T>()?, o.next::<T>()?);
    let mask = mask(spec, o)?;
    let attention = inputs.attention(spec, mask.as_ref())?;
    let (elements, read) = (inputs.elements()?, [rows(&y)?, rows(&log_sums)?, rows(&dy)?]);
    let (mut dkey, mut dvalue) = (Vec::new(), Vec::new());
    let dquery = output::collect(inputs.query.len(), |dquery| {
        dkey = output::collect(inputs.key.len(), |dkey| {
            let write = |dvalue: Output<T>| attention.backward(&elements, read, [dquery, dkey, dvalue]);
            dvalue = output::collect(inputs.value.len(), write)?;
            Ok(())
        })?;
        Ok(())
    });
    let dquery = dquery.map_err(failed(BACKWARD))?;
    // The kernel gives each head's gradients together.
    let gradient = |like: &Shared<T>, data: Vec<T>| -> Result<Buffer> {
        let &[batch, steps, heads, features] = like.shape() else {
            return Err(broken(BACKWARD, "operands have four axes"));
        };
        let x = array(BACKWARD, &[batch, heads, steps, features], data)?;
        Ok(x.permuted_axes([0, 2, 1, 3].as_slice()).into())
    };
    Ok(vec![gradient(&inputs.query, dquery)?, gradient(&inputs.key, dkey)?, gradient(&inputs.value, dvalue)?])
}
