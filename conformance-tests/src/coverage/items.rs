//! Which item of a Rust crate stands for which name of Keras, where no registry of classes says so. The compiler finds each
//! item, so the table cannot name what does not exist.

use keras::{activations, losses, metrics, random};
use keras_spec::Tensor;

/// The text of a path, once the compiler has found the item.
macro_rules! item {
    (type $($segment:ident)::+) => {{
        #[allow(unused_imports)]
        use $($segment)::+ as _;
        [$(stringify!($segment)),+].join("::")
    }};
    (fn $($segment:ident)::+) => {{
        let _ = $($segment)::+;
        [$(stringify!($segment)),+].join("::")
    }};
    // Generic in what it takes: a call that is never made shows that it is there.
    (call $($segment:ident)::+ => $call:expr) => {{
        let _ = $call;
        [$(stringify!($segment)),+].join("::")
    }};
}

macro_rules! items {
    ($($namespace:literal { $($name:literal: $kind:ident $($segment:ident)::+ $(=> $call:expr)?;)* })*) => {
        vec![$($(($namespace, $name, item!($kind $($segment)::+ $(=> $call)?)),)*)*]
    };
}

/// Namespace, Keras's name, Rust item.
pub(super) fn all() -> Vec<(&'static str, &'static str, String)> {
    items! {
        "layers" {
            "Layer": type keras_spec::Layer;
            "Input": type keras::Input;
            "InputSpec": type keras_spec::TensorSpec;
            "deserialize": fn keras_spec::LayerRef::from_value;
            "serialize": fn keras_spec::LayerRef::serialize;
        }
        "losses" {
            "Loss": type keras_spec::Loss;
            "get": fn losses::get;
            "binary_crossentropy": fn losses::functions::binary_crossentropy;
            "binary_focal_crossentropy": fn losses::functions::binary_focal_crossentropy;
            "categorical_crossentropy": fn losses::functions::categorical_crossentropy;
            "categorical_focal_crossentropy": fn losses::functions::categorical_focal_crossentropy;
            "categorical_generalized_cross_entropy": fn losses::functions::categorical_generalized_cross_entropy;
            "categorical_hinge": fn losses::functions::categorical_hinge;
            "circle": fn losses::functions::circle;
            "cosine_similarity": fn losses::functions::cosine_similarity;
            "ctc": fn losses::functions::ctc;
            "dice": fn losses::functions::dice;
            "hinge": fn losses::functions::hinge;
            "huber": fn losses::functions::huber;
            "kl_divergence": fn losses::functions::kl_divergence;
            "log_cosh": fn losses::functions::log_cosh;
            "mean_absolute_error": fn losses::functions::mean_absolute_error;
            "mean_absolute_percentage_error": fn losses::functions::mean_absolute_percentage_error;
            "mean_squared_error": fn losses::functions::mean_squared_error;
            "mean_squared_logarithmic_error": fn losses::functions::mean_squared_logarithmic_error;
            "poisson": fn losses::functions::poisson;
            "sparse_categorical_crossentropy": fn losses::functions::sparse_categorical_crossentropy;
            "squared_hinge": fn losses::functions::squared_hinge;
            "tversky": fn losses::functions::tversky;
        }
        "metrics" {
            "Metric": type keras_spec::Metric;
            "get": fn metrics::get;
            "binary_accuracy": fn metrics::accuracy::binary_accuracy;
            "categorical_accuracy": fn metrics::accuracy::categorical_accuracy;
            "concordance_correlation": fn metrics::correlation::concordance_correlation;
            "pearson_correlation": fn metrics::correlation::pearson_correlation;
            "sparse_categorical_accuracy": fn metrics::accuracy::sparse_categorical_accuracy;
            "sparse_top_k_categorical_accuracy": fn metrics::accuracy::sparse_top_k_categorical_accuracy;
            "top_k_categorical_accuracy": fn metrics::accuracy::top_k_categorical_accuracy;
        }
        "optimizers" {
            "Optimizer": type keras_spec::Optimizer;
        }
        "schedules" {
            "LearningRateSchedule": type keras_spec::LearningRateSchedule;
        }
        "activations" {
            "get": fn activations::Activation::from_value;
            "celu": fn activations::celu;
            "elu": fn activations::elu;
            "exponential": fn Tensor::exp;
            "gelu": fn activations::gelu;
            "glu": fn activations::glu;
            "hard_shrink": fn activations::hard_shrink;
            "hard_sigmoid": fn activations::hard_sigmoid;
            "hard_silu": fn activations::hard_silu;
            "hard_tanh": fn activations::hard_tanh;
            "leaky_relu": fn activations::leaky_relu;
            "linear": fn activations::Activation::Linear;
            "log_sigmoid": fn activations::log_sigmoid;
            "log_softmax": fn Tensor::log_softmax;
            "mish": fn activations::mish;
            "relu": fn activations::relu;
            "relu6": fn activations::relu6;
            "selu": fn activations::selu;
            "sigmoid": fn Tensor::sigmoid;
            "silu": fn activations::silu;
            "soft_shrink": fn activations::soft_shrink;
            "softmax": fn Tensor::softmax;
            "softplus": fn Tensor::softplus;
            "softsign": fn activations::softsign;
            "sparse_plus": fn activations::sparse_plus;
            "sparse_sigmoid": fn activations::sparse_sigmoid;
            "sparsemax": fn activations::sparsemax;
            "squareplus": fn activations::squareplus;
            "tanh": fn Tensor::tanh;
            "tanh_shrink": fn activations::tanh_shrink;
            "threshold": fn activations::threshold;
        }
        "initializers" {
            "Initializer": type keras_spec::Initializer;
        }
        "regularizers" {
            "Regularizer": type keras_spec::Regularizer;
        }
        "constraints" {
            "Constraint": type keras_spec::Constraint;
        }
        "callbacks" {
            "Callback": type keras_spec::Callback;
            "CSVLogger": type keras::callbacks::CSVLogger;
            "EarlyStopping": type keras::callbacks::EarlyStopping;
            "History": type keras::callbacks::History;
            "LambdaCallback": type keras::callbacks::LambdaCallback;
            "LearningRateScheduler": type keras::callbacks::LearningRateScheduler;
            "ModelCheckpoint": type keras::callbacks::ModelCheckpoint;
            "ProgbarLogger": type keras::callbacks::ProgbarLogger;
            "ReduceLROnPlateau": type keras::callbacks::ReduceLROnPlateau;
            "TerminateOnNaN": type keras::callbacks::TerminateOnNaN;
        }
        "ops" {
            "abs": fn Tensor::abs;
            "absolute": fn Tensor::abs;
            "add": call std::ops::Add => |a: Tensor, b: Tensor| a + b;
            "all": fn Tensor::min;
            "amax": fn Tensor::max;
            "amin": fn Tensor::min;
            "any": fn Tensor::max;
            "arccos": fn Tensor::unary;
            "arccosh": fn Tensor::unary;
            "arcsin": fn Tensor::unary;
            "arcsinh": fn Tensor::unary;
            "arctan": fn Tensor::unary;
            "arctan2": fn Tensor::binary;
            "arctanh": fn Tensor::unary;
            "argmax": fn Tensor::argmax;
            "argmin": fn Tensor::argmin;
            "argsort": fn Tensor::argsort;
            "average_pool": type keras_spec::Fused;
            "bitwise_and": fn Tensor::and;
            "bitwise_invert": fn Tensor::not;
            "bitwise_not": fn Tensor::not;
            "bitwise_or": fn Tensor::or;
            "bitwise_xor": fn Tensor::binary;
            "broadcast_to": call Tensor::broadcast_to => |x: Tensor| x.broadcast_to([1]);
            "cast": fn Tensor::cast;
            "ceil": fn Tensor::ceil;
            "celu": fn activations::celu;
            "clip": fn Tensor::clip;
            "concatenate": fn Tensor::concatenate;
            "conv": fn Tensor::convolution;
            "conv_transpose": fn Tensor::convolution;
            "convert_to_numpy": fn Tensor::to_host;
            "convert_to_tensor": fn Tensor::from_host;
            "cos": fn Tensor::cos;
            "cosh": fn Tensor::unary;
            "cumprod": fn Tensor::cumulative;
            "cumsum": fn Tensor::cumulative;
            "depthwise_conv": fn Tensor::convolution;
            "divide": call std::ops::Div => |a: Tensor, b: Tensor| a / b;
            "dtype": fn Tensor::dtype;
            "einsum": fn Tensor::einsum;
            "elu": fn activations::elu;
            "equal": fn Tensor::equal;
            "erf": fn Tensor::erf;
            "erfinv": fn Tensor::unary;
            "exp": fn Tensor::exp;
            "expand_dims": fn Tensor::expand_dims;
            "expm1": fn Tensor::expm1;
            "flip": fn Tensor::flip;
            "floor": fn Tensor::floor;
            "floor_divide": fn Tensor::floor_divide;
            "full": call Tensor::full => |d| Tensor::full([1], keras_spec::DType::F32, 0.0, d);
            "gelu": fn activations::gelu;
            "glu": fn activations::glu;
            "greater": fn Tensor::greater;
            "greater_equal": fn Tensor::greater_equal;
            "hard_shrink": fn activations::hard_shrink;
            "hard_sigmoid": fn activations::hard_sigmoid;
            "hard_silu": fn activations::hard_silu;
            "hard_tanh": fn activations::hard_tanh;
            "leaky_relu": fn activations::leaky_relu;
            "less": fn Tensor::less;
            "less_equal": fn Tensor::less_equal;
            "log": fn Tensor::log;
            "log1p": fn Tensor::log1p;
            "log_sigmoid": fn activations::log_sigmoid;
            "log_softmax": fn Tensor::log_softmax;
            "logical_and": fn Tensor::and;
            "logical_not": fn Tensor::not;
            "logical_or": fn Tensor::or;
            "logical_xor": fn Tensor::not_equal;
            "matmul": fn Tensor::matmul;
            "max": fn Tensor::max;
            "max_pool": fn Tensor::reduce_window;
            "maximum": fn Tensor::maximum;
            "mean": fn Tensor::mean;
            "min": fn Tensor::min;
            "minimum": fn Tensor::minimum;
            "mod": fn Tensor::modulo;
            "moveaxis": fn Tensor::move_axis;
            "multiply": call std::ops::Mul => |a: Tensor, b: Tensor| a * b;
            "ndim": fn Tensor::rank;
            "negative": call std::ops::Neg => |x: Tensor| -x;
            "not_equal": fn Tensor::not_equal;
            "one_hot": fn Tensor::one_hot;
            "pad": fn Tensor::pad;
            "power": fn Tensor::pow;
            "prod": fn Tensor::prod;
            "relu": fn Tensor::relu;
            "relu6": fn activations::relu6;
            "reshape": call Tensor::reshape => |x: Tensor| x.reshape([1]);
            "round": fn Tensor::round;
            "rsqrt": fn Tensor::rsqrt;
            "segment_max": fn Tensor::scatter;
            "segment_sum": fn Tensor::scatter;
            "selu": fn activations::selu;
            "shape": fn Tensor::shape;
            "sigmoid": fn Tensor::sigmoid;
            "sign": fn Tensor::sign;
            "silu": fn activations::silu;
            "sin": fn Tensor::sin;
            "sinh": fn Tensor::unary;
            "slice": fn Tensor::slice;
            "slice_update": fn Tensor::slice_update;
            "soft_shrink": fn activations::soft_shrink;
            "softmax": fn Tensor::softmax;
            "softplus": fn Tensor::softplus;
            "softsign": fn activations::softsign;
            "sort": fn Tensor::sort;
            "sparse_plus": fn activations::sparse_plus;
            "sparse_sigmoid": fn activations::sparse_sigmoid;
            "sparsemax": fn activations::sparsemax;
            "split": fn Tensor::split;
            "sqrt": fn Tensor::sqrt;
            "square": fn Tensor::square;
            "squareplus": fn activations::squareplus;
            "squeeze": fn Tensor::squeeze;
            "stack": fn Tensor::stack;
            "stop_gradient": fn Tensor::stop_gradient;
            "subtract": call std::ops::Sub => |a: Tensor, b: Tensor| a - b;
            "sum": fn Tensor::sum;
            "swapaxes": fn Tensor::swap_axes;
            "take": fn Tensor::take;
            "take_along_axis": fn Tensor::take_along_axis;
            "tan": fn Tensor::unary;
            "tanh": fn Tensor::tanh;
            "tanh_shrink": fn activations::tanh_shrink;
            "threshold": fn activations::threshold;
            "transpose": fn Tensor::permute;
            "true_divide": call std::ops::Div => |a: Tensor, b: Tensor| a / b;
            "var": fn Tensor::variance;
            "where": fn Tensor::select;
        }
        "random" {
            "SeedGenerator": type keras::random::SeedGenerator;
            "beta": call random::beta => |d| random::beta([1], 1.0, 1.0, keras_spec::DType::F32, None, d);
            "categorical": fn random::categorical;
            "dropout": fn random::dropout;
            "gamma": call random::gamma => |d| random::gamma([1], 1.0, keras_spec::DType::F32, None, d);
            "normal": call random::normal => |d| random::normal([1], 0.0, 1.0, keras_spec::DType::F32, None, d);
            "randint": call random::randint => |d| random::randint([1], 0, 1, keras_spec::DType::I32, None, d);
            "shuffle": fn random::shuffle;
            "truncated_normal": call random::truncated_normal =>
                |d| random::truncated_normal([1], 0.0, 1.0, keras_spec::DType::F32, None, d);
            "uniform": call random::uniform => |d| random::uniform([1], 0.0, 1.0, keras_spec::DType::F32, None, d);
        }
        "utils" {
            "Progbar": type keras::callbacks::ProgbarLogger;
            "clear_session": fn keras_spec::layer::reset_names;
            "model_to_dot": call keras::Model::plot_svg => |m: &keras::Model, options| m.plot_svg(options);
            "pad_sequences": type keras::utils::PadSequences;
            "plot_model": call keras::Model::plot =>
                |m: &keras::Model, options| m.plot(std::path::Path::new("model.svg"), options);
            "register_keras_serializable": call keras_spec::register => keras_spec::object::register_object::<dyn keras_spec::Layer>;
            "set_random_seed": fn random::set_random_seed;
            "to_categorical": fn keras::utils::to_categorical;
        }
        "models" {
            "Model": type keras::Model;
            "Sequential": type keras::Sequential;
            "clone_model": fn keras::utils::clone_model;
            "load_model": call keras::load_model => |path: &str| keras::load_model(path);
            "model_from_json": fn keras::model_from_json;
            "save_model": call keras::Model::save => |m: &keras::Model| m.save("model.keras");
        }
        "saving" {
            "load_model": call keras::load_model => |path: &str| keras::load_model(path);
            "save_model": call keras::Model::save => |m: &keras::Model| m.save("model.keras");
        }
    }
}
