use backend_ndarray::NdArray;
use keras_spec::{ArgReduceOp, Backend, DType, HostTensor, ReduceOp};
use proptest::prelude::*;

use crate::naive::{Both, Naive, check, same, tensor, tensor_and_axis};

const OPS: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min];

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

fn ops(d: DType) -> impl Iterator<Item = ReduceOp> {
    OPS.into_iter().filter(move |op| d != DType::Bool || matches!(op, ReduceOp::Max | ReduceOp::Min))
}

/// What the dtype holds of an integer.
pub(crate) fn wrap(d: DType, v: f64) -> f64 {
    match d {
        DType::U8 => v.rem_euclid(256.0),
        DType::I8 => (v + 128.0).rem_euclid(256.0) - 128.0,
        DType::U16 => v.rem_euclid(65536.0),
        DType::I16 => (v + 32768.0).rem_euclid(65536.0) - 32768.0,
        DType::U32 => v.rem_euclid(2f64.powi(32)),
        DType::U64 => v.rem_euclid(2f64.powi(64)),
        _ => v,
    }
}

/// The neutral element.
pub(crate) fn first(op: ReduceOp, d: DType) -> f64 {
    let least = match d {
        DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => 0.0,
        DType::I8 => i8::MIN.into(),
        DType::I16 => i16::MIN.into(),
        DType::I32 => i32::MIN.into(),
        DType::I64 => i64::MIN as f64,
        _ => f64::NEG_INFINITY,
    };
    let greatest = match d {
        DType::Bool => 1.0,
        DType::U8 => u8::MAX.into(),
        DType::U16 => u16::MAX.into(),
        DType::U32 => u32::MAX.into(),
        DType::U64 => u64::MAX as f64,
        DType::I8 => i8::MAX.into(),
        DType::I16 => i16::MAX.into(),
        DType::I32 => i32::MAX.into(),
        DType::I64 => i64::MAX as f64,
        _ => f64::INFINITY,
    };
    match op {
        ReduceOp::Sum => 0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max => least,
        _ => greatest,
    }
}

pub(crate) fn combine(op: ReduceOp, d: DType, a: f64, b: f64) -> f64 {
    match op {
        ReduceOp::Sum => wrap(d, a + b),
        ReduceOp::Prod => wrap(d, a * b),
        ReduceOp::Max => a.max(b),
        _ => a.min(b),
    }
}

/// Products may exceed what a half precision or a small integer holds; those of ±1 do not.
pub(crate) fn tame(op: ReduceOp, d: DType, x: &Both) -> bool {
    op != ReduceOp::Prod || x.naive.data.len() < 6 || !matches!(d, DType::F16 | DType::BF16)
}

proptest! {
    #[test]
    fn reduce((x, d) in dtypes().prop_flat_map(|d| (tensor(d), Just(d))), chosen in any::<u8>()) {
        let rank = x.naive.shape.len();
        let axes: Vec<usize> = (0..rank).filter(|i| chosen >> i & 1 == 1).collect();
        let kept: Vec<usize> = (0..rank).filter(|i| !axes.contains(i)).collect();
        let order: Vec<usize> = kept.iter().chain(&axes).copied().collect();
        let shape: Vec<usize> = kept.iter().map(|&i| x.naive.shape[i]).collect();
        let moved = x.naive.permute(&order);
        let n = axes.iter().map(|&i| x.naive.shape[i]).product::<usize>();
        for op in ops(d).filter(|&op| tame(op, d, &x)) {
            // 64-bit integers beyond 2^53 would need more than f64 has.
            if op == ReduceOp::Prod && n > 20 {
                continue;
            }
            let row = |i: usize| moved.data[i * n..(i + 1) * n].iter().fold(first(op, d), |a, &b| combine(op, d, a, b));
            let data = (0..shape.iter().product()).map(row).collect();
            let y = Naive { shape: shape.clone(), data };
            check(d, &[(&x, d)], |mut b| NdArray.reduce(op, b.remove(0), &axes), (&y, 1e-6));
        }
    }

    #[test]
    fn cumulative((x, axis, d) in dtypes().prop_flat_map(|d| tensor_and_axis(d).prop_map(move |(x, a)| (x, a, d)))) {
        for op in ops(d) {
            let lanes: Vec<Vec<f64>> = x.naive.lanes(axis).iter().map(|lane| {
                lane.iter().scan(first(op, d), |acc, &v| {
                    *acc = combine(op, d, *acc, v);
                    Some(*acc)
                }).collect()
            }).collect();
            let y = Naive::of_lanes(&x.naive.shape, axis, &lanes);
            check(d, &[(&x, d)], |mut b| NdArray.cumulative(op, b.remove(0), axis), (&y, 0.0));
        }
    }

    #[test]
    fn arg_reduce((x, axis, d) in dtypes().prop_flat_map(|d| tensor_and_axis(d).prop_map(move |(x, a)| (x, a, d)))) {
        prop_assume!(x.naive.shape[axis] > 0);
        let mut shape = x.naive.shape.clone();
        shape.remove(axis);
        for (op, sign) in [(ArgReduceOp::Max, 1.0), (ArgReduceOp::Min, -1.0)] {
            let best = |lane: &Vec<f64>| {
                let top = lane.iter().map(|v| v * sign).fold(f64::NEG_INFINITY, f64::max);
                lane.iter().position(|v| v * sign == top).unwrap() as f64
            };
            let y = Naive { shape: shape.clone(), data: x.naive.lanes(axis).iter().map(best).collect() };
            check(DType::I32, &[(&x, d)], |mut b| NdArray.arg_reduce(op, b.remove(0), axis), (&y, 0.0));
        }
    }

    #[test]
    fn sort_and_argsort((x, axis, d) in dtypes().prop_flat_map(|d| tensor_and_axis(d).prop_map(move |(x, a)| (x, a, d)))) {
        for descending in [false, true] {
            let orders: Vec<Vec<usize>> = x.naive.lanes(axis).iter().map(|lane| {
                let mut order: Vec<usize> = (0..lane.len()).collect();
                let key = |i: usize| if descending { -lane[i] } else { lane[i] };
                order.sort_by(|&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
                order
            }).collect();
            let lanes = x.naive.lanes(axis);
            let sorted: Vec<Vec<f64>> =
                orders.iter().zip(&lanes).map(|(o, l)| o.iter().map(|&i| l[i]).collect()).collect();
            let places: Vec<Vec<f64>> = orders.iter().map(|o| o.iter().map(|&i| i as f64).collect()).collect();
            let y = Naive::of_lanes(&x.naive.shape, axis, &sorted);
            check(d, &[(&x, d)], |mut b| NdArray.sort(b.remove(0), axis, descending), (&y, 0.0));
            let y = Naive::of_lanes(&x.naive.shape, axis, &places);
            check(DType::I32, &[(&x, d)], |mut b| NdArray.argsort(b.remove(0), axis, descending), (&y, 0.0));
        }
    }
}

const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];

