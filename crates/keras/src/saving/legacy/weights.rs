//! Arrays of layers of Keras 2, in the layouts of Keras 3.

use keras_spec::{HostData, HostTensor, LayerRef, Result, Shape, Variable};

use super::{Origin, Report};

/// What became of the arrays of a layer.
pub(crate) struct Converted {
    /// The arrays in their order.
    pub(crate) arrays: Vec<HostTensor>,
    /// The variables whose kernels were turned around.
    pub(crate) flipped: Vec<Variable>,
}

/// Whether an array has the axes of a layer's inputs, of which all but the last are 1, in the place of a weight with that axis alone:
/// `BatchNormalization` had them with a `virtual_batch_size`.
pub(crate) fn is_of_virtual_batch(array: &[usize], variable: &Variable) -> bool {
    match (array, variable.shape().dims()) {
        ([ones @ .., last], [length]) => !ones.is_empty() && last == length && ones.iter().all(|d| *d == 1),
        _ => false,
    }
}

/// Brings the arrays of a layer, one for each of `variables` in their order, into the layout of Keras 3: kernels that Theano
/// flips, weights of CuDNN's recurrent layers.
///
/// # Errors
/// An array has not as many elements as its shape says.
pub(crate) fn convert(
    layer: &LayerRef,
    variables: &[Variable],
    mut arrays: Vec<HostTensor>,
    origin: &Origin,
    report: &mut Report,
) -> Result<Converted> {
    let mut flipped = Vec::new();
    for part in layer.flatten() {
        let own = part.own_weights();
        let place = |v: &Variable| variables.iter().position(|o| Variable::same(o, v));
        let places: Option<Vec<usize>> = own.iter().map(place).collect();
        let Some(places) = places else { continue };
        if origin.is_theano() && part.class().name.starts_with("Conv") {
            let kernels = own.iter().zip(&places).filter(|(v, _)| v.name().ends_with("kernel"));
            for (variable, &i) in kernels.filter(|(v, _)| v.shape().rank() > 2) {
                arrays[i] = flip(&arrays[i])?;
                flipped.push(variable.clone());
                report.converted(layer.name(), "Theano's convolution turns kernels around");
            }
        }
        if part.class().name.starts_with("Conv") {
            for (variable, &i) in own.iter().zip(&places).filter(|(v, _)| v.name().ends_with("kernel")) {
                if let Some(longer) = lengthened(&arrays[i], variable.shape(), origin.is_theano())? {
                    arrays[i] = longer;
                }
            }
        }
        if part.class().name == "BatchNormalization" {
            for (variable, &i) in own.iter().zip(&places) {
                if is_of_virtual_batch(arrays[i].shape().dims(), variable) {
                    arrays[i] = arrays[i].clone().reshape(variable.shape().clone())?;
                }
            }
        }
        if ["PReLU", "SReLU", "ParametricSoftplus"].contains(&part.class().name) {
            for (variable, &i) in own.iter().zip(&places) {
                if let Some(spread) = spread(&arrays[i], variable.shape())? {
                    arrays[i] = spread;
                    let text =
                        "axes that share a parameter, which the architecture does not say, have it each";
                    report.converted(layer.name(), text);
                }
            }
        }
        let recurrent = ["kernel", "recurrent_kernel", "bias"];
        if own.len() == recurrent.len() && own.iter().zip(recurrent).all(|(v, name)| v.name() == name) {
            let units = own[1].shape().first().copied().unwrap_or(0);
            let bias = &arrays[places[2]];
            let gates = bias.shape().dims().iter().product::<usize>().checked_div(2 * units).unwrap_or(0);
            let cudnn = bias.shape().rank() == 1 && bias.shape() != own[2].shape();
            if cudnn && (gates == 3 || gates == 4) && bias.shape().dims() == [2 * gates * units] {
                from_cudnn(&mut arrays, &places, gates)?;
                report.converted(layer.name(), "CuDNN keeps kernels transposed, and two biases");
            }
        }
    }
    Ok(Converted { arrays, flipped })
}

