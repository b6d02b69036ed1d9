//! The functions by their names: those that are one operation, and those that are several.

use keras_spec::Result;
use serde_json::{Map, Value};

use super::call::Call;
use super::{arrays, images, logic, mathematics, resizing, windows};

/// A function that is one operation: which of its parameters are operands, and what the others are called in Keras 3, with
/// what TensorFlow takes by default.
struct Function {
    names: &'static [&'static str],
    class: &'static str,
    operands: &'static [&'static str],
    arguments: &'static [(&'static str, &'static str, Option<i64>)],
}

/// A function that is several operations, or reads its arguments otherwise; the names of the parameters that it is given
/// without a name.
struct Composed {
    names: &'static [&'static str],
    parameters: &'static [&'static str],
    make: fn(&mut Call) -> Result<()>,
}

/// Makes the operations of a call.
///
/// # Errors
/// The function, or one of its arguments, has no counterpart.
pub(super) fn make(call: &mut Call) -> Result<()> {
    let full = call.function;
    let plain = full.strip_prefix("compat.v1.").unwrap_or(full);
    for name in [full, plain] {
        if let Some(composed) = COMPOSED.iter().find(|c| c.names.contains(&name)) {
            call.bind(composed.parameters)?;
            return (composed.make)(call);
        }
    }
    let Some(function) = FUNCTIONS.iter().find(|f| f.names.contains(&plain)) else {
        return Err(call.wrong("has no counterpart among the operations of Keras 3"));
    };
    call.bind(function.operands)?;
    let operands = function.operands.iter().map(|name| call.operand(name)).collect::<Result<Vec<_>>>()?;
    let mut config = Map::new();
    for (from, to, default) in function.arguments {
        let given = call.optional(&[from]).or_else(|| default.map(Value::from));
        if let Some(value) = given.filter(|_| !to.is_empty()) {
            config.entry(*to).or_insert(plain_name(value));
        }
    }
    call.operation(function.class, operands, config.into());
    Ok(())
}

/// A dtype that is written as an object, by its name.
fn plain_name(value: Value) -> Value {
    value.pointer("/config/name").or_else(|| value.get("dtype")).cloned().unwrap_or(value)
}

