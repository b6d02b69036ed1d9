//! Functions of TensorFlow in the graphs of tf.keras, as operations of Keras 3.

use keras_spec::{Error, Result};
use serde_json::{Map, Value, json};

use super::Report;

/// What stands for a function: its operation in Keras 3, which of its parameters are operands, and what the others are called
/// there.
struct Function {
    names: &'static [&'static str],
    module: &'static str,
    class: &'static str,
    operands: &'static [&'static str],
    arguments: &'static [(&'static str, &'static str)],
}

macro_rules! functions {
    ($([$($name:literal),*] $module:literal $class:ident ($($operand:literal),*) $({ $($from:literal => $to:literal),* })?;)*) => {
        &[$(Function {
            names: &[$($name),*],
            module: concat!("keras.src.ops.", $module),
            class: stringify!($class),
            operands: &[$($operand),*],
            arguments: &[$($(($from, $to)),*)?],
        },)*]
    };
}

/// By the names under which TensorFlow exports them; `tf.compat.v1` has most of them too.
static FUNCTIONS: &[Function] = functions! {
    ["math.add", "add", "__operators__.add", "math.add_v2"] "numpy" Add ("x", "y");
    ["math.subtract", "subtract"] "numpy" Subtract ("x", "y");
    ["math.multiply", "multiply"] "numpy" Multiply ("x", "y");
    ["math.divide", "math.truediv", "truediv", "realdiv", "div"] "numpy" Divide ("x", "y");
    ["math.divide_no_nan"] "numpy" DivideNoNan ("x", "y");
    ["math.floordiv", "floordiv", "math.floor_div", "floor_div"] "numpy" FloorDivide ("x", "y");
    ["math.floormod", "math.mod"] "numpy" Mod ("x", "y");
    ["math.pow", "pow"] "numpy" Power ("x", "y");
    ["math.maximum", "maximum"] "numpy" Maximum ("x", "y");
    ["math.minimum", "minimum"] "numpy" Minimum ("x", "y");
    ["math.equal", "equal", "__operators__.eq"] "numpy" Equal ("x", "y");
    ["math.not_equal", "not_equal", "__operators__.ne"] "numpy" NotEqual ("x", "y");
    ["math.less", "less"] "numpy" Less ("x", "y");
    ["math.less_equal", "less_equal"] "numpy" LessEqual ("x", "y");
    ["math.greater", "greater"] "numpy" Greater ("x", "y");
    ["math.greater_equal", "greater_equal"] "numpy" GreaterEqual ("x", "y");
    ["math.logical_and", "logical_and"] "numpy" LogicalAnd ("x", "y");
    ["math.logical_or", "logical_or"] "numpy" LogicalOr ("x", "y");
    ["math.logical_xor"] "numpy" LogicalXor ("x", "y");
    ["math.logical_not", "logical_not"] "numpy" LogicalNot ("x");
    ["math.abs", "abs"] "numpy" Absolute ("x");
    ["math.negative", "negative"] "numpy" Negative ("x");
    ["math.sqrt", "sqrt"] "numpy" Sqrt ("x");
    ["math.rsqrt"] "math" Rsqrt ("x");
    ["math.square", "square"] "numpy" Square ("x");
    ["math.exp", "exp"] "numpy" Exp ("x");
    ["math.expm1"] "numpy" Expm1 ("x");
    ["math.log"] "numpy" Log ("x");
    ["math.log1p"] "numpy" Log1p ("x");
    ["math.sin", "sin"] "numpy" Sin ("x");
    ["math.cos", "cos"] "numpy" Cos ("x");
    ["math.tanh", "tanh", "nn.tanh"] "numpy" Tanh ("x");
    ["math.sign", "sign"] "numpy" Sign ("x");
    ["math.round", "round", "math.rint"] "numpy" Round ("x");
    ["math.floor", "floor"] "numpy" Floor ("x");
    ["math.ceil", "ceil"] "numpy" Ceil ("x");
    ["math.reciprocal"] "numpy" Reciprocal ("x");
    ["math.tan", "tan"] "numpy" Tan ("x");
    ["math.asin", "asin"] "numpy" Arcsin ("x");
    ["math.acos", "acos"] "numpy" Arccos ("x");
    ["math.atan", "atan"] "numpy" Arctan ("x");
    ["math.sinh", "sinh"] "numpy" Sinh ("x");
    ["math.cosh", "cosh"] "numpy" Cosh ("x");
    ["math.asinh", "asinh"] "numpy" Arcsinh ("x");
    ["math.acosh", "acosh"] "numpy" Arccosh ("x");
    ["math.atanh", "atanh"] "numpy" Arctanh ("x");
    ["math.l2_normalize", "nn.l2_normalize", "linalg.l2_normalize"] "nn" Normalize ("x")
        { "axis" => "axis", "epsilon" => "epsilon", "dim" => "axis" };
    ["math.top_k", "nn.top_k"] "math" TopK ("input") { "k" => "k", "sorted" => "sorted" };
    ["sort"] "numpy" Sort ("values") { "axis" => "axis" };
    ["unstack"] "core" Unstack ("value") { "num" => "num", "axis" => "axis" };
    ["nn.bias_add"] "numpy" Add ("value", "bias") { "data_format" => "" };
    ["math.erf"] "math" Erf ("x");
    ["math.is_nan"] "numpy" Isnan ("x");
    ["math.reduce_sum", "reduce_sum"] "numpy" Sum ("input_tensor")
        { "axis" => "axis", "keepdims" => "keepdims", "reduction_indices" => "axis", "keep_dims" => "keepdims" };
    ["math.reduce_mean", "reduce_mean"] "numpy" Mean ("input_tensor")
        { "axis" => "axis", "keepdims" => "keepdims", "reduction_indices" => "axis", "keep_dims" => "keepdims" };
    ["math.reduce_max", "reduce_max"] "numpy" Max ("input_tensor")
        { "axis" => "axis", "keepdims" => "keepdims", "reduction_indices" => "axis", "keep_dims" => "keepdims" };
    ["math.reduce_min", "reduce_min"] "numpy" Min ("input_tensor")
        { "axis" => "axis", "keepdims" => "keepdims", "reduction_indices" => "axis", "keep_dims" => "keepdims" };
    ["math.reduce_prod", "reduce_prod"] "numpy" Prod ("input_tensor") { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.reduce_any", "reduce_any"] "numpy" Any ("input_tensor") { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.reduce_all", "reduce_all"] "numpy" All ("input_tensor") { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.reduce_std"] "numpy" Std ("input_tensor") { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.reduce_variance"] "numpy" Var ("input_tensor") { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.reduce_logsumexp", "reduce_logsumexp"] "math" Logsumexp ("input_tensor")
        { "axis" => "axis", "keepdims" => "keepdims" };
    ["math.argmax", "argmax"] "numpy" Argmax ("input") { "axis" => "axis", "output_type" => "" };
    ["math.argmin", "argmin"] "numpy" Argmin ("input") { "axis" => "axis", "output_type" => "" };
    ["math.cumsum", "cumsum"] "numpy" Cumsum ("x") { "axis" => "axis" };
    ["math.cumprod"] "numpy" Cumprod ("x") { "axis" => "axis" };
    ["nn.relu"] "nn" Relu ("features");
    ["nn.relu6"] "nn" Relu6 ("features");
    ["nn.leaky_relu"] "nn" LeakyRelu ("features") { "alpha" => "negative_slope" };
    ["nn.elu"] "nn" Elu ("features");
    ["nn.selu"] "nn" Selu ("features");
    ["nn.gelu"] "nn" Gelu ("features") { "approximate" => "approximate" };
    ["nn.silu", "nn.swish"] "nn" Silu ("features");
    ["nn.sigmoid", "math.sigmoid", "sigmoid"] "nn" Sigmoid ("x");
    ["math.log_sigmoid"] "nn" LogSigmoid ("x");
    ["nn.softmax"] "nn" Softmax ("logits") { "axis" => "axis" };
    ["nn.log_softmax", "math.log_softmax"] "nn" LogSoftmax ("logits") { "axis" => "axis" };
    ["nn.softplus", "math.softplus"] "nn" Softplus ("features");
    ["nn.softsign", "math.softsign"] "nn" Softsign ("features");
    ["one_hot"] "nn" OneHot ("indices") { "depth" => "num_classes", "axis" => "axis", "dtype" => "dtype" };
    ["concat"] "numpy" Concatenate ("values") { "axis" => "axis" };
    ["stack"] "numpy" Stack ("values") { "axis" => "axis" };
    ["split"] "numpy" Split ("value") { "num_or_size_splits" => "indices_or_sections", "axis" => "axis" };
    ["reshape"] "numpy" Reshape ("tensor") { "shape" => "newshape" };
    ["expand_dims"] "numpy" ExpandDims ("input") { "axis" => "axis" };
    ["squeeze"] "numpy" Squeeze ("input") { "axis" => "axis", "squeeze_dims" => "axis" };
    ["transpose"] "numpy" Transpose ("a") { "perm" => "axes", "conjugate" => "" };
    ["tile"] "numpy" Tile ("input") { "multiples" => "repeats" };
    ["repeat"] "numpy" Repeat ("input") { "repeats" => "repeats", "axis" => "axis" };
    ["reverse"] "numpy" Flip ("tensor") { "axis" => "axis" };
    ["roll"] "numpy" Roll ("input") { "shift" => "shift", "axis" => "axis" };
    ["pad"] "numpy" Pad ("tensor") { "paddings" => "pad_width", "mode" => "mode", "constant_values" => "constant_values" };
    ["broadcast_to"] "numpy" BroadcastTo ("input") { "shape" => "shape" };
    ["clip_by_value"] "numpy" Clip ("t") { "clip_value_min" => "x_min", "clip_value_max" => "x_max" };
    ["nn.embedding_lookup"] "numpy" Take ("params", "ids") { "axis" => "axis", "partition_strategy" => "" };
    ["gather"] "numpy" Take ("params", "indices") { "axis" => "axis" };
    ["where"] "numpy" Where ("condition", "x", "y");
    ["linalg.matmul", "matmul"] "numpy" Matmul ("a", "b");
    ["zeros_like"] "numpy" ZerosLike ("input") { "dtype" => "dtype" };
    ["ones_like"] "numpy" OnesLike ("input") { "dtype" => "dtype" };
    ["cast"] "core" Cast ("x") { "dtype" => "dtype" };
    ["stop_gradient"] "core" StopGradient ("input");
};

/// Makes the entry of a graph an operation of Keras 3, if it is a function of TensorFlow.
///
/// # Errors
/// The function, or one of its arguments, has no counterpart.
pub(super) fn upgrade(layer: &mut Value, report: &mut Report) -> Result<()> {
    let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let name = layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str);
    let name = name.unwrap_or(class).to_owned();
    let function = match class {
        "TFOpLambda" | "SlicingOpLambda" => layer.pointer("/config/function").and_then(Value::as_str),
        "TensorFlowOpLayer" => return node_definition(layer, &name, report),
        _ => return Ok(()),
    };
    let function = function.unwrap_or_default().to_owned();
    let calls = layer.get("inbound_nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let operations =
        calls.iter().map(|call| operation(&name, &function, call)).collect::<Result<Vec<_>>>()?;
    let Some(first) = operations.first() else { return Ok(()) };
    if operations.iter().any(|o| (o.class, &o.config) != (first.class, &first.config)) {
        return Err(Error::config(name, format!("`tf.{function}` with other arguments at each call")));
    }
    report.converted(&*name, format!("`tf.{function}` is the operation `{}`", first.class));
    *layer = entry(&name, &operations);
    Ok(())
}

/// A call of an operation.
struct Operation {
    module: &'static str,
    class: &'static str,
    config: Map<String, Value>,
    args: Vec<Value>,
}

fn entry(name: &str, calls: &[Operation]) -> Value {
    let Some(Operation { module, class, config, .. }) = calls.first() else { return Value::Null };
    let mut config = config.clone();
    config.insert("name".to_owned(), name.into());
    let nodes: Vec<Value> = calls.iter().map(|call| json!({ "args": call.args, "kwargs": {} })).collect();
    json!({
        "module": module, "class_name": class, "config": config, "registered_name": class,
        "name": name, "inbound_nodes": nodes,
    })
}

fn operation(layer: &str, name: &str, call: &Value) -> Result<Operation> {
    let mut keywords = call.get("kwargs").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut positional = call.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    if name == "__operators__.getitem" {
        let spec = keywords.shift_remove("slice_spec").unwrap_or_default();
        positional.push(slice(spec));
        return Ok(Operation {
            module: "keras.src.ops.numpy",
            class: "GetItem",
            config: Map::new(),
            args: positional,
        });
    }
    let plain = name.strip_prefix("compat.v1.").unwrap_or(name);
    if ["nn.silu", "nn.swish"].contains(&plain)
        && keywords.get("beta").is_some_and(|b| b.as_f64() == Some(1.0))
    {
        keywords.shift_remove("beta");
    }
    if plain == "gather" && keywords.get("batch_dims").is_some_and(|n| *n == 0) {
        keywords.shift_remove("batch_dims");
    }
    if plain == "sort" && keywords.get("direction").is_some_and(|d| d == "ASCENDING") {
        keywords.shift_remove("direction");
    }
    // Where an image begins, from its end: height, width and channels are the last axes.
    let axis = match plain {
        "image.flip_left_right" => Some(-2),
        "image.flip_up_down" => Some(-3),
        _ => None,
    };
    if let Some(axis) = axis {
        positional.extend(keywords.shift_remove("image"));
        let config = Map::from_iter([("axis".to_owned(), json!([axis]))]);
        return Ok(Operation { module: "keras.src.ops.numpy", class: "Flip", config, args: positional });
    }
    if plain == "slice" {
        return part(layer, positional, &keywords);
    }
    if ["identity", "convert_to_tensor", "ensure_shape"].contains(&plain) {
        positional.truncate(1);
        for key in ["input", "value", "x"] {
            positional.extend(keywords.shift_remove(key).filter(|_| positional.is_empty()));
        }
        // The operation of Keras 3 that changes nothing; there is none of the name.
        let config = Map::from_iter([("axis".to_owned(), json!([]))]);
        return Ok(Operation { module: "keras.src.ops.numpy", class: "Squeeze", config, args: positional });
    }
    if let Some(product) = transposed_product(plain, &positional, &keywords) {
        return Ok(product);
    }
    let unknown =
        || Error::config(layer, format!("`tf.{name}` has no counterpart among the operations of Keras 3"));
    let function = FUNCTIONS.iter().find(|f| f.names.contains(&plain)).ok_or_else(unknown)?;
    prepare(layer, plain, &mut keywords)?;
    let rest = function.operands.iter().skip(positional.len());
    let rest: Vec<Value> = rest.filter_map(|operand| keywords.shift_remove(*operand)).collect();
    positional.extend(rest);
    let mut config = Map::new();
    for (from, to) in function.arguments {
        if let Some(value) = keywords.shift_remove(*from).filter(|v| !v.is_null() && !to.is_empty()) {
            config.insert((*to).to_owned(), value);
        }
    }
    let other = keywords.iter().find(|(key, v)| *key != "name" && !v.is_null() && **v != false);
    if let Some((key, value)) = other {
        return Err(Error::config(layer, format!("`tf.{name}` with `{key}` = {value}")));
    }
    Ok(Operation { module: function.module, class: function.class, config, args: positional })
}

/// `tf.slice`: so many elements from a place on, along each axis; -1 are all the rest.
fn part(layer: &str, mut args: Vec<Value>, keywords: &Map<String, Value>) -> Result<Operation> {
    let named = ["input_", "begin", "size"].into_iter().skip(args.len());
    args.extend(named.filter_map(|key| keywords.get(key).cloned()));
    let numbers = |v: &Value| v.as_array()?.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
    let unknown = || Error::config(layer, "`tf.slice` from a place, or of a size, that is computed");
    let [tensor, begin, size] = args.try_into().map_err(|_| unknown())?;
    let (begin, size) = (numbers(&begin).ok_or_else(unknown)?, numbers(&size).ok_or_else(unknown)?);
    let key: Vec<Value> = begin
        .iter()
        .zip(size)
        .map(|(start, size)| {
            let stop = if size < 0 { Value::Null } else { start.saturating_add(size).into() };
            slice(json!({ "start": start, "stop": stop, "step": null }))
        })
        .collect();
    let args = vec![tensor, key.into()];
    Ok(Operation { module: "keras.src.ops.numpy", class: "GetItem", config: Map::new(), args })
}

/// A product of matrices of which one is transposed: Keras has a product of sums for it.
fn transposed_product(name: &str, args: &[Value], keywords: &Map<String, Value>) -> Option<Operation> {
    let is = |keys: [&str; 2]| keys.iter().any(|key| keywords.get(*key).is_some_and(|v| v == true));
    let (a, b) = (
        is(["transpose_a", "adjoint_a"]) || is(["adj_x", "adj_x"]),
        is(["transpose_b", "adjoint_b"]) || is(["adj_y", "adj_y"]),
    );
    if !["linalg.matmul", "matmul"].contains(&name) || !(a || b) {
        return None;
    }
    let mut operands = args.to_vec();
    operands.extend(["a", "b"].iter().skip(args.len()).filter_map(|key| keywords.get(*key).cloned()));
    let subscripts = format!("...{},...{}->...ik", if a { "ji" } else { "ij" }, if b { "kj" } else { "jk" });
    let config = Map::from_iter([("subscripts".to_owned(), subscripts.into())]);
    Some(Operation { module: "keras.src.ops.numpy", class: "Einsum", config, args: operands })
}

/// Sets what TensorFlow takes by default, and says the same in the words of Keras.
fn prepare(layer: &str, function: &str, keywords: &mut Map<String, Value>) -> Result<()> {
    let mut default = |key: &str, value: Value| {
        keywords.entry(key.to_owned()).or_insert(value);
    };
    match function {
        "math.argmax"
        | "argmax"
        | "math.argmin"
        | "argmin"
        | "math.cumsum"
        | "cumsum"
        | "math.cumprod"
        | "stack"
        | "split"
        | "gather"
        | "nn.embedding_lookup" => default("axis", 0.into()),
        "nn.leaky_relu" => default("alpha", json!(0.2)),
        "unstack" => default("axis", 0.into()),
        "sort" => default("axis", json!(-1)),
        "math.top_k" | "nn.top_k" => default("k", 1.into()),
        "math.l2_normalize" | "nn.l2_normalize" | "linalg.l2_normalize" => {
            if ["axis", "dim"].iter().all(|key| keywords.get(*key).is_none_or(Value::is_null)) {
                return Err(Error::config(layer, format!("`tf.{function}` over all axes together")));
            }
            // TensorFlow's bound is that of the square.
            let epsilon = keywords.get("epsilon").and_then(Value::as_f64).unwrap_or(1e-12);
            keywords.insert("epsilon".to_owned(), epsilon.sqrt().into());
        }
        _ => {}
    }
    if let Some(Value::String(mode)) = keywords.get_mut("mode") {
        *mode = mode.to_ascii_lowercase();
    }
    if let Some(dtype) = keywords.get_mut("dtype") {
        // A TensorShape-like object of TensorFlow is written by its name.
        if let Some(name) = dtype.get("config").and_then(|c| c.get("name")).or_else(|| dtype.get("dtype")) {
            *dtype = name.clone();
        }
    }
    if function == "split"
        && let Some(Value::Array(sizes)) = keywords.get("num_or_size_splits")
    {
        // Keras wants the places of the cuts, TensorFlow the lengths of the parts.
        let sizes: Option<Vec<u64>> = sizes.iter().map(Value::as_u64).collect();
        let sizes = sizes.ok_or_else(|| Error::config(layer, "`tf.split` into parts of unknown length"))?;
        let mut at = 0u64;
        let ends = sizes.iter().map(|n| {
            at = at.saturating_add(*n);
            at
        });
        let cuts: Vec<u64> = ends.take(sizes.len().saturating_sub(1)).collect();
        keywords.insert("num_or_size_splits".to_owned(), cuts.into());
    }
    Ok(())
}

/// A key of `x[…]`, whose slices TensorFlow writes as plain dictionaries.
fn slice(spec: Value) -> Value {
    match spec {
        Value::Array(list) => list.into_iter().map(slice).collect(),
        Value::Object(map) if map.contains_key("start") && !map.contains_key("class_name") => {
            json!({ "class_name": "__slice__", "config": map })
        }
        other => other,
    }
}

/// A node of TensorFlow's own graphs, as TensorFlow 2.0 to 2.3 kept them: its tensors are the inputs of the layer, and the
/// constants among them.
fn node_definition(layer: &mut Value, name: &str, report: &mut Report) -> Result<()> {
    let wrong = |why: &str| Error::config(name, format!("a node of TensorFlow {why}"));
    let definition = match layer.pointer("/config/node_def") {
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|e| wrong(&format!("that is not JSON: {e}")))?
        }
        Some(object) => object.clone(),
        None => return Err(wrong("without its definition")),
    };
    let op = definition.get("op").and_then(Value::as_str).unwrap_or_default();
    let constants =
        layer.pointer("/config/constants").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut constants: Vec<(usize, Value)> =
        constants.into_iter().filter_map(|(i, v)| Some((i.parse().ok()?, v))).collect();
    constants.sort_by_key(|(i, _)| *i);
    let call = layer.pointer("/inbound_nodes/0").cloned().ok_or_else(|| wrong("that is not called"))?;
    let mut operands = match call.get("args").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Array(list)]) => list.clone(),
        Some(list) => list.to_vec(),
        None => Vec::new(),
    };
    for (i, value) in constants {
        operands.insert(i.min(operands.len()), value);
    }
    let attribute = |key: &str| definition.pointer(&format!("/attr/{key}")).cloned().unwrap_or_default();
    let flag = |key: &str| attribute(key).get("b").cloned().unwrap_or(false.into());
    let mut keywords = Map::new();
    let mut keyword = |key: &str, value: Value| drop(keywords.insert(key.to_owned(), value));
    // What the function of the same name takes by position.
    let (function, parameters): (&str, &[&str]) = match op {
        "Add" | "AddV2" | "BiasAdd" => ("math.add", &["x", "y"]),
        "Sub" => ("math.subtract", &["x", "y"]),
        "Mul" => ("math.multiply", &["x", "y"]),
        "RealDiv" | "Div" => ("math.divide", &["x", "y"]),
        "Pow" => ("math.pow", &["x", "y"]),
        "Maximum" => ("math.maximum", &["x", "y"]),
        "Minimum" => ("math.minimum", &["x", "y"]),
        "Abs" => ("math.abs", &["x"]),
        "Neg" => ("math.negative", &["x"]),
        "Sqrt" => ("math.sqrt", &["x"]),
        "Rsqrt" => ("math.rsqrt", &["x"]),
        "Square" => ("math.square", &["x"]),
        "Exp" => ("math.exp", &["x"]),
        "Log" => ("math.log", &["x"]),
        "Tanh" => ("math.tanh", &["x"]),
        "Sigmoid" => ("math.sigmoid", &["x"]),
        "Relu" => ("nn.relu", &["features"]),
        "Relu6" => ("nn.relu6", &["features"]),
        "Elu" => ("nn.elu", &["features"]),
        "Softmax" => ("nn.softmax", &["logits"]),
        "Identity" => ("identity", &["input"]),
        "Reshape" => ("reshape", &["tensor", "shape"]),
        "ExpandDims" => ("expand_dims", &["input", "axis"]),
        "Transpose" => ("transpose", &["a", "perm"]),
        "Tile" => ("tile", &["input", "multiples"]),
        "Sum" | "Mean" | "Max" | "Min" | "Prod" => {
            keyword("keepdims", flag("keep_dims"));
            let function = match op {
                "Sum" => "math.reduce_sum",
                "Mean" => "math.reduce_mean",
                "Max" => "math.reduce_max",
                "Min" => "math.reduce_min",
                _ => "math.reduce_prod",
            };
            (function, &["input_tensor", "axis"])
        }
        "MatMul" | "BatchMatMul" | "BatchMatMulV2" => {
            for key in ["transpose_a", "transpose_b", "adj_x", "adj_y"] {
                keyword(key, flag(key));
            }
            ("linalg.matmul", &["a", "b"])
        }
        "ConcatV2" | "Pack" => {
            let axis = match op {
                "Pack" => attribute("axis").get("i").cloned().unwrap_or(0.into()),
                _ => operands.pop().unwrap_or(0.into()),
            };
            let axis = axis.as_str().and_then(|i| i.parse::<i64>().ok()).map_or(axis, Value::from);
            keyword("axis", axis);
            operands = vec![operands.into()];
            (if op == "Pack" { "stack" } else { "concat" }, &["values"])
        }
        other => return Err(wrong(&format!("of the kind `{other}`, which has no counterpart in Keras 3"))),
    };
    let tensors = operands.iter().take_while(|v| !is_setting(v, function)).count();
    for (key, value) in parameters.iter().zip(&operands).skip(tensors) {
        keyword(key, value.clone());
    }
    operands.truncate(tensors);
    let call = json!({ "args": operands, "kwargs": keywords });
    let operation = operation(name, function, &call)?;
    report.converted(name, format!("TensorFlow's `{op}` is the operation `{}`", operation.class));
    *layer = entry(name, &[operation]);
    Ok(())
}

/// Whether a constant says how to compute, instead of being computed with.
fn is_setting(operand: &Value, function: &str) -> bool {
    let tensor = operand.get("class_name").is_some()
        || operand.as_array().is_some_and(|l| l.iter().any(Value::is_object));
    let sets = function.starts_with("math.reduce")
        || ["reshape", "expand_dims", "transpose", "tile"].contains(&function);
    sets && !tensor
}
