use backend_ndarray::NdArray;
use keras_spec::{Backend, BinaryOp, CompareOp, DType, Element, HostTensor, UnaryOp};
use proptest::prelude::*;

use crate::naive::{Both, Naive, check, read, shapes, tensor, tensor_of};
use crate::reduce::wrap;

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

/// Shapes that are broadcast together.
fn pair_shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    (shapes(), 0usize..5, any::<u8>(), any::<bool>()).prop_map(|(a, cut, ones, swap)| {
        let b: Vec<usize> =
            a.iter().enumerate().map(|(i, &n)| if ones >> i & 3 == 3 { 1 } else { n }).collect();
        let b = b[cut.saturating_sub(2).min(b.len())..].to_vec();
        if swap { (b, a) } else { (a, b) }
    })
}

fn pair() -> impl Strategy<Value = (Both, Both, DType)> {
    (pair_shapes(), dtypes()).prop_flat_map(|((a, b), d)| (tensor_of(a, d), tensor_of(b, d), Just(d)))
}

fn common(a: &Naive, b: &Naive) -> Vec<usize> {
    let (long, short) = if a.shape.len() >= b.shape.len() { (a, b) } else { (b, a) };
    let skip = long.shape.len() - short.shape.len();
    let at = |i: usize, n: usize| if i >= skip && n == 1 { short.shape[i - skip] } else { n };
    long.shape.iter().enumerate().map(|(i, &n)| at(i, n)).collect()
}

/// How far a dtype may be off, relative and absolute.
fn tolerance(d: DType) -> f64 {
    match d {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::F32 => 5e-7,
        DType::F64 => 1e-14,
        _ => 0.0,
    }
}

fn unary(op: UnaryOp, d: DType, v: f64) -> f64 {
    match op {
        UnaryOp::Neg => wrap(d, -v),
        UnaryOp::Abs => v.abs(),
        UnaryOp::Sign => {
            if v == 0.0 || v.is_nan() {
                v
            } else {
                v.signum()
            }
        }
        UnaryOp::Ceil => v.ceil(),
        UnaryOp::Floor => v.floor(),
        UnaryOp::Round => v.round_ties_even(),
        UnaryOp::Exp => v.exp(),
        UnaryOp::Expm1 => v.exp_m1(),
        UnaryOp::Log => v.ln(),
        UnaryOp::Log1p => v.ln_1p(),
        UnaryOp::Sqrt => v.sqrt(),
        UnaryOp::Rsqrt => 1.0 / v.sqrt(),
        UnaryOp::Sin => v.sin(),
        UnaryOp::Cos => v.cos(),
        UnaryOp::Tan => v.tan(),
        UnaryOp::Asin => v.asin(),
        UnaryOp::Acos => v.acos(),
        UnaryOp::Atan => v.atan(),
        UnaryOp::Sinh => v.sinh(),
        UnaryOp::Cosh => v.cosh(),
        UnaryOp::Tanh => v.tanh(),
        UnaryOp::Asinh => v.asinh(),
        UnaryOp::Acosh => v.acosh(),
        UnaryOp::Atanh => v.atanh(),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-v).exp()),
        UnaryOp::Softplus => v.max(0.0) + (-v.abs()).exp().ln_1p(),
        UnaryOp::Relu => {
            if v > 0.0 {
                v
            } else {
                0.0
            }
        }
        UnaryOp::Not if d == DType::Bool => 1.0 - v,
        UnaryOp::Not if v >= 0.0 && matches!(d, DType::U8) => 255.0 - v,
        UnaryOp::Not => -v - 1.0,
        // Tabulated below.
        _ => f64::NAN,
    }
}

/// Of the values that the tests draw, those that an operation and dtype are compared on.
fn compared(op: UnaryOp, d: DType) -> bool {
    let unsigned = matches!(d, DType::U16 | DType::U32 | DType::U64);
    op.accepts(d)
        && !matches!(op, UnaryOp::Erf | UnaryOp::ErfInv)
        && !(unsigned && matches!(op, UnaryOp::Not | UnaryOp::Neg))
}

