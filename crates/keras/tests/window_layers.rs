//! Convolution, pooling and normalisation: what is refused, what files say, moving statistics.

use keras::layers::{
    AveragePooling2D, BatchNormalization, Conv1D, Conv2D, Conv2DTranspose, DataFormat, DepthwiseConv2D,
    GlobalMaxPooling1D, LayerNormalization, MaxPooling1D, MaxPooling2D, Padding, RenormClipping,
    SeparableConv2D,
};
use keras_spec::{Call, DType, Device, LayerExt, LayerRef, PartialShape, Tensor, TensorSpec};
use serde_json::{Value, json};

fn message<T: std::fmt::Debug>(result: keras::Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn from_config(class: &str, config: Value) -> keras::Result<LayerRef> {
    LayerRef::from_value(&json!({"module": "keras.layers", "class_name": class, "config": config}))
}

fn filled(shape: &[usize], value: f64) -> Tensor {
    Tensor::full(shape, DType::F32, value, &Device::default_device().unwrap()).unwrap()
}

#[test]
fn wrong_arguments_are_named() {
    let image = |layer: LayerRef| message(layer.build(&[[1usize, 6, 6, 4].into()]));
    for (found, expected) in [
        (image(Conv2D::new(0, 3).into()), "`filters`: expected a positive integer, found 0"),
        (image(Conv2D::new(4, [3, 0]).into()), "`kernel_size`"),
        (image(Conv2D::new(4, 3).strides(0).into()), "`strides`"),
        (image(Conv2D::new(4, 3).dilation_rate(0).into()), "`dilation_rate`"),
        (image(Conv2D::new(4, 3).strides(2).dilation_rate(2).into()), "1 where `dilation_rate > 1`"),
        (image(Conv2D::new(4, 3).groups(0).into()), "`groups`"),
        (image(Conv2D::new(4, 3).groups(3).into()), "a divisor of filters=4, found 3"),
        (image(Conv2D::new(3, 3).groups(3).into()), "a divisor of the number of input channels, 4, found 3"),
        (image(Conv2D::new(4, 3).padding(Padding::Causal).into()), "`padding`"),
        (image(Conv2D::new(4, 7).into()), "output size would be zero or negative"),
        (image(Conv2D::new(4, 3).dilation_rate(3).into()), "output size would be zero or negative"),
        (image(Conv1D::new(4, 3).into()), "expected ndim=3, found ndim=4"),
        (image(DepthwiseConv2D::new(3).depth_multiplier(0).into()), "`depth_multiplier`"),
        (image(SeparableConv2D::new(0, 3).into()), "`filters`"),
        (
            image(Conv2DTranspose::new(4, 3).strides(2).output_padding([1, 2]).into()),
            "`output_padding`: expected less than strides [2, 2], found [1, 2]",
        ),
        (image(MaxPooling2D::new(0).into()), "`pool_size`"),
        (image(AveragePooling2D::new(2).strides([1, 0]).into()), "`strides`"),
        (image(MaxPooling2D::new(8).into()), "output size would be zero or negative"),
        (image(MaxPooling1D::new(2).into()), "expected ndim=3"),
        (image(GlobalMaxPooling1D::new().into()), "expected ndim=3"),
        (image(BatchNormalization::new().axis(4).into()), "`axis`"),
        (image(LayerNormalization::new().axis([1, -3]).into()), "`axis`: expected different axes"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn wrong_configurations_are_named() {
    for (class, config, expected) in [
        ("Conv2D", json!({"filters": 2}), "missing field `kernel_size`"),
        (
            "Conv2D",
            json!({"filters": 2, "kernel_size": [1, 2, 3]}),
            "`kernel_size`: expected an integer or 2",
        ),
        ("Conv2D", json!({"filters": 2, "kernel_size": 3, "padding": "full"}), "`padding`"),
        ("Conv2D", json!({"filters": 2, "kernel_size": 3, "lora_rank": 0}), "`lora_rank`"),
        ("MaxPooling2D", json!({"pool_size": -1}), "`pool_size`"),
        ("BatchNormalization", json!({"synchronized": true}), "`synchronized`"),
        (
            "BatchNormalization",
            json!({"renorm": true, "renorm_clipping": {"rmax": 1.0, "rmin": 2.0}}),
            "rmax greater than rmin",
        ),
        ("BatchNormalization", json!({"renorm_clipping": {"max": 1.0}}), "`renorm_clipping`"),
        ("LayerNormalization", json!({"axis": []}), "`axis`"),
    ] {
        let found = message(from_config(class, config));
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn built_layers_refuse_other_channels() {
    for layer in [
        LayerRef::from(Conv2D::new(6, 3).groups(2)),
        DepthwiseConv2D::new(3).into(),
        SeparableConv2D::new(2, 3).into(),
        Conv2DTranspose::new(2, 3).into(),
        BatchNormalization::new().into(),
        LayerNormalization::new().into(),
    ] {
        layer.build(&[[None, Some(5), Some(5), Some(4)].into()]).unwrap();
        let found = message(layer.call(&[filled(&[1, 5, 5, 6], 1.0)], &Call::inference()));
        assert!(found.contains("length 4 along axis -1") && found.contains("incompatible"), "{found}");
    }
}

#[test]
fn a_frozen_batch_normalization_does_not_learn() {
    let moving_mean = |layer: &LayerRef| layer.weights()[0].get().to_vec::<f32>().unwrap();
    let bare = || BatchNormalization::new().momentum(0.5).center(false).scale(false);
    for (layer, expected) in
        [(LayerRef::from(bare()), 2.0), (bare().trainable(false).into(), 0.0), (LayerRef::from(bare()), 2.0)]
    {
        layer.call(&[filled(&[3, 2], 4.0)], &Call::training()).unwrap();
        assert_eq!(moving_mean(&layer), [expected; 2]);
        layer.call(&[filled(&[3, 2], 9.0)], &Call::inference()).unwrap();
        assert_eq!(moving_mean(&layer), [expected; 2]);
    }
}

#[test]
fn unknown_lengths_stay_unknown() {
    let spec = |layer: LayerRef, shape: [Option<usize>; 4]| {
        let outputs = layer.output_spec(&[TensorSpec::new(shape, DType::F32)], &Call::inference()).unwrap();
        outputs[0].shape.clone()
    };
    let image = [None, None, Some(8), Some(3)];
    let same = || Conv2D::new(5, 3).strides(2).padding(Padding::Same);
    assert_eq!(spec(same().into(), image), PartialShape::from([None, None, Some(4), Some(5)]));
    let first = same().data_format(DataFormat::ChannelsFirst);
    let planes = [None, Some(4), None, Some(8)];
    assert_eq!(spec(first.into(), planes), PartialShape::from([None, Some(5), None, Some(4)]));
    let transposed = Conv2DTranspose::new(5, 3).strides(2).padding(Padding::Same);
    assert_eq!(spec(transposed.into(), image), PartialShape::from([None, None, Some(16), Some(5)]));
    assert_eq!(spec(MaxPooling2D::new(2).into(), image), PartialShape::from([None, None, Some(4), Some(3)]));
}

#[test]
fn files_say_what_keras_writes() {
    let config = |layer: LayerRef| layer.serialize().unwrap().config;
    let pooling = config(MaxPooling2D::new([2, 3]).into());
    assert_eq!(pooling["strides"], json!([2, 3]));
    assert_eq!(config(Conv2D::new(2, 3).into())["activity_regularizer"], Value::Null);
    assert!(config(Conv2D::new(2, 3).into()).get("lora_rank").is_none());
    assert_eq!(config(Conv2D::new(2, 3).lora_rank(4).into())["lora_alpha"], json!(4));
    assert_eq!(config(BatchNormalization::new().into())["renorm_clipping"], Value::Null);
    assert_eq!(config(BatchNormalization::new().renorm(true).into())["renorm_clipping"], json!({}));
    let clipping = RenormClipping { dmax: Some(0.5), ..RenormClipping::default() };
    let clipped = config(BatchNormalization::new().renorm(true).renorm_clipping(clipping).into());
    assert_eq!(clipped["renorm_clipping"], json!({"dmax": 0.5}));
    let normalization = LayerRef::from(LayerNormalization::new());
    assert_eq!(normalization.serialize().unwrap().config["axis"], json!(-1));
    normalization.build(&[[2usize, 3].into()]).unwrap();
    assert_eq!(normalization.serialize().unwrap().config["axis"], json!([-1]));
}
