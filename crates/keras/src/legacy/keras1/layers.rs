//! The layers of Keras 1, built from one table.

use keras_spec::{LayerRef, Result, Tensor};
use serde::{Serialize, Serializer};

use super::arguments::Arguments;
use super::models::First;
use crate::layers;

macro_rules! layers {
    ($($(#[$doc:meta])* $Layer:ident($($required:ident),*) { $($option:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        ///
        /// Methods have the names of Keras 1's arguments, in lower case.
        #[derive(Clone, Debug)]
        pub struct $Layer(Arguments);

        #[allow(clippy::new_without_default)]
        impl $Layer {
            /// The layer, with the arguments that Keras 1 asks for in its order.
            pub fn new($($required: impl Serialize),*) -> Self {
                $Layer(Arguments::new(stringify!($Layer))$(.with(stringify!($required), $required))*)
            }

            layers!(@options $($option)* name trainable input_shape batch_input_shape input_dtype);
        }

        impl From<$Layer> for LayerRef {
            fn from(layer: $Layer) -> Self {
                layer.0.layer()
            }
        }

        impl Serialize for $Layer {
            fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.serialize(s)
            }
        }

        impl First for $Layer {
            fn arguments(&self) -> &Arguments {
                &self.0
            }
        }
    )*};
    (@options $($option:ident)*) => {$(
        /// Keras 1's argument of this name.
        #[must_use]
        pub fn $option(self, value: impl Serialize) -> Self {
            Self(self.0.with(stringify!($option), value))
        }
    )*};
}

/// `Lambda(function)`, the same in Keras 2. The function takes its `arguments` from where it was made; those that are given
/// here, and `output_shape`, are written to files.
///
/// ```
/// use keras::legacy::keras1::{Lambda, Sequential};
///
/// let scale = 0.5;
/// let model = Sequential::new().add(Lambda::new(move |x| &x[0] * scale).output_shape([4]).input_shape([4])).build()?;
/// assert_eq!(model.outputs()?[0].1.shape.to_string(), "(None, 4)");
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lambda(Arguments);

impl Lambda {
    /// The layer that computes `function`.
    pub fn new(function: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Lambda(Arguments::of_function("Lambda", layers::Lambda::new(function)))
    }

    /// What masks the output, from the inputs and their masks; without it no mask goes on.
    #[must_use]
    pub fn mask(
        self,
        mask: impl Fn(&[Tensor], &[Option<Tensor>]) -> Result<Option<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        Lambda(self.0.with_mask(mask))
    }

    layers!(@options output_shape arguments name trainable input_shape batch_input_shape input_dtype);
}

impl From<Lambda> for LayerRef {
    fn from(layer: Lambda) -> Self {
        layer.0.layer()
    }
}

impl First for Lambda {
    fn arguments(&self) -> &Arguments {
        &self.0
    }
}

impl Merge {
    /// `Merge(mode=function)`: a function of all inputs, in Keras 2 a `Lambda` of their list.
    pub fn function(function: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Merge(Arguments::of_function("Merge", layers::Lambda::new(function)))
    }
}

