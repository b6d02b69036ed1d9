//! Functions of `keras.random`.

use keras::random;
use keras_spec::random::{Key, Seed, SeedGenerator, distributions, draw_seed};
use keras_spec::{DType, Element, HostTensor, Result as KerasResult, Shape, Tensor, dispatch_dtype};

use super::super::Result;
use super::arguments::Arguments;
use super::unknown;
use crate::vectors::{Tree, VectorError};

impl Arguments<'_> {
    fn number(&self, i: usize, name: &str, default: f64) -> f64 {
        self.value(i, name).and_then(|v| v.as_f64()).unwrap_or(default)
    }

    fn integer(&self, i: usize, name: &str) -> Result<i64> {
        let value = self.value(i, name).and_then(|v| v.as_i64());
        value.ok_or_else(|| VectorError::Key(name.to_owned(), "is no integer".to_owned()).into())
    }

    fn array(&self, i: usize, name: &str) -> Result<HostTensor> {
        let array = self.get(i, name).map(Tree::tensor).transpose()?.flatten();
        array.ok_or_else(|| VectorError::Key(name.to_owned(), "is missing".to_owned()).into())
    }

    fn dtype(&self, default: DType) -> Result<DType> {
        self.or("dtype", default)
    }

    /// A number, or the state of a generator.
    fn seed(&self) -> Result<Seed> {
        let Some(Tree::Tensor(state)) = self.kwargs.get("seed") else {
            return Ok(Seed::Int(self.keyword("seed")?));
        };
        let generator = SeedGenerator::new(Some(0));
        match state.as_slice::<u32>()? {
            &[a, b] => generator.set_state([a, b]),
            _ => return Err(VectorError::Key("seed".to_owned(), "is no pair".to_owned()).into()),
        }
        Ok(Seed::Generator(generator))
    }

    /// Calls the function of `keras.random` of this name.
    pub(super) fn random(&self, name: &str) -> Result<Tensor> {
        let seed = self.seed()?;
        let shape = || self.read::<Vec<usize>>(0, "shape").map(Shape::from);
        let float = self.dtype(DType::F32);
        Ok(match name {
            "uniform" => {
                let (low, high) = (self.number(1, "minval", 0.0), self.number(2, "maxval", 1.0));
                random::uniform(shape()?, low, high, float?, Some(&seed), self.device)?
            }
            "normal" => {
                let (mean, stddev) = (self.number(1, "mean", 0.0), self.number(2, "stddev", 1.0));
                random::normal(shape()?, mean, stddev, float?, Some(&seed), self.device)?
            }
            "truncated_normal" => {
                let (mean, stddev) = (self.number(1, "mean", 0.0), self.number(2, "stddev", 1.0));
                random::truncated_normal(shape()?, mean, stddev, float?, Some(&seed), self.device)?
            }
            "dropout" => {
                let x = Tensor::from_host(self.array(0, "inputs")?, self.device)?;
                let noise: Option<Vec<Option<usize>>> = self.read(2, "noise_shape")?;
                random::dropout(&x, self.number(1, "rate", 0.5), noise.as_deref(), Some(&seed))?
            }
            "randint" => {
                let (low, high) = (self.integer(1, "minval")?, self.integer(2, "maxval")?);
                let drawn = randint(draw_seed(Some(&seed)), shape()?, low, high, self.dtype(DType::I32)?)?;
                Tensor::from_host(drawn, self.device)?
            }
            "categorical" => {
                let samples: usize = self.read(1, "num_samples")?;
                let drawn = categorical(draw_seed(Some(&seed)), &self.array(0, "logits")?, samples)?;
                Tensor::from_host(drawn.cast(self.dtype(DType::I32)?), self.device)?
            }
            "shuffle" => {
                let axis = self.value(1, "axis").and_then(|a| a.as_u64()).unwrap_or(0) as usize;
                let drawn = shuffle(draw_seed(Some(&seed)), &self.array(0, "x")?, axis)?;
                Tensor::from_host(drawn, self.device)?
            }
            other => return Err(unknown(other)),
        })
    }
}

fn randint(key: Key, shape: Shape, low: i64, high: i64, dtype: DType) -> KerasResult<HostTensor> {
    let n = shape.size();
    match dtype {
        DType::I8 => HostTensor::new(shape, distributions::randint::<i8>(key, n, low, high)),
        DType::I16 => HostTensor::new(shape, distributions::randint::<i16>(key, n, low, high)),
        DType::I32 => HostTensor::new(shape, distributions::randint::<i32>(key, n, low, high)),
        DType::I64 => HostTensor::new(shape, distributions::randint::<i64>(key, n, low, high)),
        DType::U8 => HostTensor::new(shape, distributions::randint::<u8>(key, n, low, high)),
        DType::U16 => HostTensor::new(shape, distributions::randint::<u16>(key, n, low, high)),
        DType::U32 => HostTensor::new(shape, distributions::randint::<u32>(key, n, low, high)),
        DType::U64 => HostTensor::new(shape, distributions::randint::<u64>(key, n, low, high)),
        other => Err(keras_spec::Error::dtype("randint", "only integers can be drawn", [other])),
    }
}

fn categorical(key: Key, logits: &HostTensor, samples: usize) -> Result<HostTensor> {
    let &[batch, classes] = logits.shape().dims() else {
        return Err(VectorError::Key("logits".to_owned(), "are no matrix".to_owned()).into());
    };
    let drawn = distributions::categorical(key, logits.as_slice::<f32>()?, [batch, classes], samples)?;
    Ok(HostTensor::new([batch, samples], drawn)?)
}

fn shuffle(key: Key, x: &HostTensor, axis: usize) -> KerasResult<HostTensor> {
    fn of<T: Element>(key: Key, x: &HostTensor, axis: usize) -> KerasResult<HostTensor> {
        let data = distributions::shuffle(key, x.as_slice::<T>()?, x.shape(), axis)?;
        HostTensor::new(x.shape(), data)
    }
    dispatch_dtype!(x.dtype(), T => of::<T>(key, x, axis))
}
