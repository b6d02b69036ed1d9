//! The graphs themselves; `scripts/check_onnx.py` runs them in onnxruntime.

use std::collections::HashSet;

use super::*;
use crate::layers::{Conv2D, Dense, Dropout, Embedding, Flatten, Input, LSTM, MaxPooling2D};
use crate::models::Sequential;
use crate::saving::LoadOptions;
use keras_spec::{HostTensor, LayerExt};

fn exported(model: &Model) -> proto::Model {
    proto::Model::decode(&*model.export_bytes(ExportFormat::Onnx).unwrap()).unwrap()
}

fn graph_of(model: &proto::Model) -> &proto::GraphProto {
    model.graph.as_ref().unwrap()
}

/// The numbers of the only constant whose name holds a text.
fn constant(graph: &proto::GraphProto, name: &str) -> (Vec<i64>, Vec<f32>) {
    let found: Vec<_> = graph.initializer.iter().filter(|t| t.name.contains(name)).collect();
    assert_eq!(found.len(), 1, "{name}");
    let numbers = found[0].raw_data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    (found[0].dims.clone(), numbers.collect())
}

/// Names are given once and before they are read; constants have the elements that their shapes say.
fn check(model: &proto::Model) {
    let graph = graph_of(model);
    let mut known: HashSet<&str> = graph.input.iter().map(|v| &*v.name).collect();
    for tensor in &graph.initializer {
        assert!(known.insert(&tensor.name), "{} twice", tensor.name);
        let size = match tensor.data_type {
            1 | 6 => 4,
            7 => 8,
            other => panic!("{}: data type {other}", tensor.name),
        };
        assert_eq!(
            tensor.dims.iter().product::<i64>() * size,
            tensor.raw_data.len() as i64,
            "{}",
            tensor.name
        );
    }
    for node in &graph.node {
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            assert!(known.contains(&**input), "{} reads {input}", node.name);
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} twice");
        }
    }
    assert!(!graph.output.is_empty() && graph.output.iter().all(|v| known.contains(&*v.name)));
}

/// All models of the golden vectors: a graph that holds together, or an error that names a layer.
#[test]
fn golden_models_are_well_formed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/models");
    let (mut written, mut refused) = (0, 0);
    for folder in ["cnn", "functional", "gru", "lstm", "mlp", "layers", "operations"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "keras") {
                continue;
            }
            let model = LoadOptions::new().compile(false).open(&path).unwrap();
            match model.export_bytes(ExportFormat::Onnx) {
                Ok(bytes) => {
                    check(&proto::Model::decode(&*bytes).unwrap());
                    written += 1;
                }
                Err(e) => {
                    let message = e.to_string();
                    assert!(message.contains("cannot be exported to ONNX"), "{}: {message}", path.display());
                    refused += 1;
                }
            }
        }
    }
    assert!(written > 50 && refused > 0, "{written} written, {refused} refused");
}

