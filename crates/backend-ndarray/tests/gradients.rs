//! The gradient table of `keras-spec` on the reference backend: every operation against finite differences in float64,
//! first and second derivatives; conventions at kinks against Keras on JAX; the tape itself.

#[allow(dead_code, reason = "shared by several tests")]
mod support;

use keras_spec::op::Op;
use keras_spec::{
    BinaryOp, CompareOp, ConvSpec, DType, Dims, GradientOptions, ReduceOp, Result, ScatterOp, Tensor,
    UnaryOp, WindowSpec, gradients, gradients_with, scope,
};
use proptest::prelude::*;
use support::{check, random};

fn run(op: Op) -> impl Fn(&[Tensor]) -> Result<Vec<Tensor>> {
    move |x| Ok(Tensor::apply(op.clone(), x.iter().cloned())?.into_vec())
}

fn check_op(op: Op, operands: &[Tensor]) {
    check(&format!("{op:?}"), &run(op.clone()), operands);
}

/// Distinct numbers, at least 0.1 apart, in no order.
fn distinct(seed: u64, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let order = support::numbers(seed, n, 0.0, 1.0);
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
    let mut values = vec![0.0; n];
    for (rank, place) in places.into_iter().enumerate() {
        values[place] = (rank as f64 - n as f64 / 2.0) * 0.3 + 0.1;
    }
    Tensor::new(shape, values).unwrap()
}

fn indices(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::new(shape, values.to_vec()).unwrap()
}

#[test]
fn unary() {
    use UnaryOp::*;
    for op in UnaryOp::ALL {
        let (low, high) = match op {
            Log | Sqrt | Rsqrt => (0.3, 3.0),
            Log1p => (-0.6, 2.0),
            Acosh => (1.3, 3.0),
            Asin | Acos | Atanh | ErfInv => (-0.8, 0.8),
            Tan => (-1.2, 1.2),
            Ceil | Floor | Round => (0.1, 0.4),
            Not => continue,
            _ => (-2.0, 2.0),
        };
        check_op(Op::Unary(op), &[random(1, &[2, 3], low, high)]);
    }
}

#[test]
fn binary() {
    for op in BinaryOp::ALL.into_iter().filter(|op| op.accepts(DType::F64)) {
        let shapes: [(&[usize], &[usize]); 4] =
            [(&[2, 3], &[2, 3]), (&[2, 3], &[3]), (&[2, 1], &[1, 3]), (&[], &[2])];
        for (i, (a, b)) in shapes.into_iter().enumerate() {
            // Away from the steps of floor division and from ties.
            let (a, b) = (random(i as u64, a, 2.2, 2.9), random(10 + i as u64, b, 1.1, 1.4));
            check_op(Op::Binary(op), &[a.clone(), b.clone()]);
            check_op(Op::Binary(op), &[b, a]);
        }
    }
}

#[test]
fn movement() {
    let x = random(2, &[3, 4, 2], -1.0, 1.0);
    for op in [
        Op::Reshape([2, 12].into()),
        Op::Permute(Dims::from_slice(&[2, 0, 1])),
        Op::Broadcast([2, 3, 4, 2].into()),
        Op::Slice {
            start: Dims::from_slice(&[1, 0, 1]),
            limit: Dims::from_slice(&[3, 4, 2]),
            stride: Dims::from_slice(&[1, 3, 1]),
        },
        Op::Slice {
            start: Dims::from_slice(&[1, 2, 0]),
            limit: Dims::from_slice(&[1, 3, 2]),
            stride: Dims::from_slice(&[2, 1, 1]),
        },
        Op::Reverse(Dims::from_slice(&[0, 2])),
        Op::Pad {
            value: 0.5,
            low: Dims::from_slice(&[1, 0, 2]),
            high: Dims::from_slice(&[0, 3, 1]),
            interior: Dims::from_slice(&[2, 0, 1]),
        },
        Op::Cast(DType::F64),
    ] {
        check_op(op, std::slice::from_ref(&x));
    }
    check_op(Op::Broadcast([3, 4, 5].into()), &[random(3, &[3, 1, 1], -1.0, 1.0)]);
    let parts = [2, 1, 3].map(|n| random(n as u64, &[2, n], -1.0, 1.0));
    check_op(Op::Concatenate(1), &parts);
}

