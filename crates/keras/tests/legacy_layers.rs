//! The layers and functions that only old versions of Keras have.

use keras::activations::Activation;
use keras::layers::{Dense, LSTM};
use keras::legacy::layers::{
    BilinearUpSampling2D, Highway, LocallyConnected1D, LocallyConnected2D, MaxoutDense, ModeNormalization,
    NormalizationMode, ParametricSoftplus, SReLU, ThresholdedReLU,
};
use keras_spec::{Call, LayerRef, Shape, Tensor};

fn called(layer: &LayerRef, x: &Tensor) -> Tensor {
    layer.call(std::slice::from_ref(x), &Call::inference()).unwrap().tensors.remove(0)
}

fn values(layer: impl Into<LayerRef>, shape: &[usize], x: &[f32]) -> Vec<f32> {
    called(&layer.into(), &Tensor::new(shape, x.to_vec()).unwrap()).to_vec().unwrap()
}

#[test]
fn every_layer_is_found_by_the_name_in_old_files_and_written_as_our_own() {
    let layers: [LayerRef; 10] = [
        ThresholdedReLU::new(0.5).into(),
        ParametricSoftplus::new().shared_axes([1]).into(),
        SReLU::new().shared_axes([2]).into(),
        MaxoutDense::new(3).nb_feature(2).into(),
        Highway::new().activation(Activation::Relu).into(),
        ModeNormalization::new(NormalizationMode::Sample).epsilon(1e-5).into(),
        ModeNormalization::new(NormalizationMode::Batch).axis(1).into(),
        BilinearUpSampling2D::new([2, 3]).into(),
        LocallyConnected1D::new(3, 2).strides(2).into(),
        LocallyConnected2D::new(3, [2, 1]).implementation(3).into(),
    ];
    for layer in layers {
        let form = layer.serialize().unwrap();
        assert_eq!(form.registered_name, Some(format!("keras.legacy>{}", form.class_name)));
        let mut by_name = form.to_value();
        by_name.as_object_mut().unwrap().retain(|key, _| key == "class_name" || key == "config");
        let again = LayerRef::from_value(&by_name).unwrap().serialize().unwrap();
        assert_eq!(again.to_value(), form.to_value());
    }
}

#[test]
fn hard_sigmoid_of_keras_2_is_a_function_of_its_own() {
    let old = Activation::try_from("keras.legacy>hard_sigmoid").unwrap();
    let x = [-3.0, -2.5, -1.0, 0.0, 2.0, 2.75];
    assert_eq!(values(old.clone(), &[6], &x), [0.0, 0.0, 0.3, 0.5, 0.9, 1.0]);
    let written = serde_json::to_value(&old).unwrap();
    // Layers of Keras 3 that compute the same, read as the function that kernels know.
    assert_eq!(written["class_name"], "Pipeline");
    assert_eq!(Activation::from_value(&written).unwrap().fused(), old.fused());
    assert!(old.fused().is_some());
    let mut other = written.clone();
    other["config"]["layers"][0]["config"]["scale"] = 0.25.into();
    assert_eq!(Activation::from_value(&other).unwrap().fused(), None);
    assert_eq!(Activation::try_from("hard_sigmoid").unwrap().name(), "hard_sigmoid");
}

/// The operation that does all steps of an LSTM at once knows the function: the same as step by step.
#[test]
fn hard_sigmoid_of_keras_2_in_a_fused_lstm() {
    let lstm = |activation: &str| -> LayerRef {
        LSTM::new(3).recurrent_activation(Activation::try_from(activation).unwrap()).unroll(false).into()
    };
    keras::activations::register("tests", "piecewise", |x| ((x * 0.2)? + 0.5)?.clip(0.0, 1.0));
    let (fused, stepwise) = (lstm("keras.legacy>hard_sigmoid"), lstm("tests>piecewise"));
    let x = Tensor::new([2, 4, 2], (0..16).map(|i| (i as f32 * 0.7).sin() * 3.0).collect()).unwrap();
    called(&stepwise, &x);
    called(&fused, &x);
    for (from, to) in fused.weights().iter().zip(stepwise.weights()) {
        to.assign(&from.get()).unwrap();
    }
    let (a, b) = (called(&fused, &x), called(&stepwise, &x));
    for (a, b) in a.to_vec::<f32>().unwrap().into_iter().zip(b.to_vec::<f32>().unwrap()) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

/// Numbers of TensorFlow 1's `resize_bilinear`, as Keras 2.2.4 calls it.
#[test]
fn bilinear_up_sampling_measures_from_corners() {
    let row = values(BilinearUpSampling2D::new([1, 2]), &[1, 1, 4, 1], &[0.0, 1.0, 2.0, 3.0]);
    assert_eq!(row, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]);
    let both = values(BilinearUpSampling2D::new(2), &[1, 2, 2, 1], &[0.0, 2.0, 4.0, 6.0]);
    assert_eq!(both, [0., 1., 2., 2., 2., 3., 4., 4., 4., 5., 6., 6., 4., 5., 6., 6.]);
}