#[test]
fn nan_wins_every_reduction_and_has_its_place_in_every_order() {
    let nan = f64::NAN;
    let x = Naive { shape: vec![4], data: vec![1.0, nan, 2.0, nan] };
    for d in FLOATS {
        let read = |y| crate::naive::read(&y).data;
        for op in OPS {
            assert!(read(NdArray.reduce(op, x.buffer(d), &[0]).unwrap())[0].is_nan(), "{op:?}");
        }
        for op in [ArgReduceOp::Max, ArgReduceOp::Min] {
            assert_eq!(read(NdArray.arg_reduce(op, x.buffer(d), 0).unwrap()), [1.0], "{op:?}");
        }
        let ascending = Naive { shape: vec![4], data: vec![1.0, 2.0, nan, nan] };
        let descending = Naive { shape: vec![4], data: vec![nan, nan, 2.0, 1.0] };
        same(&crate::naive::read(&NdArray.sort(x.buffer(d), 0, false).unwrap()), &ascending, 0.0, "sort");
        same(&crate::naive::read(&NdArray.sort(x.buffer(d), 0, true).unwrap()), &descending, 0.0, "sort");
        assert_eq!(read(NdArray.argsort(x.buffer(d), 0, false).unwrap()), [0.0, 2.0, 1.0, 3.0]);
        assert_eq!(read(NdArray.argsort(x.buffer(d), 0, true).unwrap()), [1.0, 3.0, 2.0, 0.0]);
        let running = read(NdArray.cumulative(ReduceOp::Max, x.buffer(d), 0).unwrap());
        assert!(running[0] == 1.0 && running[1..].iter().all(|v| v.is_nan()));
    }
}

#[test]
fn half_precisions_accumulate_in_single() {
    // 2048 + 1 is 2048 in float16, 256 + 1 is 256 in bfloat16.
    for (d, n) in [(DType::F16, 4096usize), (DType::BF16, 512)] {
        let x = Naive::build(&[n], |_| 1.0);
        let sum = NdArray.reduce(ReduceOp::Sum, x.buffer(d), &[0]).unwrap();
        assert_eq!(crate::naive::read(&sum).data, [n as f64]);
        let sums = NdArray.cumulative(ReduceOp::Sum, x.buffer(d), 0).unwrap();
        assert_eq!(crate::naive::read(&sums).data[n - 1], n as f64);
    }
}

#[test]
fn long_sums_stay_accurate() {
    let n = 1 << 20;
    let x = HostTensor::new([n], vec![0.1f32; n]).unwrap();
    let sum = NdArray.reduce(ReduceOp::Sum, NdArray.from_host(x).unwrap(), &[0]).unwrap();
    let expected = 0.1f32 as f64 * n as f64;
    assert!((crate::naive::read(&sum).data[0] / expected - 1.0).abs() < 1e-6);
}

#[test]
fn sums_of_bool_are_refused() {
    let x = Naive::build(&[2], |_| 1.0).buffer(DType::Bool);
    assert!(NdArray.reduce(ReduceOp::Sum, x.clone(), &[0]).is_err());
    assert!(NdArray.cumulative(ReduceOp::Prod, x, 0).is_err());
}