#[test]
fn casts_between_floats() {
    let x = Tensor::new([2], vec![1.0f32, 2.0]).unwrap().watch();
    let y = (x.cast(DType::F64).unwrap() * 3.0).unwrap();
    let g = gradients(&[&y], &[&x]).unwrap().remove(0).unwrap();
    assert_eq!(g.to_vec::<f32>().unwrap(), [3.0, 3.0]);
    let through_integers = x.cast(DType::I32).unwrap().cast(DType::F32).unwrap();
    assert!(gradients(&[&through_integers], &[&x]).unwrap()[0].is_none());
}

#[test]
fn select() {
    let condition = Tensor::new([2, 1], vec![true, false]).unwrap();
    let f = |x: &[Tensor]| Ok(vec![condition.select(&x[0], &x[1])?.square()?]);
    check("select", &f, &[random(1, &[2, 3], -1.0, 1.0), random(2, &[3], -1.0, 1.0)]);
}

#[test]
fn reductions() {
    use ReduceOp::*;
    let x = distinct(3, &[2, 3, 2]);
    for op in [Sum, Prod, Max, Min] {
        for axes in [&[0][..], &[1], &[0, 2], &[0, 1, 2], &[]] {
            check_op(Op::Reduce { op, axes: axes.into() }, std::slice::from_ref(&x));
        }
        for axis in 0..3 {
            check_op(Op::Cumulative { op, axis }, std::slice::from_ref(&x));
        }
    }
}

#[test]
fn products_with_zeros() {
    let x = Tensor::new([2, 4], vec![0.0, 2.0, 3.0, -1.0, 0.0, 1.5, 0.0, 2.5]).unwrap();
    check_op(Op::Reduce { op: ReduceOp::Prod, axes: Dims::from_slice(&[1]) }, std::slice::from_ref(&x));
    check_op(Op::Cumulative { op: ReduceOp::Prod, axis: 1 }, &[x]);
}

#[test]
fn sorting_gathering_scattering() {
    let x = distinct(5, &[3, 4]);
    for axis in 0..2 {
        for descending in [false, true] {
            let f = run(Op::Sort { axis, descending });
            check("sort", &|x| f(x)?[0].square().map(|y| vec![y]), std::slice::from_ref(&x));
        }
    }
    let twice = indices(&[2, 2], &[2, 0, 2, 9]);
    check("gather", &|x| Ok(vec![x[0].take(&twice, 0)?.square()?]), std::slice::from_ref(&x));
    check("gather", &|x| Ok(vec![x[0].take(&indices(&[], &[-3]), 1)?.square()?]), std::slice::from_ref(&x));
    let each = indices(&[3, 2], &[1, 1, 3, 0, 7, 2]);
    check(
        "gather_elements",
        &|x| Ok(vec![x[0].take_along_axis(&each, 1)?.square()?]),
        std::slice::from_ref(&x),
    );
    for op in [ScatterOp::Set, ScatterOp::Add, ScatterOp::Max, ScatterOp::Min] {
        let updates = (distinct(6, &[2, 2, 4]) + 0.05).unwrap();
        let twice = indices(&[2, 2], &[2, 0, 2, 9]);
        let f = |x: &[Tensor]| Ok(vec![x[0].scatter(op, &twice, &x[1], 0)?.square()?]);
        check(&format!("scatter {op:?}"), &f, &[x.clone(), updates]);
        let updates = (distinct(7, &[3, 3]) + 0.05).unwrap();
        let each = indices(&[3, 3], &[1, 1, -1, 0, 3, 3, 4, 2, 2]);
        let f = |x: &[Tensor]| {
            let op = Op::ScatterElements { axis: 1, op };
            Ok(vec![Tensor::apply1(op, [x[0].clone(), each.clone(), x[1].clone()])?.square()?])
        };
        check(&format!("scatter_elements {op:?}"), &f, &[x.clone(), updates]);
    }
}

#[test]
fn equal_updates_share() {
    let x = Tensor::new([3], vec![1.0, 2.0, 3.0]).unwrap().watch();
    let updates = Tensor::new([3], vec![2.0, 2.0, 0.0]).unwrap().watch();
    let y = x.scatter(ScatterOp::Max, &indices(&[3], &[1, 1, 0]), &updates, 0).unwrap();
    let g = gradients(&[&y], &[&x, &updates]).unwrap();
    let g: Vec<Vec<f64>> = g.into_iter().map(|g| g.unwrap().to_vec().unwrap()).collect();
    assert_eq!(g, [vec![1.0, 1.0 / 3.0, 1.0], vec![1.0 / 3.0, 1.0 / 3.0, 0.0]]);
}