#[test]
fn modes_of_normalization() {
    let sample = values(ModeNormalization::new(NormalizationMode::Sample).epsilon(1.0), &[1, 2], &[1.0, 3.0]);
    let expected = 1.0 / (2.0f32.sqrt() + 1.0);
    assert!((sample[0] + expected).abs() < 1e-6 && (sample[1] - expected).abs() < 1e-6, "{sample:?}");
    let batch = ModeNormalization::new(NormalizationMode::Batch).epsilon(0.0);
    assert_eq!(values(batch, &[2, 1], &[1.0, 3.0]), [-1.0, 1.0]);
}

#[test]
fn the_greatest_of_several_dense_layers() {
    let x = Tensor::new([2, 1], vec![1.0f32, -2.0]).unwrap();
    let layer: LayerRef = MaxoutDense::new(1).nb_feature(2).into();
    called(&layer, &x);
    let weights = layer.weights();
    weights[0].assign(&Tensor::new([2, 1, 1], vec![1.0f32, -1.0]).unwrap()).unwrap();
    weights[1].assign(&Tensor::new([2, 1], vec![0.0f32, 1.0]).unwrap()).unwrap();
    assert_eq!(called(&layer, &x).to_vec::<f32>().unwrap(), [1.0, 3.0]);
}

#[test]
fn lines_of_srelu() {
    let x = Tensor::new([5, 1], vec![-3.0f32, 1.0, 2.0, 4.0, 6.0]).unwrap();
    let layer: LayerRef = SReLU::new().into();
    called(&layer, &x);
    // From 1 to 1 + |-3| = 4 the input itself.
    for (weight, value) in layer.weights().iter().zip([1.0f32, 0.5, -3.0, 2.0]) {
        weight.assign(&Tensor::new([1], vec![value]).unwrap()).unwrap();
    }
    assert_eq!(called(&layer, &x).to_vec::<f32>().unwrap(), [-1.0, 1.0, 2.0, 4.0, 8.0]);
}

/// With a gate that is shut the input passes, with an open one the dense layer's output.
#[test]
fn gates_of_a_highway() {
    let x = Tensor::new([1, 2], vec![1.0f32, -1.0]).unwrap();
    let layer: LayerRef = Highway::new().into();
    called(&layer, &x);
    let weights = layer.weights();
    let assign = |i: usize, shape: &[usize], values: &[f32]| {
        weights[i].assign(&Tensor::new(shape, values.to_vec()).unwrap()).unwrap();
    };
    assign(0, &[2, 2], &[0.0; 4]);
    assign(1, &[2, 2], &[0.0; 4]);
    assign(2, &[2], &[7.0, 7.0]);
    assign(3, &[2], &[100.0, -100.0]);
    assert_eq!(called(&layer, &x).to_vec::<f32>().unwrap(), [7.0, -1.0]);
}

#[test]
fn wrong_arguments_are_named() {
    let message = |layer: LayerRef, shape: &[usize]| {
        layer.build(&[(&Shape::from(shape)).into()]).unwrap_err().to_string()
    };
    for (found, expected) in [
        (message(LocallyConnected1D::new(0, 2).into(), &[1, 4, 2]), "`filters`"),
        (message(LocallyConnected1D::new(1, 2).implementation(4).into(), &[1, 4, 2]), "`implementation`"),
        (message(SReLU::new().shared_axes([2]).into(), &[1, 4]), "`shared_axes`"),
        (message(MaxoutDense::new(2).nb_feature(0).into(), &[1, 4]), "`nb_feature`"),
        (message(BilinearUpSampling2D::new(0).into(), &[1, 4, 4, 1]), "`size`"),
        (message(Dense::new(0).into(), &[1, 4]), "`units`"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}
