//! Devices that are there and that are not, and tensors that move between backends.

use backend_minimal as _;
use backend_tch::Tch;
use keras_spec::{Backend, DType, Device, Error, HostTensor, Shape, Tensor, UnaryOp};

fn cpu() -> Device {
    Device::new("tch:cpu").unwrap()
}

fn tensor(device: &Device) -> Tensor {
    Tensor::from_host(HostTensor::new([2], vec![1.0f32, 2.0]).unwrap(), device).unwrap()
}

#[test]
fn the_cpu_is_always_there() {
    assert_eq!(cpu().to_string(), "tch:cpu");
    assert_eq!(Device::new("tch:cpu").unwrap(), cpu());
    assert!(DType::ALL.into_iter().all(|dtype| cpu().supports(dtype)));
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_lists_those_that_are() {
    for name in ["tch:cuda:99", "tch:gpu", "tch:cuda:", "tch:cpu:1"] {
        let e = Device::new(name).unwrap_err();
        assert!(matches!(e, Error::NoBackend { .. }), "{e}");
        let text = e.to_string();
        assert!(text.contains(name) && text.contains("are: ") && text.contains("cpu"), "{text}");
    }
    assert!(Tch::new(tch::Device::Cuda(99)).is_err());
    // Nothing else is harmed.
    assert_eq!(tensor(&cpu()).to_vec::<f32>().unwrap(), [1.0, 2.0]);
}

#[test]
fn without_a_name_the_best_device_is_opened() {
    let best = Device::new("tch").unwrap().to_string();
    let expected = if tch::Cuda::is_available() {
        "tch:cuda:0"
    } else if tch::utils::has_mps() {
        "tch:mps"
    } else {
        "tch:cpu"
    };
    assert_eq!(best, expected);
}

#[test]
fn tensors_move_between_backends_when_they_are_told_to() {
    let other = Device::new("minimal").unwrap();
    for dtype in DType::ALL {
        let here = tensor(&cpu()).cast(dtype).unwrap();
        let there = here.to(&other).unwrap();
        assert_eq!(there.device(), &other);
        assert_eq!(there.to(&cpu()).unwrap().to_host().unwrap(), here.to_host().unwrap());
    }
}

#[test]
fn mixing_backends_is_an_error_that_says_how_to_move() {
    let e = (tensor(&cpu()) + tensor(&Device::new("minimal").unwrap())).unwrap_err();
    assert!(matches!(e, Error::DeviceMismatch { .. }), "{e}");
    assert!(e.to_string().contains("tensor.to(&device)"), "{e}");
}

#[test]
fn what_libtorch_throws_is_an_error_without_its_stack() {
    // Shapes are checked above the backends, so it is asked directly.
    let backend = Tch::new(tch::Device::Cpu).unwrap();
    let x = backend.from_host(HostTensor::new([2], vec![1.0f32, 2.0]).unwrap()).unwrap();
    let e = backend.reshape(x, &Shape::from([3])).unwrap_err();
    let text = e.to_string();
    assert!(text.contains("backend `tch`") && text.lines().count() == 1, "{text}");
    assert_eq!(tensor(&cpu()).to_vec::<f32>().unwrap(), [1.0, 2.0]);
}

#[test]
fn threads_share_tensors() {
    let x = tensor(&cpu());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!((&x + &x).unwrap().to_vec::<f32>().unwrap(), [2.0, 4.0]);
                }
            });
        }
    });
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0]);
}

#[test]
fn out_of_memory_is_an_error_and_the_process_lives_on() {
    let e = Tensor::full([1 << 44], DType::F32, 1.0, &cpu()).unwrap_err();
    assert!(e.to_string().contains("memory"), "{e}");
    // libtorch's own allocator, asked directly, says so too.
    let backend = Tch::new(tch::Device::Cpu).unwrap();
    let one = backend.from_host(HostTensor::new([1], vec![1.0f32]).unwrap()).unwrap();
    let shape = Shape::from([1 << 44]);
    let e =
        backend.broadcast(one, &shape).and_then(|x| backend.unary(UnaryOp::Exp, x)).map(|_| ()).unwrap_err();
    assert!(e.to_string().contains("backend `tch`") && e.to_string().contains("allocate"), "{e}");
    assert_eq!(tensor(&cpu()).to_vec::<f32>().unwrap(), [1.0, 2.0]);
}