#[test]
fn matrix_products() {
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[2, 3], &[3, 2]),
        (&[4, 2, 3], &[3, 2]),
        (&[2, 3], &[4, 3, 2]),
        (&[2, 1, 2, 3], &[3, 3, 2]),
        (&[2, 2, 3], &[2, 3, 1]),
    ];
    for (a, b) in shapes {
        check_op(Op::MatMul, &[random(1, a, -1.0, 1.0), random(2, b, -1.0, 1.0)]);
    }
}

#[test]
fn windows() {
    let window = WindowSpec {
        size: Dims::from_slice(&[2, 3]),
        strides: Dims::from_slice(&[1, 2]),
        padding: [(1, 0), (0, 2)].into_iter().collect(),
    };
    let x = distinct(8, &[1, 3, 5, 2]);
    for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
        let f = run(Op::ReduceWindow { op, window: window.clone() });
        check(&format!("{op:?} over windows"), &|x| Ok(vec![f(x)?[0].square()?]), std::slice::from_ref(&x));
    }
    let product = Op::ReduceWindow { op: ReduceOp::Prod, window: window.clone() };
    let watched = x.watch();
    let y = run(product)(std::slice::from_ref(&watched)).unwrap();
    let error = gradients(&[&y[0]], &[&watched]).unwrap_err().to_string();
    assert!(error.contains("reduce_window"), "{error}");
    let g = random(9, &[1, 3, 3, 2], -1.0, 1.0);
    let f = run(Op::SelectAndScatter(window));
    check("select_and_scatter", &|g| Ok(vec![f(&[x.clone(), g[0].clone()])?[0].square()?]), &[g]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Strides that do not divide, gaps, padding on one side, cropping, dilation of either operand, groups.
    #[test]
    fn convolutions(
        spatial in prop::collection::vec((1usize..4, 1usize..3, 1usize..3, 1usize..3, -1isize..3, 0isize..3, 0usize..3), 1..3),
        groups in 1usize..3,
        per_group in (1usize..3, 1usize..3),
        seed in 0u64..1000,
    ) {
        let spec = ConvSpec {
            strides: spatial.iter().map(|s| s.1).collect(),
            input_dilation: spatial.iter().map(|s| s.2).collect(),
            filter_dilation: spatial.iter().map(|s| s.3).collect(),
            padding: spatial.iter().map(|s| (s.4, s.5)).collect(),
            groups,
        };
        // Long enough for one window at least.
        let mut input = vec![2];
        let mut filter = vec![];
        for s in &spatial {
            filter.push(s.0);
            let least = (s.0 - 1) as isize * s.3 as isize + 1 - s.4 - s.5;
            input.push((least.max(2) as usize).div_ceil(s.2) + 1 + s.6);
        }
        input.push(groups * per_group.0);
        filter.extend([per_group.0, groups * per_group.1]);
        let operands = [random(seed, &input, -1.0, 1.0), random(seed + 1, &filter, -1.0, 1.0)];
        let y = run(Op::Convolution(spec.clone()))(&operands).unwrap();
        prop_assert!(y[0].shape().size() > 0);
        check_op(Op::Convolution(spec), &operands);
    }
}

fn vector(values: &[f64]) -> Tensor {
    Tensor::new([values.len()], values.to_vec()).unwrap()
}

fn gradient(y: &Tensor, x: &Tensor) -> Option<Vec<f64>> {
    gradients(&[y], &[x]).unwrap().remove(0).map(|g| g.to_vec().unwrap())
}

#[test]
fn the_same_tensor_many_times() {
    let x = vector(&[2.0, -3.0]).watch();
    let y = (((&x * &x).unwrap() * &x).unwrap() + (&x + &x).unwrap()).unwrap();
    assert_eq!(gradient(&y, &x), Some(vec![14.0, 29.0]));
    let g = gradients(&[&y, &y, &x], &[&x, &x]).unwrap();
    for g in g {
        assert_eq!(g.unwrap().to_vec::<f64>().unwrap(), [29.0, 59.0]);
    }
}

