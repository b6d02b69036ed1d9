use keras_spec::{DType, Device, Error, HostTensor, Initializer, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::InitializerSeed;
use super::random::seeded;
use crate::class::{builders, keras_class};
use crate::random;

/// A matrix with orthonormal rows or columns, whichever are fewer (`keras.initializers.Orthogonal`, Keras 3.15.1). All axes
/// but the last are taken as one. Agrees with Keras within the precision of its float32 factorisation, about 1e-6.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orthogonal {
    seed: InitializerSeed,
    gain: f64,
}

keras_class!(
    dyn Initializer, "keras.initializers", Orthogonal, aliases ["orthogonal", "OrthogonalInitializer"]
);
seeded! { Orthogonal }

impl Default for Orthogonal {
    fn default() -> Self {
        Orthogonal { seed: InitializerSeed::default(), gain: 1.0 }
    }
}

impl Orthogonal {
    /// With gain 1.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// What the matrix is multiplied by.
        gain: f64;
    }
}

impl Initializer for Orthogonal {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let [window @ .., columns] = shape.dims() else {
            return Err(Error::argument("shape", "at least two dimensions", shape));
        };
        if window.is_empty() {
            return Err(Error::argument("shape", "at least two dimensions", shape));
        }
        let (rows, columns) = (window.iter().product::<usize>(), *columns);
        let (long, short) = (rows.max(columns), rows.min(columns));
        let seed = self.seed.get();
        let samples = random::normal([long, short], 0.0, 1.0, dtype, Some(&seed), device)?.to_host()?;
        let mut q = transposed(&samples.to_f64_vec(), long, short);
        orthonormalise(&mut q, long);
        // `q` holds the short side's vectors one after the other: a matrix (short, long).
        let values = if rows < columns { q } else { transposed(&q, short, long) };
        let scaled = values.into_iter().map(|v| v * self.gain).collect::<Vec<f64>>();
        Tensor::from_host(HostTensor::new(shape, scaled)?.cast(dtype), device)
    }

    fn draw_seed(&self) {
        self.seed.get();
    }
}

fn transposed(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])).collect()
}

/// Makes the vectors of `len` in `vectors` orthonormal: the factor Q of a QR factorisation whose R has a positive diagonal,
/// which is unique. Gram-Schmidt, each vector twice: the second time removes what rounding left in the first.
fn orthonormalise(vectors: &mut [f64], len: usize) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for start in (0..vectors.len()).step_by(len.max(1)) {
        let (done, rest) = vectors.split_at_mut(start);
        let vector = &mut rest[..len];
        for _ in 0..2 {
            for earlier in done.chunks_exact(len) {
                let along = dot(earlier, vector);
                vector.iter_mut().zip(earlier).for_each(|(v, e)| *v -= along * e);
            }
        }
        let norm = dot(vector, vector).sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|v| *v /= norm);
        }
    }
}