#[test]
fn layers_become_nodes_between_transpositions() {
    let model = Sequential::new()
        .add(Input::new([6, 6, 2]).name("picture"))
        .add(Conv2D::new(3, 2).name("conv"))
        .add(MaxPooling2D::new(2))
        .add(Dropout::new(0.5))
        .add(Flatten::new())
        .add(Dense::new(4).activation(crate::activations::Activation::Softmax).name("classes"))
        .build()
        .unwrap();
    let exported = exported(&model);
    check(&exported);
    let graph = graph_of(&exported);
    let ops: Vec<&str> = graph.node.iter().map(|n| &*n.op_type).collect();
    let around = ["Transpose", "Conv", "Transpose", "Transpose", "MaxPool", "Transpose"];
    assert_eq!(ops, [&around[..], &["Reshape", "MatMul", "Add", "Softmax", "Identity"]].concat());
    assert_eq!((&*graph.input[0].name, &*graph.output[0].name), ("picture", "classes"));
    assert_eq!(exported.opset_import[0].version, OPSET);
    let shape = graph.input[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
    assert_eq!(shape.dim[0].dim_param.as_deref(), Some("batch"));
    assert_eq!(shape.dim[3].dim_value, Some(2));
    let (dims, kernel) = constant(graph, "conv/kernel");
    assert_eq!(dims, [3, 2, 2, 2]);
    // (rows, columns, inputs, filters) in Keras, (filters, inputs, rows, columns) here.
    let weights = model.get_weights().unwrap()[0].to_f64_vec();
    let at = |row: usize, column: usize, input: usize, filter: usize| {
        weights[((row * 2 + column) * 2 + input) * 3 + filter]
    };
    assert_eq!(f64::from(kernel[((2 * 2 + 1) * 2) * 2 + 1]), at(0, 1, 1, 2));
}

/// onnxruntime refuses `auto_pad` beside dilations.
#[test]
fn dilated_convolutions_have_their_padding_in_numbers() {
    let conv = Conv2D::new(3, [3, 2]).dilation_rate([2, 3]).padding(crate::layers::Padding::Same);
    let model = Sequential::new().add(Input::new([8, 8, 2])).add(conv).build().unwrap();
    let exported = exported(&model);
    let node = graph_of(&exported).node.iter().find(|n| n.op_type == "Conv").unwrap();
    assert!(node.attribute.iter().all(|a| a.name != "auto_pad"));
    // Four more rows and three more columns: the larger half at the end.
    assert_eq!(node.attribute.iter().find(|a| a.name == "pads").unwrap().ints, [2, 1, 2, 2]);
}

/// Keras 1 and 2 had a `hard_sigmoid` of another slope, and took it for the gates of an LSTM.
#[test]
fn gates_of_keras_2_are_exported() {
    let layer = r#"{"class_name": "LSTM", "config": {"name": "rnn", "units": 2, "activation": "tanh",
        "recurrent_activation": "hard_sigmoid", "batch_input_shape": [null, 3, 1]}}"#;
    let dense =
        r#"{"class_name": "Dense", "config": {"name": "d", "units": 2, "activation": "hard_sigmoid"}}"#;
    let text = format!(
        r#"{{"class_name": "Sequential", "keras_version": "2.1.6", "backend": "tensorflow", "config": [{layer}, {dense}]}}"#
    );
    let exported = exported(&crate::model_from_json(&text).unwrap());
    check(&exported);
    let node = |op: &str| graph_of(&exported).node.iter().find(|n| n.op_type == op).unwrap();
    let attribute =
        |op: &str, name: &str| node(op).attribute.iter().find(|a| a.name == name).unwrap().clone();
    assert_eq!(attribute("LSTM", "activations").strings, [&b"HardSigmoid"[..], b"Tanh", b"Tanh"]);
    assert_eq!(attribute("LSTM", "activation_alpha").floats, [0.2]);
    assert_eq!(attribute("LSTM", "activation_beta").floats, [0.5]);
    assert_eq!(
        (attribute("HardSigmoid", "alpha").f, attribute("HardSigmoid", "beta").f),
        (Some(0.2), Some(0.5))
    );
}

#[test]
fn gates_stand_in_the_order_of_onnx() {
    let model = Sequential::new().add(Input::new([5, 1])).add(LSTM::new(1).name("rnn")).build().unwrap();
    let numbers = |shape: [usize; 2]| HostTensor::new(shape, vec![0.0_f32, 1.0, 2.0, 3.0]).unwrap();
    let bias = HostTensor::new([4], vec![0.0_f32, 1.0, 2.0, 3.0]).unwrap();
    model.set_weights(&[numbers([1, 4]), numbers([1, 4]), bias]).unwrap();
    let exported = exported(&model);
    let graph = graph_of(&exported);
    assert_eq!(constant(graph, "rnn/kernel"), (vec![1, 4, 1], vec![0.0, 3.0, 1.0, 2.0]));
    assert_eq!(constant(graph, "rnn/bias"), (vec![1, 8], vec![0.0, 3.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]));
}

#[test]
fn a_layer_without_counterpart_is_named() {
    let model = Sequential::new()
        .add(Input::new([5]))
        .add(Embedding::new(10, 2).mask_zero(true).name("words"))
        .build()
        .unwrap();
    let error = model.export_bytes(ExportFormat::Onnx).unwrap_err().to_string();
    assert!(error.contains("`words` (Embedding)") && error.contains("mask_zero"), "{error}");
}