/// `array` with all axes reversed but the last two.
///
/// # Errors
/// The array has not as many elements as its shape says.
pub(crate) fn flip(array: &HostTensor) -> Result<HostTensor> {
    let dims = array.shape().dims().to_vec();
    let (spatial, matrix) = dims.split_at(dims.len().saturating_sub(2));
    let (places, block): (usize, usize) = (spatial.iter().product(), matrix.iter().product());
    // Reversing all spatial axes reverses the order of the places.
    rearranged(array, dims.clone(), |i| (places - 1 - i / block) * block + i % block)
}

/// Whether a kernel of one shape can be made one of another by [`lengthened`].
pub(crate) fn is_shorter(old: &Shape, new: &Shape) -> bool {
    let (old, new) = (old.dims(), new.dims());
    let spatial = new.len().saturating_sub(2);
    let fits = old.len() == new.len() && old[spatial..] == new[spatial..];
    let grows = |(o, n): (&usize, &usize)| *n == *o || (*n == *o + 1 && *o % 2 == 0);
    fits && old != new && old.iter().zip(new).all(grows)
}

/// A kernel with a row of zeros more along the spatial axes where `shape` is one longer, at the end or at the beginning. `None`
/// if that does not make it the shape.
///
/// # Errors
/// The array has not as many elements as its shape says.
pub(crate) fn lengthened(array: &HostTensor, shape: &Shape, at_end: bool) -> Result<Option<HostTensor>> {
    let (old, new) = (array.shape().dims(), shape.dims());
    if !is_shorter(array.shape(), shape) {
        return Ok(None);
    }
    let values = array.to_f64_vec();
    let mut out = vec![0.0; shape.size()];
    for (i, value) in values.into_iter().enumerate() {
        // The place of the element, axis by axis from the last.
        let (mut rest, mut target, mut stride) = (i, 0, 1);
        for axis in (0..old.len()).rev() {
            let at = rest % old[axis] + usize::from(!at_end && new[axis] > old[axis]);
            rest /= old[axis];
            target += at * stride;
            stride *= new[axis];
        }
        out[target] = value;
    }
    Ok(Some(HostTensor::new(shape.clone(), out)?.cast(array.dtype())))
}

/// An array repeated along axes where it has one element and `shape` has more; `None` if it is of the shape already, or cannot
/// be.
fn spread(array: &HostTensor, shape: &Shape) -> Result<Option<HostTensor>> {
    let (old, new) = (array.shape().dims(), shape.dims());
    if old == new || old.len() != new.len() || old.iter().zip(new).any(|(o, n)| o != n && *o != 1) {
        return Ok(None);
    }
    let values = array.to_f64_vec();
    let at = |i: usize| {
        let (mut rest, mut place, mut stride) = (i, 0, 1);
        for axis in (0..old.len()).rev() {
            place += (rest % new[axis]).min(old[axis] - 1) * stride;
            rest /= new[axis];
            stride *= old[axis];
        }
        values[place]
    };
    let spread: Vec<f64> = (0..shape.size()).map(at).collect();
    Ok(Some(HostTensor::new(shape.clone(), spread)?.cast(array.dtype())))
}

/// Weights of CuDNNLSTM or CuDNNGRU as those of LSTM or GRU.
fn from_cudnn(arrays: &mut [HostTensor], places: &[usize], gates: usize) -> Result<()> {
    for (&place, input) in places.iter().zip([true, false]) {
        let array = &arrays[place];
        let [rows, columns] = *array.shape().dims() else { continue };
        let units = columns / gates;
        // Of each gate, CuDNN has the matrix transposed; that of the inputs in the memory of the one that is not.
        let from = |i: usize| {
            let (row, column) = (i / columns, i % columns);
            let (gate, unit) = (column / units, column % units);
            let (r, c) = match input {
                true => ((unit * rows + row) / units, (unit * rows + row) % units),
                false => (unit, row),
            };
            r * columns + gate * units + c
        };
        arrays[place] = rearranged(array, vec![rows, columns], from)?;
    }
    let bias = &arrays[places[2]];
    let half = bias.shape().dims()[0] / 2;
    arrays[places[2]] = match gates {
        3 => bias.clone().reshape([2, half])?,
        _ => {
            let values = bias.to_f64_vec();
            let sums: Vec<f64> = (0..half).map(|i| values[i] + values[i + half]).collect();
            HostTensor::new([half], sums)?.cast(bias.dtype())
        }
    };
    Ok(())
}

