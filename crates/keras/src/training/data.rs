//! Data for `fit`, `evaluate` and `predict`: arrays by position or name, cut into batches.

use std::collections::BTreeMap;

use keras_spec::{DType, Device, Error, HostTensor, Result, Shape, Tensor, dispatch_dtype};
use ndarray::{ArrayBase, Dimension};

/// One array, several, or several by name. Arrays have the samples on their first axis.
///
/// ```
/// use keras::training::Data;
///
/// let one = Data::from(&ndarray::Array2::<f32>::zeros((3, 4)));
/// assert_eq!(one.samples()?, Some(3));
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum Data {
    /// None.
    #[default]
    None,
    /// One array.
    One(HostTensor),
    /// One array per input or output, in their order.
    List(Vec<HostTensor>),
    /// One array per input or output, by the name of its layer.
    Dict(Vec<(String, HostTensor)>),
}

impl Data {
    /// The arrays, in order.
    pub fn arrays(&self) -> Vec<&HostTensor> {
        match self {
            Data::None => Vec::new(),
            Data::One(x) => vec![x],
            Data::List(list) => list.iter().collect(),
            Data::Dict(map) => map.iter().map(|(_, x)| x).collect(),
        }
    }

    /// How many samples there are; `None` of no data.
    ///
    /// # Errors
    /// [`Error::Argument`] if arrays have different lengths, or one is a scalar.
    pub fn samples(&self) -> Result<Option<usize>> {
        let mut samples = None;
        for x in self.arrays() {
            let Some(&n) = x.shape().first() else {
                return Err(Error::argument("x", "arrays with samples on their first axis", "a scalar"));
            };
            match samples {
                Some(m) if m != n => {
                    let found = format!("arrays of {m} and {n} samples");
                    return Err(Error::argument("x", "arrays of one length", found));
                }
                _ => samples = Some(n),
            }
        }
        Ok(samples)
    }

    /// The same arrangement with each array changed.
    pub(crate) fn map(&self, mut change: impl FnMut(&HostTensor) -> HostTensor) -> Data {
        match self {
            Data::None => Data::None,
            Data::One(x) => Data::One(change(x)),
            Data::List(list) => Data::List(list.iter().map(change).collect()),
            Data::Dict(map) => Data::Dict(map.iter().map(|(n, x)| (n.clone(), change(x))).collect()),
        }
    }

    /// The samples at `indices`.
    pub(crate) fn rows(&self, indices: &[usize]) -> Data {
        self.map(|x| rows(x, indices))
    }

    /// The arrays in the order of `names`; `what` is the argument's name in messages.
    pub(crate) fn in_order(&self, names: &[String], what: &str) -> Result<Vec<&HostTensor>> {
        let expected = || match names {
            [_] => "one array".to_owned(),
            _ => format!("{} arrays, for {}", names.len(), names.join(", ")),
        };
        if let Data::Dict(map) = self {
            let missing = |name: &String| {
                let known = map.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
                Error::argument(what, expected(), format!("none for `{name}` among {known}"))
            };
            let find = |name: &String| map.iter().find(|(n, _)| n == name).map(|(_, x)| x);
            return names.iter().map(|n| find(n).ok_or_else(|| missing(n))).collect();
        }
        let arrays = self.arrays();
        if arrays.len() != names.len() {
            return Err(Error::argument(what, expected(), format!("{} arrays", arrays.len())));
        }
        Ok(arrays)
    }
}

/// The samples at `indices`, which are in range.
fn rows(x: &HostTensor, indices: &[usize]) -> HostTensor {
    let row: usize = x.shape()[1..].iter().product();
    let mut shape = x.shape().clone();
    shape.dims_mut()[0] = indices.len();
    dispatch_dtype!(x.dtype(), T => {
        let source = x.as_slice::<T>().unwrap_or(&[]);
        let mut out = Vec::with_capacity(indices.len() * row);
        for &i in indices {
            out.extend_from_slice(&source[i * row..(i + 1) * row]);
        }
        HostTensor::new(shape.clone(), out).unwrap_or_else(|_| HostTensor::full(shape, x.dtype(), 0.0))
    })
}

impl From<HostTensor> for Data {
    fn from(x: HostTensor) -> Self {
        Data::One(x)
    }
}

impl From<&HostTensor> for Data {
    fn from(x: &HostTensor) -> Self {
        Data::One(x.clone())
    }
}

impl From<&Data> for Data {
    fn from(x: &Data) -> Self {
        x.clone()
    }
}

impl From<Vec<HostTensor>> for Data {
    fn from(list: Vec<HostTensor>) -> Self {
        Data::List(list)
    }
}

impl<const N: usize> From<[HostTensor; N]> for Data {
    fn from(list: [HostTensor; N]) -> Self {
        Data::List(list.into())
    }
}

impl<const N: usize> From<[(&str, HostTensor); N]> for Data {
    fn from(map: [(&str, HostTensor); N]) -> Self {
        Data::Dict(map.into_iter().map(|(n, x)| (n.to_owned(), x)).collect())
    }
}

