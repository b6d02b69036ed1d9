//! This project's kernels on libtorch's tensors in this machine's memory, where they do better than libtorch's functions.
//!
//! A function of libtorch takes about a microsecond before it begins, and longer where it wakes its threads; a small operation
//! takes less. And after a product, bias and activation are one pass. Every function here gives `None` for what libtorch does
//! better, or what is not where a kernel can be.

use keras_kernels::gemm::{Gemm, Layout, gemm};
use keras_kernels::math::Real;
use keras_kernels::optim::Adam;
use keras_kernels::par::{self, with_threads_of};
use keras_kernels::rnn::Activation;
use keras_kernels::{Num, output, softmax};
use keras_spec::Fused;
use tch::kind::Element;
use tch::{Device, Kind, Tensor};

use crate::buffer::{Done, broken, sizes};
use crate::shim::{LibtorchThreads, Strided, elements, elements_mut, from_vec, strided};

/// From this many multiplications on, libtorch's threads are worth waking for a product of matrices.
const MANY_PRODUCTS: usize = 1 << 20;

/// From this many logits on, libtorch's functions for parts of the cross-entropy are worth calling.
const MANY_LOGITS: usize = 1 << 13;

/// From this many elements on, libtorch's threads are worth waking for a step of an optimizer.
const MANY_WEIGHTS: usize = 1 << 15;

/// `f::<T>(arguments)` for the kind of elements, if kernels have it.
macro_rules! with_kind {
    ($kind:expr, $f:ident($($argument:expr),*)) => {
        match $kind {
            Ok(Kind::Float) => $f::<f32>($($argument),*),
            Ok(Kind::Double) => $f::<f64>($($argument),*),
            _ => None,
        }
    };
}

