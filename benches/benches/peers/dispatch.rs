//! What an operation on a tensor of one element costs above the backend's own method, with and without a tape.

use backend_ndarray::{Buffer, NdArray};
use benches::{candle, compare, tensor};
use criterion::Criterion;
use keras_spec::{Backend, BinaryOp, Op, Tensor, UnaryOp};
use ndarray::ArcArray;

pub(crate) fn run(c: &mut Criterion) {
    let (a, b) = (tensor([1]), tensor([1]));
    let buffer = || Buffer::from(ArcArray::from_elem(1, 0.5f32));
    let (p, q) = (buffer(), buffer());
    let add =
        |a: &Tensor, b: &Tensor| Tensor::apply1(Op::Binary(BinaryOp::Add), [a.clone(), b.clone()]).unwrap();
    let relu = |a: &Tensor| Tensor::apply1(Op::Unary(UnaryOp::Relu), [a.clone()]).unwrap();
    let backend_add = || NdArray.binary(BinaryOp::Add, p.clone(), q.clone()).unwrap();
    let backend_relu = || NdArray.unary(UnaryOp::Relu, p.clone()).unwrap();
    compare(c, ["dispatch", "add", "backend"], || add(&a, &b), backend_add);
    compare(c, ["dispatch", "relu", "backend"], || relu(&a), backend_relu);
    let watched = a.watch();
    compare(c, ["dispatch", "add, recorded", "backend"], || add(&watched, &b), backend_add);
    compare(c, ["dispatch", "relu, recorded", "backend"], || relu(&watched), backend_relu);

    let (x, y) = (candle([1]), candle([1]));
    compare(c, ["small", "add", "candle"], || add(&a, &b), || x.add(&y).unwrap());
    compare(c, ["small", "relu", "candle"], || relu(&a), || x.relu().unwrap());
    let var = candle_core::Var::from_tensor(&x).unwrap();
    compare(c, ["small", "add, recorded", "candle"], || add(&watched, &b), || var.add(&y).unwrap());
}