/// The array whose element `i` is element `from(i)` of another.
pub(super) fn rearranged(
    array: &HostTensor,
    shape: impl Into<Shape>,
    from: impl Fn(usize) -> usize,
) -> Result<HostTensor> {
    macro_rules! each {
        ($($Variant:ident),*) => {
            match array.data() {
                $(HostData::$Variant(v) => HostData::$Variant((0..v.len()).map(|i| v[from(i)]).collect()),)*
            }
        };
    }
    let data = each!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F16, BF16, F32, F64);
    HostTensor::from_data(shape, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipping_reverses_places_only() {
        let kernel = HostTensor::new([2, 3, 1, 2], (0..12).map(|x| x as f32).collect()).unwrap();
        let expected = vec![10.0, 11.0, 8.0, 9.0, 6.0, 7.0, 4.0, 5.0, 2.0, 3.0, 0.0, 1.0];
        assert_eq!(flip(&kernel).unwrap().to_f64_vec(), expected);
        assert_eq!(flip(&flip(&kernel).unwrap()).unwrap(), kernel);
    }

    #[test]
    fn kernels_of_even_length_get_a_row_of_zeros() {
        let kernel = HostTensor::new([2, 1, 1], vec![1.0f32, 2.0]).unwrap();
        let shape = Shape::from([3, 1, 1]);
        let longer = |at_end| lengthened(&kernel, &shape, at_end).unwrap().unwrap().to_f64_vec();
        assert_eq!(longer(true), [1.0, 2.0, 0.0]);
        assert_eq!(longer(false), [0.0, 1.0, 2.0]);
        assert!(lengthened(&kernel, &Shape::from([4, 1, 1]), true).unwrap().is_none());
    }

    #[test]
    fn shared_parameters_are_repeated() {
        let row = HostTensor::new([1, 3], vec![1.0f32, 2.0, 3.0]).unwrap();
        let all = spread(&row, &Shape::from([2, 3])).unwrap().unwrap();
        assert_eq!(all.to_f64_vec(), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        let column = HostTensor::new([2, 1], vec![1.0f32, 2.0]).unwrap();
        let all = spread(&column, &Shape::from([2, 3])).unwrap().unwrap();
        assert_eq!(all.to_f64_vec(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert!(spread(&row, &Shape::from([2, 2])).unwrap().is_none());
    }

    // numpy: k = arange(24).reshape(3, 8); hstack([k[:, g*2:g*2+2].T.reshape((3, 2), order='F') for g in range(4)]);
    // hstack([r[:, g*2:g*2+2].T for g in range(4)])
    #[test]
    fn cudnn_keeps_gates_transposed() {
        let range = |n: usize| (0..n).map(|x| x as f32).collect::<Vec<_>>();
        let mut arrays = vec![
            HostTensor::new([3, 8], range(24)).unwrap(),
            HostTensor::new([2, 8], range(16)).unwrap(),
            HostTensor::new([16], range(16)).unwrap(),
        ];
        from_cudnn(&mut arrays, &[0, 1, 2], 4).unwrap();
        let kernel = [
            0., 9., 2., 11., 4., 13., 6., 15., 1., 16., 3., 18., 5., 20., 7., 22., 8., 17., 10., 19., 12.,
            21., 14., 23.,
        ];
        assert_eq!(arrays[0].to_f64_vec(), kernel);
        let recurrent = [0., 8., 2., 10., 4., 12., 6., 14., 1., 9., 3., 11., 5., 13., 7., 15.];
        assert_eq!(arrays[1].to_f64_vec(), recurrent);
        assert_eq!(arrays[2].to_f64_vec(), (0..8).map(|i| f64::from(2 * i + 8)).collect::<Vec<_>>());
    }
}
