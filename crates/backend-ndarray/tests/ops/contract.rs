use backend_ndarray::NdArray;
use keras_spec::{Backend, ConvSpec, DType, Dims, ReduceOp, WindowSpec};
use proptest::prelude::*;

use crate::naive::{Both, Naive, check, indices, tensor_of};
use crate::reduce::{combine, first, wrap};

fn numbers() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL[1..].to_vec())
}

/// The shapes of two operands of a matrix product; either may be broadcast along an axis or lack it.
fn product_shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let lead = prop::collection::vec((0usize..4, 0usize..3), 0..3);
    (lead, 0usize..3, 0usize..6, 0usize..6, 0usize..6).prop_map(|(lead, cut, m, k, n)| {
        let a: Vec<usize> = lead.iter().map(|&(n, which)| if which == 1 { 1 } else { n }).collect();
        let b: Vec<usize> = lead.iter().map(|&(n, which)| if which == 2 { 1 } else { n }).collect();
        ([&a[..], &[m, k]].concat(), [&b[cut.min(b.len())..], &[k, n]].concat())
    })
}

fn spatial() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, ConvSpec)> {
    let axis = (0usize..6, 1usize..4, 1usize..4, (-1isize..3, -1isize..3), 1usize..3, 1usize..3);
    (prop::collection::vec(axis, 1..4), 0usize..3, 1usize..3, 1usize..4, 1usize..4).prop_map(
        |(axes, batch, groups, cin, cout)| {
            let axes = if axes.len() == 3 {
                axes.into_iter().map(|a| (a.0.min(3), a.1.min(2), a.2, a.3, a.4, a.5)).collect()
            } else {
                axes
            };
            let mut x = vec![batch];
            x.extend(axes.iter().map(|a| a.0));
            x.push(cin * groups);
            let mut w: Vec<usize> = axes.iter().map(|a| a.1).collect();
            w.extend([cin, cout * groups]);
            let spec = ConvSpec {
                strides: axes.iter().map(|a| a.2).collect(),
                padding: axes.iter().map(|a| a.3).collect(),
                input_dilation: axes.iter().map(|a| a.4).collect(),
                filter_dilation: axes.iter().map(|a| a.5).collect(),
                groups,
            };
            (x, w, spec)
        },
    )
}

fn dilated(n: usize, by: usize) -> isize {
    if n == 0 { 0 } else { ((n - 1) * by + 1) as isize }
}

fn convolution(x: &Naive, w: &Naive, spec: &ConvSpec, d: DType) -> Naive {
    let n = spec.strides.len();
    let mut shape = vec![x.shape[0]];
    for i in 0..n {
        let padded = dilated(x.shape[i + 1], spec.input_dilation[i]) + spec.padding[i].0 + spec.padding[i].1;
        let room = padded.max(0) - dilated(w.shape[i], spec.filter_dilation[i]);
        shape.push(if room < 0 { 0 } else { room as usize / spec.strides[i] + 1 });
    }
    let (cin, cout) = (w.shape[n], w.shape[n + 1]);
    shape.push(cout);
    Naive::build(&shape, |at| {
        let group = at[n + 1] / (cout / spec.groups);
        let mut sum = 0.0;
        for k in indices(&w.shape[..=n]) {
            let from: Option<Vec<usize>> = (0..n)
                .map(|i| {
                    let p = (at[i + 1] * spec.strides[i] + k[i] * spec.filter_dilation[i]) as isize;
                    let p = usize::try_from(p - spec.padding[i].0).ok()?;
                    let by = spec.input_dilation[i];
                    (p % by == 0 && p / by < x.shape[i + 1]).then_some(p / by)
                })
                .collect();
            if let Some(from) = from {
                let pixel = [&at[..1], &from, &[group * cin + k[n]]].concat();
                sum += x.at(&pixel) * w.at(&[&k[..], &[at[n + 1]]].concat());
            }
        }
        wrap(d, sum)
    })
}

fn windows() -> impl Strategy<Value = (Vec<usize>, WindowSpec)> {
    let axis = (0usize..6, 1usize..4, 1usize..4, 0usize..3, 0usize..3);
    (prop::collection::vec(axis, 1..4), 0usize..3, 1usize..4).prop_map(|(axes, batch, channels)| {
        let mut shape = vec![batch];
        shape.extend(axes.iter().map(|a| a.0));
        shape.push(channels);
        let list =
            |f: fn(&(usize, usize, usize, usize, usize)) -> usize| axes.iter().map(f).collect::<Dims>();
        let padding = axes.iter().map(|a| (a.3, a.4)).collect();
        (shape, WindowSpec { size: list(|a| a.1), strides: list(|a| a.2), padding })
    })
}

