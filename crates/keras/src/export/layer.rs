//! One layer, by its class.

use keras_spec::{Call, DType, LayerRef, Result, TensorSpec};

use super::graph::{Graph, Value, data_type};
use super::proto::Attribute;
use super::site::Site;
use super::{activation, convolution, merging, normalization, pooling, recurrent, reshaping, unsupported};

/// Writes a layer that is no model; the results in order.
///
/// # Errors
/// The layer has no counterpart.
pub(super) fn write(graph: &mut Graph, layer: &LayerRef, inputs: &[Value]) -> Result<Vec<Value>> {
    let policy = layer.policy();
    if policy.compute_dtype() != DType::F32 && policy.compute_dtype().is_float() {
        return Err(unsupported(layer, format!("it computes in {}", policy.compute_dtype())));
    }
    let specs: Vec<TensorSpec> = inputs.iter().map(|v| TensorSpec::new(v.shape.clone(), v.dtype)).collect();
    let outputs = layer.output_spec(&specs, &Call::inference())?;
    let config = layer.serialize()?.config;
    let inputs = inputs.iter().map(|v| cast_float(graph, layer, v)).collect::<Vec<_>>();
    let site = Site { layer, config, inputs: &inputs, outputs };
    let names = by_class(graph, &site)?;
    let value =
        |(name, spec): (String, &TensorSpec)| Value { name, shape: spec.shape.clone(), dtype: spec.dtype };
    Ok(names.into_iter().zip(&site.outputs).map(value).collect())
}

/// What the layer's call does to an input: floats become those that it computes in.
fn cast_float(graph: &mut Graph, layer: &LayerRef, value: &Value) -> Value {
    if !value.dtype.is_float() || value.dtype == DType::F32 || !layer.layer().autocast() {
        return value.clone();
    }
    let to = Attribute::int("to", data_type(DType::F32).into());
    Value {
        name: graph.node("Cast", &[&value.name], vec![to]),
        shape: value.shape.clone(),
        dtype: DType::F32,
    }
}

fn by_class(graph: &mut Graph, site: &Site) -> Result<Vec<String>> {
    let one = |name: Result<String>| name.map(|name| vec![name]);
    let class = site.layer.class();
    if !class.built_in {
        return Err(site.unsupported("it is no layer of Keras"));
    }
    match class.name {
        "Dropout"
        | "SpatialDropout1D"
        | "SpatialDropout2D"
        | "SpatialDropout3D"
        | "GaussianDropout"
        | "GaussianNoise"
        | "AlphaDropout"
        | "ActivityRegularization"
        | "Identity" => Ok(site.inputs.iter().map(|v| v.name.clone()).collect()),
        "Dense" => one(dense(graph, site)),
        "Embedding" => one(embedding(graph, site)),
        "Rescaling" => one(rescaling(graph, site)),
        "Activation" | "ReLU" | "LeakyReLU" | "ELU" | "PReLU" | "Softmax" => {
            one(activation::layer(graph, site))
        }
        "Conv1D" | "Conv2D" | "Conv3D" => one(convolution::convolution(graph, site)),
        "DepthwiseConv1D" | "DepthwiseConv2D" => one(convolution::depthwise(graph, site)),
        "SeparableConv1D" | "SeparableConv2D" => one(convolution::separable(graph, site)),
        "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" => {
            one(convolution::transposed(graph, site))
        }
        "MaxPooling1D" | "MaxPooling2D" | "MaxPooling3D" => one(pooling::windows(graph, site, "MaxPool")),
        "AveragePooling1D" | "AveragePooling2D" | "AveragePooling3D" => {
            one(pooling::windows(graph, site, "AveragePool"))
        }
        "GlobalMaxPooling1D" | "GlobalMaxPooling2D" | "GlobalMaxPooling3D" => {
            one(pooling::global(graph, site, "ReduceMax"))
        }
        "GlobalAveragePooling1D" | "GlobalAveragePooling2D" | "GlobalAveragePooling3D" => {
            one(pooling::global(graph, site, "ReduceMean"))
        }
        "BatchNormalization" => one(normalization::batch(graph, site)),
        "LayerNormalization" => one(normalization::layer(graph, site)),
        "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" | "Concatenate" | "Dot" => {
            one(merging::write(graph, site))
        }
        "Flatten" | "Reshape" | "Permute" | "RepeatVector" => one(reshaping::reshape(graph, site)),
        "ZeroPadding1D" | "ZeroPadding2D" | "ZeroPadding3D" => one(reshaping::zero_padding(graph, site)),
        "Cropping1D" | "Cropping2D" | "Cropping3D" => one(reshaping::cropping(graph, site)),
        "UpSampling1D" | "UpSampling2D" | "UpSampling3D" => one(reshaping::up_sampling(graph, site)),
        "SimpleRNN" | "LSTM" | "GRU" => recurrent::write(graph, site),
        "Bidirectional" => recurrent::bidirectional(graph, site),
        "TimeDistributed" => one(recurrent::time_distributed(graph, site)),
        _ => Err(site.unsupported("ONNX has no counterpart that is written here")),
    }
}

fn dense(graph: &mut Graph, site: &Site) -> Result<String> {
    if site.layer.weights().len() > 2 {
        return Err(site.unsupported("it has other weights than a kernel and a bias"));
    }
    let kernel = graph.constant("kernel", &site.weight("kernel")?)?;
    let mut y = graph.node("MatMul", &[&site.input()?.name, &kernel], Vec::new());
    if let Some(bias) = site.optional_weight("bias")? {
        let bias = graph.constant("bias", &bias)?;
        y = graph.node("Add", &[&y, &bias], Vec::new());
    }
    activation::argument(graph, site, "activation", y)
}

fn embedding(graph: &mut Graph, site: &Site) -> Result<String> {
    if site.flag("mask_zero") {
        return Err(site.unsupported("`mask_zero`: ONNX has no masks"));
    }
    if site.layer.weights().len() > 1 {
        return Err(site.unsupported("it has other weights than a table"));
    }
    let table = graph.constant("embeddings", &site.weight("embeddings")?)?;
    let to = Attribute::int("to", data_type(DType::I64).into());
    let indices = graph.node("Cast", &[&site.input()?.name], vec![to]);
    Ok(graph.node("Gather", &[&table, &indices], vec![Attribute::int("axis", 0)]))
}

fn rescaling(graph: &mut Graph, site: &Site) -> Result<String> {
    let (scale, offset) = (graph.number(site.number("scale")?)?, graph.number(site.number("offset")?)?);
    let x = site.input()?;
    let to = Attribute::int("to", data_type(DType::F32).into());
    let x = if x.dtype == DType::F32 { x.name.clone() } else { graph.node("Cast", &[&x.name], vec![to]) };
    let scaled = graph.node("Mul", &[&x, &scale], Vec::new());
    Ok(graph.node("Add", &[&scaled, &offset], Vec::new()))
}
