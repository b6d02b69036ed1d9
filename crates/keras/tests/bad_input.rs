//! What users and files can get wrong: an error that names what is wrong, never a panic.

use keras::models::Input;
use keras::prelude::*;
use keras_spec::{DType, Error};

fn message<T: std::fmt::Debug>(result: keras::Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn has(message: String, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

fn rows(n: usize, columns: usize) -> HostTensor {
    HostTensor::new([n, columns], vec![0.5_f32; n * columns]).unwrap()
}

fn compiled() -> Model {
    let mut model = Sequential::new().add(Input::new([3])).add(Dense::new(2).name("head")).build().unwrap();
    model.compile(Compile::new(SGD::new(0.1), MeanSquaredError::new())).unwrap();
    model
}

#[test]
fn weights_that_there_is_no_memory_for_are_refused() {
    for (inputs, units) in [(4, usize::MAX / 2), (usize::MAX / 2, 4), (1 << 30, 1 << 32)] {
        let layer = LayerRef::from(Dense::new(units).name("huge"));
        let error = layer.build(&[PartialShape::from([2, inputs])]);
        has(message(error), &["layer `huge` (Dense)", "`kernel`", &format!("({inputs}, {units})")]);
        assert!(!layer.is_built());
    }
}

#[test]
fn results_that_there_is_no_memory_for_are_refused() {
    let model = Sequential::new().add(Input::new([3])).add(RepeatVector::new(1 << 50).name("many")).build();
    let error = model.and_then(|m| m.predict_on_batch(vec![rows(1, 3)]));
    has(message(error), &["layer `many` (RepeatVector)", "memory"]);
}

/// Sizes that arguments alone give: such models load, and the process lives on when they are run.
#[test]
fn arguments_that_there_is_no_memory_for_are_refused() {
    let huge = 1_usize << 40;
    let layers: [(LayerRef, usize); 6] = [
        (CategoryEncoding::new(huge).output_mode(OutputMode::OneHot).name("x").into(), 3),
        (Hashing::new(huge).output_mode(OutputMode::MultiHot).name("x").into(), 3),
        (
            IntegerLookup::new()
                .vocabulary([1, 2])
                .num_oov_indices(huge)
                .output_mode(OutputMode::Count)
                .name("x")
                .into(),
            3,
        ),
        (MelSpectrogram::new().num_mel_bins(huge).name("x").into(), 4000),
        (MelSpectrogram::new().fft_length(huge).name("x").into(), 4000),
        (RepeatVector::new(huge).name("x").into(), 3),
    ];
    for (layer, inputs) in layers {
        let class = layer.class().name;
        let dtype = if ["MelSpectrogram", "RepeatVector"].contains(&class) { DType::F32 } else { DType::I32 };
        let model = Sequential::new().add(Input::new([inputs]).dtype(dtype)).add(layer).build().unwrap();
        let error = model.predict_on_batch(vec![HostTensor::full([1, inputs], dtype, 1.0)]).unwrap_err();
        assert!(matches!(error.root(), Error::Memory { .. }), "{class}: {error}");
        has(error.to_string(), &[&format!("layer `x` ({class})"), "no memory for", "bytes"]);
    }
    let layer = STFTSpectrogram::new().frame_length(huge).name("x");
    let error = Sequential::new().add(Input::new([4000, 1])).add(layer).build();
    has(message(error), &["layer `x` (STFTSpectrogram)", "memory"]);
}

/// A model whose file is changed to ask for more weights than it holds.
#[test]
fn a_file_cannot_ask_for_more_weights_than_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.h5");
    let model = Sequential::new().add(Input::new([3])).add(Dense::new(7777).name("head")).build().unwrap();
    model.save(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let text = br#""units": 7777"#;
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    bytes[at..at + text.len()].copy_from_slice(br#""units":9e9  "#);
    // Not an integer any more, which is refused too.
    has(message(keras::load_model_from_bytes(bytes.clone())), &["units"]);
    bytes[at..at + text.len()].copy_from_slice(br#""units":99999"#);
    has(message(keras::load_model_from_bytes(bytes.clone())), &["head"]);
    let text = br#""batch_shape": [null, 3]"#;
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    bytes[at..at + text.len()].copy_from_slice(br#""batch_shape":[null,999]"#);
    let error = keras::load_model_from_bytes(bytes);
    has(message(error), &["layer `head` (Dense)", "`kernel`", "elements that the file has", "(999, 99999)"]);
}

#[test]
fn arrays_that_do_not_fit_are_named() {
    let mut model = compiled();
    has(message(model.predict_on_batch(vec![rows(4, 5)])), &["layer `head` (Dense)", "length 3", "(4, 5)"]);
    has(message(model.fit(rows(4, 3), rows(5, 2), Fit::new().verbose(0))), &["4", "5"]);
    has(message(model.fit(rows(4, 3), rows(4, 3), Fit::new().verbose(0))), &["(4, 3)"]);
    has(message(model.set_weights(&[rows(3, 2)])), &["2 arrays", "1 arrays"]);
    has(message(model.set_weights(&[rows(2, 3), rows(1, 2)])), &["kernel", "(3, 2)", "(2, 3)"]);
    has(message(model.get_layer("tail").map(drop)), &["unknown layer `tail`", "head"]);
}

#[test]
fn a_model_without_weights_says_so() {
    let model = Sequential::new().add(Dense::new(2)).build().unwrap();
    let error = model.set_weights(&[]).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
    has(message(model.save_weights("unbuilt.weights.h5")), &["not built"]);
    has(message(model.inputs().map(drop)), &["not built"]);
}

#[test]
fn sizes_of_zero_and_more_spatial_axes_than_there_are_kernels_for_are_errors() {
    let build = |layer: LayerRef| layer.build(&[PartialShape::from([None, Some(8), Some(8), Some(3)])]);
    has(message(build(Conv2D::new(0, 3).name("c").into())), &["layer `c`", "filters"]);
    has(message(build(Conv2D::new(4, 0).name("c").into())), &["layer `c`", "kernel_size"]);
    has(message(build(MaxPooling2D::new(0).name("p").into())), &["layer `p`", "pool_size"]);
    let x = keras_spec::Tensor::new([1, 2, 2, 2, 2, 3], vec![0.5_f32; 48]).unwrap();
    let window = keras_spec::WindowSpec {
        size: [1; 4].into_iter().collect(),
        strides: [1; 4].into_iter().collect(),
        padding: [(0, 0); 4].into_iter().collect(),
    };
    let error = x.reduce_window(keras_spec::ReduceOp::Max, window).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    has(error.to_string(), &["reduce_window", "4 spatial axes"]);
}