/// The shape of the windows of `x`, and the places that each sees.
fn seen(x: &[usize], spec: &WindowSpec) -> (Vec<usize>, impl Fn(&[usize]) -> Vec<Vec<usize>>) {
    let n = spec.size.len();
    let mut shape = vec![x[0]];
    for i in 0..n {
        let padded = x[i + 1] + spec.padding[i].0 + spec.padding[i].1;
        shape.push(if padded < spec.size[i] { 0 } else { (padded - spec.size[i]) / spec.strides[i] + 1 });
    }
    shape.push(x[n + 1]);
    let (x, spec) = (x.to_vec(), spec.clone());
    let places = move |at: &[usize]| {
        indices(&spec.size)
            .iter()
            .filter_map(|k| {
                let mut place = at.to_vec();
                for i in 0..n {
                    let p = (at[i + 1] * spec.strides[i] + k[i]).checked_sub(spec.padding[i].0)?;
                    place[i + 1] = Some(p).filter(|&p| p < x[i + 1])?;
                }
                Some(place)
            })
            .collect()
    };
    (shape, places)
}

fn conv_operands() -> impl Strategy<Value = (Both, Both, ConvSpec, DType)> {
    (spatial(), numbers())
        .prop_flat_map(|((x, w, spec), d)| (tensor_of(x, d), tensor_of(w, d), Just(spec), Just(d)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn matmul((a, b, d) in (product_shapes(), numbers())
        .prop_flat_map(|((a, b), d)| (tensor_of(a, d), tensor_of(b, d), Just(d))))
    {
        let (sa, sb) = (&a.naive.shape, &b.naive.shape);
        let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
        let (la, lb) = (&sa[..sa.len() - 2], &sb[..sb.len() - 2]);
        let mut shape = la.to_vec();
        let skip = la.len() - lb.len();
        lb.iter().enumerate().filter(|(_, n)| **n != 1).for_each(|(i, &n)| shape[skip + i] = n);
        shape.extend([m, n]);
        let lead = shape.len() - 2;
        let y = Naive::build(&shape, |at| {
            let sum = (0..k).map(|p| {
                let left = [&at[..lead], &[at[lead], p]].concat();
                let right = [&at[..lead], &[p, at[lead + 1]]].concat();
                let b_at = &right[skip..];
                // Only the leading axes are broadcast; the matrices' own may have length 1 without being so.
                a.naive.spread(&left) * b.naive.spread(b_at)
            }).sum::<f64>();
            wrap(d, sum)
        });
        check(d, &[(&a, d), (&b, d)], |mut v| NdArray.matmul(v.remove(0), v.remove(0)), (&y, 0.0));
    }

    #[test]
    fn convolutions((x, w, spec, d) in conv_operands()) {
        let y = convolution(&x.naive, &w.naive, &spec, d);
        // Sums beyond 2^8 are rounded in bfloat16.
        let tolerance = if d == DType::BF16 { 4e-3 } else { 0.0 };
        check(d, &[(&x, d), (&w, d)], |mut v| NdArray.convolution(v.remove(0), v.remove(0), &spec), (&y, tolerance));
    }

    #[test]
    fn reduce_window((x, spec, d) in (windows(), numbers())
        .prop_flat_map(|((shape, spec), d)| (tensor_of(shape, d), Just(spec), Just(d))))
    {
        let (shape, places) = seen(&x.naive.shape, &spec);
        for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min] {
            if op == ReduceOp::Prod && spec.size.iter().product::<usize>() > 9 {
                continue;
            }
            let y = Naive::build(&shape, |at| {
                places(at).iter().fold(first(op, d), |acc, p| combine(op, d, acc, x.naive.at(p)))
            });
            let y = if matches!(d, DType::F16 | DType::BF16) { crate::naive::read(&y.buffer(d)) } else { y };
            check(d, &[(&x, d)], |mut v| NdArray.reduce_window(op, v.remove(0), &spec), (&y, 0.0));
        }
    }

    #[test]
    fn select_and_scatter((x, g, spec, d) in (windows(), numbers()).prop_flat_map(|((shape, spec), d)| {
        let out = seen(&shape, &spec).0;
        (tensor_of(shape, d), tensor_of(out, d), Just(spec), Just(d))
    })) {
        let (shape, places) = seen(&x.naive.shape, &spec);
        let mut y = x.naive.map(|_| 0.0);
        for at in indices(&shape) {
            let all = places(&at);
            let top = all.iter().map(|p| x.naive.at(p)).fold(f64::NEG_INFINITY, f64::max);
            if let Some(best) = all.iter().find(|p| x.naive.at(p) == top) {
                let flat = best.iter().zip(&y.shape).fold(0, |f, (&i, &n)| f * n + i);
                y.data[flat] = wrap(d, y.data[flat] + g.naive.at(&at));
            }
        }
        let run = |mut v: Vec<_>| NdArray.select_and_scatter(v.remove(0), v.remove(0), &spec);
        check(d, &[(&x, d), (&g, d)], run, (&y, 0.0));
    }
}
