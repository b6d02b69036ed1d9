//! Every required operation on every dtype that it accepts, against the reference backend, on numbers at the edges of what
//! libtorch does by itself.

use backend_minimal as _;
use backend_tch as _;
use keras_spec::{
    ArgReduceOp, BinaryOp, CompareOp, ConvSpec, DType, Device, HostTensor, Op, ReduceOp, ScatterOp, Shape,
    Tensor, UnaryOp, WindowSpec, dispatch_dtype, half,
};

/// Numbers of a dtype: its limits, zeros, what rounds and wraps; many of them small.
fn numbers(dtype: DType, count: usize, seed: u64) -> HostTensor {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let edges =
        [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.5, 1e30, -1e30, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    use keras_spec::Element;
    dispatch_dtype!(dtype, T => {
        let number = |_| -> T {
            match next() % 4 {
                0 if dtype.is_float() => T::from_f64(edges[next() as usize % edges.len()]),
                0 if next() % 2 == 0 => T::LEAST,
                0 => T::GREATEST,
                1 if dtype.is_int() => T::from_i128(i128::from(next() << 33 ^ next())),
                _ => T::from_f64((next() % 21) as f64 * 0.5 - 4.0),
            }
        };
        HostTensor::new([count], (0..count).map(number).collect::<Vec<T>>()).unwrap()
    })
}

fn shaped(dtype: DType, shape: &[usize], seed: u64) -> HostTensor {
    numbers(dtype, shape.iter().product(), seed).reshape(shape).unwrap()
}

/// Small integers, of which sums and products are exact in any order.
fn whole(dtype: DType, shape: &[usize], seed: u64) -> HostTensor {
    let n = shape.iter().product::<usize>();
    let values = (0..n as u64).map(|i| ((i * 7 + seed * 13) % 11) as f64 - 4.0);
    HostTensor::new(shape, values.collect::<Vec<f64>>()).unwrap().cast(dtype)
}

fn run(device: &str, op: &Op, operands: &[HostTensor]) -> HostTensor {
    let device = Device::new(device).unwrap();
    let operands = operands.iter().map(|x| Tensor::from_host(x.clone(), &device).unwrap());
    let y = Tensor::apply1(op.clone(), operands).unwrap_or_else(|e| panic!("{op:?}: {e}"));
    y.to_host().unwrap()
}

/// What two roundings of a dtype may differ by, relatively.
fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::EPSILON.to_f64(),
        DType::BF16 => half::bf16::EPSILON.to_f64(),
        DType::F32 => f32::EPSILON.into(),
        _ => f64::EPSILON,
    }
}

/// Asserts that both backends give the same, to within `units` roundings.
fn same(op: Op, operands: &[HostTensor], units: f64) {
    let (found, expected) = (run("tch:cpu", &op, operands), run("minimal", &op, operands));
    let dtypes: Vec<DType> = operands.iter().map(HostTensor::dtype).collect();
    assert_eq!((found.shape(), found.dtype()), (expected.shape(), expected.dtype()), "{op:?} of {dtypes:?}");
    if !found.dtype().is_float() {
        assert_eq!(found, expected, "{op:?} of {operands:?}");
        return;
    }
    let tolerance = units * unit(found.dtype());
    // Which of two zeros is the greater one is left open.
    let ordered = matches!(op, Op::Unary(UnaryOp::Relu) | Op::Binary(BinaryOp::Max | BinaryOp::Min))
        || matches!(op, Op::Reduce { .. } | Op::ReduceWindow { .. } | Op::Cumulative { .. });
    for (i, (f, e)) in found.to_f64_vec().iter().zip(expected.to_f64_vec()).enumerate() {
        let near = (f - e).abs() <= tolerance * e.abs() || *f == e || (f.is_nan() && e.is_nan());
        let sign = units > 0.0 || ordered || f.is_nan() || f.is_sign_negative() == e.is_sign_negative();
        assert!(near && sign, "{op:?} of {operands:?}: element {i} is {f}, expected {e}");
    }
}

#[test]
fn casts() {
    for from in DType::ALL {
        for to in DType::ALL {
            same(Op::Cast(to), &[numbers(from, 64, 1)], 0.0);
        }
    }
    // What rounding by way of float32 gets wrong.
    let ties = [1.0 + 2f64.powi(-11) + 2f64.powi(-40), 65_519.999_999_9, -2f64.powi(-25) - 2f64.powi(-60)];
    let ties = run("tch:cpu", &Op::Cast(DType::F16), &[HostTensor::new([3], ties.to_vec()).unwrap()]);
    assert_eq!(ties.to_f64_vec(), [1.0 + 2f64.powi(-10), 65_504.0, -2f64.powi(-24)]);
    // Numbers around the limits of integers.
    let limits = [7, 8, 15, 16, 31, 32, 63, 64].map(|bits| 2f64.powi(bits));
    let around = limits.iter().flat_map(|&l| [l, -l, l - 1.0, l + 1.0, -l - 1.0, l - l * f64::EPSILON]);
    let all: Vec<f64> = around.collect();
    let all = HostTensor::new([all.len()], all).unwrap();
    for to in DType::ALL {
        same(Op::Cast(to), std::slice::from_ref(&all), 0.0);
    }
}

