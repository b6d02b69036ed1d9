//! The names that classes and arguments of Keras 1 have in Keras 2.

/// Arguments of a class: the name in Keras 1, the name in Keras 2.
pub(super) type Names = &'static [(&'static str, &'static str)];

const WEIGHTS: Names = &[
    ("init", "kernel_initializer"),
    ("W_regularizer", "kernel_regularizer"),
    ("b_regularizer", "bias_regularizer"),
    ("W_constraint", "kernel_constraint"),
    ("b_constraint", "bias_constraint"),
    ("bias", "use_bias"),
];

const CONVOLUTION: Names = &[("nb_filter", "filters"), ("subsample", "strides"), ("border_mode", "padding")];

const RECURRENT: Names = &[
    ("output_dim", "units"),
    ("inner_init", "recurrent_initializer"),
    ("inner_activation", "recurrent_activation"),
    ("U_regularizer", "recurrent_regularizer"),
    ("dropout_W", "dropout"),
    ("dropout_U", "recurrent_dropout"),
];

/// What a class is called in Keras 2, and its arguments.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) keras2: &'static str,
    pub(super) arguments: &'static [Names],
}

macro_rules! classes {
    ($($name:literal => $keras2:literal: [$($names:expr),*];)*) => {
        /// The classes of which a name differs.
        pub(super) const CLASSES: &[Class] =
            &[$(Class { name: $name, keras2: $keras2, arguments: &[$($names),*] }),*];
    };
}

classes! {
    "Dense" => "Dense": [WEIGHTS, &[("output_dim", "units")]];
    "TimeDistributedDense" => "Dense": [WEIGHTS, &[("output_dim", "units")]];
    "MaxoutDense" => "MaxoutDense": [WEIGHTS, &[("output_dim", "units")]];
    "Highway" => "Highway": [WEIGHTS];
    "Embedding" => "Embedding": [&[
        ("init", "embeddings_initializer"),
        ("W_regularizer", "embeddings_regularizer"),
        ("W_constraint", "embeddings_constraint"),
    ]];
    "Convolution1D" => "Conv1D": [WEIGHTS, CONVOLUTION, LENGTHS];
    "AtrousConvolution1D" => "Conv1D": [WEIGHTS, CONVOLUTION, LENGTHS, &[("atrous_rate", "dilation_rate")]];
    "Convolution2D" => "Conv2D": [WEIGHTS, CONVOLUTION];
    "AtrousConvolution2D" => "Conv2D": [WEIGHTS, CONVOLUTION, &[("atrous_rate", "dilation_rate")]];
    "Deconvolution2D" => "Conv2DTranspose": [WEIGHTS, CONVOLUTION];
    "SeparableConvolution2D" => "SeparableConv2D": [CONVOLUTION, &[
        ("b_regularizer", "bias_regularizer"),
        ("b_constraint", "bias_constraint"),
        ("bias", "use_bias"),
    ]];
    "Convolution3D" => "Conv3D": [WEIGHTS, CONVOLUTION];
    "LocallyConnected1D" => "LocallyConnected1D": [WEIGHTS, CONVOLUTION, LENGTHS];
    "LocallyConnected2D" => "LocallyConnected2D": [WEIGHTS, CONVOLUTION];
    "ConvLSTM2D" => "ConvLSTM2D": [WEIGHTS, CONVOLUTION, RECURRENT];
    "SimpleRNN" => "SimpleRNN": [WEIGHTS, RECURRENT];
    "GRU" => "GRU": [WEIGHTS, RECURRENT];
    "LSTM" => "LSTM": [WEIGHTS, RECURRENT];
    "MaxPooling1D" => "MaxPooling1D": [POOLING_1D];
    "AveragePooling1D" => "AveragePooling1D": [POOLING_1D];
    "MaxPooling2D" => "MaxPooling2D": [CONVOLUTION];
    "AveragePooling2D" => "AveragePooling2D": [CONVOLUTION];
    "MaxPooling3D" => "MaxPooling3D": [CONVOLUTION];
    "AveragePooling3D" => "AveragePooling3D": [CONVOLUTION];
    "UpSampling1D" => "UpSampling1D": [&[("length", "size")]];
    "Dropout" => "Dropout": [&[("p", "rate")]];
    "GaussianDropout" => "GaussianDropout": [&[("p", "rate")]];
    "SpatialDropout1D" => "SpatialDropout1D": [&[("p", "rate")]];
    "SpatialDropout2D" => "SpatialDropout2D": [&[("p", "rate")]];
    "SpatialDropout3D" => "SpatialDropout3D": [&[("p", "rate")]];
    "GaussianNoise" => "GaussianNoise": [&[("sigma", "stddev")]];
    "PReLU" => "PReLU": [&[("init", "alpha_initializer")]];
    "SReLU" => "SReLU": [&[
        ("t_left_init", "t_left_initializer"),
        ("a_left_init", "a_left_initializer"),
        ("t_right_init", "t_right_initializer"),
        ("a_right_init", "a_right_initializer"),
    ]];
    "BatchNormalization" => "BatchNormalization": [&[
        ("beta_init", "beta_initializer"),
        ("gamma_init", "gamma_initializer"),
    ]];
    "Reshape" => "Reshape": [&[("dims", "target_shape")]];
    "ThresholdedLinear" => "ThresholdedLinear": [];
}

const LENGTHS: Names = &[("filter_length", "kernel_size"), ("subsample_length", "strides")];

const POOLING_1D: Names = &[("pool_length", "pool_size"), ("stride", "strides"), ("border_mode", "padding")];

/// The class that Keras 1 calls `name`, under that name or one of its other ones.
pub(super) fn find(name: &str) -> Option<&'static Class> {
    let name = match name {
        "Conv1D" => "Convolution1D",
        "Conv2D" => "Convolution2D",
        "Conv3D" => "Convolution3D",
        "AtrousConv1D" => "AtrousConvolution1D",
        "AtrousConv2D" => "AtrousConvolution2D",
        "Deconv2D" => "Deconvolution2D",
        "SeparableConv2D" => "SeparableConvolution2D",
        "MaxPool1D" => "MaxPooling1D",
        "MaxPool2D" => "MaxPooling2D",
        "MaxPool3D" => "MaxPooling3D",
        "AvgPool1D" => "AveragePooling1D",
        "AvgPool2D" => "AveragePooling2D",
        "AvgPool3D" => "AveragePooling3D",
        other => other,
    };
    CLASSES.iter().find(|class| class.name == name)
}
