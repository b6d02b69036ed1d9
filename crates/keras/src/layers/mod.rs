//! The layers of `keras.layers` (Keras 3.15.1), all under one roof: `keras::layers::Dense`.
//!
//! `new` takes what Keras's class cannot do without, builder methods the other arguments under Keras's names. Name, dtype
//! policy, `trainable` and `activity_regularizer`, which every layer has, come from [`LayerExt`](keras_spec::LayerExt),
//! last because they make the layer a configured one:
//!
//! ```
//! use keras::initializers::HeNormal;
//! use keras::prelude::*;
//!
//! let layer = Dense::new(10).activation(Activation::Softmax).kernel_initializer(HeNormal::new()).name("digits");
//! # let _ = LayerRef::from(layer);
//! ```

mod activations;
mod attention;
pub(crate) mod common;
mod convolutional;
mod core;
pub(crate) mod defaults;
mod interpolation;
mod merging;
mod normalization;
pub(crate) mod parameters;
mod pooling;
mod preprocessing;
mod regularization;
mod reshaping;
mod rnn;
pub(crate) mod window;

pub(crate) use self::common::scalar_like;

pub use self::activations::{ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use self::attention::{
    AdditiveAttention, Attention, GroupedQueryAttention, MultiHeadAttention, ScoreMode,
};
pub use self::common::{DataFormat, Lengths};
pub use self::convolutional::{
    Conv, Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, ConvTranspose,
    DepthwiseConv, DepthwiseConv1D, DepthwiseConv2D, SeparableConv, SeparableConv1D, SeparableConv2D,
};
pub use self::core::{
    Dense, EinsumDense, Embedding, Identity, Lambda, Masking, ReversibleEmbedding, register_lambda,
};
pub(crate) use self::core::{has_function, name_lambdas};
pub use self::interpolation::Interpolation;
pub use self::merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use self::normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
pub use self::pooling::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D, AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AdaptivePooling, AveragePooling1D, AveragePooling2D,
    AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, GlobalPooling, MaxPooling1D, MaxPooling2D,
    MaxPooling3D, Pooling,
};
pub use self::preprocessing::{
    AugMix, AutoContrast, CategoryEncoding, CenterCrop, ContrastLimitedAdaptiveHistogramEqualization, CutMix,
    Discretization, Equalization, Factor, FactorIn, FillMode, FlipMode, HashedCrossing, Hashing,
    IntegerLookup, MaxNumBoundingBoxes, MelSpectrogram, MixUp, Normalization, OovMethod, OutputMode,
    Pipeline, RandAugment, RandomBrightness, RandomColorDegeneration, RandomColorJitter, RandomContrast,
    RandomCrop, RandomElasticTransform, RandomErasing, RandomFlip, RandomGaussianBlur, RandomGrayscale,
    RandomHue, RandomInvert, RandomPerspective, RandomPosterization, RandomRotation, RandomSaturation,
    RandomSharpness, RandomShear, RandomTranslation, RandomZoom, Rescaling, Resizing, STFTSpectrogram,
    Solarization, SpectrogramMode, SpectrogramScaling, ValueRange,
};
pub use self::regularization::{
    ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D,
};
pub use self::reshaping::{
    Cropping, Cropping1D, Cropping2D, Cropping3D, Flatten, Permute, RepeatVector, Reshape, Sides, Sides1D,
    Sides2D, Sides3D, UpSampling, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding, ZeroPadding1D,
    ZeroPadding2D, ZeroPadding3D,
};
pub use self::rnn::{
    Bidirectional, ConvLSTM, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, GRU, GRUCell, Gru, LSTM, LSTMCell, Lstm,
    MergeMode, RNN, Recurrent, RecurrentCell, RecurrentKind, SimpleRNN, SimpleRNNCell, SimpleRnn,
    StackedRNNCells, TimeDistributed, UseCudnn,
};
pub use self::window::Padding;
pub use crate::activations::Activation;
pub use crate::models::{Input, InputLayer};
