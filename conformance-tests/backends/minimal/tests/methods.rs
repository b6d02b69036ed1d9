//! One small case of each method, worked out by hand; the conformance suite does the rest.

use std::sync::Arc;

use backend_minimal::Minimal;
use keras_spec::{
    ArgReduceOp, Backend, BinaryOp, CompareOp, ConvSpec, DType, Dims, Element, HostTensor, ReduceOp,
    ScatterOp, Shape, UnaryOp, WindowSpec,
};

type Array = Arc<HostTensor>;

fn array<T: Element>(shape: &[usize], elements: &[T]) -> Array {
    Arc::new(HostTensor::new(shape, elements.to_vec()).unwrap())
}

#[track_caller]
fn is<T: Element>(x: Array, shape: &[usize], elements: &[T]) {
    assert_eq!(x.shape().dims(), shape);
    assert_eq!(x.as_slice::<T>().unwrap(), elements);
}

/// `[[0, 1, 2], [3, 4, 5]]`
fn six() -> Array {
    array(&[2, 3], &[0i32, 1, 2, 3, 4, 5])
}

#[test]
fn what_moves_elements() {
    let m = Minimal;
    is(m.permute(six(), &[1, 0]).unwrap(), &[3, 2], &[0, 3, 1, 4, 2, 5]);
    is(
        m.broadcast(array(&[2, 1], &[1, 2]), &Shape::from([2, 2, 2])).unwrap(),
        &[2, 2, 2],
        &[1, 1, 2, 2, 1, 1, 2, 2],
    );
    is(m.slice(six(), &[0, 0], &[2, 3], &[1, 2]).unwrap(), &[2, 2], &[0, 2, 3, 5]);
    is(m.slice(six(), &[1, 1], &[2, 3], &[1, 1]).unwrap(), &[1, 2], &[4, 5]);
    is(m.reverse(six(), &[1]).unwrap(), &[2, 3], &[2, 1, 0, 5, 4, 3]);
    is(m.reverse(six(), &[0, 1]).unwrap(), &[2, 3], &[5, 4, 3, 2, 1, 0]);
    is(m.concatenate(vec![array(&[2, 1], &[7, 8]), six()], 1).unwrap(), &[2, 4], &[7, 0, 1, 2, 8, 3, 4, 5]);
    is(m.pad(array(&[2], &[1, 2]), 9.0, &[1], &[2], &[1]).unwrap(), &[6], &[9, 1, 9, 2, 9, 9]);
    is(m.pad(array::<i32>(&[0], &[]), 9.0, &[1], &[0], &[3]).unwrap(), &[1], &[9]);
    is(m.reverse(array::<f32>(&[0], &[]), &[0]).unwrap(), &[0], &[0.0f32; 0]);
}

#[test]
fn functions_of_elements() {
    let m = Minimal;
    is(m.unary(UnaryOp::Not, array(&[2], &[true, false])).unwrap(), &[2], &[false, true]);
    is(m.unary(UnaryOp::Not, array(&[2], &[0u8, 1])).unwrap(), &[2], &[255u8, 254]);
    is(m.unary(UnaryOp::Neg, array(&[1], &[i64::MIN])).unwrap(), &[1], &[i64::MIN]);
    is(m.unary(UnaryOp::Round, array(&[3], &[0.5f32, 1.5, -0.5])).unwrap(), &[3], &[0.0f32, 2.0, 0.0]);
    is(
        m.unary(UnaryOp::ErfInv, array(&[2], &[1.0f64, -1.0])).unwrap(),
        &[2],
        &[f64::INFINITY, f64::NEG_INFINITY],
    );
    let of = |op, a: i32, b: i32| m.binary(op, array(&[], &[a]), array(&[], &[b])).unwrap();
    is(of(BinaryOp::FloorDiv, -7, 2), &[], &[-4]);
    is(of(BinaryOp::FloorDiv, i32::MIN, -1), &[], &[i32::MIN]);
    is(of(BinaryOp::FloorDiv, 7, 0), &[], &[0]);
    is(of(BinaryOp::Mod, -7, 3), &[], &[2]);
    is(of(BinaryOp::Pow, 3, 21), &[], &[3i32.wrapping_pow(21)]);
    is(of(BinaryOp::Pow, -1, -3), &[], &[-1]);
    is(of(BinaryOp::Pow, 2, -1), &[], &[0]);
    let nan = m.binary(BinaryOp::Max, array(&[2], &[f32::NAN, 1.0]), array(&[2], &[1.0, f32::NAN])).unwrap();
    assert!(nan.as_slice::<f32>().unwrap().iter().all(|v| v.is_nan()));
    let less = m.compare(CompareOp::Lt, array(&[2], &[1.0f32, f32::NAN]), array(&[], &[2.0f32])).unwrap();
    is(less, &[2], &[true, false]);
    let chosen = m.select(array(&[2, 1], &[true, false]), array(&[2], &[1, 2]), array(&[], &[9])).unwrap();
    is(chosen, &[2, 2], &[1, 2, 9, 9]);
    is(m.cast(array(&[2], &[300.7f32, -1.0]), DType::U8).unwrap(), &[2], &[255u8, 0]);
}

