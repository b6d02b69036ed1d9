use backend_ndarray::NdArray;
use keras_spec::{Backend, DType, Element, HostTensor, Shape};
use proptest::prelude::*;

use crate::naive::{Both, Naive, check, fit, read, shape_and_axis, shapes, tensor, tensor_of};

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

fn any_tensor() -> impl Strategy<Value = (Both, DType)> {
    dtypes().prop_flat_map(|d| (tensor(d), Just(d)))
}

proptest! {
    #[test]
    fn reshape((x, d) in any_tensor()) {
        let flat = Naive { shape: vec![x.naive.data.len(), 1], data: x.naive.data.clone() };
        let to = Shape::from(&flat.shape);
        check(d, &[(&x, d)], |mut b| NdArray.reshape(b.remove(0), &to), (&flat, 0.0));
    }

    #[test]
    fn views_read_back((x, d) in any_tensor()) {
        prop_assert_eq!(read(&x.buffer(d)), x.naive);
    }

    #[test]
    fn broadcast((x, d) in any_tensor(), lead in 0usize..3) {
        let mut to: Vec<usize> = x.naive.shape.iter().map(|&n| if n == 1 { 3 } else { n }).collect();
        to.insert(0, lead);
        let y = Naive::build(&to, |i| x.naive.spread(i));
        check(d, &[(&x, d)], |mut b| NdArray.broadcast(b.remove(0), &Shape::from(&to)), (&y, 0.0));
    }

    #[test]
    fn pad((x, d) in any_tensor(), seed in any::<u64>()) {
        let amount = |k: u64| -> Vec<usize> {
            (0..x.naive.shape.len() as u64).map(|i| (seed >> (8 * i + 2 * k)) as usize % 3).collect()
        };
        let (low, high, interior) = (amount(0), amount(1), amount(2));
        let value = fit(d, -3.0);
        let shape: Vec<usize> = x.naive.shape.iter().enumerate()
            .map(|(i, &n)| low[i] + n + n.saturating_sub(1) * interior[i] + high[i]).collect();
        let y = Naive::build(&shape, |index| {
            let from: Option<Vec<usize>> = index.iter().enumerate().map(|(i, &at)| {
                let at = at.checked_sub(low[i])?;
                let step = interior[i] + 1;
                (at % step == 0 && at / step < x.naive.shape[i]).then_some(at / step)
            }).collect();
            from.map_or(value, |from| x.naive.at(&from))
        });
        check(d, &[(&x, d)], |mut b| NdArray.pad(b.remove(0), value, &low, &high, &interior), (&y, 0.0));
    }

    #[test]
    fn concatenate(
        (xs, axis, d) in (shape_and_axis(), dtypes()).prop_flat_map(|((shape, axis), d)| {
            let with = move |n| { let mut s = shape.clone(); s[axis] = n; tensor_of(s, d) };
            (prop::collection::vec((0usize..4).prop_flat_map(with), 1..4), Just(axis), Just(d))
        })
    ) {
        let mut shape = xs[0].naive.shape.clone();
        shape[axis] = xs.iter().map(|x| x.naive.shape[axis]).sum();
        let y = Naive::build(&shape, |index| {
            let mut index = index.to_vec();
            for x in &xs {
                if index[axis] < x.naive.shape[axis] {
                    return x.naive.at(&index);
                }
                index[axis] -= x.naive.shape[axis];
            }
            unreachable!("the lengths add up")
        });
        let operands: Vec<_> = xs.iter().map(|x| (x, d)).collect();
        check(d, &operands, |b| NdArray.concatenate(b, axis), (&y, 0.0));
    }

    #[test]
    fn cast((x, from) in any_tensor(), to in dtypes()) {
        // Small integers: what a narrower unsigned type makes of negative ones is tested below.
        let y = match to {
            DType::Bool => x.naive.map(|v| f64::from(v != 0.0)),
            _ if fit(to, -1.0) == -1.0 => x.naive.clone(),
            _ => {
                let host = x.naive.host(from).cast(to);
                Naive { shape: x.naive.shape.clone(), data: host.to_f64_vec() }
            }
        };
        check(to, &[(&x, from)], |mut b| NdArray.cast(b.remove(0), to), (&y, 0.0));
    }

    #[test]
    fn host_round_trip(shape in shapes(), d in dtypes()) {
        let host = Naive::build(&shape, |i| i.iter().sum::<usize>() as f64).host(d);
        let back = NdArray.to_host(NdArray.from_host(host.clone()).unwrap()).unwrap();
        prop_assert_eq!(back, host);
    }
}

fn cast_list<S: Element, T: Element>(from: &[S]) -> Vec<T> {
    let x = NdArray.from_host(HostTensor::new([from.len()], from.to_vec()).unwrap()).unwrap();
    NdArray.to_host(NdArray.cast(x, T::DTYPE).unwrap()).unwrap().into_vec().unwrap()
}

#[test]
fn casts_truncate_saturate_wrap_and_round() {
    let floats = [1.9f32, -1.9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 300.0, -0.0];
    assert_eq!(cast_list::<f32, i32>(&floats), [1, -1, 0, i32::MAX, i32::MIN, 300, 0]);
    assert_eq!(cast_list::<f32, u8>(&floats), [1, 0, 0, 255, 0, 255, 0]);
    assert_eq!(cast_list::<f32, bool>(&floats), [true, true, true, true, true, true, false]);
    assert_eq!(cast_list::<i32, u8>(&[-1, 256, 511]), [255, 0, 255]);
    assert_eq!(cast_list::<u64, i64>(&[u64::MAX, 1 << 53 | 1]), [-1, 1 << 53 | 1]);
    // Once to nearest even, not by way of f64.
    assert_eq!(cast_list::<i64, f32>(&[(1 << 60) + (1 << 36) + 1]), [((1i64 << 60) + (1 << 37)) as f32]);
    assert_eq!(cast_list::<f64, f32>(&[1e300, 1.0 + 1e-12]), [f32::INFINITY, 1.0]);
}