#[test]
fn unary() {
    use UnaryOp::*;
    for op in UnaryOp::ALL {
        let exact = matches!(op, Neg | Abs | Sign | Ceil | Floor | Round | Sqrt | Relu | Not);
        for dtype in DType::ALL.into_iter().filter(|&d| op.accepts(d)) {
            let x = if exact {
                shaped(dtype, &[4, 16], 2)
            } else {
                // Where functions are steep, one rounding of the operand is many of the result.
                whole(DType::F64, &[4, 16], 2)
            };
            let x = if exact {
                x
            } else {
                scaled(&x, if matches!(op, Atanh | ErfInv | Asin | Acos) { 0.11 } else { 0.23 }).cast(dtype)
            };
            same(Op::Unary(op), &[x], if exact { 0.0 } else { 8.0 });
        }
    }
}

fn scaled(x: &HostTensor, factor: f64) -> HostTensor {
    let values = x.to_f64_vec().iter().map(|v| v * factor).collect::<Vec<_>>();
    HostTensor::new(x.shape().clone(), values).unwrap()
}

#[test]
fn functions_at_the_edges() {
    let edges = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 200.0, -200.0, 1e-30];
    let edges = HostTensor::new([edges.len()], edges).unwrap();
    for op in UnaryOp::ALL.into_iter().filter(|op| op.accepts(DType::F32)) {
        for dtype in [DType::F32, DType::F64] {
            same(Op::Unary(op), &[edges.cast(dtype)], 8.0);
        }
    }
}

#[test]
fn binary() {
    for op in BinaryOp::ALL {
        for dtype in DType::ALL.into_iter().filter(|&d| op.accepts(d)) {
            let steep = dtype.is_float() && matches!(op, BinaryOp::Pow | BinaryOp::Atan2);
            let operands = if steep {
                [whole(dtype, &[8, 16], 3), whole(dtype, &[8, 1], 4)]
            } else {
                [shaped(dtype, &[8, 16], 3), shaped(dtype, &[8, 16], 4)]
            };
            same(Op::Binary(op), &operands, if steep { 8.0 } else { 0.0 });
            if !steep {
                same(Op::Binary(op), &[shaped(dtype, &[3, 1, 5], 5), shaped(dtype, &[4, 1], 6)], 0.0);
            }
        }
    }
}

#[test]
fn comparisons_and_choices() {
    use CompareOp::*;
    for dtype in DType::ALL {
        let operands = [shaped(dtype, &[8, 16], 7), shaped(dtype, &[8, 16], 8)];
        for op in [Eq, Ne, Lt, Le, Gt, Ge] {
            same(Op::Compare(op), &operands, 0.0);
        }
        let condition = shaped(DType::Bool, &[16], 9);
        same(Op::Select, &[condition, operands[0].clone(), operands[1].clone()], 0.0);
    }
}

#[test]
fn movement() {
    for dtype in DType::ALL {
        let x = shaped(dtype, &[2, 3, 4], 10);
        let one = |op| same(op, std::slice::from_ref(&x), 0.0);
        one(Op::Reshape([4, 6].into()));
        one(Op::Permute([2, 0, 1].as_slice().into()));
        one(Op::Broadcast([5, 2, 3, 4].into()));
        let (start, limit, stride) = ([0, 1, 1], [2, 3, 4], [1, 1, 2]);
        one(Op::Slice {
            start: start.as_slice().into(),
            limit: limit.as_slice().into(),
            stride: stride.as_slice().into(),
        });
        one(Op::Reverse([0, 2].as_slice().into()));
        for value in [0.0, 1.5, -3.0, 1e9, f64::NEG_INFINITY] {
            let (low, high, interior) = ([1, 0, 2], [0, 1, 0], [0, 1, 2]);
            one(Op::Pad {
                value,
                low: low.as_slice().into(),
                high: high.as_slice().into(),
                interior: interior.as_slice().into(),
            });
        }
        same(
            Op::Concatenate(1),
            &[x.clone(), shaped(dtype, &[2, 0, 4], 1), shaped(dtype, &[2, 2, 4], 11)],
            0.0,
        );
    }
}

