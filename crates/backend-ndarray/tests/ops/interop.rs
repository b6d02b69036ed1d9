use backend_ndarray::{into_array, tensor};
use keras_spec::{DType, Device, Tensor};
use ndarray::{ArcArray2, Array2, array, s};

fn device() -> Device {
    Device::new("ndarray").unwrap()
}

#[test]
fn arrays_come_and_go_without_a_copy() {
    let a = Array2::from_shape_fn((300, 400), |(i, j)| (i * 400 + j) as f32);
    let place = a.as_ptr();
    let x = tensor(a, &device()).unwrap();
    assert_eq!((x.shape().dims(), x.dtype()), (&[300, 400][..], DType::F32));
    // Nobody else holds the elements: the sum is in their place.
    let y = Tensor::apply1(keras_spec::Op::Unary(keras_spec::UnaryOp::Neg), [x]).unwrap();
    let b = into_array::<f32>(y).unwrap();
    assert_eq!(b.as_ptr(), place);
    assert_eq!(b[[1, 1]], -401.0);
}

#[test]
fn shared_and_strided_arrays_are_read_and_left_alone() {
    let a: ArcArray2<i64> = array![[1, 2, 3], [4, 5, 6]].into_shared();
    let x = tensor(a.clone().t().to_shared(), &device()).unwrap();
    let y = (x * 2.0).unwrap();
    assert_eq!(y.to_host().unwrap().to_f64_vec(), [2.0, 8.0, 4.0, 10.0, 6.0, 12.0]);
    let x = tensor(a.clone().slice_move(s![.., ..;-2]), &device()).unwrap();
    assert_eq!(x.to_vec::<i64>().unwrap(), [3, 1, 6, 4]);
    assert_eq!(a, array![[1, 2, 3], [4, 5, 6]].into_shared());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = tensor(array![1.0f32], &device()).unwrap();
    assert!(into_array::<f64>(x).is_err());
    let e = Device::new("ndarray:gpu").unwrap_err().to_string();
    assert!(e.contains("gpu") && e.contains("cpu"), "{e}");
    assert_eq!(Device::new("ndarray:cpu").unwrap().to_string(), "ndarray:cpu");
}
