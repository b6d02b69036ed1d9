//! Arguments of layers: what is refused, what files say, shapes with unknown dimensions.

use keras::activations::{Activation, register};
use keras::constraints::MaxNorm;
use keras::initializers::{Constant, Orthogonal};
use keras::layers::{
    Concatenate, Cropping2D, Dense, Dot, Dropout, Embedding, Flatten, LeakyReLU, PReLU, Permute,
    RepeatVector, Reshape, SpatialDropout1D, UpSampling2D, ZeroPadding2D,
};
use keras::regularizers::L2;
use keras_spec::{
    Call, DType, Device, Initializer, LayerExt, LayerRef, PartialShape, Shape, Tensor, TensorSpec,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn message<T: std::fmt::Debug>(result: keras::Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn from_config(class: &str, config: Value) -> keras::Result<LayerRef> {
    LayerRef::from_value(&json!({"module": "keras.layers", "class_name": class, "config": config}))
}

#[test]
fn wrong_arguments_are_named() {
    let known = |layer: LayerRef| message(layer.build(&[[2usize, 3].into()]));
    for (found, expected) in [
        (known(Dense::new(0).into()), "argument `units`: expected a positive integer, found 0"),
        (known(Dropout::new(1.5).into()), "argument `rate`: expected a number between 0 and 1, found 1.5"),
        (known(Dropout::new(f64::NAN).into()), "`rate`"),
        (known(Dropout::new(0.5).noise_shape([2, 0]).into()), "`noise_shape`"),
        (known(LeakyReLU::new(-0.1).into()), "`negative_slope`"),
        (known(Reshape::new([-1, -1]).into()), "`target_shape`"),
        (known(Reshape::new([2, 2]).into()), "`target_shape`"),
        (known(Permute::new([1, 3]).into()), "`dims`"),
        (known(RepeatVector::new(0).into()), "`n`"),
        (known(Embedding::new(0, 3).into()), "`input_dim`"),
        (known(SpatialDropout1D::new(0.5).into()), "expected ndim=3, found ndim=2"),
        (known(PReLU::new().shared_axes([2]).into()), "`shared_axes`"),
        (known(Dot::new(1).into()), "2 inputs"),
        (known(Dense::new(3).lora_rank(2).kernel_constraint(MaxNorm::new(1.0)).into()), "`lora_rank`"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let image = |layer: LayerRef| message(layer.build(&[[1usize, 4, 4, 1].into()]));
    assert!(image(Cropping2D::new([2, 0]).into()).contains("`cropping`"));
    assert!(image(UpSampling2D::new([0, 1]).into()).contains("`size`"));
    assert!(image(Concatenate::new().axis(7).into()).contains("`axis`"));
}

#[test]
fn wrong_configurations_are_named() {
    for (class, config, expected) in [
        ("Dense", json!({"units": -1}), "`units`"),
        ("Dense", json!({"units": 3, "kernel": 1}), "unknown field `kernel`"),
        (
            "Dense",
            json!({"units": 3, "activation": "rellu"}),
            "unknown activation function `rellu`; known are",
        ),
        ("Dense", json!({"units": 3, "kernel_initializer": "nowhere"}), "unknown initializer `nowhere`"),
        (
            "Dense",
            json!({"units": 3, "kernel_regularizer": {"class_name": "L2", "config": {"l2": -1.0}}}),
            "`l2`",
        ),
        ("Dense", json!({"units": 3, "quantization_config": {"mode": "int8"}}), "`quantization_config`"),
        ("Dense", json!({}), "missing field `units`"),
        ("Dropout", json!({"rate": "much"}), "`rate`"),
        ("ZeroPadding2D", json!({"padding": [1, 2, 3]}), "`padding`: expected an integer or 2 integers"),
        ("UpSampling2D", json!({"interpolation": "cubic"}), "`interpolation`"),
        ("Flatten", json!({"data_format": "middle"}), "`data_format`"),
    ] {
        let found = message(from_config(class, config));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_built_layer_refuses_other_features() {
    let layer = LayerRef::from(Dense::new(3).name("head"));
    layer.build(&[[2usize, 4].into()]).unwrap();
    let x = Tensor::full([2, 5], DType::F32, 1.0, &Device::default_device().unwrap()).unwrap();
    let found = message(layer.call(&[x], &Call::inference()));
    assert!(found.contains("`head`") && found.contains("length 4 along axis -1"), "{found}");
}

#[test]
fn activations_of_others_reach_files() {
    let twice = register("my_package", "twice", |x| x * 2.0);
    let layer = LayerRef::from(Dense::new(2).activation(twice).kernel_initializer(Constant::new(1.0)));
    let written = layer.serialize().unwrap().to_value();
    assert_eq!(written["config"]["activation"]["config"], "my_package>twice");
    let again = LayerRef::from_value(&written).unwrap();
    let x = Tensor::new([1, 2], vec![1.0f32, 3.0]).unwrap();
    let y = again.call(&[x], &Call::inference()).unwrap().tensors.remove(0);
    assert_eq!(y.to_vec::<f32>().unwrap(), [8.0, 8.0]);

    let leaky = Dense::new(2).activation(Activation::layer(LeakyReLU::new(0.5)));
    let written = LayerRef::from(leaky).serialize().unwrap().to_value();
    assert_eq!(written["config"]["activation"]["class_name"], "LeakyReLU");
    let again = LayerRef::from_value(&written).unwrap();
    assert_eq!(again.serialize().unwrap().to_value(), written);
}

#[test]
fn unknown_dimensions_stay_unknown() {
    let spec = |layer: LayerRef, shape: &[Option<usize>]| -> PartialShape {
        let input = TensorSpec::new(shape.to_vec(), DType::F32);
        layer.output_spec(&[input], &Call::inference()).unwrap().remove(0).shape
    };
    let n = None;
    assert_eq!(spec(Flatten::new().into(), &[n, n, Some(3)]), [n, n].into());
    assert_eq!(spec(Flatten::new().into(), &[n, Some(2), Some(3)]), [n, Some(6)].into());
    assert_eq!(spec(Reshape::new([-1, 2]).into(), &[n, n, Some(3)]), [n, n, Some(2)].into());
    assert_eq!(spec(Reshape::new([-1, 2]).into(), &[n, Some(2), Some(3)]), [n, Some(3), Some(2)].into());
    assert_eq!(spec(Dense::new(5).into(), &[n, n, Some(3)]), [n, n, Some(5)].into());
    let larger = [n, n, Some(8), Some(3)];
    assert_eq!(spec(UpSampling2D::new([3, 2]).into(), &[n, n, Some(4), Some(3)]), larger.into());
    let padded = [n, Some(5), n, Some(1)];
    assert_eq!(spec(ZeroPadding2D::new([[1, 0], [2, 2]]).into(), &[n, Some(4), n, Some(1)]), padded.into());
    let words = TensorSpec::new([n, Some(7)], DType::I32);
    let layer = LayerRef::from(Embedding::new(10, 4));
    let out = layer.output_spec(&[words], &Call::inference()).unwrap().remove(0);
    assert_eq!(out, TensorSpec::new([n, Some(7), Some(4)], DType::F32));
}

#[test]
fn penalties_are_losses_of_the_layer() {
    let dense = Dense::new(1).kernel_initializer(Constant::new(2.0)).kernel_regularizer(L2::new(0.5));
    let layer = LayerRef::from(dense);
    layer.build(&[[1usize, 3].into()]).unwrap();
    let losses = layer.regularization_losses().unwrap();
    assert_eq!(losses.iter().map(|l| l.item().unwrap()).collect::<Vec<_>>(), [6.0]);
}

proptest! {
    #[test]
    fn orthogonal_vectors_have_length_one(rows in 1usize..12, columns in 1usize..12, seed in any::<u32>()) {
        let device = Device::default_device().unwrap();
        let initializer = Orthogonal::new().seed(seed);
        let q = initializer.call(&Shape::from([rows, columns]), DType::F64, &device).unwrap();
        let q = if rows < columns { q } else { q.swap_axes(0, 1).unwrap() };
        let products = q.matmul(&q.swap_axes(0, 1).unwrap()).unwrap();
        let n = rows.min(columns);
        for (i, p) in products.to_vec::<f64>().unwrap().into_iter().enumerate() {
            let expected = if i / n == i % n { 1.0 } else { 0.0 };
            prop_assert!((p - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn reshaping_keeps_the_elements(dims in proptest::collection::vec(1usize..5, 1..4)) {
        let size: usize = dims.iter().product();
        let shape: Shape = std::iter::once(2).chain(dims).collect();
        let x = Tensor::new(shape, (0..2 * size).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
        let flat = LayerRef::from(Flatten::new()).call(std::slice::from_ref(&x), &Call::inference()).unwrap();
        let shaped = LayerRef::from(Reshape::new([1, -1])).call(std::slice::from_ref(&x), &Call::inference()).unwrap();
        prop_assert_eq!(flat.tensors[0].shape().dims(), [2, size]);
        prop_assert_eq!(shaped.tensors[0].shape().dims(), [2, 1, size]);
        prop_assert_eq!(flat.tensors[0].to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
    }
}