#[test]
fn along_axes() {
    let m = Minimal;
    is(m.reduce(ReduceOp::Sum, six(), &[0]).unwrap(), &[3], &[3, 5, 7]);
    is(m.reduce(ReduceOp::Prod, six(), &[0, 1]).unwrap(), &[], &[0]);
    is(m.reduce(ReduceOp::Max, array::<i8>(&[2, 0], &[]), &[1]).unwrap(), &[2], &[i8::MIN; 2]);
    is(m.reduce(ReduceOp::Max, array::<bool>(&[0], &[]), &[0]).unwrap(), &[], &[false]);
    is(m.cumulative(ReduceOp::Sum, six(), 1).unwrap(), &[2, 3], &[0, 1, 3, 3, 7, 12]);
    let x = array(&[4], &[1.0f32, f32::NAN, 2.0, 2.0]);
    is(m.arg_reduce(ArgReduceOp::Max, x.clone(), 0).unwrap(), &[], &[1]);
    is(m.arg_reduce(ArgReduceOp::Min, x.clone(), 0).unwrap(), &[], &[1]);
    is(m.argsort(x.clone(), 0, false).unwrap(), &[4], &[0, 2, 3, 1]);
    is(m.argsort(x, 0, true).unwrap(), &[4], &[1, 2, 3, 0]);
    is(m.sort(array(&[2, 2], &[3, 1, 2, 4]), 0, false).unwrap(), &[2, 2], &[2, 1, 3, 4]);
}

#[test]
fn by_indices() {
    let m = Minimal;
    let indices = array(&[2], &[2, -5]);
    is(m.gather(six(), indices.clone(), 1).unwrap(), &[2, 2], &[2, 0, 5, 3]);
    is(m.gather(six(), array(&[], &[9]), 0).unwrap(), &[3], &[3, 4, 5]);
    is(m.gather_elements(six(), array(&[1, 3], &[1, 0, 1]), 0).unwrap(), &[1, 3], &[3, 1, 5]);
    let updates = array(&[2, 2], &[10, 20, 30, 40]);
    is(m.scatter(ScatterOp::Add, six(), indices, updates, 1).unwrap(), &[2, 3], &[0, 1, 12, 3, 4, 35]);
    let (twice, updates) = (array(&[2], &[1, 1]), array(&[2], &[7, 8]));
    is(m.scatter_elements(ScatterOp::Set, array(&[2], &[0, 0]), twice, updates, 0).unwrap(), &[2], &[0, 8]);
}

#[test]
fn products_and_windows() {
    let m = Minimal;
    is(m.matmul(six(), array(&[3, 1], &[1, 2, 3])).unwrap(), &[2, 1], &[8, 26]);
    is(m.matmul(array::<f32>(&[2, 0], &[]), array::<f32>(&[0, 2], &[])).unwrap(), &[2, 2], &[0.0f32; 4]);
    let x = array(&[1, 4, 1], &[1.0f32, 2.0, 3.0, 4.0]);
    let mut spec = ConvSpec::new(1);
    spec.padding[0] = (1, -1);
    is(
        m.convolution(x.clone(), array(&[2, 1, 1], &[10.0f32, 1.0]), &spec).unwrap(),
        &[1, 3, 1],
        &[1.0f32, 12.0, 23.0],
    );
    let grouped = ConvSpec { groups: 2, ..ConvSpec::new(1) };
    let pixels = array(&[1, 1, 2], &[2.0f32, 3.0]);
    is(
        m.convolution(pixels, array(&[1, 1, 2], &[5.0f32, 7.0]), &grouped).unwrap(),
        &[1, 1, 2],
        &[10.0f32, 21.0],
    );
    let window = WindowSpec {
        size: Dims::from_slice(&[2]),
        strides: Dims::from_slice(&[2]),
        padding: [(1, 1)].into_iter().collect(),
    };
    is(m.reduce_window(ReduceOp::Max, x.clone(), &window).unwrap(), &[1, 3, 1], &[1.0f32, 3.0, 4.0]);
    let g = array(&[1, 3, 1], &[5.0f32, 6.0, 7.0]);
    is(m.select_and_scatter(x, g, &window).unwrap(), &[1, 4, 1], &[5.0f32, 0.0, 6.0, 7.0]);
}

/// What the guide promises to authors of backends.
#[test]
fn a_complete_backend_takes_at_most_500_lines() {
    let lines =
        [include_str!("../src/lib.rs"), include_str!("../src/number.rs")].map(|file| file.lines().count());
    let total: usize = lines.iter().sum();
    assert!((300..=500).contains(&total), "{total} lines");
}
