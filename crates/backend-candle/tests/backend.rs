//! The backend by itself: devices, dtypes that candle lacks, and what candle's own functions would get wrong. What it
//! computes is proved by the conformance suite.

use backend_candle::{Buffer, Candle};
use keras_spec::{
    Backend, BinaryOp, CompareOp, ConvSpec, DType, Device, Error, HostTensor, ReduceOp, Result, ScatterOp,
    Tensor, UnaryOp,
};

fn candle() -> Candle {
    Candle::new(candle_core::Device::Cpu)
}

fn up<T: keras_spec::Element>(shape: &[usize], data: Vec<T>) -> Result<Buffer> {
    candle().from_host(HostTensor::new(shape, data)?)
}

fn down<T: keras_spec::Element>(x: Buffer) -> Result<Vec<T>> {
    candle().to_host(x)?.into_vec()
}

#[test]
fn a_device_that_is_not_there_names_those_that_are() {
    for missing in ["candle:cuda:7", "candle:metal:3", "candle:tpu", "candle:cuda:x"] {
        let message = Device::new(missing).map(|d| d.to_string()).unwrap_err().to_string();
        assert!(message.contains("the devices of candle are: cpu"), "{missing}: {message}");
    }
}

#[test]
fn every_dtype_comes_back_as_it_went() -> Result<()> {
    for dtype in DType::ALL {
        let sent = HostTensor::new([2, 3], vec![0.0, 1.0, 2.0, 0.0, 5.0, 100.0])?.cast(dtype);
        let x = candle().from_host(sent.clone())?;
        assert_eq!((x.candle().is_some(), candle().dtype(&x)), (!LACKED.contains(&dtype), dtype));
        assert_eq!(candle().to_host(x)?, sent);
    }
    Ok(())
}

/// What candle has no tensors of.
const LACKED: [DType; 3] = [DType::I8, DType::U16, DType::U64];

#[test]
fn not_a_number_survives_extremes_signs_and_comparisons() -> Result<()> {
    let x = || up(&[3], vec![f32::NAN, -2.0, 3.0]);
    let y = up(&[3], vec![1.0, f32::NAN, 4.0f32])?;
    let larger: Vec<f32> = down(candle().binary(BinaryOp::Max, x()?, y.clone())?)?;
    assert!(larger[0].is_nan() && larger[1].is_nan() && larger[2] == 4.0, "{larger:?}");
    let top: Vec<f32> = down(candle().reduce(ReduceOp::Max, x()?, &[0])?)?;
    assert!(top[0].is_nan());
    let sign: Vec<f32> = down(candle().unary(UnaryOp::Sign, x()?)?)?;
    assert!(sign[0].is_nan() && sign[1..] == [-1.0, 1.0]);
    assert_eq!(down::<bool>(candle().compare(CompareOp::Ne, x()?, x()?)?)?, [true, false, false]);
    Ok(())
}

#[test]
fn ties_round_to_even() -> Result<()> {
    let x = up(&[4], vec![0.5f32, 1.5, -2.5, 2.4])?;
    assert_eq!(down::<f32>(candle().unary(UnaryOp::Round, x)?)?, [0.0, 2.0, -2.0, 2.0]);
    Ok(())
}

#[test]
fn integers_wrap_and_multiply_as_matrices() -> Result<()> {
    let x = || up(&[2, 2], vec![i32::MAX, 1, 2, 3]);
    assert_eq!(down::<i32>(candle().binary(BinaryOp::Add, x()?, x()?)?)?, [-2, 2, 4, 6]);
    let y = up(&[2, 2], vec![1, 2, 3, 4])?;
    assert_eq!(down::<i32>(candle().matmul(y.clone(), y)?)?, [7, 10, 15, 22]);
    Ok(())
}

#[test]
fn indices_out_of_range_are_clamped_when_read_and_dropped_when_written() -> Result<()> {
    let x = || up(&[3], vec![10.0f32, 20.0, 30.0]);
    let places = || up(&[3], vec![-5, 1, 9]);
    assert_eq!(down::<f32>(candle().gather(x()?, places()?, 0)?)?, [10.0, 20.0, 30.0]);
    let updates = up(&[3], vec![1.0f32, 2.0, 3.0])?;
    let y = candle().scatter(ScatterOp::Add, x()?, places()?, updates, 0)?;
    assert_eq!(down::<f32>(y)?, [10.0, 22.0, 30.0]);
    Ok(())
}

#[test]
fn a_shared_tensor_does_not_change() -> Result<()> {
    let x = up(&[2], vec![1.0f32, 2.0])?;
    let kept = x.clone();
    candle().unary(UnaryOp::Neg, x)?;
    assert_eq!(down::<f32>(kept)?, [1.0, 2.0]);
    Ok(())
}

/// What a GPU gets: candle's own convolution, against the kernels.
#[test]
fn candles_convolution_is_the_kernels() -> Result<()> {
    let numbers = |n: usize| (0..n).map(|i| ((i * 7919) % 23) as f32 - 11.0).collect::<Vec<_>>();
    let cases = [(1, vec![2, 9, 4], vec![3, 2, 6], 2), (2, vec![2, 7, 6, 4], vec![3, 3, 4, 5], 1)];
    for (spatial, input, filter, groups) in cases {
        for (stride, dilation, padding) in [(1, 1, 0), (2, 1, 1), (1, 2, 2)] {
            let mut spec = ConvSpec::new(spatial);
            spec.groups = groups;
            spec.strides.fill(stride);
            spec.filter_dilation.fill(dilation);
            spec.padding.fill((padding, padding));
            let x = up(&input, numbers(input.iter().product()))?;
            let w = up(&filter, numbers(filter.iter().product()))?;
            let ours = candle().convolution(x.clone(), w.clone(), &spec)?;
            let theirs = candle().without_kernels().convolution(x, w, &spec)?;
            assert_eq!(candle().to_host(theirs)?, candle().to_host(ours)?, "{spec:?}");
        }
    }
    Ok(())
}

#[test]
fn tensors_move_between_backends_and_do_not_mix() -> Result<()> {
    let (ndarray, candle) = (Device::new("ndarray")?, Device::new("candle")?);
    let x = Tensor::from_host(HostTensor::new([2], vec![1.0f32, 2.0])?, &ndarray)?;
    let moved = x.to(&candle)?;
    assert_eq!(moved.device().to_string(), "candle:cpu");
    match (&x + &moved).map(|_| ()) {
        Err(e @ Error::DeviceMismatch { .. }) => assert!(e.to_string().contains("to("), "{e}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((&moved + &moved)?.to_host()?.into_vec::<f32>()?, [2.0, 4.0]);
    Ok(())
}

#[test]
fn out_of_memory_is_an_error_and_the_process_lives_on() -> Result<()> {
    let candle = Device::new("candle")?;
    let e = Tensor::full([1 << 44], DType::F32, 1.0, &candle).unwrap_err();
    assert!(e.to_string().contains("memory"), "{e}");
    let x = Tensor::from_host(HostTensor::new([1], vec![1.0f32])?, &candle)?;
    assert!(x.broadcast_to([1 << 44]).is_err());
    assert_eq!((&x + &x)?.to_host()?.into_vec::<f32>()?, [2.0]);
    Ok(())
}