#[test]
fn sources_that_are_targets_or_on_the_way() {
    let x = vector(&[2.0]).watch();
    assert_eq!(gradient(&x, &x), Some(vec![1.0]));
    let middle = (&x * 3.0).unwrap();
    let y = middle.square().unwrap();
    let g = gradients(&[&y, &middle], &[&x, &middle, &y]).unwrap();
    let g: Vec<f64> = g.into_iter().map(|g| g.unwrap().item().unwrap()).collect();
    assert_eq!(g, [39.0, 13.0, 1.0]);
}

#[test]
fn independent_targets() {
    let (x, other) = (vector(&[2.0]).watch(), vector(&[3.0]).watch());
    let y = (&x * 3.0).unwrap();
    assert_eq!(gradient(&y, &other), None);
    assert_eq!(gradient(&y.stop_gradient(), &x), None);
    assert_eq!(gradient(&vector(&[1.0]), &x), None);
    let unwatched = vector(&[1.0]);
    assert!(gradients(&[&y], &[&unwatched]).is_err());
    let integers = Tensor::new([2], vec![1, 2]).unwrap().watch();
    assert!(gradients(&[&(&integers * &integers).unwrap()], &[&integers]).unwrap()[0].is_none());
    let places = y.argmax(0).unwrap();
    assert!(gradients(&[&places], &[&x]).unwrap()[0].is_none());
    let larger = x.compare_with(CompareOp::Gt, 0.0).unwrap();
    assert!(gradients(&[&larger], &[&x]).unwrap()[0].is_none());
}

#[test]
fn cotangents_are_checked() {
    let x = vector(&[2.0, 1.0]).watch();
    let y = (&x * &x).unwrap();
    let with = |c: Vec<Tensor>| {
        gradients_with(&[&y], &[&x], &GradientOptions { cotangents: Some(c), create_graph: false })
    };
    let g = with(vec![vector(&[1.0, -1.0])]).unwrap().remove(0).unwrap();
    assert_eq!(g.to_vec::<f64>().unwrap(), [4.0, -2.0]);
    assert!(with(vec![vector(&[1.0])]).is_err());
    assert!(with(vec![]).is_err());
    assert!(with(vec![vector(&[1.0, -1.0]).cast(DType::F32).unwrap()]).is_err());
    assert!(with(vec![vector(&[1.0, -1.0]), vector(&[1.0, -1.0])]).is_err());
}

#[test]
fn derivatives_of_derivatives() {
    let x = vector(&[0.7]).watch();
    let mut y = (x.sin().unwrap() * x.exp().unwrap()).unwrap();
    // (e^x sin x)'''' = -4 e^x sin x
    let start = y.item().unwrap();
    for _ in 0..4 {
        let options = GradientOptions { cotangents: None, create_graph: true };
        y = gradients_with(&[&y], &[&x], &options).unwrap().remove(0).unwrap();
    }
    assert!((y.item().unwrap() + 4.0 * start).abs() < 1e-12);
    assert!(gradients(&[&y], &[&x]).unwrap().remove(0).is_some_and(|g| !g.is_watched()));
}

#[test]
fn scopes_nest() {
    let x = vector(&[2.0]).watch();
    let inside = scope::recorded(|| {
        let hidden = scope::unrecorded(|| (&x * &x).unwrap());
        assert!(!hidden.is_watched());
        let again = scope::unrecorded(|| scope::recorded(|| (&x * &x).unwrap()));
        assert!(again.is_watched());
        (again + hidden).unwrap()
    });
    assert_eq!(gradient(&inside, &x), Some(vec![4.0]));
    let abstracted = scope::abstractly(|| (&x * &x).unwrap());
    assert!(!abstracted.is_watched());
    assert!(scope::records());
}

/// A history of 100,000 operations is walked and freed on a stack of 128 KiB.
#[test]
fn long_histories() {
    let deep = || {
        let x = vector(&[1.0]).watch();
        let mut y = x.clone();
        for _ in 0..100_000 {
            y = (y + &x).unwrap();
        }
        assert_eq!(gradient(&y, &x), Some(vec![100_001.0]));
        // Operations that keep their operands hold on to the history in two ways.
        let mut y = x.clone();
        for _ in 0..100_000 {
            y = (&y * &x).unwrap();
        }
        drop(x);
        drop(y);
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(deep).unwrap().join().unwrap();
}
