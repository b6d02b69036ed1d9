use backend_ndarray::NdArray;
use keras_spec::{Backend, DType, ScatterOp};
use proptest::prelude::*;

use crate::naive::{Both, Naive, check, indices, shape_and_axis, tensor_of};

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

/// x, indices and updates as `gather` and `scatter` take them.
fn whole() -> impl Strategy<Value = (Both, Both, Both, usize, DType)> {
    (shape_and_axis(), prop::collection::vec(0usize..4, 0..3), dtypes()).prop_flat_map(
        |((mut shape, axis), index, d)| {
            shape[axis] = shape[axis].max(1);
            let taken = [&shape[..axis], &index, &shape[axis + 1..]].concat();
            (tensor_of(shape, d), tensor_of(index, DType::I32), tensor_of(taken, d), Just(axis), Just(d))
        },
    )
}

/// x, indices and updates as `gather_elements` and `scatter_elements` take them.
fn elements() -> impl Strategy<Value = (Both, Both, Both, usize, DType)> {
    (shape_and_axis(), 0usize..5, dtypes()).prop_flat_map(|((mut shape, axis), n, d)| {
        shape[axis] = shape[axis].max(1);
        let mut taken = shape.clone();
        taken[axis] = n;
        (tensor_of(shape, d), tensor_of(taken.clone(), DType::I32), tensor_of(taken, d), Just(axis), Just(d))
    })
}

fn ops(d: DType) -> Vec<ScatterOp> {
    let all = [ScatterOp::Set, ScatterOp::Add, ScatterOp::Max, ScatterOp::Min];
    all.into_iter().filter(|&op| d != DType::Bool || op != ScatterOp::Add).collect()
}

/// What `op` makes of `old` and `new`.
fn meet(op: ScatterOp, d: DType, old: f64, new: f64) -> f64 {
    match op {
        ScatterOp::Set => new,
        ScatterOp::Add if d == DType::U8 => (old + new) % 256.0,
        ScatterOp::Add => old + new,
        ScatterOp::Max => old.max(new),
        _ => old.min(new),
    }
}

fn scattered(
    (x, updates, d): (&Naive, &Naive, DType),
    op: ScatterOp,
    axis: usize,
    place: impl Fn(&[usize]) -> (f64, Vec<usize>),
) -> Naive {
    let mut y = x.clone();
    for at in indices(&updates.shape) {
        let (index, mut to) = place(&at);
        if index < 0.0 || index >= x.shape[axis] as f64 {
            continue;
        }
        to[axis] = index as usize;
        let flat = to.iter().zip(&x.shape).fold(0, |f, (&i, &n)| f * n + i);
        y.data[flat] = meet(op, d, y.data[flat], updates.at(&at));
    }
    y
}

proptest! {
    #[test]
    fn gather((x, index, updates, axis, d) in whole()) {
        let n = x.naive.shape[axis] as f64;
        let y = Naive::build(&updates.naive.shape, |at| {
            let i = index.naive.at(&at[axis..axis + index.naive.shape.len()]).clamp(0.0, n - 1.0);
            let from = [&at[..axis], &[i as usize], &at[axis + index.naive.shape.len()..]].concat();
            x.naive.at(&from)
        });
        let run = |mut b: Vec<_>| NdArray.gather(b.remove(0), b.remove(0), axis);
        check(d, &[(&x, d), (&index, DType::I32)], run, (&y, 0.0));
    }

    #[test]
    fn gather_elements((x, index, _, axis, d) in elements()) {
        let n = x.naive.shape[axis] as f64;
        let y = Naive::build(&index.naive.shape, |at| {
            let mut from = at.to_vec();
            from[axis] = index.naive.at(at).clamp(0.0, n - 1.0) as usize;
            x.naive.at(&from)
        });
        let run = |mut b: Vec<_>| NdArray.gather_elements(b.remove(0), b.remove(0), axis);
        check(d, &[(&x, d), (&index, DType::I32)], run, (&y, 0.0));
    }

    #[test]
    fn scatter((x, index, updates, axis, d) in whole()) {
        let rank = index.naive.shape.len();
        for op in ops(d) {
            let y = scattered((&x.naive, &updates.naive, d), op, axis, |at| {
                let to = [&at[..axis], &[0], &at[axis + rank..]].concat();
                (index.naive.at(&at[axis..axis + rank]), to)
            });
            let run = |mut b: Vec<_>| NdArray.scatter(op, b.remove(0), b.remove(0), b.remove(0), axis);
            check(d, &[(&x, d), (&index, DType::I32), (&updates, d)], run, (&y, 0.0));
        }
    }

    #[test]
    fn scatter_elements((x, index, updates, axis, d) in elements()) {
        for op in ops(d) {
            let y = scattered((&x.naive, &updates.naive, d), op, axis, |at| (index.naive.at(at), at.to_vec()));
            let run = |mut b: Vec<_>| NdArray.scatter_elements(op, b.remove(0), b.remove(0), b.remove(0), axis);
            check(d, &[(&x, d), (&index, DType::I32), (&updates, d)], run, (&y, 0.0));
        }
    }
}

#[test]
fn scatter_add_is_not_for_bool() {
    let x = Naive::build(&[2], |_| 1.0).buffer(DType::Bool);
    let index = Naive::build(&[2], |_| 0.0).buffer(DType::I32);
    assert!(NdArray.scatter(ScatterOp::Add, x.clone(), index, x, 0).is_err());
}