/// `activation(a · b + bias)` of two matrices.
pub(crate) fn product(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Option<Done> {
    fn run<T: Element + Real>(
        a: &Tensor,
        b: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Option<Done> {
        let (a, b) = (strided::<T, 2>(a)?, strided::<T, 2>(b)?);
        let ([m, k], [_, n]) = (a.sizes, b.sizes);
        if m.saturating_mul(n).saturating_mul(k) >= MANY_PRODUCTS {
            return None;
        }
        let mut product = Gemm::new(m, n, k);
        let mut y = match bias {
            Some(bias) => {
                product = product.accumulate();
                row::<T>(bias)?.repeat(m)
            }
            None => vec![<T as Num>::ZERO; m * n],
        };
        let (c, c_layout) = (&mut y, Layout::row_major(n));
        let done = with_threads_of(&LibtorchThreads, || {
            gemm(&product, a.elements, layout(&a), b.elements, layout(&b), c, c_layout)
        });
        if activation != Activation::Linear {
            par::simd!(|m| activation.apply(&mut y, m));
        }
        Some(done.map_err(|e| broken("matmul", e).into()).and_then(|()| from_vec(y, &sizes(&[m, n]))))
    }
    with_kind!(a.f_kind(), run(a, b, bias, activation))
}

/// [`product`] of large matrices: libtorch's, and one pass for the rest.
pub(crate) fn large_product(a: &Tensor, b: &Tensor, bias: &Tensor, activation: Activation) -> Option<Done> {
    fn run<T: Element + Real>(a: &Tensor, b: &Tensor, bias: &Tensor, activation: Activation) -> Option<Done> {
        let bias = row::<T>(bias)?;
        let mut y = match a.f_mm(b) {
            Ok(y) => y,
            Err(e) => return Some(Err(e.into())),
        };
        let elements = elements_mut::<T>(&mut y)?;
        let (work, size) = (elements.len(), bias.len() * (par::CHUNK / bias.len()).max(1));
        with_threads_of(&LibtorchThreads, || {
            par::for_each(elements.chunks_mut(size), work, |rows| {
                par::simd!(|m| {
                    for row in rows.chunks_mut(bias.len()) {
                        row.iter_mut().zip(&bias).for_each(|(y, &bias)| *y += bias);
                        activation.apply(row, m);
                    }
                });
            });
        });
        Some(Ok(y))
    }
    // libtorch's are quicker for the others.
    let cheap = matches!(activation, Activation::Linear | Activation::Relu);
    if a.device() != Device::Cpu || !cheap {
        return None;
    }
    with_kind!(a.f_kind(), run(a, b, bias, activation))
}

/// The elements of a vector, of which a single one in memory may stand for all.
fn row<T: Element + Copy>(x: &Tensor) -> Option<Vec<T>> {
    let x = strided::<T, 1>(x)?;
    Some((0..x.sizes[0]).map(|i| x.elements[i * x.strides[0]]).collect())
}

/// How a matrix lies, as the kernels take it.
fn layout<T>(x: &Strided<'_, T, 2>) -> Layout<'static> {
    Layout { offset: 0, row: x.strides[0] as isize, col: x.strides[1] as isize, batch: &[] }
}

/// Cross-entropy from logits `(…, classes)`: a loss for each row.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor, sparse: bool) -> Option<Done> {
    fn run<T: Element + Real>(logits: &Tensor, labels: &Tensor, sparse: bool) -> Option<Done> {
        let (x, classes, lead) = rows::<T>(logits)?;
        let mut loss = vec![<T as Num>::ZERO; x.len() / classes];
        let done = match sparse {
            true => softmax::sparse_cross_entropy(x, classes, elements(labels)?, &mut loss),
            false => softmax::cross_entropy(x, classes, elements(labels)?, &mut loss),
        };
        Some(done.map_err(|e| broken("softmax_cross_entropy", e).into()).and_then(|()| from_vec(loss, &lead)))
    }
    with_kind!(logits.f_kind(), run(logits, labels, sparse))
}

/// The logits' gradient of [`cross_entropy`], from that of the loss.
pub(crate) fn cross_entropy_backward([logits, labels, g]: [&Tensor; 3], sparse: bool) -> Option<Done> {
    fn run<T: Element + Real>([logits, labels, g]: [&Tensor; 3], sparse: bool) -> Option<Done> {
        let (x, classes, _) = rows::<T>(logits)?;
        let g = g.f_contiguous().ok()?;
        let g = elements(&g)?;
        let done = match sparse {
            true => {
                let labels = elements(labels)?;
                output::collect(x.len(), |dx| {
                    softmax::sparse_cross_entropy_backward(x, classes, labels, g, dx)
                })
            }
            false => {
                let labels = elements(labels)?;
                output::collect(x.len(), |dx| softmax::cross_entropy_backward(x, classes, labels, g, dx))
            }
        };
        let name = "softmax_cross_entropy_backward";
        Some(done.map_err(|e| broken(name, e).into()).and_then(|dx| from_vec(dx, &logits.size())))
    }
    with_kind!(logits.f_kind(), run([logits, labels, g], sparse))
}

/// The elements of a few rows, the length of a row, and the dimensions before it.
fn rows<T: Element>(x: &Tensor) -> Option<(&[T], usize, Vec<i64>)> {
    let (elements, mut lead) = (elements::<T>(x)?, x.size());
    let length = lead.pop()? as usize;
    (1..MANY_LOGITS).contains(&elements.len()).then_some((elements, length, lead))
}

/// A step of Adam on a variable and its moments.
pub(crate) fn adam(op: &Fused, w: &mut Tensor, g: &Tensor, state: &mut [&mut Tensor]) -> Option<Done<()>> {
    fn run<T: Element + Real>(
        op: &Fused,
        w: &mut Tensor,
        g: &Tensor,
        state: &mut [&mut Tensor],
    ) -> Option<Done<()>> {
        let &Fused::Adam { alpha, beta_1, beta_2, epsilon, decay, .. } = op else {
            return None;
        };
        let [alpha, epsilon, decay] = [alpha, epsilon, decay].map(T::from_f64);
        let adam = Adam { alpha, beta_1, beta_2, epsilon, decay };
        let mut state = state.iter_mut().map(|state| elements_mut::<T>(state));
        let (m, v) = (state.next()??, state.next()??);
        let largest = match state.next() {
            Some(largest) => Some(largest?),
            None => None,
        };
        let done = adam.step(elements_mut(w)?, elements(g)?, m, v, largest);
        Some(done.map_err(|e| broken(op.name(), e).into()))
    }
    if g.numel() >= MANY_WEIGHTS {
        return None;
    }
    let g = g.f_contiguous().ok()?;
    with_kind!(g.f_kind(), run(op, w, &g, state))
}