layers! {
    /// `Activation(activation)`, the same in Keras 2.
    Activation(activation) {}
    /// `ActivityRegularization(l1, l2)`, the same in Keras 2.
    ActivityRegularization() { l1, l2 }
    /// `AtrousConvolution1D(nb_filter, filter_length)`, in Keras 2 `Conv1D(filters, kernel_size, dilation_rate)`.
    AtrousConvolution1D(nb_filter, filter_length) {
        init, activation, border_mode, subsample_length, atrous_rate, w_regularizer, b_regularizer,
        activity_regularizer, w_constraint, b_constraint, bias, input_dim, input_length,
    }
    /// `AtrousConvolution2D(nb_filter, nb_row, nb_col)`, in Keras 2 `Conv2D(filters, kernel_size, dilation_rate)`.
    AtrousConvolution2D(nb_filter, nb_row, nb_col) {
        init, activation, border_mode, subsample, atrous_rate, dim_ordering, w_regularizer, b_regularizer,
        activity_regularizer, w_constraint, b_constraint, bias,
    }
    /// `AveragePooling1D(pool_length)`, in Keras 2 `AveragePooling1D(pool_size)`.
    AveragePooling1D() { pool_length, stride, border_mode }
    /// `AveragePooling2D(pool_size)`, in Keras 2 with `padding` and `data_format`.
    AveragePooling2D() { pool_size, strides, border_mode, dim_ordering }
    /// `AveragePooling3D(pool_size)`, in Keras 2 with `padding` and `data_format`.
    AveragePooling3D() { pool_size, strides, border_mode, dim_ordering }
    /// `BatchNormalization()`; modes 1 and 2 are not in Keras 2.
    BatchNormalization() {
        epsilon, mode, axis, momentum, beta_init, gamma_init, gamma_regularizer, beta_regularizer,
    }
    /// `Bidirectional(layer)`, the same in Keras 2.
    Bidirectional(layer) { merge_mode }
    /// `ConvLSTM2D(nb_filter, nb_row, nb_col)`, in Keras 2 `ConvLSTM2D(filters, kernel_size)`.
    ConvLSTM2D(nb_filter, nb_row, nb_col) {
        init, inner_init, forget_bias_init, activation, inner_activation, dim_ordering, border_mode, subsample,
        return_sequences, go_backwards, stateful, w_regularizer, u_regularizer, b_regularizer, dropout_w, dropout_u,
    }
    /// `Convolution1D(nb_filter, filter_length)`, in Keras 2 `Conv1D(filters, kernel_size)`.
    Convolution1D(nb_filter, filter_length) {
        init, activation, border_mode, subsample_length, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias, input_dim, input_length,
    }
    /// `Convolution2D(nb_filter, nb_row, nb_col)`, in Keras 2 `Conv2D(filters, kernel_size)`.
    Convolution2D(nb_filter, nb_row, nb_col) {
        init, activation, border_mode, subsample, dim_ordering, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias,
    }
    /// `Convolution3D(nb_filter, kernel_dim1, kernel_dim2, kernel_dim3)`, in Keras 2 `Conv3D(filters, kernel_size)`.
    Convolution3D(nb_filter, kernel_dim1, kernel_dim2, kernel_dim3) {
        init, activation, border_mode, subsample, dim_ordering, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias,
    }
    /// `Cropping1D(cropping)`, the same in Keras 2.
    Cropping1D() { cropping }
    /// `Cropping2D(cropping)`, in Keras 2 with `data_format`.
    Cropping2D() { cropping, dim_ordering }
    /// `Cropping3D(cropping)`, in Keras 2 with `data_format`.
    Cropping3D() { cropping, dim_ordering }
    /// `Deconvolution2D(nb_filter, nb_row, nb_col, output_shape)`, in Keras 2 `Conv2DTranspose(filters, kernel_size)`.
    Deconvolution2D(nb_filter, nb_row, nb_col, output_shape) {
        init, activation, border_mode, subsample, dim_ordering, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias,
    }
    /// `Dense(output_dim)`, in Keras 2 `Dense(units)`.
    Dense(output_dim) {
        init, activation, w_regularizer, b_regularizer, activity_regularizer, w_constraint, b_constraint, bias,
        input_dim,
    }
    /// `Dropout(p)`, in Keras 2 `Dropout(rate)`.
    Dropout(p) {}
    /// `ELU(alpha)`, the same in Keras 2.
    ELU() { alpha }
    /// `Embedding(input_dim, output_dim)`, in Keras 2 with `embeddings_initializer` and its like.
    Embedding(input_dim, output_dim) {
        init, input_length, w_regularizer, activity_regularizer, w_constraint, mask_zero, dropout,
    }
    /// `Flatten()`, the same in Keras 2.
    Flatten() {}
    /// `GRU(output_dim)`, in Keras 2 `GRU(units)`.
    GRU(output_dim) {
        init, inner_init, activation, inner_activation, w_regularizer, u_regularizer, b_regularizer, dropout_w,
        dropout_u, return_sequences, go_backwards, stateful, unroll, consume_less, input_dim, input_length,
    }
    /// `GaussianDropout(p)`, in Keras 2 `GaussianDropout(rate)`.
    GaussianDropout(p) {}
    /// `GaussianNoise(sigma)`, in Keras 2 `GaussianNoise(stddev)`.
    GaussianNoise(sigma) {}
    /// `GlobalAveragePooling1D()`, the same in Keras 2.
    GlobalAveragePooling1D() {}
    /// `GlobalAveragePooling2D()`, in Keras 2 with `data_format`.
    GlobalAveragePooling2D() { dim_ordering }
    /// `GlobalAveragePooling3D()`, in Keras 2 with `data_format`.
    GlobalAveragePooling3D() { dim_ordering }
    /// `GlobalMaxPooling1D()`, the same in Keras 2.
    GlobalMaxPooling1D() {}
    /// `GlobalMaxPooling2D()`, in Keras 2 with `data_format`.
    GlobalMaxPooling2D() { dim_ordering }
    /// `GlobalMaxPooling3D()`, in Keras 2 with `data_format`.
    GlobalMaxPooling3D() { dim_ordering }
    /// `Highway()`, which Keras 2 dropped.
    Highway() {
        init, activation, w_regularizer, b_regularizer, activity_regularizer, w_constraint, b_constraint, bias,
        input_dim,
    }
    /// `InputLayer(batch_input_shape)`, in Keras 2 with `dtype` for `input_dtype`.
    InputLayer() { sparse }
    /// `LSTM(output_dim)`, in Keras 2 `LSTM(units)`.
    LSTM(output_dim) {
        init, inner_init, forget_bias_init, activation, inner_activation, w_regularizer, u_regularizer, b_regularizer,
        dropout_w, dropout_u, return_sequences, go_backwards, stateful, unroll, consume_less, input_dim, input_length,
    }
    /// `LeakyReLU(alpha)`, the same in Keras 2.
    LeakyReLU() { alpha }
    /// `LocallyConnected1D(nb_filter, filter_length)`, in Keras 2 `LocallyConnected1D(filters, kernel_size)`.
    LocallyConnected1D(nb_filter, filter_length) {
        init, activation, border_mode, subsample_length, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias, input_dim, input_length,
    }
    /// `LocallyConnected2D(nb_filter, nb_row, nb_col)`, in Keras 2 `LocallyConnected2D(filters, kernel_size)`.
    LocallyConnected2D(nb_filter, nb_row, nb_col) {
        init, activation, border_mode, subsample, dim_ordering, w_regularizer, b_regularizer, activity_regularizer,
        w_constraint, b_constraint, bias,
    }
    /// `Masking(mask_value)`, the same in Keras 2.
    Masking() { mask_value }
    /// `MaxPooling1D(pool_length)`, in Keras 2 `MaxPooling1D(pool_size)`.
    MaxPooling1D() { pool_length, stride, border_mode }
    /// `MaxPooling2D(pool_size)`, in Keras 2 with `padding` and `data_format`.
    MaxPooling2D() { pool_size, strides, border_mode, dim_ordering }
    /// `MaxPooling3D(pool_size)`, in Keras 2 with `padding` and `data_format`.
    MaxPooling3D() { pool_size, strides, border_mode, dim_ordering }
    /// `MaxoutDense(output_dim)`, which Keras 2 dropped.
    MaxoutDense(output_dim) {
        nb_feature, init, w_regularizer, b_regularizer, activity_regularizer, w_constraint, b_constraint, bias,
        input_dim,
    }
    /// `Merge(mode=…)`, in Keras 2 a class for each mode: `Add`, `Multiply`, `Concatenate`, `Average`, `Maximum`, `Dot`.
    /// [`Merge::function`] is the one of a function; `output_shape`, `output_mask` and `arguments` are about that alone.
    Merge(mode) { concat_axis, dot_axes, output_shape, output_mask, arguments }
    /// `PReLU()`, in Keras 2 with `alpha_initializer`.
    PReLU() { init, shared_axes }
    /// `ParametricSoftplus()`, which Keras 2 dropped.
    ParametricSoftplus() { alpha_init, beta_init, shared_axes }
    /// `Permute(dims)`, the same in Keras 2.
    Permute(dims) {}
    /// `RepeatVector(n)`, the same in Keras 2.
    RepeatVector(n) {}
    /// `Reshape(target_shape)`, the same in Keras 2.
    Reshape(target_shape) {}
    /// `SReLU()`, which Keras 2 dropped.
    SReLU() { t_left_init, a_left_init, t_right_init, a_right_init, shared_axes }
    /// `SeparableConvolution2D(nb_filter, nb_row, nb_col)`, in Keras 2 `SeparableConv2D(filters, kernel_size)`.
    SeparableConvolution2D(nb_filter, nb_row, nb_col) {
        init, activation, border_mode, subsample, depth_multiplier, dim_ordering, depthwise_regularizer,
        pointwise_regularizer, b_regularizer, activity_regularizer, depthwise_constraint, pointwise_constraint,
        b_constraint, bias,
    }
    /// `SimpleRNN(output_dim)`, in Keras 2 `SimpleRNN(units)`.
    SimpleRNN(output_dim) {
        init, inner_init, activation, w_regularizer, u_regularizer, b_regularizer, dropout_w, dropout_u,
        return_sequences, go_backwards, stateful, unroll, consume_less, input_dim, input_length,
    }
    /// `SpatialDropout1D(p)`, in Keras 2 `SpatialDropout1D(rate)`.
    SpatialDropout1D(p) {}
    /// `SpatialDropout2D(p)`, in Keras 2 `SpatialDropout2D(rate)` with `data_format`.
    SpatialDropout2D(p) { dim_ordering }
    /// `SpatialDropout3D(p)`, in Keras 2 `SpatialDropout3D(rate)` with `data_format`.
    SpatialDropout3D(p) { dim_ordering }
    /// `ThresholdedReLU(theta)`, the same in Keras 2.
    ThresholdedReLU() { theta }
    /// `TimeDistributed(layer)`, the same in Keras 2.
    TimeDistributed(layer) {}
    /// `TimeDistributedDense(output_dim)`, which Keras 2 dropped.
    TimeDistributedDense(output_dim) {
        init, activation, w_regularizer, b_regularizer, activity_regularizer, w_constraint, b_constraint, bias,
        input_dim, input_length,
    }
    /// `UpSampling1D(length)`, in Keras 2 `UpSampling1D(size)`.
    UpSampling1D() { length }
    /// `UpSampling2D(size)`, in Keras 2 with `data_format`.
    UpSampling2D() { size, dim_ordering }
    /// `UpSampling3D(size)`, in Keras 2 with `data_format`.
    UpSampling3D() { size, dim_ordering }
    /// `ZeroPadding1D(padding)`, the same in Keras 2.
    ZeroPadding1D() { padding }
    /// `ZeroPadding2D(padding)`, in Keras 2 with `data_format`, and four numbers in two pairs.
    ZeroPadding2D() { padding, dim_ordering }
    /// `ZeroPadding3D(padding)`, in Keras 2 with `data_format`.
    ZeroPadding3D() { padding, dim_ordering }
}
