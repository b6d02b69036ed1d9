//! Matrix products against the `gemm` crate called directly, which gets memory for the result for nothing.

use std::hint::black_box;

use benches::{compare, numbers};
use criterion::Criterion;
use keras_spec::{Element, Tensor};

/// Times `(m, k) · (k, n)` for one dtype.
fn product<T: Element + From<f32>>(c: &mut Criterion, [m, k, n]: [usize; 3], one: T, zero: T) {
    let data = |count| numbers(count).into_iter().map(T::from).collect::<Vec<T>>();
    let (a, b) = (data(m * k), data(k * n));
    let (x, y) = (Tensor::new([m, k], a.clone()).unwrap(), Tensor::new([k, n], b.clone()).unwrap());
    let mut out = vec![zero; m * n];
    let case = format!("{m}×{k} · {k}×{n}, {}", T::DTYPE);
    let direct = || {
        // SAFETY: the strides are those of three row-major matrices with as many elements as the slices have.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                out.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                b.as_ptr(),
                1,
                n as isize,
                zero,
                one,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
        black_box(&out);
    };
    compare(c, ["matmul", &case, "gemm"], || x.matmul(&y).unwrap(), direct);
}

pub(crate) fn run(c: &mut Criterion) {
    for shape in [
        [64, 64, 64],
        [256, 256, 256],
        [1024, 1024, 1024],
        [1, 1024, 1024],
        [1024, 1024, 1],
        [32, 784, 128],
        [4096, 64, 64],
        [64, 4096, 64],
    ] {
        product(c, shape, 1f32, 0.0);
    }
    for shape in [[256, 256, 256], [512, 512, 512], [32, 784, 128]] {
        product(c, shape, 1f64, 0.0);
    }
}