fn binary(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

/// The operations on integers and `bool` that f64 does not have.
fn integer(op: BinaryOp, a: i64, b: i64) -> i64 {
    match op {
        BinaryOp::FloorDiv if b == 0 => 0,
        BinaryOp::FloorDiv => (a as f64 / b as f64).floor() as i64,
        BinaryOp::Mod if b == 0 => 0,
        BinaryOp::Mod => a - (a as f64 / b as f64).floor() as i64 * b,
        BinaryOp::Pow if b < 0 => match a {
            1 => 1,
            -1 => {
                if b % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        },
        BinaryOp::Pow => a.pow(b as u32),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        _ => a ^ b,
    }
}

proptest! {
    #[test]
    fn unary_functions((x, d) in dtypes().prop_flat_map(|d| (tensor(d), Just(d)))) {
        for op in UnaryOp::ALL.into_iter().filter(|&op| compared(op, d)) {
            let y = x.naive.map(|v| unary(op, d, v));
            check(d, &[(&x, d)], |mut v| NdArray.unary(op, v.remove(0)), (&y, tolerance(d)));
        }
    }

    #[test]
    fn binary_functions((a, b, d) in pair()) {
        let shape = common(&a.naive, &b.naive);
        for op in BinaryOp::ALL.into_iter().filter(|op| op.accepts(d)) {
            let y = Naive::build(&shape, |at| {
                let (a, b) = (a.naive.spread(at), b.naive.spread(at));
                match binary(op, a, b) {
                    Some(y) => wrap(d, y),
                    None if d.is_float() => match op {
                        BinaryOp::FloorDiv => (a / b).floor(),
                        BinaryOp::Mod if b == 0.0 => f64::NAN,
                        BinaryOp::Mod => a - (a / b).floor() * b,
                        _ => a.powf(b),
                    },
                    None => wrap(d, integer(op, a as i64, b as i64) as f64),
                }
            });
            let run = |mut v: Vec<_>| NdArray.binary(op, v.remove(0), v.remove(0));
            check(d, &[(&a, d), (&b, d)], run, (&y, tolerance(d)));
        }
    }

    #[test]
    fn comparisons((a, b, d) in pair()) {
        let shape = common(&a.naive, &b.naive);
        type Compare = fn(&f64, &f64) -> bool;
        let all: [(CompareOp, Compare); 6] = [
            (CompareOp::Eq, f64::eq), (CompareOp::Ne, f64::ne), (CompareOp::Lt, f64::lt),
            (CompareOp::Le, f64::le), (CompareOp::Gt, f64::gt), (CompareOp::Ge, f64::ge),
        ];
        for (op, f) in all {
            let y = Naive::build(&shape, |at| f64::from(f(&a.naive.spread(at), &b.naive.spread(at))));
            let run = |mut v: Vec<_>| NdArray.compare(op, v.remove(0), v.remove(0));
            check(DType::Bool, &[(&a, d), (&b, d)], run, (&y, 0.0));
        }
    }

    #[test]
    fn selections((a, b, c, d) in (pair_shapes(), dtypes(), 0usize..3).prop_flat_map(|((a, b), d, which)| {
        let c = [a.clone(), b.clone(), vec![]][which].clone();
        (tensor_of(a, d), tensor_of(b, d), tensor_of(c, DType::Bool), Just(d))
    })) {
        let y = Naive::build(&common(&a.naive, &b.naive), |at| {
            if c.naive.spread(at) != 0.0 { a.naive.spread(at) } else { b.naive.spread(at) }
        });
        let run = |mut v: Vec<_>| NdArray.select(v.remove(0), v.remove(0), v.remove(0));
        check(d, &[(&c, DType::Bool), (&a, d), (&b, d)], run, (&y, 0.0));
    }
}

fn list<T: Element>(values: &[T]) -> backend_ndarray::Buffer {
    NdArray.from_host(HostTensor::new([values.len()], values.to_vec()).unwrap()).unwrap()
}

fn values<T: Element>(x: backend_ndarray::Buffer) -> Vec<T> {
    NdArray.to_host(x).unwrap().into_vec().unwrap()
}

#[test]
fn error_functions() {
    let x = [-3.0, -1.0, -0.1, 0.0, 0.5, 2.0];
    let erf = [
        -0.999977909503001,
        -0.842700792949715,
        -0.112462916018285,
        0.0,
        0.520499877813047,
        0.995322265018953,
    ];
    for d in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let x = Naive { shape: vec![6], data: x.to_vec() };
        let y = Naive { shape: vec![6], data: erf.to_vec() };
        let got = NdArray.unary(UnaryOp::Erf, x.buffer(d)).unwrap();
        crate::naive::same(&read(&got), &y, tolerance(d), "erf");
    }
    let y =
        values::<f64>(NdArray.unary(UnaryOp::ErfInv, list(&[-1.0f64, 0.520499877813047, 1.0, 2.0])).unwrap());
    assert!(
        y[0] == f64::NEG_INFINITY && (y[1] - 0.5).abs() < 1e-13 && y[2] == f64::INFINITY && y[3].is_nan()
    );
}

#[test]
fn integers_wrap_and_divide_like_python() {
    let run = |op, a: &[i8], b: &[i8]| values::<i8>(NdArray.binary(op, list(a), list(b)).unwrap());
    let (a, b) = ([7i8, -7, 7, -7, -128, 5, 127], [2i8, 2, -2, -2, -1, 0, 127]);
    assert_eq!(run(BinaryOp::FloorDiv, &a, &b), [3, -4, -4, 3, -128, 0, 1]);
    assert_eq!(run(BinaryOp::Mod, &a, &b), [1, 1, -1, -1, 0, 0, 0]);
    assert_eq!(run(BinaryOp::Add, &a, &b), [9, -5, 5, -9, 127, 5, -2]);
    assert_eq!(values::<i8>(NdArray.unary(UnaryOp::Neg, list(&[-128i8])).unwrap()), [-128]);
    assert_eq!(values::<i8>(NdArray.unary(UnaryOp::Abs, list(&[-128i8])).unwrap()), [-128]);
    assert_eq!(values::<u32>(NdArray.unary(UnaryOp::Neg, list(&[1u32])).unwrap()), [u32::MAX]);
    assert_eq!(values::<u64>(NdArray.unary(UnaryOp::Not, list(&[1u64])).unwrap()), [u64::MAX - 1]);
    let big = NdArray.binary(BinaryOp::Mul, list(&[u64::MAX, 1 << 63]), list(&[2u64, 3])).unwrap();
    assert_eq!(values::<u64>(big), [u64::MAX - 1, 1 << 63]);
}

#[test]
fn floats_follow_ieee_and_python() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let run = |op, a: f32, b: f32| values::<f32>(NdArray.binary(op, list(&[a]), list(&[b])).unwrap())[0];
    for op in [BinaryOp::Max, BinaryOp::Min] {
        assert!(run(op, nan, 1.0).is_nan() && run(op, 1.0, nan).is_nan());
    }
    assert_eq!(run(BinaryOp::Mod, 5.0, inf), 5.0);
    assert_eq!(run(BinaryOp::Mod, -5.0, 3.0), 1.0);
    assert_eq!(run(BinaryOp::Div, 1.0, 0.0), inf);
    let one = |op, x: f32| values::<f32>(NdArray.unary(op, list(&[x])).unwrap())[0];
    assert!(one(UnaryOp::Relu, nan).is_nan() && one(UnaryOp::Sign, nan).is_nan());
    assert_eq!(
        [one(UnaryOp::Round, 2.5), one(UnaryOp::Round, -0.5), one(UnaryOp::Round, 3.5)],
        [2.0, 0.0, 4.0]
    );
    assert_eq!([one(UnaryOp::Softplus, 100.0), one(UnaryOp::Sigmoid, -200.0)], [100.0, 0.0]);
    let same = NdArray.compare(CompareOp::Eq, list(&[nan]), list(&[nan])).unwrap();
    assert_eq!(values::<bool>(same), [false]);
}

#[test]
fn what_is_not_defined_is_refused() {
    for d in DType::ALL {
        let x = Naive::build(&[2], |_| 1.0).buffer(d);
        for op in UnaryOp::ALL.into_iter().filter(|op| !op.accepts(d)) {
            assert!(NdArray.unary(op, x.clone()).is_err(), "{op:?} {d}");
        }
        for op in BinaryOp::ALL.into_iter().filter(|op| !op.accepts(d)) {
            assert!(NdArray.binary(op, x.clone(), x.clone()).is_err(), "{op:?} {d}");
        }
    }
}