fn reductions(dtype: DType) -> impl Iterator<Item = ReduceOp> {
    use ReduceOp::*;
    [Sum, Prod, Max, Min].into_iter().filter(move |op| dtype != DType::Bool || matches!(op, Max | Min))
}

#[test]
fn reductions_and_scans() {
    for dtype in DType::ALL {
        for op in reductions(dtype) {
            let moves = matches!(op, ReduceOp::Max | ReduceOp::Min);
            let of = |shape: &[usize]| {
                if moves || dtype.is_int() { shaped(dtype, shape, 12) } else { whole(dtype, shape, 12) }
            };
            for axes in [&[1][..], &[0, 2], &[0, 1, 2], &[]] {
                same(Op::Reduce { op, axes: axes.into() }, &[of(&[2, 3, 4])], 0.0);
            }
            same(Op::Reduce { op, axes: [1].as_slice().into() }, &[of(&[2, 0, 3])], 0.0);
            for axis in 0..3 {
                same(Op::Cumulative { op, axis }, &[of(&[2, 3, 4])], 0.0);
            }
        }
        for axis in 0..2 {
            let x = [shaped(dtype, &[6, 7], 13)];
            for op in [ArgReduceOp::Max, ArgReduceOp::Min] {
                same(Op::ArgReduce { op, axis }, &x, 0.0);
            }
            for descending in [false, true] {
                same(Op::Sort { axis, descending }, &x, 0.0);
                same(Op::ArgSort { axis, descending }, &x, 0.0);
            }
        }
    }
}

fn indices(shape: &[usize], values: &[i32]) -> HostTensor {
    HostTensor::new(shape, values.to_vec()).unwrap()
}

#[test]
fn places() {
    use ScatterOp::*;
    let at = indices(&[2, 3], &[0, 2, -1, 7, 1, 2]);
    let along = indices(&[3, 2, 2], &[0, 2, 2, 1, -5, 2, 1, 1, 9, 0, 0, 0]);
    for dtype in DType::ALL {
        let x = shaped(dtype, &[3, 3, 2], 14);
        same(Op::Gather(1), &[x.clone(), at.clone()], 0.0);
        same(Op::Gather(0), &[x.clone(), indices(&[0], &[])], 0.0);
        same(Op::GatherElements(1), &[x, along.clone()], 0.0);
        for op in [Set, Add, Max, Min] {
            if op == Add && dtype == DType::Bool {
                continue;
            }
            let of = |shape: &[usize], seed| {
                if op == Add { whole(dtype, shape, seed) } else { shaped(dtype, shape, seed) }
            };
            let updates = of(&[3, 2, 3, 2], 15);
            same(Op::Scatter { axis: 1, op }, &[of(&[3, 3, 2], 16), at.clone(), updates], 0.0);
            let operands = [of(&[3, 3, 2], 17), along.clone(), of(&[3, 2, 2], 18)];
            same(Op::ScatterElements { axis: 1, op }, &operands, 0.0);
            same(Op::Scatter { axis: 0, op }, &[of(&[3, 2], 17), indices(&[0], &[]), of(&[0, 2], 1)], 0.0);
        }
    }
}

#[test]
fn matrix_products() {
    for dtype in DType::ALL.into_iter().filter(|&d| d != DType::Bool) {
        for (a, b) in
            [(&[3, 4][..], &[4, 5][..]), (&[2, 1, 3, 4], &[6, 4, 2]), (&[2, 0], &[0, 3]), (&[0, 2], &[2, 3])]
        {
            same(Op::MatMul, &[whole(dtype, a, 19), whole(dtype, b, 20)], 0.0);
        }
        if dtype.is_int() {
            same(Op::MatMul, &[shaped(dtype, &[3, 4], 19), shaped(dtype, &[4, 5], 20)], 0.0);
        }
    }
}

/// Strides, padding, dilation of the input and of the filter.
type Geometry<'a> = (&'a [usize], &'a [(isize, isize)], &'a [usize], &'a [usize]);

