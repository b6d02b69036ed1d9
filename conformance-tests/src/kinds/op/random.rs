//! Functions of `keras.random`.

use keras::random;
use keras_spec::random::{Seed, SeedGenerator};
use keras_spec::{DType, HostTensor, Shape, Tensor};

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
            "gamma" => {
                random::gamma(shape()?, self.number(1, "alpha", 1.0), float?, Some(&seed), self.device)?
            }
            "beta" => {
                let (alpha, beta) = (self.number(1, "alpha", 1.0), self.number(2, "beta", 1.0));
                random::beta(shape()?, alpha, beta, float?, Some(&seed), self.device)?
            }
            "dropout" => {
                let x = Tensor::from_host(self.array(0, "inputs")?, self.device)?;
                let noise: Option<Vec<Option<usize>>> = self.read(2, "noise_shape")?;
                random::dropout(&x, self.number(1, "rate", 0.5), noise.as_deref(), Some(&seed))?
            }
            "randint" => {
                let (low, high) = (self.integer(1, "minval")?, self.integer(2, "maxval")?);
                random::randint(shape()?, low, high, self.dtype(DType::I32)?, Some(&seed), self.device)?
            }
            "categorical" => {
                let logits = Tensor::from_host(self.array(0, "logits")?, self.device)?;
                random::categorical(
                    &logits,
                    self.read(1, "num_samples")?,
                    self.dtype(DType::I32)?,
                    Some(&seed),
                )?
            }
            "shuffle" => {
                let axis = self.value(1, "axis").and_then(|a| a.as_u64()).unwrap_or(0) as usize;
                random::shuffle(&Tensor::from_host(self.array(0, "x")?, self.device)?, axis, Some(&seed))?
            }
            other => return Err(unknown(other)),
        })
    }
}