macro_rules! functions {
    (@arguments) => { &[] };
    (@arguments reduced) => {
        &[
            ("axis", "axis", None),
            ("keepdims", "keepdims", None),
            ("reduction_indices", "axis", None),
            ("keep_dims", "keepdims", None),
        ]
    };
    (@arguments { $($from:literal => $to:literal $(or $default:literal)?),* }) => {
        &[$(($from, $to, functions!(@default $($default)?))),*]
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    ($([$($name:literal),*] $class:ident ($($operand:literal),*) $(with $arguments:tt)?;)*) => {
        &[$(Function {
            names: &[$($name),*],
            class: stringify!($class),
            operands: &[$($operand),*],
            arguments: functions!(@arguments $($arguments)?),
        },)*]
    };
}

/// By the names under which TensorFlow exports them; `tf.compat.v1` has most of them too.
static FUNCTIONS: &[Function] = functions! {
    ["math.add", "add", "__operators__.add", "math.add_v2"] Add ("x", "y");
    ["math.subtract", "subtract"] Subtract ("x", "y");
    ["math.multiply", "multiply"] Multiply ("x", "y");
    ["math.divide", "math.truediv", "truediv", "realdiv", "div"] Divide ("x", "y");
    ["math.divide_no_nan"] DivideNoNan ("x", "y");
    ["math.floordiv", "floordiv", "math.floor_div", "floor_div"] FloorDivide ("x", "y");
    ["math.floormod", "math.mod"] Mod ("x", "y");
    ["math.pow", "pow"] Power ("x", "y");
    ["math.maximum", "maximum"] Maximum ("x", "y");
    ["math.minimum", "minimum"] Minimum ("x", "y");
    ["math.equal", "equal", "__operators__.eq"] Equal ("x", "y");
    ["math.not_equal", "not_equal", "__operators__.ne"] NotEqual ("x", "y");
    ["math.less", "less"] Less ("x", "y");
    ["math.less_equal", "less_equal"] LessEqual ("x", "y");
    ["math.greater", "greater"] Greater ("x", "y");
    ["math.greater_equal", "greater_equal"] GreaterEqual ("x", "y");
    ["math.logical_and", "logical_and"] LogicalAnd ("x", "y");
    ["math.logical_or", "logical_or"] LogicalOr ("x", "y");
    ["math.logical_xor"] LogicalXor ("x", "y");
    ["math.logical_not", "logical_not"] LogicalNot ("x");
    ["math.abs", "abs"] Absolute ("x");
    ["math.negative", "negative"] Negative ("x");
    ["math.sqrt", "sqrt"] Sqrt ("x");
    ["math.rsqrt"] Rsqrt ("x");
    ["math.square", "square"] Square ("x");
    ["math.exp", "exp"] Exp ("x");
    ["math.expm1"] Expm1 ("x");
    ["math.log"] Log ("x");
    ["math.log1p"] Log1p ("x");
    ["math.sin", "sin"] Sin ("x");
    ["math.cos", "cos"] Cos ("x");
    ["math.tanh", "tanh", "nn.tanh"] Tanh ("x");
    ["math.sign", "sign"] Sign ("x");
    ["math.round", "round", "math.rint"] Round ("x");
    ["math.floor", "floor"] Floor ("x");
    ["math.ceil", "ceil"] Ceil ("x");
    ["math.reciprocal"] Reciprocal ("x");
    ["math.tan", "tan"] Tan ("x");
    ["math.asin", "asin"] Arcsin ("x");
    ["math.acos", "acos"] Arccos ("x");
    ["math.atan", "atan"] Arctan ("x");
    ["math.sinh", "sinh"] Sinh ("x");
    ["math.cosh", "cosh"] Cosh ("x");
    ["math.asinh", "asinh"] Arcsinh ("x");
    ["math.acosh", "acosh"] Arccosh ("x");
    ["math.atanh", "atanh"] Arctanh ("x");
    ["math.top_k", "nn.top_k"] TopK ("input") with { "k" => "k" or 1, "sorted" => "sorted", "index_type" => "" };
    ["unstack"] Unstack ("value") with { "num" => "num", "axis" => "axis" or 0 };
    ["math.erf"] Erf ("x");
    ["math.is_nan"] Isnan ("x");
    ["math.is_inf"] Isinf ("x");
    ["math.is_finite"] Isfinite ("x");
    ["math.atan2"] Arctan2 ("y", "x");
    ["math.reduce_sum", "reduce_sum"] Sum ("input_tensor") with reduced;
    ["math.reduce_mean", "reduce_mean"] Mean ("input_tensor") with reduced;
    ["math.reduce_max", "reduce_max"] Max ("input_tensor") with reduced;
    ["math.reduce_min", "reduce_min"] Min ("input_tensor") with reduced;
    ["math.reduce_prod", "reduce_prod"] Prod ("input_tensor") with reduced;
    ["math.reduce_any", "reduce_any"] Any ("input_tensor") with reduced;
    ["math.reduce_all", "reduce_all"] All ("input_tensor") with reduced;
    ["math.reduce_std"] Std ("input_tensor") with reduced;
    ["math.reduce_variance"] Var ("input_tensor") with reduced;
    ["math.reduce_logsumexp", "reduce_logsumexp"] Logsumexp ("input_tensor") with reduced;
    ["math.argmax", "argmax"] Argmax ("input") with { "axis" => "axis" or 0, "dimension" => "axis", "output_type" => "" };
    ["math.argmin", "argmin"] Argmin ("input") with { "axis" => "axis" or 0, "dimension" => "axis", "output_type" => "" };
    ["nn.relu"] Relu ("features");
    ["nn.relu6"] Relu6 ("features");
    ["nn.elu"] Elu ("features");
    ["nn.selu"] Selu ("features");
    ["nn.gelu"] Gelu ("features") with { "approximate" => "approximate" };
    ["nn.sigmoid", "math.sigmoid", "sigmoid"] Sigmoid ("x");
    ["math.log_sigmoid"] LogSigmoid ("x");
    ["nn.softmax"] Softmax ("logits") with { "axis" => "axis", "dim" => "axis" };
    ["nn.log_softmax", "math.log_softmax"] LogSoftmax ("logits") with { "axis" => "axis", "dim" => "axis" };
    ["nn.softplus", "math.softplus"] Softplus ("features");
    ["nn.softsign", "math.softsign"] Softsign ("features");
    ["concat"] Concatenate ("values") with { "axis" => "axis" };
    ["stack"] Stack ("values") with { "axis" => "axis" or 0 };
    ["squeeze"] Squeeze ("input") with { "axis" => "axis", "squeeze_dims" => "axis" };
    ["transpose"] Transpose ("a") with { "perm" => "axes", "conjugate" => "" };
    ["tile"] Tile ("input") with { "multiples" => "repeats" };
    ["reverse"] Flip ("tensor") with { "axis" => "axis" };
    ["clip_by_value"] Clip ("t") with { "clip_value_min" => "x_min", "clip_value_max" => "x_max" };
    ["nn.embedding_lookup"] Take ("params", "ids") with { "axis" => "axis" or 0, "partition_strategy" => "" };
    ["where"] Where ("condition", "x", "y");
    ["keras.backend.switch"] Where ("condition", "then_expression", "else_expression");
    ["zeros_like"] ZerosLike ("input") with { "dtype" => "dtype" };
    ["ones_like"] OnesLike ("input") with { "dtype" => "dtype" };
    ["cast"] Cast ("x") with { "dtype" => "dtype" };
    ["stop_gradient"] StopGradient ("input");
};

macro_rules! composed {
    ($([$($name:literal),*] ($($parameter:literal),*) $make:path;)*) => {
        &[$(Composed { names: &[$($name),*], parameters: &[$($parameter),*], make: $make },)*]
    };
}

/// Where `tf.compat.v1` has a function of the same name that does something else, it has a line of its own.
static COMPOSED: &[Composed] = composed! {
    ["math.squared_difference", "squared_difference"] ("x", "y") mathematics::squared_difference;
    ["math.multiply_no_nan"] ("x", "y") mathematics::multiply_no_nan;
    ["math.reciprocal_no_nan"] ("x") mathematics::reciprocal_no_nan;
    ["math.xlogy"] ("x", "y") mathematics::xlogy;
    ["math.xlog1py"] ("x", "y") mathematics::xlog1py;
    ["math.xdivy"] ("x", "y") mathematics::xdivy;
    ["math.erfc"] ("x") mathematics::erfc;
    ["math.add_n", "add_n", "math.accumulate_n"] ("inputs") mathematics::add_n;
    ["math.scalar_mul", "scalar_mul"] ("scalar", "x") mathematics::scalar_mul;
    ["math.zero_fraction", "nn.zero_fraction"] ("value") mathematics::zero_fraction;
    ["math.count_nonzero"] ("input") mathematics::count_nonzero;
    ["math.reduce_euclidean_norm"] ("input_tensor") mathematics::euclidean_norm;
    ["norm", "linalg.norm"] ("tensor") mathematics::norm;
    ["math.l2_normalize", "nn.l2_normalize", "linalg.l2_normalize"] ("x") mathematics::l2_normalize;
    ["nn.l2_loss"] ("t") mathematics::l2_loss;
    ["clip_by_norm"] ("t") mathematics::clip_by_norm;
    ["math.cumsum", "cumsum"] ("x") mathematics::cumsum;
    ["math.cumprod"] ("x") mathematics::cumprod;
    ["math.cumulative_logsumexp"] ("x") mathematics::cumulative_logsumexp;
    ["linalg.matmul", "matmul"] ("a", "b") mathematics::matmul;
    ["tensordot"] ("a", "b") mathematics::tensordot;
    ["einsum"] ("equation") mathematics::einsum;
    ["linalg.diag_part"] ("input") mathematics::diag_part;
    ["linalg.trace"] ("x") mathematics::trace;
    ["linalg.band_part"] ("input") mathematics::band_part;
    ["linalg.matrix_transpose"] ("a") mathematics::matrix_transpose;

    ["nn.leaky_relu"] ("features") logic::leaky_relu;
    ["nn.silu", "nn.swish"] ("features") logic::silu;
    ["nn.crelu"] ("features") logic::crelu;
    ["nn.bias_add"] ("value", "bias") logic::bias_add;
    ["nn.local_response_normalization", "nn.lrn"] ("input") logic::local_response_normalization;
    ["nn.sigmoid_cross_entropy_with_logits"] ("labels") logic::sigmoid_cross_entropy;
    ["nn.softmax_cross_entropy_with_logits", "nn.softmax_cross_entropy_with_logits_v2"] ("labels") logic::softmax_cross_entropy;
    ["nn.sparse_softmax_cross_entropy_with_logits"] ("labels") logic::sparse_softmax_cross_entropy;
    ["keras.backend.binary_crossentropy"] ("target") logic::binary_crossentropy;
    ["keras.backend.categorical_crossentropy"] ("target") logic::categorical_crossentropy;

    ["identity", "convert_to_tensor", "ensure_shape", "debugging.check_numerics"] ("input") arrays::identity;
    ["__operators__.getitem"] ("tensor", "slice_spec") arrays::item;
    ["slice"] ("input_") arrays::part;
    ["strided_slice"] ("input_") arrays::strided_slice;
    ["reshape"] ("tensor") arrays::reshape;
    ["sort"] ("values") arrays::sort;
    ["argsort"] ("values") arrays::argsort;
    ["one_hot"] ("indices") arrays::one_hot;
    ["sequence_mask"] ("lengths") arrays::sequence_mask;
    ["split"] ("value") arrays::split;
    ["expand_dims"] ("input") arrays::expand_dims;
    ["repeat"] ("input") arrays::repeat;
    ["roll"] ("input") arrays::roll;
    ["pad"] ("tensor") arrays::pad;
    ["broadcast_to"] ("input") arrays::broadcast_to;
    ["gather"] ("params", "indices") arrays::gather;
    ["gather_nd"] ("params", "indices") arrays::gather_nd;
    ["boolean_mask"] ("tensor", "mask") arrays::boolean_mask;
    ["keras.backend.batch_flatten"] ("x") arrays::batch_flatten;
    ["nn.space_to_depth", "space_to_depth"] ("input") arrays::space_to_depth;
    ["nn.depth_to_space", "depth_to_space"] ("input") arrays::depth_to_space;
    ["space_to_batch_nd", "space_to_batch", "nn.space_to_batch"] ("input") arrays::space_to_batch;
    ["batch_to_space_nd", "batch_to_space"] ("input") arrays::batch_to_space;

    ["nn.max_pool", "nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d"] ("input") windows::max_pool;
    ["nn.avg_pool", "nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d"] ("input") windows::average_pool;
    ["nn.pool"] ("input") windows::pool;
    ["nn.conv1d", "nn.conv2d", "nn.conv3d", "nn.convolution", "nn.atrous_conv2d"] ("input", "filters") windows::convolution;
    ["nn.depthwise_conv2d"] ("input", "filter") windows::depthwise;
    ["nn.separable_conv2d"] ("input", "depthwise_filter", "pointwise_filter") windows::separable;
    ["nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose", "nn.conv_transpose"] ("input", "filters") windows::transposed;

    ["image.resize"] ("images") resizing::resize;
    ["compat.v1.image.resize", "image.resize_images"] ("images") resizing::resize_images;
    ["image.resize_bilinear"] ("images") resizing::resize_bilinear;
    ["image.resize_bicubic"] ("images") resizing::resize_bicubic;
    ["image.resize_nearest_neighbor"] ("images") resizing::resize_nearest;
    ["image.flip_left_right"] ("image") images::flip_left_right;
    ["image.flip_up_down"] ("image") images::flip_up_down;
    ["image.transpose"] ("image") images::transpose;
    ["image.rot90"] ("image") images::rot90;
    ["image.rgb_to_grayscale"] ("images") images::rgb_to_grayscale;
    ["image.grayscale_to_rgb"] ("images") images::grayscale_to_rgb;
    ["image.crop_to_bounding_box"] ("image") images::crop_to_bounding_box;
    ["image.central_crop"] ("image") images::central_crop;
    ["image.pad_to_bounding_box"] ("image") images::pad_to_bounding_box;
    ["image.resize_with_crop_or_pad", "image.resize_image_with_crop_or_pad"] ("image") images::crop_or_pad;
    ["image.per_image_standardization"] ("image") images::standardize;
    ["image.adjust_contrast"] ("images") images::adjust_contrast;
    ["image.adjust_brightness"] ("image") images::adjust_brightness;
    ["image.adjust_gamma"] ("image") images::adjust_gamma;
    ["image.extract_patches"] ("images") images::extract_patches;
};