#[test]
fn convolutions() {
    let lines: [Geometry<'_>; 9] = [
        (&[1], &[(0, 0)], &[1], &[1]),
        (&[2], &[(1, 1)], &[1], &[1]),
        (&[2], &[(0, 1)], &[1], &[1]),
        (&[1], &[(-1, 2)], &[1], &[2]),
        (&[1], &[(2, 2)], &[2], &[1]),
        (&[1], &[(1, 2)], &[3], &[2]),
        (&[1], &[(5, 7)], &[2], &[1]),
        (&[2], &[(2, 1)], &[2], &[1]),
        (&[1], &[(-6, -6)], &[1], &[1]),
    ];
    let planes: [Geometry<'_>; 3] = [
        (&[1, 2], &[(1, 1), (0, 1)], &[1, 1], &[1, 2]),
        (&[1, 1], &[(1, 0), (2, 2)], &[2, 1], &[1, 1]),
        (&[1, 1], &[(2, 1), (0, 0)], &[2, 3], &[2, 1]),
    ];
    let solids: [Geometry<'_>; 2] = [
        (&[1, 2, 1], &[(1, 1), (0, 1), (0, 0)], &[1, 1, 1], &[1, 1, 2]),
        (&[1, 1, 1], &[(1, 1), (0, 0), (1, 1)], &[2, 1, 2], &[1, 1, 1]),
    ];
    let none: [Geometry<'_>; 1] = [(&[], &[], &[], &[])];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::U8, DType::U64] {
        for (strides, padding, input, filter) in none.iter().chain(&lines).chain(&planes).chain(&solids) {
            for groups in [1, 2] {
                let n = strides.len();
                let spec = ConvSpec {
                    strides: (*strides).into(),
                    padding: padding.iter().copied().collect(),
                    input_dilation: (*input).into(),
                    filter_dilation: (*filter).into(),
                    groups,
                };
                let x = [&[2][..], &[6, 5, 4][..n], &[4]].concat();
                let window = [&[3, 2, 2][..n], &[4 / groups, 6]].concat();
                same(Op::Convolution(spec), &[whole(dtype, &x, 21), whole(dtype, &window, 22)], 0.0);
            }
        }
    }
    for batch in [0, 1] {
        for inputs in [0, 2] {
            let operands = [whole(DType::F32, &[batch, 5, inputs], 1), whole(DType::F32, &[2, inputs, 3], 2)];
            same(Op::Convolution(ConvSpec::new(1)), &operands, 0.0);
        }
    }
}

fn window(size: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> WindowSpec {
    WindowSpec { size: size.into(), strides: strides.into(), padding: padding.iter().copied().collect() }
}

#[test]
fn pools() {
    let all = [
        window(&[2], &[2], &[(0, 0)]),
        window(&[3], &[2], &[(1, 1)]),
        window(&[2], &[1], &[(0, 1)]),
        window(&[7], &[1], &[(0, 0)]),
        window(&[2, 3], &[2, 1], &[(0, 1), (1, 1)]),
        window(&[2, 2, 2], &[1, 2, 2], &[(0, 0), (1, 0), (1, 1)]),
        window(&[2, 1, 2, 2], &[1, 2, 2, 1], &[(0, 0), (0, 0), (1, 0), (0, 0)]),
    ];
    for dtype in DType::ALL {
        for window in &all {
            let n = window.size.len();
            let shape = [&[2][..], &[6, 5, 4, 3][..n], &[3]].concat();
            for op in reductions(dtype) {
                let moves = matches!(op, ReduceOp::Max | ReduceOp::Min);
                let x = if moves { shaped(dtype, &shape, 23) } else { whole(dtype, &shape, 23) };
                if op == ReduceOp::Prod && dtype.is_float() && n > 2 {
                    continue; // products of that many numbers round
                }
                same(Op::ReduceWindow { op, window: window.clone() }, &[x], 0.0);
            }
            if dtype != DType::Bool {
                // Small integers have many ties.
                let x = whole(dtype, &shape, 24);
                let g = window.output_shape(&Shape::from(&shape[..]));
                same(Op::SelectAndScatter(window.clone()), &[x, whole(dtype, &g, 25)], 0.0);
            }
        }
    }
}

#[test]
fn operands_that_others_hold_do_not_change() {
    let device = Device::new("tch:cpu").unwrap();
    let x = Tensor::from_host(whole(DType::F32, &[2, 3], 26), &device).unwrap();
    let before = x.to_host().unwrap();
    let views = [x.permute(&[1, 0]).unwrap(), x.reshape([6]).unwrap(), x.broadcast_to([4, 2, 3]).unwrap()];
    for view in views {
        // The view's own handle is the last one of the view, not of its elements.
        let y = (view + 1.0).unwrap().exp().unwrap();
        assert!(y.to_vec::<f32>().unwrap().iter().any(|&v| v != 0.0));
        assert_eq!(x.to_host().unwrap(), before);
    }
    let one = (&x * 2.0).unwrap();
    let other = one.clone();
    let kept = one.to_host().unwrap();
    drop((one + 1.0).unwrap().exp().unwrap());
    assert_eq!(other.to_host().unwrap(), kept);
}
