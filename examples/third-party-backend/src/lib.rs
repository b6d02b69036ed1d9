//! A backend by somebody else: matrix products by the crate `ndarray`, everything else by the minimal backend until
//! it is worth doing better.
//!
//! That is how a backend grows: it is complete, and green in the conformance suite, from the first day on, and one
//! operation after the other moves from [`Minimal`] to the library it is made for.

use std::sync::Arc;

use backend_minimal::Minimal;
use keras_spec::places::broadcast;
use keras_spec::{
    Activ, ArgReduceOp, Backend, BackendEntry, BinaryOp, CompareOp, ConvSpec, DType, Error, Fused,
    HostTensor, ReduceOp, Result, ScatterOp, Shape, UnaryOp, WindowSpec,
};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeError};

// ANCHOR: register
keras_spec::register_backend!(BackendEntry {
    name: "third-party",
    priority: 0,
    check: || Ok(()),
    devices: || vec!["cpu".to_owned()],
    make: |_device| Ok(Arc::new(ThirdParty)),
});
// ANCHOR_END: register

/// The backend. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThirdParty;

/// A tensor, shared by all who hold it.
pub type Buffer = Arc<HostTensor>;

/// Methods that the minimal backend does.
macro_rules! by_minimal {
    ($(fn $method:ident($($argument:ident: $of:ty),*);)*) => {
        $(fn $method(&self, $($argument: $of),*) -> Result<Buffer> {
            Minimal.$method($($argument),*)
        })*
    };
}

impl Backend for ThirdParty {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        "third-party"
    }

    fn shape(&self, x: &Buffer) -> Shape {
        HostTensor::shape(x).clone()
    }

    fn dtype(&self, x: &Buffer) -> DType {
        HostTensor::dtype(x)
    }

    fn to_host(&self, x: Buffer) -> Result<HostTensor> {
        Ok(Arc::unwrap_or_clone(x))
    }

    by_minimal! {
        fn from_host(x: HostTensor);
        fn cast(x: Buffer, dtype: DType);
        fn reshape(x: Buffer, shape: &Shape);
        fn permute(x: Buffer, axes: &[usize]);
        fn broadcast(x: Buffer, shape: &Shape);
        fn slice(x: Buffer, start: &[usize], limit: &[usize], stride: &[usize]);
        fn reverse(x: Buffer, axes: &[usize]);
        fn concatenate(xs: Vec<Buffer>, axis: usize);
        fn pad(x: Buffer, value: f64, low: &[usize], high: &[usize], interior: &[usize]);
        fn unary(op: UnaryOp, x: Buffer);
        fn binary(op: BinaryOp, a: Buffer, b: Buffer);
        fn compare(op: CompareOp, a: Buffer, b: Buffer);
        fn select(condition: Buffer, a: Buffer, b: Buffer);
        fn reduce(op: ReduceOp, x: Buffer, axes: &[usize]);
        fn arg_reduce(op: ArgReduceOp, x: Buffer, axis: usize);
        fn cumulative(op: ReduceOp, x: Buffer, axis: usize);
        fn argsort(x: Buffer, axis: usize, descending: bool);
        fn gather_elements(x: Buffer, indices: Buffer, axis: usize);
        fn scatter_elements(op: ScatterOp, x: Buffer, indices: Buffer, updates: Buffer, axis: usize);
        fn convolution(x: Buffer, filter: Buffer, spec: &ConvSpec);
        fn reduce_window(op: ReduceOp, x: Buffer, window: &WindowSpec);
        fn select_and_scatter(x: Buffer, g: Buffer, window: &WindowSpec);
    }

    // ANCHOR: matmul
    fn matmul(&self, a: Buffer, b: Buffer) -> Result<Buffer> {
        match (a.as_slice::<f32>(), b.as_slice::<f32>()) {
            (Ok(x), Ok(y)) => product(a.shape(), x, b.shape(), y),
            _ => Minimal.matmul(a, b),
        }
    }
    // ANCHOR_END: matmul

    // ANCHOR: fused
    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        matches!(op, Fused::Dense { activation: Activ::Linear | Activ::Relu }) && dtype == DType::F32
    }

    fn fused(&self, op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
        let (Fused::Dense { activation }, [x, kernel, bias]) = (op, operands.as_slice()) else {
            return Err(Error::unsupported(self.name(), op.name(), DType::F32, "it is not fused here"));
        };
        let mut y = Arc::unwrap_or_clone(dense(x, kernel)?).into_parts();
        let units = bias.shape().size();
        let bias = bias.as_slice::<f32>()?;
        if let keras_spec::HostData::F32(y) = &mut y.1 {
            for (i, y) in y.iter_mut().enumerate() {
                *y += bias[i % units];
                if *activation == Activ::Relu && *y < 0.0 {
                    *y = 0.0;
                }
            }
        }
        Ok(vec![Arc::new(HostTensor::from_data(y.0, y.1)?)])
    }
    // ANCHOR_END: fused
}

/// The product of the rows of `x (…, in)` with `kernel (in, units)`.
fn dense(x: &HostTensor, kernel: &HostTensor) -> Result<Buffer> {
    let (inputs, units) = (kernel.shape()[0], kernel.shape()[1]);
    let lead = &x.shape()[..x.shape().rank() - 1];
    let rows = Shape::from([lead.iter().product(), inputs]);
    let y = product(&rows, x.as_slice()?, kernel.shape(), kernel.as_slice()?)?;
    let shape: Shape = lead.iter().copied().chain([units]).collect();
    Ok(Arc::new(Arc::unwrap_or_clone(y).reshape(shape)?))
}

/// `(…, m, k) · (…, k, n)`, leading axes broadcast.
fn product(a_shape: &Shape, a: &[f32], b_shape: &Shape, b: &[f32]) -> Result<Buffer> {
    let split = |x: &Shape| (Shape::from(&x[..x.rank() - 2]), x[x.rank() - 2], x[x.rank() - 1]);
    let ((lead_a, m, k), (lead_b, _, n)) = (split(a_shape), split(b_shape));
    let lead = lead_a
        .broadcast(&lead_b)
        .ok_or_else(|| Error::shape("matmul", "leading axes differ", [a_shape, b_shape]))?;
    let shape: Shape = lead.iter().copied().chain([m, n]).collect();
    let mut out = vec![0.0; shape.size()];
    if !out.is_empty() && k > 0 {
        let matrices = broadcast(&lead_a, &lead).into_iter().zip(broadcast(&lead_b, &lead));
        for ((i, j), out) in matrices.zip(out.chunks_exact_mut(m * n)) {
            multiply([m, k, n], &a[i * m * k..][..m * k], &b[j * k * n..][..k * n], out)?;
        }
    }
    HostTensor::new(shape, out).map(Arc::new)
}

/// One product of row-major matrices.
fn multiply([m, k, n]: [usize; 3], a: &[f32], b: &[f32], out: &mut [f32]) -> Result<()> {
    let failed = |why: ShapeError| Error::Backend {
        backend: "third-party".to_owned(),
        op: "matmul".to_owned(),
        why: why.to_string(),
    };
    let a = ArrayView2::from_shape((m, k), a).map_err(failed)?;
    let b = ArrayView2::from_shape((k, n), b).map_err(failed)?;
    let mut out = ArrayViewMut2::from_shape((m, n), out).map_err(failed)?;
    general_mat_mul(1.0, &a, &b, 0.0, &mut out);
    Ok(())
}