impl<T, S, D> From<&ArrayBase<S, D>> for Data
where
    T: keras_spec::Element,
    S: ndarray::Data<Elem = T>,
    D: Dimension,
{
    fn from(array: &ArrayBase<S, D>) -> Self {
        Data::One(host(array))
    }
}

/// An `ndarray` array as a host tensor, in row-major order.
pub fn host<T, S, D>(array: &ArrayBase<S, D>) -> HostTensor
where
    T: keras_spec::Element,
    S: ndarray::Data<Elem = T>,
    D: Dimension,
{
    let shape = Shape::from(array.shape());
    let elements: Vec<T> = array.iter().copied().collect();
    HostTensor::new(shape, elements).unwrap_or_else(|_| HostTensor::full([0], T::DTYPE, 0.0))
}

/// One batch: inputs, targets and weights of samples.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The inputs.
    pub x: Data,
    /// The targets.
    pub y: Data,
    /// How much each sample counts: one array for all outputs, or one per output.
    pub sample_weight: Data,
}

impl Batch {
    /// A batch without weights.
    pub fn new(x: impl Into<Data>, y: impl Into<Data>) -> Self {
        Batch { x: x.into(), y: y.into(), sample_weight: Data::None }
    }

    /// The number of samples.
    ///
    /// # Errors
    /// If the arrays have different lengths or there are none.
    pub fn samples(&self) -> Result<usize> {
        let n = self.x.samples()?.ok_or_else(|| Error::argument("x", "data", "none"))?;
        for (what, part) in [("y", &self.y), ("sample_weight", &self.sample_weight)] {
            if let Some(m) = part.samples()?.filter(|&m| m != n) {
                let expected = format!("{n} samples as in `x`");
                return Err(Error::argument(what, expected, format!("{m} samples")));
            }
        }
        Ok(n)
    }

    /// The samples at `indices`.
    pub(crate) fn rows(&self, indices: &[usize]) -> Batch {
        Batch {
            x: self.x.rows(indices),
            y: self.y.rows(indices),
            sample_weight: self.sample_weight.rows(indices),
        }
    }

    /// The first part and the last `share` of the samples (`validation_split`).
    pub(crate) fn split(&self, share: f64) -> Result<(Batch, Batch)> {
        let n = self.samples()?;
        let at = (n as f64 * (1.0 - share)).floor() as usize;
        if !(0.0..1.0).contains(&share) || at == 0 || at >= n {
            let expected = format!("a share that leaves some of {n} samples on both sides");
            return Err(Error::argument("validation_split", expected, share));
        }
        let (train, test): (Vec<usize>, Vec<usize>) = ((0..at).collect(), (at..n).collect());
        Ok((self.rows(&train), self.rows(&test)))
    }

    /// Multiplies the weights of samples by those of their classes (`class_weight`).
    pub(crate) fn weigh_classes(&mut self, weights: &BTreeMap<usize, f32>) -> Result<()> {
        let Data::One(y) = &self.y else {
            return Err(Error::argument("class_weight", "a model with one output", "several outputs"));
        };
        let of_class = |c: f64| weights.get(&(c as usize)).copied().unwrap_or(1.0);
        let n = y.shape().first().copied().unwrap_or(0);
        let values = y.to_f64_vec();
        let width = values.len() / n.max(1);
        let class = |row: &[f64]| match row {
            [c] => c.round(),
            _ => {
                let best =
                    row.iter().enumerate().fold((0, f64::MIN), |m, (i, &v)| if v > m.1 { (i, v) } else { m });
                best.0 as f64
            }
        };
        let mut out: Vec<f32> = values.chunks(width.max(1)).map(|row| of_class(class(row))).collect();
        if let Data::One(given) = &self.sample_weight {
            for (w, g) in out.iter_mut().zip(given.to_f64_vec()) {
                *w *= g as f32;
            }
        }
        self.sample_weight = Data::One(HostTensor::new([n], out)?);
        Ok(())
    }
}

/// Brings arrays to a device; float64 arrays become the default float, as Keras does with NumPy's.
pub(crate) fn to_device(arrays: &[&HostTensor], device: &Device) -> Result<Vec<Tensor>> {
    let one = |x: &&HostTensor| match x.dtype() {
        DType::F64 => Tensor::from_host(x.cast(DType::F32), device),
        _ => Tensor::from_host((*x).clone(), device),
    };
    arrays.iter().map(one).collect()
}

/// Arrays one after the other on the first axis.
pub(crate) fn append(parts: &[HostTensor]) -> Result<HostTensor> {
    let Some(first) = parts.first() else {
        return Err(Error::argument("x", "at least one batch", "none"));
    };
    let mut shape = first.shape().clone();
    if parts.len() == 1 || shape.rank() == 0 {
        return Ok(first.clone());
    }
    shape.dims_mut()[0] = parts.iter().map(|p| p.shape()[0]).sum();
    dispatch_dtype!(first.dtype(), T => {
        let mut out: Vec<T> = Vec::with_capacity(shape.size());
        for p in parts {
            out.extend_from_slice(p.as_slice::<T>()?);
        }
        HostTensor::new(shape, out)
    })
}
